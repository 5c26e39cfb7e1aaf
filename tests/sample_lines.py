"""The lines of one small cassette, and what puts them on disk and reads them back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pytest_binance_replay.cassette import (
    Frame,
    Header,
    Line,
    Mark,
    RestAnswer,
    format_line,
)
from pytest_binance_replay.errors import BinanceReplayWarning
from pytest_binance_replay.files import BLOCK_BYTES, CassetteReader


def trade(number: int, *, stream: str = "btcusdt@trade") -> Frame:
    """A trade that names its number, as is its time."""
    payload = b'{"e":"trade","M":true,"p":"%d.10","t":%d}' % (number * 7919, number)
    return Frame(1_000_000 + number, stream, payload)


HEADER = Header(market="spot", source="wss://data-stream.binance.vision")
OURS = Header(recorder="pytest-binance-replay 0.1.0")
SNAPSHOT = RestAnswer(1_000_001, "/api/v3/depth?symbol=BTCUSDT", 200, b'{"bids":[]}')
RECONNECT = Mark(1_000_002, "reconnected", {"reason": "1006"})
LINES: list[Line] = [HEADER, trade(1), SNAPSHOT, trade(2), RECONNECT, trade(3)]


def text_of(lines: list[Line]) -> bytes:
    """Lines as a cassette has them."""
    return b"".join(map(format_line, lines))


def write(path: Path, raw: bytes) -> Path:
    """Write a file, and return its path."""
    path.write_bytes(raw)
    return path


class Reading(NamedTuple):
    """All lines of a cassette, and the warnings that reading it gave."""

    lines: list[Line]
    problems: list[BinanceReplayWarning]


def read(path: Path, *, block_bytes: int = BLOCK_BYTES) -> Reading:
    """Read a whole cassette."""
    problems: list[BinanceReplayWarning] = []
    with CassetteReader(path, warn=problems.append, block_bytes=block_bytes) as reader:
        return Reading(list(reader.lines()), problems)
