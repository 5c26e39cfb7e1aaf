"""What all formats share: readers, times, and payloads taken out of their wrappers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, Protocol, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from pytest_binance_replay.cassette import (
    Frame,
    Mark,
    RestAnswer,
    is_payload,
    parse_line,
    unparsed_mark,
)
from pytest_binance_replay.errors import CaptureLineError, CassetteLineError
from pytest_binance_replay.hosts import find_exchange_host
from pytest_binance_replay.streams import Market

Item: TypeAlias = Frame | RestAnswer | Mark
"""One line of the cassette that a capture becomes."""

UNDATED = -1
"""Receive time of what a capture gives no time for, not even inside the payload."""

FROM_EVENT_TIME = "from event time"
"""How a header calls receive times that are made from what the payloads say."""


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known of a capture from outside.

    Attributes:
        name: Name of the file, which may tell the symbol and the interval.
        market: None if the user does not say.
        symbol: Upper case; None if the user does not say.
        streams: Stream names that the user says are in it.
        sample: The capture's first lines.
    """

    name: str = ""
    market: Market | None = None
    symbol: str | None = None
    streams: tuple[str, ...] = ()
    sample: bytes = b""


@dataclass(slots=True)
class Told:
    """What a capture says about itself; grows while it is read.

    Attributes:
        market: None if it does not say.
        source: Where it was taken from: a URL; None if it does not say.
        streams: Names that it asked for, or says it has.
        notes: What the reader made up, by the name of the header's member.
    """

    market: Market | None = None
    source: str | None = None
    streams: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def connected(self, url: str) -> None:
        """Note a connection."""
        self.source = self.source or url.partition("?")[0]
        self.market = self.market or market_of_url(url)
        self.streams += [s for s in streams_of_url(url) if s not in self.streams]


class LineReader(Protocol):
    """Reads a capture line by line.

    Attributes:
        told: What the capture has said about itself so far.
    """

    told: Told

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line, which is not blank and has no line end.

        Raises:
            CaptureLineError: If it is no line of this format.
        """

    def finish(self) -> Iterable[Item]:
        """Give what was held back until the end."""


class DocumentReader(Protocol):
    """Reads a capture that is one document.

    Attributes:
        told: What the capture has said about itself so far.
    """

    told: Told

    def read(self, open_chunks: Callable[[], Iterator[bytes]]) -> Iterator[Item]:
        """Read the document, which can be opened as often as needed.

        Raises:
            CaptureLineError: If it is no document of this format.
        """


class Format(NamedTuple):
    """One form that captures have.

    Attributes:
        name: What the user calls it by.
        title: What it is, in words.
        recognises: Whether the first bytes of a capture look like it.
        reader: Makes what reads one capture.
    """

    name: str
    title: str
    recognises: Callable[[bytes], bool]
    reader: Callable[[Clues], LineReader | DocumentReader]


def refuse(problem: str) -> NoReturn:
    """Say that a line is not of the format."""
    raise CaptureLineError(problem) from None


# Times

_EVENT_TIME = re.compile(rb'"E"\s*:\s*([0-9]{13,16})\b')
_LEAST_MICROSECONDS = 10**14
LATEST_US = 253_402_300_799_999_999
"""The end of the year 9999, the latest time that a cassette can say."""


def to_us(time: int) -> int:
    """Return a time in microseconds, given in them or in milliseconds."""
    return time if time >= _LEAST_MICROSECONDS else time * 1000


def event_time_us(payload: bytes) -> int:
    """Return a payload's event time, the newest of an array; else `UNDATED`."""
    times = _EVENT_TIME.findall(payload)
    return max(map(to_us, map(int, times))) if times else UNDATED


_SECONDS = re.compile(rb"([0-9]{1,11})(?:\.([0-9]{1,12}))?")


def seconds_to_us(text: bytes) -> int:
    """Return a time written as seconds since the epoch, rounded to microseconds.

    Raises:
        CaptureLineError: If it is not written so.
    """
    found = _SECONDS.fullmatch(text)
    if found is None:
        refuse(f"{text.decode(errors='replace')!r} is no time in seconds")
    digits = (found[2] or b"").ljust(7, b"0")
    fraction = (int(digits[:7]) + 5) // 10
    return int(found[1]) * 1_000_000 + fraction


# Payloads in their wrappers

_ENVELOPE = re.compile(
    rb'\{"stream":"([^"\\\x00-\x1f]+)","data":(?:(\{.*\})|(\[.*\]))\}'
)
_ENDS = (b"},", b"} ", b"}\t", b"}\r")
_MEMBER_AFTER = re.compile(rb'[}\]][ \t\r]*,[ \t\r]*"')


def split_envelope(text: bytes) -> tuple[str, bytes] | None:
    """Take a message of a combined stream apart.

    Args:
        text: One line.

    Returns:
        Stream name and payload, exactly as it came; None if it is no such message.
    """
    found = _ENVELOPE.fullmatch(text)
    if found is not None:
        stream, in_braces, in_brackets = found.groups()
        if _is_alone(in_braces) if in_braces else not _MEMBER_AFTER.search(in_brackets):
            return stream.decode(errors="replace"), in_braces or in_brackets
    return _parse_envelope(text)


def _is_alone(in_braces: bytes) -> bool:
    """Tell whether text from brace to brace is surely one object.

    Where it is not, the object's own end is followed by another member. Looking for
    two bytes costs a tenth of what an expression does.
    """
    return not any(end in in_braces for end in _ENDS)


def _parse_envelope(text: bytes) -> tuple[str, bytes] | None:
    body = text.strip()
    if not body.startswith(b"{") or b'"stream"' not in body or b'"data"' not in body:
        return None
    try:
        # A time makes it a cassette line, whose parser keeps payloads as they are.
        line = parse_line(b'{"t":0,' + body[1:])
    except CassetteLineError:
        return None
    return (line.stream, line.payload) if isinstance(line, Frame) else None


def keep(time_us: int, text: bytes, stream: str | None = None) -> Mark:
    """Keep a message that is no frame of any stream, as it came."""
    return unparsed_mark(max(time_us, 0), stream, text)


def frame_of(time_us: int, stream: str | None, payload: bytes) -> Item:
    """Make a frame of a bare payload, or keep what cannot be one."""
    if stream is None or not is_payload(payload):
        return keep(time_us, payload, stream)
    return Frame(time_us, stream, payload)


# Addresses


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # half an IPv6 address
        return urlsplit("")


def market_of_url(url: str) -> Market | None:
    """Return the market of an address of the exchange."""
    host = find_exchange_host(_split(url).hostname or "")
    if host is None:
        return None
    if host.market is None:
        path = _split(url).path
        return "usdm" if path.startswith(("/fapi/", "/dapi/")) else "spot"
    return "spot" if host.market == "spot" else "usdm"


def streams_of_url(url: str) -> list[str]:
    """Return the stream names that an address asks for."""
    parts = _split(url)
    names = [
        value for key, _, value in (p.partition("=") for p in parts.query.split("&"))
        if key == "streams"
    ]  # fmt: skip
    text = "/".join(names) if names else parts.path.partition("/ws/")[2]
    return [unquote(name) for name in text.split("/") if name]


def request_of_url(url: str) -> str:
    """Return path and query of an address."""
    parts = _split(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def answer_of(time_us: int, request: str, body: bytes) -> Item:
    """Make a REST answer of a recorded body, or keep what is no JSON."""
    if not is_payload(body):
        return keep(time_us, body)
    status = 400 if body.startswith(b'{"code":') else 200
    return RestAnswer(time_us, request, status, body)
