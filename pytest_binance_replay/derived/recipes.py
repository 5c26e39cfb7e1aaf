"""Which streams can be derived, and of what.

Left out is what would not be exact: candles of other candles, aggregates of trades,
a slow picture made fast. The futures' `!bookTicker` is sent every five seconds, so
that it is not the sum of its members, nor they parts of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pytest_binance_replay.books import fastest_diff
from pytest_binance_replay.streams import Market, StreamName, parse_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

Way = Literal["same", "member", "mini", "array", "diffs", "top", "picture"]
"""How frames become derived ones: as they are, cut out of an array, made mini (each
alone, and in an array), gathered, merged, cut to fewer levels, or as pictures of a
book that follows them.
"""

_SECOND_US = 1_000_000
_DEPTH_US: dict[Market, dict[str | None, int]] = {
    "spot": {None: _SECOND_US, "100ms": 100_000},
    "usdm": {None: 250_000, "0ms": 0, "100ms": 100_000, "500ms": 500_000},
}
"""How far apart depth events are. Source: Binance API docs, spot and futures."""

_MARK_PRICE_US: dict[str | None, int] = {None: 3 * _SECOND_US, "1s": _SECOND_US}

_WITH_MEMBERS = frozenset({"ticker", "miniTicker", "markPrice", "assetIndex"})
"""Kinds whose streams of the whole market are arrays."""

_SHOWN_SOURCES = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to derive a stream.

    Attributes:
        name: The stream.
        market: Its market.
        parsed: Its name, taken apart.
        way: How.
        sources: Names of the streams that it is made of.
        width_us: How much event time one of its frames stands for, microseconds; 0
            where each frame of a source makes its own.
    """

    name: str
    market: Market
    parsed: StreamName
    way: Way
    sources: tuple[str, ...]
    width_us: int = 0

    def __str__(self) -> str:
        more = len(self.sources) - _SHOWN_SOURCES
        origin = ", ".join(self.sources[:_SHOWN_SOURCES])
        if more > 0:
            origin += f" and {more} more"
        if self.way == "picture":
            origin += " and a recorded snapshot"
        return f"{self.name} from {origin}"


def find_recipe(name: str, market: Market, names: Set[str]) -> Recipe | None:
    """Say how a stream can be derived.

    Args:
        name: The stream that somebody asks for.
        market: The market that it is asked of.
        names: The streams that there are.

    Returns:
        None if it is among them already, or cannot be made of them.

    Example:
        >>> str(find_recipe("ltcbtc@depth", "spot", {"ltcbtc@depth@100ms"}))
        'ltcbtc@depth from ltcbtc@depth@100ms'
    """
    parsed = parse_stream(name, market)
    if parsed is None or name in names:
        return None
    return next(_recipes(name, market, parsed, names), None)


def _recipes(
    name: str, market: Market, parsed: StreamName, names: Set[str]
) -> Iterator[Recipe]:
    """Go through the ways to make a stream, the best first."""
    if parsed.kind == "depth":
        yield from _of_depth(name, market, parsed, names)
        return
    for way, sources in _candidates(market, parsed, names):
        if sources:
            width_us = _gathered_us(parsed) if way == "array" else 0
            yield Recipe(name, market, parsed, way, sources, width_us)


def _of_depth(
    name: str, market: Market, parsed: StreamName, names: Set[str]
) -> Iterator[Recipe]:
    """Cut a deeper one, or make a slower of the fastest, as books follow that one."""
    for levels in (10, 20):
        deeper = str(replace(parsed, levels=levels))
        if parsed.levels is not None and parsed.levels < levels and deeper in names:
            yield Recipe(name, market, parsed, "top", (deeper,))
    source = fastest_diff(parsed.symbol or "", names)
    fed = parse_stream(source, market) if source else None
    if source is None or fed is None:
        return
    speeds_us = _DEPTH_US[market]
    width_us, source_us = speeds_us[parsed.speed], speeds_us[fed.speed]
    if parsed.levels is None and source_us < width_us:
        yield Recipe(name, market, parsed, "diffs", (source,), width_us)
    elif parsed.levels is not None and source_us <= width_us:
        yield Recipe(name, market, parsed, "picture", (source,), width_us)


def _candidates(
    market: Market, parsed: StreamName, names: Set[str]
) -> Iterator[tuple[Way, tuple[str, ...]]]:
    if parsed.all_market:
        yield from _whole_market(market, parsed, names)
        return
    array = _array_name(parsed)
    if parsed.kind in _WITH_MEMBERS or (market, parsed.kind) in _SINGLY:
        yield "member", _held(names, array)
    if parsed.kind == "miniTicker":
        yield "mini", _held(names, f"{parsed.symbol}@ticker")
        yield "mini", _held(names, "!ticker@arr")


_SINGLY: frozenset[tuple[Market, str]] = frozenset(
    {("spot", "bookTicker"), ("usdm", "forceOrder")}
)
"""Kinds whose streams of the whole market send the members' events one by one."""


def _whole_market(
    market: Market, parsed: StreamName, names: Set[str]
) -> Iterator[tuple[Way, tuple[str, ...]]]:
    members = _members(market, parsed, names)
    if (market, parsed.kind) in _SINGLY:
        yield "same", tuple(members.values())
    if parsed.kind == "miniTicker":
        yield "mini", _held(names, "!ticker@arr")
        tickers = _members(market, StreamName(None, "ticker", all_market=True), names)
        yield "array", tuple({**tickers, **members}.values())
    elif parsed.kind in _WITH_MEMBERS:
        yield "array", tuple(members.values())


def _members(market: Market, parsed: StreamName, names: Set[str]) -> dict[str, str]:
    """Return the streams of single symbols that a stream of all would hold."""
    alike = (parsed.kind, parsed.window, parsed.speed)
    members = {}
    for name in sorted(names):
        other = parse_stream(name, market)
        if other is None or other.symbol is None:
            continue
        if (other.kind, other.window, other.speed) == alike:
            members[other.symbol] = name
    return members


def _array_name(parsed: StreamName) -> str:
    whole = StreamName(
        None, parsed.kind, window=parsed.window, speed=parsed.speed, all_market=True
    )
    return str(whole)


def _held(names: Set[str], *wanted: str) -> tuple[str, ...]:
    return tuple(name for name in wanted if name in names)


def _gathered_us(parsed: StreamName) -> int:
    if parsed.kind == "markPrice":
        return _MARK_PRICE_US[parsed.speed]
    return _SECOND_US


def told_of(recipes: Iterable[Recipe]) -> list[str]:
    """Say what is derived from what, each stream once."""
    return sorted({str(recipe) for recipe in recipes})
