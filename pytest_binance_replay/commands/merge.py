"""`binance-replay merge`: several cassettes laid on one time line, as one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import FINE, say
from pytest_binance_replay.commands.looking import path_of
from pytest_binance_replay.commands.output import complain, counted, writing
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.options import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.tools.merging import Merge

SUMMARY = "make one cassette of several"

_SHOWN_DOUBLES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Lay several cassettes of one market on one time line, by receive time, and "
        "write them as one. Payloads stay as they are; of frames received at the same "
        "time, those of the file named first go first."
    )
    parser.epilog = (
        "A shift moves receive times only: event times in payloads stay. Cassettes of "
        "two markets cannot be merged, but a tape plays several: name them all in the "
        "mark. Exit codes: 0 written, 1 a cassette is damaged, 2 wrong usage."
    )
    parser.add_argument("cassettes", nargs="+", metavar="FILE", help="the cassettes")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="the cassette to write"
    )
    parser.add_argument(
        "--shift",
        action="append",
        default=[],
        metavar="FILE=TIME",
        help="move one on the time line, as b.jsonl=+2s or b.jsonl=-250ms; may be "
        "given several times",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Merge."""
    from pytest_binance_replay.tools.converting import write_items
    from pytest_binance_replay.tools.merging import Merge
    from pytest_binance_replay.writer import CassetteWriter

    paths, target = list(map(path_of, options.cassettes)), Path(options.output)
    shifts_us = dict(_shift(text, options.cassettes) for text in options.shift)
    with writing(target):
        merge = Merge(paths, shifts_us=shifts_us, warn=complain)
        with (
            Progress("merging", merge.frames) as progress,
            CassetteWriter(target, merge.header) as writer,
        ):
            merge.progress = progress
            write_items(writer, merge.items())
    for name, one, other in merge.doubles()[:_SHOWN_DOUBLES]:
        complain(f"{one} and {other} both have {name} at the same time: both are kept.")
    say(sys.stdout, _as_json(merge, target) if options.json else _text(merge, target))
    return FINE


def _shift(text: str, cassettes: Sequence[str]) -> tuple[int, int]:
    """Return which cassette is to be moved, and by how many microseconds."""
    where = f"--shift={text}"
    name, equals, time = text.rpartition("=")
    if not equals:
        raise OptionError(where, "expected FILE=TIME, as b.jsonl=+2s")
    found = [n for n, path in enumerate(cassettes) if path == name]
    found = found or [n for n, path in enumerate(cassettes) if _is_short(name, path)]
    if len(found) != 1:
        problem = f"expected one of {', '.join(cassettes)} before the '='"
        raise OptionError(where, problem)
    sign = -1 if time.startswith("-") else 1
    try:
        seconds = parse_seconds(time.lstrip("+-"))
    except ValueError:
        raise OptionError(
            where, "expected a time as +2s or -250ms behind '='"
        ) from None
    return found[0], sign * round(seconds * 1e6)


def _is_short(name: str, path: str) -> bool:
    """Tell whether a name is that of a file, or begins it: b for data/b.jsonl."""
    return Path(path).name.partition(".")[0] == name or Path(path).name == name


def _text(merge: Merge, target: Path) -> str:
    from pytest_binance_replay.commands.display import shown_bytes

    size = shown_bytes(target.stat().st_size)
    streams = counted(len(merge.header.streams or ()), "stream")
    rows = [
        f"  {part.path}: {counted(part.summary.frames, 'frame')}"
        + (f", moved by {part.shift_us / 1e6:+g} s" if part.shift_us else "")
        for part in merge.parts
    ]
    first = f"{target}: {counted(merge.frames, 'frame')}, {streams}, {size}"
    return "\n".join([first, *rows])


def _as_json(merge: Merge, target: Path) -> str:
    members = {
        "path": str(target),
        "market": merge.market,
        "frames": merge.frames,
        "streams": list(merge.header.streams or ()),
        "parts": [
            {
                "path": str(part.path),
                "frames": part.summary.frames,
                "shift_us": part.shift_us,
            }
            for part in merge.parts
        ],
        "doubled": [list(double) for double in merge.doubles()],
    }
    return json.dumps(members, ensure_ascii=False)
