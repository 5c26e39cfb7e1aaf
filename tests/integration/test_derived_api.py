"""What a test sees of derived streams in the object that it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.events import MiniTicker
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.bots import dial, take
from tests.integration.conftest import OpenReplay

SLOW, MINI = "btcusdt@depth", "btcusdt@miniTicker"


@pytest.fixture
def replay(open_replay: OpenReplay, demo: Path) -> BinanceReplay:
    return open_replay(demo, speed="asap", start="manual")


def test_a_tape_comes_to_a_derived_frame_that_nobody_asked_for(
    replay: BinanceReplay,
) -> None:
    first, second, *_ = (frame.receive_time_us for frame in replay.frames(SLOW))
    replay.step(stream=SLOW).wait()
    assert (replay.position.time_us or 0) >= first
    replay.play(until=SLOW).wait()
    assert (replay.position.time_us or 0) >= second


def test_events_of_a_derived_stream_are_typed(replay: BinanceReplay) -> None:
    assert all(isinstance(event, MiniTicker) for event in replay.events(MINI))
    assert sum(1 for _ in replay.events(MINI)) > 10


def test_the_report_says_what_was_derived(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/ws/{SLOW}"):
        replay.wait_for_subscription(SLOW).wait()
    assert "derived:" in replay.describe()
    assert f"derived: {SLOW} from btcusdt@depth@100ms" in replay.describe()


def test_a_tape_of_two_markets_finds_the_one_that_can_derive(
    open_replay: OpenReplay, demo: Path
) -> None:
    ticker = b'{"e":"24hrTicker","E":1,"s":"ADAUSDT","c":"1","o":"1","h":"1","l":"1",'
    payload = ticker + b'"v":"1","q":"1","X":"","st":1}'
    frames = [Frame(1_795_168_801_000_000, "adausdt@ticker", payload)]
    replay = open_replay(demo, frames, speed="asap", start="manual", routes="any")
    with dial(f"{replay.ws_url}/usdm/ws/adausdt@miniTicker") as bot:
        replay.play(until="adausdt@miniTicker").wait()
        assert len(take(bot)) == 1
