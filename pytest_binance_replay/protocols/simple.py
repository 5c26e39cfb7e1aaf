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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
    event_type, columns = _EVENTS.get(_feature_of(stream), ("", ()))
    try:
        event = json.loads(payload)
        if event["e"] != event_type:
            return None
        readable = {column.name: column.read(event) for column in columns}
        return json.dumps(readable, allow_nan=False).encode()
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return None


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
_EVENTS: dict[str, tuple[str, tuple[_Column, ...]]] = {
    "trade": ("trade", _TRADE),
    "ticker": ("24hrTicker", _TICKER),
    "depth": ("depthUpdate", _DEPTH),
}
