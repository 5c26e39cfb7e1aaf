"""A bot that blocks, in plain tests: called, and on a thread of its own."""

from __future__ import annotations

from decimal import Decimal
from threading import Thread

import pytest

from pytest_binance_replay import BinanceReplay
from tests.examples.blocking_bot import run
from tests.examples.bot import DipBuyer

pytestmark = pytest.mark.binance_replay("demo:spot", at_end="close")

BUY = ("BUY", Decimal("96167.32"), 1795168824121)
SELL = ("SELL", Decimal("96752.17"), 1795168844222)


def test_trades_until_the_exchange_hangs_up(binance_replay: BinanceReplay) -> None:
    bot = DipBuyer()
    run(bot, binance_replay.ws_url)
    assert bot.orders == [BUY, SELL]


def test_trades_on_a_thread(binance_replay: BinanceReplay) -> None:
    bot = DipBuyer()
    thread = Thread(target=run, args=(bot, binance_replay.ws_url))
    thread.start()
    binance_replay.play(until="27s").wait()
    binance_replay.until(lambda: bot.orders).wait()
    assert bot.orders == [BUY]
    binance_replay.play().wait()
    thread.join()
    assert bot.orders == [BUY, SELL]
