"""The true order books along a tape, from its recorded snapshots and diffs.

A book starts at a recorded snapshot, which joins the diff stream by update ids, not
by its place on the tape: a snapshot is often received after later events. Books are
computed when somebody asks, by a reader of their own that goes over the tape once.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

from pytest_binance_replay.book import OrderBook, parse_change
from pytest_binance_replay.cassette import Mark
from pytest_binance_replay.errors import BookGapError
from pytest_binance_replay.tape import MOVE, SEAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_binance_replay.book import Change
    from pytest_binance_replay.cassette import Batch
    from pytest_binance_replay.streams import Market

_SPEEDS = ("@depth@0ms", "@depth@100ms", "@depth", "@depth@500ms")
"""Diff streams of one symbol, the fastest first."""

_LOOK_AHEAD_BATCHES = 64
_PIECE_BATCHES = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A recorded picture of a book.

    Attributes:
        update_id: `lastUpdateId`.
        payload: The answer as it was recorded.
    """

    update_id: int
    payload: bytes

    @classmethod
    def parse(cls, payload: bytes) -> Snapshot:
        """Read the update id of a recorded answer.

        Raises:
            KeyError: If it is no depth snapshot.
            ValueError: If it is not JSON.
        """
        return cls(json.loads(payload)["lastUpdateId"], payload)

    def answer(self) -> Answer:
        """Return it as it was recorded."""
        return Answer(self.update_id, (), (), self.payload)

    def book(self, symbol: str, market: Market) -> OrderBook:
        """Return the book that it shows."""
        body = json.loads(self.payload)
        return OrderBook(
            symbol,
            market,
            update_id=self.update_id,
            bids=body["bids"],
            asks=body["asks"],
        )


class SymbolBook:
    """The book of one symbol, following its diff stream.

    Args:
        symbol: Upper case.
        market: Decides how events follow each other.
        snapshots: Recorded snapshots, in any order.

    Attributes:
        book: The book; None before a snapshot has joined, and after a gap.
        holes: Places where the recording lacks something, in words.
    """

    def __init__(
        self, symbol: str, market: Market, snapshots: Iterable[Snapshot]
    ) -> None:
        self.symbol = symbol
        self.market = market
        self.book: OrderBook | None = None
        self.holes: list[str] = []
        self._snapshots = deque(sorted(snapshots, key=lambda s: s.update_id))

    @property
    def next_snapshot(self) -> Snapshot | None:
        """The recorded snapshot that has not joined yet; None if there is none."""
        return self._snapshots[0] if self._snapshots else None

    def take(self, change: Change) -> None:
        """Follow the stream by one event."""
        while self._snapshots and self._is_stale(self._snapshots[0], change):
            self._snapshots.popleft()
        if self._snapshots and self._joins(self._snapshots[0], change):
            self._start_from(self._snapshots.popleft())
        if self.book is None:
            return
        try:
            self.book.apply_change(change)
        except BookGapError as error:
            self.holes.append(str(error))
            self.book = None

    def _is_stale(self, snapshot: Snapshot, change: Change) -> bool:
        """Return whether events between a snapshot and this one are missing."""
        return snapshot.update_id < self._reach(change)

    def _reach(self, change: Change) -> int:
        """Return the oldest update id that a snapshot may have to be followed."""
        if change.previous_update_id is None:
            return change.first_update_id - 1
        return min(change.previous_update_id, change.first_update_id)

    def _joins(self, snapshot: Snapshot, change: Change) -> bool:
        last = change.final_update_id
        if change.previous_update_id is None:
            return snapshot.update_id < last
        return snapshot.update_id <= last

    def _start_from(self, snapshot: Snapshot) -> None:
        shown = snapshot.book(self.symbol, self.market)
        if self.book is None:
            self.book = shown
            return
        same_moment = self.book.update_id == shown.update_id
        if same_moment and (found := _differences(self.book, shown)):
            self.holes.append(
                f"{self.symbol} book differs from the snapshot recorded at update "
                f"{shown.update_id}: {found[0]}"
            )
        self.book.overwrite(shown)


def _differences(book: OrderBook, shown: OrderBook) -> list[str]:
    """Compare as far as the shown levels reach."""
    bids, asks = shown.bids, shown.asks
    return [
        *book.differences(bids, book.asks, depth=len(bids)),
        *book.differences(book.bids, asks, depth=len(asks)),
    ]


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


BookKey = tuple["Market", str]
"""Market and upper-case symbol."""

Mover = Callable[[bytes, bytes], bytes]
"""Moves the ids of a snapshot, given the key of its symbol's diff stream."""


class Books:
    """All books of a tape.

    Args:
        open_batches: Starts reading the tape from its first frame.
        diff_keys: The stream key of the diff stream that each book follows.
        snapshots: Recorded snapshots of each book.
    """

    def __init__(
        self,
        open_batches: Callable[[], Iterator[Batch]],
        diff_keys: dict[BookKey, bytes],
        snapshots: dict[BookKey, list[Snapshot]],
    ) -> None:
        self._open_batches = open_batches
        self._diff_keys = diff_keys
        self._snapshots = snapshots
        self._rewind()

    def _rewind(self) -> None:
        self._reader = self._open_batches()
        self._ahead: deque[Batch] = deque()
        self._first = 0
        self._number = 0
        self._books = self._new_books(lambda _, payload: payload)

    def _new_books(self, moved: Mover) -> dict[bytes, SymbolBook]:
        """Start from the recorded snapshots."""
        books = {}
        for key, diff_key in self._diff_keys.items():
            snapshots = [
                Snapshot.parse(moved(diff_key, snapshot.payload))
                for snapshot in self._snapshots.get(key, ())
            ]
            if snapshots:
                books[diff_key] = SymbolBook(key[1], key[0], snapshots)
        return books

    def knows(self, market: Market, symbol: str) -> bool:
        """Return whether the tape has diffs of a symbol, and a snapshot to start."""
        return self._diff_keys.get((market, symbol)) in self._books

    def at(self, market: Market, symbol: str, number: int) -> SymbolBook | None:
        """Return a symbol's book as it stands before a frame.

        Args:
            market: Its market.
            symbol: Upper case.
            number: Number of the frame on the tape.

        Returns:
            None if the tape has no diffs of the symbol or no snapshot. It is the
            running state: look at it before asking for anything else.
        """
        if not self.knows(market, symbol):
            return None
        self._go_to(number)
        return self._books[self._diff_keys[market, symbol]]

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
        rows = zip(batch.streams, batch.payloads, strict=True)
        for key, payload in islice(rows, start, stop):
            if (book := self._books.get(key)) is not None:
                book.take(parse_change(payload))
        self._number = self._first + stop

    def _start_round(self, batch: Batch) -> None:
        """Begin anew where a looped tape does, with snapshots moved along."""
        if (moved := _mover_in(batch)) is not None:
            self._books = self._new_books(moved)

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

    def next_change(self, market: Market, symbol: str) -> Change | None:
        """Return the symbol's first event from where the books stand on.

        Returns:
            None if there is none within reach.
        """
        key = self._diff_keys[market, symbol]
        self._batch()
        start = self._number - self._first
        at = 0
        while at < len(self._ahead) or (at < _LOOK_AHEAD_BATCHES and self._read()):
            batch = self._ahead[at]
            for n in range(start, len(batch.streams)):
                if batch.streams[n] == key:
                    return parse_change(batch.payloads[n])
            start, at = 0, at + 1
        return None

    def answer(
        self, market: Market, symbol: str, number: int, limit: int
    ) -> Answer | None:
        """Make the depth snapshot that joins the events from a frame on.

        On spot it has the id of the last event before the frame; on futures, where
        the first event must span the snapshot's id, that of the next event's first
        update. Before the recorded snapshot has joined, it is that one.

        Args:
            market: The market.
            symbol: Upper case.
            number: Number of the next frame that the client will be sent.
            limit: How many levels of each side.

        Returns:
            None if the recording does not allow a book here.
        """
        found = self.at(market, symbol, number)
        if found is None:
            return None
        if (moved := self._seam_ahead()) is not None:
            # What comes next follows the snapshot, not the end of the last round.
            found = self._new_books(moved)[self._diff_keys[market, symbol]]
        if found.book is None:
            coming = found.next_snapshot
            if coming is None:
                return None
            book = coming.book(symbol, market)
            return Answer(book.update_id, *book.texts(limit), coming.payload)
        bids, asks = found.book.texts(limit)
        update_id = found.book.update_id
        if market == "usdm" and (change := self.next_change(market, symbol)):
            update_id = change.first_update_id
        return Answer(update_id, bids, asks)


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
