"""Real recordings arrive as they were received: every frame, in order, once."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

from pytest_binance_replay.library import CassetteSource
from pytest_binance_replay.streams import Market
from tests.conftest import SHARED_DATA
from tests.integration.bots import dial, join, read, request, take
from tests.integration.conftest import OpenReplay, OpenRig

SAMPLE_FRAMES = 10_000
Recorded = list[tuple[int, str, bytes]]

SESSIONS = sorted(SHARED_DATA.glob("*/session*.jsonl*"))
each_session = pytest.mark.parametrize(
    "path",
    SESSIONS or [pytest.param(None, marks=pytest.mark.skip("no ../shared/data"))],
    ids=[path.parent.name + path.name.removeprefix("session") for path in SESSIONS],
)


@cache
def recorded(path: Path) -> Recorded:
    """What a file holds, cut out of its lines without our own reader."""
    found = []
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            head, _, data = line.rstrip(b"\r\n").partition(b', "data": ')
            if not data:
                head, _, data = line.rstrip(b"\r\n").partition(b',"data":')
            row = json.loads(head + b"}")
            found.append((row["t"], row["stream"], data[:-1]))
    return found


def market_of(path: Path) -> str | None:
    """The market where payloads alone do not tell: depth frames are the same."""
    return "spot" if "microsecond" in path.name else None


def streams_of(frames: Recorded) -> list[str]:
    return list(dict.fromkeys(stream for _, stream, _ in frames))


def wrapped(stream: str, payload: bytes) -> bytes:
    return b'{"stream":"%s","data":%s}' % (stream.encode(), payload)


@pytest.mark.asyncio
@each_session
async def test_raw_frames_are_what_was_received(
    open_replay: OpenReplay, path: Path
) -> None:
    frames = recorded(path)
    replay = open_replay(path, speed="asap", market=market_of(path), routes="any")
    async with join(f"{replay.ws_url}/ws/{'/'.join(streams_of(frames))}") as bot:
        playing = replay.play()
        assert await read(bot, len(frames)) == [payload for _, _, payload in frames]
        assert (await playing).frames == len(frames)
    assert replay.problems() == []


@pytest.mark.asyncio
@each_session
async def test_combined_frames_are_wrapped_and_nothing_else(
    open_replay: OpenReplay, path: Path
) -> None:
    frames = recorded(path)[:SAMPLE_FRAMES]
    replay = open_replay(path, speed="asap", market=market_of(path), routes="any")
    names = "/".join(streams_of(recorded(path)))
    async with join(f"{replay.ws_url}/stream?streams={names}") as bot:
        await replay.wait_for_subscription()
        stepping = replay.step(len(frames))
        expected = [wrapped(stream, payload) for _, stream, payload in frames]
        assert await read(bot, len(frames)) == expected
        await stepping
    assert replay.sent == replay.clients[0].sent
    assert sum(replay.sent.values()) == len(frames)


@pytest.mark.asyncio
@each_session
async def test_what_is_subscribed_to_arrives(
    open_replay: OpenReplay, path: Path
) -> None:
    frames = recorded(path)[:SAMPLE_FRAMES]
    replay = open_replay(
        path, speed="asap", market=market_of(path), routes="any", start="manual"
    )
    async with join(f"{replay.ws_url}/ws") as bot:
        await bot.send(request("SUBSCRIBE", streams_of(frames)))
        assert await read(bot, 1) == [b'{"result":null,"id":1}']
        playing = replay.step(len(frames))
        assert await read(bot, len(frames)) == [payload for _, _, payload in frames]
        await playing


@pytest.mark.asyncio
@each_session
async def test_two_clients_share_a_tape_and_get_their_own(
    open_replay: OpenReplay, path: Path
) -> None:
    frames = recorded(path)[:SAMPLE_FRAMES]
    names = streams_of(frames)
    parts = [names[::2], names[1::2] or names]
    wanted = [[p for _, stream, p in frames if stream in part] for part in parts]
    replay = open_replay(path, speed="asap", market=market_of(path), routes="any")
    urls = [f"{replay.ws_url}/ws/{'/'.join(part)}" for part in parts]
    async with join(urls[0]) as first, join(urls[1]) as second:
        await replay.wait_for_subscription(*names)
        stepping = replay.step(len(frames))
        got = await asyncio.gather(
            read(first, len(wanted[0])), read(second, len(wanted[1]))
        )
        await stepping
    assert list(got) == wanted


@each_session
def test_at_speed_1_frames_arrive_exactly_when_they_are_due(
    open_rig: OpenRig, path: Path
) -> None:
    frames = recorded(path)
    market: Market = "spot" if "-spot-" in str(path) else "usdm"
    source = CassetteSource(path, path.name, market=market, warn=lambda _: None)
    rig = open_rig(source, speed=1)
    rig.library.catalogue.routes = {"usdm": "any"}
    with dial(f"{rig.url}/ws/{'/'.join(streams_of(frames))}") as bot:
        rig.wait_until(rig.hub.listeners)
        playing = rig.play()
        times_us = list(accumulate((t for t, _, _ in frames), max))
        now_us, number = times_us[0], 0
        for moment_us in sorted(set(times_us))[:12]:
            due = bisect_right(times_us, moment_us)
            if moment_us > now_us:
                rig.pass_time(moment_us - 1 - now_us, number)
                assert take(bot) == []
                rig.pass_time(1, due)
            else:
                rig.pass_time(0, due)
            assert take(bot) == [payload for _, _, payload in frames[number:due]]
            now_us, number = moment_us, due
        playing.cancel()


@pytest.mark.parametrize("neighbour", ["awake", "asleep"])
def test_memory_does_not_grow_with_the_tape(shared_data: Path, neighbour: str) -> None:
    largest = shared_data / "hftbacktest-spot-20240808" / "session.jsonl.gz"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.play_largest", largest, neighbour],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    early_kib, late_kib, sent_kib = map(int, done.stdout.split())
    assert sent_kib > 25_000
    assert late_kib - early_kib < 8_000
