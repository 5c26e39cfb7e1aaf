"""Sessions drawn: consistent, within bounds, and shrinking to small ones."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.cassette import Frame, RestAnswer
from pytest_binance_replay.soundness import check_lines
from pytest_binance_replay.strategies import Session, faulty_sessions, sessions
from pytest_binance_replay.streams import Market
from tests.strategies.careless_bots import BookBot

EVERYTHING: dict[Market, tuple[str, ...]] = {
    "spot": (
        *("trade", "aggTrade", "depth@100ms", "depth", "depth5@100ms", "bookTicker"),
        *("kline_1m", "kline_1s"),
    ),
    "usdm": (
        *("trade", "aggTrade", "depth@100ms", "depth5", "bookTicker", "markPrice@1s"),
        *("kline_1m", "forceOrder", "depth@0ms"),
    ),
}
DEPTH = ("depth@100ms",)
SEARCH = settings(max_examples=300, database=None, deadline=None)
FIRST = settings(SEARCH, phases=[Phase.generate])


@pytest.mark.parametrize("market", ["spot", "usdm"])
@given(data=st.data())
def test_a_session_is_sound(market: Market, data: st.DataObject) -> None:
    session = data.draw(
        sessions(
            market=market,
            symbols=("BTCUSDT", "FOOUSDT"),
            streams=EVERYTHING[market],
            max_size=12,
        )
    )
    assert not [*check_lines(session)]


@given(session=sessions(streams=("ticker", "miniTicker", "avgPrice"), max_size=5))
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_tickers_can_be_asked_for(session: Session) -> None:
    assert not [*check_lines(session)]


@given(session=sessions(max_size=8, streams=("trade", *DEPTH)))
def test_a_trade_is_inside_the_book(session: Session) -> None:
    book = session.book("BTCUSDT")
    prices = {level.price for level in (*book.bids, *book.asks)}
    for frame in session.frames("btcusdt@depth@100ms"):
        diff = json.loads(frame.payload)
        prices |= {Decimal(price) for side in "ba" for price, _ in diff[side]}
    traded = {Decimal(t.model_dump()["price"]) for t in session.events("btcusdt@trade")}
    assert traded <= prices


@given(
    session=sessions(
        symbols=["FOOUSDT"],
        streams=("trade", *DEPTH),
        min_price="99.99",
        max_price="100.02",
        max_quantity="0.005",
    )
)
def test_no_price_leaves_its_bounds(session: Session) -> None:
    levels = [
        level
        for frame in session.frames("foousdt@depth@100ms")
        for side in "ba"
        for level in json.loads(frame.payload)[side]
    ]
    prices = [Decimal(price) for price, _ in levels]
    assert all(Decimal("99.99") <= price <= Decimal("100.02") for price in prices)


@given(session=sessions(symbols=["AUSDT", "BUSDT"], max_size=0))
def test_each_book_has_a_snapshot_and_something_to_join(session: Session) -> None:
    assert len(session.rest) == 2
    for symbol in ("ausdt", "busdt"):
        assert len(session.frames(f"{symbol}@depth@100ms")) == 1


@given(session=sessions(min_size=3, max_size=3, max_gap_us=0, streams=["trade"]))
def test_a_session_without_gaps_is_over_at_once(session: Session) -> None:
    times_us = [frame.receive_time_us for frame in session.frames()]
    assert not times_us or max(times_us) - 1795168800005000 < 1000


def test_a_candle_can_close() -> None:
    strategy = sessions(streams=["kline_1m"], min_size=2)
    found = find(strategy, lambda s: b'"x":true' in _text(s), settings=FIRST)
    assert not [*check_lines(found)]


def _text(session: Session) -> bytes:
    return b"".join(frame.payload for frame in session.frames())


@pytest.mark.parametrize(
    ("bug", "market"),
    [
        ("keeps_empty_levels", "spot"),
        ("ignores_gaps", "usdm"),
        ("keeps_empty_levels", "usdm"),
        ("ignores_gaps", "spot"),
    ],
)
@pytest.mark.slow
def test_a_careless_bot_is_found_out_in_less_than_ten_frames(
    bug: str, market: Market
) -> None:
    strategy = sessions(streams=DEPTH, market=market)
    if bug == "ignores_gaps":
        strategy = faulty_sessions(kinds=["gap"], streams=DEPTH, market=market)

    def is_found_out(session: Session) -> bool:
        bot = BookBot(market, **{bug: True})
        bot.follow(session)
        return bot.is_wrong_about(session.book("BTCUSDT"))

    found = find(strategy, is_found_out, settings=SEARCH)
    assert len(found.frames()) < 10
    careful = BookBot(market)
    careful.follow(found)
    assert not careful.is_wrong_about(found.book("BTCUSDT"))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"streams": "trade"}, "sequence of stream names"),
    ({"streams": ["markPrice"]}, "no stream that can be generated on spot"),
    ({"min_size": 2, "max_size": 1}, "max_size=1 < min_size=2"),
    ({"max_gap_us": -1}, "max_gap_us=-1"),
    ({"min_price": 5, "max_price": 5}, "leave one price"),
    ({"max_move": 0}, "above 0"),
    ({"max_move": 0.5}, "never a float"),
    ({"max_quantity": "0.000001"}, "There is no quantity"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_arguments_that_leave_nothing_are_refused_when_drawn(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        find(sessions(**arguments), lambda _: True)


def test_the_simplest_session_is_one_order() -> None:
    found = find(sessions(streams=DEPTH), lambda _: True, settings=FIRST)
    assert [type(line) for line in found.lines] == [RestAnswer, Frame]
