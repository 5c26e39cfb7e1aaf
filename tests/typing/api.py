"""The public API as users write it: type-checked, and never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import pytest

from pytest_binance_replay import (
    BinanceReplay,
    BinanceReplayWarning,
    CassetteFormatError,
    CassetteNotFoundError,
    ClientRecord,
    ClientRequest,
    ClientVanishedError,
    CutShortWarning,
    EventError,
    Frame,
    Handle,
    Missing,
    MissingDataError,
    OptionError,
    OutOfOrderWarning,
    Position,
    ReplayError,
    ReplayFactory,
    RestRequest,
    TapeEndedError,
    WaitTimeoutError,
    parse_event,
)

pytestmark = pytest.mark.binance_replay("dip", speed=10, check={"missing": "warn"})


class Bot:
    position = Decimal(0)
    crossed: bool = False


def test_plain(binance_replay: BinanceReplay) -> None:
    bot = Bot()
    assert_type(binance_replay.play().wait(), Position)
    assert_type(binance_replay.play(until="12.5s").wait(timeout=2), Position)
    assert_type(binance_replay.play(until=12.5).wait(2), Position)
    binance_replay.play(until=datetime(2026, 11, 20, 10, tzinfo=UTC)).wait()
    binance_replay.play(until="btcusdt@trade").wait()
    binance_replay.play(until=lambda frame: frame.stream == "btcusdt@trade").wait()
    binance_replay.play(until=lambda: bot.crossed).wait()
    assert_type(binance_replay.pause(), Handle[Position])
    assert_type(binance_replay.step(), Handle[Position])
    assert_type(binance_replay.step(3, stream="btcusdt@trade"), Handle[Position])
    assert_type(binance_replay.advance(0.5), Handle[Position])
    assert_type(binance_replay.advance("250ms"), Handle[Position])
    start = datetime(2026, 11, 20, 10, tzinfo=UTC)
    for place in (90, "90s", "-5s", start, binance_replay.position):
        assert_type(binance_replay.seek(place), Handle[Position])
    binance_replay.speed = "asap"
    binance_replay.speed = 2.5


async def test_async(binance_replay: BinanceReplay) -> None:
    bot = Bot()
    assert_type(await binance_replay.play(), Position)
    assert_type(await binance_replay.step(2), Position)
    await binance_replay.wait_for_subscription("btcusdt@trade", timeout=2)
    await binance_replay.wait_for_request("/api/v3/depth")
    await binance_replay.wait_for_reconnect(timeout=1)
    await binance_replay.until(lambda: bot.position == Decimal("0.5"), timeout=3)


def test_where_to_connect(binance_replay: BinanceReplay) -> None:
    assert_type(binance_replay.url, str)
    assert_type(binance_replay.ws_url, str)
    assert_type(binance_replay.rest_url, str)
    assert_type(binance_replay.port, int)
    assert_type(binance_replay.env, dict[str, str])


def test_the_tape(binance_replay: BinanceReplay) -> None:
    assert_type(binance_replay.position, Position)
    assert_type(binance_replay.position.frames, int)
    assert_type(binance_replay.done, bool)
    assert_type(binance_replay.cassette, str)
    assert_type(binance_replay.frames("btcusdt@trade"), Iterator[Frame])
    for frame in binance_replay.frames():
        assert_type(frame.receive_time_us, int)
        assert_type(frame.stream, str)
        assert_type(frame.payload, bytes)
        parse_event(frame.payload, stream=frame.stream, market="spot")
    for event in binance_replay.events("btcusdt@trade"):
        repr(event)
    binance_replay.push("btcusdt@trade", '{"e":"trade"}').wait()
    binance_replay.load([("btcusdt@trade", b"{}"), Frame(1, "btcusdt@trade", b"{}")])


def test_what_the_bot_did(binance_replay: BinanceReplay) -> None:
    assert_type(binance_replay.clients, tuple[ClientRecord, ...])
    assert_type(binance_replay.subscriptions, tuple[str, ...])
    assert_type(binance_replay.requests, tuple[ClientRequest | RestRequest, ...])
    assert_type(binance_replay.sent, Mapping[str, int])
    assert_type(binance_replay.missing, tuple[Missing, ...])
    for client in binance_replay.clients:
        assert_type(client.close_code, int | None)
        assert_type(client.pongs, int)


@pytest.fixture(scope="session")
def exchange(binance_replay_factory: ReplayFactory) -> Iterator[BinanceReplay]:
    with binance_replay_factory("dip", Path("rise"), speed="asap") as replay:
        yield replay


def test_two_servers(binance_replay_factory: ReplayFactory) -> None:
    assert_type(binance_replay_factory(), BinanceReplay)
    assert_type(binance_replay_factory(None, at_end="loop"), BinanceReplay)
    assert_type(binance_replay_factory("demo:spot", port=9443), BinanceReplay)


def test_errors(binance_replay: BinanceReplay) -> None:
    with pytest.raises(WaitTimeoutError) as late:
        binance_replay.wait_for_subscription(timeout=0.1).wait()
    assert_type(late.value.seconds, float)
    with pytest.raises(TapeEndedError) as ended:
        binance_replay.step(10**6).wait()
    assert_type(ended.value.frames, int)
    with pytest.raises(TimeoutError):
        binance_replay.until(lambda: False).wait(0.1)
    caught: tuple[type[ReplayError], ...] = (
        CassetteFormatError,
        CassetteNotFoundError,
        ClientVanishedError,
        EventError,
        MissingDataError,
        OptionError,
    )
    warned: tuple[type[BinanceReplayWarning], ...] = (
        CutShortWarning,
        OutOfOrderWarning,
    )
    assert caught
    assert warned
