"""The same bot over the simple protocol, whose prices are JSON numbers."""

from __future__ import annotations

import json
from decimal import Decimal

from websockets.asyncio.client import connect

from tests.examples.bot import DipBuyer


async def run(bot: DipBuyer, url: str) -> None:
    async with connect(url) as socket:
        subscribe = {"action": "subscribe", "pair": "BTCUSDT", "stream": "trade"}
        await socket.send(json.dumps(subscribe))
        async for message in socket:
            event = json.loads(message, parse_float=Decimal)
            if event.get("event") == "trade":
                bot.on_trade(event["price"], event["trade_time"])
