"""A book kept from partial depth, where no snapshot was recorded that joins.

A picture of the best levels is true at its update id. The diffs behind it keep its
levels true, and bring new ones better than its last; what lies deeper is known only
where it changes, so it is left out. The more of its levels are used up, the shallower
the book, until a picture comes that shows more than is left.

A picture is often received after diffs that are newer, and it ends between two diffs
as often as with one: the last diffs are kept, and a picture waits for the one that
spans its id.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pytest_binance_replay.errors import BookGapError

if TYPE_CHECKING:
    from pytest_binance_replay.book import Change, OrderBook
    from pytest_binance_replay.picture import Picture
    from pytest_binance_replay.streams import Market

KEPT_DIFFS = 256
"""How many diffs a picture may lag behind the stream and still join it."""

_KEPT_PICTURES = 64


class ShallowBook:
    """The top of a symbol's book, as far as pictures and diffs tell of it.

    Args:
        symbol: Upper case.
        market: Decides how events follow each other.
    """

    def __init__(self, symbol: str, market: Market) -> None:
        self.symbol = symbol
        self.market = market
        self._followed: OrderBook | None = None
        self._recent: deque[Change] = deque(maxlen=KEPT_DIFFS)
        self._coming: deque[Picture] = deque(maxlen=_KEPT_PICTURES)

    @property
    def book(self) -> OrderBook | None:
        """The book as the diffs have left it.

        None before a picture has joined them, after a gap, and while a side has no
        known level left.
        """
        book = self._followed
        return book if book is not None and book.knows_its_top else None

    @property
    def newest_picture(self) -> Picture | None:
        """The last picture, if it is newer than all diffs; None if it is not."""
        return max(self._coming, key=_by_news, default=None)

    def take(self, change: Change) -> None:
        """Follow the diffs by one event."""
        if self._recent and _is_old(change, self._recent[-1]):
            return
        if self._recent and not _follows(change, self._recent[-1]):
            self._followed = None
            self._recent.clear()
        self._recent.append(change)
        if self._followed is not None:
            self._followed.apply_change(change)
        self._join()

    def show(self, picture: Picture) -> None:
        """Take a picture."""
        self._coming.append(picture)
        self._join()

    def _join(self) -> None:
        """Let the pictures join that the diffs have reached."""
        while self._recent and self._coming:
            if self._coming[0].update_id > self._recent[-1].final_update_id:
                return
            picture = self._coming.popleft()
            if self._followed is None or _shows_more(picture, self._followed):
                self._followed = self._from(picture) or self._followed

    def _from(self, picture: Picture) -> OrderBook | None:
        """Return the book of a picture brought up to the last diff; None if too old."""
        book = picture.book(self.symbol, self.market)
        try:
            for change in self._recent:
                book.apply_change(change)
        except BookGapError:
            return None
        return book


def _is_old(change: Change, last: Change) -> bool:
    """Return whether all of an event was told before; of futures, ids alone decide."""
    if change.previous_update_id is not None:
        return False
    return change.final_update_id <= last.final_update_id


def _follows(change: Change, last: Change) -> bool:
    """Return whether nothing is missing between two events."""
    if change.previous_update_id is None:
        return change.first_update_id <= last.final_update_id + 1
    return change.previous_update_id == last.final_update_id


def _by_news(picture: Picture) -> tuple[int, int]:
    return picture.update_id, len(picture.bids) + len(picture.asks)


def _shows_more(picture: Picture, book: OrderBook) -> bool:
    bids, asks = book.counts
    return len(picture.bids) > bids or len(picture.asks) > asks
