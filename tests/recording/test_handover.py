from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.recording.handover import MOST_HELD, Handover

A, B = b"a@trade", b"b@trade"


def test_the_new_connection_counts_once_it_has_caught_up() -> None:
    handover = Handover([A])
    assert handover.take_old(A, b"1") == [b"1"]
    assert handover.take_old(A, b"2") == [b"2"]
    assert handover.take_new(A, b"1") == []
    before = handover.is_done
    assert handover.take_new(A, b"2") == []
    assert (before, handover.is_done) == (False, True)
    assert handover.take_new(A, b"3") == [b"3"]
    assert handover.take_old(A, b"3") == []


def test_a_new_connection_that_is_ahead_waits_for_the_old_one() -> None:
    handover = Handover([A])
    assert handover.take_new(A, b"2") == []
    assert handover.take_new(A, b"3") == []
    assert handover.take_old(A, b"1") == [b"1"]
    assert handover.take_old(A, b"2") == [b"2", b"3"]
    assert handover.is_done


def test_each_stream_goes_over_by_itself() -> None:
    handover = Handover([A, B])
    handover.take_old(A, b"1")
    handover.take_new(A, b"1")
    assert handover.take_old(B, b"1") == [b"1"]
    before = handover.is_done
    assert handover.finish() == []
    assert (before, handover.is_done) == (False, True)
    assert handover.take_new(B, b"2") == [b"2"]


def test_what_only_the_new_one_has_counts_when_the_old_one_is_given_up() -> None:
    handover = Handover([A, B])
    handover.take_new(A, b"1")
    handover.take_new(B, b"2")
    assert handover.finish() == [(A, b"1"), (B, b"2")]


def test_it_does_not_hold_without_end() -> None:
    handover = Handover([A])
    for number in range(MOST_HELD):
        assert not handover.is_full
        handover.take_new(A, b"%d" % number)
    assert handover.is_full
    assert len(handover.finish()) == MOST_HELD
    assert not handover.is_full


@given(
    joined_at=st.integers(0, 20),
    left_at=st.integers(0, 20),
    turns=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_nothing_is_lost_or_doubled_whoever_is_ahead(
    joined_at: int, left_at: int, turns: list[bool]
) -> None:
    """Both bring the same messages, one from the first on, one up to the last."""
    messages = [b"%d" % number for number in range(25)]
    old = iter(messages[: max(joined_at + 1, left_at)])
    new = iter(messages[joined_at:])
    handover, written = Handover([A]), []
    for is_old in turns:
        source, take = (old, handover.take_old) if is_old else (new, handover.take_new)
        if (message := next(source, None)) is not None:
            written += take(A, message)
    for message in old:
        written += handover.take_old(A, message)
    written += [payload for _, payload in handover.finish()]
    for message in new:
        written += handover.take_new(A, message)
    assert written == messages
