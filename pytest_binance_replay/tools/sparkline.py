"""Numbers as a line of characters that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

BLOCKS = "▁▂▃▄▅▆▇█"
"""From the least number to the greatest, where the terminal can show them."""

ASCII = "_.-~=+*#"
"""The same for all other terminals."""


def sparkline(
    numbers: Sequence[Decimal | int | None], *, width: int, ramp: str = BLOCKS
) -> str:
    """Draw numbers as one line.

    Args:
        numbers: In order of time; None where there is none, which leaves a blank.
        width: How many characters; numbers are repeated or left out to fit.
        ramp: Characters from low to high.

    Example:
        >>> sparkline([1, 5, None, 9], width=4, ramp=ASCII)
        '_= #'
    """
    known = [number for number in numbers if number is not None]
    if not known:
        return " " * width
    low, high = min(known), max(known)
    return "".join(
        _mark(numbers[column * len(numbers) // width], low, high, ramp)
        for column in range(width)
    )


def _mark(
    number: Decimal | int | None, low: Decimal | int, high: Decimal | int, ramp: str
) -> str:
    if number is None:
        return " "
    if high == low:
        return ramp[len(ramp) // 2]
    share = Decimal(number - low) / Decimal(high - low)
    return ramp[int(share * (len(ramp) - 1) + Decimal("0.5"))]
