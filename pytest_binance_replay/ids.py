"""Ids in payloads moved, so that a recording played again goes on where it ended.

As with times, which member is an id, and in which series, is decided by a table for
each kind of event, and only the digits concerned change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pytest_binance_replay.editing import (
    OBJECT,
    Fields,
    compile_fields,
    read_numbers,
    rewrite,
)

_IDS: Mapping[str, Mapping[str, str]] = {
    "trade": {"t": "trade"},
    "aggTrade": {"a": "aggregate", "f": "trade", "l": "trade"},
    "blockTrade": {"t": "block"},
    "depthUpdate": {"U": "book", "u": "book", "pu": "book"},
    "partialDepth": {"lastUpdateId": "book", "U": "book", "u": "book", "pu": "book"},
    "bookTicker": {"u": "book"},
    "kline": {"k.f": "trade", "k.L": "trade"},
    "continuous_kline": {"k.f": "book", "k.L": "book"},
    "24hrTicker": {"F": "trade", "L": "trade"},
    "rollingTicker": {"F": "trade", "L": "trade"},
}

# Which ids say how far a kind got in its space. The start of a window (k.f, F) lies
# before the recording, so it counts only where nothing better is there to count.
_EXTENT: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "trade": (("trade", "t", "t"),),
    "aggTrade": (("aggregate", "a", "a"), ("aggregated", "f", "l")),
    "blockTrade": (("block", "t", "t"),),
    "depthUpdate": (("book", "U", "u"),),
    "partialDepth": (("book", "U", "u"), ("book", "lastUpdateId", "lastUpdateId")),
    "bookTicker": (("book", "u", "u"),),
    "kline": (("candle", "k.f", "k.L"),),
    "continuous_kline": (("book", "k.L", "k.L"),),
    "24hrTicker": (("window", "L", "L"),),
    "rollingTicker": (("window", "L", "L"),),
}
# The kinds whose events follow each other without a gap, and where an event ends.
_CHAIN_ENDS = {"depthUpdate": "u", "partialDepth": "u", "aggTrade": "l"}
_TRADE_EXTENTS = ("trade", "aggregated", "candle", "window")

_SYMBOL = re.compile(rb'"(?<!\\")s"\s*+:\s*+"([^"\\]++)"')


@dataclass(frozen=True, slots=True)
class IdOffsets:
    """How far the ids of one symbol move.

    Attributes:
        book: For update ids of the order book.
        trade: For trade ids, also where candles, tickers and aggregates name them.
        aggregate: For ids of aggregate trades.
        block: For ids of block trades, which are a series of their own.
    """

    book: int = 0
    trade: int = 0
    aggregate: int = 0
    block: int = 0

    def times(self, rounds: int) -> IdOffsets:
        """Return the offsets after so many rounds of a looped tape."""
        return IdOffsets(
            book=self.book * rounds,
            trade=self.trade * rounds,
            aggregate=self.aggregate * rounds,
            block=self.block * rounds,
        )


def shift_ids(payload: bytes, *, kind: str, offsets: IdOffsets) -> bytes:
    """Move every update, trade and aggregate id of a payload.

    A negative id says that there is none (a candle without trades) and stays.
    Order ids, such as ``b`` and ``a`` of older spot trades, stay as well: nothing
    chains by them.

    Args:
        payload: One event. In an array, members of different symbols would all
            move alike; `IdSpans.shift` moves each by its own symbol's offsets.
        kind: Kind of the event, as the stream name gives it. ``partialDepth`` also
            fits a depth snapshot that was got over REST.
        offsets: What to add to the ids.

    Returns:
        The moved payload; the same object if nothing had to move.
    """
    spaces = _IDS.get(kind, {})

    def change(path: str, number: int) -> int:
        return _moved(number, offsets, spaces[path])

    return rewrite(payload, _id_fields(kind), change)


def symbol_of(payload: bytes, stream: str) -> bytes:
    """Return the upper-case symbol to whose ids a payload belongs.

    Args:
        payload: One event, not an array.
        stream: Name of its stream, asked where the payload names no symbol:
            partial books of the spot market and candles of continuous contracts.
            The perpetual contract of a pair has the pair's own symbol.
    """
    if found := _SYMBOL.search(payload):
        return found[1]
    name = stream.partition("@")[0]
    return name.removesuffix("_perpetual").removesuffix("_tradifi").upper().encode()


class IdSpans:
    """The ids that a recording spans, and how to move them round after round.

    Feed it every frame of one market once, in recorded order; it then moves each
    frame of a later round so that the ids go on where they ended. One span per
    market: spot and futures count the same symbol apart.

    All streams of a symbol that carry update ids move by one offset, so that they
    keep agreeing with each other (a book ticker and the depth event that ends at
    the same id still show the same top). The offset is the whole span of those
    ids, so none is ever repeated or goes back. With one diff depth stream alone it
    is the last ``u`` less the first ``U`` plus one on spot, the last ``u`` less the
    first ``pu`` on futures, and the events chain across the seam by themselves.
    Where other streams reach further (book tickers run ahead of the depth, a slower
    diff stream starts earlier) the offset is larger, and the first event of a diff
    stream in each round is stretched back to the end of the round before: its
    ``U`` or ``pu`` is made to follow the last ``u``. So both hold.

    Trade ids rise by one from round to round where the recording has single trades,
    since nobody could close a gap there; aggregates, candles and tickers move with
    them, and the first aggregate of a round is made to follow the last one as long
    as at least one trade is left in it.
    """

    def __init__(self) -> None:
        self._symbols: dict[bytes, _SymbolSpan] = {}
        self._offsets: dict[bytes, IdOffsets] | None = None

    def add(self, payload: bytes, *, kind: str, stream: str) -> None:
        """Take account of one frame.

        Args:
            payload: The frame's payload; in an array, each member counts for its
                own symbol.
            kind: Kind of the event, as the stream name gives it.
            stream: Name of its stream.
        """
        if kind not in _EXTENT:
            return
        self._offsets = None
        for event in _events(payload):
            symbol = symbol_of(event, stream)
            span = self._symbols.setdefault(symbol, _SymbolSpan())
            span.add(event, kind, stream)

    def offsets(self) -> Mapping[bytes, IdOffsets]:
        """Return what one round adds to the ids, by upper-case symbol."""
        if self._offsets is None:
            self._offsets = {
                symbol: span.offsets() for symbol, span in self._symbols.items()
            }
        return self._offsets

    def shift(self, payload: bytes, *, kind: str, stream: str, rounds: int) -> bytes:
        """Return a frame's payload as it reads after so many rounds.

        Args:
            payload: The payload as recorded; an array is moved member by member.
            kind: Kind of the event, as the stream name gives it. A recorded depth
                snapshot moves as ``partialDepth`` under any stream of its symbol.
            stream: Name of its stream.
            rounds: Rounds that the tape has completed, 0 or more.

        Returns:
            The moved payload; the same object if nothing had to move.
        """
        if not rounds or kind not in _IDS:
            return payload
        moved = b"".join(
            self._shift_event(piece, kind, stream, rounds)
            if piece.startswith(b"{")
            else piece
            for piece in _pieces(payload)
        )
        return payload if moved == payload else moved

    def _shift_event(self, event: bytes, kind: str, stream: str, rounds: int) -> bytes:
        symbol = symbol_of(event, stream)
        if (offsets := self.offsets().get(symbol)) is None:
            return event
        moved = shift_ids(event, kind=kind, offsets=offsets.times(rounds))
        chain = self._symbols[symbol].chains.get(stream)
        if chain is None or event != chain.first:
            return moved
        return chain.join(moved, kind, offsets.times(rounds - 1))


@dataclass(slots=True)
class _Chain:
    """First and last event of a stream whose events follow each other by id.

    Attributes:
        end: Key of an event's last id: ``u``, or ``l`` of aggregates.
        first: The stream's first event.
        before: Its ``pu``, None without one.
        last: Last id of the last event so far.
    """

    end: str
    first: bytes
    before: int | None
    last: int

    def join(self, moved: bytes, kind: str, earlier: IdOffsets) -> bytes:
        """Let the first event of a round follow the last of the round before."""
        last = _moved(self.last, earlier, _IDS[kind][self.end])
        links = {"f": last + 1} if self.end == "l" else self._depth_links(last)

        def change(path: str, number: int) -> int:
            return links.get(path, number)

        joined = rewrite(moved, _id_fields(kind), change)
        ids = read_numbers(joined, _id_fields(kind))
        return joined if ids.get("f", last) <= ids[self.end] else moved

    def _depth_links(self, last: int) -> dict[str, int]:
        if self.before is None:
            return {"U": last + 1}
        return {"pu": last} if self.before >= 0 else {}


class _SymbolSpan:
    """What a recording spans of one symbol."""

    def __init__(self) -> None:
        self.chains: dict[str, _Chain] = {}
        self._extents: dict[str, tuple[int, int]] = {}

    def add(self, event: bytes, kind: str, stream: str) -> None:
        ids = read_numbers(event, _id_fields(kind))
        for name, first_key, last_key in _EXTENT[kind]:
            first, last = ids.get(first_key, -1), ids.get(last_key, -1)
            if first >= 0 and last >= 0:
                least, most = self._extents.get(name, (first, last))
                self._extents[name] = min(least, first), max(most, last)
        if (end := _CHAIN_ENDS.get(kind)) in ids:
            chain = _Chain(end, event, ids.get("pu"), 0)
            self.chains.setdefault(stream, chain).last = ids[end]

    def offsets(self) -> IdOffsets:
        trade = next((name for name in _TRADE_EXTENTS if name in self._extents), "")
        return IdOffsets(
            book=max([self._length("book"), *self._chained_lengths()]),
            trade=self._length(trade),
            aggregate=self._length("aggregate"),
            block=self._length("block"),
        )

    def _length(self, name: str) -> int:
        if name not in self._extents:
            return 0
        least, most = self._extents[name]
        return most - least + 1

    def _chained_lengths(self) -> list[int]:
        return [
            chain.last - chain.before
            for chain in self.chains.values()
            if chain.before is not None and chain.before >= 0
        ]


def _moved(number: int, offsets: IdOffsets, space: str) -> int:
    offset: int = getattr(offsets, space)
    return number + offset if number >= 0 else number


def _pieces(payload: bytes) -> list[bytes]:
    """Cut a payload into its events and what stands between them."""
    if not payload.lstrip().startswith(b"["):
        start = payload.find(b"{")
        return [payload[:start], payload[start:]] if start > 0 else [payload]
    pieces: list[bytes] = []
    end = 0
    for found in OBJECT.finditer(payload):
        pieces += payload[end : found.start()], found[0]
        end = found.end()
    return [*pieces, payload[end:]]


def _events(payload: bytes) -> list[bytes]:
    return [piece for piece in _pieces(payload) if piece.startswith(b"{")]


@cache
def _id_fields(kind: str) -> Fields:
    return compile_fields(tuple(_IDS.get(kind, ())))
