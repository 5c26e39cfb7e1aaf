"""HTTP archives, as browsers and proxies save them, with web socket messages.

Chrome keeps what a socket sent and received in ``_webSocketMessages`` of its entry,
before the entry's own address; the times of entries overlap. So the archive is walked
once for addresses, and then once for each socket, message by message.

Source:
    HAR 1.2 specification; Chrome DevTools' ``_webSocketMessages``, times in seconds.
"""

from __future__ import annotations

import base64
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import merge
from typing import Any, NamedTuple

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.formats.base import (
    Clues,
    Format,
    Item,
    Told,
    answer_of,
    frame_of,
    keep,
    market_of_url,
    refuse,
    request_of_url,
    split_envelope,
    streams_of_url,
)
from pytest_binance_replay.formats.names import Namer

_FIRST = re.compile(rb'\s*\{\s*"log"\s*:\s*\{')
_MESSAGES = "_webSocketMessages"
_KEPT_MEMBERS = {"request", "response", "startedDateTime", "time"}
_MAX_VALUE_CHARACTERS = 64 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECODER = json.JSONDecoder(parse_float=Decimal)
_BLANKS = " \t\r\n"
_DELIMITERS = frozenset(",]}: \t\r\n")

OpenChunks = Callable[[], Iterator[bytes]]


class JsonWalk:
    """Walks a JSON document that need not fit into memory, value by value.

    Args:
        chunks: The document, UTF-8.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder = getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def _more(self, *, least: int = 1) -> bool:
        """Read on, by some characters at the least; tell whether there were any."""
        pieces: list[str] = []
        size = 0
        while size < least and (chunk := next(self._chunks, None)) is not None:
            try:
                pieces.append(self._decoder.decode(chunk))
            except UnicodeDecodeError:
                refuse("it is not UTF-8")
            size += len(pieces[-1])
        self._text = "".join([self._text[self._at :], *pieces])
        self._at = 0
        return size > 0

    def peek(self) -> str:
        """Return the next character that is no blank; empty at the end."""
        while True:
            while self._text[self._at : self._at + 1] in _BLANKS:
                if self._at >= len(self._text):
                    break
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> None:
        """Go on behind a punctuation mark."""
        if self.peek() != character:
            refuse(f"{self.peek() or 'the end'!r} stands where {character!r} should")
        self._at += 1

    def value(self) -> Any:
        """Return the next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                refuse("its values are nested too deeply")
            except ValueError:
                value, end = None, -1
            # What ends with the text may go on, as a number does.
            if self._text[end : end + 1] in _DELIMITERS and 0 <= end < len(self._text):
                self._at = end
                return value
            if len(self._text) - self._at > _MAX_VALUE_CHARACTERS:
                refuse("it has a value of more than 64 million characters")
            # Twice as much each time, for each time it is read from its beginning.
            if not self._more(least=len(self._text) - self._at):
                refuse("it ends inside a value, or is not JSON")

    def members(self) -> Iterator[str]:
        """Enter an object; take each member's value before the next name."""
        self.skip("{")
        while self.peek() != "}":
            name = str(self.value())
            self.skip(":")
            yield name
            if self.peek() != "}":
                self.skip(",")
        self.skip("}")

    def elements(self) -> Iterator[None]:
        """Enter an array; take each element before the next."""
        self.skip("[")
        while self.peek() != "]":
            yield
            if self.peek() != "]":
                self.skip(",")
        self.skip("]")


def _entries(walk: JsonWalk) -> Iterator[None]:
    """Come to each entry."""
    for name in walk.members():
        if name != "log":
            walk.value()
            continue
        for part in walk.members():
            if part == "entries":
                yield from walk.elements()
            else:
                walk.value()


class _Entry(NamedTuple):
    """What an entry says besides its messages."""

    number: int
    url: str
    body: str | None
    status: int
    received_us: int


def _read_entries(walk: JsonWalk) -> Iterator[_Entry]:
    for number, _ in enumerate(_entries(walk)):
        told: dict[str, Any] = {}
        for name in walk.members():
            if name == _MESSAGES:
                for _ in walk.elements():
                    walk.value()
            elif name in _KEPT_MEMBERS:
                told[name] = walk.value()
            else:
                walk.value()
        yield _entry(number, told)


def _entry(number: int, told: dict[str, Any]) -> _Entry:
    try:
        response = told.get("response") or {}
        content = response.get("content") or {}
        text = content.get("text")
        if text is not None and content.get("encoding") == "base64":
            text = base64.b64decode(text).decode(errors="replace")
        moment = datetime.fromisoformat(told["startedDateTime"])
        started_us = (moment - _EPOCH) // timedelta(microseconds=1)
        took_us = int(Decimal(told.get("time") or 0) * 1000)
        url = str(told["request"]["url"])
        status = int(response.get("status") or 0)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        refuse(f"its entry {number + 1} has no address or no time")
    return _Entry(number, url, text, status, started_us + max(took_us, 0))


class HarReader:
    """Reads an HTTP archive."""

    def __init__(self, clues: Clues) -> None:
        self.told = Told(market=clues.market)
        self._known = clues.streams

    def read(self, open_chunks: OpenChunks) -> Iterator[Item]:
        """Read the messages of all sockets to the exchange, and its REST answers."""
        sockets: list[_Entry] = []
        answers: list[Item] = []
        for entry in _read_entries(JsonWalk(open_chunks())):
            market = market_of_url(entry.url)
            if market is None:
                continue
            if entry.url.startswith("ws"):
                self.told.connected(entry.url)
                sockets.append(entry._replace(body=None))
            elif entry.body and entry.status == 200:
                self.told.market = self.told.market or market
                answers.append(_answer(entry))
        answers.sort(key=_time_us)
        messages = [self._messages(open_chunks, socket) for socket in sockets]
        yield from merge(iter(answers), *messages, key=_time_us)

    def _messages(self, open_chunks: OpenChunks, socket: _Entry) -> Iterator[Item]:
        walk = JsonWalk(open_chunks())
        namer = Namer((*self._known, *streams_of_url(socket.url)))
        for number, _ in enumerate(_entries(walk)):
            for name in walk.members():
                if name != _MESSAGES:
                    walk.value()
                    continue
                for _ in walk.elements():
                    message = walk.value()
                    if number == socket.number and _is_received(message):
                        yield _item(message, namer)
            if number == socket.number:
                return


def _is_received(message: object) -> bool:
    return isinstance(message, dict) and message.get("type") == "receive"


def _time_us(item: Item) -> int:
    return item.receive_time_us


def _answer(entry: _Entry) -> Item:
    body = (entry.body or "").strip().encode()
    return answer_of(entry.received_us, request_of_url(entry.url), body)


def _item(message: dict[str, Any], namer: Namer) -> Item:
    try:
        time_us = round(Decimal(message["time"]) * 1_000_000)
        text = str(message["data"]).encode(errors="backslashreplace")
    except (LookupError, TypeError, ValueError, ArithmeticError):
        refuse("a web socket message has no time or no data")
    if (found := split_envelope(text)) is not None:
        return Frame(time_us, *found)
    if b'"result"' in text or b'"error"' in text:
        return keep(time_us, text)
    return frame_of(time_us, namer.name(text), text)


HAR = Format(
    "har",
    "an HTTP archive with web socket messages",
    lambda sample: _FIRST.match(sample) is not None,
    HarReader,
)
