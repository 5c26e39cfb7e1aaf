"""A bot that buys a dip of 1 % and sells when the price is 0.5 % better."""

from __future__ import annotations

import json
from decimal import Decimal

from websockets.asyncio.client import connect


class DipBuyer:
    def __init__(self) -> None:
        self.high = Decimal(0)
        self.orders: list[tuple[str, Decimal, int]] = []

    def on_trade(self, price: Decimal, time_ms: int) -> None:
        self.high = max(self.high, price)
        if not self.orders and price <= self.high * Decimal("0.99"):
            self.orders.append(("BUY", price, time_ms))
        elif len(self.orders) == 1 and price >= self.orders[0][1] * Decimal("1.005"):
            self.orders.append(("SELL", price, time_ms))


async def run(bot: DipBuyer, url: str = "wss://stream.binance.com:9443") -> None:
    async with connect(f"{url}/stream?streams=btcusdt@trade") as socket:
        async for message in socket:
            trade = json.loads(message)["data"]
            bot.on_trade(Decimal(trade["p"]), trade["T"])
