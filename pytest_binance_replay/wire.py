"""WebSocket frames for blocks: each frame made once, joined once for each view.

A server's frames are not masked, so the bytes for a frame are the same for every
client that sees it in the same form. A block therefore keeps, for each distinct
view, the finished bytes, and a client costs one slice of them.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain, compress
from operator import add
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import LineEnds
from pytest_binance_replay.editing import convert_times
from pytest_binance_replay.protocols.binance import combined_text
from pytest_binance_replay.protocols.simple import format_events
from pytest_binance_replay.streams import event_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_binance_replay.streams import Market

    _Rewriter = Callable[[Sequence[bytes]], Sequence[bytes | None]]

_TEXT_FINAL = 0x81
_SHORT, _MEDIUM = 126, 65_536


def _header(size: int) -> bytes:
    """Return the head of an unmasked, unfragmented text frame.

    Source:
        RFC 6455, section 5.2, "Base Framing Protocol".
    """
    if size < _SHORT:
        return bytes((_TEXT_FINAL, size))
    if size < _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


class _Headers(dict[int, bytes]):
    """Heads by size, made when first needed; only sizes below 64 KiB are kept.

    A frame of size 0 is none, and has no head.

    Args:
        start: What the text of every frame begins with, ahead of that size.
    """

    def __init__(self, start: bytes = b"") -> None:
        super().__init__({0: b""})
        self._start = start

    def __missing__(self, size: int) -> bytes:
        header = _header(len(self._start) + size) + self._start
        if size < _MEDIUM:
            self[size] = header
        return header


_HEADERS = _Headers()
_OPEN_HEADERS = _Headers(b"{")


def text_frame(text: bytes) -> bytes:
    """Return a text as one WebSocket frame, as a server sends it.

    Args:
        text: UTF-8.
    """
    return _header(len(text)) + text


class Form(enum.Enum):
    """How a client is sent its events."""

    RAW = "raw"
    COMBINED = "combined"
    SIMPLE = "simple"


@dataclass(frozen=True, slots=True)
class View:
    """What a client sees of a tape: which streams, and in which form.

    Attributes:
        market: The market whose rules the payloads follow.
        keys: Stream keys, see `stream_key`.
        form: Wrapping of the events.
        microseconds: Whether times are converted to microseconds, or back; None
            leaves every byte as it was recorded.
        prefix: Part of each key that stands before the stream name.
    """

    market: Market
    keys: frozenset[bytes] = frozenset()
    form: Form = Form.RAW
    microseconds: bool | None = None
    prefix: bytes = b""

    def name(self, key: bytes) -> bytes:
        """Return the stream name in a stream key."""
        return key[len(self.prefix) :]

    def rewriters(self, keys: Iterable[bytes]) -> dict[bytes, _Rewriter]:
        """Return what changes the payloads of streams, for those that it changes.

        A rewriter takes payloads of its stream, and returns None for an event that the
        form cannot show.
        """
        if self.form is Form.SIMPLE:
            return {
                key: partial(format_events, stream=self.name(key).decode())
                for key in keys
            }
        if self.microseconds is None:
            return {}
        return {
            key: partial(_convert, kind=kind, microseconds=self.microseconds)
            for key in keys
            if (kind := event_kind(self.name(key).decode(), self.market)) is not None
        }


def _convert(
    payloads: Sequence[bytes], *, kind: str, microseconds: bool
) -> list[bytes]:
    return [convert_times(p, kind=kind, microseconds=microseconds) for p in payloads]


def stream_key(name: str, prefix: bytes) -> bytes:
    """Return what identifies a stream on a tape.

    Args:
        name: Stream name.
        prefix: Empty on a tape of one market; else the market and a slash, which no
            stream name contains.
    """
    return prefix + name.encode()


class Wire:
    """The finished bytes of one block for one view.

    Args:
        keys: Stream keys of the frames that the view holds.
        heads: The head of each WebSocket frame, which may reach into its text; empty
            for a frame that the view's form cannot show.
        bodies: The rest of each.
        places: Where in the block those frames are; None if the view holds them all.
        counts: The frames by stream key, those of the empty heads left out; None has
            them counted when asked for.
    """

    __slots__ = (
        "_bodies",
        "_counts",
        "_data",
        "_heads",
        "_keys",
        "_offsets",
        "_places",
    )

    def __init__(
        self,
        keys: Sequence[bytes],
        heads: Sequence[bytes],
        bodies: Sequence[bytes],
        places: Sequence[int] | None,
        counts: Counter[bytes] | None = None,
    ) -> None:
        self._keys = keys
        self._heads = heads
        self._bodies = bodies
        self._places = places
        pieces = [b""] * (2 * len(heads))
        pieces[::2], pieces[1::2] = heads, bodies
        self._data = b"".join(pieces)
        self._offsets: list[int] | None = None
        self._counts = counts

    def _part(self, start: int, stop: int) -> tuple[int, int]:
        if self._places is None:
            return start, stop
        return bisect_left(self._places, start), bisect_left(self._places, stop)

    def cut(self, start: int, stop: int) -> bytes | memoryview:
        """Return the frames of a part of the block, ready for the socket.

        Args:
            start: First frame, counted from the start of the block.
            stop: Frame after the last.
        """
        start, stop = self._part(start, stop)
        if start == 0 and stop == len(self._keys):
            return self._data
        if self._offsets is None:
            sizes = map(add, map(len, self._heads), map(len, self._bodies))
            self._offsets = list(accumulate(sizes, initial=0))
        return memoryview(self._data)[self._offsets[start] : self._offsets[stop]]

    def left_out(self, start: int, stop: int) -> int:
        """Count the frames of a part that the view's form cannot show."""
        start, stop = self._part(start, stop)
        return self._heads[start:stop].count(b"")

    def count(self, start: int, stop: int) -> Counter[bytes]:
        """Count the frames of a part by stream key; the answer is not to be changed.

        Frames that the view's form cannot show do not count.
        """
        start, stop = self._part(start, stop)
        if start > 0 or stop < len(self._keys):
            return Counter(compress(self._keys[start:stop], self._heads[start:stop]))
        if self._counts is None:
            self._counts = Counter(compress(self._keys, self._heads))
        return self._counts


class Block:
    """Some frames that follow each other on a tape, as parallel lists.

    Attributes:
        first: Number of its first frame on the tape, from 0.
        times_us: Receive times, microseconds since the epoch, never going back.
        due_us: Due times on the tape's own time line, in microseconds.
        keys: Stream keys.
        payloads: Payloads, exactly as they came.
    """

    __slots__ = (
        *("due_us", "first", "keys", "payloads", "times_us"),
        *("_counts", "_places", "_wires"),
    )

    def __init__(
        self,
        first: int,
        times_us: list[int],
        due_us: list[int],
        keys: list[bytes],
        payloads: Sequence[bytes],
    ) -> None:
        self.first = first
        self.times_us = times_us
        self.due_us = due_us
        self.keys = keys
        self.payloads = payloads
        self._counts: Counter[bytes] | None = None
        self._places: dict[bytes, list[int]] | None = None
        self._wires: dict[View, Wire] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def end(self) -> int:
        """Number of the frame after its last."""
        return self.first + len(self.keys)

    def wire(self, view: View) -> Wire:
        """Return the bytes for a view, made on first use."""
        wire = self._wires.get(view)
        if wire is None:
            wire = self._wires[view] = _frame(self, view)
        return wire

    def count(self, start: int, stop: int) -> Counter[bytes]:
        """Count frames of a part by stream key; the answer is not to be changed."""
        if start > 0 or stop < len(self.keys):
            return Counter(self.keys[start:stop])
        if self._counts is None:
            self._counts = Counter(self.keys)
        return self._counts

    def places(self, keys: Iterable[bytes]) -> list[int]:
        """Return where in the block the frames of some streams are, in order."""
        if self._places is None:
            self._places = {}
            for place, key in enumerate(self.keys):
                self._places.setdefault(key, []).append(place)
        found = self._places
        return sorted(chain.from_iterable(found.get(key, ()) for key in keys))

    def split(self, number: int) -> tuple[Block, Block]:
        """Return the block's frames before a number, and those from it on."""
        at = number - self.first

        def part(first: int, cut: slice) -> Block:
            return Block(
                first,
                self.times_us[cut],
                self.due_us[cut],
                self.keys[cut],
                self.payloads[cut],
            )

        return part(self.first, slice(at)), part(number, slice(at, None))


def _frame(block: Block, view: View) -> Wire:
    """Frame each payload that a view holds."""
    found = block.count(0, len(block))
    present = view.keys.intersection(found)
    places = None if len(present) == len(found) else block.places(present)
    keys = _pick(block.keys, places)
    rewrite = view.rewriters(present)
    is_combined = view.form is Form.COMBINED
    if is_combined and not rewrite and isinstance(block.payloads, LineEnds):
        ends = _pick(block.payloads.ends, places)
        counts = Counter({key: found[key] for key in present})
        return Wire(keys, _heads(ends, _OPEN_HEADERS), ends, places, counts)
    texts = _rewritten(keys, _pick(block.payloads, places), rewrite)
    if is_combined:
        starts = {key: combined_text(view.name(key), b"")[:-1] for key in present}
        texts = [
            starts[key] + text + b"}" if text else b""
            for key, text in zip(keys, texts, strict=True)
        ]
    return Wire(keys, _heads(texts, _HEADERS), texts, places)


def _rewritten(
    keys: Sequence[bytes], texts: Sequence[bytes], rewrite: Mapping[bytes, _Rewriter]
) -> Sequence[bytes]:
    """Rewrite texts, all of a stream at once; empty is what cannot be shown."""
    if not rewrite:
        return texts
    found = list(texts)
    for key, rewriter in rewrite.items():
        places = [place for place, other in enumerate(keys) if other == key]
        for place, text in zip(places, rewriter(_pick(texts, places)), strict=True):
            found[place] = text or b""
    return found


def _pick(items: Sequence[bytes], places: list[int] | None) -> Sequence[bytes]:
    return items if places is None else list(map(items.__getitem__, places))


def _heads(texts: Sequence[bytes], headers: Mapping[int, bytes]) -> list[bytes]:
    return list(map(headers.__getitem__, map(len, texts)))
