"""Depth snapshots of a recording: asked for in time, joined, and taken again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pytest_binance_replay.cassette import Frame, RestAnswer
from pytest_binance_replay.streams import Market
from tests.integration.hostile import SHORT, Answer, Hostile, Script, Seat, ok, refusal
from tests.integration.recording import DEPTH, answers, make_recorder, marks, read

SPOT, USDM = "/api/v3/depth", "/fapi/v1/depth"
REQUEST = f"{SPOT}?symbol=BTCUSDT&limit=1000"


def diff(first: int, final: int, previous: int | None = None) -> str:
    pu = "" if previous is None else f'"pu":{previous},'
    return f'{{"e":"depthUpdate","U":{first},"u":{final},{pu}"b":[],"a":[]}}'


def snapshot(update_id: int) -> Answer:
    return ok(f'{{"lastUpdateId":{update_id},"bids":[],"asks":[]}}')


def sends(*payloads: str) -> Script:
    async def script(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(DEPTH, *payloads)
        await seat.hold()

    return script


async def follow(
    path: Path, script: Script, *snapshots: Answer, count: int, market: Market = "spot"
) -> tuple[Hostile, tuple[str, ...]]:
    rest = {SPOT if market == "spot" else USDM: list(snapshots)}
    async with Hostile(script, rest=rest) as hostile:
        recorder = make_recorder(
            path, hostile.upstream, DEPTH, market=market, min_messages=count
        )
        recording = await recorder.run()
    return hostile, recording.problems


@pytest.mark.asyncio
async def test_it_is_taken_once_the_stream_has_begun(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    hostile, _ = await follow(path, sends(diff(5, 7), diff(8, 9)), snapshot(7), count=2)
    kinds = [line for line in read(path) if isinstance(line, Frame | RestAnswer)]
    assert isinstance(kinds[0], Frame)
    assert answers(path) == [(REQUEST, snapshot(7)[2])]
    assert hostile.requests.count(REQUEST) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("market", "events", "ids"),
    [
        ("spot", [diff(5, 7), diff(8, 9)], [3, 4]),
        ("usdm", [diff(5, 7, 3), diff(20, 29, 7)], [4, 5]),
    ],
)
async def test_one_that_is_too_old_is_asked_for_again(
    tmp_path: Path, market: Market, events: list[str], ids: list[int]
) -> None:
    path = tmp_path / "dip.jsonl"
    wanted = [snapshot(number) for number in ids]
    await follow(path, sends(*events), *wanted, count=2, market=market)
    assert [body for request, body in answers(path)] == [wanted[1][2]]


@pytest.mark.asyncio
async def test_it_is_taken_again_after_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    taken = asyncio.Event()

    async def script(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(DEPTH, diff(5, 7))
        while REQUEST not in hostile.requests:
            await (await seat.connection.ping())
        await seat.send(DEPTH, diff(8, 8), diff(20, 21))
        await taken.wait()
        await seat.hold()

    rest = {SPOT: [snapshot(7), snapshot(20)]}
    hostile = Hostile(script, rest=rest)
    async with hostile:
        recorder = make_recorder(
            path, hostile.upstream, DEPTH, until=lambda f: b'"U":20' in f.payload
        )
        recording = await recorder.run()
        taken.set()
    assert ("gap", {"stream": DEPTH, "after": 8, "upto": 20}) in marks(path)
    assert answers(path)[-1] == (REQUEST, snapshot(20)[2])
    assert recording.problems == (
        "/api/v3/exchangeInfo?symbol=BTCUSDT is answered with HTTP 404: "
        '{"code":-1,"msg":"no"}',
    )


@pytest.mark.asyncio
async def test_a_recording_waits_for_the_event_that_joins(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"

    async def script(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(DEPTH, diff(5, 7))
        while REQUEST not in hostile.requests:
            await (await seat.connection.ping())
        await seat.send(DEPTH, diff(8, 9), diff(10, 12))
        await seat.hold()

    hostile = Hostile(script, rest={SPOT: [snapshot(11)]})
    async with hostile:
        recorder = make_recorder(path, hostile.upstream, DEPTH, min_messages=1)
        recording = await recorder.run()
    assert recording.frames == 3
    assert not any("No depth snapshot" in problem for problem in recording.problems)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [refusal(400, b'{"code":-1121,"msg":"Invalid symbol."}'), ok('{"no":"snapshot"}')],
)
async def test_without_one_the_recording_says_so(
    tmp_path: Path, answer: Answer
) -> None:
    path = tmp_path / "dip.jsonl"
    _, problems = await follow(path, sends(diff(5, 7)), answer, count=1)
    assert problems[-1] == (
        "No depth snapshot joins btcusdt@depth@100ms: no local order book of BTCUSDT "
        "can be built from the end of this cassette. Record longer."
    )
    assert answers(path) == []


@pytest.mark.asyncio
async def test_answers_that_do_not_come_end_with_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    patience = SHORT._replace(settle=0.5)
    async with Hostile(sends(diff(5, 7)), rest={SPOT: [refusal(503)]}) as hostile:
        recorder = make_recorder(
            path, hostile.upstream, DEPTH, min_messages=1, patience=patience
        )
        recording = await recorder.run()
    assert f"{REQUEST} has no answer: HTTP 503." in recording.problems
