"""Books along a tape: a snapshot is the authority, partial depth stands in for it."""

from __future__ import annotations

import json

import pytest

from pytest_binance_replay.book import parse_change
from pytest_binance_replay.cassette import Frame, RestAnswer
from pytest_binance_replay.errors import DamagedDepthError
from pytest_binance_replay.following import SymbolBook
from tests.shallow_tape import ShallowTape, diff, picture, small_tape
from tests.test_books import snapshot, spot_event


def test_later_snapshot_overrules_the_computed_book() -> None:
    followed = SymbolBook("LTCBTC", "spot", [snapshot(1), snapshot(2, "8")])
    followed.take(parse_change(spot_event(2, 2)))
    followed.take(parse_change(spot_event(3, 3, "7", "2")))
    assert followed.book is not None
    assert followed.book.texts(9)[0] == [("8", "5"), ("7", "2")]
    assert "differs from the snapshot recorded at update 2" in followed.holes[0]


def answered(tape: ShallowTape, place: int, **settings: bool) -> int | None:
    """The update id that a depth request is answered with before a frame."""
    answer = tape.books(**settings).answer("spot", "LTCBTC", place, 100)
    return None if answer is None else answer.update_id


def test_before_any_has_come_the_next_picture_that_joins_is_given() -> None:
    tape = small_tape(
        picture(3, "70 69", limit=5),
        diff(5, 6, "81:1"),
        picture(8, "80 79", limit=5),
        diff(7, 9, "81:0"),
    )
    assert [answered(tape, place) for place in range(5)] == [8, 8, 8, 8, 9]


def test_behind_a_gap_the_next_picture_is_given_and_else_there_is_no_book() -> None:
    told = picture(3, "80 79", limit=5), diff(4, 5), diff(8, 9), diff(10, 10)
    assert [answered(small_tape(*told), n) for n in (2, 3, 4)] == [5, None, None]
    mended = small_tape(*told, picture(10, "80 79", limit=5))
    assert [answered(mended, n) for n in (2, 3, 4, 5)] == [5, 10, 10, 10]


def test_partial_depth_takes_over_behind_a_gap_in_the_book_of_a_snapshot() -> None:
    body = b'{"lastUpdateId":3,"bids":[["80","1"]],"asks":[]}'
    recorded = RestAnswer(0, "/api/v3/depth?symbol=LTCBTC", 200, body)
    tape = small_tape(
        picture(3, "80 79", limit=5),
        diff(4, 5),
        diff(8, 9),
        picture(9, "77 76", limit=5),
        answers=[recorded],
    )
    found = [answered(tape, place, snapshots=True) for place in range(5)]
    assert found == [3, 3, 5, 9, 9]
    book = tape.books(snapshots=True).book("spot", "LTCBTC", 2)
    assert book is not None
    assert book.known_to == (None, None)


def test_a_damaged_frame_is_told_from_its_place_on() -> None:
    _, shown = picture(6, "80 79")
    damaged = Frame(7, "ltcbtc@depth5", json.dumps({**shown, "bids": [["8"]]}).encode())
    tape = small_tape(picture(3, "80 79", limit=5), diff(4, 5), damaged, diff(6, 7))
    books = tape.books()
    assert books.answer("spot", "LTCBTC", 2, 5) is not None
    with pytest.raises(DamagedDepthError) as caught:
        books.answer("spot", "LTCBTC", 3, 5)
    assert str(caught.value) == (
        "a frame of ltcbtc@depth5, received at 7 µs, cannot be read: its 'bids' has "
        "['8'], no price and quantity as texts. Find its line with `binance-replay "
        "check`; restore it from git, or cut it out."
    )
    with pytest.raises(DamagedDepthError):
        books.book("spot", "LTCBTC", 4)
    assert books.book("spot", "LTCBTC", 2) is not None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"{}", "KeyError: 'U'"),
        (b"[]", "TypeError: list indices must be integers or slices, not str"),
        (b'{"U":"4","u":"5","b":[],"a":[]}', "its update ids are no whole numbers"),
        (b'{"U":5,"u":5,"b":[["x","1"]],"a":[]}', "'x' is no price"),
        (b'{"U":5,"u":5,"b":[["8"]],"a":[]}', "not enough values to unpack"),
    ],
)
def test_a_damaged_diff_is_told_too(payload: bytes, problem: str) -> None:
    wrong = Frame(9, "ltcbtc@depth", payload)
    tape = small_tape(picture(3, "80 79", limit=5), diff(4, 4), wrong)
    with pytest.raises(DamagedDepthError) as caught:
        tape.books().book("spot", "LTCBTC", 3)
    assert problem in caught.value.problem


def test_damage_that_lies_ahead_is_told_by_who_has_to_look_there() -> None:
    tape = small_tape(Frame(0, "ltcbtc@depth5", b"{}"), picture(3, "80", limit=5))
    with pytest.raises(DamagedDepthError, match="it has no 'lastUpdateId'"):
        tape.books().answer("spot", "LTCBTC", 0, 5)
