"""REST beside the streams: snapshots that join them, and what the tape can tell."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_binance_replay.book import OrderBook
from pytest_binance_replay.cassette import (
    Batch,
    Frame,
    RestAnswer,
    format_line,
    parse_line,
)
from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.desk import RestDesk
from pytest_binance_replay.errors import NoBookError
from pytest_binance_replay.hub import Hub
from pytest_binance_replay.library import CassetteSource
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.syncing import MOMENT_US
from pytest_binance_replay.tape import Tape
from tests.integration.bots import dial, take
from tests.integration.conftest import OpenReplay, OpenRig
from tests.staging import connect, frames_at

Market = Literal["spot", "usdm"]
PATHS = {"spot": "/api/v3/depth", "usdm": "/fapi/v1/depth"}
SPOT = "cryptofeed-spot-20211012"
USDM = "hftbacktest-usdm-20230404"


# Clients as the exchange's documentation tells them to be


class Follower:
    """A local order book by the documented steps, written without ours."""

    def __init__(self, market: str, snapshot: dict[str, Any]) -> None:
        self.market = market
        self.last = snapshot["lastUpdateId"]
        self.sides = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        self.joined = False

    def take(self, event: dict[str, Any]) -> None:
        if self._is_old(event):
            return
        assert self._follows(event), (self.last, event["U"], event["u"])
        for side, changes in (("bids", event["b"]), ("asks", event["a"])):
            for price, quantity in changes:
                self.sides[side][price] = quantity
        self.last, self.joined = event["u"], True

    def _is_old(self, event: dict[str, Any]) -> bool:
        if self.market == "spot":
            return bool(event["u"] <= self.last)
        return not self.joined and bool(event["u"] < self.last)

    def _follows(self, event: dict[str, Any]) -> bool:
        if self.market == "spot":
            return bool(event["U"] <= self.last + 1)
        if self.joined:
            return bool(event["pu"] == self.last)
        return bool(event["U"] <= self.last <= event["u"])


def follow(
    market: str, snapshot: dict[str, Any], events: Iterable[dict[str, Any]]
) -> Follower:
    follower = Follower(market, snapshot)
    for event in events:
        follower.take(event)
    return follower


def take_events(bot: Any) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in take(bot)]


def differences(follower: Follower, book: OrderBook) -> list[str]:
    sides = follower.sides
    return book.differences(sides["bids"].items(), sides["asks"].items(), depth=50)


def get(
    replay: BinanceReplay, target: str, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", replay.port, timeout=5)
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body, {k.lower(): v for k, v in response.getheaders()}


def depth(replay: BinanceReplay, market: str, symbol: str) -> dict[str, Any]:
    target = f"{PATHS[market]}?symbol={symbol}&limit=1000"
    status, body, _ = get(replay, target)
    assert status == 200, body
    assert isinstance(body, dict)
    return body


# Recordings, with their REST answers on the tape


def make_cassette(source: Path, market: str, target: Path, frames: int) -> Path:
    """Put the REST files of a recording onto one tape with its frames."""
    name = next(source.glob("session.jsonl*"))
    open_file = gzip.open if name.suffix == ".gz" else open
    rows = []
    with open_file(name, "rb") as raw_lines:
        for raw in islice(raw_lines, frames):
            parsed = parse_line(raw)
            assert isinstance(parsed, Frame)
            rows.append((parsed.receive_time_us, raw))
    for answer in json.loads((source / "rest" / "index.json").read_text()):
        if answer["file"].endswith(".json"):
            request = "/" + answer["url"].split("/", 3)[3]
            body = json.loads((source / "rest" / answer["file"]).read_text())
            payload = json.dumps(body, separators=(",", ":")).encode()
            line = RestAnswer(answer["t"], request, 200, payload)
            rows.append((answer["t"], format_line(line)))
    rows.sort(key=lambda row: row[0])
    head = b'{"cassette":1,"market":"%s"}\n' % market.encode()
    target.write_bytes(head + b"".join(raw for _, raw in rows))
    return target


@pytest.fixture(scope="module")
def real_spot(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rest") / "spot.jsonl"
    return make_cassette(shared_data / SPOT, "spot", target, 10_000)


@pytest.fixture(scope="module")
def real_usdm(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rest") / "usdm.jsonl"
    return make_cassette(shared_data / USDM, "usdm", target, 10_000)


@pytest.fixture(
    params=["demo", "real_spot", pytest.param("real_usdm", marks=pytest.mark.slow)]
)
def tape(request: pytest.FixtureRequest) -> tuple[Path, str, list[str]]:
    """A cassette, its market and the symbols whose books can be had."""
    path: Path = request.getfixturevalue(request.param)
    symbols = {
        "demo": ["BTCUSDT", "ETHUSDT", "BNBUSDT"],
        "real_spot": ["NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"],
        "real_usdm": ["BTCUSDT"],
    }[request.param]
    return path, "usdm" if request.param == "real_usdm" else "spot", symbols


def diff_stream(replay: BinanceReplay, symbol: str) -> str:
    fast = {f"{symbol.lower()}@depth{speed}" for speed in ("", "@100ms", "@0ms")}
    return next(f.stream for f in replay.frames() if f.stream in fast)


# Snapshots join the stream


def test_snapshots_join_where_the_tape_stands(
    open_replay: OpenReplay, tape: tuple[Path, str, list[str]]
) -> None:
    path, market, symbols = tape
    replay = open_replay(path, speed="asap", start="manual")
    symbol = symbols[0]
    stream = diff_stream(replay, symbol)
    count = sum(1 for _ in replay.frames())
    dice = random.Random(5)
    marks = [0, *sorted(dice.sample(range(1, count), 12)), count]
    with dial(f"{replay.ws_url}/ws/{stream}") as early:
        replay.wait_for_subscription(stream).wait()
        seen: list[dict[str, Any]] = []
        asked: list[tuple[int, dict[str, Any]]] = []
        for here, there in pairwise(marks):
            with dial(f"{replay.ws_url}/ws/{stream}") as late:
                replay.until(lambda: replay.clients[-1].subscriptions).wait()
                snapshot = depth(replay, market, symbol)
                asked.append((len(seen), depth(replay, market, symbol)))
                replay.step(there - here).wait()
                got = take_events(late)
            seen += take_events(early)
            book = replay.book(symbol)
            assert differences(follow(market, snapshot, got), book) == []
    book = replay.book(symbol)
    for heard, snapshot in asked:
        for buffer in (heard // 2, heard):
            assert differences(follow(market, snapshot, seen[buffer:]), book) == []


@pytest.mark.parametrize("number", range(3))
def test_snapshots_join_after_seeking(
    open_replay: OpenReplay, tape: tuple[Path, str, list[str]], number: int
) -> None:
    path, market, symbols = tape
    symbol = symbols[number % len(symbols)]
    replay = open_replay(path, speed="asap", start="manual")
    stream = diff_stream(replay, symbol)
    times = [f.receive_time_us for f in replay.frames()]
    dice = random.Random(number)
    for _ in range(5):
        replay.seek(dice.uniform(0, (times[-1] - times[0]) / 1e6)).wait()
        with dial(f"{replay.ws_url}/ws/{stream}") as bot:
            replay.until(lambda: replay.clients[-1].subscriptions).wait()
            snapshot = depth(replay, market, symbol)
            left = len(times) - replay.position.frames
            if left:
                replay.step(min(left, 100)).wait()
            got = take_events(bot)
        found = follow(market, snapshot, got)
        assert differences(found, replay.book(symbol)) == []


def test_snapshots_join_while_the_tape_runs(
    open_replay: OpenReplay, tape: tuple[Path, str, list[str]]
) -> None:
    path, market, symbols = tape
    for symbol in symbols:
        replay = open_replay(path, speed="asap", start="manual")
        stream = diff_stream(replay, symbol)
        with dial(f"{replay.ws_url}/ws/{stream}") as bot:
            replay.wait_for_subscription(stream).wait()
            playing = replay.play()
            first = bot.recv(timeout=5, decode=False)
            snapshots = [depth(replay, market, symbol) for _ in range(3)]
            playing.wait()
            got = [json.loads(first), *take_events(bot)]
        for snapshot in snapshots:
            found = follow(market, snapshot, got)
            assert differences(found, replay.book(symbol)) == []


def test_a_snapshot_asked_for_before_subscribing_joins(
    open_replay: OpenReplay, tape: tuple[Path, str, list[str]]
) -> None:
    path, market, symbols = tape
    replay = open_replay(path, speed="asap")
    symbol = symbols[-1]
    stream = diff_stream(replay, symbol)
    snapshot = depth(replay, market, symbol)
    with dial(f"{replay.ws_url}/ws/{stream}") as bot:
        replay.play().wait()
        found = follow(market, snapshot, take_events(bot))
    assert differences(found, replay.book(symbol)) == []


def test_pushed_frames_do_not_shift_the_book(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start="manual")
    stream = "btcusdt@depth@100ms"
    replay.step(200).wait()
    before = replay.book("BTCUSDT")
    for _ in range(5):
        replay.push("btcusdt@trade", "{}").wait()
    assert replay.book("BTCUSDT") == before
    with dial(f"{replay.ws_url}/ws/{stream}") as bot:
        replay.wait_for_subscription(stream).wait()
        snapshot = depth(replay, "spot", "BTCUSDT")
        assert snapshot["lastUpdateId"] == before.update_id
        replay.step(200).wait()
        found = follow("spot", snapshot, take_events(bot))
    assert differences(found, replay.book("BTCUSDT")) == []


@pytest.mark.parametrize(
    "beyond", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 500))]
)
def test_a_follower_joins_again_behind_a_seam(
    open_replay: OpenReplay, demo: Path, beyond: int
) -> None:
    replay = open_replay(demo, speed="asap", start="manual", at_end="loop")
    count = sum(1 for _ in replay.frames())
    stream = "btcusdt@depth@100ms"
    replay.step(count + beyond).wait()
    with dial(f"{replay.ws_url}/ws/{stream}") as bot:
        replay.wait_for_subscription(stream).wait()
        found = Follower("spot", depth(replay, "spot", "BTCUSDT"))
        for _ in range(3):
            replay.step(50).wait()
            for event in take_events(bot):
                found.take(event)
            assert found.joined
            assert differences(found, replay.book("BTCUSDT")) == []


def test_many_followers_at_once_get_snapshots_that_join(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start="manual")
    stream = "ethusdt@depth@100ms"
    with ExitStack() as stack:
        url = f"{replay.ws_url}/ws/{stream}"
        bots = [stack.enter_context(dial(url)) for _ in range(8)]
        replay.until(lambda: all(c.subscriptions for c in replay.clients)).wait()
        playing = replay.play()
        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(depth, replay, "spot", "ETHUSDT") for _ in bots]
            snapshots = [future.result(10) for future in asking]
        playing.wait()
        book = replay.book("ETHUSDT")
        heard = [take_events(bot) for bot in bots]
    for snapshot in snapshots:
        for events in heard:
            assert differences(follow("spot", snapshot, events), book) == []


def test_two_markets_answer_with_their_own_books(
    open_replay: OpenReplay, demo: Path, real_usdm: Path
) -> None:
    replay = open_replay(demo, real_usdm, speed="asap", start="manual")
    replay.step(800).wait()
    spot = depth(replay, "spot", "BTCUSDT")
    usdm = depth(replay, "usdm", "BTCUSDT")
    assert "E" in usdm
    assert "E" not in spot
    assert spot["bids"][0] != usdm["bids"][0]
    assert get(replay, "/api/v3/depth?symbol=NOSUCHUSDT")[0] == 400


@pytest.mark.parametrize("symbol", ["LTCUSDT", "", "btcusdt@trade"])
def test_a_symbol_without_a_book_has_none(
    open_replay: OpenReplay, demo: Path, symbol: str
) -> None:
    replay = open_replay(demo, start="manual")
    with pytest.raises(NoBookError):
        replay.book(symbol)


def test_a_book_needs_a_snapshot(open_replay: OpenReplay) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    with pytest.raises(NoBookError):
        replay.book("BTCUSDT")


def test_depth_without_a_snapshot_is_missing_with_its_reason(
    open_replay: OpenReplay, demo: Path
) -> None:
    frames = list(open_replay(demo, start="manual").frames())
    replay = open_replay(frames, start="manual")
    status, body, _ = get(replay, "/api/v3/depth?symbol=BTCUSDT")
    assert status == 404
    assert "snapshot" in body["msg"]
    (problem,) = replay.problems()
    assert "/api/v3/depth" in str(problem)
    assert "snapshot" in str(problem)


# The moment that a tape gives


def test_the_tape_waits_for_the_snapshot_of_a_book(
    open_rig: OpenRig, demo: Path
) -> None:
    rig = open_auto(open_rig, demo)
    with dial(f"{rig.url}/ws/btcusdt@depth@100ms") as bot:
        rig.wait_until(rig.hub.listeners)
        playing = rig.play()
        first = json.loads(bot.recv(timeout=5))
        here = rig.thread.ask(lambda: rig.tape.released)
        assert here < 100
        connection = http.client.HTTPConnection(rig.url.removeprefix("ws://"))
        connection.request("GET", "/api/v3/depth?symbol=BTCUSDT")
        assert connection.getresponse().read().startswith(b"{")
        connection.close()
        second = json.loads(bot.recv(timeout=5))
        assert second["U"] == first["u"] + 1
        assert not playing.done() or rig.thread.ask(lambda: rig.tape.released) > here


def test_the_tape_does_not_wait_twice_for_who_never_asks(
    open_rig: OpenRig, demo: Path
) -> None:
    rig = open_auto(open_rig, demo)
    streams = [f"{s}usdt@depth@100ms" for s in ("btc", "eth", "bnb")]
    with dial(f"{rig.url}/ws/{'/'.join(streams)}") as bot:
        rig.wait_until(rig.hub.listeners)
        rig.play()
        bot.recv(timeout=5)
        here = rig.thread.ask(lambda: rig.tape.released)
        rig.pass_time(MOMENT_US, here + 1)
        later = {json.loads(bot.recv(timeout=5))["s"] for _ in range(30)}
    assert later == {"BTCUSDT", "ETHUSDT", "BNBUSDT"}


def test_the_tape_does_not_wait_for_who_follows_no_book(
    open_rig: OpenRig, demo: Path
) -> None:
    rig = open_auto(open_rig, demo)
    with dial(f"{rig.url}/ws/btcusdt@trade") as bot:
        rig.wait_until(rig.hub.listeners)
        rig.play()
        for _ in range(20):
            bot.recv(timeout=5)


def open_auto(open_rig: OpenRig, demo: Path) -> Any:
    source = CassetteSource(demo, demo.name, market="spot", warn=lambda _: None)
    return open_rig(source, speed="auto")


# python-binance


@pytest.mark.asyncio
@pytest.mark.parametrize("speed", ["auto", 10])
async def test_the_book_of_python_binance_is_right(
    open_replay: OpenReplay, demo: Path, speed: Any
) -> None:
    binance = pytest.importorskip("binance")
    depth_cache = pytest.importorskip("binance.ws.depthcache")
    replay = open_replay(demo, speed=speed)

    class Client(binance.AsyncClient):  # type: ignore[misc, name-defined]
        API_URL = f"{replay.rest_url}/api"

    class Manager(binance.BinanceSocketManager):  # type: ignore[misc, name-defined]
        STREAM_URL = f"{replay.ws_url}/"

    client = await Client.create()
    manager = depth_cache.DepthCacheManager(
        client, "BTCUSDT", bm=Manager(client), ws_interval=100
    )
    diffs = list(replay.frames("btcusdt@depth@100ms"))
    wanted = json.loads(diffs[8].payload)["u"]
    bot = await manager.__aenter__()
    cache = await bot.recv()
    while (manager._last_update_id or 0) < wanted:
        cache = await bot.recv()
    await replay.pause()
    book = replay.book("BTCUSDT")
    while manager._last_update_id < book.update_id:
        cache = await bot.recv()
    assert book.best_bid is not None
    assert book.best_ask is not None
    assert cache.get_bids()[0] == [float(x) for x in book.best_bid]
    assert cache.get_asks()[0] == [float(x) for x in book.best_ask]
    # On the way out it looks up at the next message, or after 10 s.
    leaving = asyncio.ensure_future(manager.__aexit__(None, None, None))
    await replay.push("btcusdt@depth@100ms", diffs[-1].payload)
    await leaving
    await client.close_connection()
    assert replay.problems() == []


# What the tape can tell


@pytest.fixture
def played(open_replay: OpenReplay, demo: Path) -> BinanceReplay:
    replay = open_replay(demo, speed="asap", start="manual")
    replay.step(600).wait()
    return replay


def test_exchange_info_lists_the_symbols(played: BinanceReplay) -> None:
    status, body, _ = get(played, "/api/v3/exchangeInfo")
    assert status == 200
    names = {symbol["symbol"] for symbol in body["symbols"]}
    assert {"BTCUSDT", "ETHUSDT", "BNBUSDT"} <= names


def test_prices_and_trades_are_those_last_sent(played: BinanceReplay) -> None:
    sent = islice(played.frames(), 600)
    trades = [json.loads(f.payload) for f in sent if f.stream == "btcusdt@trade"]
    _, price, _ = get(played, "/api/v3/ticker/price?symbol=BTCUSDT")
    assert price == {"symbol": "BTCUSDT", "price": trades[-1]["p"]}
    _, recent, _ = get(played, "/api/v3/trades?symbol=BTCUSDT&limit=5")
    assert [t["id"] for t in recent] == [t["t"] for t in trades[-5:]]


@pytest.mark.parametrize(
    "target",
    [
        "/api/v3/depth?symbol=BTCUSDT",
        "/api/v3/trades?symbol=BTCUSDT",
        "/api/v3/ticker/price",
        "/api/v3/exchangeInfo",
        "/api/v3/time",
    ],
)
def test_an_answer_lasts_until_the_tape_moves(
    played: BinanceReplay, open_replay: OpenReplay, demo: Path, target: str
) -> None:
    first = get(played, target)[1]
    assert get(played, target)[1] == first
    played.step(150).wait()
    later = get(played, target)[1]
    assert (later == first) is target.endswith("/exchangeInfo")
    fresh = open_replay(demo, speed="asap", start="manual")
    fresh.step(750).wait()
    assert later == get(fresh, target)[1]
    played.seek(0).wait()
    played.step(600).wait()
    assert get(played, target)[1] == first


def test_a_pushed_frame_makes_its_stream_known_at_once(played: BinanceReplay) -> None:
    target = "/api/v3/klines?symbol=BTCUSDT&interval=3d"
    before = get(played, target)[1]["msg"]
    assert "The tape has no btcusdt@kline_3d" in before
    played.push("btcusdt@kline_3d", "{}").wait()
    assert get(played, target)[1] != {"code": -1000, "msg": before}


def test_times_are_answered_in_the_unit_of_each_request(
    played: BinanceReplay,
) -> None:
    unit = {"X-MBX-TIME-UNIT": "MICROSECOND"}
    target = "/api/v3/trades?symbol=BTCUSDT&limit=1"
    (in_ms,) = get(played, target)[1]
    (in_us,) = get(played, target, **unit)[1]
    assert in_us["time"] // 1000 == in_ms["time"]
    assert get(played, target)[1] == [in_ms]


def test_klines_end_with_the_last_one_sent(played: BinanceReplay) -> None:
    sent = islice(played.frames(), 600)
    lines = [json.loads(f.payload) for f in sent if f.stream == "btcusdt@kline_1m"]
    status, body, _ = get(played, "/api/v3/klines?symbol=BTCUSDT&interval=1m")
    assert status == 200
    last = lines[-1]["k"]
    assert body[-1][:5] == [last[x] for x in "tohlc"]


def test_the_book_ticker_is_the_top_of_the_book(played: BinanceReplay) -> None:
    status, body, _ = get(played, "/api/v3/ticker/bookTicker?symbol=BTCUSDT")
    assert status == 200
    assert set(body) == {"symbol", "bidPrice", "bidQty", "askPrice", "askQty"}


def test_every_answer_tells_the_weight_used(played: BinanceReplay) -> None:
    for target in ("/api/v3/ping", "/api/v3/depth?symbol=X", "/api/v3/nothing"):
        *_, headers = get(played, target)
        assert int(headers["x-mbx-used-weight"]) >= 1
        assert headers["x-mbx-used-weight"] == headers["x-mbx-used-weight-1m"]
        assert headers["content-type"].startswith("application/json")
        assert headers["date"]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/v3/depth", -1102),
        ("/api/v3/depth?symbol=NOSUCHUSDT", -1121),
        ("/api/v3/depth?symbol=btcusdt", -1100),
        ("/api/v3/depth?symbol=BTCUSDT&limit=x", -1100),
        ("/api/v3/klines?symbol=BTCUSDT&interval=7m", -1120),
        ("/api/v3/trades?symbol=NOSUCHUSDT", -1121),
        ("/api/v3/ticker/price?symbol=BTCUSDT&symbols=[]", -1128),
    ],
)
def test_mistakes_get_the_error_of_the_exchange(
    played: BinanceReplay, target: str, code: int
) -> None:
    status, body, _ = get(played, target)
    assert (status, body["code"]) == (400, code)
    assert set(body) == {"code", "msg"}


def test_a_mistake_does_not_use_up_the_snapshot_of_a_follower(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start="manual")
    with dial(f"{replay.ws_url}/ws/btcusdt@depth@100ms"):
        replay.wait_for_subscription().wait()
        get(replay, "/api/v3/depth?symbol=BTCUSDT&limit=x")
        syncing = replay._stage.hub.syncing
        assert replay._ask(lambda: syncing.newest("spot", "BTCUSDT")) is not None


@pytest.mark.parametrize(
    "target",
    ["/api/v3/openOrders?symbol=BTCUSDT", "/sapi/v1/system/status", "/nowhere"],
)
def test_what_cannot_be_answered_is_reported_with_its_path(
    played: BinanceReplay, target: str
) -> None:
    status, body, _ = get(played, target)
    assert status == 404
    assert set(body) == {"code", "msg"}
    (problem,) = played.problems()
    assert target.partition("?")[0] in str(problem)


# Two who ask at once


class CountedTape:
    """A tape of diffs, one to a batch, that is not read from its start for ever."""

    streams = frozenset({"btcusdt@depth@100ms"})
    length = 80
    most_readings = 12

    def __init__(self) -> None:
        self.opened = 0

    def batches(self) -> Iterator[Batch]:
        self.opened += 1
        assert self.opened <= self.most_readings, "they lead each other back"
        for n in range(self.length):
            diff = b'{"U":%d,"u":%d,"b":[["%d.5","1"]],"a":[]}' % (n + 1, n + 1, n + 1)
            yield Batch([n + 1], [b"btcusdt@depth@100ms"], [diff], [])


def test_who_asks_for_different_places_at_once_gets_each_his_own() -> None:
    frames = CountedTape()
    tape = Tape(frames.batches, SpillFile())
    hub = Hub(tape, Catalogue({"spot": set(frames.streams)}))
    payload = b'{"lastUpdateId":0,"bids":[],"asks":[["900.5","1"]]}'
    recorded = [RestAnswer(1, "/api/v3/depth?symbol=BTCUSDT&limit=5", 200, payload)]
    desk = RestDesk(
        hub, frames.batches, recorded=lambda: recorded, tape_time_us=lambda: 1
    )

    def release(upto: int) -> None:
        while tape.released < upto and (head := tape.head()) is not None:
            tape.release(head[0].end)

    release(40)
    client = connect(hub, "/ws/btcusdt@depth@100ms")
    release(frames.length)
    assert client.cursor == 40

    async def ask_both() -> tuple[Any, OrderBook | None]:
        answering = desk.answer("/api/v3/depth?symbol=BTCUSDT&limit=1")
        answer, book = await asyncio.gather(answering, desk.book("spot", "BTCUSDT"))
        return answer[0], book

    reply, book = asyncio.run(ask_both())
    assert json.loads(reply.body)["lastUpdateId"] == 40
    assert book is not None
    assert book.update_id == frames.length
