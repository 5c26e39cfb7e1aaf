"""Diff depth streams: their chain of ids, the snapshots that join, the book they make.

An event is checked against the one before it. A snapshot joins if the chain reaches
back to it; the book then starts from it and is followed from event to event, until a
gap ends it. What arrived before the snapshot and is needed after it is kept meanwhile,
up to a limit.

Source:
    Binance Spot and USDⓈ-M Futures API docs, "How to manage a local order book
    correctly"; that the rules hold without exception, from recordings.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_binance_replay.soundness.findings import Finding
from pytest_binance_replay.soundness.ladder import Ladder, Picture, read_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.soundness.findings import Findings
    from pytest_binance_replay.streams import Market

_KEPT_BYTES = 512 * 1024
_KEPT_PICTURES = 20_000
_KEPT_SNAPSHOTS = 16


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A recorded depth snapshot.

    Attributes:
        line: Number of its line.
        update_id: `lastUpdateId`.
        shown: Its levels.
    """

    line: int
    update_id: int
    shown: Picture


class Shown(NamedTuple):
    """What a book ticker or a partial depth says about the top of the book.

    Attributes:
        line: Number of its line.
        stream: Name of its stream.
        rule: The rule that it is checked by.
        bids: The best bids, as on the wire.
        asks: The best asks.
    """

    line: int
    stream: str
    rule: str
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]


class _Kept:
    """The newest payloads of a stream, up to a number of bytes."""

    def __init__(self) -> None:
        self._payloads: deque[bytes] = deque()
        self._bytes = 0

    def add(self, payload: bytes) -> None:
        self._payloads.append(payload)
        self._bytes += len(payload)
        while self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._payloads.popleft())

    def clear(self) -> None:
        self._payloads.clear()
        self._bytes = 0

    def events(self) -> list[Any]:
        return [json.loads(payload) for payload in self._payloads]


class DiffChain:
    """One diff depth stream.

    Args:
        name: The stream's name.
        symbol: Upper case.
        market: Decides how events follow each other.
    """

    def __init__(self, name: str, symbol: str, market: Market) -> None:
        self._name = name
        self._symbol = symbol
        self._is_spot = market == "spot"
        self._start: int | None = None  # the oldest update a snapshot may end with
        self._last = 0
        self._book: Ladder | None = None
        self._has_joined = False
        self._kept = _Kept()
        self._coming: deque[Snapshot] = deque(maxlen=_KEPT_SNAPSHOTS)
        self._stale: Finding | None = None
        self._pictures: dict[int, list[Shown]] = {}

    # What comes

    def take(self, wire: Any, payload: bytes, findings: Findings) -> None:
        """Look at the next event."""
        changed = self._levels(wire, findings)
        if not self._ids_are_in_order(wire, findings):
            self._lose()
        elif self._start is None or not self._follows(wire, findings):
            self._lose()
            self._start = self._reach(wire)
        self._last = max(wire["u"], 0)
        if self._book is not None:
            self._book.apply(wire["u"], changed)
        else:
            self._kept.add(payload)
        self._join(findings)
        self._look(findings)

    def snapshot(self, snapshot: Snapshot, findings: Findings) -> None:
        """Look at a recorded snapshot of the symbol."""
        self._coming.append(snapshot)
        if self._start is not None:
            self._join(findings)

    def show(self, update_id: int, shown: Shown, findings: Findings) -> None:
        """Look at a picture of the top of the book, now or when the book is there."""
        if self._book is None:
            return
        if update_id == self._book.update_id:
            self._compare(self._book, shown, findings)
        elif update_id > self._book.update_id and len(self._pictures) < _KEPT_PICTURES:
            self._pictures.setdefault(update_id, []).append(shown)

    def finish(self, findings: Findings) -> None:
        """Say which snapshot should have joined, if none did."""
        if self._has_joined:
            return
        if self._stale is not None:
            findings.at(self._stale)
        elif self._coming and self._start is not None:
            snapshot = self._coming[0]
            sentence = (
                f"snapshot of {self._symbol} at update {snapshot.update_id} is newer "
                f"than all of the stream, which ends at {self._last}"
            )
            at = Finding("snapshot", "note", snapshot.line, self._name, sentence)
            findings.at(at)

    # The chain

    def _levels(self, wire: Any, findings: Findings) -> Picture:
        changed = Picture(read_side(wire["b"]), read_side(wire["a"]))
        if not (changed.bids or changed.asks):
            findings.error("levels", "an event that changes no level")
        for word, side in zip(("bid", "ask"), changed, strict=True):
            prices = [price for price, _ in side]
            if len(set(prices)) < len(prices):
                twice = next(price for price in prices if prices.count(price) > 1)
                findings.error("levels", f"{word} {twice:f} is there twice")
        return changed

    def _ids_are_in_order(self, wire: Any, findings: Findings) -> bool:
        first, last, previous = wire["U"], wire["u"], wire.get("pu")
        if first > last:
            sentence = f"the event's first update {first} is above its last, {last}"
        elif self._is_spot:
            return True
        elif previous is None:
            sentence = "a futures event without 'pu', by which it follows another"
        elif previous >= first:
            sentence = f"the event's 'pu' {previous} is not below its 'U' {first}"
        else:
            return True
        findings.error("update-ids", sentence)
        return False

    def _reach(self, wire: Any) -> int:
        if self._is_spot:
            return int(wire["U"]) - 1
        return int(min(wire["pu"], wire["U"]))

    def _follows(self, wire: Any, findings: Findings) -> bool:
        last = self._last
        if self._is_spot:
            if wire["U"] == last + 1:
                return True
            how = self._jump(wire["U"] - last - 1)
            sentence = f"the event before ended at update {last}, this one starts at "
            sentence += f"{wire['U']}: {how}"
        else:
            if wire["pu"] == last:
                return True
            how = "events are missing" if wire["pu"] > last else "ids go back"
            sentence = f"the event before ended at update {last}, and this one follows "
            sentence += f"{wire['pu']}: {how}"
        findings.jump("depth-chain", sentence)
        return False

    def _jump(self, missing: int) -> str:
        if missing < 0:
            return "ids go back"
        return (
            "1 update is missing"
            if missing == 1
            else f"{missing:,} updates are missing"
        )

    def _lose(self) -> None:
        self._start = None
        self._book = None
        self._kept.clear()
        self._pictures.clear()

    # The book

    def _join(self, findings: Findings) -> None:
        """Let the snapshots join that the events have reached."""
        while self._start is not None and self._coming:
            snapshot = self._coming[0]
            if snapshot.update_id > self._last:
                return
            self._coming.popleft()
            if snapshot.update_id < self._start:
                self._keep_stale(snapshot, self._start)
                continue
            self._has_joined = True
            if self._book is None:
                self._book = self._built_from(snapshot)
            elif snapshot.update_id == self._book.update_id:
                self._compare_with_snapshot(self._book, snapshot, findings)

    def _compare_with_snapshot(
        self, book: Ladder, snapshot: Snapshot, findings: Findings
    ) -> None:
        """Compare two pictures of one moment; the recorded one is the right one."""
        if (difference := book.difference(snapshot.shown)) is None:
            return
        sentence = f"{difference} after update {snapshot.update_id}"
        at = Finding("snapshot", "error", snapshot.line, self._name, sentence)
        findings.at(at)
        self._book = Ladder(snapshot.update_id, snapshot.shown)

    def _keep_stale(self, snapshot: Snapshot, start: int) -> None:
        missing = start - snapshot.update_id
        sentence = (
            f"snapshot of {self._symbol} at update {snapshot.update_id} does not join: "
            f"the stream's events follow update {start}, {missing:,} later"
        )
        stale = Finding("snapshot", "error", snapshot.line, self._name, sentence)
        self._stale = self._stale or stale

    def _built_from(self, snapshot: Snapshot) -> Ladder | None:
        events = self._kept.events()
        if not events or self._reach(events[0]) > snapshot.update_id:
            return None  # what it needs is no longer kept
        self._kept.clear()
        book = Ladder(snapshot.update_id, snapshot.shown)
        for wire in events:
            if wire["u"] >= snapshot.update_id:
                changed = Picture(read_side(wire["b"]), read_side(wire["a"]))
                book.apply(wire["u"], changed)
        return book

    def _look(self, findings: Findings) -> None:
        """Look at the book as it stands after an event."""
        if self._book is None:
            return
        if (crossing := self._book.crossing) is not None:
            bid, ask = crossing
            sentence = f"the best bid is {bid:f}, the best ask {ask:f}"
            findings.error("crossed", sentence)
            self._lose_book()
            return
        update_id = self._book.update_id
        for shown in self._pictures.pop(update_id, ()):
            self._compare(self._book, shown, findings)
        for passed in [key for key in self._pictures if key < update_id]:
            del self._pictures[passed]

    def _lose_book(self) -> None:
        """Stop following: what follows from one finding is not said again."""
        self._book = None
        self._pictures.clear()

    def _compare(self, book: Ladder, shown: Shown, findings: Findings) -> None:
        picture = Picture(read_side(shown.bids), read_side(shown.asks))
        if (difference := book.difference(picture)) is not None:
            sentence = f"{difference} after update {book.update_id}"
            at = Finding(shown.rule, "error", shown.line, shown.stream, sentence)
            findings.at(at)
