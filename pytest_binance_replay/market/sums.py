"""Trades added up: over a minute, a candle, a window of time.

Prices are in ticks, quantities in steps, amounts of quote in ticks times steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from pytest_binance_replay.market.chance import Chance
from pytest_binance_replay.market.instruments import Instrument

MINUTE_US = 60_000_000
DAY_MINUTES = 1440


class Trade(NamedTuple):
    """One fill, as it is told.

    Attributes:
        id: Of the trade.
        price: In ticks.
        quantity: In steps.
        taker_buys: Whether the taker bought.
    """

    id: int
    price: int
    quantity: int
    taker_buys: bool


class Sum:
    """Trades added up, beginning with a price before any.

    Attributes:
        first_id: Of the first trade; without any, of the next one.
        last_id: Of the last trade.
        open: First price; the others are the highest, lowest and last one.
        base: Quantity; `bought_base` is what takers bought of it.
        quote: Price times quantity.
    """

    __slots__ = (
        *("base", "bought_base", "bought_quote", "close", "first_id", "high"),
        *("last_id", "low", "open", "quote"),
    )

    def __init__(self, first_id: int, price: int) -> None:
        self.first_id = first_id
        self.last_id = first_id - 1
        self.open = self.high = self.low = self.close = price
        self.base = self.quote = self.bought_base = self.bought_quote = 0

    @property
    def count(self) -> int:
        """How many trades there were."""
        return self.last_id - self.first_id + 1

    def add(self, trade: Trade) -> None:
        """Count one trade."""
        number, price, quantity, taker_buys = trade
        if self.last_id < self.first_id:
            self.open = self.high = self.low = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        quote = price * quantity
        self.last_id = number
        self.close = price
        self.base += quantity
        self.quote += quote
        if taker_buys:
            self.bought_base += quantity
            self.bought_quote += quote

    def append(self, later: Sum) -> None:
        """Count what was added up by another one, of a later time."""
        if not later.count:
            return
        if not self.count:
            self.open = self.high = self.low = later.open
        self.last_id = later.last_id
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.base += later.base
        self.quote += later.quote
        self.bought_base += later.bought_base
        self.bought_quote += later.bought_quote

    @classmethod
    def of(cls, sums: Iterable[Sum]) -> Sum:
        """Add several up, at least one, in order of time."""
        whole: Sum | None = None
        for one in sums:
            if whole is None:
                whole = cls(one.first_id, one.open)
            whole.append(one)
        if whole is None:
            msg = "nothing to add up"
            raise ValueError(msg)
        return whole


class Minutes:
    """A day of trades, a minute at a time, up to the current one.

    Args:
        before: The minutes of the day before the start, the oldest first.
        start_us: A whole minute.
    """

    def __init__(self, before: Iterable[Sum], start_us: int) -> None:
        self._whole = deque(before, DAY_MINUTES)
        self._start_us = start_us
        last = self._whole[-1]
        self._current = Sum(last.last_id + 1, last.close)
        self._known: dict[int, Sum] = {}

    def add(self, trade: Trade, now_us: int) -> None:
        """Count a trade."""
        self._move(now_us)
        self._current.add(trade)

    def latest(self, minutes: int, now_us: int) -> Sum:
        """Add up the current minute and so many whole ones before it."""
        self._move(now_us)
        if minutes not in self._known:
            skipped = max(0, len(self._whole) - minutes)
            self._known[minutes] = Sum.of(islice(self._whole, skipped, None))
        return Sum.of((self._known[minutes], self._current))

    def since(self, from_us: int, now_us: int) -> Sum:
        """Add up what is known since a whole minute."""
        self._move(now_us)
        return self.latest((self._start_us - from_us) // MINUTE_US, now_us)

    def _move(self, now_us: int) -> None:
        while now_us >= self._start_us + MINUTE_US:
            self._start_us += MINUTE_US
            self._whole.append(self._current)
            self._current = Sum(self._current.last_id + 1, self._current.close)
            self._known.clear()


def day_before(instrument: Instrument, seed: int) -> list[Sum]:
    """Make up the minutes of the day before the start, which ends at its price.

    There are no more trades in it than ids before the first one; without any, the one
    minute returned is empty.
    """
    if instrument.first_trade_id <= DAY_MINUTES:
        return [Sum(instrument.first_trade_id, instrument.price)]
    chance = Chance(seed)
    minutes: list[Sum] = []
    close, next_id = instrument.price, instrument.first_trade_id
    for left in range(DAY_MINUTES, 0, -1):
        move = chance.spread_out(instrument.price, 7) // 600_000
        open_price = max(2, close + (move if chance.happens(500) else -move))
        count = 1 + instrument.activity * chance.spread_out(1, 6) // 4
        count = min(count, next_id // left)
        minute = Sum(next_id - count, open_price)
        minute.last_id = next_id - 1
        minute.close = close
        minute.high = max(open_price, close) + move // 3
        minute.low = max(1, min(open_price, close) - move // 4)
        minute.base = count * chance.spread_out(instrument.least_steps, 7, 2)
        minute.quote = minute.base * (open_price + close) // 2
        minute.bought_base = minute.base * chance.between(30, 70) // 100
        minute.bought_quote = minute.quote * minute.bought_base // minute.base
        minutes.append(minute)
        close, next_id = open_price, next_id - count
    minutes.reverse()
    return minutes
