"""The command line: `binance-replay serve`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytest_binance_replay.errors import (
    CassetteFormatError,
    MarketUnknownError,
    OptionError,
    PortInUseError,
    ReplayError,
)
from pytest_binance_replay.options import SETTINGS, parse_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.replay import BinanceReplay

FINE, UNSOUND, USAGE, NETWORK = 0, 1, 2, 3
"""Exit codes: fine; the thing given is not sound; wrong usage; network."""

DEMO = "demo:spot"

_UNBUILT = (
    "record",
    "info",
    "check",
    "diff",
    "cut",
    "merge",
    "convert",
    "synth",
    "unused",
    "init",
)
_UNBUILT_FLAGS = ("--strict", "--faults", "--page", "--ui")
_SERVED = ("speed", "max_gap", "start", "at_end", "lag", "market", "time", "routes")
_SERVE_DEFAULTS = {"speed": "1", "at_end": "loop"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments without the program's name; None takes the process's own.

    Returns:
        The exit code: 0 fine, 1 a cassette is not sound, 2 wrong usage, 3 network.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if arguments and arguments[0] in _UNBUILT:
        return _fail(USAGE, f"binance-replay {arguments[0]} is not built yet.")
    for flag in _UNBUILT_FLAGS:
        if flag in arguments:
            return _fail(USAGE, f"binance-replay serve {flag} is not built yet.")
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return USAGE
    try:
        return _serve(options)
    except (CassetteFormatError, MarketUnknownError) as error:
        return _fail(UNSOUND, str(error))
    except PortInUseError as error:
        return _fail(NETWORK, str(error))
    except ReplayError as error:
        return _fail(USAGE, str(error))


def _fail(code: int, sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong and where to look."""
        self.exit(USAGE, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="binance-replay",
        description="Recorded Binance market data, replayed from a local server.",
    )
    name = f"binance-replay {version('pytest-binance-replay')}"
    parser.add_argument("--version", action="version", version=name)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="play cassettes to whoever connects",
        description="Play cassettes to whoever connects, until interrupted. "
        "Speaks Binance's raw and combined streams and the simple protocol on one "
        "port, and REST beside them.",
    )
    serve.add_argument(
        "cassettes",
        nargs="*",
        metavar="CASSETTE",
        help=f"a file, or {DEMO}, which is played if nothing is named",
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s)",
    )
    serve.add_argument(
        "--port",
        type=int,
        default=9443,
        help="port to listen on, 0 for a free one (default: %(default)s)",
    )
    for setting in map(SETTINGS.__getitem__, _SERVED):
        default = _SERVE_DEFAULTS.get(setting.name, setting.default)
        serve.add_argument(
            f"--{setting.name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{setting.help}; {setting.expected} (default: {default})",
        )
    return parser


def _settings(options: argparse.Namespace) -> dict[str, object]:
    settings: dict[str, object] = {}
    for name in _SERVED:
        value = getattr(options, name) or _SERVE_DEFAULTS.get(name)
        if value is not None:
            where = f"--{name.replace('_', '-')}={value}"
            settings[name] = parse_setting(name, value, where)
    if settings.get("start") == "manual":
        where = "--start=manual"
        problem = "the page that would start the tape is not built yet; leave it out"
        raise OptionError(where, problem)
    return settings


def _serve(options: argparse.Namespace) -> int:
    from pytest_binance_replay.factory import ReplayFactory

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    factory = ReplayFactory(Path.cwd())
    try:
        replay = factory(
            *(options.cassettes or [DEMO]),
            host=options.host,
            port=options.port,
            **_settings(options),
        )
        _greet(replay)
        return _wait(replay, stop)
    finally:
        factory.close()


def _greet(replay: BinanceReplay) -> None:
    lines = (
        f"streams          {replay.ws_url}/ws and {replay.ws_url}/stream",
        f"simple protocol  {replay.url}",
        f"REST             {replay.rest_url}/api/v3",
        f"playing {replay.cassette}; Ctrl-C stops",
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _wait(replay: BinanceReplay, stop: threading.Event) -> int:
    """Wait for the end, and report what goes wrong meanwhile, each thing once."""
    told: set[str] = set()
    while not stop.wait(0.2):
        for sentence in replay.complaints():
            if sentence not in told:
                told.add(sentence)
                sys.stderr.write(f"{sentence}\n")
                sys.stderr.flush()
    return FINE
