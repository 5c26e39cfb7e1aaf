"""cryptofeed 3: trades, tops and books, on uvloop, with aiodns, on a thread.

It takes no address that is not `wss://`, so it is told of ours by a class of the
user's own, with the TLS port and, in the environment, the certificate to trust.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import (
    Ladder,
    ladder,
    moments,
    number,
    prices,
    said,
    true_ladder,
    until_equal,
)
from tests.integration.dialers import need


def local_spot(binance_replay: BinanceReplay, monkeypatch: pytest.MonkeyPatch) -> Any:
    from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
    from cryptofeed.exchanges import Binance

    depth = "/api/v3/depth?symbol={}&limit={}"
    routes = Routes("/api/v3/exchangeInfo", l2book=depth)

    class Local(Binance):  # type: ignore[misc]
        websocket_endpoints = [WebsocketEndpoint(binance_replay.wss_url)]  # noqa: RUF012
        rest_endpoints = [RestEndpoint(binance_replay.rest_url, routes=routes)]  # noqa: RUF012

    monkeypatch.setenv("SSL_CERT_FILE", str(binance_replay.ca))
    return Local


def local_usdm(binance_replay: BinanceReplay, monkeypatch: pytest.MonkeyPatch) -> Any:
    from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
    from cryptofeed.exchanges import BinanceFutures

    depth = "/fapi/v1/depth?symbol={}&limit={}"
    routes = Routes("/fapi/v1/exchangeInfo", l2book=depth)

    class Local(BinanceFutures):  # type: ignore[misc]
        websocket_endpoints = [WebsocketEndpoint(binance_replay.wss_url)]  # noqa: RUF012
        rest_endpoints = [RestEndpoint(binance_replay.rest_url, routes=routes)]  # noqa: RUF012

    monkeypatch.setenv("SSL_CERT_FILE", str(binance_replay.ca))
    return Local


LOCAL = {"spot": local_spot, "usdm": local_usdm}


def exchange_class(
    replay: BinanceReplay,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    *,
    redirect: bool,
) -> Any:
    need("cryptofeed")
    from cryptofeed.exchanges import Binance, BinanceFutures

    if redirect:
        return Binance if recorded.market == "spot" else BinanceFutures
    return LOCAL[recorded.market](replay, monkeypatch)


class Seen:
    """What its callbacks were given."""

    def __init__(self) -> None:
        self.trades: list[Any] = []
        self.tops: list[tuple[Any, Any]] = []
        self.book: Any = None

    async def on_trade(self, trade: Any, _: float) -> None:
        self.trades.append(trade.price)

    async def on_top(self, ticker: Any, _: float) -> None:
        self.tops.append((ticker.bid, ticker.ask))

    async def on_book(self, book: Any, _: float) -> None:
        self.book = book.to_dict()["book"]

    def ladder(self) -> Ladder:
        if self.book is None:
            return [], []
        return ladder(self.book["bid"].items(), self.book["ask"].items())


@contextmanager
def running(feed: Any) -> Iterator[None]:
    from cryptofeed import FeedHandler

    handler = FeedHandler(config={"log": {"filename": "", "level": "WARNING"}})
    handler.add_feed(feed)
    loop_thread = Thread(
        target=handler.run, kwargs={"install_signal_handlers": False}, daemon=True
    )
    loop_thread.start()
    try:
        yield
    finally:
        handler._stop_event._loop.call_soon_threadsafe(handler.request_stop)
        loop_thread.join(20)


def test_trades_tops_and_book(
    open_replay: OpenReplay,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    *,
    redirect: bool,
) -> None:
    replay = open_replay(recorded, redirect=redirect)
    make = exchange_class(replay, recorded, monkeypatch, redirect=redirect)
    seen = Seen()
    callbacks: dict[str, Any] = {"l2_book": seen.on_book}
    if recorded.trades == "aggTrade":
        callbacks["trades"] = seen.on_trade
    has_tops = next(replay.frames(recorded.stream("bookTicker")), None) is not None
    if has_tops:
        callbacks["ticker"] = seen.on_top
    symbol = "-".join(recorded.pair) + ("-PERP" if recorded.market == "usdm" else "")
    feed = make(
        symbols=[symbol],
        channels=list(callbacks),
        callbacks=callbacks,
        depth_interval="100ms",
    )
    with running(feed):
        for moment in moments(replay):
            replay.play(until=moment).wait()
            wanted = true_ladder(replay, recorded.symbol)
            until_equal(replay, seen.ladder, wanted).wait()
        if "trades" in callbacks:
            trades = prices(replay, recorded.trade_stream)
            until_equal(replay, lambda: seen.trades, trades).wait()
        if has_tops:
            tops = said(replay, recorded.stream("bookTicker"))
            top = (number(tops[-1]["b"]), number(tops[-1]["a"]))
            until_equal(replay, lambda: seen.tops[-1], top).wait()
