"""A bot that follows an order book, with bugs that real ones had."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pytest_binance_replay.book import OrderBook
from pytest_binance_replay.strategies import Session
from pytest_binance_replay.streams import Market


class BookBot:
    """Follows one book by snapshots and diffs, as a client would."""

    def __init__(
        self,
        market: Market,
        *,
        keeps_empty_levels: bool = False,
        ignores_gaps: bool = False,
    ) -> None:
        self.market = market
        self.keeps_empty_levels = keeps_empty_levels
        self.ignores_gaps = ignores_gaps
        self.update_id: int = 0
        self.joined = False
        self.sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}

    def follow(self, session: Session) -> None:
        """Take the newest snapshot whenever none is known, or updates are missing."""
        snapshots = [json.loads(line.payload) for line in session.rest]
        for frame in session.frames():
            diff = json.loads(frame.payload)
            if not self.update_id or not self.follows(diff):
                fitting = [s for s in snapshots if self.fits(s, diff)]
                self.start_from((fitting or snapshots)[-1])
            if self.market == "spot" and diff["u"] <= self.update_id:
                continue
            self.apply(diff)

    def fits(self, snapshot: Any, diff: Any) -> bool:
        first = diff["U"] - (self.market == "spot")
        return bool(first <= snapshot["lastUpdateId"] <= diff["u"])

    def follows(self, diff: Any) -> bool:
        if self.ignores_gaps:
            return True
        if self.market == "usdm":
            return not self.joined or diff["pu"] == self.update_id
        return bool(diff["U"] <= self.update_id + 1)

    def start_from(self, snapshot: Any) -> None:
        self.update_id, self.joined = snapshot["lastUpdateId"], False
        for side, name in (("b", "bids"), ("a", "asks")):
            self.sides[side] = {Decimal(p): Decimal(q) for p, q in snapshot[name]}

    def apply(self, diff: Any) -> None:
        self.update_id, self.joined = diff["u"], True
        for side in "ba":
            for price, quantity in diff[side]:
                self.sides[side][Decimal(price)] = Decimal(quantity)
                if not Decimal(quantity) and not self.keeps_empty_levels:
                    del self.sides[side][Decimal(price)]

    def is_wrong_about(self, book: OrderBook) -> bool:
        true = {"b": dict(book.bids), "a": dict(book.asks)}
        return self.sides != true
