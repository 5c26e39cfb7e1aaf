"""How a recording is shown to a person: streams, rates, and how far it is."""

from __future__ import annotations

import math
import shutil
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from pytest_binance_replay.recording.recorder import Progress

_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 16  # looks, of which a rate is the mean and a spark a bar each
_BAR_COLUMNS = 24
_LEAST_COLUMNS = 40
_OTHER_LINES = 3
_SPACED = 4
_BOLD, _DIM, _GREEN, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"
_CLEAR_LINE, _CLEAR_BELOW, _UP = "\x1b[K", "\x1b[J", "\x1b[%dA"


def shown_bytes(size: int) -> str:
    """Write a size for a person.

    Example:
        >>> shown_bytes(1_234_567)
        '1.2 MB'
    """
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def shown_time(seconds: float) -> str:
    """Write a length of time for a person.

    Example:
        >>> shown_time(83.9), shown_time(3723)
        ('1:23', '1:02:03')
    """
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


class Rates:
    """Frames a second of each stream, as of late."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=_HISTORY + 1)

    def look(self, progress: Progress) -> None:
        """Take note of where a recording stands."""
        self._looks.append((progress.seconds, progress.streams))

    def rate(self, stream: str) -> float:
        """Return the mean of the last looks."""
        if not self._looks:
            return 0.0
        (start, before), (end, after) = self._looks[0], self._looks[-1]
        seconds = end - start
        return (after[stream] - before[stream]) / seconds if seconds > 0 else 0.0

    def spark(self, stream: str) -> str:
        """Return a bar for each look, the tallest for the busiest."""
        counts = [streams[stream] for _, streams in self._looks]
        steps = [b - a for a, b in pairwise(counts)]
        most = max(steps, default=0)
        tallest = len(_BARS) - 1
        bars = (_BARS[math.ceil(n * tallest / most)] if most else " " for n in steps)
        return "".join(bars).rjust(_HISTORY)


def draw(
    progress: Progress, rates: Rates, *, whole: float | None, columns: int, lines: int
) -> list[str]:
    """Return the lines that show how a recording stands.

    Args:
        progress: How it stands.
        rates: How fast it is.
        whole: Seconds it is to last; None if nobody knows.
        columns: Width of the terminal.
        lines: Its height.
    """
    names = list(progress.streams)
    room = max(1, lines - _OTHER_LINES)
    shown = names if len(names) <= room else names[: room - 1]
    width = max(map(len, shown), default=0)
    rows = [_row(progress, rates, name, width, columns) for name in shown]
    if len(shown) < len(names):
        rows.append(f"{_DIM}  and {len(names) - len(shown)} more{_PLAIN}")
    return [*rows, _footer(progress, rates, whole, columns)]


def _row(progress: Progress, rates: Rates, name: str, width: int, columns: int) -> str:
    count = progress.streams[name]
    numbers = f"{count:>11,} {rates.rate(name):>9,.1f}/s"
    room = max(8, columns - len(numbers) - _SPACED)
    padded = name.ljust(width)
    label = padded if len(padded) <= room else f"{name[: room - 1]}…".ljust(room)
    spark = ""
    if columns >= len(label) + len(numbers) + _HISTORY + 2 * _SPACED:
        spark = f"  {_GREEN}{rates.spark(name)}{_PLAIN}"
    style = "" if count else _DIM
    return f"  {style}{label}{_PLAIN}{numbers}{spark}"


def _footer(progress: Progress, rates: Rates, whole: float | None, columns: int) -> str:
    if progress.state == "connecting":
        return f"  {_DIM}connecting{_PLAIN}"
    speed = sum(map(rates.rate, progress.streams))
    time = shown_time(progress.seconds)
    if whole is not None:
        time = f"{time} of {shown_time(whole)}"
    facts = [time, f"{progress.frames:,} frames", f"{speed:,.0f}/s"]
    facts.append(shown_bytes(progress.size_bytes))
    facts += [f"{number} {name}" for name, number in progress.marks.items()]
    text = " · ".join(facts)
    if whole and columns >= len(text) + _BAR_COLUMNS + _SPACED:
        done = min(_BAR_COLUMNS, int(_BAR_COLUMNS * progress.seconds / whole))
        rest = _BAR_COLUMNS - done
        bar = f"{_GREEN}{'━' * done}{_DIM}{'━' * rest}{_PLAIN}"
        return f"  {bar}  {text}"
    return f"  {text[: columns - _SPACED]}"


class Display:
    """Draws a recording on a terminal, over and over in one place.

    Args:
        stream: The terminal.
        title: What is recorded, and where to.
        whole: Seconds it is to last; None if nobody knows.
    """

    def __init__(self, stream: TextIO, title: str, whole: float | None) -> None:
        self._stream = stream
        self._whole = whole
        self._rates = Rates()
        self._drawn = 0
        self._write(f"{_BOLD}{title}{_PLAIN}\n")

    def show(self, progress: Progress) -> None:
        """Draw how it stands now."""
        self._rates.look(progress)
        size = shutil.get_terminal_size()
        columns = max(_LEAST_COLUMNS, size.columns)
        lines = draw(
            progress,
            self._rates,
            whole=self._whole,
            columns=columns,
            lines=size.lines,
        )
        back = _UP % self._drawn if self._drawn else ""
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        self._write(f"{back}{body}{_CLEAR_BELOW}")
        self._drawn = len(lines)

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
