"""Makers and takers by chance, who trade one symbol as a scenario has it.

When they come `arrivals` says, where the price ought to be `fair`. Takers who know the
fair price meet the orders on its wrong side, and makers on both sides follow it step
by step. Sizes are spread over orders of magnitude, and a level is a queue of many
orders, so that one taker makes many trades at once. Deep in the book makers change
some or many orders at a time, whatever is traded.

Source:
    X. Gabaix and others, "A theory of power-law distributions in financial market
    fluctuations", Nature, 2003: sizes of trades without a scale of their own.
    J.-P. Bouchaud, M. Mezard and M. Potters, "Statistical properties of stock order
    books", Quantitative Finance, 2002: the same of how far from the best price makers
    place their orders. How much of each: recordings of 2021 to 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_binance_replay.market.arrivals import OTHER, Arrivals, Newcomers
from pytest_binance_replay.market.fair import FairPrice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.market.actions import Side
    from pytest_binance_replay.market.chance import Chance
    from pytest_binance_replay.market.crossings import Level
    from pytest_binance_replay.market.exchange import Exchange
    from pytest_binance_replay.market.listing import Listing
    from pytest_binance_replay.market.scenarios import Course, Scenario

_STEP, _STEP_OCTAVES = 2_500, 7
"""How far the fair price strays, in 1e-9 of it, and how often that may double."""
_STRAYS = 12
"""Per mille of arrivals that it strays with."""
_MOVING = _STRAYS * 26  # as it strays by 26 of its least steps on average

_TAKES, _JOINS = 66, 540
"""Per mille, added up: takers; makers who come. The others leave."""
_TAKEN_OCTAVES, _TAKEN_RARELY = 9, 7
"""How often a taker's size may double, and how often more for one out of ten."""
_SHOWN_OCTAVES, _SHOWN_RARELY = 9, 3
"""The same of what makers put at a price at once."""
_QUEUE, _DEEP_QUEUE = 16, 3
"""Orders in that at the most, near the top at 100 percent, and deep in the book."""
_REQUOTING_US, _REQUOTED_OCTAVES = 50_000, 5
"""How long until a maker changes orders deep in the book, at 100 percent, and how
often their number may double."""

_CLOSES = 850
"""Per mille of the times that a gap between the sides is closed before all else."""
_SWEPT_STEPS = 4
"""Steps at most, about, in which makers step back from a price that moved."""
_KEEPS_UP, _FOLLOWS = 800, 970
"""Per mille of the times that the other side follows: each step, and the last one."""
_PAUSE_US, _PAUSE_OCTAVES = 50, 5
"""From one step to the next."""
_REFILLS = 3
"""Levels at most that makers put behind each price that moved, if few are left."""
_REACH = 2_000
"""A taker goes no further than this part of the price."""


class Crowd:
    """All who trade one symbol.

    Args:
        exchange: Where they trade.
        listing: What they trade.
        course: What the session goes through.
        levels: What the price is to cross.
        chance: Decides.
        activity: How much goes on, in percent.
        depth: Levels a side that they keep, about.

    Attributes:
        next_us: When they act next, microseconds since the epoch.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        course: Course,
        levels: Sequence[Level],
        chance: Chance,
        *,
        activity: int,
        depth: int,
    ) -> None:
        one = listing.instrument
        self._exchange = exchange
        self._listing = listing
        self._book = listing.book
        self._course = course
        self._fair = FairPrice(one, course, levels)
        self._chance = chance
        self._depth = depth
        self._least, self._lot = one.least_steps, one.lot_steps
        self._near = max(2, (one.price // 1000).bit_length())
        self._start_us = exchange.now_us
        busy = activity * one.activity
        self._arrivals = Arrivals(chance, self._start_us, busy, _MOVING)
        gap_us = _REQUOTING_US * 10_000 // busy
        self._requoters = Newcomers(chance, self._start_us, gap_us)
        self._queue = max(_DEEP_QUEUE, _QUEUE * min(busy, 10_000) // 10_000)
        self._crossing_us = self._plan_crossing()
        self.next_us = self._next_us()
        self._open()

    def _open(self) -> None:
        for half, away in ((self._book.bids, -1), (self._book.asks, 1)):
            best = half.best
            for _ in range(self._depth):
                price = best + away * self._chance.spread_out(1, self._near + 2)
                while price in half.totals:
                    price += away
                if price > 0:
                    half.add(price, *self._resting(100))

    # When

    def _plan_crossing(self) -> int | None:
        level = self._fair.level
        if level is None:
            return None
        return self._start_us + level.at_us + self._chance.between(40_000, 400_000)

    def act(self) -> None:
        """Do what is due at `next_us`, and set the next time."""
        now_us = self.next_us
        self._exchange.advance(now_us)
        if self._crossing_us is not None and now_us >= self._crossing_us:
            self._cross()
            self._fair.crossed()
            self._crossing_us = self._plan_crossing()
        else:
            self._trade_or_requote(now_us - self._start_us)
        self.next_us = max(self._exchange.now_us, self._next_us())

    def _next_us(self) -> int:
        next_us = min(self._arrivals.next_us, self._requoters.next_us)
        return next_us if self._crossing_us is None else min(next_us, self._crossing_us)

    def _trade_or_requote(self, passed_us: int) -> None:
        stage = self._course.stage_at(passed_us)
        percent = stage.activity_at(passed_us)
        if self._fair.is_underway(passed_us):
            percent *= 2
        if self._requoters.next_us < self._arrivals.next_us:
            if self._requoters.come(percent * 10):
                self._requote(stage.scenario)
        elif (side := self._arrivals.come(percent)) is not None:
            self._arrive(side)

    def ask_depth(self, at_us: int) -> None:
        """Ask for a depth snapshot, and change the book a little so that it comes."""
        self._exchange.advance(at_us)
        self._listing.ask_depth(1000)
        passed_us = self._exchange.now_us - self._start_us
        self._deepen("bid", self._course.stage_at(passed_us).scenario)

    def _pause(self) -> None:
        """Let the moment pass that lies between two things done at once."""
        pause_us = self._chance.spread_out(_PAUSE_US, _PAUSE_OCTAVES)
        self._exchange.advance(self._exchange.now_us + pause_us)

    # What

    def _arrive(self, side: Side) -> None:
        now_us = self._exchange.now_us
        passed_us = now_us - self._start_us
        scenario = self._course.stage_at(passed_us).scenario
        self._arrivals.cause(side, now_us, self._stray(scenario))
        fair = self._fair.at(passed_us)
        if self._book.bids.best > fair:
            self._sweep("bid", fair, scenario)
        elif self._book.asks.best <= fair:
            self._sweep("ask", fair, scenario)
        else:
            self._trade_or_quote(side, fair, scenario)

    def _stray(self, scenario: Scenario) -> int:
        """Return how far the fair price strays, in its least steps; mostly 0."""
        chance = self._chance
        if not chance.happens(_STRAYS):
            return 0
        step = chance.spread_out(_STEP, _STEP_OCTAVES)
        strayed = step * scenario.noise // 100
        self._fair.stray(strayed if chance.happens(500) else -strayed)
        return step // _STEP

    def _trade_or_quote(self, side: Side, fair: int, scenario: Scenario) -> None:
        book = self._book
        if book.asks.best - book.bids.best > 1 and self._chance.happens(_CLOSES):
            behind: Side = (
                "bid" if fair - book.bids.best > book.asks.best - fair - 1 else "ask"
            )
            price = self._touch(behind, fair, scenario)
            self._listing.place(behind, price, *self._resting(scenario.depth))
            return
        drawn = self._chance.below(1000)
        if drawn < _TAKES:
            quantity = self._chance.spread_out(
                self._least, _TAKEN_OCTAVES, _TAKEN_RARELY
            )
            self._listing.take(side, quantity, limit=self._limit(side))
        elif drawn < _JOINS:
            self._join(side, fair, scenario)
        else:
            self._leave(side)
        self._trim(side)

    def _limit(self, side: Side) -> int:
        """Return the worst price that a taker goes to; not to the next crossing."""
        level, best = self._fair.level, self._book.side(side).best
        reach = max(5, best // _REACH)
        limit = best - reach if side == "bid" else best + reach
        if level is None or level.rises == (side == "bid"):
            return limit
        return level.held(limit, 0)

    def _resting(self, percent: int, most: int | None = None) -> list[int]:
        """Return orders that queue at a price."""
        whole = self._chance.spread_out(self._lot, _SHOWN_OCTAVES, _SHOWN_RARELY)
        whole = max(self._least, whole * percent // 100)
        return self._chance.parts(whole, self._least, most or self._queue)

    def _touch(self, side: Side, fair: int, scenario: Scenario) -> int:
        """Return the best price at which a maker would wait."""
        keeps = 0
        if scenario.spread:
            keeps = self._chance.below(fair * scenario.spread // 1_000_000 + 1)
        return fair - keeps if side == "bid" else fair + 1 + keeps

    def _join(self, side: Side, fair: int, scenario: Scenario) -> None:
        price = self._touch(side, fair, scenario)
        if self._chance.happens(350):
            away = self._chance.spread_out(1, self._near)
            price += -away if side == "bid" else away
        self._listing.place(side, price, *self._resting(scenario.depth))

    def _leave(self, side: Side) -> None:
        half = self._book.side(side)
        level = 0 if self._chance.happens(600) else self._chance.below(len(half))
        price = half.price_at(level)
        share = self._chance.between(1, 104)
        self._listing.cancel(side, price, max(1, half.totals[price] * share // 100))

    def _requote(self, scenario: Scenario) -> None:
        """Let a maker change some orders deep in the book, all on one side."""
        chance = self._chance
        side: Side = "bid" if chance.happens(500) else "ask"
        half = self._book.side(side)
        count = chance.spread_out(1, _REQUOTED_OCTAVES)
        for _ in range(min(count, self._depth // 2)):
            if len(half) < max(3, self._depth - chance.below(8)):
                self._deepen(side, scenario)
            else:
                price = half.price_at(chance.between(2, len(half) - 1))
                self._listing.cancel(side, price)

    def _deepen(self, side: Side, scenario: Scenario) -> None:
        away = self._chance.spread_out(1, self._near + 3)
        best = self._book.side(side).best
        price = best - away if side == "bid" else best + away
        self._listing.place(
            side, price, *self._resting(scenario.depth, most=_DEEP_QUEUE)
        )

    def _sweep(self, side: Side, fair: int, scenario: Scenario) -> None:
        """Meet what is on the wrong side of the fair price, and follow it.

        One taker meets some levels; the makers of the others step back.
        """
        half, listing = self._book.side(side), self._listing
        price = self._touch(side, fair, scenario)
        listing.place(side, price, *self._resting(scenario.depth))
        self._pause()
        self._take_wrong(side, fair, scenario)
        self._step_back(side, fair, scenario)
        for _ in range(min(_REFILLS, self._depth * 3 // 4 - len(half))):
            self._deepen(side, scenario)
        if self._chance.happens(_FOLLOWS):
            self._pause()
            self._follow(side, fair, scenario)

    def _take_wrong(self, side: Side, fair: int, scenario: Scenario) -> None:
        chance, half = self._chance, self._book.side(side)
        quantity = sum(
            half.totals[price]
            for price in half.prices(chance.spread_out(1, 2, 4))
            if _is_beyond(side, price, fair)
        )
        quantity = min(quantity, chance.spread_out(self._least, 11, 4))
        forced = chance.happens(scenario.forced)
        limit = fair + 1 if side == "bid" else fair
        self._listing.take(side, quantity, limit=limit, is_forced=forced)

    def _step_back(self, side: Side, fair: int, scenario: Scenario) -> None:
        half = self._book.side(side)
        wrong = sum(_is_beyond(side, price, fair) for price in half.totals)
        step = 1 + wrong // _SWEPT_STEPS
        while wrong > 0:
            self._pause()
            # Those behind first, so that the top is told once.
            for price in half.prices(min(step, wrong))[::-1]:
                self._listing.cancel(side, price)
            wrong -= step
            if wrong > 0 and self._chance.happens(_KEEPS_UP):
                self._pause()
                self._follow(side, fair, scenario)

    def _follow(self, side: Side, fair: int, scenario: Scenario) -> None:
        """Let a maker of the other side come as near as a side that moved allows."""
        other = OTHER[side]
        price = self._touch(other, fair, scenario)
        self._listing.place(other, price, *self._resting(scenario.depth))
        self._trim(other)

    def _trim(self, side: Side) -> None:
        half = self._book.side(side)
        if len(half) > self._depth + 8:
            self._listing.cancel(side, half.price_at(len(half) - 1))

    def _cross(self) -> None:
        """Let a taker reach the level that is to be crossed now."""
        level = self._fair.level
        if level is None:
            return
        side: Side = "ask" if level.rises else "bid"
        half, listing = self._book.side(side), self._listing
        listing.place(side, level.price, *self._resting(100))
        self._pause()
        before = half.prices(len(half))
        del before[before.index(level.price) :]
        for price in before[1:-1]:
            listing.cancel(side, price)
        self._pause()
        quantity = sum(half.totals.get(price, 0) for price in before)
        quantity += half.totals[level.price] // 2 + 1
        listing.take(side, quantity, limit=level.price)


def _is_beyond(side: Side, price: int, fair: int) -> bool:
    """Return whether a price of a side is on the wrong side of the fair one."""
    return price > fair if side == "bid" else price <= fair
