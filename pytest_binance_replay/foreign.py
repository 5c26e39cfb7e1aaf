"""Other people's captures on disk, read in constant memory as cassette lines.

A capture may be plain, gzip, zstd or a zip of several; its form is told by what it
begins with (see `formats`).
"""

from __future__ import annotations

import re
import zipfile
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from pytest_binance_replay.cassette import Frame, Header, format_line
from pytest_binance_replay.chunks import Chunks, open_file
from pytest_binance_replay.errors import (
    CaptureLineError,
    CassetteFormatError,
    CutShortWarning,
)
from pytest_binance_replay.formats import (
    FORMATS,
    FROM_EVENT_TIME,
    UNDATED,
    Clues,
    recognise,
)
from pytest_binance_replay.formats.base import LATEST_US
from pytest_binance_replay.streams import market_of_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from pytest_binance_replay.compression import Compression
    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.formats import (
        DocumentReader,
        Format,
        Item,
        LineReader,
        Told,
    )

    Warn = Callable[[BinanceReplayWarning], object]

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line a capture may have."""

_SAMPLE_BYTES = 65_536
_BLOCK_BYTES = 131_072
_HELD_ITEMS = 10_000  # without a time, before the first that has one
_ZIP = b"PK\x03\x04"
_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_CASSETTE_STARTS = (b'{"cassette"', b'{"t":', b'{"end"')


def _damaged_as(label: str) -> Callable[[Compression, Exception], Exception]:
    def damaged(compression: Compression, error: Exception) -> Exception:
        problem = f"damaged {compression.name} data: {error}"
        return CassetteFormatError(label, 0, problem, "Get the file again.")

    return damaged


class ForeignCapture:
    """One capture: a file, or a member of a zip file.

    Args:
        path: The file.
        member: Name of the member; None for a file that is no zip.
        form: Its form.
        clues: What is known of it from outside.
        label: How the user knows it.

    Attributes:
        label: How the user knows it.
        form: Its form.
        told: What it has said about itself, when it was read last.
        position: How much of the file was read so far, bytes as on the disk; 0 for a
            member of a zip.
    """

    def __init__(
        self, path: Path, member: str | None, form: Format, clues: Clues, label: str
    ) -> None:
        self.label = label
        self.form = form
        self.clues = clues
        self.position = 0
        self._path = path
        self._member = member
        self.told: Told = form.reader(clues).told

    def items(self, *, warn: Warn | None = None, default_us: int = 0) -> Iterator[Item]:
        """Read it from its beginning.

        Args:
            warn: Is told if the capture is cut short.
            default_us: Receive time where there is none at all, microseconds.

        Raises:
            CassetteFormatError: When a line is reached that is not of the form.
        """
        reader = self.form.reader(self.clues)
        self.told = reader.told
        if hasattr(reader, "read"):
            raw = self._document(cast("DocumentReader", reader))
        else:
            raw = self._lines(reader, warn)
        if reader.told.notes.get("receive_times") != FROM_EVENT_TIME:
            return raw
        return _dated(raw, default_us)

    def _document(self, reader: DocumentReader) -> Iterator[Item]:
        try:
            yield from reader.read(self._chunks)
        except CaptureLineError as error:
            raise self._refused(0, error) from None

    def _lines(self, reader: LineReader, warn: Warn | None) -> Iterator[Item]:
        number = 0
        blank = getattr(reader, "blank", tuple)
        lines = _Lines(self.label, self._chunks())
        for number, line in enumerate(lines, 1):
            if not line or line.isspace():
                yield from blank()
                continue
            try:
                yield from reader.take(line)
            except CaptureLineError as error:
                if not lines.at_tail:
                    raise self._refused(number, error) from None
                if warn is not None:
                    warn(CutShortWarning(self.label, number))
        yield from reader.finish()

    def _refused(self, number: int, error: CaptureLineError) -> CassetteFormatError:
        problem = f"not {self.form.title}: {error.problem}"
        advice = (
            "Cut the line out, or name another form with --from."
            if number
            else "Name another form with --from."
        )
        return CassetteFormatError(self.label, number, problem, advice)

    def _chunks(self) -> Iterator[bytes]:
        if self._member is not None:
            yield from _zip_chunks(self._path, self._member, self.label)
            return
        with open_file(self._path) as file:
            chunks = Chunks(file, _BLOCK_BYTES, _damaged_as(self.label))
            for chunk in chunks:
                self.position = chunks.position
                yield chunk


class _Lines:
    """The lines of a file; the last may lack its line end, and be cut."""

    def __init__(self, label: str, chunks: Iterator[bytes]) -> None:
        self.at_tail = False
        self._label = label
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        pieces: list[bytes] = []
        size = 0
        first = True
        for chunk in self._chunks:
            *whole, last = chunk.split(b"\n")
            if whole:
                line = b"".join([*pieces, whole[0]])
                yield line.removeprefix(b"\xef\xbb\xbf") if first else line
                first = False
                yield from whole[1:]
                pieces, size = [], 0
            pieces.append(last)
            size += len(last)
            if size > MAX_LINE_BYTES:
                problem = f"a line of more than {MAX_LINE_BYTES // 1024**2} MiB"
                raise CassetteFormatError(self._label, 0, problem, "Cut it out.")
        tail = b"".join(pieces).rstrip(b"\0")
        if tail:
            self.at_tail = True
            yield tail


def _zip_chunks(path: Path, member: str, label: str) -> Generator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            while data := file.read(_BLOCK_BYTES):
                yield data
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        problem = f"damaged zip data: {error}"
        raise CassetteFormatError(label, 0, problem, "Get the file again.") from None


def _dated(items: Iterable[Item], default_us: int) -> Iterator[Item]:
    """Give a time to what has none: that of the item before, or of the first after.

    Times that are made up do not go back, for they do not say what came first.
    """
    last_us = UNDATED
    held: list[Item] = []
    for item in items:
        if item.receive_time_us >= max(last_us, 0):
            last_us, dated = item.receive_time_us, item
        elif last_us == UNDATED and len(held) < _HELD_ITEMS:
            held.append(item)
            continue
        else:
            last_us = default_us if last_us == UNDATED else last_us
            dated = replace(item, receive_time_us=last_us)
        for early in held:
            yield replace(early, receive_time_us=last_us)
        held = []
        yield dated
    for early in held:
        yield replace(early, receive_time_us=default_us)


# Opening


def open_foreign(
    path: Path,
    *,
    form: Format | None = None,
    clues: Clues | None = None,
    label: str | None = None,
) -> list[ForeignCapture]:
    """Open a file of somebody else's.

    Args:
        path: The file.
        form: Its form; None tells it by the content.
        clues: What the user says of it.
        label: How the user knows it; None for the path.

    Returns:
        Its captures: one, or as many as a zip file has; none for a cassette, and for
        what is of no known form.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If it cannot be read, or nothing in a zip is known.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    shown = label or str(path)
    known = clues or Clues()
    with open_file(path) as file:
        head = file.read(len(_ZIP))
        file.seek(0)
        if head != _ZIP:
            sample = _sample_of(file, shown)
            found = None if _is_cassette(sample) else form or recognise(sample)
            if found is None:
                return []
            told = replace(known, name=path.name, sample=sample)
            return [ForeignCapture(path, None, found, told, shown)]
    return _members_of(path, form, known, shown)


def _is_cassette(sample: bytes) -> bool:
    start = sample.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(_CASSETTE_STARTS) and recognise(sample) is None


def _sample_of(file: BinaryIO, label: str) -> bytes:
    """Read the beginning, as far as it can be read: whoever goes on is told."""
    sample = b""
    with suppress(CassetteFormatError):
        for chunk in Chunks(file, _SAMPLE_BYTES, _damaged_as(label)):
            sample += chunk
            if len(sample) >= _SAMPLE_BYTES or sample.startswith(_CASSETTE_STARTS):
                break
    whole = sample.rfind(b"\n", 0, _SAMPLE_BYTES) + 1
    return sample[: whole or _SAMPLE_BYTES]


def _members_of(
    path: Path, form: Format | None, clues: Clues, label: str
) -> list[ForeignCapture]:
    captures = []
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        problem = f"damaged zip data: {error}"
        raise CassetteFormatError(label, 0, problem, "Get the file again.") from None
    for name in names:
        shown = f"{label}/{name}"
        with closing(_zip_chunks(path, name, shown)) as chunks:
            sample = next(chunks, b"")[:_SAMPLE_BYTES]
        if (found := form or recognise(sample)) is not None:
            told = replace(clues, name=name, sample=sample)
            captures.append(ForeignCapture(path, name, found, told, shown))
    if not captures:
        problem = "nothing in it is a capture of a known form"
        raise CassetteFormatError(label, 0, problem, known_forms())
    return captures


def known_forms() -> str:
    """Return a sentence that lists the forms there are."""
    return f"Known are {', '.join(form.title for form in FORMATS.values())}."


# Captures in place of cassettes


class CassetteLines:
    """A capture as the blocks of the cassette it would make.

    Args:
        captures: What one file holds.
        block_bytes: About how much text a block has.
        warn: Is told if the capture is cut short.

    Attributes:
        next_line: As in the blocks of a cassette.
        is_cut: False: a capture that is cut has told so itself.
    """

    def __init__(
        self, captures: list[ForeignCapture], block_bytes: int, warn: Warn | None
    ) -> None:
        self.next_line = 1
        self.offset: int | None = None
        self.is_cut = False
        self._captures = captures
        self._block_bytes = block_bytes
        self._warn = warn

    def __iter__(self) -> Generator[bytes]:
        pieces: list[bytes] = []
        size = 0
        for line in self._lines():
            pieces.append(line)
            size += len(line)
            if size >= self._block_bytes:
                yield b"".join(pieces)
                pieces, size = [], 0
        if pieces:
            yield b"".join(pieces)

    def _lines(self) -> Iterator[bytes]:
        for capture in self._captures:
            items = capture.items(warn=self._warn)
            first = next(items, None)
            if capture is self._captures[0]:
                yield format_line(_header_of(capture, first))
            if first is not None:
                yield format_item(first)
            yield from map(format_item, items)


def _header_of(capture: ForeignCapture, first: Item | None) -> Header:
    """Return the header that can be known before the capture is read."""
    told = capture.told
    guess = market_of_payload(first.payload) if isinstance(first, Frame) else None
    return Header(
        market=capture.clues.market or told.market or guess,
        source=told.source,
        recorded_at=None if first is None else iso_time(first.receive_time_us),
        extra=dict(told.notes),
    )


def format_item(item: Item) -> bytes:
    """Write one line of a cassette; fast for a frame of a plain stream name."""
    if isinstance(item, Frame):
        stream = item.stream.encode(errors="backslashreplace")
        if is_plain(stream):
            parts = (item.receive_time_us, stream, item.payload)
            return b'{"t":%d,"stream":"%b","data":%b}\n' % parts
    return format_line(item)


def is_plain(stream: bytes) -> bool:
    """Tell whether a stream name stands in JSON as it is."""
    return not _SPECIAL.search(stream)


def iso_time(time_us: int) -> str:
    """Return a time as ISO 8601, whole seconds without a fraction."""
    time_us = min(max(time_us, 0), LATEST_US)
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    fraction = f".{time_us % 1_000_000:06}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
