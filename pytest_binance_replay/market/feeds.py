"""Streams derived from a listing: each says what its subscribers would be told.

Some speak as things happen, through the listing's watchers; the others are asked when
their time comes, and say nothing if there is nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pytest_binance_replay.market.candles import period_at
from pytest_binance_replay.market.listing import Listing
from pytest_binance_replay.market.marks import Marks
from pytest_binance_replay.market.payloads import (
    Ids,
    Liquidation,
    Period,
    SpotPayloads,
    UsdmPayloads,
)
from pytest_binance_replay.market.sums import DAY_MINUTES, MINUTE_US, Sum, Trade

_HOUR_MINUTES = 60
_CLOSING_US = 26_000
"""How long after its end a candle is told to be closed."""


class Feed(Protocol):
    """A stream that speaks at times of its own.

    Attributes:
        next_us: When it is to be asked next.
    """

    next_us: int

    def due(self, now_us: int) -> list[str]:
        """Return the payloads of this moment, and set the next one."""


class Regular:
    """What all feeds with a fixed period share."""

    def __init__(self, start_us: int, period_us: int, phase_us: int) -> None:
        self.next_us = start_us + phase_us
        if phase_us <= 0:
            self.next_us += period_us
        self._period_us = period_us

    def due(self, now_us: int) -> list[str]:
        """Return the payloads of this moment, and set the next one."""
        self.next_us += self._period_us
        return self.payloads(now_us)

    def payloads(self, now_us: int) -> list[str]:
        """Return what is new."""
        raise NotImplementedError


# Spoken as it happens


def feed_trades(listing: Listing, stream: str) -> None:
    """Tell each fill."""
    floor, payload = listing.floor, listing.payloads.trade

    def tell(trades: list[Trade]) -> None:
        for trade in trades:
            floor.tell(stream, payload(floor.now_us, trade))

    listing.trade_watchers.append(tell)


def feed_agg_trades(listing: Listing, stream: str) -> None:
    """Tell what a taker got at each price."""
    floor, payload = listing.floor, listing.payloads.agg_trade
    next_id = listing.instrument.first_agg_trade_id

    def tell(trades: list[Trade]) -> None:
        nonlocal next_id
        for total in _by_price(trades):
            floor.tell(stream, payload(floor.now_us, next_id, total))
            next_id += 1

    listing.trade_watchers.append(tell)


def _by_price(trades: list[Trade]) -> list[Sum]:
    totals: list[Sum] = []
    for trade in trades:
        if not totals or totals[-1].close != trade.price:
            totals.append(Sum(trade.id, trade.price))
        totals[-1].add(trade)
    return totals


def feed_book_ticker(listing: Listing, stream: str) -> None:
    """Tell the top of the book whenever it changes."""
    book, floor, payload = listing.book, listing.floor, listing.payloads.book_ticker
    told: tuple[int, int, int, int] | None = None

    def tell() -> None:
        nonlocal told
        if (top := book.top()) != told:
            told = top
            floor.tell(stream, payload(floor.now_us, book.update_id, top))

    listing.change_watchers.append(tell)


# Asked from time to time


class DepthFeed(Regular):
    """Changes of the book."""

    def __init__(
        self, listing: Listing, start_us: int, period_us: int, phase_us: int
    ) -> None:
        super().__init__(start_us, period_us, phase_us)
        self._listing = listing
        self._changes = listing.book.watch()
        self._told_id = listing.book.update_id
        self._is_spot = listing.instrument.market == "spot"

    @property
    def is_pending(self) -> bool:
        """Whether there are changes that were not told yet."""
        return bool(self._changes.first_id)

    def payloads(self, now_us: int) -> list[str]:
        """Return the changes since last time as one event."""
        changes, book = self._changes, self._listing.book
        if not changes.first_id:
            return []
        bids, asks = book.bids.totals, book.asks.totals
        first = self._told_id + 1 if self._is_spot else changes.first_id
        payload = self._listing.payloads.depth(
            now_us,
            self._listing.changed_us,
            Ids(first, book.update_id, self._told_id),
            [(price, bids.get(price, 0)) for price in sorted(changes.bids)[::-1]],
            [(price, asks.get(price, 0)) for price in sorted(changes.asks)],
        )
        self._told_id = book.update_id
        changes.clear()
        return [payload]


class PartialDepthFeed(Regular):
    """The best levels, when they are others than last time."""

    def __init__(
        self,
        listing: Listing,
        start_us: int,
        period_us: int,
        phase_us: int,
        levels: int,
    ) -> None:
        super().__init__(start_us, period_us, phase_us)
        self._listing = listing
        self._levels = levels
        self._told = listing.best_levels(levels)
        self._told_id = listing.book.update_id

    def payloads(self, now_us: int) -> list[str]:
        """Return the best levels."""
        found = self._listing.best_levels(self._levels)
        if found == self._told:
            return []
        update_id = self._listing.book.update_id
        ids = Ids(self._told_id + 1, update_id, self._told_id)
        self._told, self._told_id = found, update_id
        changed_us = self._listing.changed_us
        return [self._listing.payloads.partial(now_us, changed_us, ids, *found)]


class KlineFeed:
    """Candles of one interval: now and then while they grow, and once closed.

    Args:
        listing: Whose trades.
        payload: Writes a candle.
        interval: As the exchange names it.
        shifted: Whether days begin where it is UTC+8.
        start_us: Of the session.
        period_us: How often a growing candle is told; 0 for never.
    """

    def __init__(
        self,
        listing: Listing,
        payload: Callable[..., str],
        interval: str,
        *,
        shifted: bool,
        start_us: int,
        period_us: int,
        phase_us: int,
    ) -> None:
        self._payload = payload
        self._floor = listing.floor
        self._interval, self._shifted = interval, shifted
        self._period = period_at(interval, start_us, shifted=shifted)
        self._total = Sum(listing.instrument.first_trade_id, listing.instrument.price)
        if self._period.start_us < start_us:
            self._total = listing.minutes.since(self._period.start_us, start_us)
        self._closed: list[tuple[Period, Sum]] = []
        self._told_id = self._total.last_id
        self._period_us = period_us
        self._tick_us = start_us + phase_us if period_us else self._closing_us
        self.next_us = min(self._tick_us, self._closing_us)
        listing.trade_watchers.append(self._add)

    @property
    def _closing_us(self) -> int:
        return self._period.end_us + 1000 + _CLOSING_US

    def _add(self, trades: list[Trade]) -> None:
        self._move(self._floor.now_us)
        for trade in trades:
            self._total.add(trade)

    def _move(self, now_us: int) -> None:
        while now_us >= self._period.end_us + 1000:
            self._closed.append((self._period, self._total))
            start_us = self._period.end_us + 1000
            self._period = period_at(self._interval, start_us, shifted=self._shifted)
            self._total = Sum(self._total.last_id + 1, self._total.close)
            self._told_id = self._total.last_id

    def due(self, now_us: int) -> list[str]:
        """Return the candles that ended, and the growing one if it did grow."""
        self._move(now_us)
        payloads = [
            self._payload(now_us, period, total, closed=True)
            for period, total in self._closed
        ]
        self._closed.clear()
        if now_us >= self._tick_us and self._period_us:
            self._tick_us += self._period_us
            payloads += self._growing(now_us)
        if not self._period_us:
            self._tick_us = self._closing_us
        self.next_us = min(self._tick_us, self._closing_us)
        return payloads

    def _growing(self, now_us: int) -> list[str]:
        if self._total.last_id == self._told_id:
            return []
        self._told_id = self._total.last_id
        return [self._payload(now_us, self._period, self._total, closed=False)]


class MiniTickerFeed(Regular):
    """The last day in short."""

    def __init__(
        self, listing: Listing, start_us: int, period_us: int, phase_us: int
    ) -> None:
        super().__init__(start_us, period_us, phase_us)
        self._listing = listing
        self._minutes = listing.minutes
        self._told: object = None

    def payloads(self, now_us: int) -> list[str]:
        """Return the day, if it is another than last time."""
        total = self._minutes.latest(DAY_MINUTES, now_us)
        news = self._news(total)
        if news == self._told or not total.base:
            return []
        self._told = news
        return [self._payload(now_us, total)]

    def _news(self, total: Sum) -> object:
        return total.first_id, total.last_id

    def _payload(self, now_us: int, total: Sum) -> str:
        return self._listing.payloads.mini_ticker(now_us, total)


class TickerFeed(MiniTickerFeed):
    """The last day at length."""

    def _news(self, total: Sum) -> object:
        return total.first_id, total.last_id, self._listing.book.top()

    def _payload(self, now_us: int, total: Sum) -> str:
        listing = self._listing
        top = listing.book.top()
        return listing.payloads.ticker(now_us, total, listing.last_quantity, top)


class RollingTickerFeed(Regular):
    """The last hours, from a whole minute on."""

    def __init__(
        self,
        listing: Listing,
        payloads: SpotPayloads,
        start_us: int,
        phase_us: int,
        window: str,
    ) -> None:
        super().__init__(start_us, 1_000_000, phase_us)
        self._payloads = payloads
        self._minutes = listing.minutes
        self._window = window
        hours = {"1h": 1, "4h": 4, "1d": 24}[window]
        self._length = hours * _HOUR_MINUTES
        self._told: object = None

    def payloads(self, now_us: int) -> list[str]:
        """Return the window, if it is another than last time."""
        total = self._minutes.latest(self._length, now_us)
        news = total.first_id, total.last_id
        if news == self._told or not total.base:
            return []
        self._told = news
        start_us = now_us - now_us % MINUTE_US - self._length * MINUTE_US
        return [self._payloads.rolling_ticker(now_us, self._window, start_us, total)]


class AveragePriceFeed(Regular):
    """The average price of five minutes and the current one."""

    def __init__(
        self, listing: Listing, payloads: SpotPayloads, start_us: int, phase_us: int
    ) -> None:
        super().__init__(start_us, 1_000_000, phase_us)
        self._listing, self._payloads = listing, payloads
        self._minutes = listing.minutes
        self._told: object = None

    def payloads(self, now_us: int) -> list[str]:
        """Return the average, if it is of other trades than last time."""
        total = self._minutes.latest(5, now_us)
        news = total.first_id, total.last_id
        if news == self._told or not total.base:
            return []
        self._told = news
        traded_us = self._listing.traded_us
        return [self._payloads.average_price(now_us, total, traded_us)]


class MarkPriceFeed(Regular):
    """Mark price, index price and funding rate."""

    def __init__(
        self, marks: Marks, payloads: UsdmPayloads, start_us: int, period_us: int
    ) -> None:
        super().__init__(start_us, period_us, 0)
        self._marks, self._payloads = marks, payloads

    def payloads(self, now_us: int) -> list[str]:
        """Return the prices, changed or not."""
        return [self._payloads.mark_price(now_us, self._marks.at(now_us))]


class ForceOrderFeed(Regular):
    """The largest liquidation of each second."""

    def __init__(
        self, listing: Listing, payloads: UsdmPayloads, start_us: int, phase_us: int
    ) -> None:
        super().__init__(start_us, 1_000_000, phase_us)
        self._payloads = payloads
        self._largest: Liquidation | None = None
        listing.forced_watchers.append(self._add)

    def _add(self, order: Liquidation) -> None:
        if self._largest is None or order.quantity > self._largest.quantity:
            self._largest = order

    def payloads(self, now_us: int) -> list[str]:
        """Return the largest one since last time."""
        order, self._largest = self._largest, None
        return [self._payloads.force_order(now_us, order)] if order else []


class LatestTopFeed(Regular):
    """The top of the book from time to time."""

    def __init__(self, listing: Listing, start_us: int, phase_us: int) -> None:
        super().__init__(start_us, 5_000_000, phase_us)
        self._listing = listing
        self._told = listing.book.top()

    def payloads(self, now_us: int) -> list[str]:
        """Return the top, if it is another than last time."""
        book = self._listing.book
        if (top := book.top()) == self._told:
            return []
        self._told = top
        return [self._listing.payloads.book_ticker(now_us, book.update_id, top)]


class GatheredFeed:
    """What the feeds of several symbols have to say at one moment.

    Args:
        members: Their feeds, which are due together.
        is_array: Whether it is said in one array, or each by itself.
    """

    def __init__(self, members: Sequence[Regular], *, is_array: bool) -> None:
        self._members = members
        self._is_array = is_array
        self.next_us = members[0].next_us

    def due(self, now_us: int) -> list[str]:
        """Return what the members say."""
        payloads = [text for member in self._members for text in member.due(now_us)]
        self.next_us = self._members[0].next_us
        if self._is_array and payloads:
            return [f"[{','.join(payloads)}]"]
        return payloads
