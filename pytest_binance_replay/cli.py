"""The command line, `binance-replay`: a command, its arguments, an exit code."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from pytest_binance_replay.commands import (
    check,
    convert,
    cut,
    diff,
    info,
    merge,
    record,
    serve,
    synth,
    unused,
)
from pytest_binance_replay.commands.console import NETWORK, UNSOUND, USAGE, say
from pytest_binance_replay.errors import (
    CassetteFormatError,
    MarketUnknownError,
    PortInUseError,
    ReplayError,
)
from pytest_binance_replay.options import UNBUILT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

COMMANDS: Mapping[str, ModuleType] = {
    "serve": serve,
    "record": record,
    "info": info,
    "check": check,
    "diff": diff,
    "cut": cut,
    "merge": merge,
    "convert": convert,
    "synth": synth,
    "unused": unused,
}
_UNBUILT_COMMANDS = ("init",)
_UNBUILT_FLAGS = {f"--{name.replace('_', '-')}" for name in UNBUILT}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments without the program's name; None takes the process's own.

    Returns:
        The exit code: 0 fine, 1 a cassette is not sound, 2 wrong usage, 3 network.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if unbuilt := _unbuilt(arguments):
        return _fail(USAGE, f"{unbuilt} is not built yet; leave it out.")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return USAGE
    try:
        code: int = COMMANDS[options.command].run(options)
    except (CassetteFormatError, MarketUnknownError) as error:
        return _fail(UNSOUND, str(error))
    except PortInUseError as error:
        return _fail(NETWORK, str(error))
    except ReplayError as error:
        return _fail(USAGE, str(error))
    return code


def _unbuilt(arguments: Sequence[str]) -> str | None:
    """Return what is asked for that only a later version has."""
    if arguments and arguments[0] in _UNBUILT_COMMANDS:
        return f"binance-replay {arguments[0]}"
    if arguments[:1] != ["serve"]:  # others have options of these names
        return None
    flags = (argument.partition("=")[0] for argument in arguments)
    return next((flag for flag in flags if flag in _UNBUILT_FLAGS), None)


def _fail(code: int, sentence: str) -> int:
    say(sys.stderr, sentence)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong and where to look."""
        self.exit(USAGE, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="binance-replay",
        description="Recorded Binance market data, replayed from a local server.",
        epilog=f"Not built yet: {', '.join(_UNBUILT_COMMANDS)}.",
        allow_abbrev=False,
    )
    name = f"binance-replay {version('pytest-binance-replay')}"
    parser.add_argument("--version", action="version", version=name)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.SUMMARY, allow_abbrev=False)
        command.add_arguments(subparser)
    return parser
