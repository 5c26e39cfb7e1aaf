"""Times in payloads moved, and changed to another unit.

A payload goes in and a payload comes out in which only the digits concerned have
changed: key order, spaces, number formats and unknown members stay as they came.
Which member is a time is decided by a table for each kind of event and never by the
name of the key, because ``T`` is the next funding time of a mark price, the end of a
candle or the time of a trade, and ``t`` may be a trade id.

Tables name members by path: ``k.T`` is member ``T`` of the object in member ``k``.
A member of a table that is missing, or is no whole number, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from pytest_binance_replay.errors import TimeShiftError

_TIMES: Mapping[str, tuple[str, ...]] = {
    "trade": ("E", "T"),
    "aggTrade": ("E", "T"),
    "blockTrade": ("E", "T"),
    "depthUpdate": ("E", "T"),
    "partialDepth": ("E", "T"),
    "bookTicker": ("E", "T"),
    "kline": ("E", "k.t", "k.T"),
    "continuous_kline": ("E", "k.t", "k.T"),
    "24hrMiniTicker": ("E",),
    "24hrTicker": ("E", "O", "C"),
    "rollingTicker": ("E", "O", "C"),
    "avgPrice": ("E", "T"),
    "referencePrice": ("E", "t"),
    "markPriceUpdate": ("E", "T"),
    "forceOrder": ("E", "o.T"),
    "compositeIndex": ("E",),
    "contractInfo": ("E", "dt", "ot"),
    "assetIndexUpdate": ("E",),
    "tradingSession": ("E", "t", "T"),
    "serverShutdown": ("E",),
}

# 13 digits are milliseconds and 16 microseconds; the bound between leaves both room
# to move, down to the 1970s in microseconds and up past the year 5000 otherwise.
_LEAST_MICROSECONDS = 10**14
# The delivery time of a contract that is never delivered.
_NO_DELIVERY = frozenset({4133404800000, 4133404800000000})

_STRING = rb'"(?:[^"\\]|\\.)*+"'
OBJECT = re.compile(rb'\{(?:[^{}"]++|' + _STRING + rb"|\{[^{}]*+\})*+\}")
"""Finds an object that has objects at most one level deep."""

Change: TypeAlias = Callable[[str, int], int]
"""What takes the path and the number of a member, and gives its new number."""


def shift_times(payload: bytes, *, kind: str, offset_us: int) -> bytes:
    """Move every time of a payload by the same offset.

    Times that lie ahead (the next funding, the end of a session, a delivery) move
    as well, so that what is an hour away stays an hour away. What stands for "no
    time" stays: a number that is not above zero, such as the funding time of a
    contract without funding, and the delivery time of a perpetual contract.

    Args:
        payload: One event, or an array of events of one kind.
        kind: Kind of the event, as the stream name gives it.
        offset_us: Microseconds to add, may be negative. Whole milliseconds unless
            all times of the payload are in microseconds; a whole number of
            intervals keeps candles and windows on their grid.

    Returns:
        The moved payload; the same object if nothing had to move.

    Raises:
        TimeShiftError: If a time in milliseconds would need a fraction.
    """
    offset_ms, rest_us = divmod(offset_us, 1000)

    def change(path: str, time: int) -> int:
        if time <= 0 or (path == "dt" and time in _NO_DELIVERY):
            return time
        if time >= _LEAST_MICROSECONDS:
            return time + offset_us
        if rest_us:
            raise TimeShiftError(offset_us)
        return time + offset_ms

    return rewrite(payload, _time_fields(kind), change)


def convert_times(payload: bytes, *, kind: str, microseconds: bool) -> bytes:
    """Write every time of a payload in microseconds, or in milliseconds.

    The last moment of a candle is the last unit inside its interval, so it ends in
    999 in either unit; all other times get three zeros or lose three digits.

    Args:
        payload: One event, or an array of events of one kind.
        kind: Kind of the event, as the stream name gives it.
        microseconds: The unit wanted; false means milliseconds.

    Returns:
        The converted payload; the same object if it was in that unit already.

    Source:
        Recorded frames of the same candles with and without
        ``timeUnit=MICROSECOND``; Binance Spot API docs, "WebSocket Streams",
        "General WSS information".
    """

    def to_microseconds(path: str, time: int) -> int:
        if time <= 0 or time >= _LEAST_MICROSECONDS:
            return time
        return time * 1000 + (999 if path == "k.T" else 0)

    def to_milliseconds(_path: str, time: int) -> int:
        return time if time < _LEAST_MICROSECONDS else time // 1000

    change = to_microseconds if microseconds else to_milliseconds
    return rewrite(payload, _time_fields(kind), change)


@cache
def _time_fields(kind: str) -> Fields:
    return compile_fields(_TIMES[kind])


# Tables


@dataclass(frozen=True, slots=True)
class Fields:
    """How to find the members of one table in a payload (see `compile_fields`).

    Attributes:
        pattern: Finds a member of the table, and the object that holds nested ones.
        paths: The path of each key that the pattern finds.
        inner: How to find the nested members in that object, None without any.
    """

    pattern: re.Pattern[bytes]
    paths: Mapping[bytes, str]
    inner: Fields | None = None


def compile_fields(paths: tuple[str, ...]) -> Fields:
    """Build the pattern for a table whose nested paths share one outer member."""
    nested = [path for path in paths if "." in path]
    flat = {path.encode(): path for path in paths if "." not in path}
    if not nested:
        return Fields(_pattern(flat), flat)
    outer = nested[0].partition(".")[0]
    inner = {path.partition(".")[2].encode(): path for path in nested}
    return Fields(_pattern(flat, outer.encode()), flat, Fields(_pattern(inner), inner))


def _pattern(
    keys: Mapping[bytes, str], outer: bytes | None = None
) -> re.Pattern[bytes]:
    # A quote inside a string has a backslash before it, so what looks like a key and
    # has none is a key. Looking back comes after the quote, since a pattern that
    # starts with a literal is searched for several times faster.
    names = b"|".join(map(re.escape, keys)) or b"(?!)"
    member = b"(" + names + rb')"\s*+:\s*+(-?\d++)(?![.eE])'
    if outer is not None:
        member = b"(?:" + member + b"|" + outer + rb'"\s*+:\s*+('
        member += OBJECT.pattern + b"))"
    return re.compile(rb'"(?<!\\")' + member)


def rewrite(payload: bytes, fields: Fields, change: Change) -> bytes:
    """Put ``change(path, number)`` in the place of each number of a table.

    Args:
        payload: One event, or an array of events of one kind.
        fields: How to find the members of the table.
        change: Gives the new number; the digits stay when it is the old one.

    Returns:
        The new payload; the same object if no number changed.
    """

    def replace(found: re.Match[bytes]) -> bytes:
        text = found[0]
        if (key := found[1]) is None and fields.inner is not None:
            inner = found[3]
            return text[: -len(inner)] + rewrite(inner, fields.inner, change)
        digits = found[2]
        number = int(digits)
        changed = change(fields.paths[key], number)
        if changed == number:
            return text
        return text[: -len(digits)] + b"%d" % changed

    rewritten = fields.pattern.sub(replace, payload)
    return payload if rewritten == payload else rewritten


def read_numbers(event: bytes, fields: Fields) -> dict[str, int]:
    """Return the numbers of a table by path, the first one where a key repeats."""
    numbers: dict[str, int] = {}

    def note(path: str, number: int) -> int:
        numbers.setdefault(path, number)
        return number

    rewrite(event, fields, note)
    return numbers
