"""Bots over the simple protocol, in an async and in a plain test."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest
from websockets.sync.client import connect

from pytest_binance_replay import BinanceReplay
from tests.examples.bot import DipBuyer
from tests.examples.simple_bot import run


@pytest.mark.asyncio
@pytest.mark.binance_replay("demo:spot")
async def test_buys_the_dip_and_sells_the_recovery(
    binance_replay: BinanceReplay,
) -> None:
    bot = DipBuyer()
    running = asyncio.create_task(run(bot, binance_replay.url))
    await binance_replay.play()
    await binance_replay.until(lambda: len(bot.orders) == 2)
    running.cancel()
    assert bot.orders == [
        ("BUY", Decimal("96167.32"), 1795168824121),
        ("SELL", Decimal("96752.17"), 1795168844222),
    ]


@pytest.mark.binance_replay("demo:spot")
def test_takes_the_trades_one_by_one(binance_replay: BinanceReplay) -> None:
    bot = DipBuyer()
    with connect(binance_replay.url) as socket:
        subscribe = {"action": "subscribe", "pair": "BTCUSDT", "stream": "trade"}
        socket.send(json.dumps(subscribe))
        assert json.loads(socket.recv(timeout=5))["result"] is True
        while not bot.orders:
            binance_replay.step(stream="btcusdt@trade").wait()
            event = json.loads(socket.recv(timeout=5), parse_float=Decimal)
            bot.on_trade(event["price"], event["trade_time"])
    assert bot.orders == [("BUY", Decimal("96167.32"), 1795168824121)]
    assert binance_replay.sent == {"btcusdt@trade": 31}
