"""Makers: what turns the frames of some streams into those of a derived one.

A maker is shown the recorded frames of its sources in order and puts what it makes
into `made`, each payload with the number of the recorded frame that it follows.

Makers that gather several frames into one go by event time, cut into windows of one
length. The first window begins half a tenth of a second before the first event, so
that events on a grid, which come some milliseconds early or late, fall into the same
windows each time. What a window holds is complete with its last frame. A window also
ends where nothing more comes, by receive time, for as long as it is wide: what is on
the tape further on, after an hour of silence, need not be read to know that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pytest_binance_replay.editing import compile_fields, read_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_binance_replay.books import Mover

Piece = TypeVar("Piece")

_EARLY_US = 50_000
_LEAST_MICROSECONDS = 10**14
_EVENT_TIME = compile_fields(("E",))


class Maker(Protocol):
    """Makes the frames of one derived stream.

    Attributes:
        made: What it has made: the number of the recorded frame before, the payload.
    """

    made: list[tuple[int, bytes]]

    @property
    def waiting(self) -> int | None:
        """Number of the recorded frame that what it gathers follows; None if nothing.

        Nothing that it makes from now on follows an earlier one.
        """

    def take(self, number: int, time_us: int, payload: bytes) -> None:
        """Look at the next frame of a source.

        Args:
            number: Its number among the recorded frames.
            time_us: Its receive time, microseconds since the epoch.
            payload: Its payload.
        """

    def pass_time(self, time_us: int) -> None:
        """Note that the tape was read up to a receive time."""

    def close(self) -> None:
        """Make what is gathered: nothing more belongs to it."""

    def restart(self, move: Mover) -> None:
        """Begin again where a looped tape does.

        Args:
            move: Moves the ids of a recorded snapshot to the new round.
        """


class Straight:
    """Makes of each frame what it holds, at once.

    Args:
        convert: Gives the payloads that are in a payload.
    """

    waiting = None

    def __init__(self, convert: Callable[[bytes], Iterable[bytes]]) -> None:
        self.made: list[tuple[int, bytes]] = []
        self._convert = convert

    def take(self, number: int, time_us: int, payload: bytes) -> None:
        """Make what the frame holds."""
        self.made += [(number, part) for part in self._convert(payload)]

    def pass_time(self, time_us: int) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing waits."""

    def restart(self, move: Mover) -> None:
        """Nothing is remembered."""


class Gathering(ABC, Generic[Piece]):
    """Makes one frame of those in a window of event time; subclasses say how.

    Args:
        width_us: How wide a window is, microseconds, above 0.
    """

    def __init__(self, width_us: int) -> None:
        self.made: list[tuple[int, bytes]] = []
        self._width_us = width_us
        self._pieces: list[Piece] = []
        self._number = 0
        self._time_us = 0
        self._window = 0
        self._origin_us: int | None = None

    @property
    def waiting(self) -> int | None:
        """Number of the last frame in the window."""
        return self._number if self._pieces else None

    def take(self, number: int, time_us: int, payload: bytes) -> None:
        """Put a frame into its window; what is no event of the kind is passed over."""
        found = self.read(payload)
        if found is None:
            return
        piece, event_us = found
        window = self._window_of(event_us)
        self.pass_time(time_us)
        if self._pieces and (window > self._window or not self.follows(piece)):
            self.close()
        if not self._pieces:
            self._window = window
        self._pieces.append(piece)
        self._number, self._time_us = number, time_us
        self.note(piece)

    def _window_of(self, event_us: int) -> int:
        if self._origin_us is None:
            self._origin_us = event_us - _EARLY_US
        return (event_us - self._origin_us) // self._width_us

    def pass_time(self, time_us: int) -> None:
        """End the window if nothing has come for as long as it is wide."""
        if self._pieces and time_us - self._time_us > self._width_us:
            self.close()

    def close(self) -> None:
        """End the window."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            payload = self.join(pieces)
            if payload is not None:
                self.made.append((self._number, payload))

    def restart(self, move: Mover) -> None:
        """Let the windows begin anew."""
        self._origin_us = None

    # What subclasses say

    @abstractmethod
    def read(self, payload: bytes) -> tuple[Piece, int] | None:
        """Return what is needed of a payload, and its event time in microseconds."""

    def follows(self, piece: Piece) -> bool:
        """Return whether it may go into one frame with what the window holds."""
        return True

    def note(self, piece: Piece) -> None:
        """Take account of what has just been put into the window."""

    @abstractmethod
    def join(self, pieces: list[Piece]) -> bytes | None:
        """Return the payload for all of a window; None for nothing to send."""


def event_time_us(payload: bytes) -> int | None:
    """Return the event time of a payload, microseconds; None if it has none."""
    event_time = read_numbers(payload, _EVENT_TIME).get("E")
    return None if event_time is None else in_microseconds(event_time)


def in_microseconds(time: int) -> int:
    """Return a time of a payload, which may be in milliseconds, in microseconds."""
    return time if time >= _LEAST_MICROSECONDS else time * 1000
