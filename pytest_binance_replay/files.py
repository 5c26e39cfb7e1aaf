"""Cassettes on disk: found by name, read in constant memory, replaced atomically.

Files are told apart by their first bytes, not by their names: plain, gzip or zstd.
Compressed ones are written as independent members (gzip) or frames (zstd) of about
one MiB of lines, so that a reader may start at any of them.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from itertools import accumulate, islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Protocol, Self, TypeAlias
from weakref import WeakSet

from pytest_binance_replay.cassette import (
    Batch,
    End,
    Frame,
    Header,
    Line,
    Mark,
    RestAnswer,
    format_line,
    is_cut,
    parse_block,
)
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteFormatError,
    CassetteLineError,
    CassetteNameError,
    CassetteNotFoundError,
    CutShortWarning,
    FrameCountWarning,
    MissingExtraError,
    OutOfOrderWarning,
    UnfinishedRecordingWarning,
)
from pytest_binance_replay.streams import Market, market_of_payload

BLOCK_BYTES = 131_072
"""How much of a cassette is read at once."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line a cassette may have."""

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
"""How the names of cassette files end."""

DEMO_PREFIX = "demo:"
"""How the names of the bundled cassettes begin."""

OWN_RECORDER = "pytest-binance-replay"
"""How the ``recorder`` of cassettes begins that are sure to end with an end line."""

Warn: TypeAlias = Callable[[BinanceReplayWarning], object]

_START_BYTES = 512  # enough to see what a file is
_COMPRESSED_BYTES = 16_384  # read at once; one byte may expand to a thousand
_MEMBER_BYTES = 1024 * 1024
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 9
_SHOWN_CHARACTERS = 40
_SHOWN_NAMES = 5


# Compression


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Compression(NamedTuple):
    """One way to compress: a file is a sequence of members."""

    name: str
    damage: type[Exception]
    decompressor: Callable[[], _Decompressor]
    compress: Callable[[bytes], bytes]


def _gzip_member(data: bytes) -> bytes:
    # The header has neither time nor name, and no operating system (255), so that the
    # same lines give the same file everywhere.
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    header = b"\x1f\x8b\x08\x00" + bytes(5) + b"\xff"
    return header + packed + struct.pack("<II", zlib.crc32(data), len(data))


def _gzip() -> _Compression:
    def decompressor() -> _Decompressor:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    return _Compression("gzip", zlib.error, decompressor, _gzip_member)


def _zstd_of_python(module: Any) -> _Compression:
    """Use ``compression.zstd``, of Python 3.14 and later."""
    options = {
        module.CompressionParameter.compression_level: _ZSTD_LEVEL,
        module.CompressionParameter.checksum_flag: 1,
    }

    def compress(data: bytes) -> bytes:
        packed: bytes = module.compress(data, options=options)
        return packed

    return _Compression("zstd", module.ZstdError, module.ZstdDecompressor, compress)


def _zstd_of_package(module: Any) -> _Compression:
    """Use the package ``zstandard``."""
    compressor = module.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)

    def decompressor() -> _Decompressor:
        made: _Decompressor = module.ZstdDecompressor().decompressobj()
        return made

    return _Compression("zstd", module.ZstdError, decompressor, compressor.compress)


def _zstd() -> _Compression:
    for name, use in (
        ("compression.zstd", _zstd_of_python),
        ("zstandard", _zstd_of_package),
    ):
        try:
            return use(import_module(name))
        except ImportError:
            continue
    purpose = "A zstd cassette"
    raise MissingExtraError(purpose, "zstd")


_SKIPPABLE_ZSTD_FRAME = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_BY_MAGIC = ((b"\x1f\x8b", _gzip), (b"\x28\xb5\x2f\xfd", _zstd))
_BY_SUFFIX = {".jsonl.gz": _gzip, ".jsonl.zst": _zstd}


def _compression_of(head: bytes) -> _Compression | None:
    """Tell how a file is compressed by its first bytes, as many as there are."""
    for magic, compression in _BY_MAGIC:
        if head[: len(magic)] == magic[: len(head)]:
            return compression()
    return _zstd() if _SKIPPABLE_ZSTD_FRAME.match(head) else None


# Reading


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise _missing_file(path) from None
    except OSError as error:
        # Windows has no error of its own for a directory.
        may_be_directory = isinstance(error, IsADirectoryError | PermissionError)
        if may_be_directory and path.is_dir():
            problem, advice = "is a directory", "Name a cassette in it."
        else:
            reason = error.strerror or str(error)
            problem, advice = f"cannot be read: {reason}", "Check its permissions."
        raise CassetteFormatError(str(path), 0, problem, advice) from None


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


class _WholeLines:
    """The whole lines of a file, decompressed, in blocks.

    Attributes:
        next_line: Number of the first line of the next block, from 1; whoever parses a
            block moves it on, which spares counting the lines twice.
        is_cut: Whether the file ends inside a line, or a compressed one inside a
            member; known after the last block.
    """

    def __init__(self, path: Path, block_bytes: int) -> None:
        self.next_line = 1
        self.is_cut = False
        self._path = path
        self._block_bytes = block_bytes
        self._pieces: list[bytes] = []  # of a line not yet whole
        self._size = 0

    def __iter__(self) -> Generator[bytes]:
        begun = False  # blank lines stay with the first line, which may be a header
        with _open(self._path) as file:
            for chunk in self._begin(self._decompress(file)):
                end = chunk.rfind(b"\n") + 1
                whole = b"".join([*self._pieces, chunk[:end]]) if end else b""
                begun = begun or bool(whole.strip())
                if begun and end:
                    yield whole
                    self._pieces, self._size = [], 0
                    self._keep(chunk[end:])
                else:
                    self._keep(chunk)
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

    def _decompress(self, file: BinaryIO) -> Iterator[bytes]:
        head = file.read(4)
        file.seek(0)
        compression = _compression_of(head) if head else None
        if compression:
            yield from self._members(file, compression)
        else:
            yield from iter(lambda: file.read(self._block_bytes), b"")

    def _members(self, file: BinaryIO, compression: _Compression) -> Iterator[bytes]:
        member: _Decompressor | None = None
        while data := file.read(_COMPRESSED_BYTES):
            while data:
                if member is None:
                    data = data.lstrip(b"\0")  # padding, as tapes and disks leave it
                    member = compression.decompressor() if data else None
                    continue
                try:
                    yield member.decompress(data)
                except compression.damage as error:
                    raise self._damaged(compression, error) from None
                data = member.unused_data if member.eof else b""
                member = None if member.eof else member
        self.is_cut = member is not None

    def _damaged(
        self, compression: _Compression, error: Exception
    ) -> CassetteFormatError:
        return CassetteFormatError(
            str(self._path),
            self.next_line,
            f"damaged {compression.name} data from about this line on: {error}",
            "Restore it from git, or record it again.",
        )


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
        header = self._read_header()
        self.has_header = header is not None
        self.header = header or Header()

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
        reading = self._in_order()
        self._readings.add(reading)
        return reading

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

    def _read_header(self) -> Header | None:
        lines = _WholeLines(self.path, self._block_bytes)
        with closing(iter(lines)) as blocks:
            raw = next(blocks, b"")
        body = raw.lstrip()
        if body:
            blank = raw[: len(raw) - len(body)]
            return _header_of(self._parse(1, blank + body.partition(b"\n")[0]))
        if not lines.is_cut:
            advice = "Restore it from git, or record it: pytest --record-binance"
            raise CassetteFormatError(str(self.path), 0, "is empty", advice)
        return None

    def _lines(self) -> Generator[Line]:
        if self.has_header:
            yield self.header
        for _, _, batch in self._blocks():
            yield from _lines_of(batch)

    def _in_order(self) -> Generator[Batch]:
        latest_us = 0
        told = False
        for first_line, raw, batch in self._blocks():
            times_us = batch.times_us
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

    def _blocks(self) -> Iterator[tuple[int, bytes, Batch]]:
        """Parse the whole lines; warn behind the last if it should not be the last."""
        lines = _WholeLines(self.path, self._block_bytes)
        frames = last_us = 0
        end: End | None = None
        for raw in lines:
            first_line = lines.next_line
            batch = self._parse(first_line, raw)
            lines.next_line += batch.lines
            if _header_of(batch):
                del batch.others[0]
            if batch.times_us:
                frames += len(batch.times_us)
                last_us = batch.times_us[-1]
            end = _end_of(batch) or end
            if batch.times_us or batch.others:
                yield first_line, raw, batch
        if lines.is_cut:
            self._warn(CutShortWarning(str(self.path), lines.next_line))
        elif end is None and (self.header.recorder or "").startswith(OWN_RECORDER):
            self._warn(UnfinishedRecordingWarning(str(self.path), frames, last_us))
        elif end is not None and end.frames != frames:
            self._warn(FrameCountWarning(str(self.path), end.frames, frames))

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
    with _open(Path(path)) as file:
        status = os.fstat(file.fileno())
    state = (status.st_ino, status.st_mtime_ns, status.st_size)
    return _summarise(str(path), os.path.realpath(path), state)


@lru_cache(maxsize=16)
def _summarise(path: str, _real_path: str, _state: tuple[int, ...]) -> Summary:
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


# Writing


class CassetteWriter:
    """Writes one cassette, and puts it in place only when it is whole.

    Until `commit` the lines are in a temporary file beside the target, which stays as
    it was. As a context manager it commits when the block ends, and discards when the
    block raises. The same lines give the same bytes.

    Args:
        path: The file to be; its suffix decides the compression. Missing folders are
            made.
        header: Its first line.

    Attributes:
        path: The file to be.
        frames: Frames written so far.
        last_time_us: The latest receive time written, microseconds since the epoch; 0
            before the first.

    Raises:
        CassetteNameError: If the suffix is not one of a cassette.
        MissingExtraError: If the suffix asks for zstd, which needs the extra.
        CassetteLineError: If the header cannot be a line.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self.path = Path(path)
        self.frames = 0
        self.last_time_us = 0
        self._compress = _compressor_for(self.path)
        self._pending = [format_line(header)]
        self._pending_bytes = len(self._pending[0])
        # A link stays a link, to the new file.
        self._target = Path(os.path.realpath(path))
        self._target.parent.mkdir(parents=True, exist_ok=True)
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._temporary = self._target.with_name(f".binance-replay-{unique}.part")
        self._file = self._temporary.open("xb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None and not self._file.closed:
            self.commit()
        else:
            self.discard()

    def write(self, line: Frame | RestAnswer | Mark) -> None:
        """Append one line.

        Raises:
            CassetteLineError: If it would not read back as it is (see `format_line`).
        """
        self._append(format_line(line), line.receive_time_us)
        self.frames += isinstance(line, Frame)

    def write_raw_frame(
        self, receive_time_us: int, stream: bytes, payload: bytes
    ) -> None:
        """Append one frame, fast: the caller vouches for its parts.

        Args:
            receive_time_us: Microseconds since the epoch, UTC.
            stream: As between its quotes, UTF-8: a name without quotes, backslashes
                and control characters.
            payload: One line of JSON without blanks around it (see `is_payload`).

        Raises:
            CassetteLineError: If the payload is more than one line.
        """
        if b"\n" in payload:
            problem = "its payload is more than one line"
            raise CassetteLineError(problem)
        parts = (receive_time_us, stream, payload)
        self._append(b'{"t":%d,"stream":"%b","data":%b}\n' % parts, receive_time_us)
        self.frames += 1

    def commit(self, *, end_time_us: int | None = None) -> None:
        """Write the end line, and put the file in place of the old one.

        Args:
            end_time_us: When the recording was finished, microseconds since the epoch;
                None for the latest receive time written.

        Raises:
            OSError: If the file cannot be written; the old one is as it was.
        """
        end_us = self.last_time_us if end_time_us is None else end_time_us
        try:
            self._append(format_line(End(end_us, self.frames)), end_us)
            self._flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._target.exists():
                self._temporary.chmod(stat.S_IMODE(self._target.stat().st_mode))
            self._temporary.replace(self._target)
        except BaseException:
            self.discard()
            raise
        _sync_directory(self._target.parent)

    def discard(self) -> None:
        """Give up what was written; without effect on a cassette in place."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _append(self, raw: bytes, time_us: int) -> None:
        self._pending.append(raw)
        self._pending_bytes += len(raw)
        self.last_time_us = max(self.last_time_us, time_us)
        if self._pending_bytes >= _MEMBER_BYTES:
            self._flush()

    def _flush(self) -> None:
        packed = memoryview(self._compress(b"".join(self._pending)))
        self._pending, self._pending_bytes = [], 0
        while packed:
            packed = packed[self._file.write(packed) :]


def _suffix_of(name: str) -> str:
    """Return the cassette suffix of a file name, empty if it has none."""
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def _compressor_for(path: Path) -> Callable[[bytes], bytes]:
    suffix = _suffix_of(path.name)
    if not suffix:
        problem = f"{str(path)!r} is no name for a cassette"
        raise CassetteNameError(problem, f"Let it end in {', '.join(SUFFIXES)}.")
    compression = _BY_SUFFIX.get(suffix)
    return compression().compress if compression else bytes


def _sync_directory(directory: Path) -> None:
    # Windows cannot open a directory, and some network file systems cannot sync one:
    # the file itself is safe there.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Names


def demo_directory() -> Path:
    """Return the folder of the bundled cassettes: in the package, or beside it.

    They are in the package where it was installed, and beside it in a checkout.
    """
    package = Path(__file__).parent
    installed = package / "recordings"
    return installed if installed.is_dir() else package.parent / "recordings"


def find_cassette(name: str | Path, directory: Path) -> Path:
    """Find the file of a cassette by its name.

    Args:
        name: Path below the directory, with or without the suffix; an absolute path;
            or ``demo:`` and the name of a bundled cassette.
        directory: The project's folder of cassettes.

    Raises:
        CassetteNotFoundError: If there is none.
        CassetteNameError: If there are several, or the name leads out of the directory.
    """
    asked = str(name)
    if Path(asked).is_absolute():
        found = _file_of(asked, Path(asked))
        if found is None:
            raise _missing_file(Path(asked))
        return found
    prefix = DEMO_PREFIX if asked.startswith(DEMO_PREFIX) else ""
    root = demo_directory() if prefix else directory
    found = _file_of(asked, _path_below(root, asked, asked.removeprefix(prefix)))
    if found is None:
        names = [prefix + name for name in list_cassettes(root)]
        raise CassetteNotFoundError(asked, str(root), _nearest(asked, names))
    return found


def _path_below(directory: Path, asked: str, name: str) -> Path:
    root = Path(os.path.abspath(directory))  # noqa: PTH100  # links stay as they are
    parts = Path(os.path.normpath(root / name)).parts
    if parts[: len(root.parts)] != root.parts or parts == root.parts:
        problem = f"cassette {asked!r} is not below {directory}"
        advice = "Name one in it, or give an absolute path."
        raise CassetteNameError(problem, advice)
    return Path(os.path.normpath(directory / name))


def _file_of(asked: str, path: Path) -> Path | None:
    """Return the file that a path means, with the suffix it may lack."""
    if _is_file(path):
        return path
    candidates = [Path(f"{path}{suffix}") for suffix in SUFFIXES]
    found = [candidate for candidate in candidates if _is_file(candidate)]
    if len(found) > 1:
        files = " and ".join(map(str, found))
        number = "two" if len(found) == 2 else "three"
        problem = f"{number} cassettes answer to {asked!r}: {files}"
        raise CassetteNameError(problem, "Remove one, or name it with its suffix.")
    return found[0] if found else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for this file system
        return False


def _missing_file(path: Path) -> CassetteNotFoundError:
    # What lies below the folder of a file given by its path may be anything: only the
    # folder itself is looked into.
    names = []
    with suppress(OSError):
        names = [file.name for file in path.parent.iterdir() if _suffix_of(file.name)]
    nearest = _nearest(path.name, sorted(names))
    return CassetteNotFoundError(path.name, str(path.parent), nearest)


def _nearest(asked: str, names: list[str]) -> tuple[str, ...]:
    """Return the names that come near, or all of them when they are few."""
    if len(names) <= _SHOWN_NAMES:
        return tuple(names)
    return tuple(get_close_matches(asked, names, n=3, cutoff=0.4))


def list_cassettes(directory: Path) -> list[str]:
    """List the names of all cassettes below a directory, sorted.

    Names have ``/`` between folders, and no suffix unless two files share the rest.
    Hidden files and folders are left out; a directory that is not there has none.
    """
    files = []
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(folder).relative_to(directory)
        files += [
            (below / name).as_posix()
            for name in names
            if _suffix_of(name) and not name.startswith(".")
        ]
    stems = Counter(map(_without_suffix, files))
    return sorted(
        stem if stems[stem := _without_suffix(name)] == 1 else name for name in files
    )


def _without_suffix(name: str) -> str:
    return name.removesuffix(_suffix_of(name))
