"""Fields and streams of their time."""

from __future__ import annotations

from datetime import date

import pytest

from pytest_binance_replay.soundness.eras import (
    Era,
    day_of,
    fields_out_of_time,
    stream_out_of_time,
)
from pytest_binance_replay.streams import Market, parse_stream

EARLY, LATE = date(2020, 1, 1), date(2026, 11, 1)


@pytest.mark.parametrize(
    ("era", "day", "said"),
    [
        (Era(since=date(2024, 1, 20)), date(2024, 1, 11), "which came on 2024-01-20"),
        (Era(since=date(2024, 1, 20)), date(2024, 1, 12), None),
        (Era(until=date(2024, 1, 20)), date(2024, 1, 28), "which went on 2024-01-20"),
        (Era(until=date(2024, 1, 20)), date(2024, 1, 27), None),
        (Era(), EARLY, None),
    ],
)
def test_changes_take_some_days(era: Era, day: date, said: str | None) -> None:
    assert era.misses(day) == said


@pytest.mark.parametrize(
    ("time_us", "day"),
    [
        (1_600_000_000_000_000, date(2020, 9, 13)),
        (1, None),
        (10**30, None),
        (-(10**30), None),
        (10**18, None),
    ],
)
def test_a_day_is_one_that_a_recording_can_be_of(
    time_us: int, day: date | None
) -> None:
    assert day_of(time_us) == day


@pytest.mark.parametrize(
    ("market", "name", "day", "is_out"),
    [
        ("spot", "!bookTicker", LATE, True),
        ("spot", "!bookTicker", date(2021, 1, 1), False),
        ("usdm", "!bookTicker", LATE, False),
        ("spot", "!ticker@arr", LATE, True),
        ("spot", "!ticker_1h@arr", LATE, False),
        ("spot", "btcusdt@avgPrice", EARLY, True),
        ("spot", "btcusdt@kline_1d@+08:00", EARLY, True),
        ("spot", "btcusdt@kline_1d", EARLY, False),
        ("spot", "btcusdt@depth@100ms", date(2018, 1, 1), True),
        ("usdm", "btcusdt@rpiDepth@500ms", EARLY, True),
        ("usdm", "tradingSession", EARLY, True),
        ("spot", "!serverShutdown", EARLY, True),
        ("spot", "btcusdt@trade", EARLY, False),
    ],
)
def test_streams_have_their_time(
    market: Market, name: str, day: date, is_out: bool
) -> None:
    parsed = parse_stream(name, market)
    assert parsed is not None
    assert (stream_out_of_time(parsed, market, day) is not None) is is_out


MS, US = 1_600_000_000_000, 1_600_000_000_000_000


@pytest.mark.parametrize(
    ("market", "event", "wire", "day", "said"),
    [
        ("spot", "trade", {"b": 1}, LATE, ["b"]),
        ("spot", "trade", {"b": 1}, EARLY, []),
        ("usdm", "aggTrade", {"nq": "1", "st": 1}, EARLY, ["nq", "st"]),
        ("usdm", "aggTrade", {"nq": "1", "st": 1}, LATE, []),
        ("usdm", "markPriceUpdate", {"ap": "1"}, EARLY, ["ap"]),
        ("usdm", "depthUpdate", {"ps": "B", "s": "BTCUSD_PERP"}, EARLY, []),
        ("usdm", "forceOrder", {"o": {"ps": "B", "s": "BTCUSDT"}}, EARLY, ["o.ps"]),
        ("usdm", "forceOrder", {"o": {"ps": "B", "s": "B_PERP"}}, EARLY, []),
        ("usdm", "continuous_kline", {"ps": "BTCUSDT"}, EARLY, []),
        ("usdm", "trade", {"E": MS}, LATE, []),
        ("usdm", "trade", {"E": US}, LATE, ["microseconds"]),
        ("spot", "trade", {"E": US}, EARLY, ["microseconds"]),
        ("spot", "trade", {"E": US}, LATE, []),
        ("spot", "depthUpdate", {"b": [["1", "2", []]]}, EARLY, ["third member"]),
        ("spot", "depthUpdate", {"b": [["1", "2", []]]}, date(2018, 1, 1), []),
        ("spot", "partialDepth", {"bids": [["1", "2"]], "a": 7}, EARLY, []),
    ],
)
def test_fields_have_their_time(
    market: Market, event: str, wire: dict[str, object], day: date, said: list[str]
) -> None:
    found = list(fields_out_of_time(wire, market, event, day))
    assert len(found) == len(said)
    assert all(word in sentence for word, sentence in zip(said, found, strict=True))
