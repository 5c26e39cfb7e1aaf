"""Chance in integers: the same numbers on every Python version and machine.

Only `random.Random.getrandbits` is used, whose results Python promises to keep, and
integer arithmetic, so that no platform's `exp` or `log` has a say.
"""

from __future__ import annotations

import random
from math import isqrt

_BITS = 30
_OCTAVE = 64
_ONE = 1 << 40


def _powers_of_two() -> tuple[int, ...]:
    """Return 2 ** (n / 64) for n below 64, in units of 2 ** -40, by square roots."""
    root = 2 * _ONE
    for _ in range(6):
        root = isqrt(root * _ONE)
    powers = [_ONE]
    for _ in range(_OCTAVE - 1):
        powers.append(powers[-1] * root // _ONE)
    return tuple(powers)


_POWERS = _powers_of_two()


def two_to(sixty_fourths: int) -> int:
    """Return a power of two in units of 2 ** -40, its exponent in steps of 1/64."""
    octaves, part = divmod(sixty_fourths, _OCTAVE)
    return _POWERS[part] << octaves if octaves >= 0 else _POWERS[part] >> -octaves


class Chance:
    """Integers by chance.

    Args:
        seed: The same one gives the same integers.
    """

    def __init__(self, seed: int) -> None:
        self._bits = random.Random(seed).getrandbits

    def below(self, bound: int) -> int:
        """Return an integer from 0 up to, but not including, the bound."""
        return self._bits(_BITS) * bound >> _BITS

    def between(self, least: int, most: int) -> int:
        """Return an integer from the least to the most, both included."""
        return least + self.below(most - least + 1)

    def happens(self, permille: int) -> bool:
        """Return whether something of this likelihood happens."""
        return self.below(1000) < permille

    def wait(self, mean: int) -> int:
        """Return how long something takes that happens at any moment alike.

        The binary places of a uniform number give the exponential distribution: each
        leading zero is a half-life, and within one the curve is cut in 64 chords.

        Args:
            mean: Of the waits, in any unit.
        """
        drawn = self._bits(_BITS) + 1
        halvings = _BITS - drawn.bit_length()
        # log2 of the mantissa, by the table that `two_to` reads forwards.
        mantissa = (drawn << halvings + 1) * _ONE >> _BITS
        low = _position(mantissa)
        half_lives = (halvings + 1) * _OCTAVE - low
        # A half-life is ln 2 = 0.693147 of the mean.
        return mean * (half_lives * 64 + self._bits(6)) * 693_147 // 4_096_000_000

    def spread_out(self, least: int, octaves: int, rare: int = 0) -> int:
        """Return a number of any order of magnitude: small ones are as likely as large.

        Args:
            least: The smallest.
            octaves: How often it may double.
            rare: How often more it may double one time out of ten.
        """
        exponent = self.below(octaves * _OCTAVE)
        if rare and self.below(10) == 0:
            exponent += self.below(rare * _OCTAVE)
        return least * two_to(exponent) // _ONE

    def parts(self, whole: int, least: int, most: int) -> list[int]:
        """Break a number into parts of all orders of magnitude.

        A part is broken off what is left, again and again.

        Args:
            whole: What they add up to.
            least: No part is smaller, if the whole is not.
            most: How many parts there are at the most.
        """
        bits = self._bits
        parts: list[int] = []
        while len(parts) < most - 1 and whole > 2 * least:
            drawn = bits(_BITS)
            # Squared, so that more of them are small.
            part = least + ((whole - 2 * least) * drawn * drawn >> 2 * _BITS)
            parts.append(part)
            whole -= part
        parts.append(whole)
        if not bits(2):
            parts.reverse()  # else the first ones tend to be the large ones
        return parts


def _position(mantissa: int) -> int:
    """Return n for the largest 2 ** (n / 64) that is not above a number in 1 to 2."""
    low, high = 0, _OCTAVE
    while high - low > 1:
        middle = (low + high) // 2
        if _POWERS[middle] <= mantissa:
            low = middle
        else:
            high = middle
    return low
