"""Makers and takers by chance, who trade one symbol as a scenario has it.

Arrivals come in clusters: each of them makes others likely, within fractions of a
millisecond or seconds, which is what recorded markets show: a self-exciting process
whose memory fades as a power of time. Sizes are spread over orders of magnitude. The
fair price follows the scenario's path and strays from it in rare steps; takers who
know it meet the orders on its wrong side, and makers follow.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from pytest_binance_replay.market.chance import Chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.market.actions import Side
    from pytest_binance_replay.market.crossings import Level
    from pytest_binance_replay.market.exchange import Exchange
    from pytest_binance_replay.market.instruments import Instrument
    from pytest_binance_replay.market.listing import Listing
    from pytest_binance_replay.market.scenarios import Course, Scenario

# Measured on recordings of 2021 to 2026, mostly on BTCUSDT in August 2024.
# The busier a market, the more its arrivals cluster. From so many percent of BTCUSDT's
# activity on: the mean gap between arrivals that none before caused, at 100 %, in
# microseconds; and per mille of arrivals that cause none, at most one, two, three
# others (0.6, 0.8 and 0.92 each, up to four).
_CLUSTERING = (
    (0, 15_200, (549, 878, 977, 997)),
    (15, 30_500, (449, 808, 952, 990)),
    (60, 80_000, (395, 762, 933, 986)),
)
_FOLLOWING_US, _FOLLOWING_OCTAVES = 60, 15
_SAME_SIDE = 960
_STEP, _STEP_OCTAVES = 3_000, 7  # of the fair price, in 1e-9 of it
_STRAYS = 12
_IDLE_US = 250_000
_FADING_US = 10_000_000
_BILLION = 10**9

_TAKES, _JOINS, _LEAVES, _DEEPENS = 62, 460, 800, 910
"""Per mille, added up: takers; makers near the top who come, or leave; deeper ones."""

_CLOSES = 700
"""Per mille of the times that a gap between the sides is closed before all else."""
_FOLLOWS = 970
"""Per mille of the times that the other side follows at once a price that moved."""
_REFILLS = 3
"""Levels at most that makers put behind each price that moved, if few are left."""
_REACH = 2_000
"""A taker goes no further than this part of the price."""

_OTHER: dict[Side, Side] = {"bid": "ask", "ask": "bid"}


class FairPrice:
    """Where the price of a symbol ought to be.

    Args:
        instrument: The symbol.
        course: What the session goes through.
        levels: What is to be crossed, in order of time.
    """

    def __init__(
        self, instrument: Instrument, course: Course, levels: Sequence[Level]
    ) -> None:
        self._instrument = instrument
        self._course = course
        self._levels = list(levels)
        self._correction = 0
        self._noise = 0
        self.leeway = max(1, instrument.price // 100_000)

    @property
    def level(self) -> Level | None:
        """What is to be crossed next."""
        return self._levels[0] if self._levels else None

    def is_underway(self, passed_us: int) -> bool:
        """Return whether the price is on its way to what is to be crossed."""
        level = self.level
        return level is not None and passed_us >= level.approach_us

    def stray(self, step: int) -> None:
        """Move off the path by so many 1e-9 of the price."""
        self._noise += step - self._noise // 200

    def crossed(self) -> None:
        """Go on from the level that was crossed."""
        level = self._levels.pop(0)
        self._correction = level.price - self._on_path(level.at_us)
        self._noise = 0

    def _on_path(self, passed_us: int) -> int:
        one = self._instrument
        millionths = self._course.stage_at(passed_us).path_at(passed_us)
        return one.price + one.price * millionths * one.beta // 100_000_000

    def at(self, passed_us: int) -> int:
        """Return the price, in ticks, at a time from the start of the session."""
        noise = self._instrument.price * self._noise // _BILLION
        level = self.level
        if level is None:
            price = self._on_path(passed_us) + self._correction + noise
            return max(2, price)
        ahead_us = max(0, level.at_us - passed_us)
        if ahead_us < _FADING_US:
            noise = noise * ahead_us // _FADING_US
        price = self._on_path(passed_us) + self._bent(level, passed_us) + noise
        return max(2, level.held(price, min(self.leeway, self._room(level))))

    def _bent(self, level: Level, passed_us: int) -> int:
        """Return how far the path is bent for the level to be met in time."""
        underway_us = passed_us - level.approach_us
        if underway_us <= 0:
            return self._correction
        bend = level.price - self._on_path(level.at_us) - self._correction
        whole_us = max(1, level.at_us - level.approach_us)
        return self._correction + bend * min(underway_us, whole_us) // whole_us

    def _room(self, level: Level) -> int:
        """Return how much leeway there is between the level and the path so far."""
        here = self._on_path(level.approach_us) + self._correction
        return max(0, abs(level.price - here) // 4)


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
        self._least = one.least_steps
        self._near = max(2, (one.price // 1000).bit_length())
        self._start_us = exchange.now_us
        percent = activity * one.activity // 100
        _, gap_us, self._chain = max(row for row in _CLUSTERING if row[0] <= percent)
        self._gap = gap_us * 1_000_000 // (activity * one.activity)
        self._followers: list[tuple[int, Side]] = []
        self._newcomer_us = self._start_us + chance.wait(self._gap // 100)
        self._crossing_us = self._plan_crossing()
        self.next_us = min(self._newcomer_us, self._crossing_us or self._newcomer_us)
        self._open()

    def _open(self) -> None:
        for half, away in ((self._book.bids, -1), (self._book.asks, 1)):
            best = half.best
            for _ in range(self._depth):
                price = best + away * self._chance.spread_out(1, self._near + 2)
                while price in half.totals:
                    price += away
                if price > 0:
                    half.add(price, self._resting(100))

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
        elif self._followers and self._followers[0][0] <= now_us:
            self._arrive(heappop(self._followers)[1])
        else:
            self._newcomer(now_us)
        times = [self._newcomer_us]
        if self._followers:
            times.append(self._followers[0][0])
        if self._crossing_us is not None:
            times.append(self._crossing_us)
        self.next_us = max(self._exchange.now_us, min(times))

    def ask_depth(self, at_us: int) -> None:
        """Ask for a depth snapshot, and change the book a little so that it comes."""
        self._exchange.advance(at_us)
        self._listing.ask_depth(1000)
        passed_us = self._exchange.now_us - self._start_us
        self._deepen("bid", self._course.stage_at(passed_us).scenario)

    def _newcomer(self, now_us: int) -> None:
        passed_us = now_us - self._start_us
        percent = self._course.stage_at(passed_us).activity_at(passed_us)
        if self._fair.is_underway(passed_us):
            percent *= 2
        if percent <= 0:
            self._newcomer_us = now_us + _IDLE_US
            return
        self._newcomer_us = now_us + 1 + self._chance.wait(self._gap // percent)
        self._arrive("bid" if self._chance.happens(500) else "ask")

    def _pause(self) -> None:
        """Let the moment pass that lies between two things done at once."""
        self._exchange.advance(self._exchange.now_us + 1 + self._chance.below(40))

    # What

    def _arrive(self, side: Side) -> None:
        chance, now_us = self._chance, self._exchange.now_us
        drawn = chance.below(1000)
        for bound in self._chain:
            if drawn < bound:
                break
            delay_us = chance.spread_out(_FOLLOWING_US, _FOLLOWING_OCTAVES)
            same = chance.happens(_SAME_SIDE)
            heappush(
                self._followers, (now_us + delay_us, side if same else _OTHER[side])
            )
        passed_us = now_us - self._start_us
        scenario = self._course.stage_at(passed_us).scenario
        if chance.happens(_STRAYS):
            step = chance.spread_out(_STEP, _STEP_OCTAVES) * scenario.noise // 100
            self._fair.stray(step if chance.happens(500) else -step)
        fair = self._fair.at(passed_us)
        if self._book.bids.best > fair:
            self._sweep("bid", fair, scenario)
        elif self._book.asks.best <= fair:
            self._sweep("ask", fair, scenario)
        else:
            self._trade_or_quote(side, fair, scenario)

    def _trade_or_quote(self, side: Side, fair: int, scenario: Scenario) -> None:
        book = self._book
        if book.asks.best - book.bids.best > 1 and self._chance.happens(_CLOSES):
            behind: Side = (
                "bid" if fair - book.bids.best > book.asks.best - fair - 1 else "ask"
            )
            price = self._touch(behind, fair, scenario)
            self._listing.place(behind, price, self._resting(scenario.depth))
            return
        drawn = self._chance.below(1000)
        if drawn < _TAKES:
            quantity = self._chance.spread_out(self._least, 10, 6)
            self._listing.take(side, quantity, limit=self._limit(side))
        elif drawn < _JOINS:
            self._join(side, fair, scenario)
        elif drawn < _LEAVES:
            self._leave(side)
        elif drawn < _DEEPENS or len(self._book.side(side)) < self._depth // 2:
            self._deepen(side, scenario)
        else:
            half = self._book.side(side)
            self._listing.cancel(side, half.price_at(self._chance.below(len(half))))
        if len(self._book.side(side)) > self._depth + 8:
            half = self._book.side(side)
            self._listing.cancel(side, half.price_at(len(half) - 1))

    def _limit(self, side: Side) -> int:
        """Return the worst price that a taker goes to; not to the next crossing."""
        level, best = self._fair.level, self._book.side(side).best
        reach = max(5, best // _REACH)
        limit = best - reach if side == "bid" else best + reach
        if level is None or level.rises == (side == "bid"):
            return limit
        return level.held(limit, 0)

    def _resting(self, percent: int) -> int:
        size = self._chance.spread_out(self._least * 100, 9, 3)
        return max(self._least, size * percent // 100)

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
        self._listing.place(side, price, self._resting(scenario.depth))

    def _leave(self, side: Side) -> None:
        half = self._book.side(side)
        level = 0 if self._chance.happens(600) else self._chance.below(len(half))
        price = half.price_at(level)
        share = self._chance.between(1, 104)
        self._listing.cancel(side, price, max(1, half.totals[price] * share // 100))

    def _deepen(self, side: Side, scenario: Scenario) -> None:
        away = self._chance.spread_out(1, self._near + 3)
        best = self._book.side(side).best
        price = best - away if side == "bid" else best + away
        self._listing.place(side, price, self._resting(scenario.depth))

    def _sweep(self, side: Side, fair: int, scenario: Scenario) -> None:
        """Meet what is on the wrong side of the fair price, and follow it.

        One taker meets some levels; the makers of the others step back.
        """
        chance, listing = self._chance, self._listing
        half = self._book.side(side)
        listing.place(
            side, self._touch(side, fair, scenario), self._resting(scenario.depth)
        )
        self._pause()
        most = chance.spread_out(1, 2, 4)
        quantity = sum(
            half.totals[price]
            for price in half.prices(most)
            if (price > fair if side == "bid" else price <= fair)
        )
        quantity = min(quantity, chance.spread_out(self._least, 11, 4))
        forced = chance.happens(scenario.forced)
        limit = fair + 1 if side == "bid" else fair
        listing.take(side, quantity, limit=limit, is_forced=forced)
        while half.best > fair if side == "bid" else half.best <= fair:
            self._pause()
            listing.cancel(side, half.best)
        for _ in range(min(_REFILLS, self._depth * 3 // 4 - len(half))):
            self._deepen(side, scenario)
        if chance.happens(_FOLLOWS):
            self._pause()
            other = _OTHER[side]
            price = self._touch(other, fair, scenario)
            listing.place(other, price, self._resting(scenario.depth))

    def _cross(self) -> None:
        """Let a taker reach the level that is to be crossed now."""
        level = self._fair.level
        if level is None:
            return
        side: Side = "ask" if level.rises else "bid"
        half, listing = self._book.side(side), self._listing
        listing.place(side, level.price, self._resting(100))
        self._pause()
        before = half.prices(len(half))
        del before[before.index(level.price) :]
        for price in before[3:-3]:
            listing.cancel(side, price)
            self._pause()
        quantity = sum(half.totals.get(price, 0) for price in before)
        quantity += half.totals[level.price] // 2 + 1
        listing.take(side, quantity, limit=level.price)
