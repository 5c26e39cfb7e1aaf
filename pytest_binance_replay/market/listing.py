"""One symbol as it is traded: its book, its trades, and who is told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pytest_binance_replay.market.actions import Action, Cancel, Place, Side, Take
from pytest_binance_replay.market.instruments import Instrument
from pytest_binance_replay.market.orders import Fill, LimitBook
from pytest_binance_replay.market.payloads import (
    Levels,
    Liquidation,
    Payloads,
    SpotPayloads,
    UsdmPayloads,
)
from pytest_binance_replay.market.sums import Minutes, Trade, day_before

_DEPTH_PATHS = {"spot": "/api/v3/depth", "usdm": "/fapi/v1/depth"}


class Told(NamedTuple):
    """Something that the exchange says.

    Attributes:
        moment_us: When, microseconds since the epoch.
        name: Stream that carries it, or path and query of the request it answers.
        payload: What it says.
    """

    moment_us: int
    name: str
    payload: bytes


class Floor:
    """Where all symbols are traded: what time it is, and what was said so far.

    Attributes:
        now_us: Microseconds since the epoch.
        told: What was said and not yet fetched.
    """

    def __init__(self, start_us: int) -> None:
        self.now_us = start_us
        self.told: list[Told] = []

    def tell(self, name: str, payload: str) -> None:
        """Say something."""
        self.told.append(Told(self.now_us, name, payload.encode()))


class Listing:
    """One symbol of an exchange.

    Args:
        instrument: What is traded.
        floor: Where.
        next_id: Gives the update id that follows one.
        seed: Of the day before the start.

    Attributes:
        book: Its order book.
        payloads: Words for what happens to it.
        changed_us: When the book changed last, microseconds since the epoch.
        traded_us: When the last trade was.
        last_price: Of the last trade, in ticks; before any, of the start.
        last_quantity: Of the last trade, in steps.
        trade_watchers: Called with the trades of each taker.
        change_watchers: Called after each change of the book.
        forced_watchers: Called with each liquidation.
    """

    def __init__(
        self,
        instrument: Instrument,
        floor: Floor,
        next_id: Callable[[int], int],
        seed: int,
    ) -> None:
        self.instrument = instrument
        self.floor = floor
        self.book = LimitBook(instrument.first_update_id, next_id)
        self.payloads: Payloads = (
            SpotPayloads(instrument)
            if instrument.market == "spot"
            else UsdmPayloads(instrument)
        )
        self.changed_us = self.traded_us = floor.now_us
        self.last_price = instrument.price
        self.last_quantity = instrument.least_steps
        self.trade_watchers: list[Callable[[list[Trade]], None]] = []
        self.change_watchers: list[Callable[[], None]] = []
        self.forced_watchers: list[Callable[[Liquidation], None]] = []
        self._next_trade_id = instrument.first_trade_id
        self._seed = seed
        self._start_us = floor.now_us
        self._minutes: Minutes | None = None
        self._depth_limits: list[int] = []

    @property
    def minutes(self) -> Minutes:
        """The trades of the last day, from the first time that it is asked for."""
        if self._minutes is None:
            before = day_before(self.instrument, self._seed)
            self._minutes = Minutes(before, self._start_us)
        return self._minutes

    def open(self, levels: int, quantity: int) -> None:
        """Fill the book before the start: levels a tick apart, of a quantity each."""
        for number in range(levels):
            self.book.bids.add(max(1, self.instrument.price - number), quantity)
            self.book.asks.add(self.instrument.price + 1 + number, quantity)

    # What happens

    def act(self, action: Action) -> None:
        """Do what an action says."""
        match action:
            case Place(side=side, distance=distance, quantity=quantity):
                away = distance - 1 if side == "ask" else 1 - distance
                self.place(side, self.book.nearest(side) + away, quantity)
            case Cancel(side=side, level=level, quantity=quantity):
                half = self.book.side(side)
                if level < len(half):
                    self.cancel(side, half.price_at(level), quantity)
            case Take(side=side, quantity=quantity, is_forced=is_forced):
                self.take(side, quantity, is_forced=is_forced)

    def place(self, side: Side, price: int, *quantities: int) -> None:
        """Let orders wait; a price that would meet others becomes the nearest."""
        self.book.place(side, price, *quantities)
        self._changed()

    def cancel(self, side: Side, price: int, quantity: int | None = None) -> None:
        """Take orders of a level back; None for all of them."""
        before = self.book.update_id
        self.book.cancel(side, price, quantity)
        if self.book.update_id != before:
            self._changed()

    def take(
        self,
        side: Side,
        quantity: int,
        *,
        limit: int | None = None,
        is_forced: bool = False,
    ) -> None:
        """Let a taker meet waiting orders, at a limit price or better."""
        fills = self.book.take(side, quantity, limit)
        if not fills:
            return
        self._traded(side, fills)
        if is_forced:
            liquidation = self._liquidation(side, fills)
            for watch in self.forced_watchers:
                watch(liquidation)
        self._changed()

    def _traded(self, side: Side, fills: list[Fill]) -> None:
        first_id = self._next_trade_id
        self._next_trade_id += len(fills)
        self.traded_us = self.floor.now_us
        self.last_price, self.last_quantity = fills[-1]
        buys = side == "ask"
        trades = [
            Trade(number, price, quantity, buys)
            for number, (price, quantity) in enumerate(fills, first_id)
        ]
        if self._minutes is not None:
            for trade in trades:
                self._minutes.add(trade, self.traded_us)
        for watch in self.trade_watchers:
            watch(trades)

    def _liquidation(self, side: Side, fills: list[Fill]) -> Liquidation:
        return Liquidation(
            sells=side == "bid",
            quantity=sum(fill.quantity for fill in fills),
            price=fills[-1].price,
            quote=sum(fill.price * fill.quantity for fill in fills),
            last_quantity=fills[-1].quantity,
            time_us=self.floor.now_us,
        )

    def _changed(self) -> None:
        self.changed_us = self.floor.now_us
        for watch in self.change_watchers:
            watch()
        if self._depth_limits:
            self._answer()

    # What is asked

    def ask_depth(self, limit: int) -> None:
        """Ask for a snapshot, which is given when the book changes next.

        Then its update id lies among those of every diff to come, so that it joins
        them by the rules of both markets.
        """
        self._depth_limits.append(limit)

    def best_levels(self, most: int) -> tuple[Levels, Levels]:
        """Return so many bids and asks, best first."""
        bids, asks = self.book.bids, self.book.asks
        return (
            [(price, bids.totals[price]) for price in bids.prices(most)],
            [(price, asks.totals[price]) for price in asks.prices(most)],
        )

    def _answer(self) -> None:
        path = _DEPTH_PATHS[self.instrument.market]
        for limit in self._depth_limits:
            body = self.payloads.snapshot(
                self.floor.now_us,
                self.changed_us,
                self.book.update_id,
                *self.best_levels(limit),
            )
            query = f"symbol={self.instrument.symbol}&limit={limit}"
            self.floor.tell(f"{path}?{query}", body)
        self._depth_limits.clear()
