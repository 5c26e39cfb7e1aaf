"""`binance-replay synth`: a market made by chance, as a cassette."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_binance_replay.commands.console import FINE, say
from pytest_binance_replay.commands.output import writing
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_binance_replay.cassette import Frame, Header, Line
    from pytest_binance_replay.market import Crossing
    from pytest_binance_replay.writer import CassetteWriter

SUMMARY = "make a cassette of a market that never was"

_CROSSING = re.compile(
    r"(?P<symbol>[A-Za-z0-9_]+)=(?P<price>[0-9.]+)@(?P<at>[0-9a-z.]+)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Make a cassette of a market that never was, by chance: order books that "
        "makers and takers change, and every stream that tells of them, in agreement. "
        "The same arguments make the same file, byte for byte, on any machine. A "
        "scenario is a name, or several with commas between, each with its length or "
        "not: calm:2m,crash:30s,calm. Those without one share what --for leaves."
    )
    parser.epilog = (
        "Scenarios: calm, trend, crash, squeeze, flash-crash, thin-book, weekend-gap, "
        "news-burst. Exit codes: 0 written, 2 wrong usage."
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="the cassette to write: .jsonl, .jsonl.gz or .jsonl.zst",
    )
    parser.add_argument(
        "--scenario", default="calm", help="what happens (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the chance (default: %(default)s)"
    )
    parser.add_argument(
        "--for",
        dest="length",
        metavar="LENGTH",
        help="how long, as 90s, 10m or 1h (default: what the scenarios name, and a "
        "minute for each without a length)",
    )
    parser.add_argument(
        "--symbols",
        metavar="NAMES",
        default="BTCUSDT,ETHUSDT,BNBUSDT",
        help="with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--market",
        choices=("spot", "usdm"),
        default="spot",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--streams",
        metavar="NAMES",
        help="what each symbol has, as trade,depth@100ms,kline_1m, or full names, as "
        "!miniTicker@arr (default: the usual ones)",
    )
    parser.add_argument(
        "--cross",
        action="append",
        default=[],
        metavar="SYMBOL=PRICE@TIME",
        help="a price that is first traded at, or beyond, within the second that "
        "begins at a time, as BTCUSDT=96000@25s; may be given again",
    )
    parser.add_argument(
        "--activity",
        type=int,
        default=25,
        metavar="PERCENT",
        help="how much goes on; 100 is BTCUSDT on a busy day, some 150 messages a "
        "second (default: %(default)s)",
    )
    parser.add_argument(
        "--levels",
        type=int,
        default=60,
        help="levels that each side of a book has, about (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Generate."""
    from pytest_binance_replay.market import Course, generate, parse_length

    length_us = parse_length(options.length) if options.length else None
    course = Course(options.scenario, length_us)
    lines = generate(
        seed=options.seed,
        scenario=options.scenario,
        length_us=course.length_us,
        symbols=_names(options.symbols.upper()),
        market=options.market,
        streams=None if options.streams is None else _names(options.streams),
        crossings=[_crossing(text) for text in options.cross],
        activity=options.activity,
        levels=options.levels,
    )
    target = Path(options.output)
    with Progress("generating", course.length_us) as progress, writing(target):
        writer = _write(target, lines, progress)
    say(sys.stdout, _as_json(writer) if options.json else _text(writer))
    return FINE


def _names(text: str) -> Sequence[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _crossing(text: str) -> Crossing:
    from decimal import Decimal, InvalidOperation

    from pytest_binance_replay.market import Crossing, parse_length

    where = f"--cross={text}"
    if (found := _CROSSING.fullmatch(text)) is None:
        raise OptionError(where, "expected a form like BTCUSDT=96000@25s")
    try:
        price = Decimal(found["price"])
    except InvalidOperation:
        raise OptionError(where, f"expected a price, not {found['price']!r}") from None
    return Crossing(found["symbol"].upper(), price, parse_length(found["at"]))


def _write(target: Path, lines: Iterator[Line], progress: Progress) -> CassetteWriter:
    from pytest_binance_replay.cassette import End
    from pytest_binance_replay.market import START_US
    from pytest_binance_replay.writer import CassetteWriter

    header = cast("Header", next(lines))
    with CassetteWriter(target, header) as writer:
        for line in lines:
            if isinstance(line, End):
                writer.commit(end_time_us=line.receive_time_us)
            else:
                writer.write(cast("Frame", line))
                progress(writer.last_time_us - START_US)
    return writer


def _text(writer: CassetteWriter) -> str:
    from pytest_binance_replay.commands.display import shown_bytes

    size = shown_bytes(writer.path.stat().st_size)
    return f"{writer.path}: {writer.frames:,} frames, {size}"


def _as_json(writer: CassetteWriter) -> str:
    result = {
        "file": str(writer.path),
        "frames": writer.frames,
        "bytes": writer.path.stat().st_size,
    }
    return json.dumps(result)
