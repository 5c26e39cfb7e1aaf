"""Cassettes read in constant memory, and summed up.

Files are told apart by their first bytes, not by their names: plain, gzip or zstd.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, TypeVar
from weakref import WeakSet

from pytest_binance_replay.cassette import (
    Batch,
    End,
    Frame,
    Header,
    Line,
    Mark,
    RestAnswer,
    is_cut,
    parse_block,
)
from pytest_binance_replay.chunks import Chunks, open_file
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.compression import Compression
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteFormatError,
    CutShortWarning,
    FrameCountWarning,
    OutOfOrderWarning,
    UnfinishedRecordingWarning,
)
from pytest_binance_replay.foreign import CassetteLines, ForeignCapture, open_foreign
from pytest_binance_replay.places import START, Find, Place, Places
from pytest_binance_replay.streams import Market, market_of_payload

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

BLOCK_BYTES = 131_072
"""How much of a cassette is read at once."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line a cassette may have."""

OWN_RECORDER = "pytest-binance-replay"
"""How the ``recorder`` of cassettes begins that are sure to end with an end line."""

T = TypeVar("T")

Warn: TypeAlias = Callable[[BinanceReplayWarning], object]

_START_BYTES = 512  # enough to see what a file is
_SETTLED_US = 3_000_000
"""How long a file system may give a changed file the same time: the oldest, 2 s."""

_SHOWN_CHARACTERS = 40


# Reading


_FORM = (
    "A cassette is UTF-8 text with one JSON object a line, such as "
    '{"t":1795168800003123,"stream":"btcusdt@trade","data":{}}'
)


_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def _checked_start(path: Path, start: bytes) -> bytes:
    """Return the start of a file without a mark of UTF-8; refuse what is no JSON Lines.

    Says in the file's own terms what it is instead, which the parser of lines cannot.
    """
    text = start.removeprefix(b"\xef\xbb\xbf")
    body = text.lstrip()
    if not body or body.startswith(b"{"):
        return text
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = "it is UTF-16 text"
    elif _CONTROL.search(text):
        problem = "it is binary data"
    elif body.startswith(b"["):
        problem = "it is a JSON array"
    else:
        first_line = body.partition(b"\n")[0].decode(errors="replace").rstrip()
        problem = f"its first line begins with {first_line[:_SHOWN_CHARACTERS]!r}"
    raise CassetteFormatError(str(path), 0, f"is not a cassette: {problem}", _FORM)


class WholeLines:
    """The whole lines of a file, decompressed, in blocks.

    Args:
        path: A cassette file, plain, gzip or zstd.
        block_bytes: How much is read at once.
        start: Where to begin.

    Attributes:
        next_line: Number of the first line of the next block, from 1; whoever parses a
            block moves it on, which spares counting the lines twice.
        offset: Where in the file the last block begins; None if one cannot begin there.
        read_bytes: How much of the file has been read, as it is on disk.
        is_cut: Whether the file ends inside a line, or a compressed one inside a
            member; known after the last block.
    """

    def __init__(
        self, path: Path, block_bytes: int = BLOCK_BYTES, *, start: Place = START
    ) -> None:
        self.next_line = start.line
        self.offset: int | None = None
        self.read_bytes = 0
        self.is_cut = False
        self._path = path
        self._block_bytes = block_bytes
        self._start = start
        self._pieces: list[bytes] = []  # of a line not yet whole
        self._size = 0

    def __iter__(self) -> Generator[bytes]:
        # Blank lines stay with the first line, which may be a header.
        begun = self._start != START
        with open_file(self._path) as file:
            chunks = Chunks(file, self._block_bytes, self._damaged, self._start.offset)
            for chunk in chunks if begun else self._begin(iter(chunks)):
                self.read_bytes = chunks.position
                end = chunk.rfind(b"\n") + 1
                whole = b"".join([*self._pieces, chunk[:end]]) if end else b""
                begun = begun or bool(whole.strip())
                if begun and end:
                    self.offset = chunks.begin_of(self._size)
                    yield whole
                    self._pieces, self._size = [], 0
                    self._keep(chunk[end:])
                else:
                    self._keep(chunk)
        self.is_cut = chunks.is_cut
        tail = b"".join(self._pieces)
        if is_cut(tail.lstrip()):
            self.is_cut = True
            self.next_line += tail.count(b"\n")
        elif tail.strip():
            yield tail

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_LINE_BYTES:
            raise CassetteFormatError(
                str(self._path),
                self.next_line,
                f"a line of more than {MAX_LINE_BYTES // 1024**2} MiB",
                _FORM,
            )

    def _begin(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Check the start of the file, however small its pieces are."""
        start = b""
        for chunk in chunks:
            start += chunk
            if b"\n" in start or len(start) >= _START_BYTES:
                break  # and not wait for data behind it, which may be damaged
        yield _checked_start(self._path, start)
        yield from chunks

    def _damaged(
        self, compression: Compression, error: Exception
    ) -> CassetteFormatError:
        return CassetteFormatError(
            str(self._path),
            self.next_line,
            f"damaged {compression.name} data from about this line on: {error}",
            "Restore it from git, or record it again.",
        )


class _Start(NamedTuple):
    """What the start of a file says.

    Attributes:
        header: The header; None if there is none.
        is_foreign: Whether it is a capture of another program's.
    """

    header: Header | None
    is_foreign: bool


def _read_start(path: Path) -> _Start:
    """Read the start of a file, unless the file has not changed since it was read."""
    return _ask(_start, path)


@lru_cache(maxsize=256)
def _start(path: str, _state: _State) -> _Start:
    captures = open_foreign(Path(path))
    lines = _whole_lines(Path(path), captures)
    with closing(iter(lines)) as blocks:
        raw = next(blocks, b"")
    body = raw.lstrip()
    if body:
        blank = raw[: len(raw) - len(body)]
        first_line = blank + body.partition(b"\n")[0]
        batch = parse_block(first_line, first_line=1, trusted=False, path=path)
        return _Start(_header_of(batch), bool(captures))
    if not lines.is_cut:
        advice = "Restore it from git, or record it: pytest --record-binance"
        raise CassetteFormatError(path, 0, "is empty", advice)
    return _Start(None, bool(captures))


def _places_of(path: Path) -> Places:
    """Return the places that are known of a file as it is now."""
    return _ask(_places, path)


@lru_cache(maxsize=64)
def _places(_path: str, _state: _State) -> Places:
    return Places()


class _State(NamedTuple):
    """What tells one content of a file from another."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @property
    def changed_us(self) -> int:
        """When anything of it was changed last, microseconds since the epoch."""
        return max(self.modified_ns, self.changed_ns) // 1000


def _state_of(path: Path) -> _State:
    with open_file(path) as file:
        found = os.fstat(file.fileno())
    times_ns = found.st_mtime_ns, found.st_ctime_ns
    return _State(found.st_dev, found.st_ino, found.st_size, *times_ns)


def _ask(remembered: _lru_cache_wrapper[T], path: Path) -> T:
    """Ask for what is remembered of a file, if surely nothing of it has changed."""
    state = _state_of(path)
    is_settled = wall_us() - state.changed_us >= _SETTLED_US
    return (remembered if is_settled else remembered.__wrapped__)(str(path), state)


def _whole_lines(
    path: Path,
    captures: list[ForeignCapture],
    block_bytes: int = BLOCK_BYTES,
    warn: Warn | None = None,
    start: Place = START,
) -> WholeLines | CassetteLines:
    if captures:
        return CassetteLines(captures, block_bytes, warn)
    return WholeLines(path, block_bytes, start=start)


def read_header(path: Path) -> Header:
    """Read the header of a cassette, all None if it has none.

    A file that has not changed since it was last asked for is not read again.

    Raises:
        CassetteFormatError: As `CassetteReader`.
        CassetteNotFoundError: If there is no such file.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    return _read_start(path).header or Header()


class CassetteReader:
    """Reads one cassette, from its first frame, as often as asked.

    A file that is cut short gives its whole lines, with a warning; so does one whose
    frames are not in the order of their receive times.

    Args:
        path: A cassette file, plain, gzip or zstd.
        warn: What is told of a cassette that is not as it should be, once for each
            time it is read.
        block_bytes: How much is read at once.
        trusted: Whether all lines are known to be canonical, which spares a search in
            each block.

    Attributes:
        path: The file.
        header: Its header, all None if it has none.
        has_header: Whether its first line is a header.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If the file is empty or no cassette, or its first line
            cannot be read.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        warn: Warn = warnings.warn,
        block_bytes: int = BLOCK_BYTES,
        trusted: bool = False,
    ) -> None:
        self.path = Path(path)
        self._warn = warn
        self._block_bytes = block_bytes
        self._trusted = trusted
        self._readings: WeakSet[Generator[Any]] = WeakSet()
        start = _read_start(self.path)
        self._is_foreign = start.is_foreign
        self.has_header = start.header is not None
        self.header = start.header or Header()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file wherever it is still being read."""
        for reading in list(self._readings):
            reading.close()

    def batches(self) -> Generator[Batch]:
        """Read all lines behind the header, from the first one on.

        Each call reads on its own. Times never go back: a frame received before an
        earlier one has that one's time, and the payloads keep the file's order.

        Yields:
            Batches of at least one line, about a block each.

        Raises:
            CassetteFormatError: When a line is reached that is no cassette line, or
                compressed data that is damaged.
        """
        return self.batches_near(lambda _: START)[1]

    def batches_near(self, find: Find) -> tuple[Place, Generator[Batch]]:
        """Read all lines from a place on, as `batches` does.

        Args:
            find: Chooses one of the places that are known, of which there are more the
                more of the file was read before.

        Returns:
            The place, and the batches behind it.

        Raises:
            CassetteNotFoundError: If the file is gone.
            CassetteFormatError: As `batches`.
        """
        places = Places() if self._is_foreign else _places_of(self.path)
        start = find(places)
        reading = self._in_order(places, start)
        self._readings.add(reading)
        return start, reading

    def lines(self) -> Generator[Line]:
        """Read all lines, the header first if there is one, with their own times.

        Yields:
            Lines in the order of the file.

        Raises:
            CassetteFormatError: As `batches`.
        """
        reading = self._lines()
        self._readings.add(reading)
        return reading

    def _lines(self) -> Generator[Line]:
        if self.has_header:
            yield self.header
        for _, _, _, batch in self._blocks(START):
            yield from _lines_of(batch)

    def _in_order(self, places: Places, start: Place) -> Generator[Batch]:
        _, _, frames, latest_us = start
        told = False
        for offset, first_line, raw, batch in self._blocks(start):
            if offset is not None:
                places.note(Place(offset, first_line, frames, latest_us))
            times_us = batch.times_us
            frames += len(times_us)
            if not times_us:
                yield batch
            elif times_us[0] >= latest_us and times_us == sorted(times_us):
                latest_us = times_us[-1]
                yield batch
            else:
                if not told:
                    self._warn(self._out_of_order(first_line, raw, latest_us))
                told = True
                raised_us = list(accumulate(times_us, max, initial=latest_us))[1:]
                latest_us = raised_us[-1]
                yield replace(batch, times_us=raised_us)

    def _out_of_order(
        self, first_line: int, raw: bytes, latest_us: int
    ) -> OutOfOrderWarning:
        """Find the first line of a block that goes back."""
        times = [
            (number, time_us)
            for number, line in enumerate(raw.split(b"\n"), first_line)
            for time_us in parse_block(line, first_line=1, trusted=False).times_us
        ]
        latest = accumulate((time_us for _, time_us in times), max, initial=latest_us)
        number, back_us = next(
            (number, latest_us - time_us)
            for (number, time_us), latest_us in zip(times, latest, strict=False)
            if time_us < latest_us
        )
        return OutOfOrderWarning(str(self.path), number, back_us)

    def _blocks(self, start: Place) -> Iterator[tuple[int | None, int, bytes, Batch]]:
        """Parse the whole lines; warn behind the last if it should not be the last.

        Yields:
            Of each block its offset, None if one cannot begin there, the number of its
            first line, its bytes and what they say.
        """
        # A capture of another program's is read as the cassette that it would make.
        captures = open_foreign(self.path) if self._is_foreign else []
        lines = _whole_lines(self.path, captures, self._block_bytes, self._warn, start)
        _, _, frames, last_us = start
        end: End | None = None
        for raw in lines:
            offset, first_line = lines.offset, lines.next_line
            batch, damage = self._parse_sound(first_line, raw)
            lines.next_line += batch.lines
            if _header_of(batch):
                del batch.others[0]
            if batch.times_us:
                frames += len(batch.times_us)
                last_us = batch.times_us[-1]
            end = _end_of(batch) or end
            if batch.times_us or batch.others:
                yield offset, first_line, raw, batch
            if damage is not None:
                raise damage
        if lines.is_cut:
            self._warn(CutShortWarning(str(self.path), lines.next_line))
        else:
            self._check_end(end, frames, last_us)

    def _check_end(self, end: End | None, frames: int, last_us: int) -> None:
        if end is None and (self.header.recorder or "").startswith(OWN_RECORDER):
            self._warn(UnfinishedRecordingWarning(str(self.path), frames, last_us))
        elif end is not None and end.frames != frames:
            self._warn(FrameCountWarning(str(self.path), end.frames, frames))

    def _parse_sound(
        self, first_line: int, raw: bytes
    ) -> tuple[Batch, CassetteFormatError | None]:
        """Parse a block up to its first damaged line; say what is wrong there."""
        try:
            return self._parse(first_line, raw), None
        except CassetteFormatError as error:
            sound = raw.split(b"\n")[: error.line - first_line]
            return self._parse(first_line, b"".join(b"%b\n" % s for s in sound)), error

    def _parse(self, first_line: int, raw: bytes) -> Batch:
        return parse_block(
            raw, first_line=first_line, trusted=self._trusted, path=str(self.path)
        )


def _header_of(batch: Batch) -> Header | None:
    line = batch.others[0][1] if batch.others else None
    return line if isinstance(line, Header) else None


def _end_of(batch: Batch) -> End | None:
    ends = [line for _, line in batch.others if isinstance(line, End)]
    return ends[-1] if ends else None


def _lines_of(batch: Batch) -> Iterator[Line]:
    columns = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
    frames = (
        Frame(time_us, stream.decode(), payload) for time_us, stream, payload in columns
    )
    given = 0
    for before, line in batch.others:
        yield from islice(frames, before - given)
        given = before
        yield line
    yield from frames


def read_lines(path: str | Path) -> Iterator[Line]:
    """Read all lines of a cassette, as `CassetteReader.lines` does."""
    return CassetteReader(path).lines()


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Read the frames of a cassette, in the order of the file, with their own times.

    Raises:
        CassetteFormatError: As `CassetteReader`, at once or when the line is reached.
    """
    lines = read_lines(path)
    return (line for line in lines if isinstance(line, Frame))


# Summary


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a cassette.

    Attributes:
        header: Its header, all None if it has none.
        market: The header's market, else what the payloads tell; None if neither does.
        streams: Number of frames of each stream, in the order of their first frames.
        frames: Number of all frames.
        first_time_us: Receive time of the first frame, microseconds since the epoch;
            None without frames.
        last_time_us: The latest receive time of a frame; None without frames.
        rest: All REST answers, in the order of the file.
        marks: Number of marks.
        problems: The warnings that reading it gave.
    """

    header: Header
    market: Market | None
    streams: Mapping[str, int]
    frames: int
    first_time_us: int | None
    last_time_us: int | None
    rest: tuple[RestAnswer, ...]
    marks: int
    problems: tuple[BinanceReplayWarning, ...]


def summarise(path: str | Path) -> Summary:
    """Read a cassette once, and say what is in it.

    Warns of nothing: what there is to warn of is in ``problems``. A file that has not
    changed since it was last summarised is not read again.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If something in it cannot be read.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    return _summarise(str(path), _state_of(Path(path)))


@lru_cache(maxsize=16)
def _summarise(path: str, _state: _State) -> Summary:
    problems: list[BinanceReplayWarning] = []
    reader = CassetteReader(path, warn=problems.append)
    market = reader.header.market
    streams: Counter[bytes] = Counter()
    others: list[Line] = []
    first_us: int | None = None
    last_us: int | None = None
    for batch in reader.batches():
        if batch.times_us:
            first_us = batch.times_us[0] if first_us is None else first_us
            last_us = batch.times_us[-1]
        streams.update(batch.streams)
        market = market or _market_of(batch)
        others += [line for _, line in batch.others]
    rest = tuple(line for line in others if isinstance(line, RestAnswer))
    return Summary(
        header=reader.header,
        market=market,
        streams={stream.decode(): frames for stream, frames in streams.items()},
        frames=streams.total(),
        first_time_us=first_us,
        last_time_us=last_us,
        rest=rest,
        marks=sum(isinstance(line, Mark) for line in others),
        problems=tuple(problems),
    )


def _market_of(batch: Batch) -> Market | None:
    """Ask one payload of each stream, for most tell or do not tell alike."""
    samples = dict(zip(batch.streams, batch.payloads, strict=True)).values()
    return next(filter(None, map(market_of_payload, samples)), None)
