"""Books that follow a tape: from a recorded snapshot, or else from partial depth.

A recorded snapshot joins the diff stream by update ids, not by its place on the tape:
it is often received after later events.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_binance_replay.book import OrderBook, parse_change
from pytest_binance_replay.errors import BookGapError, DamagedDepthError
from pytest_binance_replay.picture import parse_partial, parse_snapshot
from pytest_binance_replay.shallow import ShallowBook

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_binance_replay.book import Change
    from pytest_binance_replay.picture import Picture
    from pytest_binance_replay.streams import Market

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of reading a payload that is not what its stream promises."""


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
            ValueError: If it is no depth snapshot, with a sentence that says why.
        """
        return cls(parse_snapshot(payload).update_id, payload)

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
        return snapshot.update_id < change.base

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


class TapeBook:
    """All that is known of a symbol's book before a place on the tape.

    A recorded snapshot is the authority: while one is followed or has yet to join,
    partial depth does not count.

    Args:
        symbol: Upper case.
        market: Decides how events follow each other.
        snapshots: Recorded snapshots, in any order.
        limits: The stream keys of its partial depth, each with how many levels of a
            side it shows at most.
        damage: What is wrong with its recorded answers; None if nothing is.

    Attributes:
        damage: What could not be read, the first of it: the book is unknown since.
    """

    def __init__(
        self,
        symbol: str,
        market: Market,
        snapshots: Iterable[Snapshot],
        limits: Mapping[bytes, int],
        damage: DamagedDepthError | None,
    ) -> None:
        self.damage = damage
        self._full = SymbolBook(symbol, market, snapshots)
        self._shallow = ShallowBook(symbol, market)
        self._limits = limits

    @property
    def book(self) -> OrderBook | None:
        """The book; None if it is not known, or nothing has joined the diffs yet."""
        return self._full.book or self._shallow.book

    @property
    def holes(self) -> list[str]:
        """Places where the recording lacks something, in words."""
        return self._full.holes

    @property
    def next_snapshot(self) -> Snapshot | None:
        """The recorded snapshot that has not joined yet; None if there is none."""
        return self._full.next_snapshot

    @property
    def newest_picture(self) -> Picture | None:
        """The last partial depth, if it is newer than all diffs; None if not."""
        return self._shallow.newest_picture

    def take(self, key: bytes, payload: bytes, time_us: int) -> None:
        """Follow one frame of its streams."""
        try:
            if key in self._limits:
                self._show(payload, self._limits[key])
            else:
                self._follow(parse_change(payload))
        except MALFORMED as error:
            self.damage = self.damage or damaged(key, time_us, error)

    def _follow(self, change: Change) -> None:
        self._full.take(change)
        if self._limits and self._counts_pictures():
            self._shallow.take(change)

    def _show(self, payload: bytes, limit: int) -> None:
        if self._counts_pictures():
            market = self._shallow.market
            self._shallow.show(parse_partial(payload, market, limit))

    def _counts_pictures(self) -> bool:
        return self._full.book is None and self._full.next_snapshot is None


def damaged(key: bytes, time_us: int, error: Exception) -> DamagedDepthError:
    """Say that a frame could not be read."""
    is_told = isinstance(error, ValueError)
    problem = str(error) if is_told else f"{type(error).__name__}: {error}"
    return DamagedDepthError(f"a frame of {key.decode()}", time_us, problem)
