"""What a client gets depends on the tape and on what it asked, on nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.options import Speed
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.bots import ask, dial, take
from tests.integration.conftest import OpenReplay
from tests.staging import START_US, trade

STREAMS = ("btcusdt@trade", "ethusdt@trade", "bnbusdt@trade")
FRAMES = [Frame(START_US + n * 700, STREAMS[n * 7 % 3], trade(n)) for n in range(60)]


@contextmanager
def load(run: int) -> Iterator[None]:
    """Keep the processor busy, and now and then the interpreter, too."""
    over = threading.Event()
    block = bytes(1_000_000)

    def burn() -> None:
        while not over.is_set():
            hashlib.sha256(block)  # Lets other threads run.

    def hog() -> None:
        while not over.is_set():
            sum(range(1000))

    work = [burn] * (run % 3) + [hog] * (run % 20 == 7)
    burning = [threading.Thread(target=target, daemon=True) for target in work]
    for thread in burning:
        thread.start()
    yield
    over.set()
    for thread in burning:
        thread.join()


def is_20th(frame: Frame) -> bool:
    return frame.payload == trade(20)


def run_scenario(replay: BinanceReplay) -> list[bytes]:
    """Everything that a bot is sent, in order."""
    with dial(f"{replay.ws_url}/ws") as bot:
        said = [
            ask(bot, "SUBSCRIBE", STREAMS[:2], 1),
            ask(bot, "SUBSCRIBE", STREAMS[2:], 2),
        ]
        replay.play(until=is_20th).wait()
        said += take(bot)
        said.append(ask(bot, "UNSUBSCRIBE", STREAMS[1:2], 3))
        replay.step(5).wait()
        said += take(bot)
        said.append(ask(bot, "SET_PROPERTY", ["combined", True], 4))
        replay.push(STREAMS[0], "{}").wait()
        said += take(bot)
        said.append(ask(bot, "LIST_SUBSCRIPTIONS", None, 5))
        replay.advance("10ms").wait()
        said += take(bot)
        replay.play().wait()
        return said + take(bot)


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_every_run_gives_the_same_transcript(
    open_replay: OpenReplay, runs: int
) -> None:
    speeds: list[Speed] = ["asap", "auto", 50]
    transcripts = set()
    for n in range(runs):
        start = "auto" if n % 10 == 0 else "manual"
        with (
            load(n),
            open_replay(FRAMES, speed=speeds[n % 3], start=start) as replay,
        ):
            transcripts.add(tuple(run_scenario(replay)))
    (transcript,) = transcripts
    kept = [f for n, f in enumerate(FRAMES) if n <= 20 or f.stream != STREAMS[1]]
    assert len(transcript) == len(kept) + 1 + 5
