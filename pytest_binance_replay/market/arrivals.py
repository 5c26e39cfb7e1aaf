"""When somebody comes to trade: a self-exciting process in integers.

Newcomers come at any moment alike. Whoever comes makes others come, who make others
come: most within milliseconds, as machines answer each other, some within seconds, so
that the memory fades about as a power of time. Who moves the price makes the more
come, the further it moves. The rate of newcomers drifts within the minute, which is
what is left of clusters over longer times.

Source:
    A. Hawkes, "Spectra of some self-exciting and mutually exciting point processes",
    Biometrika, 1971. E. Bacry, I. Mastromatteo and J.-F. Muzy, "Hawkes processes in
    finance", Market Microstructure and Liquidity, 2015: the branching form and its
    use for trades and books. S. Hardiman, N. Bercot and J.-P. Bouchaud, "Critical
    reflexivity in financial markets", European Physical Journal B, 2013: a memory
    that fades as a power of time, and nearly all arrivals caused by others.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_binance_replay.market.actions import Side
    from pytest_binance_replay.market.chance import Chance

OTHER: dict[Side, Side] = {"bid": "ask", "ask": "bid"}

# Chosen so that all that is measured lies among recordings of 2021 to 2026.
_RATE = 150
"""Arrivals a second at 100 percent."""
_CAUSED = (
    (0, (670, 910, 978, 994)),
    (15, (590, 865, 960, 988)),
    (60, (550, 840, 945, 985)),
)
"""From so many percent on: per mille of arrivals that cause none, at most one, two,
three others, up to four. The busier a market, the more its arrivals cluster."""
_SOON_US, _SOON_OCTAVES = 150, 9
_LATER_US, _LATER_OCTAVES = 60_000, 6
_LATER = 120
"""Per mille of those caused who come within seconds, not within milliseconds."""
_SAME_SIDE = 960
_BURST = 500
"""Per mille of how far the price moves, in its least moves: so many more are caused,
at 100 percent or above; fewer where less goes on."""
_MOOD_US, _MOOD_LEAST, _MOOD_OCTAVES, _MOOD_MEAN = 15_000_000, 600, 2, 1300
"""How long the rate of newcomers keeps on average, and what it is then: one of all
orders of magnitude from the least on, with this mean."""
_IDLE_US = 250_000

_WHOLE = 100 * 100
"""A hundred percent, in hundredths of a percent."""


class Newcomers:
    """Those who come at any moment alike.

    Args:
        chance: Decides.
        now_us: When it begins, microseconds since the epoch.
        gap_us: From one to the next on average, when as much goes on as usual.

    Attributes:
        next_us: When the next one comes.
    """

    def __init__(self, chance: Chance, now_us: int, gap_us: int) -> None:
        self._chance = chance
        self._gap_us = gap_us
        self.next_us = now_us + chance.wait(gap_us)

    def come(self, permille: int) -> bool:
        """Return whether one comes, and when the next one will.

        Args:
            permille: How much goes on at the moment.
        """
        if permille <= 0:
            self.next_us += _IDLE_US
            return False
        self.next_us += 1 + self._chance.wait(self._gap_us * 1000 // permille)
        return True


class Arrivals:
    """Who comes to trade one symbol.

    Args:
        chance: Decides.
        now_us: When it begins, microseconds since the epoch.
        busy: How much goes on, in hundredths of a percent of BTCUSDT in August 2024.
        moving: How far the price moves on average, as `cause` is told: per mille of a
            least move with each arrival.
    """

    def __init__(self, chance: Chance, now_us: int, busy: int, moving: int) -> None:
        self._chance = chance
        _, self._chain = max(row for row in _CAUSED if row[0] * 100 <= busy)
        self._burst = _BURST * min(busy, _WHOLE) // _WHOLE
        caused = sum(1000 - bound for bound in self._chain)
        caused += moving * self._burst // 1000
        gap_us = 1_000_000 * 1000 * _WHOLE // (_RATE * (1000 - caused) * busy)
        self._newcomers = Newcomers(chance, now_us, gap_us)
        self._mood = _MOOD_MEAN
        self._mood_until_us = now_us
        self._caused: list[tuple[int, Side]] = []

    @property
    def next_us(self) -> int:
        """When somebody comes next, microseconds since the epoch."""
        newcomer_us = self._newcomers.next_us
        return min(newcomer_us, self._caused[0][0]) if self._caused else newcomer_us

    def come(self, percent: int) -> Side | None:
        """Return the side of who comes at `next_us`; None if nobody does, after all.

        Args:
            percent: How much goes on at the moment.
        """
        now_us = self._newcomers.next_us
        if self._caused and self._caused[0][0] <= now_us:
            return heappop(self._caused)[1]
        if now_us >= self._mood_until_us:
            self._mood = self._chance.spread_out(_MOOD_LEAST, _MOOD_OCTAVES)
            self._mood_until_us = now_us + self._chance.wait(_MOOD_US)
        if not self._newcomers.come(percent * 10 * self._mood // _MOOD_MEAN):
            return None
        return "bid" if self._chance.happens(500) else "ask"

    def cause(self, side: Side, now_us: int, moved: int) -> None:
        """Let one who came make others come.

        Args:
            side: Of who came.
            now_us: When.
            moved: How far the price moved with it, in its least moves.
        """
        drawn = self._chance.below(1000)
        count = moved * self._burst // 1000
        count += sum(drawn >= bound for bound in self._chain)
        for _ in range(count):
            self._follow(side, now_us)

    def _follow(self, side: Side, now_us: int) -> None:
        chance = self._chance
        if chance.happens(_LATER):
            delay_us = chance.spread_out(_LATER_US, _LATER_OCTAVES)
        else:
            delay_us = chance.spread_out(_SOON_US, _SOON_OCTAVES)
        same = chance.happens(_SAME_SIDE)
        heappush(self._caused, (now_us + delay_us, side if same else OTHER[side]))
