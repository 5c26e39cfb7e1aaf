"""`binance-replay convert`: captures of others made into cassettes, and tables."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_binance_replay.commands.console import FINE, say
from pytest_binance_replay.commands.looking import path_of
from pytest_binance_replay.commands.output import complain, counted, writing
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.errors import MarketUnknownError, OptionError

if TYPE_CHECKING:
    from pytest_binance_replay.tools.converting import Conversion, Survey
    from pytest_binance_replay.tools.exporting import TableKind

SUMMARY = "make cassettes of other people's captures, and tables"

_TO = ("jsonl", "csv", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Make one cassette of captures that other programs wrote, or of cassettes; or "
        "tables for a notebook. What a file is, its content says: cryptofeed raw data, "
        "hftbacktest, a raw download from Tardis, Binance's public data (CSV or zip), "
        'lines of {"stream":...,"data":...}, bare payloads, a log.jsonl of the simple '
        "protocol, saved REST bodies, HAR with web socket messages; plain, .gz or "
        ".zst. Payloads stay as they are, byte for byte. Several files are laid on one "
        "time line by receive time."
    )
    parser.epilog = (
        "Where a file has no receive times they are made from event times, and where "
        "it has no payloads these are made as the exchange writes them; the header of "
        "the cassette says so. Tables are files of their own, one for each kind of "
        "event: -o dip.csv writes dip.trades.csv, dip.depth.csv and so on. Exit codes: "
        "0 written, 1 a file is damaged or unknown, 2 wrong usage."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="what to convert")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="the cassette (.jsonl, .jsonl.gz or .jsonl.zst), or .csv or .parquet",
    )
    parser.add_argument(
        "--market", choices=("spot", "usdm"), help="of files that do not say theirs"
    )
    parser.add_argument(
        "--symbol", help="of files that do not say theirs, as BTCUSDT", type=str.upper
    )
    parser.add_argument(
        "--streams",
        metavar="NAMES",
        default="",
        help="stream names that are in the files, with commas between; decides where "
        "bare payloads of two streams look alike",
    )
    parser.add_argument(
        "--from",
        dest="form",
        metavar="FORMAT",
        help="what the files are, if their content does not tell; a wrong name lists "
        "them all",
    )
    parser.add_argument(
        "--to", choices=_TO, help="what to write (default: by the suffix of OUT)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Convert."""
    from pytest_binance_replay.formats import FORMATS, Clues
    from pytest_binance_replay.tools.converting import Conversion, open_inputs

    kind = _kind(options)
    if options.form is not None and options.form not in FORMATS:
        where = f"--from={options.form}"
        raise OptionError(where, f"expected {', '.join(FORMATS)}")
    names = tuple(name for name in options.streams.split(",") if name)
    clues = Clues(market=options.market, symbol=options.symbol, streams=names)
    form = FORMATS.get(options.form)
    inputs = open_inputs(list(map(path_of, options.files)), form=form, clues=clues)
    total_bytes = 2 * sum(source.size for source in inputs)
    with Progress("converting", total_bytes) as progress, writing(options.output):
        conversion = Conversion(
            inputs,
            clues=clues,
            warn=complain,
            progress=progress,
        )
        survey = _survey(conversion)
        files = _write(conversion, survey, Path(options.output), kind)
    say(sys.stdout, _as_json(files, survey) if options.json else _text(files, survey))
    return FINE


def _survey(conversion: Conversion) -> Survey:
    try:
        return conversion.survey()
    except MarketUnknownError as error:
        problem = "nothing in it says which market this is; add --market spot or usdm"
        raise OptionError(error.path, problem) from None


def _kind(options: argparse.Namespace) -> str:
    name = options.output.rpartition(".")[2].lower()
    kind = options.to or (name if name in _TO else "jsonl")
    return cast("str", kind)


def _write(
    conversion: Conversion, survey: Survey, target: Path, kind: str
) -> dict[Path, int]:
    from pytest_binance_replay.tools.converting import write_items
    from pytest_binance_replay.tools.exporting import write_tables
    from pytest_binance_replay.writer import CassetteWriter

    if kind != "jsonl":
        return write_tables(target, cast("TableKind", kind), conversion.items())
    with CassetteWriter(target, survey.header) as writer:
        write_items(writer, conversion.items())
    return {target: survey.frames}


def _text(files: dict[Path, int], survey: Survey) -> str:
    from pytest_binance_replay.commands.display import shown_bytes

    lines = []
    for path, count in files.items():
        unit = "row" if path.suffix in {".csv", ".parquet"} else "frame"
        size = shown_bytes(path.stat().st_size)
        lines.append(f"{path}: {counted(count, unit)}, {size}")
    held = f"{counted(len(survey.streams), 'stream')} of {survey.header.market}"
    rest, marks = counted(survey.rest, "REST answer"), counted(survey.marks, "mark")
    others = f"{rest}, {marks}"
    notes = [
        f"{name.replace('_', ' ')}: {survey.header.extra[name]}"
        for name in ("receive_times", "payloads", "stream_names")
        if name in survey.header.extra
    ]
    return "\n".join([*lines, f"{held}, {others}", *notes])


def _as_json(files: dict[Path, int], survey: Survey) -> str:
    members = {
        "files": {str(path): count for path, count in files.items()},
        "market": survey.header.market,
        "frames": survey.frames,
        "streams": dict(survey.streams),
        "rest": survey.rest,
        "marks": survey.marks,
        "first_time_us": survey.first_time_us,
        "last_time_us": survey.last_time_us,
        "made_up": {
            name: survey.header.extra[name]
            for name in ("receive_times", "payloads", "stream_names")
            if name in survey.header.extra
        },
    }
    return json.dumps(members, ensure_ascii=False)
