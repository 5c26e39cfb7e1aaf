"""The client's side of combined streams: what to ask, and what an upstream's texts say.

The payload of a stream's message is cut out of its wrapper as it stands.

Source:
    Binance Spot API docs, "WebSocket Streams": combined streams, "Live subscribing".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from pytest_binance_replay.cassette import Frame, is_payload, parse_line
from pytest_binance_replay.errors import CassetteLineError

if TYPE_CHECKING:
    from collections.abc import Sequence

SHUTDOWN_STREAM = b"!serverShutdown"
"""Name under which a server says that it will go; nobody subscribes to it."""

_WRAPPED = re.compile(
    rb'\{"stream":"([^"\\\x00-\x1f]+)","data":(\{.*\}|\[.*\])\}', re.DOTALL
)
_SHUTDOWN = re.compile(rb'\s*\{\s*"e"\s*:\s*"serverShutdown"')


# Messages of the usual form are seen to hold JSON by one expression, at a fraction of
# what it costs to parse them. It knows what market data is made of: no blanks, few
# levels, numbers that any reader takes. A string is all up to the next quote, which is
# right in texts without what is `_ODD`. What it does not match is parsed.

_ODD = bytes({*range(0x20), *b"\\", *range(0x7F, 0x100)})


def _many(item: str) -> str:
    return f"(?:{item}(?:,{item})*+)?+"


_TEXT = '"[^"]*+"'
_NUMBER = r"-?(?:0|[1-9][0-9]{0,18}+)(?:\.[0-9]{1,18}+)?+"
_PLAIN = f"(?:{_TEXT}|true|false|null|{_NUMBER})"
_FLAT = rf"\{{{_many(f'{_TEXT}:{_PLAIN}')}\}}"
_ROW = rf"\[{_many(_PLAIN)}\]"
_ROWS = rf"\[{_many(f'(?:{_PLAIN}|{_ROW})')}\]"
_EVENT = rf"\{{{_many(f'{_TEXT}:(?:{_PLAIN}|{_ROWS}|{_FLAT})')}\}}"
_EVENTS = rf"\[{_many(_FLAT)}\]"
_USUAL = re.compile(rf'\{{"stream":"([^"]++)","data":({_EVENT}|{_EVENTS})\}}'.encode())


class Message(NamedTuple):
    """What a stream brought.

    Attributes:
        stream: Its name, UTF-8.
        payload: One line of JSON, byte for byte.
    """

    stream: bytes
    payload: bytes


class Reply(NamedTuple):
    """An answer to a request of ours.

    Attributes:
        number: The request's `id`; None where the answer has none.
        error: The exchange's words if it refused; None if it agreed.
    """

    number: int | None
    error: str | None


def subscribe_text(streams: Sequence[str], number: int) -> str:
    """Write the request for some streams."""
    request = {"method": "SUBSCRIBE", "params": list(streams), "id": number}
    return json.dumps(request, ensure_ascii=False, separators=(",", ":"))


def read_message(raw: bytes) -> Message | Reply | None:
    """Read one text from a combined connection.

    Returns:
        None for what is neither a stream's message with one line of JSON in it, nor
        an answer.
    """
    if len(raw.translate(None, _ODD)) == len(raw):
        usual = _USUAL.fullmatch(raw)
        if usual is not None:
            return Message(usual[1], usual[2])
    found = _WRAPPED.fullmatch(raw)
    if found is not None and is_payload(found[2]):
        return Message(found[1], found[2])
    if _SHUTDOWN.match(raw) and is_payload(raw):
        return Message(SHUTDOWN_STREAM, raw)
    return _read_slowly(raw) or _read_reply(raw)


def _read_slowly(raw: bytes) -> Message | None:
    """Read a wrapper of any spacing and order of members.

    With a time in it, it is a line of a cassette.
    """
    opening, brace, rest = raw.partition(b"{")
    if not brace or opening.strip():
        return None
    try:
        line = parse_line(b'{"t":0,%b' % rest)
    except CassetteLineError:
        return None
    if not isinstance(line, Frame):
        return None
    return Message(line.stream.encode(), line.payload)


def _read_reply(raw: bytes) -> Reply | None:
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or not {"result", "error"} & reply.keys():
        return None
    number = reply.get("id")
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return Reply(number if is_number else None, _words_of(reply.get("error")))


def _words_of(error: object) -> str | None:
    if error is None:
        return None
    text = error.get("msg") if isinstance(error, dict) else None
    return str(text or error)
