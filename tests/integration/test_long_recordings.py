"""Recordings of hours, and recordings that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.errors import CutShortWarning, UnfinishedRecordingWarning
from pytest_binance_replay.files import CassetteReader, read_frames, summarise
from pytest_binance_replay.hosts import Upstream
from tests.integration.conftest import OpenReplay
from tests.integration.hostile import Answer, Hostile, Seat, ok
from tests.integration.recording import (
    DEPTH,
    TRADES,
    answers,
    make_recorder,
    marks,
    payloads,
    trade,
)

REPOSITORY = Path(__file__).parents[2]
ROOM_KILOBYTES = 8 * 1024


async def run(program: str, *arguments: str) -> str:
    """Run a program of these tests, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.integration.{program}", *arguments),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def parts_in(folder: Path) -> list[Path]:
    """What killed recordings left, but for those killed before their first line."""
    parts = sorted(folder.glob(".binance-replay-*.part"))
    return [part for part in parts if part.stat().st_size]


def recorded(path: Path) -> list[bytes]:
    """The payloads of a file that may be cut short, but is otherwise whole."""
    warnings: list[Warning] = []
    lines = CassetteReader(path, warn=warnings.append).lines()
    found = [line.payload for line in lines if isinstance(line, Frame)]
    kinds = CutShortWarning | UnfinishedRecordingWarning
    assert all(isinstance(warning, kinds) for warning in warnings)
    return found


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows cannot fork")
@pytest.mark.asyncio
async def test_a_killed_recording_harms_nothing_and_loads(tmp_path: Path) -> None:
    """At fifty random moments: the old file is whole, the new one a beginning."""

    async def slowly(seat: Seat) -> None:
        await seat.acknowledge()
        for number in range(401):
            await seat.send(TRADES, trade(number))
            await (await seat.connection.ping())

    path = tmp_path / "dip.jsonl"
    path.write_bytes(b'{"cassette":1,"market":"spot"}\n')
    async with Hostile(slowly) as hostile:
        await run("record_and_die", *hostile.upstream, str(path), "50", "7")
    assert recorded(path) in ([], [trade(number) for number in range(401)])
    parts = parts_in(tmp_path)
    assert len(parts) > 10
    sizes = set()
    for part in parts:
        found = recorded(part)
        assert found == [trade(number) for number in range(len(found))]
        sizes.add(len(found))
    assert len(sizes) > 5


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name",
    [
        "cryptofeed-spot-20210404",
        "polysim-spot-20260718",
        "polysim-usdm-20260718",
        "hftbacktest-usdm-20240808",
    ],
)
async def test_real_sessions_come_back_byte_for_byte(
    open_replay: OpenReplay, shared_sessions: list[Path], tmp_path: Path, name: str
) -> None:
    (session,) = (path for path in shared_sessions if path.parent.name == name)
    summary = summarise(session)
    assert summary.market is not None
    replay = open_replay(session, speed="asap", routes="live")
    path = tmp_path / "again.jsonl"
    await make_recorder(
        path,
        Upstream(replay.ws_url, replay.rest_url),
        *summary.streams,
        market=summary.market,
        min_messages=dict(summary.streams),
    ).run()
    assert by_stream(path) == by_stream(session)


def by_stream(path: Path) -> dict[str, list[bytes]]:
    """The payloads of each stream, for two connections have no common order."""
    found = defaultdict(list)
    for frame in read_frames(path):
        found[frame.stream].append(frame.payload)
    return found


class Exchange:
    """Sends trades and diffs to whoever is connected, four hours of them in a moment.

    Trade number n and the diff of update n belong together.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self.number = 0
        self.lost: range = range(0)
        self.seats: list[Seat] = []
        self._seated = asyncio.Event()

    async def sit(self, seat: Seat) -> None:
        await seat.acknowledge()
        self.seats.append(seat)
        self._seated.set()
        await seat.hold()
        if seat in self.seats:
            self.seats.remove(seat)

    def snapshot(self) -> Answer:
        return ok(f'{{"lastUpdateId":{self.number},"bids":[],"asks":[]}}')

    async def _wait_for_seats(self, count: int) -> None:
        while len(self.seats) < count:
            self._seated.clear()
            await self._seated.wait()

    async def trade(self) -> None:
        """Go through the session, with all that happens in it."""
        await self._wait_for_seats(1)
        drops = {self.last * n // 5 for n in (1, 2, 3)}
        while self.number < self.last:
            self.number += 1
            if self.number in drops:
                await self._drop()
            if self.number == self.last * 4 // 5:
                await self._shut_down()
            await self._send()

    async def _send(self) -> None:
        diff = (
            f'{{"e":"depthUpdate","U":{self.number},"u":{self.number},"b":[],"a":[]}}'
        )
        for seat in list(self.seats):
            with suppress(ConnectionClosed):  # It has handed over to the next one.
                await seat.send(DEPTH, diff)
                await seat.send(TRADES, trade(self.number))
                if self.number % 50 == 0:
                    await (await seat.connection.ping())

    async def _drop(self) -> None:
        """Cut everybody off; the second time the market goes on meanwhile."""
        for seat in self.seats:
            await (await seat.connection.ping())
            seat.drop()
        self.seats.clear()
        await self._wait_for_seats(1)
        if self.number == self.last * 2 // 5:
            self.lost = range(self.number, self.number + 25)
            self.number += 25

    async def _shut_down(self) -> None:
        """Announce that the connection will end, and wait for the next one."""
        await self.seats[0].send("!serverShutdown", '{"e":"serverShutdown","E":1}')
        await self._wait_for_seats(2)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_four_hours_survive_what_happens_in_them(tmp_path: Path) -> None:
    """Three disconnects, a gap and a cut at 24 h: nothing lost that was sent."""
    exchange = Exchange(last=4 * 60 * 60)
    rest = {"/api/v3/depth": exchange.snapshot}
    path = tmp_path / "four-hours.jsonl"
    async with Hostile(exchange.sit, rest=rest) as hostile:
        trading = asyncio.create_task(exchange.trade())
        arguments = (*hostile.upstream, str(path), str(exchange.last))
        out = await run("record_long", *arguments)
        await trading
    (early, late), counts, _ = json.loads(out)
    sent = [n for n in range(1, exchange.last + 1) if n not in exchange.lost]
    assert payloads(path) == [trade(number) for number in sent]
    gap = {
        "stream": DEPTH,
        "after": exchange.lost.start - 1,
        "upto": exchange.lost.stop,
    }
    assert [fields for name, fields in marks(path) if name == "gap"] == [gap]
    assert counts == {
        "disconnected": 3,
        "reconnected": 4,
        "server_shutdown": 1,
        "gap": 1,
    }
    assert len(answers(path)) == 2
    assert late - early < ROOM_KILOBYTES
