from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pytest_binance_replay.cassette import Batch, Mark
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.tape import (
    SEAM,
    WINDOW_BLOCKS,
    Position,
    Tape,
    due_before,
    merge_batches,
)
from pytest_binance_replay.wire import Block

A, B = b"a@trade", b"b@trade"


class Row(NamedTuple):
    """A frame as the tests write it."""

    time_us: int
    key: bytes
    payload: bytes
    due_us: int


class KeptBlocks:
    """A store in memory, which also checks that it is used as promised."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def put(self, block: Block) -> None:
        assert not self.blocks or self.blocks[-1].end == block.first
        self.blocks.append(block)

    def get(self, number: int) -> Block:
        (block,) = [b for b in self.blocks if b.first <= number < b.end]
        return block

    def clear(self) -> None:
        self.blocks.clear()


def batch_of(
    *times_us: int, key: bytes = A, others: list[tuple[int, Mark]] | None = None
) -> Batch:
    payloads = [b"%d" % time_us for time_us in times_us]
    return Batch(list(times_us), [key] * len(times_us), payloads, [*(others or [])])


def tape_of(
    *batches: Batch, store: KeptBlocks | None = None, max_gap_us: int | None = None
) -> Tape:
    return Tape(lambda: iter(batches), store or KeptBlocks(), max_gap_us=max_gap_us)


def rows_of(tape: Tape) -> list[Row]:
    """Release what is left of a tape, block by block, as the player does."""
    rows = []
    while (head := tape.head()) is not None:
        block, index = head
        rows += rows_in(block, index, len(block))
        tape.release(block.end)
    return rows


def rows_in(block: Block, start: int, stop: int) -> list[Row]:
    lists = (block.times_us, block.keys, block.payloads, block.due_us)
    return [Row(*row) for row in zip(*lists, strict=True)][start:stop]


def payloads_of(tape: Tape) -> list[bytes]:
    return [row.payload for row in rows_of(tape)]


# Numbering and releasing


def test_frames_are_numbered_through_all_blocks() -> None:
    tape = tape_of(batch_of(1, 2), batch_of(), batch_of(3), batch_of(4, 5))
    firsts = []
    while (head := tape.head()) is not None:
        firsts.append((head[0].first, head[0].end))
        tape.release(head[0].end)
    assert firsts == [(0, 2), (2, 3), (3, 5)]
    assert tape.released == 5


def test_a_block_may_be_released_in_parts() -> None:
    tape = tape_of(batch_of(1, 2, 3))
    tape.release(1)
    assert (tape.position, tape.time_us) == (Position(1, 2), 1)
    tape.release(3)
    assert (tape.position, tape.time_us) == (Position(3, None), 3)
    assert tape.counts == {A: 3}


def test_to_release_nothing_changes_nothing() -> None:
    tape = tape_of(batch_of(1, 2, 3), batch_of(4))
    tape.release(3)
    tape.release(3)
    tape.release(1)
    assert (tape.released, tape.time_us, tape.counts) == (3, 3, {A: 3})


def test_a_tape_stands_at_its_first_frame_before_it_is_played() -> None:
    tape = tape_of(batch_of(), batch_of(7, 9))
    assert tape.start_us == tape.time_us == 7
    assert tape.position == Position(0, 7)
    assert payloads_of(tape) == [b"7", b"9"]
    assert tape.start_us == 7


def test_an_empty_tape_is_at_its_end() -> None:
    tape = tape_of(batch_of())
    assert tape.head() is None
    assert tape.position == Position(0, None)
    assert tape.start_us == tape.time_us == 0
    tape.release(1)
    tape.seek_frame(3)
    tape.seek_time(3)
    tape.trim(0)
    assert tape.released == 0
    assert tape.last_released(3) == []


@pytest.mark.parametrize(
    ("position", "text"),
    [
        (Position(5, None), "frame 5, at the end"),
        (
            Position(0, 1_795_168_800_008_656),
            "frame 0, recorded 2026-11-20T10:00:00.008656Z",
        ),
    ],
)
def test_a_position_reads_well(position: Position, text: str) -> None:
    assert str(position) == text


# Time


def test_time_does_not_go_back_where_stretches_overlap() -> None:
    tape = tape_of(batch_of(1, 5), batch_of(3, 4, 6), batch_of(2), batch_of(9))
    rows = rows_of(tape)
    assert [row.time_us for row in rows] == [1, 5, 5, 5, 6, 6, 9]
    assert [row.payload for row in rows] == [b"1", b"5", b"3", b"4", b"6", b"2", b"9"]


@given(
    st.lists(st.lists(st.integers(0, 50), max_size=5), max_size=6), st.integers(1, 60)
)
def test_no_silence_is_longer_than_the_longest_allowed(
    gaps_us: list[list[int]], max_gap_us: int
) -> None:
    ends = list(accumulate(map(sum, gaps_us), initial=1000))
    batches = [
        batch_of(*accumulate(gaps, initial=start))
        for start, gaps in zip(ends, gaps_us, strict=False)
    ]
    rows = rows_of(tape_of(*batches, max_gap_us=max_gap_us))
    assert all(row.due_us == 1000 for row in rows[:1])
    for row, later in pairwise(rows):
        assert later.due_us - row.due_us == min(later.time_us - row.time_us, max_gap_us)


def test_without_a_limit_due_times_are_the_recorded_ones() -> None:
    rows = rows_of(tape_of(batch_of(1, 500), batch_of(90_000)))
    assert [row.due_us for row in rows] == [row.time_us for row in rows]


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(-5, 25))
def test_due_before_counts_what_is_due_by_then(
    due_us: list[int], moment_us: int
) -> None:
    due_us.sort()
    block = Block(100, due_us, due_us, [A] * len(due_us), [b""] * len(due_us))
    assert due_before(block, moment_us) == 100 + sum(due <= moment_us for due in due_us)


# Several cassettes on one time line

ordered_times = st.lists(st.integers(0, 9), max_size=9).map(sorted)


def in_batches(times_us: list[int], key: bytes, size: int) -> list[Batch]:
    numbered = [(t, b"%b/%d" % (key, n)) for n, t in enumerate(times_us)]
    parts = [numbered[n : n + size] for n in range(0, len(numbered), size)]
    return [
        Batch([t for t, _ in part], [key] * len(part), [p for _, p in part], [])
        for part in parts
    ]


def frames_in(batches: Iterator[Batch]) -> list[tuple[int, bytes, bytes]]:
    return [
        row
        for b in batches
        for row in zip(b.times_us, b.streams, b.payloads, strict=True)
    ]


@given(st.lists(ordered_times, max_size=4), st.integers(1, 4))
def test_merged_cassettes_are_one_stably_sorted_list(
    sources: list[list[int]], size: int
) -> None:
    batches = [in_batches(t, b"%d" % n, size) for n, t in enumerate(sources)]
    naive = sorted(
        chain.from_iterable(frames_in(iter(some)) for some in batches),
        key=lambda row: row[0],
    )
    assert frames_in(merge_batches(list(batches))) == naive


def test_merging_reads_no_further_ahead_than_a_batch_of_each() -> None:
    read: list[int] = []

    def source(key: bytes) -> Iterator[Batch]:
        for start in range(0, 1_000_000, 100):
            read.append(start)
            yield batch_of(*range(start, start + 100), key=key)

    merged = merge_batches([source(A), source(B)])
    batch = next(merged)
    assert set(batch.streams) == {A, B}
    assert len(read) < 12


def test_a_single_cassette_is_not_taken_apart() -> None:
    batch = batch_of(1, 2, others=[(1, Mark(1, "reconnected"))])
    assert next(merge_batches([[batch]])) is batch


# Laggards


def released_blocks(count: int, store: KeptBlocks) -> Tape:
    tape = tape_of(*(batch_of(n) for n in range(count)), store=store)
    rows_of(tape)
    return tape


def test_nothing_is_stored_while_nobody_lags() -> None:
    store = KeptBlocks()
    tape = tape_of(*(batch_of(n) for n in range(100)), store=store)
    while (head := tape.head()) is not None:
        tape.release(head[0].end)
        tape.trim(tape.released)
        assert tape.blocks_between(0, tape.released) <= 2
        assert store.blocks == []


def test_what_a_laggard_needs_stays_within_reach() -> None:
    store = KeptBlocks()
    tape = released_blocks(100, store)
    tape.trim(3)
    assert len(store.blocks) == 100 - 2 - WINDOW_BLOCKS
    assert [tape.block_at(n).payloads for n in range(3, 100)] == [
        [b"%d" % n] for n in range(3, 100)
    ]


def test_the_store_is_given_up_once_all_have_caught_up() -> None:
    store = KeptBlocks()
    tape = released_blocks(100, store)
    tape.trim(0)
    tape.trim(100 - WINDOW_BLOCKS - 1)
    assert store.blocks
    tape.trim(100 - WINDOW_BLOCKS)
    assert store.blocks == []
    assert tape.block_at(100 - WINDOW_BLOCKS).payloads == [b"84"]


def test_the_last_frames_stay_for_the_report_even_if_all_are_sent() -> None:
    tape = tape_of(batch_of(1), batch_of(2, 3), batch_of(4, 5))
    for upto in (1, 3):
        tape.release(upto)
        tape.head()
        tape.trim(upto)
    assert tape.last_released(1) == [(3, A, b"3")]
    assert tape.last_released(9) == [(2, A, b"2"), (3, A, b"3")]
    tape.release(4)
    assert tape.last_released(2) == [(3, A, b"3"), (4, A, b"4")]


def test_blocks_between_counts_those_with_a_frame_in_the_range() -> None:
    tape = released_blocks(9, KeptBlocks())
    assert tape.blocks_between(2, 5) == 3
    assert tape.blocks_between(5, 5) == 0
    assert tape.blocks_between(0, 99) == 9


# Going elsewhere


def test_to_go_elsewhere_forgets_what_was_stored() -> None:
    store = KeptBlocks()
    tape = released_blocks(40, store)
    tape.trim(0)
    tape.seek_frame(20)
    assert store.blocks == []
    assert tape.position == Position(20, 20)
    assert payloads_of(tape)[0] == b"20"


@given(
    st.lists(ordered_times.filter(bool), min_size=1, max_size=5),
    st.integers(0, 30),
    st.integers(0, 60),
)
def test_seeking_lands_before_the_first_frame_of_a_time_or_number(
    parts: list[list[int]], number: int, time_us: int
) -> None:
    batches = [
        batch_of(*(10 * at + t for t in times)) for at, times in enumerate(parts)
    ]
    times_us = [t for batch in batches for t in batch.times_us]
    tape = tape_of(*batches)
    for seek, target, place in (
        (tape.seek_frame, number, min(number, len(times_us))),
        (tape.seek_time, time_us, bisect_left(times_us, time_us)),
        (tape.seek_frame, 0, 0),
    ):
        seek(target)
        assert tape.released == place
        assert tape.time_us == [*times_us, times_us[-1]][place]
        assert payloads_of(tape) == [b"%d" % t for t in times_us[place:]]


def test_seams_are_where_a_round_of_a_looped_tape_begins() -> None:
    def rounds() -> Iterator[Batch]:
        yield batch_of(1, 2)
        for number in range(1, 4):
            start = 10 * number
            yield batch_of(start, others=[(0, Mark(start, SEAM, {"round": number}))])
            yield batch_of(start + 1, others=[(0, Mark(start, "reconnected"))])

    tape = Tape(rounds, KeptBlocks(), endless=True)
    seams = []
    while (head := tape.head()) is not None:
        if head[0].first in tape.seams:
            seams.append(head[0].first)
        tape.release(head[0].end)
    assert seams == [2, 4, 6]
    assert len(tape.seams) == 1  # those behind are of no use
    tape.seek_frame(3)
    assert payloads_of(tape)[0] == b"11"


# What cannot be read


def damaged_tape() -> Tape:
    damage = CassetteFormatError("dip.jsonl", 3, "not a cassette line")

    def batches() -> Iterator[Batch]:
        yield batch_of(1, 2)
        raise damage

    return Tape(batches, KeptBlocks())


def test_a_damaged_line_stops_the_tape_each_time_it_is_reached() -> None:
    tape = damaged_tape()
    tape.release(2)
    for _ in range(2):
        with pytest.raises(CassetteFormatError, match=r"dip\.jsonl:3: not a cassette"):
            tape.head()
    assert tape.position == Position(2, None)


def test_a_damaged_tape_can_be_wound_back() -> None:
    tape = damaged_tape()
    with pytest.raises(CassetteFormatError):
        tape.seek_frame(9)
    tape.seek_frame(1)
    assert tape.position == Position(1, 2)


# Frames of the test's own


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("max_gap_us", [None, 2])
def test_a_frame_can_be_put_in_anywhere(at: int, max_gap_us: int | None) -> None:
    batches = batch_of(10, 11), batch_of(20, 21, 22)
    plain = rows_of(tape_of(*batches, max_gap_us=max_gap_us))
    tape = tape_of(*batches, max_gap_us=max_gap_us)
    tape.seek_frame(at)
    tape.insert(B, b"own", 15)
    own = Row(15, B, b"own", [*plain, plain[-1]][at].due_us)
    assert tape.position == Position(at, 15)
    assert rows_of(tape) == [own, *plain[at:]]
    assert tape.released == 6


def test_frames_put_in_one_after_another_keep_their_order() -> None:
    tape = tape_of(batch_of(1, 2, 3))
    for at in range(4):
        tape.seek_frame(1)
        for n in range(at):
            tape.insert(B, b"own %d" % n, 1)
            tape.release(tape.released + 1)
        own = [b"own %d" % n for n in range(at)]
        assert [p for _, key, p in tape.last_released(9) if key == B] == own
        assert tape.counts[B] == at
        assert payloads_of(tape) == [b"2", b"3"]


def test_a_frame_can_be_put_into_an_empty_tape() -> None:
    tape = tape_of()
    tape.insert(B, b"own", 7)
    assert tape.position == Position(0, 7)
    tape.release(1)
    assert (tape.time_us, tape.released, tape.start_us) == (7, 1, 0)
    tape.insert(B, b"more", 8)
    assert payloads_of(tape) == [b"more"]


def test_a_seam_moves_on_with_its_frame() -> None:
    seam = batch_of(10, 11, others=[(0, Mark(10, SEAM))])
    tape = tape_of(batch_of(1, 2), seam)
    tape.release(2)
    tape.head()
    assert tape.seams == [2]
    tape.insert(B, b"own", 5)
    assert tape.seams == [3]
    tape.release(3)
    assert tape.block_at(3).payloads == [b"10", b"11"]
    tape.release(4)
    tape.insert(B, b"own", 5)
    assert tape.seams == [3]


# All of it together


class TapeMachine(RuleBasedStateMachine):
    """A tape beside a plain list that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SpillFile()

    @initialize(
        gaps_us=st.lists(
            st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=60
        ),
        max_gap_us=st.none() | st.integers(1, 9),
    )
    def load(self, gaps_us: list[list[int]], max_gap_us: int | None) -> None:
        self.recorded: list[Row] = []
        batches, time_us, due_us = [], 1000, 1000
        for gaps in gaps_us:
            rows: list[Row] = []
            for gap_us in gaps:
                if self.recorded or rows:
                    time_us += gap_us
                    due_us += gap_us if max_gap_us is None else min(gap_us, max_gap_us)
                key = (A, B)[gap_us % 2]
                rows.append(Row(time_us, key, b"%d" % time_us, due_us))
            self.recorded += rows
            batches.append(
                Batch(
                    [row.time_us for row in rows],
                    [row.key for row in rows],
                    [row.payload for row in rows],
                    [],
                )
            )
        self.rows = list(self.recorded)
        self.released = 0
        self.time_us = self.rows[0].time_us if self.rows else 0
        self.counts: Counter[bytes] = Counter()
        self.cursors: list[int] = []
        self.tape = Tape(lambda: iter(batches), self.store, max_gap_us=max_gap_us)

    def lowest(self) -> int:
        return min(self.cursors, default=self.released)

    @rule(frames=st.integers(1, 4))
    def release(self, frames: int) -> None:
        head = self.tape.head()
        assert (head is None) == (self.released == len(self.rows))
        if head is None:
            return
        upto = min(self.released + frames, head[0].end)
        self.tape.release(upto)
        self.counts.update(row.key for row in self.rows[self.released : upto])
        self.released = upto
        self.time_us = self.rows[upto - 1].time_us

    @rule(blocks=st.integers(1, 40))
    def play(self, blocks: int) -> None:
        for _ in range(blocks):
            self.release(frames=99)
            self.trim()

    @rule()
    def trim(self) -> None:
        self.tape.trim(self.lowest())
        assert self.tape.blocks_between(0, len(self.rows) + 1) <= WINDOW_BLOCKS

    @rule()
    def connect(self) -> None:
        self.cursors.append(self.released)

    @precondition(lambda self: self.cursors)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        self.cursors.remove(data.draw(st.sampled_from(self.cursors)))

    @precondition(lambda self: self.lowest() < self.released)
    @rule(data=st.data(), blocks=st.integers(1, 20))
    def read(self, data: st.DataObject, blocks: int) -> None:
        at = data.draw(st.sampled_from(range(len(self.cursors))))
        for _ in range(blocks):
            cursor = self.cursors[at]
            if cursor == self.released:
                return
            block = self.tape.block_at(cursor)
            stop = min(self.released, block.end)
            start = cursor - block.first
            read = rows_in(block, start, stop - block.first)
            assert read == self.rows[cursor:stop]
            self.cursors[at] = stop

    @rule(after_us=st.integers(0, 3))
    def push(self, after_us: int) -> None:
        last_us = self.recorded[-1].due_us if self.recorded else self.time_us
        due_us = self.rows[self.released].due_us if self.head_is_there() else last_us
        own = Row(self.time_us, B, b"own", due_us)
        self.tape.insert(own.key, own.payload, own.time_us)
        self.rows.insert(self.released, own)
        if after_us:
            self.release(frames=1)

    def head_is_there(self) -> bool:
        return self.released < len(self.rows)

    @rule(number=st.integers(0, 150))
    def seek_frame(self, number: int) -> None:
        self.tape.seek_frame(number)
        self.landed(min(number, len(self.recorded)))

    @rule(after_us=st.integers(-5, 500))
    def seek_time(self, after_us: int) -> None:
        self.tape.seek_time(1000 + after_us)
        times_us = [row.time_us for row in self.recorded]
        self.landed(bisect_left(times_us, 1000 + after_us))

    def landed(self, place: int) -> None:
        self.counts.clear()
        self.rows = list(self.recorded)
        self.released = place
        self.cursors = [place for _ in self.cursors]
        if self.rows:
            self.time_us = [*self.rows, self.rows[-1]][place].time_us

    @invariant()
    def stands_where_the_list_does(self) -> None:
        next_us = self.rows[self.released].time_us if self.head_is_there() else None
        assert self.tape.position == Position(self.released, next_us)
        assert self.tape.time_us == self.time_us
        assert self.tape.counts == self.counts

    @invariant()
    def remembers_the_newest_frames(self) -> None:
        kept = self.tape.last_released(3)
        there = [row[:3] for row in self.rows[: self.released]]
        assert kept == there[len(there) - len(kept) :]

    def teardown(self) -> None:
        self.store.close()


TestTapeAgainstAList = TapeMachine.TestCase
TestTapeAgainstAList.settings = settings(max_examples=60, stateful_step_count=25)
