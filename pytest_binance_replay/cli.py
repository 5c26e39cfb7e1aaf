"""The command line: `binance-replay serve`."""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from pytest_binance_replay.errors import (
    CassetteFormatError,
    MarketUnknownError,
    OptionError,
    PortInUseError,
    ReplayError,
)
from pytest_binance_replay.options import SETTINGS, UNBUILT, parse_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.options import Setting
    from pytest_binance_replay.replay import BinanceReplay

FINE, UNSOUND, USAGE, NETWORK = 0, 1, 2, 3
"""Exit codes: fine; the thing given is not sound; wrong usage; network."""

DEMO = "demo:spot"

_UNBUILT_COMMANDS = (
    *("record", "info", "check", "diff"),
    *("cut", "merge", "convert", "synth", "unused", "init"),
)
_UNBUILT_FLAGS = {f"--{name.replace('_', '-')}" for name in UNBUILT}
_SERVED = (
    *("speed", "max_gap", "start", "start_after", "at_end"),
    *("lag", "market", "time", "routes"),
)
_SERVE_DEFAULTS = {"speed": "1", "at_end": "loop"}
# Where less is possible than in a test, or is written in another way.
_EXPECTED = {
    "start": "'auto' (starting it by hand is not built yet)",
    "start_after": "names with commas between, as in btcusdt@depth,/api/v3/depth",
    "at_end": "'hold', 'close' or 'loop'",
}
_NEEDS_A_TEST = {("start", "manual"), ("at_end", "fail")}
_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Windows's Ctrl-Break
_LOOK_SECONDS = 0.2


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
        return _serve(options)
    except (CassetteFormatError, MarketUnknownError) as error:
        return _fail(UNSOUND, str(error))
    except PortInUseError as error:
        return _fail(NETWORK, str(error))
    except ReplayError as error:
        return _fail(USAGE, str(error))


def _unbuilt(arguments: Sequence[str]) -> str | None:
    """Return what is asked for that only a later version has."""
    if arguments and arguments[0] in _UNBUILT_COMMANDS:
        return f"binance-replay {arguments[0]}"
    flags = (argument.partition("=")[0] for argument in arguments)
    return next((flag for flag in flags if flag in _UNBUILT_FLAGS), None)


def _fail(code: int, sentence: str) -> int:
    _say(sys.stderr, sentence)
    return code


def _say(stream: TextIO | None, text: str) -> None:
    """Write lines to a stream, which may be closed: then nobody wants to know."""
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError:
        # The interpreter flushes once more when it ends, and would complain.
        with suppress(OSError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


# Arguments


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
    serve = commands.add_parser(
        "serve",
        help="play cassettes to whoever connects",
        description="Play cassettes to whoever connects, until Ctrl-C. One port speaks "
        "Binance's raw and combined streams, the simple protocol and REST; the first "
        "lines printed are their URLs. The tape starts when a client subscribes.",
        epilog="Exit codes: 0 stopped, 1 a cassette is damaged, 2 wrong usage, 3 the "
        "port cannot be had.",
        allow_abbrev=False,
    )
    _add_arguments(serve)
    return parser


def _add_arguments(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "cassettes",
        nargs="*",
        metavar="CASSETTE",
        help=f"a file, or {DEMO}, the bundled one, played if nothing is named",
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s)",
    )
    serve.add_argument(
        "--port",
        type=_port,
        default=9443,
        help="port to listen on; 0 takes a free one (default: %(default)s)",
    )
    for setting in map(SETTINGS.__getitem__, _SERVED):
        serve.add_argument(
            f"--{setting.name.replace('_', '-')}",
            metavar=setting.name.rpartition("_")[2].upper(),
            default=_SERVE_DEFAULTS.get(setting.name),
            help=_help(setting).replace("%", "%%"),
        )


def _help(setting: Setting) -> str:
    default = _SERVE_DEFAULTS.get(setting.name, setting.default)
    ending = f" (default: {default})" if default else ""
    expected = _EXPECTED.get(setting.name, setting.expected)
    return f"{setting.help}: {expected}{ending}"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        msg = f"expected a number from 0 to 65535, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _settings(options: argparse.Namespace) -> dict[str, object]:
    settings: dict[str, object] = {}
    for name in _SERVED:
        value = getattr(options, name)
        if value is None:
            continue
        where = f"--{name.replace('_', '-')}={value}"
        if (name, value) in _NEEDS_A_TEST:
            raise OptionError(where, f"expected {_EXPECTED[name]}")
        settings[name] = parse_setting(name, value, where)
    return settings


def _cassette(name: str) -> str | Path:
    """Return what the factory calls a cassette, which is a name below a folder."""
    return Path(name).resolve() if ".." in Path(name).parts else name


# Serving


def _serve(options: argparse.Namespace) -> int:
    stops = _listen_for_signals()
    settings = _settings(options)
    from pytest_binance_replay.factory import ReplayFactory

    factory = ReplayFactory(Path(), guarded=False)
    try:
        replay = factory(
            *map(_cassette, options.cassettes or [DEMO]),
            host=options.host,
            port=options.port,
            **settings,
        )
        _say(sys.stdout, _greeting(replay))
        return _wait(replay, stops)
    finally:
        factory.close()


def _listen_for_signals() -> queue.SimpleQueue[int]:
    """Return a queue of the signals that are to end the program.

    Unlike the lock of an event, a simple queue may be entered again by a second
    signal that arrives while the first is being noted.
    """
    stops: queue.SimpleQueue[int] = queue.SimpleQueue()
    for name in _SIGNALS:
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, lambda received, _: stops.put(received))
    return stops


def _greeting(replay: BinanceReplay) -> str:
    lines = (
        f"raw streams       {replay.ws_url}/ws",
        f"combined streams  {replay.ws_url}/stream",
        f"simple protocol   {replay.url}",
        f"REST              {replay.rest_url}",
        f"Playing {replay.cassette} to whoever subscribes; Ctrl-C stops.",
    )
    return "\n".join(lines)


def _wait(replay: BinanceReplay, stops: queue.SimpleQueue[int]) -> int:
    """Wait for the end, and tell what goes wrong meanwhile, each thing once."""
    told: set[str] = set()
    stopped = False
    while not stopped:
        with suppress(queue.Empty):
            stops.get(timeout=_LOOK_SECONDS)
            stopped = True
        for problem in replay.complaints():
            if str(problem) not in told:
                told.add(str(problem))
                _say(sys.stderr, str(problem))
            if isinstance(problem, CassetteFormatError):
                return UNSOUND
    return FINE
