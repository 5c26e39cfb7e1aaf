"""The tape: cassettes on one time line, cut into numbered blocks.

A tape is read forward, block by block, and remembers how far its frames have been
*released*. Clients follow at their own pace, each with a cursor of its own, so
blocks stay within reach until the last client has passed them: the newest in
memory, older ones in a store that is written only while somebody lags.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from pytest_binance_replay.cassette import Batch
from pytest_binance_replay.errors import ReplayError
from pytest_binance_replay.places import START
from pytest_binance_replay.wire import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_binance_replay.places import Find, Place

WINDOW_BLOCKS = 16
"""How many blocks stay in memory; a block holds about 128 kB of cassette."""

MOVE = "move"
"""Field of that mark: moves the ids of a depth snapshot, given a stream key of its
symbol and the snapshot as it was recorded.
"""

SEAM = "looped"
"""Name of the mark before a stretch whose books do not go on from the one before."""

_MERGED_FRAMES = 512


@dataclass(frozen=True, slots=True)
class WovenBatch(Batch):
    """A batch with derived frames between the recorded ones.

    Attributes:
        derived: Places of the derived frames, in order; each stands somewhere behind
            a recorded frame of the same batch, or begins it.
    """

    derived: tuple[int, ...] = ()


class Store(Protocol):
    """Where blocks go that a lagging client still needs."""

    def put(self, block: Block) -> None:
        """Keep a block; blocks come in order."""

    def get(self, number: int) -> Block:
        """Return the kept block that holds a frame number."""

    def clear(self) -> None:
        """Forget all blocks."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a tape stands.

    Attributes:
        frames: How many frames of the tape lie before it; derived ones, which depend
            on what clients ask for, do not count.
        time_us: Recorded time of the next frame, microseconds since the epoch; None
            at the end of the tape.
    """

    frames: int
    time_us: int | None

    def __str__(self) -> str:
        if self.time_us is None:
            return f"frame {self.frames}, at the end"
        seconds, us = divmod(self.time_us, 1_000_000)
        moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us:06}Z"
        return f"frame {self.frames}, recorded {moment}"


def merge_batches(sources: list[Iterable[Batch]]) -> Iterator[Batch]:
    """Lay several cassettes on one time line, by receive time.

    Frames of one cassette keep their order; of frames received in the same
    microsecond, those of the cassette named first go first.
    """
    if len(sources) == 1:
        yield from sources[0]
        return
    frames = merge(*map(_frames, sources), key=itemgetter(0))
    while chunk := list(islice(frames, _MERGED_FRAMES)):
        times_us, keys, payloads = map(list, zip(*chunk, strict=True))
        yield Batch(times_us, keys, payloads, [])


def _frames(batches: Iterable[Batch]) -> Iterator[tuple[int, bytes, bytes]]:
    for batch in batches:
        yield from zip(batch.times_us, batch.streams, batch.payloads, strict=True)


class Tape:
    """Frames on one time line, and how far they have been released.

    Args:
        open_batches: Starts reading from the first frame; called again to go back.
            The streams of its batches are stream keys.
        store: Where blocks go that no longer fit in memory.
        max_gap_us: The longest silence between two frames on the tape's own time
            line, in microseconds; None keeps all of them.
        endless: Whether the frames start anew at the end, as a looped tape's do.
        open_near: Starts reading from a place that it is asked for; None reads from
            the first frame always.

    Attributes:
        released: How many frames lie before the position.
        counts: How many of them, by stream key, were released since the tape was
            last wound elsewhere.
        seams: Numbers of the frames that begin a round, as far as they are read and
            not released.
        wound_to: Number of the recorded frame that the tape was last wound to.
    """

    def __init__(
        self,
        open_batches: Callable[[], Iterator[Batch]],
        store: Store,
        *,
        max_gap_us: int | None = None,
        endless: bool = False,
        open_near: Callable[[Find], tuple[Place, Iterator[Batch]]] | None = None,
    ) -> None:
        self._open_batches = open_batches
        self._open_near = open_near or (lambda _: (START, open_batches()))
        self._store = store
        self._max_gap_us = max_gap_us
        self.endless = endless
        self.released = 0
        self.counts: Counter[bytes] = Counter()
        self.wound_to = 0
        self._time_us: int | None = None
        self._start_us: int | None = None
        self._rewind()

    # Reading forward

    def _rewind(self) -> None:
        self._batches = self._open_batches()
        self._blocks: deque[Block] = deque()
        self.seams: list[int] = []
        self._pushed: list[int] = []
        self._derived: list[int] = []
        self._derived_gone = 0
        self._read_frames = 0
        self._last: tuple[int, int] | None = None
        self._failure: Exception | None = None
        self._store.clear()

    def _read(self) -> bool:
        """Append the next block; return whether there was one."""
        if self._failure is not None:
            raise self._failure
        try:
            batch = next((batch for batch in self._batches if batch.times_us), None)
        except Exception as error:
            # The reader is used up: its next answer would pass for the tape's end.
            self._failure = error
            raise
        if batch is None:
            return False
        times_us = self._in_order(batch.times_us)
        due_us = self._due_times(times_us)
        block = Block(
            self._read_frames, times_us, due_us, batch.streams, batch.payloads
        )
        if self._start_us is None:
            self._start_us = block.times_us[0]
        if any(getattr(line, "name", None) == SEAM for _, line in batch.others):
            self.seams = [n for n in self.seams if n >= self.released]
            self.seams.append(block.first)
        self._last = block.times_us[-1], due_us[-1]
        if isinstance(batch, WovenBatch):
            self._derived += [block.first + place for place in batch.derived]
        self._read_frames = block.end
        self._blocks.append(block)
        return True

    def _in_order(self, times_us: list[int]) -> list[int]:
        """Keep time from going back where one stretch of a tape overlaps the next."""
        last_us = self._last[0] if self._last else 0
        if times_us[0] >= last_us:
            return times_us
        return [max(time_us, last_us) for time_us in times_us]

    def _due_times(self, times_us: list[int]) -> list[int]:
        if self._max_gap_us is None:
            return times_us
        time_us, due_us = self._last or (times_us[0], times_us[0])
        due = []
        for next_us in times_us:
            due_us += min(next_us - time_us, self._max_gap_us)
            time_us = next_us
            due.append(due_us)
        return due

    def head(self) -> tuple[Block, int] | None:
        """Return the next frame to release, as its block and its place in it.

        Returns:
            None at the end of the tape.
        """
        while self._read_frames <= self.released:
            if not self._read():
                return None
        block = self._blocks[-1]
        if block.first > self.released:
            block = self.block_at(self.released)
        return block, self.released - block.first

    @property
    def start_us(self) -> int:
        """Recorded time of the first frame, microseconds; 0 for an empty tape."""
        if self._start_us is None and not self._read():
            return 0
        return self._start_us or 0

    @property
    def time_us(self) -> int:
        """Recorded time that the tape has reached, microseconds; 0 if it is empty."""
        return self.start_us if self._time_us is None else self._time_us

    @property
    def position(self) -> Position:
        """Where the tape stands; before what cannot be read, that is its end."""
        try:
            head = self.head()
        except ReplayError:
            head = None
        frames = self.released - self._derived_before(self.released)
        if head is None:
            return Position(frames, None)
        block, index = head
        return Position(frames, block.times_us[index])

    # Releasing and going back over what was released

    def release(self, upto: int) -> None:
        """Let every client have the frames before a number.

        Args:
            upto: Frame number within the block that `head()` named, or its end.
        """
        head = self.head()
        if head is not None and upto > self.released:
            block, index = head
            self.counts.update(block.count(index, upto - block.first))
            self.released = upto
            self._time_us = block.times_us[upto - block.first - 1]

    def block_at(self, number: int) -> Block:
        """Return the block that holds a frame which was read before."""
        if number < self._blocks[0].first:
            return self._store.get(number)
        for block in reversed(self._blocks):
            if block.first <= number:
                return block
        raise IndexError(number)  # pragma: no cover - the first block starts before it

    def trim(self, lowest: int) -> None:
        """Let go of blocks that nobody needs.

        Args:
            lowest: The frame number that the last of the clients stands at.
        """
        blocks = self._blocks
        if self._derived and self._derived[0] < min(lowest, self.released):
            gone = bisect_left(self._derived, min(lowest, self.released))
            self._derived_gone += gone
            del self._derived[:gone]
        while len(blocks) > 1 and blocks[1].first <= min(lowest, self.released) - 1:
            blocks.popleft()
        while len(blocks) > WINDOW_BLOCKS:
            self._store.put(blocks.popleft())
        if blocks and lowest >= blocks[0].first:
            self._store.clear()

    def blocks_between(self, lower: int, upper: int) -> int:
        """Count the blocks in memory that hold frames from one number to another."""
        return sum(b.end > lower and b.first < upper for b in self._blocks)

    def last_released(self, count: int) -> list[tuple[int, bytes, bytes]]:
        """Return the newest released frames still in memory, oldest first."""
        found: deque[tuple[int, bytes, bytes]] = deque(maxlen=count)
        for block in self._blocks:
            stop = max(self.released - block.first, 0)
            rows = zip(block.times_us, block.keys, block.payloads, strict=True)
            found.extend(islice(rows, stop))
        return list(found)

    # Moving

    def seek_time(self, time_us: int) -> None:
        """Stand before the first frame received at a time or later."""
        self._seek(
            lambda places: places.before_time(time_us),
            lambda block: block.first + bisect_left(block.times_us, time_us),
        )

    def seek_frame(self, number: int) -> None:
        """Stand before a frame; at the end if there are not so many.

        Args:
            number: Its number as a position counts, without derived frames.
        """
        self._seek(
            lambda places: places.before_frame(number),
            lambda block: self._place_of(number, block),
        )

    def _place_of(self, number: int, block: Block) -> int:
        row = number + self._derived_before(block.first)
        for place in self._derived[bisect_left(self._derived, block.first) :]:
            row += place <= row
        return min(max(row, block.first), block.end)

    def _seek(self, find: Find, place: Callable[[Block], int]) -> None:
        self._start_us = self.start_us  # as long as the start is still ahead
        self._rewind()
        begin, self._batches = self._open_near(find)
        self._read_frames = self.released = self.wound_to = begin.frames
        self._time_us = begin.latest_us or None
        self.counts.clear()
        while (head := self.head()) is not None:
            block, _ = head
            self.released = place(block)
            self.wound_to = self.recorded_number(self.released)
            if self.released < block.end:
                self._time_us = block.times_us[self.released - block.first]
                return
            self._time_us = block.times_us[-1]
            self._blocks.clear()

    def insert(self, key: bytes, payload: bytes, time_us: int) -> None:
        """Put a frame of the test's own before the next frame, due together with it.

        It is no part of the recording: whoever goes back does not meet it again.
        Derived frames that belong to what was released go out before it.

        Args:
            key: Stream key.
            payload: Payload, sent as it is.
            time_us: Its time, for clients and reports, microseconds since the epoch.
        """
        self.release(self.next_recorded)
        head = self.head()
        due_us = self._last[1] if self._last else time_us
        if head is not None:
            block, index = head
            due_us = block.due_us[index]
        pushed = Block(self.released, [time_us], [due_us], [key], [payload])
        tail = self._split_off(self.released)
        self._blocks.append(pushed)
        for block in tail:
            block.first += 1
        self._blocks.extend(tail)
        self._read_frames += 1
        self.seams = [n + (n >= self.released) for n in self.seams]
        self._derived = [n + (n >= self.released) for n in self._derived]
        self._pushed.append(self.released)

    def recorded_number(self, number: int) -> int:
        """Return a frame's number on the tape as it was recorded.

        Frames that a test pushed and derived ones do not count.

        Args:
            number: Its number, not below what all listeners have passed.
        """
        pushed = bisect_left(self._pushed, number)
        return number - pushed - self._derived_before(number)

    def _derived_before(self, number: int) -> int:
        return self._derived_gone + bisect_left(self._derived, number)

    @property
    def next_recorded(self) -> int:
        """Number of the first frame not released that was recorded.

        Derived frames in front of it belong to what was released.
        """
        number = self.released
        for place in self._derived[bisect_left(self._derived, number) :]:
            if place > number:
                break
            number += 1
        return number

    def reweave(
        self, open_from: Callable[[int, int], tuple[Iterator[Batch], Counter[bytes]]]
    ) -> Counter[bytes]:
        """Read what follows anew, with other derived frames in it.

        What was released stays as it was, and derived frames that follow the last
        recorded one of it.

        Args:
            open_from: Starts reading at a recorded frame, and counts derived frames
                since an earlier one, see `Loom.batches_from`.

        Returns:
            How many derived frames of each stream would have been released since the
            tape was last wound elsewhere.
        """
        splice = self.next_recorded
        batches, gone = open_from(self.recorded_number(splice), self.wound_to)
        if tail := self._split_off(splice):
            self._last = tail[0].times_us[0], tail[0].due_us[0]
        self._batches = batches
        self._failure = None
        self._read_frames = splice
        self._derived = [n for n in self._derived if n < splice]
        self.seams = [n for n in self.seams if n < splice]
        return gone

    def _split_off(self, number: int) -> list[Block]:
        """Take the frames from a number on out of what was read."""
        tail: list[Block] = []
        while self._blocks and self._blocks[-1].end > number:
            block = self._blocks.pop()
            before, after = block.split(max(number, block.first))
            tail.insert(0, after)
            if len(before):
                self._blocks.append(before)
        return tail


def due_before(block: Block, due_us: int) -> int:
    """Return the number of the first frame of a block due after a moment.

    Args:
        block: The block.
        due_us: A moment on the tape's own time line; frames due exactly then count
            as due.
    """
    return block.first + bisect_right(block.due_us, due_us)
