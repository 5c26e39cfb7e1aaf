"""What payload strategies share: checked bounds, and numbers drawn within them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from math import ceil, floor
from typing import TypeAlias, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.market import (
    KNOWN_SYMBOLS,
    START_US,
    Instrument,
    find_instrument,
)
from pytest_binance_replay.market.payloads import (
    Levels,
    Payloads,
    SpotPayloads,
    UsdmPayloads,
)
from pytest_binance_replay.streams import Market

Number: TypeAlias = Decimal | int | str
"""A price, a quantity or a fraction, exactly."""

T = TypeVar("T")

DAY_US = 86_400_000_000
LATEST_US = 32_503_680_000_000_000  # the year 3000
MOST_ID = 2**53 - 1
_MOST_STEPS = 1_000_000
_MARKETS = ("spot", "usdm")


def instrument_of(symbol: str, market: Market) -> Instrument:
    """Return a symbol with its real tick and step, or with usual ones if unknown."""
    if symbol in KNOWN_SYMBOLS:
        return find_instrument(symbol, market)
    return Instrument(symbol=symbol, market=market, price=10_000)


def check_symbols(symbols: Sequence[str], market: Market) -> None:
    """Refuse what are no symbols of a market.

    Raises:
        InvalidArgument: If they are not.
    """
    if market not in _MARKETS:
        msg = f"{market=}: expected 'spot' or 'usdm'"
        raise InvalidArgument(msg)
    if isinstance(symbols, str) or not symbols:
        msg = f"{symbols=}: expected a sequence of one symbol or more"
        raise InvalidArgument(msg)
    for symbol in symbols:
        if not symbol or symbol != str(symbol).upper():
            msg = f"{symbols=}: expected symbols in upper case, such as 'BTCUSDT'"
            raise InvalidArgument(msg)
    if len(set(symbols)) < len(symbols):
        msg = f"{symbols=}: expected each symbol once"
        raise InvalidArgument(msg)


def check_integers(name: str, least: int, low: object, high: object) -> None:
    """Refuse bounds of whole numbers that leave nothing.

    Args:
        name: What they bound, as in `min_size`.
        least: The least that makes sense.
        low: The lower bound.
        high: The upper bound; None for none.

    Raises:
        InvalidArgument: If they do.
    """
    for word, value in (("min", low), ("max", high)):
        if word == "max" and value is None:
            continue
        if type(value) is not int or value < least:
            msg = f"{word}_{name}={value!r}: expected a whole number, {least} or more"
            raise InvalidArgument(msg)
    if isinstance(high, int) and isinstance(low, int) and low > high:
        msg = f"Cannot have max_{name}={high} < min_{name}={low}"
        raise InvalidArgument(msg)


def parse_number(name: str, value: object) -> Decimal:
    """Read a number given as an argument.

    Raises:
        InvalidArgument: If it is none above 0, or a float.
    """
    number = Decimal("NaN")
    if isinstance(value, Decimal | int | str) and not isinstance(value, bool):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
    if not number.is_finite() or number <= 0:
        msg = (
            f"{name}={value!r}: expected a number above 0, as a Decimal, a whole "
            "number or text, never a float"
        )
        raise InvalidArgument(msg)
    return number


def grid(
    name: str, low: Number | None, high: Number | None, decimals: int, most: int
) -> tuple[int, int]:
    """Return the multiples of a tick or step that two bounds leave.

    Args:
        name: What they bound, as in `min_price`.
        low: The lower bound; None for one tick.
        high: The upper bound; None for the greater of `most` and the lower bound.
        decimals: The tick is 10 ** -decimals.
        most: In ticks.

    Raises:
        InvalidArgument: If they leave none.
    """
    unit = Decimal(10) ** decimals
    first, last = 1, most
    if low is not None:
        first = max(1, ceil(parse_number(f"min_{name}", low) * unit))
        last = max(first, last)
    if high is not None:
        last = floor(parse_number(f"max_{name}", high) * unit)
    if first > last:
        tick = f"{1 / unit:f}"
        msg = (
            f"There is no {name} between min_{name}={low!r} and max_{name}={high!r}: "
            f"expected a multiple of {tick} between them"
        )
        raise InvalidArgument(msg)
    return first, last


def around(middle: int, first: int, last: int) -> st.SearchStrategy[int]:
    """Draw whole numbers that shrink towards one, as near as bounds let them."""
    middle = min(max(middle, first), last)
    return st.integers(first - middle, last - middle).map(middle.__add__)


class Sketch:
    """One payload as it is drawn: its symbol, and numbers within the bounds.

    Args:
        draw: Draws from a strategy.
        symbols: One of them is drawn; the first is the simplest.
        market: Its market.
        prices: Lower and upper bound; None for one tick, and for ten times the usual
            price of the symbol.
        quantities: Lower and upper bound; None for one step, and for a million steps.
        times_us: Lower and upper bound, microseconds since the epoch; None for
            2026-11-20 10:00 UTC, and for a day after the lower one.

    Attributes:
        symbol: The symbol.
        instrument: Its tick and step.
        now_us: The moment of the payload.

    Raises:
        InvalidArgument: If the bounds leave nothing.
    """

    def __init__(
        self,
        draw: st.DrawFn,
        symbols: Sequence[str],
        market: Market,
        *,
        prices: tuple[Number | None, Number | None] = (None, None),
        quantities: tuple[Number | None, Number | None] = (None, None),
        times_us: tuple[int | None, int | None] = (None, None),
    ) -> None:
        check_symbols(symbols, market)
        first_us, last_us = _times(*times_us)
        self._draw = draw
        self.symbol = draw(st.sampled_from(symbols))
        self.instrument = one = instrument_of(self.symbol, market)
        self._prices = grid("price", *prices, one.price_decimals, 10 * one.price)
        decimals = one.quantity_decimals
        self._quantities = grid("quantity", *quantities, decimals, _MOST_STEPS)
        self.now_us = draw(st.integers(first_us // 1000, last_us // 1000)) * 1000

    @property
    def words(self) -> Payloads:
        """What writes its payloads."""
        return self.spot if self.instrument.market == "spot" else self.usdm

    @property
    def spot(self) -> SpotPayloads:
        """What writes payloads of spot."""
        return SpotPayloads(self.instrument)

    @property
    def usdm(self) -> UsdmPayloads:
        """What writes payloads of the futures."""
        return UsdmPayloads(self.instrument)

    def any(self, strategy: st.SearchStrategy[T]) -> T:
        """Draw from a strategy."""
        return self._draw(strategy)

    def flag(self) -> bool:
        """Draw true or false."""
        return self._draw(st.booleans())

    def count(self, first: int, last: int) -> int:
        """Draw a whole number, the first being the simplest."""
        return self._draw(st.integers(first, last))

    def id(self, first: int = 1) -> int:
        """Draw an id, as large as the exchange's may become."""
        return self._draw(st.integers(first, MOST_ID))

    def price(self) -> int:
        """Draw a price in ticks; the usual one of the symbol is the simplest."""
        return self._draw(self.price_strategy())

    def price_strategy(self) -> st.SearchStrategy[int]:
        """Return what draws prices."""
        return around(self.instrument.price, *self._prices)

    def prices(self, most: int, least: int = 0) -> list[int]:
        """Draw prices in ticks, each another, the lowest first.

        Raises:
            InvalidArgument: If the bounds leave too few.
        """
        first, last = self._prices
        if last - first + 1 < least:
            msg = f"Expected bounds that leave {least} prices, not {last - first + 1}"
            raise InvalidArgument(msg)
        most = min(most, last - first + 1)
        strategy = self.price_strategy()
        found = st.lists(strategy, unique=True, min_size=least, max_size=most)
        return sorted(self._draw(found))

    def sides(self, most: int) -> tuple[Levels, Levels]:
        """Draw two sides of a book that do not cross, the best level first.

        Args:
            most: Levels that each side has at the most; it has one at least.
        """
        prices = self.prices(2 * most, 2)
        bids = self.count(max(1, len(prices) - most), min(most, len(prices) - 1))
        levels = [(price, self.quantity()) for price in prices]
        return levels[:bids][::-1], levels[bids:]

    def quantity(self) -> int:
        """Draw a quantity in steps."""
        return self._draw(st.integers(*self._quantities))

    def quantity_or_none(self) -> int:
        """Draw a quantity in steps, or zero, which is the simplest."""
        first, last = self._quantities
        # One choice and not two: what has fewer choices would count as simpler.
        drawn = self._draw(st.integers(first - 1, last))
        return drawn if drawn >= first else 0


def _times(low: int | None, high: int | None) -> tuple[int, int]:
    low = START_US if low is None else low
    check_integers("time_us", 0, low, high)
    last = low + DAY_US if high is None else high
    if last > LATEST_US:
        msg = f"max_time_us={last}: expected microseconds, at most {LATEST_US}"
        raise InvalidArgument(msg)
    if -(-low // 1000) > last // 1000:
        msg = f"No millisecond between min_time_us={low} and max_time_us={last}"
        raise InvalidArgument(msg)
    return -(-low // 1000) * 1000, last
