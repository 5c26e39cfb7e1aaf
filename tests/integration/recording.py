"""What tests of the recorder share: a recording in one line, and what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_binance_replay.cassette import Frame, Header, Line, Mark, RestAnswer
from pytest_binance_replay.files import CassetteReader, read_frames
from pytest_binance_replay.hosts import Upstream
from pytest_binance_replay.recording.capture import Bounds, plan_capture
from pytest_binance_replay.recording.recorder import Recorder
from pytest_binance_replay.streams import Market
from tests.integration.hostile import SHORT

TRADES = "btcusdt@trade"
DEPTH = "btcusdt@depth@100ms"


def make_recorder(
    path: Path,
    upstream: Upstream,
    *streams: str,
    market: Market = "spot",
    requests: Iterable[str] = (),
    **settings: Any,
) -> Recorder:
    """A recorder with little patience."""
    plan = plan_capture(streams or [TRADES], market, requests)
    bounds = {
        name: settings.pop(name)
        for name in ("seconds", "min_messages", "until", "time_limit")
        if name in settings
    }
    settings = {"patience": SHORT, **settings}
    return Recorder(path, plan, upstream, bounds=Bounds(**bounds), **settings)


def read(path: Path) -> list[Line]:
    """All lines, without a warning."""
    return list(CassetteReader(path, warn=_fail).lines())


def _fail(warning: object) -> None:
    raise AssertionError(warning)


def payloads(path: Path, stream: str = TRADES) -> list[bytes]:
    """The payloads of one stream."""
    found = (line for line in read(path) if isinstance(line, Frame))
    return [frame.payload for frame in found if frame.stream == stream]


def is_empty(folder: Path) -> bool:
    """Whether nothing is left behind."""
    return not any(folder.iterdir())


def marks(path: Path) -> list[tuple[str, dict[str, object]]]:
    """The marks."""
    return [(m.name, dict(m.fields)) for m in read(path) if isinstance(m, Mark)]


def answers(path: Path) -> list[tuple[str, bytes]]:
    """The REST answers."""
    lines = read(path)
    return [(a.request, a.payload) for a in lines if isinstance(a, RestAnswer)]


def header(path: Path) -> Header:
    """The first line."""
    return CassetteReader(path).header


def frames(path: Path) -> list[tuple[str, bytes]]:
    """Streams and payloads, in order."""
    return [(frame.stream, frame.payload) for frame in read_frames(path)]


def trade(number: int) -> bytes:
    """A trade that names its number."""
    return b'{"e":"trade","t":%d,"p":"1.10"}' % number
