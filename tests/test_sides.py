"""A side of a book against one that compares numbers, however prices are spelled."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.sides import Side

ALIKE = st.integers(1, 120).map(lambda n: f"{n}.50")
ODD = st.sampled_from(["9.5", "9.500", "10", "10.0", "100.5", "1e1", "007.50"])
QUANTITIES = st.sampled_from(["0", "0.000", "1", "2.50", "0.00000001"])
Levels = list[tuple[str, str]]


def changes(prices: st.SearchStrategy[str]) -> st.SearchStrategy[list[Levels]]:
    levels = st.lists(st.tuples(prices, QUANTITIES), max_size=6)
    return st.lists(levels, max_size=8)


def naive_levels(made: list[Levels], *, best_is_highest: bool) -> Levels:
    """Compare numbers; a price is spelled as it last came."""
    held: dict[Decimal, tuple[str, str]] = {}
    for price, quantity in (level for levels in made for level in levels):
        if Decimal(quantity):
            held[Decimal(price)] = (price, quantity)
        else:
            held.pop(Decimal(price), None)
    return [held[price] for price in sorted(held, reverse=best_is_highest)]


@pytest.mark.parametrize("best_is_highest", [True, False])
@given(made=changes(ALIKE))
def test_prices_spelled_alike_compare_as_numbers(
    made: list[Levels], best_is_highest: bool
) -> None:
    side = Side(best_is_highest=best_is_highest)
    for count, levels in enumerate(made, start=1):
        side.set(levels)
        wanted = naive_levels(made[:count], best_is_highest=best_is_highest)
        assert side.levels() == wanted
        assert side.levels(2) == wanted[:2]
        assert len(side) == len(wanted)


@given(changes(ALIKE | st.sampled_from(["9.5", "9.500", "10", "10.0", "100.5"])))
def test_prices_are_the_same_however_they_are_spelled(made: list[Levels]) -> None:
    side = Side(best_is_highest=True)
    for levels in made:
        side.set(levels)
    assert side.levels() == naive_levels(made, best_is_highest=True)


@given(changes(ALIKE), changes(ALIKE | ODD), changes(ALIKE | ODD))
def test_a_copy_goes_its_own_way(
    before: list[Levels], odd: list[Levels], after: list[Levels]
) -> None:
    side, alone = Side(best_is_highest=False), Side(best_is_highest=False)
    for levels in [*before, *odd]:
        side.set(levels)
        alone.set(levels)
    twin = side.copy()
    for levels in after:
        twin.set(levels)
        alone.set(levels)
    assert twin.levels() == alone.levels()
    assert side.copy().levels() == side.levels()


def test_a_longer_price_is_higher_than_one_that_is_later_in_the_alphabet() -> None:
    side = Side([("9.50", "1"), ("100.50", "1"), ("20.50", "1")], best_is_highest=True)
    assert [price for price, _ in side.levels()] == ["100.50", "20.50", "9.50"]


def test_what_stands_behind_price_and_quantity_does_not_count() -> None:
    side = Side([["9.50", "1", "ignored"]], best_is_highest=True)
    side.set([["9.50", "0.0", "ignored"], ["8.50", "2", "ignored"]])
    assert side.levels() == [("8.50", "2")]


@pytest.mark.parametrize(
    ("best_is_highest", "left"),
    [(True, ["10.00", "9.00", "7.00"]), (False, ["9.00", "10.00", "11.00"])],
)
def test_overwriting_keeps_what_lies_deeper(
    best_is_highest: bool, left: list[str]
) -> None:
    held = [(price, "1") for price in ("7.00", "9.50", "11.00")]
    side = Side(held, best_is_highest=best_is_highest)
    shown = [("9.00", "2"), ("10.00", "2")]
    side.overwrite(Side(shown, best_is_highest=best_is_highest))
    assert [price for price, _ in side.levels()] == left


def test_overwriting_with_nothing_leaves_nothing() -> None:
    side = Side([("9.0", "1"), ("9", "2")], best_is_highest=True)
    side.overwrite(Side(best_is_highest=True))
    assert side.levels() == []
    side.set([("8.00", "1")])
    assert side.levels() == [("8.00", "1")]
