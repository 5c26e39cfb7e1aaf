"""One side of an order book, as texts of the wire.

An exchange spells all prices of a symbol with the same decimals. While it does, their
texts compare as the numbers would: the same text is the same price, and of two texts
the longer one, or else the later one in the alphabet, is the higher price. Hundreds of
levels are then set and sorted without a look at each. The first price that is spelled
otherwise puts an end to that for its side, which compares numbers from there on.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LevelText = tuple[str, str]
"""Price and quantity as on the wire."""

_ZERO = "0."  # nothing else is in a zero, however it is spelled
_NUMBERS = re.compile(r"(?:[0-9]++(?:\.[0-9]++)?(?:,(?!\Z)|\Z))*+")


def are_levels(side: object) -> bool:
    """Return whether a value is a list of levels: price and quantity, as texts."""
    if not isinstance(side, list) or not all(isinstance(one, list) for one in side):
        return False
    try:
        # One search in all of them is cheaper than one in each.
        texts = ",".join([text for p, q, *_ in side for text in (p, q)])
    except (TypeError, ValueError):
        return False
    commas = max(2 * len(side) - 1, 0)
    return texts.count(",") == commas and _NUMBERS.fullmatch(texts) is not None


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
        limit: How many of the best levels these are at most, if they are a picture of
            the top: a side with that many is known down to the last of them, and
            levels set beyond it are left out. None leaves none out.

    Attributes:
        known_to: The price down to which all levels are known; None where nothing
            says that it ends.

    Example:
        >>> side = Side([("9.50", "1"), ("10.50", "2")], best_is_highest=True)
        >>> side.set([("10.50", "0.00"), ("9.60", "4")])
        >>> side.levels()
        [('9.60', '4'), ('9.50', '1')]
    """

    def __init__(
        self,
        levels: Iterable[Sequence[str]] = (),
        *,
        best_is_highest: bool,
        limit: int | None = None,
    ) -> None:
        self.known_to: Decimal | None = None
        self._best_is_highest = best_is_highest
        self._begin()
        shown = list(levels)
        if limit is not None and len(shown) >= limit:
            worst = min if best_is_highest else max
            self.known_to = worst(Decimal(price) for price, *_ in shown)
        self.set(shown)

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

        Raises:
            ValueError: If a price is no number.
        """
        held = list(levels)
        if self.known_to is not None:
            held = [level for level in held if self.knows(Decimal(level[0]))]
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
            key = _without_zeros(_checked(price))
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
        last = other.known_to
        if last is None and shown:
            last = Decimal(shown[-1][0])
        if last is not None:
            deeper = [level for level in held if self._is_deeper(level[0], last)]
            self.set([*shown, *deeper])

    def _is_deeper(self, price: str | Decimal, last: Decimal) -> bool:
        place = Decimal(price)
        return place < last if self._best_is_highest else place > last

    def copy(self) -> Side:
        """Return one of its own with the same levels."""
        twin = Side(best_is_highest=self._best_is_highest)
        twin.known_to = self.known_to
        twin._quantities = self._quantities.copy()
        twin._decimals = self._decimals
        twin._spelled = None if self._spelled is None else self._spelled.copy()
        return twin

    # Looking at it

    def knows(self, price: Decimal) -> bool:
        """Return whether it is known what rests at a price."""
        return self.known_to is None or not self._is_deeper(price, self.known_to)

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


def _checked(price: str) -> str:
    try:
        Decimal(price)
    except InvalidOperation:
        problem = f"{price!r:.60} is no price"
        raise ValueError(problem) from None
    return price


def _without_zeros(price: str) -> str:
    return price.rstrip("0").rstrip(".") if "." in price else price
