"""A limit order book: orders queue at a price, the oldest is met first.

Prices are in ticks and quantities in steps. Every level that changes takes an update
id. Neither side is ever bare: what would take its last step is cut short.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple

from pytest_binance_replay.market.actions import Side


class Fill(NamedTuple):
    """What a taker got of one waiting order.

    Attributes:
        price: In ticks.
        quantity: In steps.
    """

    price: int
    quantity: int


class Changes:
    """What changed in a book since a stream last told of it.

    Attributes:
        first_id: Update id of the first change; 0 if there is none.
        bids: Prices of levels that changed, in ticks.
        asks: The same of the other side.
    """

    __slots__ = ("asks", "bids", "first_id")

    def __init__(self) -> None:
        self.first_id = 0
        self.bids: set[int] = set()
        self.asks: set[int] = set()

    def clear(self) -> None:
        """Begin anew."""
        self.first_id = 0
        self.bids.clear()
        self.asks.clear()


class BookSide:
    """One side of a book.

    Attributes:
        totals: Quantity in steps by price in ticks.
    """

    __slots__ = ("_keys", "_orders", "_sign", "totals")

    def __init__(self, side: Side) -> None:
        self._sign = 1 if side == "bid" else -1
        # Prices, the asks' negated, so that the last one is the best.
        self._keys: list[int] = []
        self._orders: dict[int, list[int]] = {}
        self.totals: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def best(self) -> int:
        """The best price."""
        return self._keys[-1] * self._sign

    def price_at(self, level: int) -> int:
        """Return the price of a level, the best one being 0."""
        return self._keys[-1 - level] * self._sign

    def prices(self, most: int) -> list[int]:
        """Return so many prices, the best first."""
        keys = self._keys[: -most - 1 : -1]
        return keys if self._sign > 0 else [-key for key in keys]

    def add(self, price: int, *quantities: int) -> None:
        """Let orders wait, behind those of the same price."""
        if price in self.totals:
            self.totals[price] += sum(quantities)
            self._orders[price].extend(quantities)
        else:
            self.totals[price] = sum(quantities)
            self._orders[price] = list(quantities)
            insort(self._keys, price * self._sign)

    def remove(self, price: int) -> None:
        """Drop a level."""
        del self.totals[price], self._orders[price]
        del self._keys[bisect_left(self._keys, price * self._sign)]

    def take_back(self, price: int, quantity: int) -> None:
        """Take newest orders back, less than all of the level."""
        self.totals[price] -= quantity
        orders = self._orders[price]
        while quantity >= orders[-1]:
            quantity -= orders.pop()
        orders[-1] -= quantity

    def meet(self, price: int, quantity: int) -> list[Fill]:
        """Take oldest orders, at most all of the level, which may then be empty."""
        orders = self._orders[price]
        fills = []
        done = 0
        while quantity and done < len(orders):
            met = min(quantity, orders[done])
            fills.append(Fill(price, met))
            quantity -= met
            if met == orders[done]:
                done += 1
            else:
                orders[done] -= met
        del orders[:done]
        self.totals[price] -= sum(fill.quantity for fill in fills)
        return fills


class LimitBook:
    """The book of one symbol.

    Args:
        update_id: Of the book as it opens.
        next_id: Gives the update id of each change.

    Attributes:
        update_id: Of the latest change.
    """

    def __init__(self, update_id: int, next_id: Callable[[int], int]) -> None:
        self.update_id = update_id
        self._next_id = next_id
        self.bids = BookSide("bid")
        self.asks = BookSide("ask")
        self._watchers: list[Changes] = []

    def watch(self) -> Changes:
        """Return what will collect the changes from now on."""
        changes = Changes()
        self._watchers.append(changes)
        return changes

    def side(self, side: Side) -> BookSide:
        """Return one side."""
        return self.bids if side == "bid" else self.asks

    def top(self) -> tuple[int, int, int, int]:
        """Return best bid, its quantity, best ask, its quantity."""
        bid, ask = self.bids.best, self.asks.best
        return bid, self.bids.totals[bid], ask, self.asks.totals[ask]

    def nearest(self, side: Side) -> int:
        """Return the best price that a new order may have without meeting others."""
        return self.asks.best - 1 if side == "bid" else self.bids.best + 1

    def place(self, side: Side, price: int, *quantities: int) -> None:
        """Let orders wait; a price that would meet others becomes the nearest."""
        nearest = self.nearest(side)
        price = max(1, min(price, nearest) if side == "bid" else max(price, nearest))
        self.side(side).add(price, *quantities)
        self._note(side, price)

    def cancel(self, side: Side, price: int, quantity: int | None = None) -> None:
        """Take orders of a level back, the newest first; None for all of them."""
        half = self.side(side)
        total = half.totals.get(price, 0)
        if quantity is not None and quantity < total:
            half.take_back(price, quantity)
        elif total and len(half) > 1:
            half.remove(price)
        else:
            return
        self._note(side, price)

    def take(self, side: Side, quantity: int, limit: int | None = None) -> list[Fill]:
        """Meet waiting orders.

        Args:
            side: Whose orders.
            quantity: Steps.
            limit: The worst price; None for any.

        Returns:
            What the taker got, which may be nothing.
        """
        half = self.side(side)
        fills: list[Fill] = []
        while quantity and not _is_worse(side, half.best, limit):
            price = half.best
            available = half.totals[price] - (len(half) == 1)
            met = half.meet(price, min(quantity, available))
            if not met:
                break
            fills += met
            quantity -= min(quantity, available)
            if not half.totals[price]:
                half.remove(price)
            self._note(side, price)
        return fills

    def _note(self, side: Side, price: int) -> None:
        self.update_id = self._next_id(self.update_id)
        for changes in self._watchers:
            if not changes.first_id:
                changes.first_id = self.update_id
            (changes.bids if side == "bid" else changes.asks).add(price)


def _is_worse(side: Side, price: int, limit: int | None) -> bool:
    if limit is None:
        return False
    return price < limit if side == "bid" else price > limit
