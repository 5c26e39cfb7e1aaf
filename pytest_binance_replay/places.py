"""Where a cassette can be read from without what lies before."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

APART_BYTES = 500_000
"""How far places lie apart in a file at least, as it is on disk."""


class Place(NamedTuple):
    """A place in a file where a line begins, and a member if it is compressed.

    Attributes:
        offset: Bytes of the file before it, as it is on disk.
        line: Number of the line that begins there, from 1.
        frames: How many frames lie before it.
        latest_us: The latest receive time before it, microseconds since the epoch; 0
            if there is none.
    """

    offset: int
    line: int
    frames: int
    latest_us: int


START = Place(0, 1, 0, 0)
"""Where every file can be read from."""


class Places:
    """The places of a file that are known, from one that was read from its start."""

    def __init__(self) -> None:
        self._known = [START]

    def note(self, place: Place) -> None:
        """Remember a place that lies well behind all others."""
        if place.offset - self._known[-1].offset >= APART_BYTES:
            insort(self._known, place)  # a reader on another thread may be ahead

    def before_frame(self, number: int) -> Place:
        """Return the last place that has no more than so many frames before it."""
        found = bisect_right(self._known, number, key=attrgetter("frames"))
        return self._known[max(found - 1, 0)]

    def before_time(self, time_us: int) -> Place:
        """Return the last place that has only frames received earlier before it."""
        found = bisect_left(self._known, time_us, key=attrgetter("latest_us"))
        return self._known[max(found - 1, 0)]


Find = Callable[[Places], Place]
"""Chooses where to begin."""
