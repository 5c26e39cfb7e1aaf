"""A book whose best levels are found at once, however many events it follows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

Rungs = list[tuple[Decimal, str]]
"""Levels of one side: price, and quantity as on the wire."""


def read_side(levels: Iterable[Sequence[str]]) -> Rungs:
    """Read the levels of one side of an event."""
    return [(Decimal(price), quantity) for price, quantity, *_ in levels]


class LadderSide:
    """One side of a book, its prices in order.

    Args:
        levels: The side as a snapshot has it.
        best_is_highest: Whether these are bids.
    """

    def __init__(self, levels: Rungs, *, best_is_highest: bool) -> None:
        self._best_is_highest = best_is_highest
        self._quantities = {
            price: quantity for price, quantity in levels if quantity.strip("0.")
        }
        self._prices = sorted(self._quantities)
        worst = 0 if best_is_highest else -1
        self._known_to = self._prices[worst] if self._prices else None

    def set(self, levels: Rungs) -> None:
        """Set or remove levels."""
        quantities, prices = self._quantities, self._prices
        for price, quantity in levels:
            if quantity.strip("0."):
                if price not in quantities:
                    insort(prices, price)
                quantities[price] = quantity
            elif quantities.pop(price, None) is not None:
                del prices[bisect_left(prices, price)]

    @property
    def best(self) -> Decimal | None:
        """The best price; None if there is no level."""
        if not self._prices:
            return None
        return self._prices[-1] if self._best_is_highest else self._prices[0]

    def top(self, size: int) -> Rungs:
        """Return the best levels, the best one first, as far as all are known.

        Levels beyond the last one of the snapshot are known only where they changed.
        """
        prices = self._prices
        best = prices[: -size - 1 : -1] if self._best_is_highest else prices[:size]
        return [
            (price, self._quantities[price]) for price in best if self._knows(price)
        ]

    def _knows(self, price: Decimal) -> bool:
        if self._known_to is None:
            return False
        if self._best_is_highest:
            return price >= self._known_to
        return price <= self._known_to


class Picture(NamedTuple):
    """The best levels of a book as a payload shows them, the best ones first."""

    bids: Rungs
    asks: Rungs


class Ladder:
    """A book that follows one diff depth stream.

    Args:
        update_id: `lastUpdateId` of the snapshot.
        shown: The snapshot.

    Attributes:
        update_id: Last update that is in the book.
    """

    def __init__(self, update_id: int, shown: Picture) -> None:
        self.update_id = update_id
        self._bids = LadderSide(shown.bids, best_is_highest=True)
        self._asks = LadderSide(shown.asks, best_is_highest=False)

    def apply(self, update_id: int, changed: Picture) -> None:
        """Set the levels of an event, which is known to be the next one."""
        self._bids.set(changed.bids)
        self._asks.set(changed.asks)
        self.update_id = update_id

    @property
    def crossing(self) -> tuple[Decimal, Decimal] | None:
        """Best bid and best ask, if they are not apart."""
        bid, ask = self._bids.best, self._asks.best
        return (
            (bid, ask) if bid is not None and ask is not None and bid >= ask else None
        )

    def difference(self, shown: Picture) -> str | None:
        """Say where a picture of the best levels differs from the book; None: nowhere.

        Only levels that the book knows for sure are compared.
        """
        sides = (("bid", self._bids, shown.bids), ("ask", self._asks, shown.asks))
        for word, side, theirs in sides:
            for (price, quantity), (has, holds) in zip(
                side.top(len(theirs)), theirs, strict=False
            ):
                if price != has or Decimal(quantity) != Decimal(holds):
                    return (
                        f"shows {word} {has:f} with {holds}, and the book has "
                        f"{price:f} with {quantity}"
                    )
        return None
