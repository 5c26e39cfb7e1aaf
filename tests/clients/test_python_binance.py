"""python-binance: sockets, multiplexed, of futures, on a thread, and its books.

Its addresses are attributes of classes. Whoever leaves one of its sockets waits until
it looks up, which it does at the next message or after ten seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Any

import pytest

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import Ladder, ladder, moments, said, true_ladder, until_equal
from tests.integration.dialers import need

MULTIPLEXED = {"spot": "multiplex_socket", "usdm": "futures_multiplex_socket"}


def point(
    binance_replay: BinanceReplay, monkeypatch: pytest.MonkeyPatch, *, redirect: bool
) -> None:
    """Tell its classes where to connect, unless the exchange leads here."""
    need("binance")
    from binance import AsyncClient, BinanceSocketManager

    if redirect:
        return
    monkeypatch.setattr(AsyncClient, "API_URL", f"{binance_replay.rest_url}/api")
    monkeypatch.setattr(AsyncClient, "FUTURES_URL", f"{binance_replay.rest_url}/fapi")
    monkeypatch.setattr(BinanceSocketManager, "STREAM_URL", f"{binance_replay.ws_url}/")
    monkeypatch.setattr(
        BinanceSocketManager, "FSTREAM_URL", f"{binance_replay.ws_url}/"
    )


@asynccontextmanager
async def open_client() -> AsyncIterator[Any]:
    from binance import AsyncClient

    client = await AsyncClient.create()
    try:
        yield client
    finally:
        await client.close_connection()


@asynccontextmanager
async def entered(bot: Any, replay: BinanceReplay, stream: str) -> AsyncIterator[Any]:
    """A socket of its, left as soon as may be."""
    yield await bot.__aenter__()
    leaving = asyncio.ensure_future(bot.__aexit__(None, None, None))
    await replay.push(stream, "{}")
    await leaving


def trade_socket(manager: Any, recorded: Recorded) -> Any:
    if recorded.market == "spot":
        kind = "trade_socket" if recorded.trades == "trade" else "aggtrade_socket"
        return getattr(manager, kind)(recorded.symbol)
    if recorded.trades == "trade":  # it has no socket of its own for these
        return manager.futures_multiplex_socket([recorded.trade_stream])
    return manager.aggtrade_futures_socket(recorded.symbol)


@pytest.mark.asyncio
async def test_trades(
    open_replay: OpenReplay,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    *,
    redirect: bool,
) -> None:
    replay = open_replay(recorded, redirect=redirect)
    point(replay, monkeypatch, redirect=redirect)
    from binance import BinanceSocketManager

    wanted = said(replay, recorded.trade_stream)
    async with open_client() as client:
        socket = trade_socket(BinanceSocketManager(client), recorded)
        async with entered(socket, replay, recorded.trade_stream) as bot:
            playing = replay.play()
            got = [await bot.recv() for _ in wanted]
            await playing
    assert [message.get("data", message) for message in got] == wanted


@pytest.mark.asyncio
async def test_many_streams_on_one_socket(
    open_replay: OpenReplay, demo: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = open_replay(demo)
    point(replay, monkeypatch, redirect=False)
    from binance import BinanceSocketManager

    kinds = ("ticker", "kline_1m", demo.trades if demo.market == "usdm" else "trade")
    streams = [demo.stream(kind) for kind in kinds]
    frames = [frame for frame in replay.frames() if frame.stream in streams]
    async with open_client() as client:
        manager = BinanceSocketManager(client)
        socket = getattr(manager, MULTIPLEXED[demo.market])(streams)
        async with entered(socket, replay, streams[0]) as bot:
            playing = replay.play()
            got = [await bot.recv() for _ in frames]
            await playing
    assert [message["stream"] for message in got] == [f.stream for f in frames]
    assert [m["data"] for m in got] == [json.loads(f.payload) for f in frames]


@contextmanager
def threaded_manager() -> Iterator[Any]:
    from binance import ThreadedWebsocketManager

    # Its thread runs the loop of the thread that makes it.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    manager = ThreadedWebsocketManager()
    manager.start()
    yield manager
    asyncio.set_event_loop(None)
    loop.close()


def test_sockets_on_a_thread(
    open_replay: OpenReplay, demo: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = open_replay(demo)
    point(replay, monkeypatch, redirect=False)
    trades: list[Any] = []
    wanted = said(replay, demo.trade_stream)
    with threaded_manager() as manager:
        if demo.market == "spot":
            manager.start_trade_socket(trades.append, demo.symbol)
        else:
            manager.start_aggtrade_futures_socket(trades.append, demo.symbol)
        replay.play().wait()
        replay.until(lambda: len(trades) == len(wanted)).wait()
        manager.stop()
        replay.until(lambda: _has_left(manager, replay, demo)).wait()
    assert [trade.get("data", trade) for trade in trades[: len(wanted)]] == wanted


def _has_left(manager: Any, replay: BinanceReplay, recorded: Recorded) -> bool:
    replay.push(recorded.trade_stream, "{}").wait()
    manager.join(0.1)
    return not manager.is_alive()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["spot", "spot_of_2021"])
async def test_book(
    open_replay: OpenReplay,
    request: pytest.FixtureRequest,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    redirect: bool,
) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    replay = open_replay(recorded, redirect=redirect)
    point(replay, monkeypatch, redirect=redirect)
    from binance.ws.depthcache import DepthCacheManager

    last_payload = list(replay.frames(recorded.diff_stream))[-1].payload
    async with open_client() as client:
        manager = DepthCacheManager(
            client, recorded.symbol, limit=1000, conv_type=Decimal, ws_interval=100
        )
        bot = await manager.__aenter__()
        books: list[Any] = []
        following = asyncio.create_task(_follow(bot, books))
        for moment in moments(replay):
            await replay.play(until=moment)
            wanted = true_ladder(replay, recorded.symbol)
            await until_equal(replay, lambda: _ladder_of(books), wanted)
        following.cancel()
        leaving = asyncio.ensure_future(manager.__aexit__(None, None, None))
        await replay.push(recorded.diff_stream, last_payload)
        await leaving


async def _follow(bot: Any, books: list[Any]) -> None:
    while True:
        books.append(await bot.recv())


@pytest.mark.asyncio
async def test_book_of_futures(
    open_replay: OpenReplay, usdm: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = open_replay(usdm)
    point(replay, monkeypatch, redirect=False)
    from binance.ws.depthcache import FuturesDepthCacheManager

    async with open_client() as client:
        manager = FuturesDepthCacheManager(client, usdm.symbol, conv_type=Decimal)
        bot = await manager.__aenter__()
        books: list[Any] = []
        following = asyncio.create_task(_follow(bot, books))
        for moment in moments(replay)[:2]:
            await replay.play(until=moment)
            wanted = true_ladder(replay, usdm.symbol)
            await until_equal(replay, lambda: _ladder_of(books), wanted)
        following.cancel()
        leaving = asyncio.ensure_future(manager.__aexit__(None, None, None))
        await replay.play()
        await leaving


def _ladder_of(books: list[Any]) -> Ladder:
    if not books:
        return [], []
    return ladder(books[-1].get_bids(), books[-1].get_asks())
