"""A part of a cassette that plays on its own.

Order books need a snapshot that joins their diffs. A recorded one that joins inside
the cut is kept, wherever it was received. Where the book is known at the cut's start,
a snapshot is made of it there, with a mark that says so. What was asked of the
exchange before the cut, such as ``exchangeInfo``, is kept too, each newest answer.

The file is read three times at the most: for what it holds, for the books, and for
the cut; none of it is kept in memory but the snapshots.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from pytest_binance_replay.book import parse_change
from pytest_binance_replay.books import fastest_diff
from pytest_binance_replay.cassette import End, Frame, Header, Mark, RestAnswer
from pytest_binance_replay.errors import MarketUnknownError, NothingLeftError
from pytest_binance_replay.files import CassetteReader, summarise
from pytest_binance_replay.following import Snapshot, SymbolBook
from pytest_binance_replay.foreign import iso_time
from pytest_binance_replay.protocols.rest import request_key
from pytest_binance_replay.streams import parse_stream
from pytest_binance_replay.tools.converting import own_recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_binance_replay.book import Change
    from pytest_binance_replay.cassette import Line
    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.files import Summary
    from pytest_binance_replay.formats import Item
    from pytest_binance_replay.streams import Market

    Warn = Callable[[BinanceReplayWarning], object]

MADE = "made"
"""Name of the mark before a snapshot that was made: its field ``rest`` says which."""

_DEPTH_PATHS = {
    "/api/v1/depth", "/api/v3/depth", "/fapi/v1/depth", "/dapi/v1/depth",
}  # fmt: skip
_LIMITS: Mapping[Market, tuple[int, ...]] = {
    "spot": (5, 10, 20, 50, 100, 500, 1000, 5000),
    "usdm": (5, 10, 20, 50, 100, 500, 1000),
}
_STEP_LINES = 4096


@dataclass(frozen=True, slots=True)
class Span:
    """Which frames are wanted.

    Attributes:
        from_us: Receive time of the first, microseconds; None for no bound.
        to_us: Receive time that all lie before; None for no bound.
        first: Number of the first in the file, from 0.
        stop: Number of the first that is no longer wanted; None for no bound.
    """

    from_us: int | None = None
    to_us: int | None = None
    first: int = 0
    stop: int | None = None


class _Place(Enum):
    BEFORE = 0
    INSIDE = 1
    BEHIND = 2


class _Walk:
    """Tells of each line of a file where it lies, by its place in the file."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._latest_us = 0
        self._frames = 0

    def place(self, line: Line) -> _Place:
        span = self._span
        if isinstance(line, Header | End):
            return _Place.BEFORE
        if isinstance(line, Frame):
            self._latest_us = max(self._latest_us, line.receive_time_us)
        # A line without frames before it lies where its own time says.
        time_us = max(self._latest_us, line.receive_time_us)
        number = self._frames
        self._frames += isinstance(line, Frame)
        if span.stop is not None and number >= span.stop:
            return _Place.BEHIND
        if span.to_us is not None and time_us >= span.to_us:
            return _Place.BEHIND
        if number < span.first or time_us < (span.from_us or 0):
            return _Place.BEFORE
        return _Place.INSIDE


class _Book(SymbolBook):
    """A book that remembers which snapshots joined.

    Attributes:
        is_inside: Whether an event of it was inside the cut.
        started_from: The snapshot that joined last.
        joined_inside: Those that joined inside the cut.
    """

    def __init__(self, symbol: str, market: Market, snapshots: list[Snapshot]) -> None:
        super().__init__(symbol, market, snapshots)
        self.is_inside = False
        self.started_from: Snapshot | None = None
        self.joined_inside: list[Snapshot] = []

    def _start_from(self, snapshot: Snapshot) -> None:
        self.started_from = snapshot
        if self.is_inside:
            self.joined_inside.append(snapshot)
        super()._start_from(snapshot)


@dataclass(slots=True)
class _Plan:
    """What the cut has besides its frames.

    Attributes:
        made: Snapshots to make at its start, by request.
        kept: Depth answers to keep.
        frames: How many frames of each stream.
        first_us: Receive time of the first frame.
    """

    made: dict[str, bytes] = field(default_factory=dict)
    kept: list[RestAnswer] = field(default_factory=list)
    frames: Counter[str] = field(default_factory=Counter)
    first_us: int | None = None

    def count(self, frame: Frame) -> None:
        self.frames[frame.stream] += 1
        if self.first_us is None:
            self.first_us = frame.receive_time_us


class Cut:
    """A part of a cassette.

    Args:
        path: The cassette.
        span: Which frames are wanted.
        wanted: Whether a stream is wanted, by its name.
        warn: Takes what is odd about the cassette.
        progress: Is told how many lines were read.

    Raises:
        CassetteFormatError: If something in the file cannot be read.
        MarketUnknownError: If nothing says which market it is of.
    """

    def __init__(
        self,
        path: Path,
        span: Span,
        *,
        wanted: Callable[[str], bool] = lambda _: True,
        warn: Warn = lambda _: None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._path = path
        self._span = span
        self._warn = warn
        self._progress = progress
        self._lines_read = 0
        self.summary: Summary = summarise(path)
        market = self.summary.market
        if market is None:
            raise MarketUnknownError(str(path))
        self.market: Market = market
        self._streams = {name for name in self.summary.streams if wanted(name)}
        self._asked = tuple(
            name for name in self.summary.header.streams or () if wanted(name)
        )
        self._symbols = {
            parsed.symbol.upper()
            for name in (*self._streams, *self._asked)
            if (parsed := parse_stream(name, market)) and parsed.symbol
        }
        self.plan = self._plan()

    @property
    def header(self) -> Header:
        """Its header: that of the cassette, with what has changed."""
        old = self.summary.header
        names = dict.fromkeys([*self._asked, *self.plan.frames])
        first_us = self.plan.first_us
        return replace(
            old,
            market=self.market,
            recorded_at=None if first_us is None else iso_time(first_us),
            streams=tuple(names),
            recorder=own_recorder(),
            test=None,
            extra={**old.extra, "cut_from": self._path.name},
        )

    def _read(self) -> Iterator[tuple[_Place, Line]]:
        walk = _Walk(self._span)
        with CassetteReader(self._path, warn=self._warn) as reader:
            for line in reader.lines():
                self._lines_read += 1
                if self._lines_read % _STEP_LINES == 0:
                    self._progress(self._lines_read)
                yield walk.place(line), line
        self._warn = lambda _: None  # once is enough

    # Books

    def _plan(self) -> _Plan:
        plan = _Plan()
        answers: dict[int, RestAnswer] = {}
        books = self._books(answers)
        self._followed = {book.symbol for book in books.values()}
        for place, line in self._read():
            if place is _Place.BEHIND or not isinstance(line, Frame):
                continue
            is_inside = place is _Place.INSIDE and line.stream in self._streams
            if is_inside:
                plan.count(line)
            if (book := books.get(line.stream)) is not None:
                change = parse_change(line.payload)
                if is_inside and not book.is_inside:
                    book.is_inside = True
                    self._make(plan, book, change, answers)
                book.take(change)
        if plan.first_us is None:
            raise NothingLeftError(str(self._path), self._held())
        for book in books.values():
            plan.kept += [answers[id(snapshot)] for snapshot in book.joined_inside]
        return plan

    def _books(self, answers: dict[int, RestAnswer]) -> dict[str, _Book]:
        """Return the book of each wanted symbol, by its fastest diff stream."""
        snapshots: dict[str, list[Snapshot]] = defaultdict(list)
        for answer in self.summary.rest:
            symbol = _depth_symbol(answer)
            if symbol in self._symbols and (found := _snapshot(answer)) is not None:
                snapshots[symbol].append(found)
                answers[id(found)] = answer
        books = {}
        for symbol, shown in snapshots.items():
            if (stream := fastest_diff(symbol, self._streams)) is not None:
                books[stream] = _Book(symbol, self.market, shown)
        return books

    def _make(
        self,
        plan: _Plan,
        book: _Book,
        change: Change,
        answers: Mapping[int, RestAnswer],
    ) -> None:
        """Make a snapshot of a book for the first event inside the cut."""
        joined = book.started_from
        if book.book is None or joined is None or not _goes_on(book, change):
            return
        recorded = answers[id(joined)]
        bids, asks = book.book.texts(_LIMITS[self.market][-1])
        request = _request_for(recorded.request, self.market, max(len(bids), len(asks)))
        is_spot = change.previous_update_id is None
        update_id = book.book.update_id if is_spot else change.first_update_id
        body = json.loads(recorded.payload)
        body |= {"lastUpdateId": update_id, "bids": bids, "asks": asks}
        if "E" in body and plan.first_us is not None:
            body["E"] = body["T"] = plan.first_us // 1000
        plan.made[request] = json.dumps(body, separators=(",", ":")).encode()

    def _held(self) -> str:
        """Say that the cut is empty, and what there would be."""
        first, last = self.summary.first_time_us, self.summary.last_time_us
        if first is None or last is None:
            return "there is no frame in it"
        return (
            "no frame lies in the cut: it has "
            f"{self.summary.frames} frames from {iso_time(first)} to {iso_time(last)}"
        )

    # Lines

    def items(self) -> Iterator[Item]:
        """Read the lines of the cut, without header and end."""
        left = dict.fromkeys(self.plan.kept)
        lines = self._kept_lines(left)
        early: list[Item] = []
        first = next(lines)
        while not isinstance(first, Frame):
            early.append(first)
            first = next(lines)
        yield from _newest(early, left)
        yield from self._start(left, first.receive_time_us)
        yield first
        for line in lines:
            if isinstance(line, RestAnswer):
                left.pop(line, None)
            yield line
        yield from left

    def _kept_lines(self, depth: Mapping[RestAnswer, None]) -> Iterator[Item]:
        for place, line in self._read():
            match line:
                case RestAnswer():
                    if place is not _Place.BEHIND and self._keeps(line, depth):
                        yield line
                case Frame() | Mark():
                    if place is _Place.INSIDE and self._is_wanted(line):
                        yield line

    def _keeps(self, answer: RestAnswer, depth: Mapping[RestAnswer, None]) -> bool:
        if _depth_symbol(answer) in self._followed:
            return answer in depth
        symbol = dict(request_key(answer.request)[1]).get("symbol")
        return symbol is None or symbol.upper() in self._symbols

    def _start(self, left: dict[RestAnswer, None], first_us: int) -> Iterator[Item]:
        """Give the snapshots that stand before the first frame."""
        for answer in [a for a in left if a.receive_time_us <= first_us]:
            del left[answer]
            yield answer
        for request, body in self.plan.made.items():
            fields = {"rest": request, "from": "the order book at the cut"}
            yield Mark(first_us, MADE, fields)
            yield RestAnswer(first_us, request, 200, body)

    def _is_wanted(self, line: Frame | Mark) -> bool:
        if isinstance(line, Frame):
            return line.stream in self._streams
        stream = line.fields.get("stream")
        return not isinstance(stream, str) or stream in self._streams


def _newest(early: Sequence[Item], apart: Mapping[RestAnswer, None]) -> list[Item]:
    """Leave only the newest of the answers to the same request, and marks."""
    others = (i for i in early if not (isinstance(i, RestAnswer) and i in apart))
    newest: dict[object, Item] = {}
    for number, item in enumerate(others):
        key: object = number
        if isinstance(item, RestAnswer):
            key = request_key(item.request)
        newest.pop(key, None)
        newest[key] = item
    return list(newest.values())


def _depth_symbol(answer: RestAnswer) -> str | None:
    """Return whose book an answer shows; None for answers of other kinds."""
    path, parameters = request_key(answer.request)
    if path not in _DEPTH_PATHS:
        return None
    return dict(parameters).get("symbol", "").upper()


def _snapshot(answer: RestAnswer) -> Snapshot | None:
    try:
        return Snapshot.parse(answer.payload) if answer.status == 200 else None
    except (ValueError, LookupError, TypeError):
        return None


def _goes_on(book: _Book, change: Change) -> bool:
    """Tell whether nothing is missing between a book and an event."""
    assert book.book is not None  # whoever asks has looked
    if change.previous_update_id is None:
        return change.first_update_id <= book.book.update_id + 1
    return change.previous_update_id <= book.book.update_id


def _request_for(recorded: str, market: Market, levels: int) -> str:
    """Return a recorded request with a limit that covers some levels."""
    path, parameters = request_key(recorded)
    given = dict(parameters)
    limit = given.get("limit", "")
    least = max(levels, int(limit) if limit.isdecimal() else 0)
    allowed = next((n for n in _LIMITS[market] if n >= least), _LIMITS[market][-1])
    return f"{path}?symbol={given['symbol']}&limit={allowed}"
