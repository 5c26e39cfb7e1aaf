"""Books over REST and in the test's hands, of tapes that have no recorded snapshot."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.book import OrderBook
from pytest_binance_replay.cassette import Frame, Header, Line, RestAnswer, format_line
from pytest_binance_replay.errors import DamagedDepthError, NoBookError
from pytest_binance_replay.market import generate
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.streams import Market
from tests.integration.bots import dial, take
from tests.integration.conftest import OpenReplay
from tests.shallow_tape import ShallowTape, assert_true, within
from tests.test_books import join

PATHS = {"spot": "/api/v3/depth", "usdm": "/fapi/v1/depth"}
TAPES: list[tuple[Market, str]] = [
    ("spot", "depth@100ms depth20@100ms"),
    ("spot", "depth depth5 trade"),
    ("usdm", "depth@0ms depth20@500ms"),
    ("usdm", "depth@100ms depth5@100ms"),
]


@cache
def lines_of(market: Market, streams: str) -> tuple[Line, ...]:
    return tuple(
        generate(
            seed=11,
            scenario="crash",
            length_us=8_000_000,
            symbols=["BTCUSDT"],
            market=market,
            streams=streams.split(),
            levels=30,
        )
    )


def write(path: Path, lines: Iterable[Line]) -> Path:
    """Write a cassette without what a recorder would have asked over REST."""
    kept = [line for line in lines if not isinstance(line, RestAnswer)]
    path.write_bytes(b"".join(map(format_line, kept)))
    return path


def get(replay: BinanceReplay, target: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", replay.port, timeout=5)
    connection.request("GET", target)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def depth(replay: BinanceReplay, market: Market, limit: int = 1000) -> dict[str, Any]:
    target = f"{PATHS[market]}?symbol=BTCUSDT&limit={limit}"
    status, body = get(replay, target)
    assert status == 200, body
    assert isinstance(body, dict)
    return body


def follow(
    market: Market, snapshot: dict[str, Any], events: list[dict[str, Any]]
) -> OrderBook:
    """Follow the documented steps from a snapshot on."""
    left = join(market, snapshot["lastUpdateId"], events)
    assert left is not None
    sides = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    for event in left:
        sides["bids"].update(event["b"])
        sides["asks"].update(event["a"])
    last = left[-1]["u"] if left else snapshot["lastUpdateId"]
    return OrderBook(
        "BTCUSDT",
        market,
        update_id=last,
        bids=sides["bids"].items(),
        asks=sides["asks"].items(),
    )


def assert_follows(
    follower: OrderBook, snapshot: dict[str, Any], truth: OrderBook
) -> None:
    """Check that a follower knows the truth as far as its snapshot reached."""
    bid, ask = (Decimal(snapshot[side][-1][0]) for side in ("bids", "asks"))
    bids, asks = truth.bids, truth.asks
    ours = within(follower.bids, bid, are_bids=True)
    assert ours == within(bids, bid, are_bids=True)
    ours = within(follower.asks, ask, are_bids=False)
    assert ours == within(asks, ask, are_bids=False)


@pytest.fixture(params=TAPES, ids=" ".join)
def tape(request: pytest.FixtureRequest) -> ShallowTape:
    market, streams = request.param
    return ShallowTape(lines_of(market, streams), market)


@pytest.fixture
def cassette(tape: ShallowTape, tmp_path: Path) -> Path:
    header = Header(market=tape.key[0])
    return write(tmp_path / "shallow.jsonl", [header, *tape.frames])


# Joining


def test_shallow_answers_join_where_the_tape_stands(
    open_replay: OpenReplay, tape: ShallowTape, cassette: Path
) -> None:
    market, _ = tape.key
    replay = open_replay(cassette, speed="asap", start="manual")
    count = len(tape.frames)
    marks = [0, *sorted(random.Random(5).sample(range(1, count), 12)), count]
    path = "public/ws" if market == "usdm" else "ws"
    for here, there in pairwise(marks):
        with dial(f"{replay.ws_url}/{path}/{tape.diffs}") as bot:
            replay.until(lambda: replay.clients[-1].subscriptions).wait()
            snapshot = depth(replay, market)
            replay.step(there - here).wait()
            events = [json.loads(payload) for payload in take(bot)]
        follower = follow(market, snapshot, events)
        if follower.update_id in tape.truth:
            assert_follows(follower, snapshot, tape.truth[follower.update_id])
        book = replay.book("BTCUSDT")
        if book.update_id in tape.truth:
            assert_true(book, tape.truth[book.update_id])


def test_shallow_answers_join_after_seeking_and_behind_a_seam(
    open_replay: OpenReplay, tape: ShallowTape, cassette: Path
) -> None:
    market, _ = tape.key
    replay = open_replay(cassette, speed="asap", start="manual", at_end="loop")
    path = "public/ws" if market == "usdm" else "ws"
    for steps in (len(tape.frames), 10):
        replay.step(steps).wait()
        with dial(f"{replay.ws_url}/{path}/{tape.diffs}") as bot:
            replay.until(lambda: replay.clients[-1].subscriptions).wait()
            snapshot = depth(replay, market)
            replay.step(30).wait()
            events = [json.loads(payload) for payload in take(bot)]
        follower = follow(market, snapshot, events)
        book = replay.book("BTCUSDT")
        assert book.best_bid in follower.bids
        assert book.best_ask in follower.asks
    replay.seek("4s").wait()
    first = depth(replay, market)
    assert first == depth(replay, market)


def test_the_tape_has_a_book_before_its_first_frame(
    open_replay: OpenReplay, tape: ShallowTape, cassette: Path
) -> None:
    market, _ = tape.key
    replay = open_replay(cassette, start="manual")
    body = depth(replay, market)
    assert set(body) >= {"lastUpdateId", "bids", "asks"}
    assert ("E" in body) is (market == "usdm")
    assert join(market, body["lastUpdateId"], tape.events(0)) is not None
    assert replay.problems() == []


# What a book from partial depth alone can do


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_partial_depth_alone_answers_with_the_newest(
    open_replay: OpenReplay, market: Market, tmp_path: Path
) -> None:
    path = write(tmp_path / "top.jsonl", lines_of(market, "depth10@100ms"))
    replay = open_replay(path, speed="asap", start="manual")
    replay.step(7).wait()
    shown = json.loads(list(replay.frames())[6].payload)
    names = ("u", "b", "a") if market == "usdm" else ("lastUpdateId", "bids", "asks")
    update_id, bids, asks = (shown[name] for name in names)
    body = depth(replay, market, limit=5)
    assert body["lastUpdateId"] == update_id
    assert (body["bids"], body["asks"]) == (bids[:5], asks[:5])
    assert len(depth(replay, market)["bids"]) == 10
    book = replay.book("BTCUSDT")
    assert book.known_to == (Decimal(bids[-1][0]), Decimal(asks[-1][0]))
    base = PATHS[market].removesuffix("depth")
    _, ticker = get(replay, f"{base}ticker/bookTicker?symbol=BTCUSDT")
    assert (ticker["bidPrice"], ticker["askPrice"]) == (bids[0][0], asks[0][0])


def test_derived_and_pushed_partial_depth_feeds_no_book(
    open_replay: OpenReplay, tmp_path: Path
) -> None:
    lines = lines_of("spot", "depth@100ms depth20@100ms")
    path = write(tmp_path / "top.jsonl", lines)
    plain, watched = (open_replay(path, speed="asap", start="manual") for _ in range(2))
    with dial(f"{watched.ws_url}/ws/btcusdt@depth5@100ms") as bot:
        watched.wait_for_subscription("btcusdt@depth5@100ms").wait()
        for replay in (plain, watched):
            replay.step(stream="btcusdt@depth@100ms", n=20).wait()
        lie = b'{"lastUpdateId":%d,"bids":[["1.0","1"]],"asks":[]}' % 10**14
        watched.push("btcusdt@depth20@100ms", lie).wait()
        watched.push("btcusdt@depth5", lie).wait()
        assert len(take(bot)) > 1
    assert watched.book("BTCUSDT") == plain.book("BTCUSDT")
    assert depth(watched, "spot") == depth(plain, "spot")


def test_a_pushed_picture_alone_makes_no_book(open_replay: OpenReplay) -> None:
    replay = open_replay([Frame(1, "ltcbtc@trade", b"{}")], start="manual")
    picture = b'{"lastUpdateId":1,"bids":[["1.0","1"]],"asks":[["2.0","1"]]}'
    replay.push("ltcbtc@depth5", picture).wait()
    with pytest.raises(NoBookError, match="partial depth"):
        replay.book("LTCBTC")
    assert get(replay, "/api/v3/depth?symbol=LTCBTC")[0] == 404


# Beside recorded snapshots


def test_a_recorded_snapshot_is_given_where_partial_depth_is_all_else(
    open_replay: OpenReplay, tmp_path: Path
) -> None:
    request = "/api/v3/depth?symbol=LTCBTC&limit=100"
    lines: list[Line] = [
        Header(market="spot"),
        RestAnswer(1000, request, 200, GOOD),
        Frame(2000, "ltcbtc@depth5", GOOD.replace(b"7", b"8")),
    ]
    path = tmp_path / "both.jsonl"
    path.write_bytes(b"".join(map(format_line, lines)))
    replay = open_replay(path, speed="asap", start="manual")
    replay.step().wait()
    for limit in (100, 5):
        target = f"/api/v3/depth?symbol=LTCBTC&limit={limit}"
        assert get(replay, target) == (200, json.loads(GOOD))


def test_before_a_recorded_snapshot_has_joined_the_book_is_that(
    open_replay: OpenReplay, tape: ShallowTape, tmp_path: Path
) -> None:
    market, symbol = tape.key
    (answer,) = tape.answers
    lines: list[Line] = [Header(market=market), *tape.frames, answer]
    path = tmp_path / "both.jsonl"
    path.write_bytes(b"".join(map(format_line, lines)))
    replay = open_replay(path, speed="asap", start="manual")
    recorded = json.loads(answer.payload)
    book = replay.book(symbol)
    assert (book.update_id, book.known_to) == (recorded["lastUpdateId"], (None, None))
    replay.play().wait()
    assert replay.book(symbol) == tape.truth[max(tape.truth)]


# What cannot be read

GOOD = b'{"lastUpdateId":7,"bids":[["9.0","1"]],"asks":[["10.0","1"]]}'
BAD = [
    (b"[]", "it has no 'lastUpdateId'"),
    (GOOD.replace(b"7", b'"7"'), "its 'lastUpdateId' is '7', no whole number"),
    (GOOD.replace(b'["9.0","1"]', b'["9.0"]'), "its 'bids' has ['9.0'], no price and"),
    (GOOD.replace(b'"10.0","1"', b'"10.0","abc"'), "its 'asks' has ['10.0', 'abc'], "),
    (GOOD.replace(b'["9.0","1"]', b"9"), "its 'bids' has 9, no price and quantity"),
]
DIFF = b'{"e":"depthUpdate","s":"LTCBTC","U":8,"u":9,"b":[["9.0","2"]],"a":[]}'
HEAD = Header(market="spot", streams=("ltcbtc@depth", "ethbtc@depth5"))


def assert_told(replay: BinanceReplay, what: str, problem: str) -> None:
    """Check what client and test are told, and that nothing is said to have failed."""
    status, body = get(replay, "/api/v3/depth?symbol=LTCBTC&limit=5")
    assert status == 404
    assert body["code"] == -1000
    assert body["msg"].startswith(f"{what}, received at 3000 µs, cannot be read: ")
    assert problem in body["msg"]
    (told,) = replay.problems()
    asked = "damaged.jsonl: '/api/v3/depth?limit=5&symbol=LTCBTC' has no answer: "
    assert str(told) == asked + body["msg"]
    assert str(told) in " ".join(replay.describe().split())
    assert get(replay, "/api/v3/depth?symbol=ETHBTC&limit=5")[0] == 200


@pytest.mark.parametrize(("payload", "problem"), BAD)
def test_a_damaged_recorded_answer_is_told(
    open_replay: OpenReplay, tmp_path: Path, payload: bytes, problem: str
) -> None:
    request = "/api/v3/depth?limit=100&symbol=LTCBTC"
    lines: list[Line] = [
        HEAD,
        Frame(1000, "ethbtc@depth5", GOOD),
        Frame(2000, "ltcbtc@depth", DIFF),
        RestAnswer(3000, request, 200, payload),
    ]
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"".join(map(format_line, lines)))
    replay = open_replay(path, speed="asap", start="manual")
    assert_told(replay, f"the answer to {request}", problem)
    with pytest.raises(DamagedDepthError):
        replay.book("LTCBTC")
    assert get(replay, request)[0] == 404


@pytest.mark.parametrize(("payload", "problem"), BAD)
def test_damaged_partial_depth_is_told_from_there_on(
    open_replay: OpenReplay, tmp_path: Path, payload: bytes, problem: str
) -> None:
    lines: list[Line] = [
        Header(market="spot"),
        Frame(1000, "ethbtc@depth5", GOOD),
        Frame(2000, "ltcbtc@depth5", GOOD),
        Frame(3000, "ltcbtc@depth5", payload),
    ]
    path = write(tmp_path / "damaged.jsonl", lines)
    replay = open_replay(path, speed="asap", start="manual")
    replay.step(2).wait()
    assert depth_of(replay, "LTCBTC") == 200
    assert replay.book("LTCBTC").update_id == 7
    replay.step().wait()
    assert_told(replay, "a frame of ltcbtc@depth5", problem)
    with pytest.raises(DamagedDepthError):
        replay.book("LTCBTC")


def depth_of(replay: BinanceReplay, symbol: str) -> int:
    return get(replay, f"/api/v3/depth?symbol={symbol}")[0]


def test_a_damaged_answer_that_no_stream_joins_is_given_to_who_asks_just_so(
    open_replay: OpenReplay, tmp_path: Path
) -> None:
    request = "/api/v3/depth?symbol=LTCBTC&limit=100"
    header = Header(market="spot", streams=("ltcbtc@trade",))
    lines: list[Line] = [header, RestAnswer(2, request, 200, b"[]")]
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"".join(map(format_line, lines)))
    replay = open_replay(path, start="manual")
    assert get(replay, request) == (200, [])
    status, body = get(replay, "/api/v3/depth?symbol=LTCBTC&limit=5")
    assert (status, body["code"]) == (404, -1000)
    assert "cannot be read: it has no 'lastUpdateId'" in body["msg"]
