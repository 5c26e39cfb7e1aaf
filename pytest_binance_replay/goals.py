"""Goals: where a tape that is told to play is to stop.

A goal is asked twice about each stretch: before, how far it may be released at the
most, and after, whether that was it. It is never asked twice about the same frame.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.cassette import Frame
    from pytest_binance_replay.wire import Block


class Goal(Protocol):
    """Where to stop.

    Attributes:
        ends_with_tape: Whether the end of the tape is as good as the goal itself.
    """

    ends_with_tape: bool

    def stop_in(self, block: Block, index: int) -> int:
        """Return the place in a block at which to stop in any case.

        Args:
            block: The block that holds the next frame.
            index: Place of the next frame in it; returned if the goal lies before
                that frame.
        """

    def is_reached(self, block: Block, start: int, stop: int) -> bool:
        """Return whether the release of a part of a block has reached the goal."""


class ToTheEnd:
    """The end of the tape."""

    ends_with_tape = True

    def stop_in(self, block: Block, index: int) -> int:
        """Never stop."""
        return len(block)

    def is_reached(
        self,
        block: Block,
        start: int,
        stop: int,
    ) -> bool:
        """Never reached before the tape ends."""
        return False

    def __str__(self) -> str:
        return "the end of the tape"


class ToTime:
    """All frames up to a moment, that moment included.

    Args:
        time_us: The moment, microseconds since the epoch.
        due: Whether it is meant on the tape's own time line, where silences may
            have been capped, rather than in recorded time.
    """

    ends_with_tape = True

    def __init__(self, time_us: int, *, due: bool = False) -> None:
        self._time_us = time_us
        self._due = due

    def stop_in(self, block: Block, index: int) -> int:
        """Stop before the first frame that is later."""
        times_us = block.due_us if self._due else block.times_us
        return max(bisect_right(times_us, self._time_us), index)

    def is_reached(self, block: Block, start: int, stop: int) -> bool:
        """Return whether a later frame follows."""
        return stop < len(block) and self.stop_in(block, stop) == stop

    def __str__(self) -> str:
        return f"the time {self._time_us} us"


class ToCount:
    """A number of frames, of one stream or of any.

    Args:
        count: How many, 1 or more.
        key: The stream key that counts; None counts every frame.
        note: What is to be known of that stream if the tape ends before.
    """

    ends_with_tape = False

    def __init__(self, count: int, key: bytes | None = None, note: str = "") -> None:
        self._left = count
        self._key = key
        self._note = note

    def stop_in(self, block: Block, index: int) -> int:
        """Stop behind the last frame that is wanted."""
        if self._key is None:
            return min(index + self._left, len(block))
        wanted = [n for n in range(index, len(block)) if block.keys[n] == self._key]
        return wanted[self._left - 1] + 1 if len(wanted) >= self._left else len(block)

    def is_reached(self, block: Block, start: int, stop: int) -> bool:
        """Count what was released."""
        keys = block.keys[start:stop]
        self._left -= len(keys) if self._key is None else keys.count(self._key)
        return self._left <= 0

    def __str__(self) -> str:
        name = "" if self._key is None else f" of {self._key.decode()!r}"
        return f"{self._left} more frame{'s'[: self._left != 1]}{name}{self._note}"


class ToFrame:
    """The first frame that a predicate accepts, that frame included.

    Args:
        predicate: Asked about each frame, in order, once it is released.
        frame_at: Makes the frame for a place in a block.
    """

    ends_with_tape = False

    def __init__(
        self,
        predicate: Callable[[Frame], object],
        frame_at: Callable[[Block, int], Frame],
    ) -> None:
        self._predicate = predicate
        self._frame_at = frame_at

    def stop_in(self, block: Block, index: int) -> int:
        """Release one frame at a time, so that none goes out unasked."""
        return min(index + 1, len(block))

    def is_reached(self, block: Block, start: int, stop: int) -> bool:
        """Ask the predicate about the frames just released."""
        return any(
            self._predicate(self._frame_at(block, n)) for n in range(start, stop)
        )

    def __str__(self) -> str:
        name = getattr(self._predicate, "__name__", repr(self._predicate))
        return f"a frame that {name} accepts"
