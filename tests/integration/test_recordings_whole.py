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
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.library import CassetteSource
from pytest_binance_replay.streams import Market
from tests.conftest import SHARED_DATA
from tests.integration.bots import dial, join, read, request, take
from tests.integration.conftest import OpenReplay, OpenRig

SAMPLE_FRAMES = 1_000
LARGE_BYTES = 50_000
Recorded = list[tuple[int, str, bytes]]

SESSIONS = sorted(SHARED_DATA.glob("*/session*.jsonl*"))


def name_of(path: Path) -> str:
    return path.parent.name + path.name.removeprefix("session")


def beginning_and_whole(path: Path) -> list[Any]:
    """A large recording goes from end to end where there is time for it."""
    if path.stat().st_size < LARGE_BYTES:
        return [pytest.param(path, None, id=name_of(path))]
    whole = f"{name_of(path)}-whole"
    return [
        pytest.param(path, SAMPLE_FRAMES, id=f"{name_of(path)}-beginning"),
        pytest.param(path, None, id=whole, marks=pytest.mark.slow),
    ]


each_session = pytest.mark.parametrize(
    ("path", "count"),
    [case for path in SESSIONS for case in beginning_and_whole(path)]
    or [pytest.param(None, None, marks=pytest.mark.skip("no ../shared/data"))],
)


@cache
def recorded(path: Path, count: int | None) -> Recorded:
    """What a file holds, cut out of its lines without our own reader."""
    found = []
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in islice(lines, count):
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
    open_replay: OpenReplay, path: Path, count: int | None
) -> None:
    frames = recorded(path, count)
    replay = open_replay(path, speed="asap", market=market_of(path), routes="any")
    async with join(f"{replay.ws_url}/ws/{'/'.join(streams_of(frames))}") as bot:
        await replay.wait_for_subscription()
        playing = replay.step(len(frames)) if count else replay.play()
        assert await read(bot, len(frames)) == [payload for _, _, payload in frames]
        assert (await playing).frames == len(frames)
    assert replay.problems() == []


@pytest.mark.asyncio
@each_session
async def test_combined_frames_are_wrapped_and_nothing_else(
    open_replay: OpenReplay, path: Path, count: int | None
) -> None:
    frames = recorded(path, count)
    replay = open_replay(path, speed="asap", market=market_of(path), routes="any")
    names = "/".join(streams_of(frames))
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
    open_replay: OpenReplay, path: Path, count: int | None
) -> None:
    frames = recorded(path, count)
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
    open_replay: OpenReplay, path: Path, count: int | None
) -> None:
    frames = recorded(path, count)
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


@pytest.mark.slow
@each_session
def test_at_speed_1_frames_arrive_exactly_when_they_are_due(
    open_rig: OpenRig, path: Path, count: int | None
) -> None:
    frames = recorded(path, count)
    market: Market = "spot" if "-spot-" in str(path) else "usdm"
    source = CassetteSource(path, path.name, market=market, warn=lambda _: None)
    rig = open_rig(source, speed=1)
    rig.library.catalogue.routes = {"usdm": "any"}
    with dial(f"{rig.url}/ws/{'/'.join(streams_of(frames))}") as bot:
        rig.wait_until(rig.hub.listeners)
        playing = rig.play()
        times_us = list(accumulate((t for t, _, _ in frames), max))
        moments = sorted(set(times_us))
        now_us, number = times_us[0], 0
        sampled = moments[12 :: len(moments) // (12 if count else 50) + 1]
        for moment_us in (*moments[:12], *sampled, moments[-1]):
            # Just before it is due, and when it is.
            for time_us in sorted({now_us, moment_us - 1, moment_us} - {now_us - 1}):
                due = bisect_right(times_us, time_us)
                rig.pass_time(time_us - now_us, due)
                assert take(bot) == [payload for _, _, payload in frames[number:due]]
                now_us, number = time_us, due
        playing.cancel()


@pytest.mark.parametrize("neighbour", ["awake", "asleep"])
@pytest.mark.slow
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
