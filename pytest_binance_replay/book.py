"""The local order book: a snapshot, and the changes that follow it by update id.

Spot events follow each other by `U`, futures events by `pu`; in both markets the
first event after a snapshot must span the snapshot's id. Quantities are absolute, so
an event that straddles the snapshot is applied whole.

Source:
    Binance Spot and USD-M Futures API docs, "How to manage a local order book
    correctly".
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from pytest_binance_replay.errors import BookGapError
from pytest_binance_replay.levels import Level
from pytest_binance_replay.sides import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_binance_replay.events import DiffDepth
    from pytest_binance_replay.sides import LevelText
    from pytest_binance_replay.streams import Market


class Change(NamedTuple):
    """The members of a diff depth event that a book needs, as on the wire.

    Attributes:
        first_update_id: `U`.
        final_update_id: `u`.
        previous_update_id: `pu`; None on spot.
        bids: Changed levels, as texts.
        asks: Changed levels, as texts.
    """

    first_update_id: int
    final_update_id: int
    previous_update_id: int | None
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]

    @property
    def base(self) -> int:
        """The oldest update that a snapshot may show for this event to follow it."""
        if self.previous_update_id is None:
            return self.first_update_id - 1
        return min(self.previous_update_id, self.first_update_id)


def parse_change(payload: bytes | str) -> Change:
    """Read a diff depth payload without checking more than a book needs.

    Raises:
        KeyError: If the payload is no diff depth event.
        TypeError: If it is no object.
        ValueError: If it is not JSON, or its ids are no whole numbers.
    """
    event = json.loads(payload)
    first, last, previous = event["U"], event["u"], event.get("pu")
    if not (isinstance(first, int) and isinstance(last, int)):
        problem = "its update ids are no whole numbers"
        raise ValueError(problem)  # noqa: TRY004 - the payload's fault
    return Change(first, last, previous, event["b"], event["a"])


class OrderBook:
    """The order book of one symbol.

    Args:
        symbol: Upper case.
        market: Decides how events follow each other.
        update_id: `lastUpdateId` of the snapshot.
        bids: Its bids, price and quantity as texts, in any order.
        asks: Its asks.
        limit: How many of the best levels of each side these are at most, if they are
            a picture of the top: see `known_to`. None if they are all that counts.

    Example:
        >>> book = OrderBook("LTCBTC", update_id=160, bids=[("0.0015", "4")])
        >>> book.apply_change(Change(161, 163, None, [["0.0015", "0"]], []))
        True
        >>> book.update_id, book.best_bid
        (163, None)
    """

    def __init__(
        self,
        symbol: str,
        market: Market = "spot",
        *,
        update_id: int,
        bids: Iterable[Sequence[str]] = (),
        asks: Iterable[Sequence[str]] = (),
        limit: int | None = None,
    ) -> None:
        self.symbol = symbol
        self.market = market
        self.update_id = update_id
        self._joined = False
        self._bids = Side(bids, best_is_highest=True, limit=limit)
        self._asks = Side(asks, best_is_highest=False, limit=limit)

    # Following the stream

    def apply(self, event: DiffDepth) -> bool:
        """Apply one diff depth event.

        Args:
            event: Changed levels; a quantity of zero removes its level, and a
                removal of a level that is not there is normal.

        Returns:
            Whether the book changed; an event older than the book is ignored.

        Raises:
            BookGapError: If updates between the book and the event are missing.
        """
        return self.apply_change(
            Change(
                event.first_update_id,
                event.final_update_id,
                event.previous_final_update_id,
                [(f"{price:f}", f"{quantity:f}") for price, quantity in event.bids],
                [(f"{price:f}", f"{quantity:f}") for price, quantity in event.asks],
            )
        )

    def apply_change(self, change: Change) -> bool:
        """Apply a change as it stands on the wire; see `apply`."""
        if self._is_old(change):
            return False
        if not self._follows(change):
            start = change.previous_update_id
            first = change.first_update_id if start is None else start + 1
            raise BookGapError(self.symbol, self.update_id, first)
        self._bids.set(change.bids)
        self._asks.set(change.asks)
        self.update_id = change.final_update_id
        self._joined = True
        return True

    def _is_old(self, change: Change) -> bool:
        if self.market == "spot":
            return change.final_update_id <= self.update_id
        return not self._joined and change.final_update_id < self.update_id

    def _follows(self, change: Change) -> bool:
        if self.market == "spot" or change.previous_update_id is None:
            return change.first_update_id <= self.update_id + 1
        if self._joined:
            return change.previous_update_id == self.update_id
        return min(change.first_update_id, change.previous_update_id) <= self.update_id

    def overwrite(self, other: OrderBook) -> None:
        """Take over what another book knows, as far as its levels reach.

        What lies deeper than the other's last level stays; a side that is empty
        there is empty here.
        """
        self._bids.overwrite(other._bids)
        self._asks.overwrite(other._asks)
        self.update_id = other.update_id
        self._joined = False

    def copy(self) -> OrderBook:
        """Return a book of its own with the same state."""
        twin = OrderBook(self.symbol, self.market, update_id=self.update_id)
        twin._joined = self._joined
        twin._bids = self._bids.copy()
        twin._asks = self._asks.copy()
        return twin

    # Looking at it

    @property
    def known_to(self) -> tuple[Decimal | None, Decimal | None]:
        """The lowest bid price and the highest ask price up to which all is known.

        A book that began as a picture of its top has levels up to there only: beyond,
        diffs tell of some and not of others. None for a side without such an end.
        """
        return self._bids.known_to, self._asks.known_to

    @property
    def counts(self) -> tuple[int, int]:
        """How many bids and how many asks there are."""
        return len(self._bids), len(self._asks)

    @property
    def knows_its_top(self) -> bool:
        """Whether best bid and best ask are known: no picture of the top is used up."""
        return all(len(s) or s.known_to is None for s in (self._bids, self._asks))

    @property
    def bids(self) -> tuple[Level, ...]:
        """All bids, highest price first."""
        return tuple(map(_level, self._bids.levels()))

    @property
    def asks(self) -> tuple[Level, ...]:
        """All asks, lowest price first."""
        return tuple(map(_level, self._asks.levels()))

    @property
    def best_bid(self) -> Level | None:
        """The highest bid; None if there is none."""
        return next(map(_level, self._bids.levels(1)), None)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask; None if there is none."""
        return next(map(_level, self._asks.levels(1)), None)

    def texts(self, limit: int) -> tuple[list[LevelText], list[LevelText]]:
        """Return the best bids and asks as they stand on the wire.

        Args:
            limit: How many of each at the most.
        """
        return self._bids.levels(limit), self._asks.levels(limit)

    def differences(
        self,
        bids: Iterable[Sequence[object]],
        asks: Iterable[Sequence[object]],
        *,
        depth: int | None = None,
    ) -> list[str]:
        """Compare with another picture of the same book, as far as this one is known.

        Args:
            bids: Its bids: price and quantity as `Decimal`, text or numbers, in any
                order; levels of zero quantity do not count.
            asks: Its asks.
            depth: How many of the best levels of each side to compare; None compares
                all.

        Returns:
            A line for each level that differs, best first; empty if none does.
        """
        their_bids = _levels(bids, self._bids, reverse=True)
        their_asks = _levels(asks, self._asks, reverse=False)
        return [
            *_compare("bid", self.bids, their_bids, depth),
            *_compare("ask", self.asks, their_asks, depth),
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OrderBook):
            return NotImplemented
        same = (self.symbol, self.update_id, self.known_to) == (
            *(other.symbol, other.update_id, other.known_to),
        )
        return same and not self.differences(other.bids, other.asks)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        bid = "none" if self.best_bid is None else f"{self.best_bid.price:f}"
        ask = "none" if self.best_ask is None else f"{self.best_ask.price:f}"
        return (
            f"<OrderBook {self.symbol} at update {self.update_id}: best bid {bid}, "
            f"best ask {ask}, {len(self._bids)} bids, {len(self._asks)} asks>"
        )


def _level(text: LevelText) -> Level:
    return Level(Decimal(text[0]), Decimal(text[1]))


def _compare(
    side: Literal["bid", "ask"],
    ours: Sequence[Level],
    theirs: Sequence[Level],
    depth: int | None,
) -> list[str]:
    best_first = max if side == "bid" else min
    mine, other = dict(ours[:depth]), dict(theirs[:depth])
    lines = []
    left = mine.keys() | other.keys()
    while left:
        price = best_first(left)
        left.remove(price)
        want, got = mine.get(price), other.get(price)
        if want != got:
            lines.append(
                f"{side} {price:f}: {_shown(got)}, but the book has {_shown(want)}"
            )
    return lines


def _shown(quantity: Decimal | None) -> str:
    return "nothing" if quantity is None else f"{quantity:f}"


def _levels(
    levels: Iterable[Sequence[object]], known: Side, *, reverse: bool
) -> list[Level]:
    """Read levels in order, but for those that a side does not know of."""
    read = (Level(Decimal(str(p)), Decimal(str(q))) for p, q, *_ in levels)
    counting = (lv for lv in read if lv.quantity and known.knows(lv.price))
    return sorted(counting, reverse=reverse)
