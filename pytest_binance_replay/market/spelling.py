"""Numbers as the exchange writes them: fixed decimals, from integers."""

from __future__ import annotations

from collections.abc import Callable

from pytest_binance_replay.market.instruments import Instrument

Speller = Callable[[int], str]


def speller(places: int, decimals: int) -> Speller:
    """Return what writes integers as decimal numbers.

    Args:
        places: Decimals to write; what does not fit in them is cut off.
        decimals: How many decimals the integers have.

    Example:
        >>> speller(8, 2)(9_725_000)
        '97250.00000000'
        >>> speller(2, 2)(-5)
        '-0.05'
    """
    if decimals > places:
        too_fine = 10 ** (decimals - places)
        write = speller(places, places)
        return lambda number: write(_cut(number, too_fine))
    if not places:
        return str
    one: int = 10**decimals
    # Without decimals there is no remainder either: all the places are its zeros.
    width = decimals or places
    template: str = f"%d.%0{width}d{'0' * (places - width)}"

    def spell(number: int) -> str:
        if number < 0:
            return f"-{spell(-number)}"
        return template % divmod(number, one)

    return spell


def _cut(number: int, divisor: int) -> int:
    return -(-number // divisor) if number < 0 else number // divisor


def divided(dividend: int, divisor: int) -> int:
    """Divide, rounding half away from zero; the divisor is above 0."""
    quotient = (2 * abs(dividend) + divisor) // (2 * divisor)
    return -quotient if dividend < 0 else quotient


percent = speller(3, 3)
"""Writes thousandths of a percent."""

exact = speller(8, 8)
"""Writes units of 1e-8."""


class Spelling:
    """How the numbers of one symbol are written.

    Attributes:
        price: Writes ticks.
        quantity: Writes steps.
        quote: Writes ticks times steps, in a candle.
        day_quote: The same in a ticker.
        average: Writes the quote over the quantity, in a ticker.
    """

    def __init__(self, instrument: Instrument) -> None:
        price, quantity = instrument.price_decimals, instrument.quantity_decimals
        places = instrument.price_places
        is_spot = instrument.market == "spot"
        self.price = speller(places, price)
        self.quantity = speller(instrument.quantity_places, quantity)
        quote_places = 8 if is_spot else places + instrument.quantity_places
        self.quote = speller(quote_places, price + quantity)
        self.day_quote = speller(8 if is_spot else places, price + quantity)
        self._price_unit = 10 ** (places - price)
        self._average = speller(places, places)

    def average(self, quote: int, base: int) -> str:
        """Write what a step cost on average; the base is above 0."""
        return self._average(divided(quote * self._price_unit, base))

    def levels(self, levels: list[tuple[int, int]]) -> str:
        """Write prices with their quantities."""
        price, quantity = self.price, self.quantity
        parts = [f'["{price(ticks)}","{quantity(steps)}"]' for ticks, steps in levels]
        return f"[{','.join(parts)}]"
