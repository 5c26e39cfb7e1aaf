from __future__ import annotations

import random
from itertools import accumulate, groupby
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.pacing import (
    BURST_FRAMES,
    FRAMES_PER_SECOND,
    RECONNECT_US,
    Audience,
    AutoPace,
    Bucket,
    FastPace,
    Pace,
    Plan,
    ScaledPace,
)
from pytest_binance_replay.wire import Block

A, B, C = b"a@trade", b"b@trade", b"c@trade"
START_US = 5_000_000  # of the clock, which counts from some moment or other
SECOND_US = 1_000_000
NOBODY = Audience()

speeds = st.floats(0.001, 1e6)
gaps = st.integers(0, 300) | st.integers(0, 200_000)


def block_of(gaps_us: list[int], keys: list[bytes] | None = None) -> Block:
    due_us = list(accumulate(gaps_us, initial=1_700_000_000_000_000))[1:]
    keys = keys or [A] * len(due_us)
    return Block(0, due_us, due_us, keys, [b"{}"] * len(due_us))


class Release(NamedTuple):
    """A frame let go, and when."""

    number: int
    now_us: int


def play(
    pace: Pace,
    block: Block,
    audience: Audience = NOBODY,
    *,
    late_us: list[int] | None = None,
    size: int = 100_000,
    start: int = 0,
) -> list[Release]:
    """Take turns exactly when a pace asks for them, or some time later.

    Args:
        pace: To be asked.
        block: The whole tape.
        audience: Who listens.
        late_us: How late each turn comes, over and over.
        size: How many frames a turn may release at the most.
        start: The first frame to release; those before it went out before.
    """
    now_us, at, turns = START_US, start, 0
    pace.anchor(now_us, block.due_us[max(start - 1, 0)])
    released = []
    while at < len(block):
        plan = pace.plan(block, at, min(at + size, len(block)), now_us, audience)
        assert plan.upto >= at
        released += [Release(n, now_us) for n in range(at, plan.upto)]
        at = plan.upto
        if plan.again_us is not None:
            assert plan.again_us > now_us
            late = late_us[turns % len(late_us)] if late_us else 0
            now_us, turns = plan.again_us + late, turns + 1
    return released


def times(released: list[Release]) -> list[int]:
    numbers = [release.number for release in released]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    return [release.now_us - START_US for release in released]


# As fast as possible


@given(st.lists(gaps, min_size=1), st.data())
def test_the_fast_pace_allows_all_that_is_wanted(
    gaps_us: list[int], data: st.DataObject
) -> None:
    block = block_of(gaps_us)
    index = data.draw(st.integers(0, len(block) - 1))
    stop = data.draw(st.integers(index + 1, len(block)))
    pace = FastPace()
    pace.anchor(START_US, block.due_us[index])
    assert pace.plan(block, index, stop, START_US, NOBODY) == Plan(stop, None)
    assert pace.due_now(START_US) is None


# Scaled


@given(st.lists(gaps, min_size=1, max_size=40), speeds)
def test_a_scaled_frame_goes_out_in_its_microsecond(
    gaps_us: list[int], speed: float
) -> None:
    block = block_of(gaps_us)
    due, per_us = speed.as_integer_ratio()
    exact = [-(-(t - block.due_us[0]) * per_us // due) for t in block.due_us]
    assert times(play(ScaledPace(speed), block)) == exact


@given(
    st.lists(gaps, min_size=1, max_size=40),
    speeds,
    st.lists(st.integers(0, 2 * SECOND_US), min_size=1, max_size=5),
)
def test_lateness_never_adds_up(
    gaps_us: list[int], speed: float, late_us: list[int]
) -> None:
    block = block_of(gaps_us)
    exact = times(play(ScaledPace(speed), block))
    late = times(play(ScaledPace(speed), block, late_us=late_us))
    for due_us, sent_us in zip(exact, late, strict=True):
        assert 0 <= sent_us - due_us <= max(late_us)


@pytest.mark.parametrize("speed", [0.1, 1, 3.7])
def test_a_hundred_thousand_gaps_end_to_the_microsecond(speed: float) -> None:
    chance = random.Random(9)
    block = block_of([chance.randrange(3000) for _ in range(100_000)])
    due, per_us = speed.as_integer_ratio()
    length_us = block.due_us[-1] - block.due_us[0]
    sent_us = times(play(ScaledPace(speed), block, late_us=[700, 0, 1500], size=500))
    exact = -(-length_us * per_us // due)
    assert exact <= sent_us[-1] <= exact + 1500


def test_a_turn_that_comes_late_releases_what_was_missed() -> None:
    block = block_of([0, 100, 100, 100, 5000])
    pace = ScaledPace(1)
    pace.anchor(START_US, block.due_us[0])
    plan = pace.plan(block, 1, 5, START_US + 300, NOBODY)
    assert plan == Plan(4, START_US + 5300)


def test_a_scaled_pace_keeps_to_the_stop() -> None:
    block = block_of([0, 100, 100, 100])
    pace = ScaledPace(2)
    pace.anchor(START_US, block.due_us[0])
    assert pace.plan(block, 1, 3, START_US + SECOND_US, NOBODY) == Plan(3, None)
    assert pace.plan(block, 1, 3, START_US, NOBODY) == Plan(1, START_US + 50)


@given(speeds, st.integers(0, 10**9), st.integers(0, 10**15))
def test_the_time_reached_is_never_ahead_and_less_than_a_microsecond_behind(
    speed: float, elapsed_us: int, due_us: int
) -> None:
    pace = ScaledPace(speed)
    pace.anchor(START_US, due_us)
    due, per_us = speed.as_integer_ratio()
    reached_us = pace.due_now(START_US + elapsed_us) - due_us
    assert reached_us * per_us <= elapsed_us * due < (reached_us + 1) * per_us


# Auto, beside the definition: whoever takes a frame may take 50 at once and 500 a
# second over any stretch of time, and no gap is longer than the recorded one.

INTERVAL_US = SECOND_US // FRAMES_PER_SECOND
streams = st.sampled_from([A, B, C])
takers = st.lists(st.frozensets(streams), max_size=3)


def rightful_us(log: list[int]) -> int:
    """When a client with this log of releases may be given another frame."""
    return max(
        (
            taken_us + (len(log) - n + 1 - BURST_FRAMES) * INTERVAL_US
            for n, taken_us in enumerate(log)
        ),
        default=0,
    )


def naive_times(block: Block, listeners: list[frozenset[bytes]]) -> list[int]:
    logs: list[list[int]] = [[] for _ in listeners]
    now_us, due_us = 0, block.due_us[0]
    sent_us = []
    for at, key in enumerate(block.keys):
        mine = [log for log, keys in zip(logs, listeners, strict=True) if key in keys]
        right_us = max([now_us, *map(rightful_us, mine)])
        now_us = min(right_us, now_us + block.due_us[at] - due_us)
        due_us = block.due_us[at]
        sent_us.append(now_us)
        for log in mine:
            log.append(now_us)
    return sent_us


@given(
    st.lists(st.tuples(gaps, streams), min_size=1, max_size=30),
    st.integers(1, 6),
    takers,
)
def test_the_auto_pace_is_the_least_wait_that_is_allowed(
    frames: list[tuple[int, bytes]], repeats: int, listeners: list[frozenset[bytes]]
) -> None:
    frames = frames * repeats
    block = block_of([gap for gap, _ in frames], [key for _, key in frames])
    audience = Audience([(keys, Bucket()) for keys in listeners])
    sent_us = times(play(AutoPace(), block, audience, size=7))
    assert sent_us == naive_times(block, listeners)


@given(
    st.lists(st.integers(0, SECOND_US), min_size=1, max_size=7),
    st.lists(st.integers(0, 2 * SECOND_US), min_size=1, max_size=5),
)
def test_no_client_gets_more_than_its_share_in_any_window(
    idle_us: list[int], late_us: list[int]
) -> None:
    frames = 30 * len(idle_us)  # too far apart for the recorded pace to matter
    block = block_of([3600 * SECOND_US] * frames)
    bucket = Bucket()
    log: list[int] = []
    for n, wait_us in enumerate(idle_us):  # each time under a new order to play
        pace = AutoPace()
        now_us = max(log, default=0) + wait_us
        at = 30 * n
        pace.anchor(now_us, block.due_us[at] - 3600 * SECOND_US)
        while at < 30 * (n + 1):
            audience = Audience([(frozenset({A}), bucket)])
            plan = pace.plan(block, at, 30 * (n + 1), now_us, audience)
            log += [now_us] * (plan.upto - at)
            at = plan.upto
            now_us = (plan.again_us or now_us) + late_us[n % len(late_us)]
    for first, start_us in enumerate(log):
        for last in range(first, len(log)):
            window_us = log[last] - start_us
            assert last - first + 1 <= BURST_FRAMES + window_us // INTERVAL_US


@given(
    st.lists(gaps, min_size=1, max_size=100),
    st.lists(st.integers(0, 50_000), min_size=1, max_size=5),
)
def test_auto_is_never_slower_than_recorded(
    gaps_us: list[int], late_us: list[int]
) -> None:
    block = block_of(gaps_us * 3)
    audience = Audience([(frozenset({A}), Bucket())])
    sent_us = times(play(AutoPace(), block, audience, late_us=late_us))
    for due_us, now_us in zip(block.due_us, sent_us, strict=True):
        assert now_us <= due_us - block.due_us[0] + max(late_us)


def test_a_burst_then_a_steady_rate() -> None:
    block = block_of([SECOND_US] * 60)
    audience = Audience([(frozenset({A}), Bucket())])
    sent_us = times(play(AutoPace(), block, audience))
    assert sent_us == [0] * 50 + [2000 * n for n in range(1, 11)]


def test_a_dense_recording_is_not_played_faster_than_it_was() -> None:
    block = block_of([100] * 1000)
    audience = Audience([(frozenset({A}), Bucket())])
    sent_us = times(play(AutoPace(), block, audience))
    assert sent_us == [0] * 50 + [100 * n for n in range(1, 951)]


def test_a_client_that_was_idle_gets_one_burst_and_no_more() -> None:
    block = block_of([0] + [100] * 1000)
    bucket = Bucket()
    bucket.take(0)
    audience = Audience([(frozenset({A}), bucket)])
    sent_us = times(play(AutoPace(), block, audience))
    assert sent_us.count(0) == BURST_FRAMES


@pytest.mark.parametrize(
    ("gap_us", "at_once"),
    [(SECOND_US, 50), (2000, 50), (1000, 75), (100, 525), (10, 1050)],
)
def test_a_server_held_up_for_a_second_makes_up_for_an_instant_at_most(
    gap_us: int, at_once: int
) -> None:
    block = block_of([gap_us] * 1100)
    audience = Audience([(frozenset({A}), Bucket())])
    sent_us = times(play(AutoPace(), block, audience, late_us=[SECOND_US]))
    sizes = [len(list(group)) for _, group in groupby(sent_us)]
    assert sizes[0] == 50
    assert sizes[1] == at_once


def test_frames_that_nobody_takes_are_free() -> None:
    keys = [A] * 500 + [B]
    block = block_of([SECOND_US] * 501, keys)
    audience = Audience([(frozenset({B}), Bucket())])
    assert times(play(AutoPace(), block, audience)) == [0] * 501
    assert times(play(AutoPace(), block, NOBODY)) == [0] * 501


def test_the_client_with_the_least_right_decides() -> None:
    block = block_of([SECOND_US] * 80, [A] * 60 + [B] * 20)
    everything = (frozenset({A, B}), Bucket())
    late_comer = (frozenset({B}), Bucket())
    sent_us = times(play(AutoPace(), block, Audience([everything, late_comer])))
    assert sent_us == [0] * 50 + [2000 * n for n in range(1, 31)]


def test_right_is_kept_from_one_order_to_the_next() -> None:
    block = block_of([SECOND_US] * 70)
    audience = Audience([(frozenset({A}), Bucket())])
    for _ in range(30):
        audience.takers[0][1].take(START_US)
    sent_us = times(play(AutoPace(), block, audience, start=40))
    assert sent_us == [0] * 20 + [2000 * n for n in range(1, 11)]


def test_recorded_gaps_are_kept_for_a_client_that_was_cut_off() -> None:
    block = block_of([SECOND_US] * 20)
    audience = Audience(cut_off_us=START_US - SECOND_US // 2)
    sent_us = times(play(AutoPace(), block, audience))
    left_us = RECONNECT_US - SECOND_US // 2
    assert sent_us == [SECOND_US * n for n in range(5)] + [left_us] * 15


def test_nothing_is_kept_for_one_that_was_cut_off_long_ago() -> None:
    block = block_of([SECOND_US] * 20)
    audience = Audience(cut_off_us=START_US - RECONNECT_US)
    assert times(play(AutoPace(), block, audience)) == [0] * 20


def test_the_auto_pace_has_no_time_of_its_own() -> None:
    assert AutoPace().due_now(START_US) is None


def test_the_auto_pace_keeps_to_the_stop() -> None:
    block = block_of([0] * 9)
    pace = AutoPace()
    pace.anchor(START_US, block.due_us[0])
    assert pace.plan(block, 2, 5, START_US, NOBODY) == Plan(5, None)
