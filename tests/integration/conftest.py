"""What tests over sockets share: a thread for the server, and silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.library import CassetteSource, SessionSource
from pytest_binance_replay.options import make_options
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.rig import Rig

OpenReplay = Callable[..., BinanceReplay]
OpenRig = Callable[..., Rig]


@pytest.fixture(scope="session")
def thread() -> Iterator[LoopThread]:
    """The thread that every server of these tests runs on, as in a pytest session."""
    thread = LoopThread()
    yield thread
    thread.stop()


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, nothing is logged that would alarm the user."""
    yield
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    loud = [r.getMessage() for r in records if r.levelno >= logging.WARNING]
    assert not loud


@pytest.fixture
def open_replay(thread: LoopThread) -> Iterator[OpenReplay]:
    """Open replays of frames in memory or of files; all are closed in the end."""
    replays: list[BinanceReplay] = []

    def open_one(*sources: Path | list[Frame], **settings: Any) -> BinanceReplay:
        market = settings.get("market")
        made = [
            CassetteSource(source, source.name, market=market, warn=lambda _: None)
            if isinstance(source, Path)
            else SessionSource(source, market=market)
            for source in sources
        ]
        replays.append(BinanceReplay(thread, made, make_options(settings)))
        return replays[-1]

    yield open_one
    for replay in replays:
        replay.close()


@pytest.fixture
def open_rig(thread: LoopThread) -> Iterator[OpenRig]:
    """Open servers whose clock, pings and patience the test sets."""
    rigs: list[Rig] = []

    def open_one(*args: Any, **settings: Any) -> Rig:
        rigs.append(Rig(thread, *args, **settings))
        return rigs[-1]

    yield open_one
    for rig in rigs:
        rig.close()


@pytest.fixture
def demo() -> Path:
    """The bundled cassette of spot streams."""
    return Path(__file__).parents[2] / "recordings" / "spot.jsonl"
