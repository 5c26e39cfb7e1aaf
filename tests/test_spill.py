from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.wire import Block


def block_of(first: int, size: int = 3) -> Block:
    times_us = [1_700_000_000_000_000 + first + n for n in range(size)]
    due_us = [time_us - 5 for time_us in times_us]
    keys = ["币usdt@trade".encode()] * size
    payloads = [b'{"n":%d}' % (first + n) for n in range(size)]
    return Block(first, times_us, due_us, keys, payloads)


def lists_of(block: Block) -> tuple[object, ...]:
    lists = (block.times_us, block.due_us, block.keys, block.payloads)
    return (block.first, *lists)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12),
    st.integers(0, 100),
    st.lists(st.integers(0, 60), max_size=20),
)
def test_a_block_comes_back_as_it_was(
    sizes: list[int], start: int, asked: list[int]
) -> None:
    store = SpillFile()
    whole: list[Block] = []
    for size in sizes:
        whole.append(block_of(whole[-1].end if whole else start, size))
        store.put(whole[-1])
    for number in asked:
        for block in whole:
            if block.first <= start + number < block.end:
                assert lists_of(store.get(start + number)) == lists_of(block)
    store.close()


def test_a_block_is_read_once_while_several_clients_pass_it() -> None:
    store = SpillFile()
    for first in range(0, 30, 3):
        store.put(block_of(first))
    assert store.get(4) is store.get(3)
    before = store.get(4)
    for first in range(6, 30, 3):
        store.get(first)
    assert store.get(4) is not before
    assert lists_of(store.get(4)) == lists_of(before)
    store.close()


@pytest.mark.parametrize("forget", [SpillFile.clear, SpillFile.close])
def test_what_was_forgotten_is_gone(forget: object) -> None:
    store = SpillFile()
    store.put(block_of(0))
    assert callable(forget)
    forget(store)
    with pytest.raises(IndexError):
        store.get(0)
    store.put(block_of(6, 9))
    assert lists_of(store.get(7)) == lists_of(block_of(6, 9))
    with pytest.raises(IndexError):
        store.get(5)
    store.close()


def test_nothing_is_there_before_anything_was_put() -> None:
    store = SpillFile()
    with pytest.raises(IndexError):
        store.get(0)
    store.clear()
    store.close()


def test_no_file_is_opened_while_nobody_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    store = SpillFile()
    store.clear()
    store.close()
    with pytest.raises(OSError, match="nowhere"):
        store.put(block_of(0))


@pytest.mark.skipif(os.name != "posix", reason="elsewhere an open file has a name")
def test_the_file_has_no_name_that_could_be_left_behind(folder: Path) -> None:
    store = SpillFile()
    store.put(block_of(0))
    assert list(folder.iterdir()) == []
    store.close()


def test_the_file_is_gone_when_closed(folder: Path) -> None:
    store = SpillFile()
    store.put(block_of(0))
    store.close()
    store.close()
    assert list(folder.iterdir()) == []


def test_disk_space_is_given_back_when_all_have_caught_up() -> None:
    store = SpillFile()
    store.put(block_of(0, 1000))
    file = store._file
    assert file is not None
    store.clear()
    assert file.seek(0, os.SEEK_END) == 0
    store.close()
    assert file.closed
