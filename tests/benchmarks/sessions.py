"""Cassettes of any length to measure with, made from the bundled one."""

from __future__ import annotations

import re
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from pytest_binance_replay.files import read_frames

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "recordings" / "spot.jsonl"
KINDS = ("trade", "bookTicker", "depth@100ms")
_COPIES = ("", "1", "2")  # of each symbol, so that there are 27 streams
_ROUND_US = 60_000_000


class Session(NamedTuple):
    """A cassette to measure with.

    Attributes:
        path: The file.
        frames: How many frames it has.
        streams: Its 27 streams.
    """

    path: Path
    frames: int
    streams: tuple[str, ...]

    def part(self, number: int) -> list[str]:
        """Return two of the streams, others for each number up to 12."""
        return list(self.streams[2 * number : 2 * number + 2])


def make_session(path: Path, frames: int, *, of: str = "", hurry: int = 1) -> Session:
    """Write a cassette.

    Args:
        path: Where to; the folder is there.
        frames: How many frames, which are the demo's over and over.
        of: The only stream to take; empty for 27 of them.
        hurry: How many times as fast as the demo's they follow each other.
    """
    rows = [
        (f.receive_time_us, _renamed(line, mark))
        for f in read_frames(DEMO)
        if f.stream == of or (not of and f.stream.partition("@")[2] in KINDS)
        for line in [f'"stream":"{f.stream}","data":{f.payload.decode()}}}\n']
        for mark in (_COPIES[:1] if of else _COPIES)
    ]
    streams = tuple(sorted({line.split('"', 4)[3] for _, line in rows}))
    names = ",".join(f'"{name}"' for name in streams)
    lines = (
        f'{{"t":{(time_us + turn * _ROUND_US) // hurry},{line}'
        for turn in count()
        for time_us, line in rows
    )
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"cassette":1,"market":"spot","streams":[{names}]}}\n')
        file.writelines(islice(lines, frames))
    return Session(path, frames, streams)


def _renamed(line: str, mark: str) -> str:
    """Return the line with another symbol of the same kind."""
    return re.sub(r"(?i)usdt", lambda usdt: mark + usdt[0], line) if mark else line
