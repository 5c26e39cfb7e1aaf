"""A bot against markets that nobody recorded: property tests of its order book."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from websockets.sync.client import connect

from pytest_binance_replay import BinanceReplay
from pytest_binance_replay.strategies import Session, faulty_sessions, sessions
from tests.examples.book_bot import BookBot

STREAM = "btcusdt@depth@100ms"
pytestmark = pytest.mark.binance_replay(start_after=[STREAM, "/api/v3/depth"])


def follow(replay: BinanceReplay, session: Session) -> BookBot:
    """Let the bot follow a session to its end."""
    replay.load(session)
    with connect(f"{replay.ws_url}/ws/{STREAM}") as socket:
        bot = BookBot(replay.rest_url)
        replay.play().wait(5)
        for _ in session.frames(STREAM):
            bot.on_message(socket.recv(timeout=5))
    return bot


@settings(max_examples=20)
@given(session=sessions(streams=["depth@100ms"]))
def test_has_the_book_that_the_market_has(
    binance_replay: BinanceReplay, session: Session
) -> None:
    bot = follow(binance_replay, session)
    book = binance_replay.book("BTCUSDT")
    assert (bot.bids, bot.asks) == (dict(book.bids), dict(book.asks))
    assert bot.resyncs == 0


@settings(max_examples=20)
@given(session=faulty_sessions(kinds=["gap", "reconnect"], streams=["depth@100ms"]))
def test_starts_again_where_updates_are_missing(
    binance_replay: BinanceReplay, session: Session
) -> None:
    bot = follow(binance_replay, session)
    book = binance_replay.book("BTCUSDT")
    assert (bot.bids, bot.asks) == (dict(book.bids), dict(book.asks))
    assert bot.resyncs == len(session.faults)
