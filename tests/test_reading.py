"""One reading for several readers: each is shown the whole tape, read once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Batch
from pytest_binance_replay.errors import ReplayError
from pytest_binance_replay.reading import KEPT_BATCHES, SharedReading

LENGTH = KEPT_BATCHES + 9


class Tape:
    """Numbered batches, and how many of them were read."""

    def __init__(self, *, damaged: bool = False) -> None:
        self.read = 0
        self.damaged = damaged

    def open(self) -> Iterator[Batch]:
        for number in range(LENGTH):
            self.read += 1
            yield Batch([number], [b"a@trade"], [b"1"], [])
        if self.damaged:
            raise ReplayError


def numbers(batches: Iterator[Batch], count: int | None = None) -> list[int]:
    """Read so many batches, or all that are left."""
    found: list[int] = []
    while count is None or len(found) < count:
        batch = next(batches, None)
        if batch is None:
            break
        found += batch.times_us
    return found


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, LENGTH)), max_size=12))
def test_every_reader_is_shown_everything_in_order(
    turns: list[tuple[int, int]],
) -> None:
    shared = SharedReading(Tape().open)
    readers = [shared.batches() for _ in range(3)]
    seen: list[list[int]] = [[], [], []]
    for who, count in [*turns, (0, LENGTH), (1, LENGTH), (2, LENGTH)]:
        seen[who] += numbers(readers[who], count)
    assert seen == [list(range(LENGTH))] * 3


def test_readers_side_by_side_read_once() -> None:
    tape = Tape()
    shared = SharedReading(tape.open)
    one, other = shared.batches(), shared.batches()
    for step in (1, KEPT_BATCHES, 3, LENGTH):
        numbers(one, step)
        numbers(other, step)
    assert tape.read == LENGTH


def test_who_falls_behind_reads_alone_until_he_has_caught_up() -> None:
    tape = Tape()
    shared = SharedReading(tape.open)
    numbers(shared.batches())
    assert numbers(shared.batches()) == list(range(LENGTH))
    assert tape.read == LENGTH + LENGTH - KEPT_BATCHES


def test_no_more_is_kept_than_is_said() -> None:
    shared = SharedReading(Tape().open)
    numbers(shared.batches())
    assert len(shared._recent) == KEPT_BATCHES


def test_every_reader_is_told_of_damage() -> None:
    shared = SharedReading(Tape(damaged=True).open)
    for reader in (shared.batches(), shared.batches()):
        with pytest.raises(ReplayError):
            numbers(reader)
