"""Clients that speak WebSocket and nothing more: they are given the URL."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import said
from tests.integration.dialers import need

HOSTS = {
    "spot": ("wss://stream.binance.com:9443", "https://api.binance.com"),
    "usdm": ("wss://fstream.binance.com", "https://fapi.binance.com"),
}


def addresses(
    replay: BinanceReplay, recorded: Recorded, *, redirect: bool
) -> tuple[str, str]:
    """Where trades and REST are dialled."""
    here = replay.ws_url, replay.rest_url
    ws_url, rest_url = HOSTS[recorded.market] if redirect else here
    return ws_url + recorded.route(recorded.trades), rest_url


def test_websockets_on_a_thread(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    from websockets.sync.client import connect

    replay = open_replay(recorded, redirect=redirect, at_end="close", speed="asap")
    ws_url, _ = addresses(replay, recorded, redirect=redirect)
    with connect(f"{ws_url}/ws/{recorded.trade_stream}") as bot:
        trades = [json.loads(message) for message in bot]
    assert trades == said(replay, recorded.trade_stream)


@pytest.mark.asyncio
async def test_websockets_on_asyncio(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    from websockets.asyncio.client import connect

    replay = open_replay(recorded, redirect=redirect, at_end="close", speed="asap")
    ws_url, _ = addresses(replay, recorded, redirect=redirect)
    async with connect(f"{ws_url}/stream?streams={recorded.trade_stream}") as bot:
        messages = [json.loads(message) async for message in bot]
    assert {message["stream"] for message in messages} == {recorded.trade_stream}
    assert [m["data"] for m in messages] == said(replay, recorded.trade_stream)


@pytest.mark.asyncio
async def test_aiohttp(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    aiohttp = need("aiohttp")
    replay = open_replay(recorded, redirect=redirect, at_end="close", speed="asap")
    ws_url, rest_url = addresses(replay, recorded, redirect=redirect)
    stream = recorded.trade_stream
    subscribe = {"method": "SUBSCRIBE", "params": [stream], "id": 1}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{ws_url}/stream") as bot:
            await bot.send_json(subscribe)
            answer, *messages = [json.loads(message.data) async for message in bot]
        query = f"{recorded.depth_path}?symbol={recorded.symbol}&limit=5"
        async with session.get(f"{rest_url}{query}") as response:
            snapshot = await response.json()
    assert answer == {"result": None, "id": 1}
    assert [message["data"] for message in messages] == said(replay, stream)
    bids, _ = replay.book(recorded.symbol).texts(5)
    assert snapshot["bids"] == [list(level) for level in bids]


def test_websocket_client(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    websocket, requests = need("websocket"), need("requests")
    replay = open_replay(recorded, redirect=redirect, at_end="close", speed="asap")
    ws_url, rest_url = addresses(replay, recorded, redirect=redirect)
    trades: list[Any] = []
    bot = websocket.WebSocketApp(
        f"{ws_url}/ws/{recorded.trade_stream}",
        on_message=lambda _, message: trades.append(json.loads(message)),
        on_close=lambda bot, *_: bot.close(),
    )
    bot.run_forever()
    assert trades == said(replay, recorded.trade_stream)
    assert requests.get(f"{rest_url}/api/v3/ping", timeout=5).json() == {}


@pytest.mark.asyncio
async def test_two_markets_at_once_by_hosts_alone(
    open_replay: OpenReplay, spot: Recorded, usdm: Recorded
) -> None:
    from websockets.asyncio.client import connect

    markets = (spot, usdm)
    replays = [open_replay(m, redirect=True, at_end="close") for m in markets]
    for recorded, replay in zip(markets, replays, strict=True):
        ws_url, _ = addresses(replay, recorded, redirect=True)
        url = f"{ws_url}/ws/{recorded.trade_stream}"
        async with asyncio.timeout(20), connect(url) as bot:
            trades = [json.loads(message) async for message in bot]
        assert trades == said(replay, recorded.trade_stream)
