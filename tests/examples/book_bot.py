"""A bot that keeps an order book: a snapshot over REST, and the stream of changes."""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.request import urlopen


class BookBot:
    def __init__(self, rest_url: str) -> None:
        self.rest_url = rest_url
        self.resyncs = 0
        self.take_snapshot()

    def take_snapshot(self) -> None:
        path = "/api/v3/depth?symbol=BTCUSDT&limit=1000"
        with urlopen(self.rest_url + path) as answer:
            snapshot = json.load(answer)
        self.update_id = snapshot["lastUpdateId"]
        self.bids = {Decimal(p): Decimal(q) for p, q in snapshot["bids"]}
        self.asks = {Decimal(p): Decimal(q) for p, q in snapshot["asks"]}

    def on_message(self, message: str | bytes) -> None:
        change = json.loads(message)
        if change["U"] > self.update_id + 1:
            self.resyncs += 1
            self.take_snapshot()
        if change["u"] > self.update_id:
            self.update_id = change["u"]
            self.change(self.bids, change["b"])
            self.change(self.asks, change["a"])

    def change(self, side: dict[Decimal, Decimal], levels: list[list[str]]) -> None:
        for price, quantity in levels:
            side[Decimal(price)] = Decimal(quantity)
            if not Decimal(quantity):
                del side[Decimal(price)]
