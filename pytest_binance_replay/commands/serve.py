"""`binance-replay serve`: cassettes played to whoever connects."""

from __future__ import annotations

import argparse
import queue
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import (
    FINE,
    UNSOUND,
    listen_for_signals,
    say,
)
from pytest_binance_replay.errors import CassetteFormatError, OptionError
from pytest_binance_replay.options import SETTINGS, parse_setting

if TYPE_CHECKING:
    from pytest_binance_replay.options import Setting
    from pytest_binance_replay.replay import BinanceReplay

SUMMARY = "play cassettes to whoever connects"

DEMO = "demo:spot"

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
_RECORD_COMMAND = "binance-replay record STREAM... -o FILE"
_LOOK_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Play cassettes to whoever connects, until Ctrl-C. One port speaks "
        "Binance's raw and combined streams, the simple protocol and REST; the first "
        "lines printed are their URLs. The tape starts when a client subscribes."
    )
    parser.epilog = (
        "Exit codes: 0 stopped, 1 a cassette is damaged, 2 wrong usage, 3 the port "
        "cannot be had."
    )
    parser.add_argument(
        "cassettes",
        nargs="*",
        metavar="CASSETTE",
        help=f"a file, or {DEMO}, the bundled one, played if nothing is named",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=9443,
        help="port to listen on; 0 takes a free one (default: %(default)s)",
    )
    for setting in map(SETTINGS.__getitem__, _SERVED):
        parser.add_argument(
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


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    stops = listen_for_signals()
    settings = _settings(options)
    from pytest_binance_replay.factory import ReplayFactory

    factory = ReplayFactory(Path(), guarded=False, record_command=_RECORD_COMMAND)
    try:
        replay = factory(
            *map(_cassette, options.cassettes or [DEMO]),
            host=options.host,
            port=options.port,
            **settings,
        )
        say(sys.stdout, _greeting(replay))
        return _wait(replay, stops)
    finally:
        factory.close()


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
                say(sys.stderr, str(problem))
            if isinstance(problem, CassetteFormatError):
                return UNSOUND
    return FINE
