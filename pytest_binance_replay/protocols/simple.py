"""The simple protocol: one pair and one stream at a time, events with readable names.

Its events are the one place where prices become floats: they are JSON numbers on its
wire, written as Python writes a float, and clients of it expect just those.

Source:
    What the protocol's first server sends, so that its clients find the same here.
    Where that one stumbles (tickers it never sends, levels without their values),
    this one sends what was meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from pytest_binance_replay.errors import JsonTextError
from pytest_binance_replay.protocols.json_text import parse_json
from pytest_binance_replay.streams import is_well_formed

INVALID_DATA = '{"error":"Invalid data"}'
"""The reply to whatever is no request."""

# Native streams that can feed one of ours, the best first. An aggregate of trades is
# not a trade, and other speeds of depth are not what a plain subscription means.
_FEEDS = {
    "trade": ("trade",),
    "ticker": ("ticker",),
    "depth": ("depth", "depth@100ms"),
}


@dataclass(frozen=True, slots=True)
class SimpleRequest:
    """A request of a client.

    Attributes:
        action: What to do.
        pair: As sent; only one in upper case has events.
        stream: As sent; only `trade`, `ticker` and `depth` have events.
    """

    action: Literal["subscribe", "unsubscribe"]
    pair: str
    stream: str


def parse_request(text: str) -> SimpleRequest | None:
    """Parse what a client sent in one text message.

    Args:
        text: Any text. Members that mean nothing are ignored.

    Returns:
        The request, or None for what is none: the reply is then `INVALID_DATA`.
    """
    try:
        value = parse_json(text)
    except JsonTextError:
        return None
    match value:
        case {
            "action": "subscribe" | "unsubscribe" as action,
            "pair": str() as pair,
            "stream": str() as stream,
        }:
            return SimpleRequest(action, pair, stream)
        case _:
            return None


def format_reply(request: SimpleRequest) -> str:
    """Format the reply to a request: the same for known and unknown subscriptions.

    Example:
        >>> format_reply(SimpleRequest("subscribe", "LTCUSDT", "trade"))
        '{"action":"subscribe","subscription":"LTCUSDT-trade","result":true}'
    """
    reply = {
        "action": request.action,
        "subscription": f"{request.pair}-{request.stream}",
        "result": True,
    }
    return json.dumps(reply, ensure_ascii=False, separators=(",", ":"))


def native_names(pair: str, stream: str) -> tuple[str, ...]:
    """Name the native streams that can feed a subscription.

    Args:
        pair: As the client wrote it.
        stream: As the client wrote it.

    Returns:
        Native names, the best first; none for an unknown stream, and for a pair that
        is not in upper case, as events have it.

    Example:
        >>> native_names("LTCUSDT", "depth")
        ('ltcusdt@depth', 'ltcusdt@depth@100ms')
    """
    if pair != pair.upper():
        return ()
    names = (f"{pair.lower()}@{feed}" for feed in _FEEDS.get(stream, ()))
    return tuple(name for name in names if is_well_formed(name))


def subscriptions_fed_by(name: str) -> tuple[str, ...]:
    """Name the subscriptions that a native stream can feed; at most one so far.

    Example:
        >>> subscriptions_fed_by("ltcusdt@depth@100ms")
        ('LTCUSDT-depth',)
    """
    symbol, _, feature = name.partition("@")
    fed = (stream for stream, feeds in _FEEDS.items() if feature in feeds)
    return tuple(f"{symbol.upper()}-{stream}" for stream in fed)


def format_events(payloads: Sequence[bytes], *, stream: str) -> Sequence[bytes | None]:
    """Format events of one stream, each as `format_event` does."""
    kind = _KINDS.get(_feature_of(stream))
    return [None] * len(payloads) if kind is None else kind.format(payloads)


def format_event(payload: bytes, *, stream: str) -> bytes | None:
    """Format an event as clients of this protocol read it.

    Args:
        payload: The event as recorded, of either market. Its times are kept as they
            are, in milliseconds or in microseconds.
        stream: Native name of the stream it came on.

    Returns:
        JSON with the spaces that Python puts in; None for a payload that is no whole
        event of the stream's kind, and for all payloads of other kinds of stream.

    Example:
        >>> depth = b'{"e":"depthUpdate","E":3,"s":"A","U":1,"u":2,"b":[],"a":[]}'
        >>> format_event(depth, stream="a@depth")[-45:]
        b'"final_update_id": 2, "bids": [], "asks": []}'
    """
    return format_events([payload], stream=stream)[0]


def _feature_of(stream: str) -> str:
    return stream.partition("@")[2].partition("@")[0]


def _unchanged(value: object) -> object:
    return value


def _read_levels(levels: list[list[object]]) -> list[dict[str, object]]:
    """Name the members of each level; before 2019-03-12 spot sent a third, empty."""
    return [{"price": level[0], "quantity": level[1]} for level in levels]


@dataclass(frozen=True, slots=True)
class _Column:
    """One member of a readable event, and where its value comes from."""

    name: str
    key: str
    convert: Callable[[Any], object] = _unchanged
    is_optional: bool = False

    def read(self, event: Mapping[str, object]) -> object:
        if self.is_optional and event.get(self.key) is None:
            return None
        return self.convert(event[self.key])


_HEAD = (
    _Column("event", "e"),
    _Column("event_time", "E", int),
    _Column("symbol", "s", str),
)
_TRADE = (
    *_HEAD,
    _Column("price", "p", float),
    _Column("quantity", "q", float),
    _Column("trade_time", "T", int),
    _Column("market_marker", "m"),  # the misspelling is the wire's
    _Column("ignore", "M", is_optional=True),
)
_TICKER = (
    *_HEAD,
    _Column("price_change", "p", float),
    _Column("price_change_percent", "P", float),
    _Column("weighted_avg_price", "w", float),
    _Column("last_price", "c", float),
    _Column("last_quantity", "Q", float),
    _Column("open_price", "o", float),
    _Column("high_price", "h", float),
    _Column("low_price", "l", float),
    _Column("volume", "v", float),
    _Column("quote_volume", "q", float),
    _Column("open_time", "O", int),
    _Column("close_time", "C", int),
    _Column("number_of_trades", "n", int),
    _Column("first_trade_price", "x", float, is_optional=True),
    _Column("first_trade_id", "F", str, is_optional=True),
    _Column("last_trade_id", "L", str, is_optional=True),
    _Column("best_bid_price", "b", float, is_optional=True),
    _Column("best_bid_quantity", "B", float, is_optional=True),
    _Column("best_ask_price", "a", float, is_optional=True),
    _Column("best_ask_quantity", "A", float, is_optional=True),
)
_DEPTH = (
    *_HEAD,
    _Column("first_update_id", "U", int),
    _Column("final_update_id", "u", int),
    _Column("bids", "b", _read_levels),
    _Column("asks", "a", _read_levels),
)


# Events by shape
#
# Events of one stream look alike: the same members in the same order. Such a shape is
# learned from an event that was parsed; from then on the members are cut out of the
# payload and put into a finished text. That gives what parsing gives: a shape whose
# first event comes out otherwise is not kept, and it takes only values that JSON and
# Python write alike. Everything else is parsed.

_FORMS = {
    "text": rb'"[A-Za-z0-9_.-]*"',
    "integer": rb"0|-?[1-9][0-9]{0,18}",
    "word": rb"true|false",
    "levels": rb'\[(?:\["[0-9.]+","[0-9.]+"\](?:,\["[0-9.]+","[0-9.]+"\])*)?\]',
}
_MEMBER = re.compile(
    rb'"(?P<key>[A-Za-z]+)":(?:%b)'
    % b"|".join(rb"(?P<%b>%b)" % (n.encode(), f) for n, f in _FORMS.items())
)
_DECIMAL = rb'"-?[0-9]{1,15}(?:\.[0-9]{1,15})?"'
_KEPT_SHAPES = 8
_KEPT_NUMBERS = 4096  # prices and quantities come again and again

_Writer: TypeAlias = Callable[[bytes], bytes]


@lru_cache(_KEPT_NUMBERS)
def _write_float(raw: bytes) -> bytes:
    return repr(float(raw[1:-1])).encode()


def _write_levels(raw: bytes) -> bytes:
    inside = raw[1:-1].replace(b'"],["', b'"}, {"price": "')
    named = inside.replace(b'","', b'", "quantity": "')
    return b'[{"price": %b}]' % named[1:-1] if named else b"[]"


# By what becomes of a value and the form it comes in: the expression that takes it, and
# how it is written, if not as it is. What can be read in other ways yet, is parsed.
_WAYS: dict[tuple[object, str], tuple[bytes, _Writer | None]] = {
    (float, "text"): (_DECIMAL, _write_float),
    (int, "integer"): (_FORMS["integer"], None),
    (str, "text"): (_FORMS["text"], None),
    (str, "integer"): (_FORMS["integer"], b'"%b"'.__mod__),
    (_unchanged, "text"): (_FORMS["text"], None),
    (_unchanged, "word"): (_FORMS["word"], None),
    (_read_levels, "levels"): (_FORMS["levels"], _write_levels),
}


class _Shape:
    """Events with the same members in the same order.

    Args:
        event: One of them.
        columns: What is to be read in them.

    Raises:
        LookupError: If a value comes in a form that can only be parsed.
    """

    def __init__(self, event: bytes, columns: Sequence[_Column]) -> None:
        members = {found["key"].decode(): found for found in _MEMBER.finditer(event)}
        parts = {key: _FORMS[found.lastgroup or ""] for key, found in members.items()}
        self._columns = [column for column in columns if column.key in members]
        self._writers: list[tuple[int, _Writer]] = []
        for index, column in enumerate(self._columns):
            way = column.convert, members[column.key].lastgroup or ""
            form, writer = _WAYS[way]
            parts[column.key] = rb"(?P<%b>%b)" % (column.key.encode(), form)
            if writer is not None:
                self._writers.append((index, writer))
        event_type = members["e"]["text"]
        parts["e"] = rb"(?P<e>%b)" % re.escape(event_type)
        texts = (rb'"%b":(?:%b)' % (key.encode(), form) for key, form in parts.items())
        whole = re.compile(rb"\{%b\}\n" % b",".join(texts))
        self._split = whole.split
        self._step = whole.groups + 1
        self._groups = [whole.groupindex[column.key] for column in self._columns]
        self._text = self._template(columns)

    def _template(self, columns: Sequence[_Column]) -> bytes:
        values = (b"%b" if column in self._columns else b"null" for column in columns)
        names = (column.name.encode() for column in columns)
        rows = zip(names, values, strict=True)
        return b"{%b}" % b", ".join(b'"%b": %b' % row for row in rows)

    def format(self, payloads: Sequence[bytes]) -> list[bytes] | None:
        """Format events; None if any of them has another shape."""
        # What is between the events, and the groups of each, in one flat list.
        parts = self._split(b"\n".join([*payloads, b""]))
        if any(parts[:: self._step]) or len(parts) // self._step != len(payloads):
            return None
        columns = (parts[group :: self._step] for group in self._groups)
        values: list[Iterable[bytes]] = list(columns)
        for index, write in self._writers:
            values[index] = map(write, values[index])
        return list(map(self._text.__mod__, zip(*values, strict=True)))


class _Kind:
    """Events of one kind, and the shapes of it that were met.

    Args:
        event_type: What such events are called on the native wire.
        columns: What is read in them.
    """

    def __init__(self, event_type: str, columns: Sequence[_Column]) -> None:
        self._event_type = event_type
        self._columns = columns
        self._shapes: list[_Shape] = []

    def format(self, payloads: Sequence[bytes]) -> Sequence[bytes | None]:
        """Format events; None for each that is not of this kind."""
        for shape in self._shapes:
            if (texts := shape.format(payloads)) is not None:
                return texts
        return [self._format_one(payload) for payload in payloads]

    def _format_one(self, payload: bytes) -> bytes | None:
        for shape in self._shapes:
            if (texts := shape.format([payload])) is not None:
                return texts[0]
        text = self._parse(payload)
        if text is not None and len(self._shapes) < _KEPT_SHAPES:
            with suppress(LookupError):
                shape = _Shape(payload, self._columns)
                if shape.format([payload]) == [text]:
                    self._shapes.append(shape)
        return text

    def _parse(self, payload: bytes) -> bytes | None:
        try:
            event = json.loads(payload)
            if event["e"] != self._event_type:
                return None
            readable = {column.name: column.read(event) for column in self._columns}
            return json.dumps(readable, allow_nan=False).encode()
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
            return None


_KINDS = {
    "trade": _Kind("trade", _TRADE),
    "ticker": _Kind("24hrTicker", _TICKER),
    "depth": _Kind("depthUpdate", _DEPTH),
}
