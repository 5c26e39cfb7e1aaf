"""What the tape holds, in the terms that client libraries speak."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pytest_binance_replay import BinanceReplay, Handle

Ladder = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]
LEVELS = 10
THIRDS = (0.3, 0.6, 1.0)
"""Where to look at a book, as shares of the tape."""


def said(replay: BinanceReplay, stream: str) -> list[Any]:
    """What the frames of a stream say, in order."""
    found = [json.loads(frame.payload) for frame in replay.frames(stream)]
    assert found, f"{replay.cassette} has no frame of {stream}"
    return found


def prices(replay: BinanceReplay, stream: str) -> list[Decimal]:
    """The prices of a stream's trades, in order."""
    return [Decimal(trade["p"]) for trade in said(replay, stream)]


def number(value: Any) -> Decimal:
    """A price or quantity as a library gives it: text, Decimal, or a float of it."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def ladder(bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]]) -> Ladder:
    """The best levels of both sides, best first, as a library has them."""
    sides = ([(number(p), number(q)) for p, q, *_ in side] for side in (bids, asks))
    return tuple(side[:LEVELS] for side in sides)  # type: ignore[return-value]


def true_ladder(replay: BinanceReplay, symbol: str) -> Ladder:
    """The best levels of the true book at the position."""
    book = replay.book(symbol)
    return ladder(book.bids, book.asks)


def moments(replay: BinanceReplay) -> list[float]:
    """Times to stop at, in seconds from the start; the last is the end."""
    times_us = [frame.receive_time_us for frame in replay.frames()]
    seconds = (times_us[-1] - times_us[0]) / 1e6
    return [share * seconds for share in THIRDS]


def until_equal(
    replay: BinanceReplay, mine: Callable[[], object], wanted: object
) -> Handle[object]:
    """Wait until a client has what it should."""

    def is_equal() -> bool:
        return mine() == wanted

    return replay.until(is_equal)


def is_part_of(some: Iterable[object], wanted: Iterable[object]) -> bool:
    """Tell whether some values are among the wanted ones, in their order."""
    left = iter(wanted)
    return all(any(one == other for other in left) for one in some)


def follow(
    market: str, snapshot: Mapping[str, Any], diffs: Iterable[Mapping[str, Any]]
) -> Ladder:
    """Keep a book by the documented steps, with nothing of ours."""
    last = snapshot["lastUpdateId"]
    sides = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    for diff in diffs:
        if diff["u"] <= last and (market == "spot" or diff["u"] < last):
            continue
        assert diff["U"] <= last + 1 or diff.get("pu") == last, (last, diff)
        last = diff["u"]
        for side, changes in (("bids", diff["b"]), ("asks", diff["a"])):
            sides[side] |= dict(changes)
    bids, asks = (
        sorted((number(p), number(q)) for p, q in side.items() if number(q))
        for side in sides.values()
    )
    return ladder(reversed(bids), asks)
