"""A session as a value: a cassette in memory, for a test to load.

Its `repr` is the code that makes it again, a cassette line to each line, so that what
a failing test prints can be pasted into the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args
from urllib.parse import parse_qs, urlsplit

from pytest_binance_replay.book import OrderBook, parse_change
from pytest_binance_replay.cassette import (
    End,
    Frame,
    Header,
    Line,
    Mark,
    RestAnswer,
    format_line,
    parse_line,
)
from pytest_binance_replay.errors import CassetteFormatError, NoBookError
from pytest_binance_replay.files import read_lines
from pytest_binance_replay.following import Snapshot, SymbolBook
from pytest_binance_replay.streams import Market, market_of_payload
from pytest_binance_replay.writer import CassetteWriter

if TYPE_CHECKING:
    from pytest_binance_replay.events import Event

FAULT_MARK = "fault"
"""Name of the mark that says what is wrong from there on, and that it is meant."""

FaultKind = Literal["gap", "duplicate", "reorder", "reconnect"]
"""What may be wrong with a session."""

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

_DIFFS = ("depth@0ms", "depth@100ms", "depth", "depth@500ms")
_OK = 200
_CALLED, _ADVICE = "the session", "Correct it."


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a session on purpose.

    Attributes:
        kind: `gap`: frames of one stream never came. `duplicate`: a frame came twice.
            `reorder`: two frames of one stream came in the wrong order. `reconnect`:
            for a while no stream came, as when the connection broke.
        stream: The stream that has it; None for all.
        frames: How many frames never came, or came twice or in the wrong order.
        receive_time_us: Of the first frame that came behind it, or that is wrong,
            microseconds since the epoch.
    """

    kind: FaultKind
    stream: str | None
    frames: int
    receive_time_us: int

    def mark(self) -> Mark:
        """Return the cassette line that says so."""
        where = {} if self.stream is None else {"stream": self.stream}
        fields = {"kind": self.kind, **where, "frames": self.frames}
        return Mark(self.receive_time_us, FAULT_MARK, fields)


class Session:
    """A stretch of one market, as lines of a cassette, from first to last.

    Equal to another one with the same lines. Iterating gives the lines.

    Args:
        lines: A header if there is one, frames, REST answers and marks, in order.

    Attributes:
        header: The header; all None if none was given.
        lines: The others, but for the end.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        found = list(lines)
        header = found[0] if found else None
        self.header = header if isinstance(header, Header) else Header()
        self.lines: tuple[Frame | RestAnswer | Mark, ...] = tuple(
            line for line in found if isinstance(line, Frame | RestAnswer | Mark)
        )

    @classmethod
    def parse(cls, *texts: str) -> Self:
        """Make a session of cassette lines as text.

        Args:
            texts: Each one line, or several; blank ones say nothing.

        Raises:
            CassetteFormatError: If one is no cassette line.
        """
        lines = "\n".join(texts).encode().split(b"\n")
        return cls(_parsed(n, raw) for n, raw in enumerate(lines, 1) if raw.strip())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a session from a cassette file.

        Raises:
            CassetteNotFoundError: If there is no such file.
            CassetteFormatError: If it is no cassette.
        """
        return cls(read_lines(path))

    def save(self, path: str | Path) -> None:
        """Write the session to a cassette file, in place of what is there.

        Args:
            path: The file to be; its suffix, `.jsonl`, `.jsonl.gz` or `.jsonl.zst`,
                decides the compression. Missing folders are made.
        """
        with CassetteWriter(path, self.header) as writer:
            for line in self.lines:
                writer.write(line)

    # What is in it

    @cached_property
    def market(self) -> Market:
        """Its market: the header's, or as its payloads tell, or spot."""
        told = (market_of_payload(frame.payload) for frame in self.frames())
        if self.header.market is not None:
            return self.header.market
        return next((market for market in told if market is not None), "spot")

    @cached_property
    def streams(self) -> tuple[str, ...]:
        """Names of its streams: the header's, or those of its frames."""
        if self.header.streams is not None:
            return self.header.streams
        return tuple(dict.fromkeys(frame.stream for frame in self.frames()))

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with it on purpose, in the order of its lines."""
        return tuple(
            _fault(line)
            for line in self.lines
            if isinstance(line, Mark)
            and line.name == FAULT_MARK
            and line.fields.get("kind") in FAULT_KINDS
        )

    @property
    def rest(self) -> tuple[RestAnswer, ...]:
        """Its REST answers, oldest first."""
        return tuple(line for line in self.lines if isinstance(line, RestAnswer))

    def frames(self, stream: str | None = None) -> list[Frame]:
        """Return its frames in order.

        Args:
            stream: Only those of this stream; None for all.
        """
        frames = (line for line in self.lines if isinstance(line, Frame))
        return [frame for frame in frames if stream in {None, frame.stream}]

    def events(self, stream: str | None = None) -> list[Event]:
        """Return its frames as typed events; an array gives one for each member.

        Args:
            stream: Only those of this stream; None for all.

        Raises:
            EventError: If a payload does not fit its stream.
        """
        from pytest_binance_replay.events import parse_event  # noqa: PLC0415 - heavy

        events: list[Event] = []
        for frame in self.frames(stream):
            found = parse_event(frame.payload, stream=frame.stream, market=self.market)
            events += found if isinstance(found, tuple) else (found,)
        return events

    def book(self, symbol: str) -> OrderBook:
        """Return the order book at its end, from its snapshots and diffs.

        Args:
            symbol: Upper case.

        Raises:
            NoBookError: If it has no diff depth of the symbol, no snapshot that joins
                it, or a gap behind the last one.
        """
        snapshots = [
            Snapshot.parse(answer.payload)
            for answer in self.rest
            if answer.status == _OK and _depth_of(answer.request) == symbol
        ]
        followed = SymbolBook(symbol, self.market, snapshots)
        for frame in self._diffs(symbol):
            followed.take(parse_change(frame.payload))
        if followed.book is not None:
            return followed.book
        snapshot = followed.next_snapshot
        if snapshot is None:
            raise NoBookError(symbol)
        return snapshot.book(symbol, self.market)

    def _diffs(self, symbol: str) -> Sequence[Frame]:
        found = (self.frames(f"{symbol.lower()}@{feature}") for feature in _DIFFS)
        return next(filter(None, found), ())

    # How it looks

    def __iter__(self) -> Iterator[Line]:
        yield self.header
        yield from self.lines

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        return (self.market, self.streams, self.lines) == (
            *(other.market, other.streams, other.lines),
        )

    def __hash__(self) -> int:
        return hash((self.market, *self.frames()))

    def __str__(self) -> str:
        """Return it as a cassette."""
        end_us = max((line.receive_time_us for line in self.lines), default=0)
        whole = (self.header, *self.lines, End(end_us, len(self.frames())))
        return b"".join(map(format_line, whole)).decode()

    def _shown(self) -> list[str]:
        """Return as literals the lines that make it again."""
        header = Header(market=self.market, streams=self.header.streams)
        lines = (header, *self.lines)
        return [repr(format_line(line).decode().removesuffix("\n")) for line in lines]

    def __repr__(self) -> str:
        inside = "".join(f"    {literal},\n" for literal in self._shown())
        return f"Session.parse(\n{inside})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        """Print it where Hypothesis prints examples, indented as what is around it."""
        del cycle  # a session holds no sessions
        with printer.group(4, "Session.parse(", ""):
            for literal in self._shown():
                printer.break_()
                printer.text(f"{literal},")
        printer.break_()
        printer.text(")")


def _parsed(number: int, raw: bytes) -> Line:
    try:
        return parse_line(raw)
    except ValueError as error:
        problem = str(error)
    raise CassetteFormatError(_CALLED, number, problem, _ADVICE)


def _fault(mark: Mark) -> Fault:
    fields: Any = mark.fields
    kind, stream = fields["kind"], fields.get("stream")
    return Fault(kind, stream, fields.get("frames", 1), mark.receive_time_us)


def _depth_of(request: str) -> str | None:
    """Return the symbol whose depth snapshot a request asks for."""
    parts = urlsplit(request)
    if not parts.path.endswith("/depth"):
        return None
    return next(iter(parse_qs(parts.query).get("symbol", [])), None)
