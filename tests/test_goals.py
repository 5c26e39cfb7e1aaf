from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.goals import Goal, ToCount, ToFrame, ToTheEnd, ToTime
from pytest_binance_replay.wire import Block

A, B = b"a@trade", b"b@trade"

Rows = list[tuple[int, bytes]]

tapes = st.lists(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([A, B])), min_size=1, max_size=5
    ),
    min_size=1,
    max_size=5,
)
parts = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def blocks_of(tape: list[Rows], due_factor: int = 1) -> list[Block]:
    """Make blocks of (gap in microseconds, key); time starts at 100."""
    gaps_us = [gap for rows in tape for gap, _ in rows]
    times_us = list(accumulate(gaps_us, initial=100))[1:]
    blocks, first = [], 0
    for rows in tape:
        end = first + len(rows)
        own_us = times_us[first:end]
        due_us = [due_factor * time_us for time_us in own_us]
        keys = [key for _, key in rows]
        blocks.append(Block(first, own_us, due_us, keys, [b"{}"] * len(rows)))
        first = end
    return blocks


def play(goal: Goal, blocks: list[Block], sizes: list[int]) -> tuple[int, bool]:
    """Release parts of all sizes, as a player does.

    Returns:
        How many frames went out, and whether the goal was reached before the end.
    """
    released = turn = 0
    for block in blocks:
        index = 0
        while index < len(block):
            stop = goal.stop_in(block, index)
            if stop <= index:
                return released, True
            stop = min(stop, index + sizes[turn % len(sizes)])
            turn += 1
            released = block.first + stop
            if goal.is_reached(block, index, stop):
                return released, True
            index = stop
    return released, False


@given(tapes, parts)
def test_the_end_is_behind_all_frames(tape: list[Rows], sizes: list[int]) -> None:
    goal = ToTheEnd()
    assert play(goal, blocks_of(tape), sizes) == (sum(map(len, tape)), False)
    assert goal.ends_with_tape


@given(tapes, parts, st.integers(98, 130), st.sampled_from([False, True]))
def test_a_time_is_reached_with_the_last_frame_up_to_it(
    tape: list[Rows], sizes: list[int], time_us: int, due: bool
) -> None:
    blocks = blocks_of(tape, due_factor=2)
    goal = ToTime(2 * time_us if due else time_us, due=due)
    times_us = [t for block in blocks for t in block.times_us]
    wanted = sum(t <= time_us for t in times_us)
    assert play(goal, blocks, sizes) == (wanted, wanted < len(times_us))
    assert goal.ends_with_tape


@given(tapes, parts, st.integers(1, 12), st.sampled_from([None, A, B]))
def test_a_count_is_reached_with_its_last_frame(
    tape: list[Rows], sizes: list[int], count: int, key: bytes | None
) -> None:
    keys = [key for rows in tape for _, key in rows]
    places = [n for n, other in enumerate(keys, 1) if key in {None, other}]
    reached = len(places) >= count
    wanted = places[count - 1] if reached else len(keys)
    goal = ToCount(count, key)
    assert play(goal, blocks_of(tape), sizes) == (wanted, reached)
    assert not goal.ends_with_tape


@given(tapes, parts, st.integers(0, 30))
def test_a_predicate_is_asked_about_each_frame_once_and_in_order(
    tape: list[Rows], sizes: list[int], accepted: int
) -> None:
    asked: list[int] = []

    def predicate(frame: Frame) -> bool:
        asked.append(frame.receive_time_us)
        return frame.receive_time_us == accepted

    def frame_at(block: Block, index: int) -> Frame:
        return Frame(block.first + index, "a@trade", b"{}")

    total = sum(map(len, tape))
    goal = ToFrame(predicate, frame_at)
    released, reached = play(goal, blocks_of(tape), sizes)
    assert released == min(accepted + 1, total)
    assert reached == (accepted < total)
    assert asked == list(range(released))
    assert not goal.ends_with_tape


def test_no_frame_goes_out_behind_one_that_a_predicate_has_not_seen() -> None:
    (block,) = blocks_of([[(0, A)] * 3])
    goal = ToFrame(lambda _: False, lambda _block, _index: Frame(1, "a@trade", b"{}"))
    assert [goal.stop_in(block, index) for index in range(4)] == [1, 2, 3, 3]


def test_a_time_that_lies_behind_is_reached_without_any_frame() -> None:
    (block,) = blocks_of([[(1, A), (1, A)]])
    assert ToTime(100).stop_in(block, 0) == 0
    assert ToTime(100).stop_in(block, 1) == 1


def accept_a_dip(_frame: Frame) -> bool:
    return True


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (ToTheEnd(), "the end of the tape"),
        (ToTime(7), "the time 7 us"),
        (ToCount(1), "1 more frame"),
        (ToCount(2, A), "2 more frames of 'a@trade'"),
        (
            ToFrame(accept_a_dip, lambda _block, _index: Frame(1, "a@trade", b"{}")),
            "a frame that accept_a_dip accepts",
        ),
    ],
)
def test_a_goal_says_what_it_is(goal: Goal, text: str) -> None:
    assert str(goal) == text


def test_a_count_says_how_many_are_still_wanted() -> None:
    (block,) = blocks_of([[(0, A)] * 3])
    goal = ToCount(3)
    goal.is_reached(block, 0, 2)
    assert str(goal) == "1 more frame"
