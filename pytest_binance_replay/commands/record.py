"""`binance-replay record`: streams of the live exchange, captured into a cassette."""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.commands.console import (
    FINE,
    NETWORK,
    UNSOUND,
    listen_for_signals,
    say,
)
from pytest_binance_replay.hosts import UPSTREAMS, market_of_host, parse_upstream
from pytest_binance_replay.options import parse_seconds

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pytest_binance_replay.background import LoopThread
    from pytest_binance_replay.commands.display import Display
    from pytest_binance_replay.hosts import Upstream
    from pytest_binance_replay.recording.recorder import Recorder, Recording
    from pytest_binance_replay.streams import Market

SUMMARY = "record streams of the live exchange"

_FOLDER = "recordings"
_LOOK_SECONDS = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Record streams of the live exchange into a cassette, with the depth snapshots "
        "that diff depth streams need. No key is needed, and none is ever sent. Ctrl-C "
        "finishes the file properly. An existing file stays as it is until the new one "
        "is whole."
    )
    parser.epilog = (
        "Exit codes: 0 recorded, 1 too little came or the file cannot be written, 2 "
        "wrong usage, 3 network. What a failed recording captured is kept as "
        "NAME.rejected.jsonl; what a killed one did is in .binance-replay-*.part, "
        "beside the file, and plays once it is renamed. Proxies and certificates are "
        "taken from HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE."
    )
    parser.add_argument(
        "streams",
        nargs="+",
        metavar="STREAM",
        help="a stream name, such as btcusdt@trade or ethusdt@depth@100ms",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the cassette, .jsonl, .jsonl.gz or .jsonl.zst (default: a new one in "
        f"{_FOLDER}/)",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=_seconds,
        metavar="TIME",
        help="how long, such as 60s, 5m or 1h, counted from when the exchange has "
        "acknowledged the last stream (default: until Ctrl-C)",
    )
    parser.add_argument(
        "--min-messages",
        type=_count,
        default=0,
        metavar="N",
        help="messages that each stream has to bring; without --for, it ends then",
    )
    parser.add_argument(
        "--market",
        choices=tuple(UPSTREAMS),
        help="market of the streams (default: by the upstream, or by their names)",
    )
    parser.add_argument(
        "--upstream",
        type=_upstream,
        metavar="WS_URL[,REST_URL]",
        help="where to record from (default: the exchange's hosts for market data)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if (seconds := parse_seconds(text)) > 0:
            return seconds
    msg = f"expected a length of time such as 60s, 5m or 1h, not {text!r}"
    raise argparse.ArgumentTypeError(msg)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        msg = f"expected a number of messages, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _upstream(text: str) -> Upstream:
    with suppress(ValueError):
        return parse_upstream(text)
    msg = (
        "expected wss://HOST[:PORT], and maybe ,https://HOST[:PORT] behind it, not "
        f"{text!r}"
    )
    raise argparse.ArgumentTypeError(msg)


# Recording


def run(options: argparse.Namespace) -> int:
    """Record until it is enough, or a signal comes."""
    stops = listen_for_signals()
    from pytest_binance_replay.background import LoopThread
    from pytest_binance_replay.errors import CaptureError, UpstreamError

    recorder = _recorder(options)
    notes = recorder.progress.problems
    for note in notes:
        say(sys.stderr, note)
    display = _display(options, recorder)
    thread = LoopThread()
    try:
        future = thread.submit(recorder.run())
        _wait(recorder, future, thread, stops, display)
        recording = future.result()
    except UpstreamError as error:
        say(sys.stderr, str(error))
        return NETWORK
    except CaptureError as error:
        say(sys.stderr, str(error))
        return UNSOUND
    finally:
        thread.stop()
    for problem in recording.problems:
        if problem not in notes:
            say(sys.stderr, problem)
    say(sys.stdout, _json(recording) if options.json else _sentence(recording))
    return FINE


def _recorder(options: argparse.Namespace) -> Recorder:
    from pytest_binance_replay.recording.capture import (
        Bounds,
        guess_market,
        plan_capture,
    )
    from pytest_binance_replay.recording.recorder import Recorder

    given: Upstream | None = options.upstream
    by_host = market_of_host(urlsplit(given.ws_url).hostname) if given else None
    market: Market = options.market or by_host or guess_market(options.streams)
    return Recorder(
        options.output or _new_file(options.streams, market),
        plan_capture(options.streams, market),
        given or UPSTREAMS[market],
        bounds=Bounds(seconds=options.seconds, min_messages=options.min_messages),
    )


def _new_file(streams: list[str], market: Market) -> Path:
    """Return a name that no file has yet."""
    subjects = {name.partition("@")[0] for name in streams}
    subject = subjects.pop() if len(subjects) == 1 else market
    safe = "".join(c if c.isalnum() else "_" for c in subject).strip("_") or market
    moment = datetime.fromtimestamp(wall_us() // 1_000_000, UTC)
    return Path(_FOLDER) / f"{safe}-{moment:%Y%m%d-%H%M%S}.jsonl"


def _display(options: argparse.Namespace, recorder: Recorder) -> Display | None:
    """Return what shows the progress; None where nobody looks."""
    is_looked_at = sys.stderr is not None and sys.stderr.isatty()
    if options.quiet or not is_looked_at or os.environ.get("TERM") == "dumb":
        return None
    from pytest_binance_replay.commands.display import Display

    return Display(sys.stderr, f"Recording {recorder.path}", options.seconds)


def _wait(
    recorder: Recorder,
    future: Future[Recording],
    thread: LoopThread,
    stops: queue.SimpleQueue[int],
    display: Display | None,
) -> None:
    """Wait for the end, show how it goes, and pass signals on."""
    while not future.done():
        with suppress(queue.Empty):
            stops.get(timeout=_LOOK_SECONDS)
            thread.loop.call_soon_threadsafe(recorder.stop)
        if display is not None:
            display.show(recorder.progress)
    if display is not None:
        display.show(recorder.progress)


def _sentence(recording: Recording) -> str:
    from pytest_binance_replay.commands.display import shown_bytes

    streams = sum(1 for number in recording.streams.values() if number)
    frames = _counted(recording.frames, "frame")
    return (
        f"{recording.path}: {frames} of {_counted(streams, 'stream')} in "
        f"{recording.seconds:.1f} s, {shown_bytes(recording.size_bytes)}"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _json(recording: Recording) -> str:
    members = {**asdict(recording), "path": str(recording.path)}
    return json.dumps(members, ensure_ascii=False)
