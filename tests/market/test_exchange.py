"""The engine: any list of actions makes one consistent market."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from pytest_binance_replay.cassette import (
    End,
    Frame,
    Header,
    Line,
    RestAnswer,
    format_line,
    parse_line,
)
from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market import (
    START_US,
    Action,
    Cancel,
    Exchange,
    Instrument,
    Place,
    Take,
    play_actions,
)
from pytest_binance_replay.soundness import check_lines
from pytest_binance_replay.streams import Market

SMALL: dict[Market, Instrument] = {
    "spot": Instrument(symbol="AB", market="spot", price=1000),
    "usdm": Instrument(symbol="AB", market="usdm", price=1000),
}
OTHER: dict[Market, Instrument] = {
    "spot": Instrument(symbol="CD", market="spot", price=50, price_decimals=0),
    "usdm": Instrument(symbol="CD", market="usdm", price=50, price_decimals=0),
}
STREAMS: dict[Market, tuple[str, ...]] = {
    "spot": (
        *("trade", "aggTrade", "bookTicker", "depth", "depth@100ms", "depth5"),
        *("depth10@100ms", "kline_1s", "kline_1m", "kline_1M", "avgPrice"),
        *("ticker", "miniTicker", "ticker_1h", "!miniTicker@arr", "!ticker_4h@arr"),
    ),
    "usdm": (
        *("trade", "aggTrade", "bookTicker", "depth", "depth@0ms", "depth20@100ms"),
        *("kline_1m", "markPrice", "markPrice@1s", "ticker", "miniTicker"),
        *("forceOrder", "!ticker@arr", "!markPrice@arr@1s", "!forceOrder@arr"),
        *("!bookTicker", "ab_perpetual@continuousKline_1m"),
    ),
}
each_market = pytest.mark.parametrize("market", ["spot", "usdm"])


def played(
    actions: Sequence[Action], *streams: str, market: Market = "spot", **more: Any
) -> list[Line]:
    both = (SMALL[market], OTHER[market])
    return list(play_actions(actions, instruments=both, streams=streams, **more))


def told(lines: Sequence[Line], stream: str) -> list[Any]:
    frames = (line for line in lines if isinstance(line, Frame))
    return [json.loads(frame.payload) for frame in frames if frame.stream == stream]


try:
    from hypothesis import given, settings
    from hypothesis import strategies as st
except ImportError:
    pass
else:
    common = {
        "symbol": st.sampled_from(["AB", "CD"]),
        "after_us": st.sampled_from([0, 1, 900, 40_000, 700_000]),
        "side": st.sampled_from(["bid", "ask"]),
    }
    steps = st.integers(1, 60)
    actions = st.lists(
        st.one_of(
            st.builds(Place, **common, distance=st.integers(1, 70), quantity=steps),
            st.builds(
                Cancel,
                **common,
                level=st.integers(0, 6),
                quantity=st.none() | steps,
            ),
            st.builds(Take, **common, quantity=steps, is_forced=st.booleans()),
        ),
        max_size=20,
    )

    @each_market
    @settings(max_examples=40)
    @given(actions=actions)
    def test_any_actions_make_a_sound_session(
        market: Market, actions: list[Action]
    ) -> None:
        lines = played(actions, *STREAMS[market], market=market)
        assert list(check_lines(lines)) == []
        assert [parse_line(format_line(line)) for line in lines] == lines

    @settings(max_examples=40)
    @given(actions=actions)
    def test_diffs_and_snapshot_rebuild_the_very_book(actions: list[Action]) -> None:
        exchange = Exchange([SMALL["spot"], OTHER["spot"]], streams=["depth@100ms"])
        exchange.ask_depth("AB")
        for action in actions:
            exchange.act(action)
        exchange.finish()
        book: dict[str, dict[str, Decimal]] = {"b": {}, "a": {}}
        joined = 0
        for _, name, payload in exchange.drain():
            event = json.loads(payload)
            if name.startswith("/"):
                joined = event["lastUpdateId"]
                book = {
                    "b": {p: Decimal(q) for p, q in event["bids"]},
                    "a": {p: Decimal(q) for p, q in event["asks"]},
                }
            elif name == "ab@depth@100ms" and joined and event["u"] > joined:
                for side, levels in book.items():
                    levels.update({p: Decimal(q) for p, q in event[side]})
        if joined:
            real = exchange.listings["AB"].book
            for side, half in (("b", real.bids), ("a", real.asks)):
                rebuilt = {Decimal(p): q for p, q in book[side].items() if q}
                assert rebuilt == {
                    Decimal(p).scaleb(-2): Decimal(q).scaleb(-3)
                    for p, q in half.totals.items()
                }


def test_a_taker_meets_the_best_and_oldest_orders_first() -> None:
    actions = [
        Place(symbol="AB", side="ask", distance=1, quantity=3),
        Take(symbol="AB", side="ask", quantity=15),
    ]
    lines = played(actions, "trade", "aggTrade")
    fills = [(e["t"], e["p"], e["q"], e["m"]) for e in told(lines, "ab@trade")]
    assert fills == [
        (1, "10.01000000", "0.01000000", False),
        (2, "10.01000000", "0.00300000", False),
        (3, "10.02000000", "0.00200000", False),
    ]
    totals = [(e["a"], e["f"], e["l"], e["q"]) for e in told(lines, "ab@aggTrade")]
    assert totals == [(1, 1, 2, "0.01300000"), (2, 3, 3, "0.00200000")]


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_the_last_step_of_a_side_is_never_taken(side: Any) -> None:
    actions = [Take(symbol="AB", side=side, quantity=10_000)] * 2
    (top,) = told(played(actions, "bookTicker"), "ab@bookTicker")
    assert top["B" if side == "bid" else "A"] == "0.00100000"


def test_the_last_level_of_a_side_cannot_be_cancelled() -> None:
    actions = [Cancel(symbol="AB", side="bid", level=level) for level in (5, *[0] * 9)]
    tops = told(played(actions, "bookTicker"), "ab@bookTicker")
    assert [top["b"] for top in tops] == [f"9.9{n}000000" for n in (9, 8, 7, 6)]


def test_the_newest_orders_are_cancelled_first() -> None:
    actions = [
        Place(symbol="AB", side="ask", distance=1, quantity=4),
        Cancel(symbol="AB", side="ask", quantity=6),
        Take(symbol="AB", side="ask", quantity=9),
    ]
    fills = told(played(actions, "trade"), "ab@trade")
    assert [fill["q"] for fill in fills] == ["0.00800000", "0.00100000"]


def test_an_order_never_meets_the_other_side() -> None:
    listing = Exchange([SMALL["spot"]]).listings["AB"]
    listing.place("bid", 5000, 1)
    listing.place("ask", 1, 1)
    assert listing.book.top() == (1000, 11, 1001, 11)


def test_futures_ids_are_shared_and_run_with_time() -> None:
    actions = [
        Place(symbol="AB", side="bid"),
        Place(symbol="CD", side="bid", after_us=1_800_000),
        Place(symbol="AB", side="ask"),
    ]
    lines = played(actions, "depth@100ms", market="usdm")
    first, later = told(lines, "ab@depth@100ms")
    (between,) = told(lines, "cd@depth@100ms")
    assert (first["U"], between["U"], later["U"]) == (1001, 101_000, 101_001)
    assert later["pu"] == first["u"]


@each_market
def test_without_actions_there_is_nothing_but_the_clock(market: Market) -> None:
    lines = played([], "trade", "depth@100ms", market=market)
    assert [type(line) for line in lines] == [Header, End]
    assert lines[-1] == End(START_US, 0)


def test_a_candle_without_trades_is_closed_all_the_same() -> None:
    lines = played([], "kline_1m", lasting_us=61_000_000)
    (event,) = told(lines, "ab@kline_1m")
    candle = event["k"]
    assert (candle["x"], candle["f"], candle["L"], candle["n"]) == (True, -1, -1, 0)
    assert {candle[key] for key in "ochl"} == {"10.00000000"}


def test_the_snapshot_comes_with_the_first_change() -> None:
    actions = [Place(symbol="AB", side="bid", after_us=250_000)]
    (answer,) = (
        line for line in played(actions, "trade") if isinstance(line, RestAnswer)
    )
    assert answer.request == "/api/v3/depth?symbol=AB&limit=1000"
    assert answer.receive_time_us == START_US + 255_000


def test_only_the_largest_liquidation_of_a_second_is_told() -> None:
    actions = [
        Take(symbol="AB", side="bid", quantity=size, is_forced=True)
        for size in (2, 7, 3)
    ]
    lines = played(actions, "forceOrder", market="usdm", lasting_us=2_000_000)
    (event,) = told(lines, "ab@forceOrder")
    order = event["o"]
    assert (order["S"], order["q"], order["z"]) == ("SELL", "0.007", "0.007")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"start_us": 1}, "start_us=1: expected a whole minute."),
        ({"opening_levels": 0}, "expected numbers above 0."),
        ({"streams": ["depth@50ms"]}, "no stream that can be generated on spot"),
        ({"streams": ["!ticker@arr"]}, "no stream that can be generated on spot"),
        ({"streams": ["xy@trade"]}, "its symbol is none of the session's: AB."),
        ({"instruments": []}, "expected one or more, each once."),
        ({"instruments": [SMALL["spot"]] * 2}, "expected one or more, each once."),
        (
            {"instruments": [SMALL["spot"], OTHER["usdm"]]},
            "expected symbols of one market.",
        ),
    ],
)
def test_what_cannot_be_played_is_refused(more: Any, message: str) -> None:
    lines = play_actions([], **({"instruments": [SMALL["spot"]]} | more))
    with pytest.raises(OptionError) as caught:
        next(lines)
    assert message in str(caught.value)


def test_an_action_of_another_symbol_is_refused() -> None:
    exchange = Exchange([SMALL["spot"]])
    with pytest.raises(OptionError, match=r"action of 'XY': expected one of AB\."):
        exchange.act(Take(symbol="XY", side="bid"))
