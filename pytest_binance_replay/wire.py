"""WebSocket frames for blocks: each frame made once, joined once for each view.

A server's frames are not masked, so the bytes for a frame are the same for every
client that sees it in the same form. A block therefore keeps, for each distinct
view, the finished bytes, and a client costs one slice of them.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain, compress
from operator import add
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import LineEnds
from pytest_binance_replay.editing import convert_times
from pytest_binance_replay.protocols.binance import combined_text
from pytest_binance_replay.protocols.simple import format_event
from pytest_binance_replay.streams import event_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_binance_replay.streams import Market

    _Rewriter = Callable[[bytes], bytes | None]

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

        A rewriter returns None for an event that the form cannot show.
        """
        if self.form is Form.SIMPLE:
            return {
                key: partial(format_event, stream=self.name(key).decode())
                for key in keys
            }
        if self.microseconds is None:
            return {}
        return {
            key: partial(convert_times, kind=kind, microseconds=self.microseconds)
            for key in keys
            if (kind := event_kind(self.name(key).decode(), self.market)) is not None
        }


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
        keys: Stream keys of the block's frames.
        heads: The head of each WebSocket frame, which may reach into its text; empty
            for a frame that the view does not hold.
        bodies: The rest of each.

    Attributes:
        holds_all: Whether the view holds every frame.
    """

    __slots__ = (
        *("_bodies", "_counts", "_data", "_heads", "_keys", "_offsets"),
        "holds_all",
    )

    def __init__(
        self, keys: Sequence[bytes], heads: Sequence[bytes], bodies: Sequence[bytes]
    ) -> None:
        self._keys = keys
        self._heads = heads
        self._bodies = bodies
        self.holds_all = all(heads)
        self._data = b"".join(chain.from_iterable(zip(heads, bodies, strict=True)))
        self._offsets: list[int] | None = None
        self._counts: Counter[bytes] | None = None

    def cut(self, start: int, stop: int) -> bytes | memoryview:
        """Return the frames of a part of the block, ready for the socket.

        Args:
            start: First frame, counted from the start of the block.
            stop: Frame after the last.
        """
        if start == 0 and stop == len(self._keys):
            return self._data
        if self._offsets is None:
            sizes = map(add, map(len, self._heads), map(len, self._bodies))
            self._offsets = list(accumulate(sizes, initial=0))
        return memoryview(self._data)[self._offsets[start] : self._offsets[stop]]

    def count(self, start: int, stop: int) -> Counter[bytes]:
        """Count the same frames by stream key; not to be changed."""
        if start > 0 or stop < len(self._keys):
            heads = self._heads[start:stop]
            return Counter(compress(self._keys[start:stop], heads))
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

    __slots__ = ("_counts", "_wires", "due_us", "first", "keys", "payloads", "times_us")

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

    def counts(self, view: View, start: int, stop: int) -> Counter[bytes]:
        """Count the frames for a view, by stream key; not to be changed."""
        wire = self.wire(view)
        return (self if wire.holds_all else wire).count(start, stop)

    def count(self, start: int, stop: int) -> Counter[bytes]:
        """Count the frames of a part by stream key; not to be changed."""
        if start > 0 or stop < len(self.keys):
            return Counter(self.keys[start:stop])
        if self._counts is None:
            self._counts = Counter(self.keys)
        return self._counts

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
    present = view.keys.intersection(block.keys)
    rewrite = view.rewriters(present)
    is_combined = view.form is Form.COMBINED
    if is_combined and not rewrite and isinstance(block.payloads, LineEnds):
        ends = _held(block.keys, block.payloads.ends, present)
        return Wire(block.keys, _heads(ends, _OPEN_HEADERS), ends)
    texts: Sequence[bytes] = block.payloads
    if rewrite:
        texts = [
            (rewrite[key](text) or b"") if key in rewrite else text
            for key, text in zip(block.keys, texts, strict=True)
        ]
    texts = _held(block.keys, texts, present)
    if is_combined:
        starts = {key: combined_text(view.name(key), b"")[:-1] for key in present}
        texts = [
            starts[key] + text + b"}" if text else b""
            for key, text in zip(block.keys, texts, strict=True)
        ]
    return Wire(block.keys, _heads(texts, _HEADERS), texts)


def _held(
    keys: Sequence[bytes], texts: Sequence[bytes], present: frozenset[bytes]
) -> Sequence[bytes]:
    """Empty the texts of frames that a view does not hold."""
    if present.issuperset(keys):
        return texts
    rows = zip(keys, texts, strict=True)
    return [text if key in present else b"" for key, text in rows]


def _heads(texts: Sequence[bytes], headers: Mapping[int, bytes]) -> list[bytes]:
    return list(map(headers.__getitem__, map(len, texts)))
