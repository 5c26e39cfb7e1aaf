"""Chance in integers: the shapes that it promises."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_binance_replay.market.chance import Chance, two_to


def test_waits_have_their_mean_and_a_long_tail() -> None:
    chance = Chance(1)
    waits = [chance.wait(1_000) for _ in range(20_000)]
    assert sum(waits) / len(waits) == pytest.approx(1_000, rel=0.03)
    assert sum(wait > 3_000 for wait in waits) / len(waits) == pytest.approx(
        0.0498, rel=0.1
    )


def test_each_order_of_magnitude_is_as_likely() -> None:
    chance = Chance(1)
    octaves = Counter(chance.spread_out(8, 4).bit_length() for _ in range(8_000))
    assert set(octaves) == {4, 5, 6, 7}
    assert max(octaves.values()) < 1.1 * min(octaves.values())


@pytest.mark.parametrize(
    ("whole", "least", "most"),
    [(1, 5, 9), (10, 5, 9), (11, 5, 9), (100_000, 7, 16), (100_000, 1, 1)],
)
def test_parts_add_up_and_none_is_too_small(whole: int, least: int, most: int) -> None:
    chance = Chance(1)
    for _ in range(500):
        parts = chance.parts(whole, least, most)
        assert sum(parts) == whole
        assert len(parts) <= most
        assert min(parts) >= min(least, whole)


def test_parts_are_of_all_orders_of_magnitude() -> None:
    chance = Chance(1)
    parts = [part for _ in range(500) for part in chance.parts(1 << 20, 1, 99)]
    octaves = Counter(part.bit_length() for part in parts)
    assert min(octaves[bits] for bits in range(2, 19)) > len(parts) / 60


def test_powers_of_two_by_sixty_fourths() -> None:
    assert [two_to(64 * n) >> 40 for n in (0, 1, 10)] == [1, 2, 1024]
    assert two_to(-64) == 1 << 39
    assert two_to(32) ** 2 == pytest.approx(2 * (1 << 80), rel=1e-9)
