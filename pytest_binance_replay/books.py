"""The true order books along a tape, from its recorded snapshots and diffs.

A book starts at a recorded snapshot, which joins the diff stream by update ids, not
by its place on the tape: a snapshot is often received after later events. Where none
was recorded, or none is left behind a gap, it is a shallow one, kept from the partial
depth on the tape. Books are computed when somebody asks, by a reader of their own that
goes over the tape once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from pytest_binance_replay.book import parse_change
from pytest_binance_replay.cassette import Mark
from pytest_binance_replay.following import MALFORMED, Snapshot, TapeBook, damaged
from pytest_binance_replay.picture import parse_partial
from pytest_binance_replay.tape import MOVE, SEAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_binance_replay.book import Change, OrderBook
    from pytest_binance_replay.cassette import Batch
    from pytest_binance_replay.errors import DamagedDepthError
    from pytest_binance_replay.picture import Picture
    from pytest_binance_replay.streams import Market

_Parsed = TypeVar("_Parsed")

_SPEEDS = ("@depth@0ms", "@depth@100ms", "@depth", "@depth@500ms")
"""Diff streams of one symbol, the fastest first."""

_LOOK_AHEAD_BATCHES = 64
_PIECE_BATCHES = 3


class Answer(NamedTuple):
    """A depth snapshot made for a place on the tape.

    Attributes:
        update_id: `lastUpdateId`.
        bids: Best bids, price and quantity as on the wire.
        asks: Best asks.
        recorded: The recorded answer, where it is to be given as it is.
    """

    update_id: int
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]
    recorded: bytes | None = None

    @classmethod
    def as_recorded(cls, snapshot: Snapshot) -> Answer:
        """Give a snapshot as it was recorded."""
        return cls(snapshot.update_id, (), (), snapshot.payload)


BookKey = tuple["Market", str]
"""Market and upper-case symbol."""

Mover = Callable[[bytes, bytes], bytes]
"""Moves the ids of a snapshot, given the key of its symbol's diff stream."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the books of a tape are made of, as it was recorded.

    Attributes:
        diff_keys: The stream key of the diff stream that each book follows.
        snapshots: Recorded snapshots of each book.
        limits: The stream keys of each book's partial depth, with how many levels of
            a side they show at most.
        damage: What is wrong with the recorded answers of a book.
    """

    diff_keys: Mapping[BookKey, bytes]
    snapshots: Mapping[BookKey, Sequence[Snapshot]]
    limits: Mapping[BookKey, Mapping[bytes, int]] = field(default_factory=dict)
    damage: Mapping[BookKey, DamagedDepthError] = field(default_factory=dict)

    def symbols(self) -> set[BookKey]:
        """Return whose books can be known: a snapshot alone shows no tape's book."""
        recorded = {key for key, found in self.snapshots.items() if found}
        recorded |= self.damage.keys()
        return self.diff_keys.keys() & recorded | self.limits.keys() - recorded

    def book(self, key: BookKey, moved: Mover) -> TapeBook:
        """Start a book, with snapshots moved along."""
        market, symbol = key
        snapshots = [
            Snapshot.parse(moved(self.diff_keys[key], snapshot.payload))
            for snapshot in self.snapshots.get(key, ())
        ]
        limits = self.limits.get(key, {})
        return TapeBook(symbol, market, snapshots, limits, self.damage.get(key))

    def streams(self, key: BookKey) -> list[bytes]:
        """Return the stream keys that a book is made from."""
        diffs = self.diff_keys.get(key)
        return [*self.limits.get(key, ()), *(() if diffs is None else (diffs,))]


class Books:
    """All books of a tape.

    Args:
        open_batches: Starts reading the tape from its first frame.
        sources: What they are made of.
    """

    def __init__(
        self, open_batches: Callable[[], Iterator[Batch]], sources: Sources
    ) -> None:
        self._open_batches = open_batches
        self._sources = sources
        self._rewind()

    def _rewind(self) -> None:
        self._reader = self._open_batches()
        self._ahead: deque[Batch] = deque()
        self._first = 0
        self._number = 0
        self._start(lambda _, payload: payload)

    def _start(self, moved: Mover) -> None:
        """Start from the recorded snapshots."""
        sources = self._sources
        self._books = {key: sources.book(key, moved) for key in sources.symbols()}
        self._by_stream = {
            stream: book
            for key, book in self._books.items()
            for stream in sources.streams(key)
        }

    def knows(self, market: Market, symbol: str) -> bool:
        """Return whether the tape has what a symbol's book can be made from."""
        return (market, symbol) in self._books

    def at(self, market: Market, symbol: str, number: int) -> TapeBook | None:
        """Return a symbol's book as it stands before a frame.

        Args:
            market: Its market.
            symbol: Upper case.
            number: Number of the frame on the tape.

        Returns:
            None if the tape has nothing to make it from. It is the running state:
            look at it before asking for anything else.

        Raises:
            DamagedDepthError: If what it is made from could not be read.
        """
        if not self.knows(market, symbol):
            return None
        self._go_to(number)
        found = self._books[market, symbol]
        if found.damage is not None:
            raise found.damage
        return found

    def advance(self, number: int, *, max_batches: int = _PIECE_BATCHES) -> bool:
        """Go towards a frame, by a few milliseconds of work at the most.

        Args:
            number: Number of the frame to stand before; a smaller one than before
                starts anew.
            max_batches: How many batches to read.

        Returns:
            Whether the books stand there, or at the end of the tape.
        """
        if number < self._number:
            self._rewind()
        for _ in range(max_batches):
            if self._number >= number or (batch := self._batch()) is None:
                return True
            self._take(batch, number)
        return self._number >= number

    def _go_to(self, number: int) -> None:
        while not self.advance(number):
            pass

    def _take(self, batch: Batch, number: int) -> None:
        start = self._number - self._first
        if start == 0:
            self._start_round(batch)
        stop = min(number - self._first, len(batch.streams))
        rows = zip(batch.streams, batch.payloads, batch.times_us, strict=True)
        for key, payload, time_us in islice(rows, start, stop):
            if (book := self._by_stream.get(key)) is not None:
                book.take(key, payload, time_us)
        self._number = self._first + stop

    def _start_round(self, batch: Batch) -> None:
        """Begin anew where a looped tape does, with snapshots moved along."""
        if (moved := _mover_in(batch)) is not None:
            self._start(moved)

    def _seam_ahead(self) -> Mover | None:
        """Return what moves ids, if the next frame is the first of a new round."""
        batch = self._batch()
        if batch is None or self._number != self._first:
            return None
        return _mover_in(batch)

    def _batch(self) -> Batch | None:
        """Return the batch that holds the next frame."""
        while self._ahead and self._number >= self._first + len(self._ahead[0].streams):
            self._first += len(self._ahead.popleft().streams)
        if not self._ahead and not self._read():
            return None
        return self._ahead[0]

    def _read(self) -> bool:
        batch = next((b for b in self._reader if b.streams), None)
        if batch is not None:
            self._ahead.append(batch)
        return batch is not None

    # Looking ahead

    def _to_come(
        self, parsers: Mapping[bytes, Callable[[bytes], _Parsed]]
    ) -> Iterator[_Parsed]:
        """Give what some streams bring from where the books stand on, within reach."""
        self._batch()
        start = self._number - self._first
        at = 0
        while at < len(self._ahead) or (at < _LOOK_AHEAD_BATCHES and self._read()):
            batch = self._ahead[at]
            for n in range(start, len(batch.streams)):
                stream = batch.streams[n]
                if (parse := parsers.get(stream)) is not None:
                    try:
                        parsed = parse(batch.payloads[n])
                    except MALFORMED as error:
                        raise damaged(stream, batch.times_us[n], error) from None
                    yield parsed
            start, at = 0, at + 1

    def next_change(self, key: BookKey, update_id: int = 0) -> Change | None:
        """Return the first event to come that does not end before an update.

        Args:
            key: Whose.
            update_id: The update, which on spot it has to bring something newer than.

        Returns:
            None if there is none within reach.

        Raises:
            DamagedDepthError: If one on the way there could not be read.
        """
        stream = self._sources.diff_keys.get(key)
        if stream is None:
            return None
        least = update_id + 1 if key[0] == "spot" else update_id
        changes = self._to_come({stream: parse_change})
        return next((c for c in changes if c.final_update_id >= least), None)

    def _pictures_to_come(self, key: BookKey) -> Iterator[Picture]:
        parsers = {
            stream: partial(parse_partial, market=key[0], limit=limit)
            for stream, limit in self._sources.limits.get(key, {}).items()
        }
        return self._to_come(parsers) if parsers else iter(())

    def _picture(self, key: BookKey, found: TapeBook) -> Picture | None:
        """Return the partial depth that is to join: the newest, or one to come."""
        newest = found.newest_picture
        shown = () if newest is None else (newest,)
        pictures = chain(shown, self._pictures_to_come(key))
        return next((p for p in pictures if self._is_followed(key, p)), newest)

    def _is_followed(self, key: BookKey, picture: Picture) -> bool:
        """Return whether no event is missing between a picture and those to come."""
        change = self.next_change(key, picture.update_id)
        return change is None or change.base <= picture.update_id

    # Answering

    def book(self, market: Market, symbol: str, number: int) -> OrderBook | None:
        """Return a copy of a symbol's book as it stands before a frame.

        Before anything has joined its stream, and behind a gap, it is the snapshot
        that will join next, or else the partial depth.

        Args:
            market: Its market.
            symbol: Upper case.
            number: Number of the frame on the tape.

        Returns:
            None if the recording does not allow a book here.

        Raises:
            DamagedDepthError: If what it is made from could not be read.
        """
        found = self.at(market, symbol, number)
        if found is None:
            return None
        if found.book is None and (coming := found.next_snapshot) is not None:
            return coming.book(symbol, market)
        book = self._known((market, symbol), found)
        return None if book is None else book.copy()

    def _known(self, key: BookKey, found: TapeBook) -> OrderBook | None:
        if found.book is not None:
            return found.book
        picture = self._picture(key, found)
        return None if picture is None else picture.book(key[1], key[0])

    def answer(
        self, market: Market, symbol: str, number: int, limit: int
    ) -> Answer | None:
        """Make the depth snapshot that joins the events from a frame on.

        On spot it has the id of the last event before the frame, or of the partial
        depth that is shown; on futures, where the first event must span the snapshot's
        id, that of the next event's first update. Before the recorded snapshot has
        joined, it is that one. Levels that may not be all there are left out.

        Args:
            market: The market.
            symbol: Upper case.
            number: Number of the next frame that the client will be sent.
            limit: How many levels of each side.

        Returns:
            None if the recording does not allow a book here.

        Raises:
            DamagedDepthError: If what it is made from could not be read.
        """
        found = self.at(market, symbol, number)
        if found is None:
            return None
        key = market, symbol
        if (moved := self._seam_ahead()) is not None:
            # What comes next follows the snapshot, not the end of the last round.
            found = self._sources.book(key, moved)
        coming = found.next_snapshot
        if found.book is None and coming is not None:
            shown = coming.book(symbol, market)
            return Answer(shown.update_id, *shown.texts(limit), coming.payload)
        if (book := self._known(key, found)) is None:
            return None
        return Answer(self._joining_id(key, book), *book.texts(limit))

    def _joining_id(self, key: BookKey, book: OrderBook) -> int:
        """Return the id with which a book joins the events to come."""
        last = book.update_id
        change = self.next_change(key, last) if key[0] == "usdm" else None
        if change is None or change.base > last:
            return last
        return max(last, change.first_update_id)


def _mover_in(batch: Batch) -> Mover | None:
    """Return what moves ids in the round that a batch begins; None without one."""
    for _, line in batch.others:
        if isinstance(line, Mark) and line.name == SEAM:
            moved = line.fields[MOVE]
            assert callable(moved)  # what a loop puts there
            return cast("Mover", moved)
    return None


def fastest_diff(symbol: str, names: Iterable[str]) -> str | None:
    """Return the fastest diff stream of a symbol among some stream names."""
    known = set(names)
    wanted = (f"{symbol.lower()}{speed}" for speed in _SPEEDS)
    return next((name for name in wanted if name in known), None)
