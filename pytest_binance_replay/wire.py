"""WebSocket frames for blocks: each frame made once, joined once for each view.

A server's frames are not masked, so the bytes for a frame are the same for every
client that sees it in the same form. A block therefore keeps, for each distinct
view, the finished bytes, and a client costs one slice of them.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from pytest_binance_replay.editing import convert_times
from pytest_binance_replay.protocols.binance import combined_text
from pytest_binance_replay.protocols.simple import format_event
from pytest_binance_replay.streams import event_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.streams import Market

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
    """Heads by size, made when first needed; only sizes below 64 KiB are kept."""

    def __missing__(self, size: int) -> bytes:
        header = _header(size)
        if size < _MEDIUM:
            self[size] = header
        return header


_HEADERS = _Headers()


def text_frame(text: bytes) -> bytes:
    """Return a text as one WebSocket frame, as a server sends it.

    Args:
        text: UTF-8.
    """
    return _HEADERS[len(text)] + text


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

    def renderer(self, key: bytes) -> Callable[[bytes], bytes | None]:
        """Return the function that turns a payload of a stream into its text."""
        name = key[len(self.prefix) :]
        if self.form is Form.SIMPLE:
            stream = name.decode()
            return lambda payload: format_event(payload, stream=stream)
        convert = self._converter(name)
        if self.form is Form.COMBINED:
            return lambda payload: combined_text(name, convert(payload))
        return convert

    def _converter(self, name: bytes) -> Callable[[bytes], bytes]:
        kind = event_kind(name.decode(), self.market)
        if self.microseconds is None or kind is None:
            return bytes
        microseconds = self.microseconds
        return lambda payload: convert_times(
            payload, kind=kind, microseconds=microseconds
        )


def stream_key(name: str, prefix: bytes) -> bytes:
    """Return what identifies a stream on a tape.

    Args:
        name: Stream name.
        prefix: Empty on a tape of one market; else the market and a slash, which no
            stream name contains.
    """
    return prefix + name.encode()


class Wire:
    """The finished bytes of one block for one view."""

    __slots__ = ("_data", "_offsets", "_pieces")

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._data: bytes | None = None
        self._offsets: list[int] | None = None

    def cut(self, start: int, stop: int) -> bytes | memoryview:
        """Return the frames of a part of the block, ready for the socket.

        Args:
            start: First frame, counted from the start of the block.
            stop: Frame after the last.
        """
        if self._data is None:
            self._data = b"".join(self._pieces)
        if start == 0 and stop == len(self._pieces):
            return self._data
        if self._offsets is None:
            self._offsets = list(accumulate(map(len, self._pieces), initial=0))
        return memoryview(self._data)[self._offsets[start] : self._offsets[stop]]

    def holds(self, index: int) -> bool:
        """Return whether a frame of the block is for this view."""
        return bool(self._pieces[index])


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
        payloads: list[bytes],
    ) -> None:
        self.first = first
        self.times_us = times_us
        self.due_us = due_us
        self.keys = keys
        self.payloads = payloads
        self._wires: dict[View, Wire] = {}
        self._counts: dict[View, Counter[bytes]] = {}

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
            wire = self._wires[view] = Wire(_pieces(self, view))
        return wire

    def counts(self, view: View, start: int, stop: int) -> Counter[bytes]:
        """Count the frames for a view, by stream key, in a part of the block."""
        if stop - start < len(self.keys):
            return self._count(view, start, stop)
        counts = self._counts.get(view)
        if counts is None:
            counts = self._counts[view] = self._count(view, start, stop)
        return counts

    def _count(self, view: View, start: int, stop: int) -> Counter[bytes]:
        wire = self.wire(view)
        keys = self.keys
        return Counter(keys[n] for n in range(start, stop) if wire.holds(n))

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


def _pieces(block: Block, view: View) -> list[bytes]:
    """Frame each payload that a view holds; b"" stands for the others."""
    render = {key: view.renderer(key) for key in view.keys}
    pieces = []
    for key, payload in zip(block.keys, block.payloads, strict=True):
        text = render[key](payload) if key in render else None
        pieces.append(b"" if text is None else _HEADERS[len(text)] + text)
    return pieces
