"""Where the price of a symbol ought to be: a path that the price strays from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.market.crossings import Level
    from pytest_binance_replay.market.instruments import Instrument
    from pytest_binance_replay.market.scenarios import Course

_FADING_US = 10_000_000
_BILLION = 10**9


class FairPrice:
    """Where the price of a symbol ought to be.

    Args:
        instrument: The symbol.
        course: What the session goes through.
        levels: What is to be crossed, in order of time.
    """

    def __init__(
        self, instrument: Instrument, course: Course, levels: Sequence[Level]
    ) -> None:
        self._instrument = instrument
        self._course = course
        self._levels = list(levels)
        self._correction = 0
        self._noise = 0
        self.leeway = max(1, instrument.price // 100_000)

    @property
    def level(self) -> Level | None:
        """What is to be crossed next."""
        return self._levels[0] if self._levels else None

    def is_underway(self, passed_us: int) -> bool:
        """Return whether the price is on its way to what is to be crossed."""
        level = self.level
        return level is not None and passed_us >= level.approach_us

    def stray(self, step: int) -> None:
        """Move off the path by so many 1e-9 of the price."""
        self._noise += step - self._noise // 200

    def crossed(self) -> None:
        """Go on from the level that was crossed."""
        level = self._levels.pop(0)
        self._correction = level.price - self._on_path(level.at_us)
        self._noise = 0

    def _on_path(self, passed_us: int) -> int:
        one = self._instrument
        millionths = self._course.stage_at(passed_us).path_at(passed_us)
        return one.price + one.price * millionths * one.beta // 100_000_000

    def at(self, passed_us: int) -> int:
        """Return the price, in ticks, at a time from the start of the session."""
        noise = self._instrument.price * self._noise // _BILLION
        level = self.level
        if level is None:
            price = self._on_path(passed_us) + self._correction + noise
            return max(2, price)
        ahead_us = max(0, level.at_us - passed_us)
        if ahead_us < _FADING_US:
            noise = noise * ahead_us // _FADING_US
        price = self._on_path(passed_us) + self._bent(level, passed_us) + noise
        return max(2, level.held(price, min(self.leeway, self._room(level))))

    def _bent(self, level: Level, passed_us: int) -> int:
        """Return how far the path is bent for the level to be met in time."""
        underway_us = passed_us - level.approach_us
        if underway_us <= 0:
            return self._correction
        bend = level.price - self._on_path(level.at_us) - self._correction
        whole_us = max(1, level.at_us - level.approach_us)
        return self._correction + bend * min(underway_us, whole_us) // whole_us

    def _room(self, level: Level) -> int:
        """Return how much leeway there is between the level and the path so far."""
        here = self._on_path(level.approach_us) + self._correction
        return max(0, abs(level.price - here) // 4)
