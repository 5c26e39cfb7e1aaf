"""`binance-replay info`: what is in a cassette."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import FINE, UNSOUND, USAGE, say
from pytest_binance_replay.commands.looking import (
    add_file_arguments,
    answer,
    answer_json,
    can_show,
    path_of,
    size_of,
    stoppable,
)
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.errors import CassetteFormatError, ReplayError

if TYPE_CHECKING:
    from pytest_binance_replay.tools.portrait import Sitter

SUMMARY = "say what is in cassettes: streams, prices, rates, ids"

_DESCRIPTION = """\
Say what is in a cassette: its market, source and time, each stream with frames,
rate, prices and ids, and pictures of price and rate. Several make a table."""

_EPILOG = """\
To see in 'git diff' what changed in recordings, compressed or not:
  echo '*.jsonl* diff=cassette' >> .gitattributes
  git config diff.cassette.textconv 'binance-replay info --plain'

Exit codes: 0 fine, 1 a cassette is damaged, 2 wrong usage or no cassette."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add_file_arguments(parser)
    parser.add_argument(
        "--all", action="store_true", help="list all streams, however many"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="write plain lines, with all fields, that change only when the "
        "cassette does: for 'git diff'",
    )


def run(options: argparse.Namespace) -> int:
    """Say what is in the cassettes."""
    with stoppable():
        return _answer(options)


def _answer(options: argparse.Namespace) -> int:
    if options.plain:
        return _write_plain(options.files)
    sitters, code = _sitters(options.files)
    if options.json:
        from pytest_binance_replay.tools.portrait import as_json

        answer_json({"cassettes": [as_json(sitter) for sitter in sitters]})
    elif sitters:
        _write(sitters, everything=options.all, several=len(options.files) > 1)
    return code


def _sitters(names: list[str]) -> tuple[list[Sitter], int]:
    """Look at each file; complain of those that cannot be read and go on."""
    from pytest_binance_replay.tools.inspection import overview_of
    from pytest_binance_replay.tools.portrait import Sitter

    sitters = []
    code = FINE
    for name in names:
        try:
            path = path_of(name)
            size_bytes = size_of(path)
            with Progress(f"reading {name}", size_bytes) as progress:
                overview = overview_of(path, progress=progress)
        except ReplayError as error:
            say(sys.stderr, str(error))
            code = max(code, code_of(error))
        else:
            sitters.append(Sitter(name, size_bytes, overview))
    return sitters, code


def code_of(error: ReplayError) -> int:
    """Return the exit code: damaged inside, or no cassette at all."""
    is_damaged = isinstance(error, CassetteFormatError) and error.line
    return UNSOUND if is_damaged else USAGE


def _write(sitters: list[Sitter], *, everything: bool, several: bool) -> None:
    from pytest_binance_replay.tools.portrait import portrait, table
    from pytest_binance_replay.tools.sparkline import BLOCKS

    if several and not everything:
        answer(table(sitters))
        return
    blocks = can_show(BLOCKS)
    portraits = (
        portrait(sitter, everything=everything, blocks=blocks) for sitter in sitters
    )
    answer("\n\n".join(portraits))


def _write_plain(names: list[str]) -> int:
    from pytest_binance_replay.tools.inspection import overview_of, structure_of
    from pytest_binance_replay.tools.portrait import plain

    for name in names:
        path = path_of(name)
        answer(plain(overview_of(path), structure_of(path)))
    return FINE
