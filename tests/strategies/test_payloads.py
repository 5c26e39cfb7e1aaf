"""Payloads drawn for every stream: what they are, and the bounds they keep."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay import strategies as ours
from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.events import Event, UnknownEvent, parse_event
from pytest_binance_replay.soundness import check_lines
from pytest_binance_replay.streams import Market, market_of_payload
from tests.strategies.names import STREAMS

KINDS: dict[str, Callable[..., st.SearchStrategy[str]]] = {
    name: getattr(ours, name)
    for name in ours.__all__
    if name.islower() and not name.endswith("sessions") and name != "payloads"
}
KINDS["trading_sessions"] = ours.trading_sessions
KLINES_AND_TICKERS = {
    *("klines", "continuous_klines", "mini_tickers", "tickers", "rolling_tickers")
}
FEW = settings(max_examples=8)


def draw(strategy: st.SearchStrategy[str]) -> str:
    """The simplest payload."""
    phases = [Phase.generate]
    return find(strategy, lambda _: True, settings=settings(phases=phases))


def events_of(payload: str, stream: str, market: Market) -> Iterator[Event]:
    found = parse_event(payload, stream=stream, market=market)
    yield from found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize(("market", "stream"), STREAMS)
@FEW
@given(data=st.data())
def test_a_payload_is_the_event_of_its_stream(
    market: Market, stream: str, data: st.DataObject
) -> None:
    payload = data.draw(ours.payloads(stream, market=market))
    for event in events_of(payload, stream, market):
        assert not isinstance(event, UnknownEvent)
        assert not event.unknown_fields
    assert market_of_payload(payload.encode()) in {market, None}


@pytest.mark.parametrize(("market", "stream"), STREAMS)
@FEW
@given(data=st.data())
@pytest.mark.slow
def test_a_payload_is_sound_by_itself(
    market: Market, stream: str, data: st.DataObject
) -> None:
    payload = data.draw(ours.payloads(stream, market=market)).encode()
    frame = Frame(1795168800000000, stream, payload)
    assert {finding.rule for finding in check_lines([frame], market=market)} <= {"era"}


@FEW
@given(payload=ours.payloads("!miniTicker@arr", symbols=("AUSDT", "BUSDT", "CUSDT")))
def test_an_array_has_each_symbol_at_most_once(payload: str) -> None:
    symbols = [member["s"] for member in json.loads(payload)]
    assert len(symbols) == len(set(symbols))
    assert {*symbols} <= {"AUSDT", "BUSDT", "CUSDT"}


@settings(max_examples=20)
@given(payload=ours.trades(min_price="99.5", max_price=101, max_quantity="0.5"))
def test_a_trade_keeps_its_bounds(payload: str) -> None:
    trade = json.loads(payload)
    assert Decimal("99.5") <= Decimal(trade["p"]) <= 101
    assert 0 < Decimal(trade["q"]) <= Decimal("0.5")


@pytest.mark.parametrize("name", sorted(KLINES_AND_TICKERS))
@FEW
@given(data=st.data())
def test_prices_of_a_stretch_of_time_keep_their_bounds(
    name: str, data: st.DataObject
) -> None:
    event = json.loads(data.draw(KINDS[name](min_price=500, max_price="500.05")))
    total = event.get("k", event)
    low, high = Decimal(total["l"]), Decimal(total["h"])
    assert 500 <= low <= high <= Decimal("500.05")
    assert {low, high} >= {
        min(low, Decimal(total["o"])),
        max(high, Decimal(total["c"])),
    }


@settings(max_examples=20)
@given(payload=ours.depth_updates(min_size=3, max_size=4, market="usdm"))
def test_a_diff_has_as_many_levels_as_asked_and_does_not_cross(payload: str) -> None:
    diff = json.loads(payload)
    bids, asks = ([Decimal(p) for p, _ in diff[side]] for side in "ba")
    assert len(bids) + len(asks) in {3, 4}
    assert diff["pu"] < diff["U"] <= diff["u"]
    assert not bids or not asks or max(bids) < min(asks)


@settings(max_examples=20)
@given(payload=ours.klines(intervals=("1m", "1h"), min_time_us=10**15))
def test_a_candle_is_closed_when_its_time_is_over(payload: str) -> None:
    event = json.loads(payload)
    candle = event["k"]
    assert candle["x"] == (event["E"] > candle["T"])
    assert candle["t"] <= event["E"]
    assert candle["i"] in {"1m", "1h"}


def test_the_simplest_trade_is_simple() -> None:
    assert draw(ours.trades()) == (
        '{"e":"trade","E":1795168800000,"s":"BTCUSDT","t":1,"p":"97250.00000000",'
        '"q":"0.00001000","T":1795168800000,"m":true,"M":true}'
    )


def test_a_symbol_that_nobody_knows_has_usual_ticks() -> None:
    trade = json.loads(draw(ours.trades(symbols=["FOOUSDT"], market="usdm")))
    assert (trade["s"], trade["p"], trade["q"]) == ("FOOUSDT", "100.00", "0.001")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("trades", {"min_price": 3, "max_price": 2}, "There is no price between"),
    ("trades", {"min_price": "1.001", "max_price": "1.009"}, "multiple of 0.01"),
    ("trades", {"min_price": 0.5}, "never a float"),
    ("trades", {"max_price": "cheap"}, "above 0"),
    ("trades", {"max_quantity": -1}, "above 0"),
    ("trades", {"symbols": "BTCUSDT"}, "sequence of one symbol"),
    ("trades", {"symbols": []}, "sequence of one symbol"),
    ("trades", {"symbols": ["btcusdt"]}, "upper case"),
    ("trades", {"symbols": ["AUSDT", "AUSDT"]}, "each symbol once"),
    ("trades", {"market": "coinm"}, "expected 'spot' or 'usdm'"),
    ("trades", {"min_time_us": -1}, "whole number, 0 or more"),
    ("trades", {"min_time_us": 2000, "max_time_us": 1000}, "max_time_us=1000 < min"),
    ("trades", {"min_time_us": 1, "max_time_us": 2}, "No millisecond between"),
    ("trades", {"max_time_us": 10**17}, "at most"),
    ("depth_updates", {"min_size": 0}, "1 or more"),
    ("depth_updates", {"min_size": 3, "max_size": 2}, "max_size=2 < min_size=3"),
    ("depth_updates", {"min_size": 3, "min_price": 1, "max_price": 1}, "leave 3"),
    ("partial_depths", {"levels": 7}, "expected 5, 10 or 20"),
    ("book_tickers", {"min_price": 1, "max_price": 1}, "leave 2"),
    ("klines", {"intervals": "1m"}, "sequence such as"),
    ("klines", {"intervals": ["7m"]}, "no candles of '7m'"),
    ("klines", {"intervals": ["1s"], "market": "usdm"}, "usdm has no candles"),
    ("rolling_tickers", {"windows": ["2h"]}, "some of '1h', '4h', '1d'"),
    ("continuous_klines", {"contracts": ["NEVER"]}, "some of PERPETUAL"),
    ("composite_indexes", {"max_size": 9}, "8 at the most"),
]


@pytest.mark.parametrize(("name", "bounds", "message"), WRONG)
def test_bounds_that_leave_nothing_are_refused_when_drawn(
    name: str, bounds: dict[str, Any], message: str
) -> None:
    strategy = KINDS[name](**bounds)
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        draw(strategy)


@pytest.mark.parametrize("stream", ["btcusdt@markPrice", "BTCUSDT@trade", "what"])
def test_a_stream_that_the_market_lacks_is_refused(stream: str) -> None:
    with pytest.raises(InvalidArgument, match="spot has no such stream"):
        draw(ours.payloads(stream))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_strategy_says_how_it_was_called(name: str) -> None:
    assert repr(KINDS[name](min_time_us=5)) == f"{name}(min_time_us=5)"
