"""One side of an order book, as texts of the wire.

An exchange spells all prices of a symbol with the same decimals. While it does, their
texts compare as the numbers would: the same text is the same price, and of two texts
the longer one, or else the later one in the alphabet, is the higher price. Hundreds of
levels are then set and sorted without a look at each. The first price that is spelled
otherwise puts an end to that for its side, which compares numbers from there on.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LevelText = tuple[str, str]
"""Price and quantity as on the wire."""

_ZERO = "0."  # nothing else is in a zero, however it is spelled


@lru_cache(maxsize=64)
def _alike(decimals: int) -> re.Pattern[str]:
    """Return what matches prices of so many decimals, with commas between."""
    price = r"(?:0|[1-9][0-9]*)" + rf"\.[0-9]{{{decimals}}}" * (decimals > 0)
    return re.compile(f"{price}(?:,{price})*")


class Side:
    """The levels of one side.

    Args:
        best_is_highest: Whether these are bids.
        levels: Price and quantity, in any order.

    Example:
        >>> side = Side([("9.50", "1"), ("10.50", "2")], best_is_highest=True)
        >>> side.set([("10.50", "0.00"), ("9.60", "4")])
        >>> side.levels()
        [('9.60', '4'), ('9.50', '1')]
    """

    def __init__(
        self, levels: Iterable[Sequence[str]] = (), *, best_is_highest: bool
    ) -> None:
        self._best_is_highest = best_is_highest
        self._begin()
        self.set(levels)

    def _begin(self) -> None:
        self._quantities: dict[str, str] = {}
        self._decimals: int | None = None
        self._spelled: dict[str, LevelText] | None = None
        self._best_first: list[str] | None = None

    def __len__(self) -> int:
        """Count the levels."""
        return len(self._quantities if self._spelled is None else self._spelled)

    # Setting levels

    def set(self, levels: Iterable[Sequence[str]]) -> None:
        """Set or remove levels, one after the other.

        Args:
            levels: Price and quantity; a quantity of zero removes its level. What
                stands behind them does not count.
        """
        held = list(levels)
        if self._spelled is None and self._is_alike(held):
            _set_levels(self._quantities, held)
        else:
            self._set_spelled(held)
        self._best_first = None

    def _is_alike(self, levels: list[Sequence[str]]) -> bool:
        """Return whether all prices are spelled as those before."""
        quantities = self._quantities
        new = [level[0] for level in levels if level[0] not in quantities]
        if not new:
            return True
        if self._decimals is None:
            self._decimals = len(new[0].partition(".")[2])
        return _alike(self._decimals).fullmatch(",".join(new)) is not None

    def _set_spelled(self, levels: Iterable[Sequence[str]]) -> None:
        """Set levels that are found by price, however it is spelled."""
        if self._spelled is None:
            held = self._quantities.items()
            self._spelled = {_without_zeros(price): (price, q) for price, q in held}
            self._quantities = {}
        for price, quantity, *_ in levels:
            key = _without_zeros(price)
            if quantity.strip(_ZERO):
                self._spelled[key] = (price, quantity)
            else:
                self._spelled.pop(key, None)

    def overwrite(self, other: Side) -> None:
        """Take over what another picture of it shows, as far as that reaches.

        What lies deeper than the other's last level stays; if that is empty, so is
        this one.
        """
        shown, held = other.levels(), self.levels()
        self._begin()
        if shown:
            last = Decimal(shown[-1][0])
            deeper = [level for level in held if self._is_deeper(level, last)]
            self.set([*shown, *deeper])

    def _is_deeper(self, level: LevelText, last: Decimal) -> bool:
        price = Decimal(level[0])
        return price < last if self._best_is_highest else price > last

    def copy(self) -> Side:
        """Return one of its own with the same levels."""
        twin = Side(best_is_highest=self._best_is_highest)
        twin._quantities = self._quantities.copy()
        twin._decimals = self._decimals
        twin._spelled = None if self._spelled is None else self._spelled.copy()
        return twin

    # Looking at it

    def levels(self, limit: int | None = None) -> list[LevelText]:
        """Return the best levels, the best one first.

        Args:
            limit: How many at the most; None returns all.
        """
        if self._spelled is not None:
            ordered = sorted(
                self._spelled.values(),
                key=lambda level: Decimal(level[0]),
                reverse=self._best_is_highest,
            )
            return ordered[:limit]
        quantities = self._quantities
        return [(price, quantities[price]) for price in self._sorted()[:limit]]

    def _sorted(self) -> list[str]:
        if self._best_first is None:
            prices = sorted(sorted(self._quantities), key=len)
            # What is in order but for a few is sorted in no time when they change.
            self._quantities = {price: self._quantities[price] for price in prices}
            if self._best_is_highest:
                prices.reverse()
            self._best_first = prices
        return self._best_first


def _set_levels(quantities: dict[str, str], levels: list[Sequence[str]]) -> None:
    """Set or remove levels that are found by the texts of their prices."""
    for price, quantity, *_ in levels:
        if quantity.strip(_ZERO):
            quantities[price] = quantity
        else:
            quantities.pop(price, None)


def _without_zeros(price: str) -> str:
    return price.rstrip("0").rstrip(".") if "." in price else price
