"""Cassette lines as rows of tables, one table for each kind of event.

Prices and quantities stay the texts they are; times are microseconds. What is of no
kind with a table of its own, or is not what its stream promises, goes to ``others``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qs

from pytest_binance_replay.cassette import Frame, Mark, RestAnswer

Type = Literal["time", "whole", "decimal", "text", "bool"]
Value: TypeAlias = "str | int | bool | None"
Line: TypeAlias = "Frame | RestAnswer | Mark"


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: Type


class Row(NamedTuple):
    """One row, and the name of its table."""

    table: str
    values: tuple[Value, ...]


def _columns(names: str) -> tuple[Column, ...]:
    """Read columns from ``name:type`` words."""
    pairs = (word.partition(":") for word in names.split())
    return tuple(Column(name, kind or "text") for name, _, kind in pairs)  # type: ignore[arg-type]


_HEAD = "receive_time:time event_time:time stream symbol"
TABLES: Mapping[str, tuple[Column, ...]] = {
    "trades": _columns(
        f"{_HEAD} trade_time:time id:whole price:decimal quantity:decimal "
        "buyer_is_maker:bool"
    ),
    "agg_trades": _columns(
        f"{_HEAD} trade_time:time id:whole price:decimal quantity:decimal "
        "buyer_is_maker:bool first_trade_id:whole last_trade_id:whole"
    ),
    "book_tickers": _columns(
        f"{_HEAD} update_id:whole bid_price:decimal bid_quantity:decimal "
        "ask_price:decimal ask_quantity:decimal"
    ),
    "klines": _columns(
        f"{_HEAD} interval start_time:time end_time:time open:decimal high:decimal "
        "low:decimal close:decimal volume:decimal quote_volume:decimal trades:whole "
        "taker_buy_volume:decimal taker_buy_quote_volume:decimal is_closed:bool"
    ),
    "depth": _columns(
        f"{_HEAD} picture first_update_id:whole final_update_id:whole side "
        "price:decimal quantity:decimal"
    ),
    "tickers": _columns(
        f"{_HEAD} open_price:decimal high_price:decimal low_price:decimal "
        "last_price:decimal volume:decimal quote_volume:decimal"
    ),
    "mark_prices": _columns(
        f"{_HEAD} mark_price:decimal index_price:decimal funding_rate:decimal "
        "next_funding_time:time"
    ),
    "others": _columns("receive_time:time kind stream payload"),
}
"""Columns of each table; ``picture`` is ``diff``, ``partial`` or ``snapshot``."""

_LEAST_MICROSECONDS = 10**14


def _us(time: Any) -> int | None:
    if time is None:
        return None
    return int(time) if int(time) >= _LEAST_MICROSECONDS else int(time) * 1000


Event = Mapping[str, Any]


def rows_of(line: Line) -> Iterator[Row]:
    """Return the rows that a line makes: one, or for depth one for each level."""
    try:
        yield from list(_rows(line))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        yield _other(line)


def _rows(line: Line) -> Iterable[Row]:
    if isinstance(line, RestAnswer):
        path, _, query = line.request.partition("?")
        if not path.endswith("/depth"):
            return [_other(line)]
        symbol = parse_qs(query)["symbol"][0]
        return _depth(line.receive_time_us, line.request, symbol, "snapshot", line)
    if isinstance(line, Mark):
        return [_other(line)]
    event = json.loads(line.payload, parse_float=str)
    if isinstance(event, list):
        return [row for member in event for row in _event_rows(line, member)]
    return _event_rows(line, event)


def _event_rows(frame: Frame, event: Event) -> Iterable[Row]:
    kind = event.get("e")
    if (kind is None and "lastUpdateId" in event) or kind == "depthUpdate":
        symbol = event.get("s") or frame.stream.partition("@")[0].upper()
        feature = frame.stream.partition("@")[2]
        is_diff = feature.split("@")[0] in {"depth", "rpiDepth"}
        picture = "diff" if is_diff else "partial"
        return _depth(frame.receive_time_us, frame.stream, symbol, picture, frame)
    if kind is None and {"u", "b", "a"} <= event.keys():
        kind = "bookTicker"
    known = _MAKERS.get(kind or "")
    if known is None:
        return [_other(frame)]
    table, make = known
    head = (frame.receive_time_us, _us(event.get("E")), frame.stream, event["s"])
    return [Row(table, (*head, *make(event)))]


def _trade(event: Event) -> tuple[Value, ...]:
    key = "a" if event["e"] == "aggTrade" else "t"
    return _us(event["T"]), event[key], event["p"], event["q"], event["m"]


def _agg_trade(event: Event) -> tuple[Value, ...]:
    return (*_trade(event), event["f"], event["l"])


def _book_ticker(event: Event) -> tuple[Value, ...]:
    return event["u"], event["b"], event["B"], event["a"], event["A"]


def _kline(event: Event) -> tuple[Value, ...]:
    k = event["k"]
    times = (_us(k["t"]), _us(k["T"]))
    prices = (k["o"], k["h"], k["l"], k["c"])
    return (k["i"], *times, *prices, k["v"], k["q"], k["n"], k["V"], k["Q"], k["x"])


def _ticker(event: Event) -> tuple[Value, ...]:
    return event["o"], event["h"], event["l"], event["c"], event["v"], event["q"]


def _mark_price(event: Event) -> tuple[Value, ...]:
    return event["p"], event["i"], event["r"] or None, _us(event["T"]) or None


_Maker = Callable[[Event], tuple[Value, ...]]
_MAKERS: Mapping[str, tuple[str, _Maker]] = {
    "trade": ("trades", _trade),
    "aggTrade": ("agg_trades", _agg_trade),
    "bookTicker": ("book_tickers", _book_ticker),
    "kline": ("klines", _kline),
    "24hrTicker": ("tickers", _ticker),
    "24hrMiniTicker": ("tickers", _ticker),
    "markPriceUpdate": ("mark_prices", _mark_price),
}


def _depth(
    time_us: int, stream: str, symbol: str, picture: str, line: Frame | RestAnswer
) -> list[Row]:
    event = json.loads(line.payload)
    final = event["u"] if "u" in event else event["lastUpdateId"]
    head = (
        time_us,
        _us(event.get("E")),
        stream,
        symbol,
        picture,
        event.get("U"),
        final,
    )
    sides = (
        ("bid", event["b"] if "b" in event else event["bids"]),
        ("ask", event["a"] if "a" in event else event["asks"]),
    )
    return [
        Row("depth", (*head, side, level[0], level[1]))
        for side, levels in sides
        for level in levels
    ]


def _other(line: Line) -> Row:
    if isinstance(line, Mark):
        text = json.dumps(line.fields, ensure_ascii=False, separators=(",", ":"))
        return Row("others", (line.receive_time_us, "mark", line.name, text))
    kind, name = (
        ("frame", line.stream) if isinstance(line, Frame) else ("rest", line.request)
    )
    payload = line.payload.decode(errors="replace")
    return Row("others", (line.receive_time_us, kind, name, payload))
