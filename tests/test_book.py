"""The order book against a naive one, and against the documented procedure."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.book import Change, OrderBook, parse_change
from pytest_binance_replay.errors import BookGapError
from pytest_binance_replay.events import DiffDepth
from pytest_binance_replay.levels import Level

PRICES = st.integers(1, 20).map(lambda n: f"{n}.50")
QUANTITIES = st.sampled_from(["0", "0.000", "1", "2.50", "0.00000001"])
SIDES = st.lists(st.tuples(PRICES, QUANTITIES), max_size=6)


def spot_book(update_id: int = 160) -> OrderBook:
    """Return a small book."""
    return OrderBook(
        "LTCBTC", update_id=update_id, bids=[("9", "1"), ("8", "2")], asks=[("10", "3")]
    )


def test_diff_is_applied_level_by_level() -> None:
    book = spot_book()
    assert book.apply_change(Change(161, 163, None, [["9", "0.00"]], [["10", "4"]]))
    assert book.bids == (Level(Decimal(8), Decimal(2)),)
    assert book.best_ask == Level(Decimal(10), Decimal(4))
    assert book.update_id == 163


@pytest.mark.parametrize("final", [150, 160])
def test_spot_diff_older_than_the_book_is_ignored(final: int) -> None:
    book = spot_book()
    assert not book.apply_change(Change(140, final, None, [["9", "0"]], []))
    assert book == spot_book()


def test_spot_diff_that_straddles_the_book_is_applied_whole() -> None:
    book = spot_book()
    assert book.apply_change(Change(158, 162, None, [["9", "7"]], []))
    assert book.best_bid == Level(Decimal(9), Decimal(7))


def test_spot_gap_names_what_is_missing() -> None:
    with pytest.raises(BookGapError) as caught:
        spot_book().apply_change(Change(165, 166, None, [], [["10", "0"]]))
    assert str(caught.value) == (
        "LTCBTC book is at update 160 but the next diff starts at 165: 4 updates are "
        "missing. Take a new depth snapshot."
    )


def test_gap_of_one_update_reads_well() -> None:
    assert ": 1 update is missing." in str(BookGapError("LTCBTC", 160, 162))
    assert ": what lies between is missing." in str(BookGapError("LTCBTC", 160, 100))


def test_removal_of_an_unknown_level_is_normal() -> None:
    book = spot_book()
    assert book.apply_change(Change(161, 161, None, [["1", "0"]], []))
    assert len(book.bids) == 2


@pytest.mark.parametrize(
    ("first", "final", "previous", "outcome"),
    [
        (150, 159, 149, "ignored"),
        (150, 160, 149, "applied"),
        (158, 170, 155, "applied"),
        (160, 170, 155, "applied"),
        (165, 170, 160, "applied"),
        (165, 170, 161, "gap"),
    ],
)
def test_first_futures_diff_must_span_the_snapshot(
    first: int, final: int, previous: int, outcome: str
) -> None:
    book = OrderBook("LTCUSDT", "usdm", update_id=160)
    change = Change(first, final, previous, [["9", "1"]], [])
    if outcome == "gap":
        with pytest.raises(BookGapError):
            book.apply_change(change)
    else:
        assert book.apply_change(change) == (outcome == "applied")


def test_later_futures_diffs_follow_by_the_previous_id_alone() -> None:
    book = OrderBook("LTCUSDT", "usdm", update_id=160)
    book.apply_change(Change(160, 170, 155, [], []))
    assert book.apply_change(Change(190, 200, 170, [["9", "1"]], []))
    with pytest.raises(BookGapError):
        book.apply_change(Change(201, 205, 199, [], []))


def test_typed_event_does_what_its_payload_does() -> None:
    payload = (
        '{"e":"depthUpdate","E":1790000002100,"s":"LTCBTC","U":161,"u":163,'
        '"b":[["9","0.50"]],"a":[["10","0"]]}'
    )
    typed, raw = spot_book(), spot_book()
    typed.apply(DiffDepth.parse(payload))
    raw.apply_change(parse_change(payload))
    assert typed == raw
    assert typed.best_bid == Level(Decimal(9), Decimal("0.50"))
    assert typed.best_ask is None


@given(st.lists(st.tuples(SIDES, SIDES), max_size=8))
def test_book_equals_a_naive_dictionary(
    changes: list[tuple[list[tuple[str, str]], list[tuple[str, str]]]],
) -> None:
    book = OrderBook("LTCBTC", update_id=0)
    naive: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
    for number, change in enumerate(changes, start=1):
        book.apply_change(Change(number, number, None, *change))
        for side, levels in zip(naive, change, strict=True):
            side.update({Decimal(p): Decimal(q) for p, q in levels})
    bids, asks = ({p: q for p, q in side.items() if q} for side in naive)
    assert book.bids == tuple(sorted(bids.items(), reverse=True))
    assert book.asks == tuple(sorted(asks.items()))


def test_texts_are_those_of_the_wire_best_first() -> None:
    book = OrderBook("LTCBTC", update_id=1, bids=[("8.0", "2.00"), ("9.10", "1")])
    assert book.texts(1) == ([("9.10", "1")], [])
    assert book.texts(5) == ([("9.10", "1"), ("8.0", "2.00")], [])


def test_differences_show_the_best_differing_levels_first() -> None:
    found = spot_book().differences(
        [("9.0", "1.000"), (Decimal(8), Decimal(5))], [("10", "0"), ("11", "1")]
    )
    assert found == [
        "bid 8: 5, but the book has 2",
        "ask 10: nothing, but the book has 3",
        "ask 11: 1, but the book has nothing",
    ]


def test_differences_deeper_than_asked_do_not_count() -> None:
    assert spot_book().differences([("9", "1")], [("10", "3")], depth=1) == []
    assert spot_book().differences([("9", "1")], [("10", "3")]) != []


def test_overwriting_keeps_what_lies_deeper() -> None:
    book = OrderBook(
        "LTCBTC",
        update_id=1,
        bids=[("9", "1"), ("8", "1"), ("5", "1")],
        asks=[("10", "1"), ("20", "1")],
    )
    shown = OrderBook("LTCBTC", update_id=7, bids=[("9", "2"), ("7", "2")])
    book.overwrite(shown)
    assert book.texts(9)[0] == [("9", "2"), ("7", "2"), ("5", "1")]
    assert book.asks == ()
    assert book.update_id == 7


def test_copy_goes_its_own_way() -> None:
    book = spot_book()
    twin = book.copy()
    twin.apply_change(Change(161, 161, None, [["9", "0"]], []))
    assert book == spot_book()
    assert twin != book
    assert book != "a book"


def test_repr_shows_where_the_book_stands() -> None:
    assert repr(spot_book()) == (
        "<OrderBook LTCBTC at update 160: best bid 9, best ask 10, 2 bids, 1 asks>"
    )
    assert "best bid none" in repr(OrderBook("LTCBTC", update_id=0))


def test_a_picture_of_the_top_is_known_down_to_its_last_level() -> None:
    book = OrderBook(
        "LTCBTC",
        update_id=7,
        bids=[("9", "2"), ("8.50", "1")],
        asks=[("10", "1")],
        limit=2,
    )
    assert book.known_to == (Decimal("8.5"), None)
    assert book.copy().known_to == book.known_to
    book.apply_change(Change(8, 8, None, [["8.5", "0"], ["8.4", "1"]], [["99", "1"]]))
    assert book.counts == (1, 2)
    assert book.differences([("9", "2"), ("8.4", "7")], book.asks) == []
    assert book.differences([("9", "2"), ("8.5", "1")], book.asks) == [
        "bid 8.5: 1, but the book has nothing"
    ]


def test_a_used_up_side_is_not_an_empty_one() -> None:
    book = OrderBook("LTCBTC", update_id=7, bids=[("9", "2")], limit=1)
    assert book.knows_its_top
    book.apply_change(Change(8, 8, None, [["9", "0"], ["8", "1"]], []))
    assert not book.knows_its_top


def test_what_a_picture_of_the_top_knows_overrules_down_to_there() -> None:
    book = OrderBook("LTCBTC", update_id=7, bids=[("9", "2"), ("8", "2"), ("7", "2")])
    shown = OrderBook("LTCBTC", update_id=9, bids=[("9", "5"), ("8", "5")], limit=2)
    shown.apply_change(Change(10, 10, None, [["8", "0"]], []))
    book.overwrite(shown)
    assert book.texts(9)[0] == [("9", "5"), ("7", "2")]
