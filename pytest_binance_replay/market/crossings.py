"""Prices that are to be reached at a given second, and not before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market.instruments import Instrument

_APPROACH_US = 10_000_000
"""How long before it is reached the price sets out for a level, at most."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A level that the price crosses at a given time.

    The first trade at the level or beyond it, seen from the start of the session or
    from the crossing before, happens within a second of that time and not before it;
    it is exactly at the level.

    Attributes:
        symbol: Whose price, upper case.
        price: The level, a multiple of the tick.
        at_us: When, microseconds from the start of the session.
    """

    symbol: str
    price: Decimal
    at_us: int

    def __str__(self) -> str:
        return f"{self.symbol}={self.price}@{Decimal(self.at_us) / 1_000_000}s"


@dataclass(frozen=True, slots=True)
class Level:
    """A crossing of one symbol, in its units.

    Attributes:
        price: In ticks.
        at_us: Microseconds from the start of the session.
        rises: Whether the price comes from below.
        approach_us: When the price sets out.
    """

    price: int
    at_us: int
    rises: bool
    approach_us: int

    def held(self, price: int, leeway: int) -> int:
        """Return a price that is not yet at the level, the given one if it can be."""
        if self.rises:
            return min(price, self.price - 1 - leeway)
        return max(price, self.price + 1 + leeway)


def levels_of(
    instrument: Instrument, crossings: Iterable[Crossing], length_us: int
) -> list[Level]:
    """Return the levels that a symbol is to cross, in order of time.

    Raises:
        OptionError: If a level is none that it can cross, or at no time of the session.
    """
    own = sorted(
        (one for one in crossings if one.symbol == instrument.symbol),
        key=lambda one: one.at_us,
    )
    for one, following in pairwise(own):
        if following.at_us - one.at_us < 1_000_000:
            where = f"crossing {following}"
            raise OptionError(where, "less than a second after another")
    levels: list[Level] = []
    price, at_us = instrument.price, 0
    for one in own:
        ticks = _ticks(one, instrument, price, length_us)
        approach_us = max(at_us, one.at_us - _APPROACH_US)
        levels.append(Level(ticks, one.at_us, ticks > price, approach_us))
        price, at_us = ticks, one.at_us + 1_000_000
    return levels


def _ticks(one: Crossing, instrument: Instrument, before: int, length_us: int) -> int:
    ticks = one.price.scaleb(instrument.price_decimals)
    where = f"crossing {one}"
    if not one.price.is_finite() or ticks != int(ticks) or ticks < 2:
        tick = Decimal(1).scaleb(-instrument.price_decimals)
        raise OptionError(where, f"expected a price that is a multiple of {tick:f}")
    if not 1_000_000 <= one.at_us <= length_us - 1_000_000:
        problem = "expected a time a second or more from the start and from the end"
        raise OptionError(where, problem)
    if ticks == before:
        problem = "the price is there already, from the start or the crossing before"
        raise OptionError(where, problem)
    return int(ticks)
