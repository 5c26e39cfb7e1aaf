"""Recordings of a replay server, and of scripts: what is written, and when it ends."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from pytest_binance_replay.cassette import End, Frame, RestAnswer
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.errors import CaptureError, QuietMarketError
from pytest_binance_replay.factory import ReplayFactory
from pytest_binance_replay.files import read_frames, summarise
from pytest_binance_replay.hosts import Upstream
from pytest_binance_replay.recording.draft import rejected_path
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.conftest import OpenReplay
from tests.integration.hostile import Hostile, Seat, ok
from tests.integration.recording import (
    DEPTH,
    TRADES,
    frames,
    header,
    is_empty,
    make_recorder,
    payloads,
    read,
    trade,
)


def upstream_of(replay: BinanceReplay) -> Upstream:
    return Upstream(replay.ws_url, replay.rest_url)


async def three_trades(seat: Seat) -> None:
    await seat.acknowledge()
    await seat.send(TRADES, trade(1), trade(2), trade(3))
    await seat.hold()


async def silence(seat: Seat) -> None:
    await seat.acknowledge()
    await seat.hold()


# Recording a replay gives back the cassette


@pytest.mark.asyncio
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
async def test_recording_a_replay_gives_back_the_cassette(
    open_replay: OpenReplay, demo: Path, tmp_path: Path, suffix: str
) -> None:
    replay = open_replay(demo, speed="asap")
    path, streams = tmp_path / f"again{suffix}", summarise(demo).streams
    before = wall_us()
    recorder = make_recorder(
        path, upstream_of(replay), *streams, min_messages=dict(streams)
    )
    recording = await recorder.run()
    assert frames(path) == frames(demo)
    assert recording.streams == streams
    times = [frame.receive_time_us for frame in read_frames(path)]
    assert before <= times[0]
    assert times == sorted(times)
    assert times[-1] <= wall_us()
    end = read(path)[-1]
    assert isinstance(end, End)
    assert end.frames == recording.frames == len(times)


@pytest.mark.asyncio
async def test_receive_times_keep_the_pace_of_the_upstream(
    open_replay: OpenReplay, tmp_path: Path
) -> None:
    start_us = 1_795_168_800_000_000
    sent = [Frame(start_us + n * 40_000, TRADES, trade(n)) for n in range(6)]
    replay = open_replay(sent, speed=1)
    path = tmp_path / "again.jsonl"
    await make_recorder(path, upstream_of(replay), min_messages=6).run()
    times = [frame.receive_time_us for frame in read_frames(path)]
    # Later than recorded a frame may be, on a busy machine, but hardly earlier.
    assert times[-1] - times[0] >= 190_000


@pytest.mark.asyncio
async def test_futures_are_recorded_on_their_routes(
    open_replay: OpenReplay, tmp_path: Path
) -> None:
    names = ["btcusdt@aggTrade", "btcusdt@bookTicker"]
    sent = [Frame(1_795_168_800_000_000, name, b'{"e":"x"}') for name in names]
    replay = open_replay(sent, speed="asap", market="usdm", routes="live")
    path = tmp_path / "again.jsonl"
    recorder = make_recorder(
        path, upstream_of(replay), *names, market="usdm", min_messages=1
    )
    await recorder.run()
    assert sorted(frames(path)) == [(name, b'{"e":"x"}') for name in names]
    assert header(path).market == "usdm"


@pytest.mark.asyncio
async def test_a_recorded_book_joins_when_it_is_replayed(
    open_replay: OpenReplay, demo: Path, tmp_path: Path
) -> None:
    replay = open_replay(demo, speed=20)
    path = tmp_path / "book.jsonl"
    recorder = make_recorder(path, upstream_of(replay), DEPTH, min_messages=40)
    recording = await recorder.run()
    assert "/api/v3/depth?symbol=BTCUSDT&limit=1000" in recording.requests
    assert recording.problems == ()
    again = open_replay(path, speed="asap", start="manual")
    await again.play()
    whole = open_replay(demo, speed="asap", start="manual")
    last = payloads(path, DEPTH)[-1]
    await whole.play(until=lambda frame: frame.payload == last)
    assert again.book("BTCUSDT").update_id == whole.book("BTCUSDT").update_id
    assert again.book("BTCUSDT").best_bid == whole.book("BTCUSDT").best_bid


# TLS


@pytest.mark.asyncio
async def test_a_certificate_is_verified(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = ReplayFactory(Path())
    try:
        replay = factory(demo, speed="asap")
        upstream = Upstream(replay.wss_url, replay.https_url)
        trust = ssl.create_default_context(cafile=str(replay.ca))
        path = tmp_path / "tls.jsonl"
        good = make_recorder(path, upstream, DEPTH, min_messages=5, trust=trust)
        recording = await good.run()
        assert frames(path)[:5] == [f for f in frames(demo) if f[0] == DEPTH][:5]
        assert len(recording.requests) == 2
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(CaptureError) as caught:
            await make_recorder(tmp_path / "no.jsonl", upstream, min_messages=1).run()
    finally:
        factory.close()
    assert re.fullmatch(
        rf"{upstream.ws_url} shows a certificate that is not trusted here: .*\. "
        "Install the authority of your proxy, if you are behind one, or name it in "
        r"SSL_CERT_FILE\.",
        str(caught.value),
    )
    assert not (tmp_path / "no.jsonl").exists()


# What the file says


@pytest.mark.asyncio
async def test_the_header_says_where_it_is_from(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(three_trades) as hostile:
        ws_url, rest_url = hostile.upstream
        secret = Upstream(ws_url.replace("//", "//me:secret@"), rest_url)
        recorder = make_recorder(
            path,
            secret,
            min_messages=3,
            test="tests/test_dip.py::test_dip",
            extra={"note": "x"},
        )
        recording = await recorder.run()
    found = header(path)
    assert found.source == ws_url
    assert (found.market, found.streams) == ("spot", (TRADES,))
    assert found.test == "tests/test_dip.py::test_dip"
    assert found.extra == {"note": "x"}
    assert re.fullmatch(r"pytest-binance-replay \d.*", found.recorder or "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.recorded_at or "")
    assert recording.size_bytes == path.stat().st_size
    assert b"secret" not in path.read_bytes()


@pytest.mark.asyncio
async def test_asked_for_answers_are_recorded_with_it(tmp_path: Path) -> None:
    rest = {"/api/v3/exchangeInfo": [ok('{"a":1.10}')], "/api/v3/klines": [ok("[]")]}
    path = tmp_path / "dip.jsonl"
    async with Hostile(three_trades, rest=rest) as hostile:
        recorder = make_recorder(
            path,
            hostile.upstream,
            requests=["/api/v3/klines?symbol=BTCUSDT&interval=1m"],
            min_messages=3,
        )
        recording = await recorder.run()
    lines = [line for line in read(path) if isinstance(line, RestAnswer)]
    assert {(line.request, line.status, line.payload) for line in lines} == {
        ("/api/v3/exchangeInfo?symbol=BTCUSDT", 200, b'{"a":1.10}'),
        ("/api/v3/klines?interval=1m&symbol=BTCUSDT", 200, b"[]"),
    }
    assert sorted(recording.requests) == sorted(line.request for line in lines)


# When it ends


@pytest.mark.asyncio
async def test_a_length_of_time_counts_from_the_acknowledgement(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(three_trades) as hostile:
        recording = await make_recorder(path, hostile.upstream, seconds=0.2).run()
    assert recording.seconds >= 0.2
    assert (recording.frames, recording.stopped) == (3, False)


@pytest.mark.asyncio
async def test_a_predicate_ends_it_at_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    seen: list[Frame] = []

    def is_second(frame: Frame) -> bool:
        seen.append(frame)
        return b'"t":2' in frame.payload

    async with Hostile(three_trades) as hostile:
        recorder = make_recorder(path, hostile.upstream, until=is_second, seconds=60)
        await recorder.run()
    assert [frame.payload for frame in seen] == [trade(1), trade(2)]
    assert payloads(path)[:2] == [trade(1), trade(2)]


@pytest.mark.asyncio
async def test_a_predicate_that_fails_is_not_hidden(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"

    def fail(_: Frame) -> bool:
        raise ZeroDivisionError

    async with Hostile(three_trades) as hostile:
        with pytest.raises(ZeroDivisionError):
            await make_recorder(path, hostile.upstream, until=fail).run()
    assert not path.exists()


@pytest.mark.asyncio
async def test_more_is_waited_for_if_the_time_is_over_too_early(tmp_path: Path) -> None:
    ready = asyncio.Event()

    async def late(seat: Seat) -> None:
        await seat.acknowledge()
        await ready.wait()
        await seat.send(TRADES, trade(1))
        await seat.hold()

    path = tmp_path / "dip.jsonl"
    async with Hostile(late) as hostile:
        recorder = make_recorder(path, hostile.upstream, seconds=0.01)
        running = asyncio.create_task(recorder.run())
        while recorder.progress.seconds < 0.05:
            await asyncio.wait([running], timeout=0.01)
        assert recorder.progress.state == "recording"
        ready.set()
        await running
    assert payloads(path) == [trade(1)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"min_messages": {TRADES: 9}},
            "recorded 0.1 s and did not get enough messages; btcusdt@trade sent 3 of "
            "9. Record longer, ask for less, or take a busier symbol.",
        ),
        (
            {"until": lambda frame: frame is None},
            "recorded 0.1 s and did not get a frame that until() says yes to; it saw 3 "
            "frames. Record longer, ask for less, or take a busier symbol.",
        ),
    ],
)
async def test_a_quiet_market_is_no_success(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    path = tmp_path / "dip.jsonl"
    path.write_bytes(b"old")
    async with Hostile(three_trades) as hostile:
        recorder = make_recorder(path, hostile.upstream, time_limit=0.1, **settings)
        with pytest.raises(QuietMarketError) as caught:
            await recorder.run()
    kept = tmp_path / "dip.rejected.jsonl"
    advice = f" What was captured is in {kept}; rename it to use it."
    assert str(caught.value) == sentence + advice
    assert path.read_bytes() == b"old"
    assert [payload for _, payload in frames(kept)] == [trade(1), trade(2), trade(3)]
    assert recorder.progress.state == "failed"


@pytest.mark.asyncio
async def test_a_market_that_says_nothing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(silence) as hostile:
        recorder = make_recorder(path, hostile.upstream, seconds=0.01, time_limit=0.05)
        with pytest.raises(QuietMarketError) as caught:
            await recorder.run()
    assert caught.value.seen == "1 streams sent nothing"
    assert caught.value.kept is None
    assert is_empty(tmp_path)


@pytest.mark.asyncio
async def test_it_is_stopped_cleanly_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(three_trades) as hostile:
        recorder = make_recorder(path, hostile.upstream)
        running = asyncio.create_task(recorder.run())
        while recorder.progress.frames < 3:
            await asyncio.wait([running], timeout=0.01)
        recorder.stop()
        recording = await running
        recorder.stop()
    assert recording.stopped
    assert recorder.progress.state == "finished"
    assert payloads(path) == [trade(1), trade(2), trade(3)]


@pytest.mark.asyncio
async def test_stopped_before_anything_came_it_leaves_the_old_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dip.jsonl"
    path.write_bytes(b"old")
    async with Hostile(silence) as hostile:
        recorder = make_recorder(path, hostile.upstream)
        recorder.stop()
        with pytest.raises(CaptureError) as caught:
            await recorder.run()
    assert str(caught.value) == (
        "The recording was stopped before a message came. Nothing is written."
    )
    assert path.read_bytes() == b"old"


@pytest.mark.asyncio
async def test_cancelled_it_keeps_what_was_captured(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(three_trades) as hostile:
        recorder = make_recorder(path, hostile.upstream)
        running = asyncio.create_task(recorder.run())
        while recorder.progress.frames < 3:
            await asyncio.wait([running], timeout=0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not path.exists()
    assert len(frames(rejected_path(path))) == 3


# Progress


@pytest.mark.asyncio
async def test_progress_may_be_looked_at_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    async with Hostile(three_trades) as hostile:
        recorder = make_recorder(
            path, hostile.upstream, TRADES, "btcusdt@trades", min_messages={TRADES: 3}
        )
        before = recorder.progress
        recording = await recorder.run()
    assert (before.state, before.frames, before.size_bytes) == ("connecting", 0, 0)
    assert before.streams == {TRADES: 0, "btcusdt@trades": 0}
    assert len(before.problems) == 1
    after = recorder.progress
    assert (after.state, after.frames) == ("finished", 3)
    assert after.size_bytes == path.stat().st_size
    assert recording.problems[-1] == "Nothing came of btcusdt@trades."


# The disk


@pytest.mark.asyncio
async def test_a_folder_that_vanishes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "dip.jsonl"

    def remove(_: Frame) -> bool:
        rmtree(path.parent)
        return True

    async with Hostile(three_trades) as hostile:
        with pytest.raises(CaptureError) as caught:
            await make_recorder(path, hostile.upstream, until=remove).run()
    assert str(caught.value) == (
        f"{path} cannot be written: No such file or directory. Make room, or name "
        "another."
    )


@pytest.mark.asyncio
async def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "dip.jsonl"
    with pytest.raises(CaptureError, match="cannot be written: "):
        await make_recorder(
            path, Upstream("ws://127.0.0.1:1", "http://127.0.0.1")
        ).run()
