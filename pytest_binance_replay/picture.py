"""Pictures of a book: depth snapshots and partial depth, read with every check.

They are read rarely, and what is wrong in one would stay wrong in the book for long.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from pytest_binance_replay.book import OrderBook
from pytest_binance_replay.sides import are_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.streams import Market


class Picture(NamedTuple):
    """A book shown whole or from the top: a depth snapshot or a partial depth.

    Attributes:
        update_id: The last update that is in it.
        bids: Its bids, as texts.
        asks: Its asks.
        limit: How many levels of each side it shows at most; None if nothing says so.
    """

    update_id: int
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]
    limit: int | None = None

    def book(self, symbol: str, market: Market) -> OrderBook:
        """Return the book that it shows."""
        return OrderBook(
            symbol,
            market,
            update_id=self.update_id,
            bids=self.bids,
            asks=self.asks,
            limit=self.limit,
        )


SNAPSHOT = ("lastUpdateId", "bids", "asks")
"""The members of a depth snapshot that a book needs; a spot partial depth has them."""

_PARTIAL: dict[Market, tuple[str, str, str]] = {
    "spot": SNAPSHOT,
    "usdm": ("u", "b", "a"),
}


def parse_snapshot(payload: bytes | str) -> Picture:
    """Read a depth snapshot.

    Raises:
        ValueError: If it is none, with a sentence that says why.
    """
    return _parse_picture(payload, SNAPSHOT, None)


def parse_partial(payload: bytes | str, market: Market, limit: int) -> Picture:
    """Read a partial depth.

    Args:
        payload: As it came.
        market: Whose members it has.
        limit: How many levels of each side its stream shows at most.

    Raises:
        ValueError: If it is none, with a sentence that says why.

    Source:
        Binance Spot and USD-M Futures API docs, "Partial Book Depth Streams".
    """
    return _parse_picture(payload, _PARTIAL[market], limit)


def _parse_picture(
    payload: bytes | str, members: tuple[str, str, str], limit: int | None
) -> Picture:
    try:
        shown = json.loads(payload)
    except RecursionError as error:
        problem = "it is nested too deeply"
        raise ValueError(problem) from error
    lacking = [m for m in members if not isinstance(shown, dict) or m not in shown]
    if lacking:
        problem = f"it has no {lacking[0]!r}"
        raise ValueError(problem)
    update_id, bids, asks = (shown[member] for member in members)
    if not isinstance(update_id, int):
        problem = f"its {members[0]!r} is {_cut(update_id)}, no whole number"
        raise ValueError(problem)  # noqa: TRY004 - the payload's fault
    _check_side(members[1], bids)
    _check_side(members[2], asks)
    return Picture(update_id, bids, asks, limit)


def _check_side(member: str, side: object) -> None:
    if are_levels(side):
        return
    if not isinstance(side, list):
        problem = f"its {member!r} is {_cut(side)}, no list of levels"
        raise ValueError(problem)  # noqa: TRY004 - the payload's fault
    wrong = next(level for level in side if not are_levels([level]))
    problem = f"its {member!r} has {_cut(wrong)}, no price and quantity as texts"
    raise ValueError(problem)


def _cut(value: object) -> str:
    return f"{value!r:.60}"
