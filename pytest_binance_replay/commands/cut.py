"""`binance-replay cut`: a part of a cassette that plays on its own."""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import FINE, say
from pytest_binance_replay.commands.looking import path_of
from pytest_binance_replay.commands.output import complain, counted, writing
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.options import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.files import Summary
    from pytest_binance_replay.tools.cutting import Cut, Span

SUMMARY = "take a part of a cassette"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE = re.compile(r"(\d*):(\d*)")
_EXPECTED_TIME = (
    "expected a length of time from the start, as +90s or 2m, one before the end, as "
    "-30s, or a time, as 2026-11-20T10:00:05Z"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Take a part of a cassette, by time, by frames, by stream and by symbol; what "
        "is named together must all be true of a frame. Payloads and receive times "
        "stay as they are. Depth snapshots that join inside the part are kept, and "
        "where the order book is known at its start one is made there, so that a bot "
        "can sync; what else was asked of the exchange before the part is kept too."
    )
    parser.epilog = (
        "Times: +90s or 2m from the first frame, --to=-30s before the last one, "
        "2026-11-20T10:00:05Z. --from is inside the part, --to is not. Exit codes: 0 "
        "written, 1 the cassette is damaged, 2 wrong usage, or nothing is left."
    )
    parser.add_argument("cassette", metavar="FILE", help="the cassette")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="the cassette to write"
    )
    parser.add_argument(
        "--from", dest="start", metavar="TIME", help="first time inside"
    )
    parser.add_argument("--to", dest="stop", metavar="TIME", help="first time outside")
    parser.add_argument(
        "--frames",
        metavar="A:B",
        help="frames A to B-1 of the file, counted from 0; either may be left out",
    )
    parser.add_argument(
        "--stream",
        action="append",
        default=[],
        metavar="GLOB",
        help="streams whose name fits, as 'btcusdt@*'; may be given several times",
    )
    parser.add_argument(
        "--symbol",
        action="append",
        default=[],
        help="streams of this symbol alone; may be given several times",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Cut."""
    from pytest_binance_replay.files import summarise
    from pytest_binance_replay.tools.converting import write_items
    from pytest_binance_replay.tools.cutting import Cut
    from pytest_binance_replay.writer import CassetteWriter

    path, target = path_of(options.cassette), Path(options.output)
    summary = summarise(path)
    lines = summary.frames + len(summary.rest) + summary.marks
    with Progress("cutting", 2 * lines) as progress, writing(target):
        cut = Cut(
            path,
            _span(options, summary),
            wanted=_wanted(options, summary),
            warn=complain,
            progress=progress,
        )
        with CassetteWriter(target, cut.header) as writer:
            write_items(writer, cut.items())
    say(sys.stdout, _as_json(cut, target) if options.json else _text(cut, target))
    return FINE


def _span(options: argparse.Namespace, summary: Summary) -> Span:
    from pytest_binance_replay.tools.cutting import Span

    first, stop = _frames(options.frames)
    return Span(
        _time_us("--from", options.start, summary),
        _time_us("--to", options.stop, summary),
        first,
        stop,
    )


def _frames(text: str | None) -> tuple[int, int | None]:
    if text is None:
        return 0, None
    where = f"--frames={text}"
    found = _RANGE.fullmatch(text)
    if found is None:
        raise OptionError(where, "expected A:B, as 100:2000, 100: or :2000")
    first, stop = int(found[1] or 0), int(found[2]) if found[2] else None
    if stop is not None and stop <= first:
        raise OptionError(where, "expected the second above the first")
    return first, stop


def _time_us(flag: str, text: str | None, summary: Summary) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _offset_us(flag, text, summary)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _offset_us(flag: str, text: str, summary: Summary) -> int:
    try:
        offset_us = round(parse_seconds(text.removeprefix("+").removeprefix("-")) * 1e6)
    except ValueError:
        where = f"{flag}={text}"
        raise OptionError(where, _EXPECTED_TIME) from None
    if text.startswith("-"):
        return (summary.last_time_us or 0) - offset_us
    return (summary.first_time_us or 0) + offset_us


def _wanted(options: argparse.Namespace, summary: Summary) -> Callable[[str], bool]:
    from pytest_binance_replay.streams import nearest_streams, parse_stream

    names = list(dict.fromkeys([*summary.streams, *(summary.header.streams or ())]))
    for glob in options.stream:
        if not any(name == glob or fnmatchcase(name, glob) for name in names):
            near = ", ".join(nearest_streams(glob, names)) or ", ".join(names[:3])
            where = f"--stream={glob}"
            problem = f"no stream of {options.cassette} fits; there are {near}"
            raise OptionError(where, problem)
    market = summary.market or "spot"
    symbols = {symbol.lower() for symbol in options.symbol}
    parsed = {name: parse_stream(name, market) for name in names}
    of = {name: p.symbol for name, p in parsed.items() if p is not None and p.symbol}
    for symbol in symbols - set(of.values()):
        known = ", ".join(sorted({text.upper() for text in of.values()}))
        where = f"--symbol={symbol.upper()}"
        problem = f"no stream of {options.cassette} is of it; there are {known}"
        raise OptionError(where, problem)

    def wanted(name: str) -> bool:
        fits = [name == glob or fnmatchcase(name, glob) for glob in options.stream]
        return (not fits or any(fits)) and (not symbols or of.get(name) in symbols)

    return wanted


def _text(cut: Cut, target: Path) -> str:
    from pytest_binance_replay.commands.display import shown_bytes

    frames = cut.plan.frames.total()
    size = shown_bytes(target.stat().st_size)
    line = (
        f"{target}: {frames:,} of {counted(cut.summary.frames, 'frame')}, "
        f"{counted(len(cut.plan.frames), 'stream')}, {size}"
    )
    snapshots = (
        f"depth snapshots: {len(cut.plan.made)} made at its start, "
        f"{len(cut.plan.kept)} kept"
    )
    return f"{line}\n{snapshots}"


def _as_json(cut: Cut, target: Path) -> str:
    members = {
        "path": str(target),
        "frames": cut.plan.frames.total(),
        "of_frames": cut.summary.frames,
        "streams": dict(cut.plan.frames),
        "snapshots_made": sorted(cut.plan.made),
        "snapshots_kept": [answer.request for answer in cut.plan.kept],
        "first_time_us": cut.plan.first_us,
    }
    return json.dumps(members, ensure_ascii=False)
