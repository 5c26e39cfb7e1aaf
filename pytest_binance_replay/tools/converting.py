"""Captures of others and cassettes, turned into one cassette.

They are walked twice: once to learn what they hold, for the header comes first, and
once to write it. Several are laid on one time line by receive time.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from heapq import merge
from importlib.metadata import version
from itertools import accumulate, islice, tee
from operator import attrgetter, itemgetter
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from pytest_binance_replay.cassette import End, Frame, Header, RestAnswer
from pytest_binance_replay.errors import (
    CassetteFormatError,
    MarketsDifferError,
    MarketUnknownError,
    NothingLeftError,
)
from pytest_binance_replay.files import OWN_RECORDER, CassetteReader
from pytest_binance_replay.foreign import (
    ForeignCapture,
    is_plain,
    iso_time,
    known_forms,
    open_foreign,
)
from pytest_binance_replay.formats import Clues
from pytest_binance_replay.streams import market_of_payload, parse_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.formats import Format, Item
    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.writer import CassetteWriter

    Warn = Callable[[BinanceReplayWarning], object]

_NEVER_US = 2**63
_STEP_ITEMS = 4096  # between two reports of progress
_MICROSECONDS = re.compile(rb'"E"\s*:\s*[0-9]{16}\b')
_FORMS_WITHOUT_SYMBOL = frozenset({"rest", "public-data"})
_NOTES_OF_A_HEADER = ("receive_times", "payloads", "stream_names")


def own_recorder() -> str:
    """Return what this package calls itself in a header."""
    return f"{OWN_RECORDER} {version('pytest-binance-replay')}"


class Input(Protocol):
    """What can be turned into a cassette.

    Attributes:
        label: How the user knows it.
        form: What it is, in words.
        size: Bytes on the disk.
    """

    label: str
    form: str
    size: int

    @property
    def position(self) -> int:
        """How much of the file was read so far, bytes."""

    @property
    def market(self) -> Market | None:
        """Its market, as far as it says so itself."""

    @property
    def source(self) -> str | None:
        """Where it was taken from."""

    @property
    def asked(self) -> Sequence[str]:
        """Streams that it was asked for."""

    @property
    def notes(self) -> Mapping[str, object]:
        """What was made up about it, by member of the header."""

    def items(self, warn: Warn, default_us: int) -> Iterator[Item]:
        """Read it from its beginning."""


class CaptureInput:
    """Somebody else's capture.

    Args:
        capture: The capture.
        size: Bytes of its file.
    """

    def __init__(self, capture: ForeignCapture, size: int) -> None:
        self.capture = capture
        self.label = capture.label
        self.form = capture.form.title
        self.size = size

    @property
    def position(self) -> int:
        """How much of the file was read so far, bytes."""
        return self.capture.position

    @property
    def market(self) -> Market | None:
        """Its market, as far as it says so itself."""
        return self.capture.told.market

    @property
    def source(self) -> str | None:
        """Where it was taken from."""
        return self.capture.told.source

    @property
    def asked(self) -> Sequence[str]:
        """Streams that it was asked for."""
        return self.capture.told.streams

    @property
    def notes(self) -> Mapping[str, object]:
        """What was made up."""
        return self.capture.told.notes

    def items(self, warn: Warn, default_us: int) -> Iterator[Item]:
        """Read it from its beginning."""
        return self.capture.items(warn=warn, default_us=default_us)


class CassetteInput:
    """A cassette.

    Args:
        path: The file.
        label: How the user knows it.
    """

    form = "a cassette"

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self.size = path.stat().st_size
        self.position = 0
        self._path = path
        with CassetteReader(path, warn=_ignore) as reader:
            self.header = reader.header

    @property
    def market(self) -> Market | None:
        """Its market, as its header says."""
        return self.header.market

    @property
    def source(self) -> str | None:
        """Where it was taken from."""
        return self.header.source

    @property
    def asked(self) -> Sequence[str]:
        """Streams that it was asked for."""
        return self.header.streams or ()

    @property
    def notes(self) -> Mapping[str, object]:
        """What was made up, and all else that its header says."""
        return self.header.extra

    def items(self, warn: Warn, default_us: int) -> Iterator[Item]:
        """Read it from its beginning."""
        with CassetteReader(self._path, warn=warn) as reader:
            for line in reader.lines():
                if not isinstance(line, Header | End):
                    yield line


def _ignore(_: object) -> None:
    """Take what will be told again when the file is read."""


def open_inputs(
    paths: Sequence[Path], *, form: Format | None = None, clues: Clues | None = None
) -> list[Input]:
    """Open captures and cassettes, each told by its content.

    Args:
        paths: The files.
        form: The form of all; None tells each one's.
        clues: What the user says of them.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If one is neither a cassette nor of a known form.
        MissingExtraError: If one is compressed by zstd, which needs the extra.
    """
    inputs: list[Input] = []
    for path in paths:
        captures = open_foreign(path, form=form, clues=clues)
        size = path.stat().st_size
        inputs += [CaptureInput(capture, size // len(captures)) for capture in captures]
        if not captures:
            inputs.append(_open_cassette(path))
    return inputs


def _open_cassette(path: Path) -> Input:
    try:
        return CassetteInput(path, str(path))
    except CassetteFormatError as error:
        told = ("is not a cassette", "not a cassette line: it has none of")
        if not error.problem.startswith(told):
            raise
        problem = "is neither a cassette nor a capture of a known form"
        advice = f"{known_forms()} Name one with --from if it is."
        raise CassetteFormatError(str(path), 0, problem, advice) from None


# What is in them


@dataclass(frozen=True, slots=True)
class Survey:
    """What captures hold together.

    Attributes:
        header: The header of the cassette that they make.
        streams: Number of frames of each stream, in the order of their first frames.
        first_time_us: Receive time of the first frame, microseconds; 0 without any.
        last_time_us: The latest one.
        rest: Number of REST answers.
        marks: Number of marks.
    """

    header: Header
    streams: Mapping[str, int]
    first_time_us: int
    last_time_us: int
    rest: int
    marks: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(self.streams.values())


class _Findings:
    """What a first walk over one input finds."""

    def __init__(self) -> None:
        self.streams: Counter[str] = Counter()
        self.market: Market | None = None
        self.first_us = _NEVER_US
        self.last_us = 0
        self.rest = self.marks = 0

    def add(self, item: Item) -> None:
        if isinstance(item, Frame):
            time_us, streams = item.receive_time_us, self.streams
            if item.stream in streams:
                streams[item.stream] += 1
            else:
                streams[item.stream] = 1
                self.market = self.market or _market_of(item.payload)
            if time_us > self.last_us:
                self.last_us = time_us
            if time_us < self.first_us:
                self.first_us = time_us
        elif isinstance(item, RestAnswer):
            self.rest += 1
        else:
            self.marks += 1


def _first_us(found: Iterable[_Findings]) -> int:
    first_us = min((findings.first_us for findings in found), default=_NEVER_US)
    return 0 if first_us == _NEVER_US else first_us


def _market_of(payload: bytes) -> Market | None:
    # Only spot streams can be asked for times in microseconds.
    in_us = _MICROSECONDS.search(payload) is not None
    return market_of_payload(payload) or ("spot" if in_us else None)


class Conversion:
    """Inputs that become one cassette.

    Args:
        inputs: The inputs; of what was received at the same time, what the first has
            goes first.
        clues: What the user says of them.
        warn: Takes what is odd about them.
        progress: Is told how many bytes were read, of `total_bytes`.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        *,
        clues: Clues | None = None,
        warn: Warn = _ignore,
        progress: Callable[[int], object] = _ignore,
    ) -> None:
        self.inputs = list(inputs)
        self._clues = clues or Clues()
        self._warn = warn
        self._progress = progress
        self._before_bytes = 0
        self._first_us = 0

    @property
    def total_bytes(self) -> int:
        """How many bytes both walks read."""
        return 2 * sum(source.size for source in self.inputs)

    def survey(self) -> Survey:
        """Walk over the inputs for the first time.

        Raises:
            CassetteFormatError: If something in them cannot be read.
            MarketsDifferError: If they are of two markets.
            MarketUnknownError: If nothing says which market they are of.
            NothingLeftError: If they hold nothing at all.
        """
        # What has no symbol and no time takes them from what is read before.
        told = [source for source in self.inputs if not _lacks_symbol(source)]
        rest = [source for source in self.inputs if _lacks_symbol(source)]
        found = {id(source): self._find(source) for source in told}
        self._first_us = _first_us(found.values())
        for source in rest:
            _tell_symbol(source, found.values())
            found[id(source)] = self._find(source)
        return self._sum([found[id(source)] for source in self.inputs])

    def _find(self, source: Input) -> _Findings:
        findings = _Findings()
        items = source.items(self._warn, self._first_us)
        while batch := list(islice(items, _STEP_ITEMS)):
            for item in batch:
                findings.add(item)
            self._progress(self._before_bytes + source.position)
        self._before_bytes += source.size
        return findings

    def _sum(self, found: Sequence[_Findings]) -> Survey:
        streams: Counter[str] = Counter()
        for findings in found:
            streams.update(findings.streams)
        rest = sum(findings.rest for findings in found)
        marks = sum(findings.marks for findings in found)
        if not streams and not rest:
            label = " and ".join(source.label for source in self.inputs)
            raise NothingLeftError(label, "there is no frame in it")
        first_us = _first_us(found)
        last_us = max(findings.last_us for findings in found)
        header = self._header(found, streams, first_us)
        return Survey(header, streams, first_us, last_us, rest, marks)

    def _header(
        self, found: Sequence[_Findings], streams: Mapping[str, int], first_us: int
    ) -> Header:
        asked = [name for source in self.inputs for name in source.asked]
        sources = dict.fromkeys(source.source for source in self.inputs)
        return Header(
            market=self._market(found),
            source=next(filter(None, sources), None),
            recorded_at=iso_time(first_us),
            streams=tuple(dict.fromkeys([*asked, *streams])),
            recorder=own_recorder(),
            extra={
                **_notes_of(self.inputs),
                "converted_from": [PurePath(s.label).name for s in self.inputs],
            },
        )

    def _market(self, found: Sequence[_Findings]) -> Market:
        if self._clues.market is not None:
            return self._clues.market
        markets = [
            (source.label, market)
            for source, findings in zip(self.inputs, found, strict=True)
            if (market := source.market or findings.market) is not None
        ]
        if not markets:
            raise MarketUnknownError(self.inputs[0].label)
        (one, market), *others = markets
        for other, other_market in others:
            if other_market != market:
                raise MarketsDifferError(one, market, other, other_market)
        return market

    def items(self) -> Iterator[Item]:
        """Walk over the inputs again, on one time line."""
        walks = [source.items(_ignore, self._first_us) for source in self.inputs]
        items = merge_by_time(walks)
        while batch := list(islice(items, _STEP_ITEMS)):
            yield from batch
            read = sum(source.position for source in self.inputs)
            self._progress(self._before_bytes + read)


def _lacks_symbol(source: Input) -> bool:
    return (
        isinstance(source, CaptureInput)
        and source.capture.form.name in _FORMS_WITHOUT_SYMBOL
        and source.capture.clues.symbol is None
    )


def _tell_symbol(source: Input, found: Iterable[_Findings]) -> None:
    """Let a capture without a symbol have the only one of the others."""
    told = list(found)
    parsed = [
        parse_stream(name, market)
        for findings in told
        for name in findings.streams
        for market in ("spot", "usdm")
    ]
    symbols = {name.symbol for name in parsed if name and name.symbol}
    markets = {findings.market for findings in told} - {None}
    if isinstance(source, CaptureInput) and len(symbols) == 1:
        capture = source.capture
        symbol = next(iter(symbols)).upper()
        market = capture.clues.market
        if market is None and len(markets) == 1:
            market = next(iter(markets))
        capture.clues = replace(capture.clues, symbol=symbol, market=market)


def _notes_of(inputs: Iterable[Input]) -> dict[str, object]:
    notes: dict[str, object] = {}
    for source in inputs:
        for name in _NOTES_OF_A_HEADER:
            if note := source.notes.get(name):
                notes.setdefault(name, note)
    return notes


_time_of = attrgetter("receive_time_us")


def merge_by_time(walks: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """Lay lines of several origins on one time line.

    Each origin keeps its order: a line received before an earlier one counts as
    received with it. Of the same time, the first origin's go first.
    """
    if len(walks) == 1:
        yield from walks[0]
        return
    for _, item in merge(*map(_keyed, walks), key=itemgetter(0)):
        yield item


def _keyed(walk: Iterator[Item]) -> Iterator[tuple[int, Item]]:
    items, again = tee(walk)
    return zip(accumulate(map(_time_of, again), max), items, strict=True)


def write_items(writer: CassetteWriter, items: Iterable[Item]) -> None:
    """Write lines, frames of plain stream names fast.

    Raises:
        CassetteLineError: If a line would not read back as it is.
    """
    plain: dict[str, bytes] = {}
    for item in items:
        if isinstance(item, Frame) and (name := plain.get(item.stream)):
            writer.write_raw_frame(item.receive_time_us, name, item.payload)
            continue
        writer.write(item)
        if isinstance(item, Frame) and is_plain(item.stream.encode(errors="replace")):
            plain[item.stream] = item.stream.encode()
