"""Binance's older connectors, binance-connector and binance-futures-connector.

Each is given its addresses, and hands raw text to a callback on a thread of its own.
The futures one knows only the paths of before 2026-04-23. Both own the package
`binance`, as python-binance does, so each is tested in an environment of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import follow, moments, said, true_ladder, until_equal
from tests.integration.dialers import need


def make_spot(
    binance_replay: BinanceReplay, on_message: Callable[..., None], *, redirect: bool
) -> tuple[Any, Any]:
    need("binance.spot")
    from binance.spot import Spot
    from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

    if redirect:
        return Spot(), SpotWebsocketStreamClient(on_message=on_message)
    return Spot(base_url=binance_replay.rest_url), SpotWebsocketStreamClient(
        stream_url=binance_replay.ws_url, on_message=on_message
    )


def make_usdm(
    binance_replay: BinanceReplay, on_message: Callable[..., None], *, redirect: bool
) -> tuple[Any, Any]:
    need("binance.um_futures")
    from binance.um_futures import UMFutures
    from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient

    if redirect:
        return UMFutures(), UMFuturesWebsocketClient(on_message=on_message)
    return UMFutures(base_url=binance_replay.rest_url), UMFuturesWebsocketClient(
        stream_url=binance_replay.ws_url, on_message=on_message
    )


MAKE = {"spot": make_spot, "usdm": make_usdm}


class Inbox:
    """What came, by the stream it belongs to."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.events: dict[str, list[dict[str, Any]]] = {}

    def take(self, _: object, text: str | bytes) -> None:
        if isinstance(text, bytes):  # the futures one hands on close frames, too
            return
        message = json.loads(text)
        if "e" not in message:
            self.answers.append(message)
        else:
            self.events.setdefault(message["e"], []).append(message)


@contextmanager
def connected(
    replay: BinanceReplay, recorded: Recorded, inbox: Inbox, *, redirect: bool
) -> Iterator[tuple[Any, Any]]:
    make = MAKE[recorded.market]
    rest, streams = make(replay, inbox.take, redirect=redirect)
    try:
        yield rest, streams
    finally:
        streams.stop()
        streams.socket_manager.ws.shutdown()
        rest.session.close()


def test_trades_and_book(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    names = [recorded.trade_stream, recorded.diff_stream]
    replay = open_replay(recorded, redirect=redirect, routes="any", start_after=names)
    inbox = Inbox()
    diffs = inbox.events.setdefault("depthUpdate", [])
    with connected(replay, recorded, inbox, redirect=redirect) as (rest, streams):
        streams.subscribe(recorded.trade_stream, id=7)
        streams.diff_book_depth(symbol=recorded.symbol, speed=100)
        snapshot = rest.depth(recorded.symbol, limit=1000)
        for moment in moments(replay):
            replay.play(until=moment).wait()
            until_equal(
                replay,
                lambda: follow(recorded.market, snapshot, list(diffs)),
                true_ladder(replay, recorded.symbol),
            ).wait()
        wanted = said(replay, recorded.trade_stream)
        trades = inbox.events[recorded.trades]
        replay.until(lambda: len(trades) == len(wanted)).wait()
    assert trades == wanted
    assert inbox.answers[0] == {"result": None, "id": 7}
