"""The quick book is the book that one builds by hand."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.soundness.ladder import Ladder, Picture, read_side

PRICES = st.integers(1, 30).map(lambda n: f"{n}.50")
LEVELS = st.lists(
    st.tuples(PRICES, st.sampled_from(["0", "0.000", "1", "2.5"])), max_size=6
)
EVENTS = st.lists(st.tuples(LEVELS, LEVELS), max_size=4)
SIDES = st.dictionaries(PRICES, st.sampled_from(["1", "7"]), min_size=1)


def naive(
    side: dict[str, str], changes: list[list[tuple[str, str]]]
) -> dict[Decimal, str]:
    levels = {Decimal(price): quantity for price, quantity in side.items()}
    for event in changes:
        for price, quantity in event:
            levels[Decimal(price)] = quantity
    return {price: q for price, q in levels.items() if Decimal(q)}


@given(SIDES, SIDES, EVENTS)
def test_the_best_levels_are_those_of_a_naive_book(
    bids: dict[str, str],
    asks: dict[str, str],
    events: list[tuple[list[tuple[str, str]], list[tuple[str, str]]]],
) -> None:
    shown = Picture(read_side(bids.items()), read_side(asks.items()))
    book = Ladder(1, shown)
    for changed in events:
        book.apply(2, Picture(*map(read_side, changed)))
    left = naive(bids, [bid for bid, _ in events])
    right = naive(asks, [ask for _, ask in events])
    crossed = left and right and max(left) >= min(right)
    assert book.crossing == ((max(left), min(right)) if crossed else None)
    top = [(p, left[p]) for p in sorted(left, reverse=True)][:5]
    assert book.difference(Picture(top, [])) is None


def test_a_difference_says_both_sides() -> None:
    book = Ladder(1, Picture(read_side([("9", "1")]), read_side([("10", "2")])))
    other = Picture(read_side([("9.0", "1.00")]), read_side([("10", "3")]))
    said = "shows ask 10 with 3, and the book has 10 with 2"
    assert book.difference(other) == said


def test_a_book_without_levels_knows_nothing_to_compare() -> None:
    book = Ladder(1, Picture([], []))
    book.apply(2, Picture(read_side([("9", "1")]), []))
    assert book.crossing is None
    assert book.difference(Picture(read_side([("8", "1")]), [])) is None
