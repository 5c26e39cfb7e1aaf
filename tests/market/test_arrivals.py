"""Arrivals: as many as asked for, and the more in clusters, the busier it is."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from pytest_binance_replay.market.actions import Side
from pytest_binance_replay.market.arrivals import Arrivals, Newcomers
from pytest_binance_replay.market.chance import Chance

SECOND_US = 1_000_000
WHOLE = 10_000


def arrived(
    seconds: int, busy: int, *, moved: int = 0, percent: int = 100
) -> list[tuple[int, Side]]:
    """Who came, and when; the price moves with each tenth of them."""
    arrivals = Arrivals(Chance(1), 0, busy, 100 * moved)
    found: list[tuple[int, Side]] = []
    while (now_us := arrivals.next_us) < seconds * SECOND_US:
        if (side := arrivals.come(percent)) is not None:
            found.append((now_us, side))
            arrivals.cause(side, now_us, 0 if len(found) % 10 else moved)
    return found


def clustering(found: list[tuple[int, Side]]) -> float:
    """The variance of the counts in seconds over their mean; 1 if none causes any."""
    counts = Counter(now_us // SECOND_US for now_us, _ in found)
    values = [counts[second] for second in range(max(counts))]
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values) / mean


@pytest.mark.parametrize("busy", [100, 3_000, WHOLE])
def test_as_many_come_as_the_activity_says(busy: int) -> None:
    seconds = 4_000_000 // busy
    found = len(arrived(seconds, busy))
    assert found == pytest.approx(150 * seconds * busy / WHOLE, rel=0.15)


def test_those_whom_a_moving_price_brings_do_not_add_to_the_whole() -> None:
    still, moving = arrived(400, WHOLE), arrived(400, WHOLE, moved=4)
    assert len(moving) == pytest.approx(len(still), rel=0.15)


def test_a_busy_market_clusters_more() -> None:
    assert clustering(arrived(400, WHOLE)) > 2 * clustering(arrived(4_000, 1_000)) > 2


def test_who_is_caused_mostly_trades_on_the_same_side() -> None:
    sides = [side for _, side in arrived(200, WHOLE)]
    same = sum(a == b for a, b in pairwise(sides))
    assert 0.6 < same / len(sides) < 0.95
    assert 0.4 < sides.count("bid") / len(sides) < 0.6


def test_a_move_of_the_price_brings_many_at_once() -> None:
    arrivals = Arrivals(Chance(1), 0, WHOLE, 0)
    arrivals.cause("ask", 0, 100)
    came = 0
    while arrivals.next_us < SECOND_US // 5:
        came += arrivals.come(1) is not None
    assert came > 40


def test_nobody_comes_while_nothing_goes_on() -> None:
    assert arrived(100, WHOLE, percent=0) == []
    newcomers = Newcomers(Chance(1), 0, 10)
    before_us = newcomers.next_us
    assert not newcomers.come(0)
    assert newcomers.next_us > before_us
