"""Trades and candles over REST."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.ledger import KEPT_CANDLES, KEPT_TRADES
from tests.rest_tape import (
    INVALID_SYMBOL,
    NOW_US,
    RestTape,
    Shown,
    ask,
    error,
    load_tape,
)

START_MS = 1_790_000_000_000


def trade(
    number: int, price: str = "0.00151700", quantity: str = "4.25000000"
) -> Shown:
    """A spot trade, a second after the one before."""
    said = {"e": "trade", "E": START_MS, "s": "LTCBTC", "t": number, "p": price}
    said |= {"q": quantity, "T": START_MS + 1000 * number, "m": False, "M": True}
    return "ltcbtc@trade", said


def futures_trade(number: int, kind: str | None = "MARKET", **more: Any) -> Shown:
    said = {"e": "trade", "T": START_MS + number, "s": "LTCUSDT", "t": number}
    said |= {"p": "87.419", "q": "1.530", "m": True}
    return "ltcusdt@trade", said | ({} if kind is None else {"X": kind}) | more


def agg_trade(number: int) -> Shown:
    said = {"e": "aggTrade", "E": 1, "s": "LTCBTC", "a": number, "p": "0.1", "q": "2"}
    said |= {"f": number, "l": number, "T": START_MS + 1000 * number, "m": True}
    return "ltcbtc@aggTrade", {**said, "M": True}


def futures_agg_trade(number: int, **more: Any) -> Shown:
    said = {"e": "aggTrade", "E": 1, "a": number, "s": "LTCUSDT", "p": "8", "q": "2"}
    said |= {"f": 1, "l": 1, "T": START_MS + 1000 * number, "m": True, "st": 1}
    return "ltcusdt@aggTrade", said | more


def candle(minute: int, close: str = "3", stream: str = "ltcbtc@kline_1m") -> Shown:
    begin = START_MS + 60_000 * minute
    k = {"t": begin, "T": begin + 59_999, "s": "LTCBTC", "i": "1m", "f": 1, "L": 2}
    k |= {"o": "1", "c": close, "h": "4", "l": "0.5", "v": "9", "n": 2, "x": False}
    k |= {"q": "10", "V": "5", "Q": "6", "B": "0"}
    return stream, {"e": "kline", "E": begin, "s": "LTCBTC", "k": k}


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] if "id" in row else row["a"] for row in rows]


# Trades


def test_a_spot_trade_has_its_members_in_order() -> None:
    (row,) = ask(RestTape([trade(7)]).known(), "/api/v3/trades?symbol=LTCBTC")
    assert list(row.items()) == [
        ("id", 7),
        ("price", "0.00151700"),
        ("qty", "4.25000000"),
        ("quoteQty", "0.00644725"),
        ("time", START_MS + 7000),
        ("isBuyerMaker", False),
        ("isBestMatch", True),
    ]


def test_what_a_spot_trade_is_worth_is_cut_to_eight_decimals() -> None:
    known = RestTape([trade(1, "0.06436200", "0.01580000")]).known()
    (row,) = ask(known, "/api/v3/trades?symbol=LTCBTC")
    assert row["quoteQty"] == "0.00101691"  # 0.0010169196


def test_a_futures_trade_is_worth_as_many_decimals_as_its_price() -> None:
    (row,) = ask(
        RestTape([futures_trade(7)], "usdm").known(), "/fapi/v1/trades?symbol=ltcusdt"
    )
    assert list(row.items()) == [
        ("id", 7),
        ("price", "87.419"),
        ("qty", "1.530"),
        ("quoteQty", "133.751"),
        ("time", START_MS + 7),
        ("isBuyerMaker", True),
        ("isRPITrade", False),
    ]


def test_retail_improvements_are_told_apart_since_they_are() -> None:
    frames = [
        futures_trade(1, T=1_763_423_999_999),
        futures_trade(2, "RPI", T=1_763_424_000_000),
    ]
    rows = ask(RestTape(frames, "usdm").known(), "/fapi/v1/trades?symbol=LTCUSDT")
    assert [row.get("isRPITrade") for row in rows] == [None, True]


def test_only_trades_of_the_order_book_are_listed() -> None:
    kinds = ["MARKET", "INSURANCE_FUND", "ADL", "NA", "RPI", None]
    frames = [futures_trade(n, kind) for n, kind in enumerate(kinds)]
    rows = ask(RestTape(frames, "usdm").known(), "/fapi/v1/trades?symbol=LTCUSDT")
    assert ids(rows) == [0, 4, 5]


def test_block_trades_match_nobody_best() -> None:
    name, said = trade(3)
    assert isinstance(said, dict)
    known = RestTape([("ltcbtc@blockTrade", {**said, "e": "blockTrade"})]).known()
    (row,) = ask(known, "/api/v3/historicalBlockTrades?symbol=LTCBTC")
    assert list(row)[-1] == "isBuyerMaker"
    assert name == "ltcbtc@trade"


def test_coin_margined_trades_cannot_be_priced() -> None:
    known = RestTape([("btcusd_perp@trade", {"e": "trade"})], "usdm").known()
    assert ask(known, "/fapi/v1/trades?symbol=BTCUSD_PERP") == (
        "Trades of BTCUSD_PERP cannot be listed: their worth depends on the contract "
        "size, which no stream carries."
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(20)),
        ("&limit=3", range(17, 20)),
        ("&limit=3&fromId=5", range(5, 8)),
        ("&fromId=18", range(18, 20)),
        ("&fromId=0&limit=2", range(2)),
        ("&fromId=99", []),
    ],
)
def test_trades_are_the_newest_or_those_from_a_number_on(
    query: str, expected: list[int]
) -> None:
    known = RestTape([trade(n) for n in range(20)]).known()
    target = f"/api/v3/historicalTrades?symbol=LTCBTC{query}"
    assert ids(ask(known, target)) == list(expected)


def test_trades_after_the_position_are_not_listed() -> None:
    tape = RestTape([trade(n) for n in range(9)])
    assert ids(ask(tape.known(4), "/api/v3/trades?symbol=LTCBTC")) == [0, 1, 2, 3]
    assert ask(tape.known(0), "/api/v3/trades?symbol=LTCBTC") == []


def test_as_many_trades_are_listed_as_asked_whatever_does_not_count() -> None:
    kinds = ["MARKET", "MARKET", "INSURANCE_FUND", "MARKET", "ADL"]
    frames = [futures_trade(n, kind) for n, kind in enumerate(kinds)]
    known = RestTape(frames, "usdm").known()
    rows = ask(known, "/fapi/v1/trades?symbol=LTCUSDT&limit=2")
    assert ids(rows) == [1, 3]


@pytest.mark.parametrize("path", ["trades", "aggTrades"])
def test_only_what_is_listed_is_read(path: str) -> None:
    garbled: list[Shown] = [("ltcbtc@trade", b"{"), ("ltcbtc@aggTrade", b"{")]
    known = RestTape([*garbled, trade(1), agg_trade(1)]).known()
    assert ids(ask(known, f"/api/v3/{path}?symbol=LTCBTC&limit=1")) == [1]
    reason = ask(known, f"/api/v3/{path}?symbol=LTCBTC&limit=2")
    assert "is not what the stream promises" in reason


def test_trades_that_are_no_longer_kept_are_not_passed_over() -> None:
    tape = RestTape([trade(n) for n in range(KEPT_TRADES + 10)], batch_frames=200)
    known = tape.known()
    target = "/api/v3/historicalTrades?symbol=LTCBTC&limit=2&fromId="
    assert ids(ask(known, f"{target}10")) == [10, 11]
    assert ask(known, f"{target}9") == (
        "Of ltcbtc@trade only the newest 1000 are kept, and older ones are asked for."
    )


@pytest.mark.parametrize("unit", ["MICROSECOND", "microsecond"])
def test_times_come_in_microseconds_if_asked(unit: str) -> None:
    known = RestTape([trade(7)]).known()
    (row,) = ask(known, "/api/v3/trades?symbol=LTCBTC", time_unit=unit)
    assert row["time"] == (START_MS + 7000) * 1000


def test_microseconds_of_the_tape_come_in_milliseconds() -> None:
    name, said = trade(7)
    assert isinstance(said, dict)
    known = RestTape([(name, {**said, "T": START_MS * 1000 + 1999})]).known()
    (row,) = ask(known, "/api/v3/trades?symbol=LTCBTC")
    assert row["time"] == START_MS + 1


def test_a_real_recordings_trades_are_those_of_its_frames(shared_data: Path) -> None:
    tape = load_tape(shared_data / "hftbacktest-spot-20240808", "spot")
    number = 60_000
    rows = ask(tape.known(number), "/api/v3/trades?symbol=ETHUSDT&limit=700")
    frames = [r for b in tape.batches for r in zip(b.streams, b.payloads, strict=True)]
    events = [json.loads(p) for key, p in frames[:number] if key == b"ethusdt@trade"]
    naive = [
        {
            "id": e["t"],
            "price": e["p"],
            "qty": e["q"],
            "quoteQty": f"{Decimal(e['p']) * Decimal(e['q']):.8f}",
            "time": e["T"],
            "isBuyerMaker": e["m"],
            "isBestMatch": True,
        }
        for e in events[-700:]
    ]
    assert rows == naive


@pytest.mark.parametrize("symbol", ["ETHBTC", "BTCUSDT"])
def test_recorded_trades_are_worth_what_we_compute(
    shared_data: Path, symbol: str
) -> None:
    folder = shared_data / "gocryptotrader-rest-spot" / "rest"
    recorded = json.loads(
        (folder / f"api_v3_trades_limit=1000_symbol={symbol}.json").read_bytes()
    )
    frames: list[Shown] = [
        (
            f"{symbol.lower()}@trade",
            {
                "e": "trade",
                "t": row["id"],
                "p": row["price"],
                "q": row["qty"],
                "T": row["time"],
                "m": row["isBuyerMaker"],
            },
        )
        for row in recorded
    ]
    known = RestTape(frames, batch_frames=500).known()
    assert ask(known, f"/api/v3/trades?symbol={symbol}&limit=1000") == recorded


# Aggregated trades


def test_an_aggregated_trade_is_the_event_without_its_head() -> None:
    (row,) = ask(RestTape([agg_trade(3)]).known(), "/api/v3/aggTrades?symbol=LTCBTC")
    assert list(row) == list("apqflTmM")
    assert row["T"] == START_MS + 3000


@pytest.mark.parametrize(
    ("more", "members"), [({}, "a p q f l T m"), ({"nq": "1"}, "a p q nq f l T m")]
)
def test_a_futures_aggregated_trade_has_what_its_event_has(
    more: dict[str, str], members: str
) -> None:
    known = RestTape([futures_agg_trade(3, **more)], "usdm").known()
    (row,) = ask(known, "/fapi/v1/aggTrades?symbol=LTCUSDT")
    assert list(row) == members.split()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(20)),
        ("&limit=2", [18, 19]),
        ("&fromId=4&limit=2", [4, 5]),
        (f"&startTime={START_MS + 5000}&limit=2", [5, 6]),
        (f"&startTime={START_MS + 5001}&limit=2", [6, 7]),
        (f"&endTime={START_MS + 5000}&limit=2", [4, 5]),
        (f"&endTime={START_MS + 4999}&limit=2", [3, 4]),
        (f"&startTime={START_MS + 5000}&endTime={START_MS + 7000}", [5, 6, 7]),
        (f"&startTime={START_MS * 1000 + 5_000_001}&limit=1", [6]),
        (f"&startTime={START_MS + 7000}&endTime={START_MS + 5000}", []),
    ],
)
def test_aggregated_trades_are_bounded_by_number_or_time(
    query: str, expected: list[int]
) -> None:
    known = RestTape([agg_trade(n) for n in range(20)]).known()
    assert ids(ask(known, f"/api/v3/aggTrades?symbol=LTCBTC{query}")) == list(expected)


@given(
    st.lists(st.integers(0, 40), max_size=30),
    *(st.none() | st.integers(-1, 41) for _ in range(2)),
    st.integers(1, 12),
)
def test_bounds_do_what_a_naive_filter_does(
    seconds: list[int], start: int | None, end: int | None, limit: int
) -> None:
    seconds.sort()
    known = RestTape(
        [agg_trade(n) for n in seconds], streams={"ltcbtc@aggTrade"}
    ).known()
    query = f"&limit={limit}"
    naive = [START_MS + 1000 * n for n in seconds]
    if start is not None:
        query += f"&startTime={START_MS + 1000 * start}"
        naive = [time for time in naive if time >= START_MS + 1000 * start]
    if end is not None:
        query += f"&endTime={START_MS + 1000 * end}"
        naive = [time for time in naive if time <= START_MS + 1000 * end]
    rows = ask(known, f"/api/v3/aggTrades?symbol=LTCBTC{query}")
    wanted = naive[-limit:] if start is None else naive[:limit]
    assert [row["T"] for row in rows] == wanted


@pytest.mark.parametrize(
    ("query", "is_kept"),
    [
        ("&limit=3", True),
        (f"&startTime={START_MS + 9_000}&limit=3", False),
        (f"&startTime={START_MS + 10_000}&limit=3", True),
        (f"&endTime={START_MS + 11_000}&limit=3", False),
        (f"&endTime={START_MS + 12_000}&limit=3", True),
    ],
)
def test_older_times_than_are_kept_are_not_answered(query: str, is_kept: bool) -> None:
    frames = [agg_trade(n) for n in range(KEPT_TRADES + 10)]
    known = RestTape(frames, batch_frames=300).known()
    answer = ask(known, f"/api/v3/aggTrades?symbol=LTCBTC{query}")
    assert (len(answer) == 3) is is_kept


@pytest.mark.parametrize("bound", ["startTime", "endTime"])
def test_spot_takes_a_number_or_times(bound: str) -> None:
    known = RestTape([agg_trade(1)]).known()
    answer = ask(known, f"/api/v3/aggTrades?symbol=LTCBTC&fromId=1&{bound}=1")
    assert answer == error(-1128, "Combination of optional parameters invalid.")


@pytest.mark.parametrize(
    ("start_ms", "length_ms", "expected"),
    [
        (
            START_MS,
            3_600_001,
            error(-1127, "More than 1 hours between startTime and endTime."),
        ),
        (
            NOW_US // 1000 - 2 * 86_400_000 - 1,
            1,
            error(-4166, "Search window is restricted to recent 2 days only."),
        ),
        (START_MS, 3_600_000, []),
    ],
)
def test_futures_search_an_hour_of_the_last_two_days(
    start_ms: int, length_ms: int, expected: object
) -> None:
    known = RestTape(market="usdm", streams={"ltcusdt@aggTrade"}).known()
    window = f"startTime={start_ms}&endTime={start_ms + length_ms}"
    assert ask(known, f"/fapi/v1/aggTrades?symbol=LTCUSDT&{window}") == expected


def test_futures_may_be_searched_from_a_time_on_or_up_to_one() -> None:
    known = RestTape([futures_agg_trade(1)], "usdm").known()
    target = "/fapi/v1/aggTrades?symbol=LTCUSDT"
    assert ids(ask(known, f"{target}&startTime={START_MS}")) == [1]
    assert ids(ask(known, f"{target}&endTime={START_MS + 1000}")) == [1]


# Candles


@pytest.mark.parametrize("path", ["klines", "uiKlines"])
def test_a_candle_is_a_list_in_the_order_of_rest(path: str) -> None:
    known = RestTape([candle(0)]).known()
    rows = ask(known, f"/api/v3/{path}?symbol=LTCBTC&interval=1m")
    begin, end = START_MS, START_MS + 59_999
    assert rows == [
        [begin, "1", "4", "0.5", "3", "9", end, "10", 2, "5", "6", "0"],
    ]


def test_in_microseconds_a_candle_lasts_to_the_last_one() -> None:
    known = RestTape([candle(0)]).known()
    target = "/api/v3/klines?symbol=LTCBTC&interval=1m"
    ((begin, *_, end, _, _, _, _, _),) = ask(known, target, time_unit="MICROSECOND")
    assert begin == START_MS * 1000
    assert end == START_MS * 1000 + 59_999_999


def test_the_newest_frame_of_a_candle_counts() -> None:
    known = RestTape([candle(0, "1"), candle(0, "2"), candle(1, "3")]).known()
    rows = ask(known, "/api/v3/klines?symbol=LTCBTC&interval=1m")
    assert [row[4] for row in rows] == ["2", "3"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("&limit=2", [3, 4]),
        (f"&startTime={START_MS + 60_000}&limit=2", [1, 2]),
        (f"&startTime={START_MS + 1}&limit=1", [1]),
        (f"&endTime={START_MS + 120_000}", [0, 1, 2]),
    ],
)
def test_candles_are_bounded_by_when_they_open(query: str, expected: list[int]) -> None:
    known = RestTape([candle(n) for n in range(5)]).known()
    rows = ask(known, f"/api/v3/klines?symbol=LTCBTC&interval=1m{query}")
    assert [(row[0] - START_MS) // 60_000 for row in rows] == expected


def test_candles_that_are_no_longer_kept_are_not_passed_over() -> None:
    frames = [candle(n) for n in range(KEPT_CANDLES + 1)]
    known = RestTape(frames, batch_frames=500).known()
    target = "/api/v3/klines?symbol=LTCBTC&interval=1m"
    assert len(ask(known, f"{target}&limit=1000")) == 1000
    assert "only the newest 1500" in ask(known, f"{target}&startTime={START_MS}")


@pytest.mark.parametrize(
    ("market", "interval"), [("spot", "2m"), ("spot", "1H"), ("usdm", "1s")]
)
def test_an_interval_must_exist(market: Any, interval: str) -> None:
    known = RestTape(market=market, streams={"ltcusdt@kline_1m"}).known()
    base = "/api/v3" if market == "spot" else "/fapi/v1"
    answer = ask(known, f"{base}/klines?symbol=LTCUSDT&interval={interval}")
    assert answer == error(-1120, "Invalid interval.")


def test_candles_of_another_interval_are_not_made_up() -> None:
    known = RestTape([candle(0)]).known()
    assert ask(known, "/api/v3/klines?symbol=LTCBTC&interval=5m") == (
        "The tape has no ltcbtc@kline_5m; of LTCBTC it has ltcbtc@kline_1m."
    )


@pytest.mark.parametrize(
    ("zone", "close"),
    [
        *(("0", "1"), ("+00:00", "1"), ("-0", "1"), ("00:00", "1")),
        *(("8", "2"), ("%2B8:00", "2"), ("08:00", "2")),
    ],
)
def test_days_begin_where_their_streams_say(zone: str, close: str) -> None:
    frames = [
        candle(0, "1", "ltcbtc@kline_1d"),
        candle(0, "2", "ltcbtc@kline_1d@+08:00"),
    ]
    target = f"/api/v3/klines?symbol=LTCBTC&interval=1d&timeZone={zone}"
    rows = ask(RestTape(frames).known(), target.replace("=+", "=%2B"))
    assert [row[4] for row in rows] == [close]


@pytest.mark.parametrize("zone", ["14:01", "-13", "x", "8:60", "8:0", "100"])
def test_a_time_zone_must_exist(zone: str) -> None:
    known = RestTape([candle(0)]).known()
    answer = ask(known, f"/api/v3/klines?symbol=LTCBTC&interval=1m&timeZone={zone}")
    assert answer == error(-1130, "Data sent for parameter 'timeZone' is not valid.")


def test_a_zone_without_streams_is_not_on_the_tape() -> None:
    known = RestTape([candle(0)]).known()
    answer = ask(known, "/api/v3/klines?symbol=LTCBTC&interval=1m&timeZone=-1:30")
    assert answer == "No stream has candles whose day begins at '-1:30'."


CONTINUOUS = "/fapi/v1/continuousKlines?interval=1m&contractType=PERPETUAL&pair="


def test_continuous_candles_come_from_their_stream() -> None:
    frames = [candle(0, "3", "ltcusdt_perpetual@continuousKline_1m")]
    known = RestTape(frames, "usdm").known()
    assert [row[4] for row in ask(known, f"{CONTINUOUS}LTCUSDT")] == ["3"]
    assert ask(known, f"{CONTINUOUS}BNBUSDT") == INVALID_SYMBOL


def test_continuous_candles_of_a_known_pair_may_lack() -> None:
    known = RestTape(market="usdm", streams={"ltcusdt_260925@trade"}).known()
    assert ask(known, f"{CONTINUOUS}LTCUSDT") == (
        "The tape has no ltcusdt_perpetual@continuousKline_1m; of LTCUSDT it has "
        "nothing."
    )


@pytest.mark.parametrize("name", ["polysim-spot-20260718", "polysim-usdm-20260718"])
def test_recorded_candles_agree_with_the_frames_of_their_minute(
    shared_data: Path, name: str
) -> None:
    """The recorded answers came before: only ids and open prices cannot move on."""
    folder = shared_data / name
    is_spot = "spot" in name
    tape = load_tape(folder, "spot" if is_spot else "usdm")
    (path,) = (folder / "rest").glob("*_klines.json")
    recorded = {row[0]: row for row in json.loads(path.read_bytes())}
    base = "/api/v3" if is_spot else "/fapi/v1"
    rows = ask(tape.known(), f"{base}/klines?symbol=BTCUSDT&interval=1m")
    same = [(row, recorded[row[0]]) for row in rows if row[0] in recorded]
    assert same
    for ours, theirs in same:
        assert [type(item) for item in ours] == [type(item) for item in theirs]
        assert (ours[1], ours[6], ours[11]) == (theirs[1], theirs[6], theirs[11])
        assert Decimal(ours[2]) >= Decimal(theirs[2])
        assert Decimal(ours[3]) <= Decimal(theirs[3])
        assert ours[8] >= theirs[8]


def test_values_are_checked_before_the_symbol_is_looked_up() -> None:
    known = RestTape([futures_trade(1)], "usdm").known()
    answer = ask(known, "/fapi/v1/klines?symbol=NONE&interval=1m&limit=1501")
    assert answer == error(-1130, "Data sent for parameter 'limit' is not valid.")
    assert ask(known, "/fapi/v1/trades?symbol=NONE") == INVALID_SYMBOL
