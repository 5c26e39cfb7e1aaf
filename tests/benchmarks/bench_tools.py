"""Frames a second of the tools for cassettes, beside `json.loads` of every line.

    python -m tests.benchmarks.bench_tools [tool ...]

A million frames of a real recording, repeated with ids and times that go on, or the
bundled one where that is absent. Tool and yardstick run in turn, in the same minute;
what counts is the ratio.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from pytest_binance_replay.cassette import Frame, format_line
from pytest_binance_replay.editing import shift_times
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.ids import IdSpans
from pytest_binance_replay.streams import event_kind
from pytest_binance_replay.tools.converting import Conversion, open_inputs, write_items
from pytest_binance_replay.tools.cutting import Cut, Span
from pytest_binance_replay.tools.frame_diff import compare_lines
from pytest_binance_replay.tools.inspection import (
    canonical_lines,
    check_file,
    overview_of,
    structure_of,
)
from pytest_binance_replay.tools.merging import Merge
from pytest_binance_replay.writer import CassetteWriter

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "recordings" / "spot.jsonl"
LARGEST = ROOT.parent / "shared/data/hftbacktest-spot-20240808/session.jsonl.gz"
FRAMES = 1_000_000
PAIRS = 3

Tool = Callable[[Path], object]


def check(path: Path) -> None:
    errors = [f for f in check_file(path) if f.severity == "error"]
    assert not errors, errors[:3]


def diff_frames(path: Path) -> None:
    assert not list(compare_lines(canonical_lines(path), canonical_lines(path)))


def convert(path: Path) -> None:
    conversion = Conversion(open_inputs([_as_capture(path)]))
    with CassetteWriter(path.with_name("out.jsonl"), conversion.survey().header) as out:
        write_items(out, conversion.items())


def _as_capture(path: Path) -> Path:
    """Write the same frames as a collector would, once."""
    capture = path.with_name("capture.log")
    if not capture.exists():
        with capture.open("wb") as file:
            for frame in read_frames(path):
                stamp = b"%d000" % frame.receive_time_us
                parts = stamp, frame.stream.encode(), frame.payload
                file.write(b'%b {"stream":"%b","data":%b}\n' % parts)
    return capture


def cut(path: Path) -> None:
    part = Cut(path, Span(first=FRAMES // 4, stop=3 * FRAMES // 4))
    with CassetteWriter(path.with_name("out.jsonl"), part.header) as out:
        write_items(out, part.items())


def merge(path: Path) -> None:
    half = path.with_name("half.jsonl")
    if not half.exists():
        part = Cut(path, Span(stop=FRAMES // 2))
        with CassetteWriter(half, part.header) as out:
            write_items(out, part.items())
    both = Merge([half, half], shifts_us={1: 500})
    with CassetteWriter(path.with_name("out.jsonl"), both.header) as out:
        write_items(out, both.items())


TOOLS: dict[str, Tool] = {
    "info": overview_of,
    "check": check,
    "diff": structure_of,
    "diff --frames": diff_frames,
    "convert": convert,
    "cut": cut,
    "merge": merge,
}


def rounds(source: Path) -> Iterator[Frame]:
    """The frames of a recording over and over, as one sound recording."""
    frames = list(read_frames(source))
    kinds = {frame.stream: event_kind(frame.stream, "spot") or "" for frame in frames}
    spans = IdSpans()
    for frame in frames:
        kind = kinds[frame.stream]
        spans.add(frame.payload, kind=kind, stream=frame.stream)
    length_us = frames[-1].receive_time_us - frames[0].receive_time_us
    length_us += 60_000_000 - length_us % 60_000_000  # candles begin on whole minutes
    number = 0
    while True:
        for frame in frames:
            kind, stream = kinds[frame.stream], frame.stream
            payload = spans.shift(
                frame.payload, kind=kind, stream=stream, rounds=number
            )
            payload = shift_times(payload, kind=kind, offset_us=number * length_us)
            yield Frame(frame.receive_time_us + number * length_us, stream, payload)
        number += 1


def write_session(path: Path) -> int:
    """Write a million frames; return the size in bytes."""
    source = LARGEST if LARGEST.exists() else DEMO
    with path.open("wb") as file:
        file.write(b'{"cassette":1,"market":"spot"}\n')
        file.writelines(map(format_line, islice(rounds(source), FRAMES)))
    return path.stat().st_size


def parse_each_line(path: Path) -> None:
    """The yardstick."""
    with path.open("rb") as file:
        for line in file:
            json.loads(line)


def frames_per_second(tool: Tool, path: Path) -> float:
    started = perf_counter()
    tool(path)
    return FRAMES / (perf_counter() - started)


def peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def main(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "million.jsonl"
        size = write_session(path)
        print(f"{FRAMES:,} frames, {size / 1e6:,.0f} MB")
        for name in names or TOOLS:
            pairs = [
                (
                    frames_per_second(parse_each_line, path),
                    frames_per_second(TOOLS[name], path),
                )
                for _ in range(PAIRS)
            ]
            yardstick, rate = sorted(pairs, key=lambda p: p[1] / p[0])[PAIRS // 2]
            print(
                f"{name:<14} {rate:>10,.0f} frames/s   json.loads {yardstick:>9,.0f}"
                f"   ratio {rate / yardstick:.2f}   peak {peak_megabytes():.0f} MB"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
