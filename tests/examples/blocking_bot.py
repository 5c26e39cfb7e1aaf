"""The same bot without asyncio: it blocks until the exchange hangs up."""

from __future__ import annotations

import json
from decimal import Decimal

from websockets.sync.client import connect

from tests.examples.bot import DipBuyer


def run(bot: DipBuyer, url: str = "wss://stream.binance.com:9443") -> None:
    with connect(f"{url}/stream?streams=btcusdt@trade") as socket:
        for message in socket:
            trade = json.loads(message)["data"]
            bot.on_trade(Decimal(trade["p"]), trade["T"])
