"""python-binance, unchanged, with the queue of 100 messages that it dies of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.replay import BinanceReplay
from tests.integration.conftest import OpenReplay

binance = pytest.importorskip("binance")

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def open_client(replay: BinanceReplay) -> AsyncIterator[Any]:
    """Its client, told where to connect in the only way that it knows."""

    class Client(binance.AsyncClient):  # type: ignore[misc, name-defined]
        API_URL = f"{replay.rest_url}/api"

    client = await Client.create()
    try:
        yield client
    finally:
        await client.close_connection()


def open_manager(client: Any, replay: BinanceReplay) -> Any:
    class Manager(binance.BinanceSocketManager):  # type: ignore[misc, name-defined]
        STREAM_URL = f"{replay.ws_url}/"

    return Manager(client)


@asynccontextmanager
async def entered(bot: Any, replay: BinanceReplay, stream: str) -> AsyncIterator[Any]:
    """Its socket; on the way out it looks up at the next message, or after 10 s."""
    yield await bot.__aenter__()
    leaving = asyncio.ensure_future(bot.__aexit__(None, None, None))
    await replay.push(stream, "{}")
    await leaving


async def test_its_client_starts(open_replay: OpenReplay, demo: Path) -> None:
    replay = open_replay(demo)
    async with open_client(replay) as client:
        assert await client.ping() == {}
        time = await client.get_server_time()
    assert time["serverTime"] == next(replay.frames()).receive_time_us // 1000
    assert replay.problems() == []


async def test_it_gets_every_frame_of_the_demo(
    open_replay: OpenReplay, demo: Path
) -> None:
    await gets_every_frame(open_replay(demo))


async def test_it_gets_every_frame_of_a_recording(
    open_replay: OpenReplay, shared_data: Path
) -> None:
    path = shared_data / "cryptofeed-spot-20211012" / "session.jsonl"
    await gets_every_frame(open_replay(path))


async def gets_every_frame(replay: BinanceReplay) -> None:
    frames = list(replay.frames())
    names = list(dict.fromkeys(frame.stream for frame in frames))
    async with open_client(replay) as client:
        sockets = open_manager(client, replay)
        async with entered(sockets.multiplex_socket(names), replay, names[0]) as bot:
            playing = replay.play()
            got = [await bot.recv() for _ in frames]
            await playing
    assert [message["stream"] for message in got] == [f.stream for f in frames]
    assert replay.problems() == []


async def test_its_handlers_may_take_their_time(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo)
    trades = list(replay.frames("btcusdt@trade"))
    async with open_client(replay) as client:
        sockets = open_manager(client, replay)
        socket = sockets.trade_socket("BTCUSDT")
        async with entered(socket, replay, trades[0].stream) as bot:
            playing = replay.play()
            for frame in trades:
                message = await bot.recv()
                assert message["e"] == "trade"
                assert str(message["t"]).encode() in frame.payload
            await playing
