"""Two cassettes compared frame by frame, in constant memory.

As long as both go on alike, frames are passed one by one. Where they part, a window of
each is compared as a whole, up to the last stretch that both have in common, and the
walk goes on behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

WINDOW = 1000
"""How many frames of each side are compared at once where they differ."""

CONTEXT = 3
"""How many equal lines stand around what differs."""

T = TypeVar("T")


class Hunk(NamedTuple):
    """A place where two sequences of lines differ.

    Attributes:
        old_start: Number of its first line on the old side, from 1.
        old_count: Lines of the old side.
        new_start: Number of its first line on the new side, from 1.
        new_count: Lines of the new side.
        lines: What is there: lines with a blank, a minus or a plus before them.
    """

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: list[tuple[str, str]]

    @property
    def title(self) -> str:
        """The line that begins a hunk of a unified diff."""
        old = f"{self.old_start},{self.old_count}"
        return f"@@ -{old} +{self.new_start},{self.new_count} @@"


class _Ahead(Generic[T]):
    """A sequence with a view of what comes."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._seen: deque[T] = deque()

    def see(self, count: int) -> list[T]:
        """Return the next ones, fewer at the end."""
        self._seen.extend(islice(self._items, max(0, count - len(self._seen))))
        return list(islice(self._seen, count))

    def next(self) -> T | None:
        """Return the next one, which is taken; None at the end."""
        if self._seen:
            return self._seen.popleft()
        return next(self._items, None)

    def back(self, item: T | None) -> None:
        """Give back what was taken last."""
        if item is not None:
            self._seen.appendleft(item)


def compare_lines(
    old: Iterator[str], new: Iterator[str], *, window: int = WINDOW
) -> Iterator[Hunk]:
    """Compare two sequences of lines.

    Args:
        old: The lines as they were.
        new: The lines as they are.
        window: How many lines of each side are compared at once; what has moved
            further than that counts as gone and new.

    Yields:
        Hunks, none without a line that differs.
    """
    writer = _HunkWriter()
    for mark, line in _marked(_Ahead(old), _Ahead(new), window):
        if hunk := writer.add(mark, line):
            yield hunk
    if hunk := writer.finish():
        yield hunk


def _marked(
    old: _Ahead[str], new: _Ahead[str], window: int
) -> Iterator[tuple[str, str]]:
    while True:
        before, after = old.next(), new.next()
        if before is None and after is None:
            return
        if before is not None and before == after:
            yield " ", before
            continue
        old.back(before)
        new.back(after)
        yield from _window(old, new, window)


def _window(
    old: _Ahead[str], new: _Ahead[str], window: int
) -> Iterator[tuple[str, str]]:
    """Compare what comes on both sides, up to where they meet again."""
    befores, afters = old.see(window), new.see(window)
    matcher = SequenceMatcher(None, befores, afters, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size]
    ended = len(befores) < window and len(afters) < window
    # The last stretch in common may go on beyond the window, so it comes next.
    old_end, new_end = len(befores), len(afters)
    if blocks and not ended:
        old_end, new_end = blocks[-1].a, blocks[-1].b
    at_old = at_new = 0
    for block in blocks:
        if block.a >= old_end or block.b >= new_end:
            break
        yield from _changed(befores[at_old : block.a], afters[at_new : block.b])
        at_old, at_new = block.a + block.size, block.b + block.size
        yield from ((" ", line) for line in befores[block.a : at_old])
    yield from _changed(befores[at_old:old_end], afters[at_new:new_end])
    for side, count in ((old, old_end), (new, new_end)):
        for _ in range(count):
            side.next()


def _changed(gone: list[str], come: list[str]) -> Iterator[tuple[str, str]]:
    yield from (("-", line) for line in gone)
    yield from (("+", line) for line in come)


class _HunkWriter:
    """Gathers lines into hunks, with some equal ones around them."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._before: deque[str] = deque(maxlen=CONTEXT)
        self._equal = 0  # at the end of the hunk
        self._old = self._new = 0  # lines passed

    def add(self, mark: str, line: str) -> Hunk | None:
        """Add a line; return a hunk that it ends."""
        done = None
        if mark == " ":
            if self._lines:
                self._lines.append((mark, line))
                self._equal += 1
            self._count(mark)
            if self._equal > 2 * CONTEXT:
                done = self._take()
            elif not self._lines:
                self._before.append(line)
            return done
        if not self._lines:
            self._lines = [(" ", text) for text in self._before]
            self._before.clear()
        self._lines.append((mark, line))
        self._equal = 0
        self._count(mark)
        return None

    def _count(self, mark: str) -> None:
        self._old += mark != "+"
        self._new += mark != "-"

    def _take(self) -> Hunk:
        surplus = max(0, self._equal - CONTEXT)
        kept = self._lines[: len(self._lines) - surplus]
        behind = [line for _, line in self._lines[len(kept) :]]
        olds = sum(mark != "+" for mark, _ in kept)
        news = sum(mark != "-" for mark, _ in kept)
        old_end, new_end = self._old - surplus, self._new - surplus
        self._lines, self._equal = [], 0
        self._before.extend(behind)
        old_start, new_start = old_end - olds + (olds > 0), new_end - news + (news > 0)
        return Hunk(old_start, olds, new_start, news, kept)

    def finish(self) -> Hunk | None:
        """Return the hunk that was not ended yet."""
        return self._take() if self._lines else None
