"""Two sequences compared in windows, as a unified diff does as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.tools.frame_diff import CONTEXT, Hunk, compare_lines

LINES = st.lists(st.sampled_from("abcdefgh"), max_size=40)


def compare(old: str, new: str, window: int = 1000) -> list[Hunk]:
    return list(compare_lines(iter(old), iter(new), window=window))


def shown(hunk: Hunk) -> str:
    return " ".join(mark + line for mark, line in hunk.lines)


def patched(old: list[str], hunks: list[Hunk]) -> list[str]:
    """What patch makes of the old lines."""
    new: list[str] = []
    at = 0
    for hunk in hunks:
        start = hunk.old_start - 1 if hunk.old_count else hunk.old_start
        new += old[at:start]
        assert len(new) == (hunk.new_start - 1 if hunk.new_count else hunk.new_start)
        expected = [line for mark, line in hunk.lines if mark != "+"]
        assert old[start : start + hunk.old_count] == expected
        new += [line for mark, line in hunk.lines if mark != "-"]
        at = start + hunk.old_count
    return new + old[at:]


def test_equal_sequences_differ_nowhere() -> None:
    assert compare("abc", "abc") == []
    assert compare("", "") == []


@pytest.mark.parametrize(
    ("old", "new", "title", "lines"),
    [
        ("abcdefgh", "abcdXfgh", "@@ -2,7 +2,7 @@", " b  c  d -e +X  f  g  h"),
        ("abcd", "Xabcd", "@@ -1,3 +1,4 @@", "+X  a  b  c"),
        ("abcd", "abc", "@@ -1,4 +1,3 @@", " a  b  c -d"),
        ("", "ab", "@@ -0,0 +1,2 @@", "+a +b"),
        ("ab", "", "@@ -1,2 +0,0 @@", "-a -b"),
    ],
)
def test_a_difference_has_some_lines_around_it(
    old: str, new: str, title: str, lines: str
) -> None:
    (hunk,) = compare(old, new)
    assert (hunk.title, shown(hunk)) == (title, lines)


def test_differences_far_apart_are_two_hunks() -> None:
    hunks = compare("aX" + "b" * 9 + "Yc", "aV" + "b" * 9 + "Wc")
    assert [hunk.title for hunk in hunks] == ["@@ -1,5 +1,5 @@", "@@ -9,5 +9,5 @@"]


def test_differences_near_each_other_are_one() -> None:
    assert len(compare("aX" + "b" * (2 * CONTEXT) + "Yc", "a" + "b" * 6 + "c")) == 1


@given(LINES, LINES, st.integers(1, 12))
def test_the_hunks_are_a_patch_however_small_the_window(
    old: list[str], new: list[str], window: int
) -> None:
    hunks = list(compare_lines(iter(old), iter(new), window=window))
    assert patched(old, hunks) == new


@given(LINES, LINES)
def test_whole_sequences_give_what_difflib_says(old: list[str], new: list[str]) -> None:
    ours = [line for h in compare_lines(iter(old), iter(new)) for line in h.lines]
    theirs = [line for line in unified_diff(old, new, lineterm="") if line[0] in "-+"]
    changed = [mark for mark, _ in ours if mark != " "]
    # Both may choose another of several equal lines, never lose or repeat one.
    assert changed.count("-") - changed.count("+") == len(old) - len(new)
    assert bool(changed) == bool(theirs[2:])


def test_what_is_far_ahead_is_not_read_before_it_is_needed() -> None:
    endless = map(str, count())
    other: Iterator[str] = map(str, count(1))
    (mark, line), *_ = next(compare_lines(endless, other, window=50)).lines
    assert (mark, line) == ("-", "0")
