"""Generated tapes whose books are known twice: from a snapshot, and from the top."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from pytest_binance_replay.book import Change, OrderBook, parse_change
from pytest_binance_replay.books import BookKey, Books, Sources, fastest_diff
from pytest_binance_replay.cassette import Batch, Frame, Line, RestAnswer
from pytest_binance_replay.following import Snapshot, SymbolBook
from pytest_binance_replay.streams import Market, parse_stream

BATCH_FRAMES = 7


class ShallowTape:
    """Frames of one symbol, and the books that can be made from them.

    Args:
        lines: A session.
        market: Its market.
        symbol: Upper case.
        without: Numbers of diff events, from 0, that the recording lacks.
    """

    def __init__(
        self,
        lines: Iterable[Line],
        market: Market,
        symbol: str = "BTCUSDT",
        without: Sequence[int] = (),
    ) -> None:
        held = list(lines)
        self.key: BookKey = market, symbol
        self.answers = [
            line
            for line in held
            if isinstance(line, RestAnswer) and "/depth?" in line.request
        ]
        whole = [line for line in held if isinstance(line, Frame)]
        names = {frame.stream for frame in whole}
        self.diffs = fastest_diff(symbol, names)
        self.limits = {
            name.encode(): parsed.levels
            for name in names
            if (parsed := parse_stream(name, market)) and parsed.levels is not None
        }
        self._changes = [frame for frame in whole if frame.stream == self.diffs]
        lost = {id(self._changes[n]) for n in without if n < len(self._changes)}
        self.frames = [frame for frame in whole if id(frame) not in lost]

    @cached_property
    def truth(self) -> dict[int, OrderBook]:
        """The whole book at each update that an event ends with."""
        snapshots = [Snapshot.parse(answer.payload) for answer in self.answers]
        followed = SymbolBook(self.key[1], self.key[0], snapshots)
        found = {}
        for frame in self._changes:
            followed.take(parse_change(frame.payload))
            if followed.book is not None:
                found[followed.book.update_id] = followed.book.copy()
        return found

    def read(self) -> Iterator[Batch]:
        """Start reading from the first frame."""
        for first in range(0, len(self.frames), BATCH_FRAMES):
            part = self.frames[first : first + BATCH_FRAMES]
            yield Batch(
                [frame.receive_time_us for frame in part],
                [frame.stream.encode() for frame in part],
                [frame.payload for frame in part],
                [],
            )

    def books(self, *, snapshots: bool = False) -> Books:
        """Books from partial depth; or with what snapshots there are."""
        parsed = [Snapshot.parse(answer.payload) for answer in self.answers]
        sources = Sources(
            {} if self.diffs is None else {self.key: self.diffs.encode()},
            {self.key: parsed} if snapshots else {},
            {self.key: self.limits},
        )
        return Books(self.read, sources)

    def events(self, place: int) -> list[dict[str, Any]]:
        """The diff events from a frame on."""
        left = self.frames[place:]
        return [json.loads(f.payload) for f in left if f.stream == self.diffs]


def within(
    levels: Iterable[Sequence[Any]], known_to: Any, *, are_bids: bool
) -> list[Any]:
    """The levels of one side down to a price; all of them if that is None."""
    if known_to is None:
        return list(levels)
    return [
        (price, quantity)
        for price, quantity in levels
        if (price >= known_to if are_bids else price <= known_to)
    ]


def assert_true(book: OrderBook, truth: OrderBook) -> None:
    """Check that a book is the whole truth, as far as it says to know it."""
    bid, ask = book.known_to
    assert list(book.bids) == within(truth.bids, bid, are_bids=True)
    assert list(book.asks) == within(truth.asks, ask, are_bids=False)


# Tapes of a few frames


def picture(
    update_id: int, bids: str, asks: str = "90 91", limit: int = 2
) -> tuple[str, dict[str, Any]]:
    """Spot partial depth with one of everything at some prices."""
    sides = {"bids": bids.split(), "asks": asks.split()}
    shown = {side: [[price, "1"] for price in at] for side, at in sides.items()}
    return f"ltcbtc@depth{limit}", {"lastUpdateId": update_id, **shown}


def diff(first: int, last: int, *bids: str, asks: Iterable[str] = ()) -> Change:
    """A spot event; levels as `price:quantity`."""
    return Change(
        first,
        last,
        None,
        [level.split(":") for level in bids],
        [level.split(":") for level in asks],
    )


def frame(number: int, told: tuple[str, dict[str, Any]] | Change) -> Frame:
    if isinstance(told, Change):
        event = {"e": "depthUpdate", "U": told[0], "u": told[1], "b": told[3]}
        payload = json.dumps({**event, "a": told[4]})
        return Frame(number, "ltcbtc@depth", payload.encode())
    return Frame(number, told[0], json.dumps(told[1]).encode())


def small_tape(*told: Any, answers: Iterable[RestAnswer] = ()) -> ShallowTape:
    """A tape of one symbol, by what is told on it."""
    frames = [
        one if isinstance(one, Frame) else frame(n, one) for n, one in enumerate(told)
    ]
    return ShallowTape([*answers, *frames], "spot", "LTCBTC")
