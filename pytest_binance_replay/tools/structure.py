"""What a cassette is made of, apart from its values: streams, fields, types, pace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import floor, log10
from typing import TYPE_CHECKING, Literal

from pytest_binance_replay.tools.forms import fields_of, form_of

if TYPE_CHECKING:
    from pytest_binance_replay.cassette import Batch

_KEPT_FORMS = 512
_NOT_JSON = "not JSON"
_NEAR = Decimal("0.5")
_LEAST_FRAMES = 20


@dataclass(frozen=True, slots=True)
class FieldUse:
    """How often a field is there, and with values of which types.

    Attributes:
        frames: Payloads that have it.
        types: Payloads that have it with a value of each type: `decimal` (a text that
            is a number), `text`, `integer`, `number`, `boolean`, `null`, `array`,
            `object`.
    """

    frames: int
    types: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StreamUse:
    """How often a stream sends.

    Attributes:
        frames: How many frames it has.
        first_time_us: Receive time of the first, microseconds since the epoch.
        last_time_us: Receive time of the last.
        typical_gap_us: Median of the times between two frames, to two digits,
            microseconds; None for fewer than two frames.
    """

    frames: int
    first_time_us: int
    last_time_us: int
    typical_gap_us: int | None


@dataclass(frozen=True, slots=True)
class Structure:
    """What a cassette is made of.

    Attributes:
        streams: Its streams, in the order of their first frames.
        fields: The fields of each kind of stream, by path: `k.o`. A kind is what the
            streams of all symbols share: `trade`, `depth@100ms`, `!ticker@arr`.
        payloads: How many payloads of each kind there are.
        span_us: From the first frame to the last, microseconds.
    """

    streams: Mapping[str, StreamUse]
    fields: Mapping[str, Mapping[str, FieldUse]]
    payloads: Mapping[str, int]
    span_us: int

    def rate(self, stream: str) -> Decimal | None:
        """Return the frames a second of a stream, over the whole cassette.

        Returns:
            None for a cassette that lasts no time.
        """
        if not self.span_us:
            return None
        return Decimal(self.streams[stream].frames) * 1_000_000 / self.span_us


def kind_of(stream: str) -> str:
    """Return what a stream shares with those of other symbols.

    Example:
        >>> kind_of("btcusdt@depth@100ms"), kind_of("!ticker@arr")
        ('depth@100ms', '!ticker@arr')
    """
    if stream.startswith("!"):
        return stream
    return stream.partition("@")[2] or stream


# Reading


@dataclass(slots=True)
class _Stream:
    """What is counted of one stream."""

    first_time_us: int
    last_time_us: int
    frames: int = 0
    forms: Counter[bytes] = field(default_factory=Counter)
    samples: dict[bytes, bytes] = field(default_factory=dict)
    gaps: Counter[int] = field(default_factory=Counter)
    uses: Counter[tuple[str, str]] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)

    def add(self, time_us: int, payload: bytes) -> None:
        if self.frames:
            self.gaps[_rounded(time_us - self.last_time_us)] += 1
        self.frames += 1
        self.last_time_us = time_us
        form = form_of(payload)
        if form is None:
            self._use(payload, 1)
            return
        self.forms[form] += 1
        if form not in self.samples:
            self.samples[form] = payload
            if len(self.samples) > _KEPT_FORMS:
                self.settle()

    def settle(self) -> None:
        """Count the fields of the forms seen so far, and forget the forms."""
        for form, times in self.forms.items():
            self._use(self.samples[form], times)
        self.forms.clear()
        self.samples.clear()

    def _use(self, payload: bytes, times: int) -> None:
        try:
            wire = json.loads(payload, parse_float=Decimal)
            pairs = dict.fromkeys(fields_of(wire))
        except (ValueError, RecursionError):
            pairs = {("", _NOT_JSON): None}
        for pair in pairs:
            self.uses[pair] += times
        for path in {path for path, _ in pairs}:
            self.fields[path] += times

    def use(self) -> StreamUse:
        return StreamUse(
            self.frames, self.first_time_us, self.last_time_us, _median(self.gaps)
        )


def _rounded(gap_us: int) -> int:
    """Round to two digits, so that few numbers can be different."""
    if gap_us < 100:
        return max(gap_us, 0)
    unit: int = 10 ** (len(str(gap_us)) - 2)
    return gap_us // unit * unit


def _median(gaps: Counter[int]) -> int | None:
    wanted = gaps.total() / 2
    passed = 0
    for gap in sorted(gaps):
        passed += gaps[gap]
        if passed >= wanted:
            return gap
    return None


class StructureReader:
    """Reads the structure of a cassette, frame by frame, in constant memory."""

    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}
        self._first_us: int | None = None
        self._last_us = 0

    def add(self, time_us: int, stream: str, payload: bytes) -> None:
        """Take account of one frame.

        Args:
            time_us: Its receive time, microseconds since the epoch.
            stream: Name of its stream.
            payload: Its payload.
        """
        self._add([time_us], [stream.encode()], [payload])

    def add_batch(self, batch: Batch) -> None:
        """Take account of the frames of a batch."""
        self._add(batch.times_us, batch.streams, batch.payloads)

    def _add(
        self,
        times_us: Sequence[int],
        streams: Sequence[bytes],
        payloads: Sequence[bytes],
    ) -> None:
        known = self._streams
        if not times_us:
            return
        if self._first_us is None:
            self._first_us = times_us[0]
        self._last_us = max(self._last_us, times_us[-1])
        for time_us, name, payload in zip(times_us, streams, payloads, strict=True):
            stream = known.get(name)
            if stream is None:
                stream = known[name] = _Stream(time_us, time_us)
            stream.add(time_us, payload)

    def structure(self) -> Structure:
        """Return what was read so far."""
        payloads: Counter[str] = Counter()
        fields: dict[str, Counter[str]] = {}
        uses: dict[str, Counter[tuple[str, str]]] = {}
        for name, stream in self._streams.items():
            stream.settle()
            kind = kind_of(name.decode())
            payloads[kind] += stream.frames
            fields.setdefault(kind, Counter()).update(stream.fields)
            uses.setdefault(kind, Counter()).update(stream.uses)
        return Structure(
            {name.decode(): stream.use() for name, stream in self._streams.items()},
            {kind: _field_uses(fields[kind], uses[kind]) for kind in fields},
            payloads,
            max(0, self._last_us - (self._first_us or 0)),
        )


def _field_uses(
    fields: Counter[str], uses: Counter[tuple[str, str]]
) -> dict[str, FieldUse]:
    types: dict[str, dict[str, int]] = {}
    for (path, type_name), times in uses.items():
        types.setdefault(path, {})[type_name] = times
    return {path: FieldUse(fields[path], types[path]) for path in types}


# Comparing


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that two cassettes do not have in common.

    Attributes:
        what: What kind of change it is.
        subject: The stream, or the kind of stream and the field: `trade: X`.
        sentence: What changed, without a full stop.
        structural: Whether a program that reads the payloads may notice; rates and
            cadences differ from one recording to the next.
    """

    what: Literal[
        "stream-new",
        "stream-gone",
        "field-new",
        "field-gone",
        "field-type",
        "rate",
        "cadence",
    ]
    subject: str
    sentence: str
    structural: bool = True


def compare(
    old: Structure,
    new: Structure,
    *,
    streams: bool = True,
    statistics: bool = True,
) -> list[Change]:
    """Say what changed from one cassette to another, values apart.

    Args:
        old: What it was.
        new: What it is.
        streams: Whether streams that only one of them has count; fields are compared
            only for kinds of stream that both have.
        statistics: Whether rates and cadences that differ by half and more count.

    Returns:
        Streams first, then fields, then statistics; empty if nothing changed.
    """
    changes: list[Change] = []
    if streams:
        changes += _stream_changes(old, new)
    for kind in sorted(old.fields.keys() & new.fields.keys()):
        changes += _field_changes(kind, old, new)
    if statistics:
        for name in sorted(old.streams.keys() & new.streams.keys()):
            changes += _pace_changes(name, old, new)
    return changes


def _stream_changes(old: Structure, new: Structure) -> Iterator[Change]:
    for name in sorted(old.streams.keys() - new.streams.keys()):
        frames = _count(old.streams[name].frames, "frame")
        yield Change("stream-gone", name, f"stream is gone; it had {frames}")
    for name in sorted(new.streams.keys() - old.streams.keys()):
        frames = _count(new.streams[name].frames, "frame")
        yield Change("stream-new", name, f"stream is new, with {frames}")


def _field_changes(kind: str, old: Structure, new: Structure) -> Iterator[Change]:
    before, after = old.fields[kind], new.fields[kind]
    for path in sorted(before.keys() | after.keys()):
        subject = f"{kind}: {path}" if path else kind
        if path not in after:
            share = _share(before[path].frames, old.payloads[kind])
            sentence = f"field is gone; it was in {share}"
            yield Change("field-gone", subject, sentence)
        elif path not in before:
            share = _share(after[path].frames, new.payloads[kind])
            types = _types(after[path].types)
            yield Change("field-new", subject, f"field is new, {types}, in {share}")
        elif new_types := after[path].types.keys() - before[path].types.keys():
            counted = {name: after[path].types[name] for name in new_types}
            was, share = (
                _types(before[path].types),
                _share(sum(counted.values()), new.payloads[kind]),
            )
            sentence = f"field was {was}, and is {_types(counted)} in {share}"
            yield Change("field-type", subject, sentence)


def _pace_changes(name: str, old: Structure, new: Structure) -> Iterator[Change]:
    before, after = old.streams[name], new.streams[name]
    if min(before.frames, after.frames) < _LEAST_FRAMES:
        return
    old_rate, new_rate = old.rate(name), new.rate(name)
    if old_rate and new_rate and _differ(old_rate, new_rate):
        sentence = f"{rate_text(old_rate)} frames a second, now {rate_text(new_rate)}"
        yield Change("rate", name, sentence, structural=False)
    old_gap, new_gap = before.typical_gap_us, after.typical_gap_us
    if old_gap and new_gap and _differ(Decimal(old_gap), Decimal(new_gap)):
        sentence = f"a frame every {gap_text(old_gap)}, now every {gap_text(new_gap)}"
        yield Change("cadence", name, sentence, structural=False)


def _differ(one: Decimal, other: Decimal) -> bool:
    return min(one, other) <= max(one, other) * _NEAR


def rate_text(rate: Decimal) -> str:
    """Write frames a second with three digits: `0.0512`, `13.4`, `1,204`."""
    digits = 2 - floor(log10(rate)) if rate else 0
    return f"{rate:,.{max(0, min(digits, 6))}f}"


def gap_text(gap_us: int) -> str:
    """Write a time between two frames: `150 µs`, `98 ms`, `2.1 s`."""
    if gap_us < 1_000:
        return f"{gap_us} µs"
    if gap_us < 1_000_000:
        return f"{Decimal(gap_us) / 1_000:.3g} ms"
    return f"{(Decimal(gap_us) / 1_000_000).normalize():f} s"


def _types(types: Iterable[str]) -> str:
    return " or ".join(sorted(types))


def _share(part: int, whole: int) -> str:
    if whole == 1:
        return "the only payload"
    told = f"all {whole:,}" if part == whole else f"{part:,} of {whole:,}"
    return f"{told} payloads"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
