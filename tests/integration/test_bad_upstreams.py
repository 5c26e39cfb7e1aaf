"""Upstreams that close, stall, refuse and garble: what a recording makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from pytest_binance_replay.cassette import Frame, Mark
from pytest_binance_replay.errors import CaptureError, UpstreamError
from pytest_binance_replay.hosts import Upstream
from pytest_binance_replay.recording.capture import plan_capture
from pytest_binance_replay.recording.recorder import Recorder
from pytest_binance_replay.recording.refusals import close_reason
from tests.integration.hostile import SHORT, Answer, Hostile, Script, Seat, refusal
from tests.integration.recording import (
    TRADES,
    frames,
    is_empty,
    make_recorder,
    marks,
    payloads,
    read,
    trade,
)


def sends(*numbers: int, then: str = "hold") -> Script:
    """A script that sends some trades, and goes in some way."""

    async def script(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(TRADES, *map(trade, numbers))
        if then == "hold":
            await seat.hold()
        elif then == "drop":
            await seat.connection.ping()
            seat.drop()
        else:
            code, _, reason = then.partition(" ")
            await seat.connection.close(int(code), reason)

    return script


async def record(hostile: Hostile, path: Path, count: int, **settings: Any) -> None:
    """Record until there are so many trades."""
    await make_recorder(path, hostile.upstream, min_messages=count, **settings).run()


# Connections that are lost


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("drop", "1006"),
        ("1000", "1000"),
        ("1001", "1001"),
        ("1008 Pong timeout", "1008 Pong timeout"),
        ("1012 restart", "1012 restart"),
    ],
)
async def test_a_lost_connection_comes_back_and_is_marked(
    tmp_path: Path, then: str, reason: str
) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(sends(1, 2, then=then), sends(3)) as hostile:
        await record(hostile, path, 3)
    assert payloads(path) == [trade(1), trade(2), trade(3)]
    expected = {"reason": reason, "connection": 1}
    assert marks(path) == [("disconnected", expected), ("reconnected", expected)]


@pytest.mark.asyncio
async def test_messages_of_a_new_connection_follow_the_mark_of_it(
    tmp_path: Path,
) -> None:
    """Even where they come before its streams are acknowledged, or never are."""

    def early(number: int, then: Callable[[Seat], Awaitable[None]]) -> Script:
        async def script(seat: Seat) -> None:
            await seat.hear()
            await seat.send(TRADES, trade(number))
            await then(seat)

        return script

    async def break_off(seat: Seat) -> None:
        await seat.connection.ping()
        seat.drop()

    path = tmp_path / "dip.jsonl"
    scripts = sends(1, then="drop"), early(2, break_off), early(3, Seat.hold)
    async with Hostile(*scripts) as hostile:
        await record(hostile, path, 3)
    lines = [line for line in read(path) if isinstance(line, Frame | Mark)]
    assert [x.name if isinstance(x, Mark) else x.payload for x in lines] == [
        trade(1),
        *("disconnected", "reconnected", trade(2)),
        *("disconnected", "reconnected", trade(3)),
    ]


@pytest.mark.asyncio
async def test_it_is_asked_for_all_streams_again(tmp_path: Path) -> None:
    path, names = tmp_path / "dip.jsonl", [TRADES, "ethusdt@trade"]
    async with Hostile(sends(1, then="1001"), sends(2)) as hostile:
        recorder = make_recorder(
            path, hostile.upstream, *names, min_messages={TRADES: 2}
        )
        await recorder.run()
    assert [seat.asked for seat in hostile.seats] == [names, names]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "refused",
    [
        refusal(503),
        refusal(500),
        refusal(429, Retry_After="0"),
        refusal(418, Retry_After="0"),
    ],
)
async def test_a_refusal_that_may_pass_is_waited_for(
    tmp_path: Path, refused: Answer
) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(sends(1), refuse=[refused, refused]) as hostile:
        await record(hostile, path, 1)
    assert payloads(path) == [trade(1)]


@pytest.mark.asyncio
async def test_an_upstream_without_an_answer_to_the_subscription_is_left(
    tmp_path: Path,
) -> None:
    async def deaf(seat: Seat) -> None:
        await seat.hear()
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    patience = SHORT._replace(open=0.05)
    async with Hostile(deaf, sends(1)) as hostile:
        await record(hostile, path, 1, patience=patience)
    assert len(hostile.seats) == 2


@pytest.mark.asyncio
async def test_an_upstream_that_stalls_is_left(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    patience = SHORT._replace(silence=0.1)
    async with Hostile(sends(1), sends(2)) as hostile:
        await record(hostile, path, 2, patience=patience)
    assert payloads(path)[:2] == [trade(1), trade(2)]
    assert marks(path)[0][1]["reason"] == "nothing came for 0.1 s"


@pytest.mark.asyncio
async def test_an_upstream_that_answers_no_ping_is_left(tmp_path: Path) -> None:
    async def paralysed(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(TRADES, trade(1))
        seat.connection.transport.pause_reading()
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    patience = SHORT._replace(ping=0.05)
    async with Hostile(paralysed, sends(2)) as hostile:
        await record(hostile, path, 2, patience=patience)
        hostile.seats[0].drop()
    assert payloads(path) == [trade(1), trade(2)]
    assert marks(path)[0][1]["reason"] == "1011 keepalive ping timeout"


@pytest.mark.asyncio
async def test_messages_before_the_answer_are_not_lost(tmp_path: Path) -> None:
    async def hasty(seat: Seat) -> None:
        number = await seat.hear()
        await seat.send(TRADES, trade(1))
        await seat.say(f'{{"result":null,"id":{number}}}')
        await seat.send(TRADES, trade(2))
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    async with Hostile(hasty) as hostile:
        await record(hostile, path, 2)
    assert payloads(path) == [trade(1), trade(2)]


@pytest.mark.parametrize(
    ("ours_first", "reason"), [(True, "1011 ping timeout"), (False, "1000")]
)
def test_the_side_that_closed_first_says_why(ours_first: bool, reason: str) -> None:
    theirs, ours = Close(1000, ""), Close(1011, "ping timeout")
    error = ConnectionClosedError(theirs, ours, rcvd_then_sent=not ours_first)
    assert close_reason(error) == reason


# Before a connection ends


@pytest.mark.asyncio
async def test_an_old_connection_is_replaced_without_losing_anything(
    tmp_path: Path,
) -> None:
    """The new one is a message behind the old one, and then goes on alone."""
    both, gone = asyncio.Event(), asyncio.Event()

    async def old(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(TRADES, trade(1))
        await both.wait()
        await seat.send(TRADES, trade(2), trade(3))
        await seat.hold()
        gone.set()

    async def new(seat: Seat) -> None:
        await seat.acknowledge()
        both.set()
        await seat.send(TRADES, trade(2), trade(3))
        await gone.wait()
        await seat.send(TRADES, trade(4))
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    patience = SHORT._replace(lifetime=0.05, overlap=5)
    async with Hostile(old, new, sends(5)) as hostile:
        await record(hostile, path, 4, patience=patience)
    assert payloads(path)[:4] == [trade(1), trade(2), trade(3), trade(4)]
    expected = {"reason": "24h", "connection": 1, "overlap": True}
    assert marks(path)[0] == ("reconnected", expected)


@pytest.mark.asyncio
async def test_a_shutdown_that_is_announced_is_forestalled(tmp_path: Path) -> None:
    gone = asyncio.Event()
    shutdown = '{"e":"serverShutdown","E":1790000000000}'

    async def leaving(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(TRADES, trade(1))
        await seat.send("!serverShutdown", shutdown)
        await seat.hold()
        gone.set()

    path = tmp_path / "dip.jsonl"
    patience = SHORT._replace(overlap=0.05)
    async with Hostile(leaving, sends(2)) as hostile:
        await record(hostile, path, 2, patience=patience)
        await gone.wait()
    assert payloads(path) == [trade(1), trade(2)]
    assert marks(path) == [
        ("server_shutdown", {"connection": 1, "text": shutdown}),
        (
            "reconnected",
            {"reason": "serverShutdown", "connection": 1, "overlap": True},
        ),
    ]


@pytest.mark.asyncio
async def test_a_connection_that_ends_during_the_change_is_given_up(
    tmp_path: Path,
) -> None:
    hurry = asyncio.Event()

    async def leaving(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(TRADES, trade(1))
        await seat.send("!serverShutdown", '{"e":"serverShutdown"}')
        await hurry.wait()
        await seat.connection.close(1001)

    async def slow(seat: Seat) -> None:
        number = await seat.hear()
        await seat.send(TRADES, trade(2))
        hurry.set()
        await seat.say(f'{{"result":null,"id":{number}}}')
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    async with Hostile(leaving, slow) as hostile:
        await record(hostile, path, 2)
    assert payloads(path) == [trade(1), trade(2)]


@pytest.mark.asyncio
@pytest.mark.parametrize("refused", [refusal(503), refusal(403)])
async def test_if_no_other_can_be_had_the_old_one_is_used_to_its_end(
    tmp_path: Path, refused: Answer
) -> None:
    async def leaving(seat: Seat) -> None:
        await seat.acknowledge()
        hostile.refuse_next(refused, refused)
        await seat.send("!serverShutdown", '{"e":"serverShutdown"}')
        await hostile.refused.wait()
        await seat.send(TRADES, trade(1))
        await seat.connection.close(1001)

    path = tmp_path / "dip.jsonl"
    hostile = Hostile(leaving, sends(2))
    async with hostile:
        await record(hostile, path, 2)
    assert payloads(path) == [trade(1), trade(2)]
    # By then another may or may not be there already.
    assert marks(path)[-1][0] == "reconnected"


# What cannot pass


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (
            refusal(451),
            "ORIGIN answers HTTP 451: it does not serve the place you connect from. "
            "Spot market data has hosts without that limit, "
            "wss://data-stream.binance.vision and https://data-api.binance.vision; or "
            "name another with --upstream.",
        ),
        (
            refusal(403),
            "ORIGIN answers HTTP 403: its firewall refuses this machine. Wait some "
            "minutes, or record from another address.",
        ),
        (
            refusal(404),
            "ORIGIN answers HTTP 404. Check the upstream's address, and --market.",
        ),
        (
            refusal(418, Retry_After="7200"),
            "ORIGIN answers HTTP 418, too many requests, and wants to be left alone "
            "for 7200 s. Record after that.",
        ),
        (
            refusal(429, Retry_After="soon"),
            "ORIGIN answers HTTP 429, too many requests, and wants to be left alone "
            "for 60 s. Record after that.",
        ),
    ],
)
async def test_a_refusal_for_good_is_explained(
    tmp_path: Path, refused: Answer, sentence: str
) -> None:
    path = tmp_path / "dip.jsonl"
    path.write_bytes(b"old")
    async with Hostile(sends(1), refuse=[refused] * 9) as hostile:
        with pytest.raises(UpstreamError) as caught:
            await record(hostile, path, 1)
    assert str(caught.value).replace(hostile.upstream.ws_url, "ORIGIN") == sentence
    assert path.read_bytes() == b"old"


@pytest.mark.asyncio
async def test_a_refused_subscription_is_explained(tmp_path: Path) -> None:
    async def refuse(seat: Seat) -> None:
        number = await seat.hear()
        error = {"code": 2, "msg": "Invalid request: invalid stream"}
        await seat.say(json.dumps({"error": error, "id": number}))
        await seat.hold()

    async with Hostile(refuse) as hostile:
        with pytest.raises(UpstreamError) as caught:
            await record(hostile, tmp_path / "dip.jsonl", 1)
    assert str(caught.value) == (
        f"{hostile.upstream.ws_url} refuses the subscription: Invalid request: invalid "
        "stream. Check the names of the streams, and --market."
    )


@pytest.mark.asyncio
async def test_an_upstream_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    upstream = Upstream("ws://127.0.0.1:1", "http://127.0.0.1:1")
    patience = SHORT._replace(first=0.05)
    recorder = make_recorder(tmp_path / "dip.jsonl", upstream, patience=patience)
    with pytest.raises(UpstreamError) as caught:
        await recorder.run()
    assert str(caught.value) == (
        "ws://127.0.0.1:1 could not be reached for 0.05 s: Connection refused. Check "
        "the network, and the address if you gave one."
    )
    assert is_empty(tmp_path)


@pytest.mark.asyncio
async def test_an_upstream_that_stays_away_leaves_what_came_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(sends(1, 2, then="1001"), sends(3, then="1001")) as hostile:
        hostile.refuse_after(1, refusal(503))
        patience = SHORT._replace(again=0.05)
        with pytest.raises(UpstreamError) as caught:
            await record(hostile, path, 9, patience=patience)
    kept = tmp_path / "dip.rejected.jsonl"
    assert str(caught.value).endswith(
        f"What was captured is in {kept}; rename it to use it."
    )
    assert frames(kept) == [(TRADES, trade(1)), (TRADES, trade(2))]
    assert marks(kept)[-1] == ("failed", {"reason": caught.value.problem})


@pytest.mark.asyncio
async def test_an_address_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    plan = plan_capture([TRADES], "spot")
    recorder = Recorder(tmp_path / "dip.jsonl", plan, Upstream("x://y", "http://y"))
    with pytest.raises(UpstreamError, match="'x://y/stream' is no address of a"):
        await recorder.run()


# What cannot be read


@pytest.mark.asyncio
async def test_what_cannot_be_read_is_kept_in_marks(tmp_path: Path) -> None:
    garbage: list[str | bytes] = ["hello", '{"stream":"a","data":}', b"\xff\x00", "[]"]

    async def garbled(seat: Seat) -> None:
        await seat.acknowledge()
        for text in garbage:
            await seat.say(text)
        await seat.send(TRADES, trade(1))
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    async with Hostile(garbled) as hostile:
        recorder = make_recorder(path, hostile.upstream, min_messages=1)
        recording = await recorder.run()
    assert marks(path) == [
        ("unparsed", {"text": "hello"}),
        ("unparsed", {"text": '{"stream":"a","data":}'}),
        ("unparsed", {"base64": "/wA="}),
        ("unparsed", {"text": "[]"}),
    ]
    assert recording.marks == {"unparsed": 4}
    assert recording.problems[0] == (
        "Messages came that cannot be read; they are kept in marks."
    )


@pytest.mark.asyncio
async def test_an_upstream_of_nothing_else_is_given_up(tmp_path: Path) -> None:
    async def babble(seat: Seat) -> None:
        await seat.acknowledge()
        for _ in range(200):
            await seat.say("<html>")
        await seat.hold()

    async with Hostile(babble) as hostile:
        with pytest.raises(CaptureError) as caught:
            await record(hostile, tmp_path / "dip.jsonl", 1)
    assert str(caught.value) == (
        f"{hostile.upstream.ws_url} sends what are no combined streams: b'<html>'. "
        "Check the upstream's address."
    )


@pytest.mark.asyncio
async def test_messages_in_parts_and_binary_ones_are_recorded_in_order(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dip.jsonl"

    async def odd(seat: Seat) -> None:
        await seat.acknowledge()
        await seat.send(TRADES, trade(1))
        start, end = f'{{"stream":"{TRADES}",', f'"data":{trade(2).decode()}}}'
        await seat.connection.send([start, end])
        await seat.send(TRADES, trade(3))
        await seat.say((start + f'"data":{trade(4).decode()}}}').encode())
        await seat.send(TRADES, trade(5))
        await seat.hold()

    async with Hostile(odd) as hostile:
        await record(hostile, path, 5)
    assert payloads(path) == [trade(number) for number in range(1, 6)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ZeroDivisionError, ZeroDivisionError),
        (StopIteration, RuntimeError),
        (pytest.fail.Exception, pytest.fail.Exception),
    ],
)
@pytest.mark.parametrize("odd", [[], [b"binary"]])
async def test_a_predicate_that_fails_ends_the_recording(
    tmp_path: Path,
    raised: type[BaseException],
    expected: type[BaseException],
    odd: list[bytes],
) -> None:
    asked: list[object] = []

    def fails(frame: object) -> bool:
        asked.append(frame)
        raise raised

    async def script(seat: Seat) -> None:
        await seat.acknowledge()
        for text in odd:
            await seat.say(text)
        # More than comes at once, so that some comes behind the failure.
        await seat.send(TRADES, *map(trade, range(10_000)))
        await seat.hold()

    async with Hostile(script) as hostile:
        recorder = make_recorder(tmp_path / "dip.jsonl", hostile.upstream, until=fails)
        with pytest.raises(expected):
            await recorder.run()
    assert len(asked) == 1


@pytest.mark.asyncio
async def test_streams_that_nobody_asked_for_are_left_out(tmp_path: Path) -> None:
    async def nosy(seat: Seat) -> None:
        await seat.acknowledge()
        for _ in range(3):
            await seat.send("pqia91ma19a5s61cv6a81va65sdf", '{"balance":"7"}')
        await seat.send(TRADES, trade(1))
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    async with Hostile(nosy) as hostile:
        recording = await make_recorder(path, hostile.upstream, min_messages=1).run()
    assert frames(path) == [(TRADES, trade(1))]
    assert marks(path) == [("foreign", {})]
    assert b"pqia91" not in path.read_bytes()
    assert recording.problems[0] == (
        "Messages of streams that nobody asked for came, and are left out."
    )


# Limits


@pytest.mark.asyncio
async def test_many_streams_are_asked_for_in_texts_of_a_safe_size(
    tmp_path: Path,
) -> None:
    names = [f"s{number}usdt@depth20@100ms" for number in range(300)]
    sizes: list[int] = []

    async def strict(seat: Seat) -> None:
        while len(seat.asked) < len(names):
            number = await seat.hear()
            sizes.append(len(seat.asked))
            await seat.say(f'{{"result":null,"id":{number}}}')
        await seat.send(names[0], "{}")
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    async with Hostile(strict) as hostile:
        recorder = make_recorder(
            path, hostile.upstream, *names, min_messages={names[0]: 1}
        )
        await recorder.run()
    assert hostile.seats[0].asked == names
    assert len(sizes) == 2
