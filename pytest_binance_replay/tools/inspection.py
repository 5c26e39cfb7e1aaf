"""Cassette files looked through from end to end, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeAlias

from pytest_binance_replay.cassette import Batch, Frame, format_line, parse_block
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.files import OWN_RECORDER, CassetteReader, WholeLines
from pytest_binance_replay.soundness import Finding, Soundness
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tools.overview import Overview, OverviewReader
from pytest_binance_replay.tools.structure import Structure, StructureReader

Progress: TypeAlias = Callable[[int], object]
"""Told now and then how many bytes of a file have been read, as it is on disk."""


class FileCheck:
    """The check of one file; iterate over it once.

    Args:
        path: A cassette file, plain, gzip or zstd.
        market: Whose streams they are; None takes the header's word, or else what the
            payloads tell.
        progress: Told how far it is.

    Attributes:
        frames: Frames checked so far.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        market: Market | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._path = Path(path)
        self._check = Soundness(market=market)
        self._progress = progress

    @property
    def frames(self) -> int:
        """Frames checked so far."""
        return self._check.frames

    @property
    def market(self) -> Market | None:
        """The market, as far as it is known."""
        return self._check.market

    def __iter__(self) -> Iterator[Finding]:
        lines = WholeLines(self._path)
        try:
            yield from self._look_at_lines(lines)
        except CassetteFormatError as error:
            if not error.line:
                raise
            yield Finding("line", "error", error.line, None, error.problem)
            yield from self._check.finish()
            return
        if lines.next_line == 1 and not lines.is_cut:
            raise _empty(self._path)
        yield from self._check.finish()
        yield from self._look_at_the_end(lines)

    def _look_at_lines(self, lines: WholeLines) -> Iterator[Finding]:
        for raw in lines:
            count, found = self._check.feed_block(lines.next_line, raw)
            lines.next_line += count
            yield from found
            if self._progress is not None:
                self._progress(lines.read_bytes)

    def _look_at_the_end(self, lines: WholeLines) -> Iterator[Finding]:
        recorder = self._check.header.recorder or ""
        if lines.is_cut:
            sentence = "the file ends inside this line"
            yield Finding("cut", "error", lines.next_line, None, sentence)
        elif not self._check.has_end and recorder.startswith(OWN_RECORDER):
            sentence = "the recording was not finished: there is no end line"
            yield Finding("end", "note", 0, None, sentence)


def check_file(
    path: str | Path,
    *,
    market: Market | None = None,
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """Check a cassette.

    Args:
        path: A cassette file, plain, gzip or zstd.
        market: Whose streams they are; None takes the header's word, or else what the
            payloads tell.
        progress: Told how far it is.

    Yields:
        What was found, in the order in which it shows: what only a later line can tell
        comes behind that line.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If the file cannot be read, or is no cassette.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    yield from FileCheck(path, market=market, progress=progress)


def read_batches(
    path: str | Path, *, progress: Progress | None = None
) -> Iterator[Batch]:
    """Read all lines of a cassette, the header too, with their own times.

    Unlike what plays a cassette, this looks neither at the order of the lines nor at
    the end of the file.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If something in it cannot be read.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    lines = WholeLines(Path(path))
    for raw in lines:
        batch = parse_block(
            raw, first_line=lines.next_line, trusted=False, path=str(path)
        )
        lines.next_line += batch.lines
        yield batch
        if progress is not None:
            progress(lines.read_bytes)
    if lines.next_line == 1 and not lines.is_cut:
        raise _empty(path)


def canonical_lines(path: str | Path) -> Generator[str]:
    """Read all lines as text in one form, however they are spaced in the file.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If something in it cannot be read.
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    with CassetteReader(path, warn=_say_nothing) as reader:
        for line in reader.lines():
            if isinstance(line, Frame):  # which `format_line` would parse once more
                start = f'{{"t":{line.receive_time_us},"stream":"{line.stream}","data":'
                yield f"{start}{line.payload.decode()}}}"
            else:
                yield format_line(line).decode().rstrip("\n")


def _say_nothing(_: object) -> None:
    """Leave what is wrong with a file to its check."""


def overview_of(path: str | Path, *, progress: Progress | None = None) -> Overview:
    """Sum up a cassette; raises as `read_batches`."""
    reader = OverviewReader()
    for batch in read_batches(path, progress=progress):
        reader.add_batch(batch)
    return reader.overview()


def structure_of(path: str | Path, *, progress: Progress | None = None) -> Structure:
    """Read which fields and streams a cassette has; raises as `read_batches`."""
    structure = StructureReader()
    for batch in read_batches(path, progress=progress):
        structure.add_batch(batch)
    return structure.structure()


def _empty(path: str | Path) -> CassetteFormatError:
    advice = "Restore it from git, or record it: pytest --record-binance"
    return CassetteFormatError(str(path), 0, "is empty", advice)
