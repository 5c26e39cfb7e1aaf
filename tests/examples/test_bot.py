"""An asyncio bot over combined streams, in async tests."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from pytest_binance_replay import BinanceReplay
from tests.examples.bot import DipBuyer, run

pytestmark = [pytest.mark.asyncio, pytest.mark.binance_replay("demo:spot")]

BUY = ("BUY", Decimal("96167.32"), 1795168824121)
SELL = ("SELL", Decimal("96752.17"), 1795168844222)


async def test_buys_the_dip_and_sells_the_recovery(
    binance_replay: BinanceReplay,
) -> None:
    bot = DipBuyer()
    running = asyncio.create_task(run(bot, binance_replay.ws_url))
    await binance_replay.play()
    await binance_replay.until(lambda: len(bot.orders) == 2)
    running.cancel()
    assert bot.orders == [BUY, SELL]


async def test_holds_in_the_middle_of_the_dip(binance_replay: BinanceReplay) -> None:
    bot = DipBuyer()
    running = asyncio.create_task(run(bot, binance_replay.ws_url))
    await binance_replay.play(until="27s")
    await binance_replay.until(lambda: bot.orders)
    running.cancel()
    assert bot.orders == [BUY]


async def test_waits_for_a_full_percent(binance_replay: BinanceReplay) -> None:
    bot = DipBuyer()
    running = asyncio.create_task(run(bot, binance_replay.ws_url))
    await binance_replay.wait_for_subscription("btcusdt@trade")
    await binance_replay.play(until=lambda frame: b'"q":"0.01130' in frame.payload)
    await binance_replay.until(lambda: bot.high == Decimal("97250.02"))
    assert bot.orders == []  # 1 % is reached at 96277.5198
    await binance_replay.step(stream="btcusdt@trade")
    await binance_replay.until(lambda: bot.orders)
    assert bot.orders == [BUY]
    running.cancel()


async def test_the_numbers_are_those_of_the_cassette(
    binance_replay: BinanceReplay,
) -> None:
    bot = DipBuyer()
    for frame in binance_replay.frames("btcusdt@trade"):
        trade = json.loads(frame.payload)
        bot.on_trade(Decimal(trade["p"]), trade["T"])
    assert bot.orders == [BUY, SELL]
