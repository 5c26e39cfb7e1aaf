"""Arrays of the market and their members, and tickers made mini.

Elements are cut out of arrays, and put into them, byte for byte.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

from pytest_binance_replay.derived.making import Gathering, Straight, event_time_us
from pytest_binance_replay.editing import OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_binance_replay.derived.making import Maker
    from pytest_binance_replay.derived.recipes import Recipe

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_SYMBOL = re.compile(rb'"(?<!\\")s"\s*+:\s*+(' + _STRING + rb")")
_MEMBER = re.compile(rb'"(?<!\\")(\w++)"\s*+:\s*+(' + _STRING + rb"|[^,{}\[\]\s]++)")

_TICKER, _MINI_TICKER = b'"24hrTicker"', b'"24hrMiniTicker"'
_MINI_KEYS = (b"e", b"E", b"s", b"ps", b"c", b"o", b"h", b"l", b"v", b"q", b"st")
"""Source: Binance API docs, "Individual Symbol Mini Ticker Stream"; `ps` and `st` as
futures have them.
"""
_FUTURES_KEYS = frozenset({b"ps", b"st"})


def open_maker(recipe: Recipe) -> Maker:
    """Return what makes a stream of tickers and the like."""
    symbol = recipe.parsed.symbol
    match recipe.way:
        case "array":
            return Array(recipe.width_us, mini=recipe.parsed.kind == "miniTicker")
        case "mini":
            return Straight(mini_array if symbol is None else partial(_mini_of, symbol))
        case "member" if symbol is not None:
            return Straight(partial(members_of, symbol))
    return Straight(lambda payload: (payload,))


def symbol_in(event: bytes) -> str | None:
    """Return the symbol that an event is about; None if it does not say."""
    found = _SYMBOL.search(event)
    try:
        return None if found is None else str(json.loads(found[1]))
    except ValueError:
        return None


def members_of(symbol: str, payload: bytes) -> Iterator[bytes]:
    """Cut the events of one symbol out of a payload.

    Args:
        symbol: As in a stream name, lower case.
        payload: An array of events, or one event.
    """
    for found in OBJECT.finditer(payload):
        if (symbol_in(found[0]) or "").lower() == symbol:
            yield found[0]


def mini_ticker(ticker: bytes) -> bytes | None:
    """Make a ticker a mini ticker, its numbers as they stand.

    Returns:
        None for what is no whole ticker.
    """
    values = dict(_MEMBER.findall(ticker))
    if values.get(b"e") != _TICKER:
        return None
    values[b"e"] = _MINI_TICKER
    if not values.keys() >= set(_MINI_KEYS) - _FUTURES_KEYS:
        return None
    parts = (b'"%b":%b' % (key, values[key]) for key in _MINI_KEYS if key in values)
    return b"{%b}" % b",".join(parts)


def _as_mini(event: bytes) -> bytes | None:
    is_mini = dict(_MEMBER.findall(event)).get(b"e") == _MINI_TICKER
    return event if is_mini else mini_ticker(event)


def _mini_of(symbol: str, payload: bytes) -> Iterator[bytes]:
    yield from filter(None, map(mini_ticker, members_of(symbol, payload)))


def mini_array(payload: bytes) -> Iterator[bytes]:
    """Make an array of tickers one of mini tickers; none of what holds no ticker."""
    elements = (mini_ticker(found[0]) for found in OBJECT.finditer(payload))
    if minis := list(filter(None, elements)):
        yield _array(minis)


def _array(elements: list[bytes]) -> bytes:
    return b"[%b]" % b",".join(elements)


class Array(Gathering[tuple[str, bytes]]):
    """Gathers the events of single symbols; of one that comes twice the later counts.

    Args:
        width_us: How much event time an array stands for, microseconds.
        mini: Whether tickers are made mini.
    """

    def __init__(self, width_us: int, *, mini: bool = False) -> None:
        super().__init__(width_us)
        self._mini = mini

    def read(self, payload: bytes) -> tuple[tuple[str, bytes], int] | None:
        """Read symbol and event time."""
        event_us, symbol = event_time_us(payload), symbol_in(payload)
        if event_us is None or symbol is None:
            return None
        element = _as_mini(payload) if self._mini else payload
        return None if element is None else ((symbol, element), event_us)

    def join(self, pieces: list[tuple[str, bytes]]) -> bytes:
        """Put the newest event of each symbol into an array, in the order they came."""
        newest: dict[str, bytes] = {}
        for symbol, payload in pieces:
            newest.pop(symbol, None)
            newest[symbol] = payload
        return _array(list(newest.values()))
