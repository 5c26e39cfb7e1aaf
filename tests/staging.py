"""Tapes, hubs and players of a few made-up frames, for tests of what moves them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_binance_replay.cassette import Batch, Frame
from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.client import Client
from pytest_binance_replay.clock import ManualClock
from pytest_binance_replay.hub import Hub
from pytest_binance_replay.player import Lag, Player, Speed
from pytest_binance_replay.protocols.address import Address, parse_address
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.tape import Tape

START_US = 1_795_168_800_000_000
TRADES = "btcusdt@trade"
SECOND_US = 1_000_000


def trade(number: int) -> bytes:
    """A trade that names its number."""
    return b'{"e":"trade","s":"BTCUSDT","t":%d,"p":"1.10"}' % number


def frames_at(seconds: Iterable[float], stream: str = TRADES) -> list[Frame]:
    """Frames of one stream at moments after the start, numbered from 0."""
    return [
        Frame(START_US + round(second * SECOND_US), stream, trade(n))
        for n, second in enumerate(seconds)
    ]


def lay_tape(
    frames: Iterable[Frame], *, block_frames: int = 1000, fail: Exception | None = None
) -> Tape:
    """A tape of frames, in blocks of some; `fail` is raised in place of its end."""
    held = list(frames)

    def batches() -> Iterator[Batch]:
        for first in range(0, len(held), block_frames):
            part = held[first : first + block_frames]
            yield Batch(
                [frame.receive_time_us for frame in part],
                [frame.stream.encode() for frame in part],
                [frame.payload for frame in part],
                [],
            )
        if fail is not None:
            raise fail

    return Tape(batches, SpillFile())


def open_hub(tape: Tape, *streams: str) -> Hub:
    """A hub for a spot tape that holds some streams."""
    return Hub(tape, Catalogue({"spot": set(streams or (TRADES,))}))


def connect(hub: Hub, path: str = f"/ws/{TRADES}") -> Client:
    """A client of a hub that asked for a path."""
    address = parse_address(path)
    assert isinstance(address, Address)
    return hub.accept(address, path)


def make_player(tape: Tape, *, speed: Speed = "asap", lag: Lag = "lag") -> Player:
    """A player under a manual clock, with nobody listening yet."""
    return Player(tape, open_hub(tape), ManualClock(), speed=speed, lag=lag)
