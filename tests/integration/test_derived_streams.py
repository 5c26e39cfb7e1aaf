"""Bots that ask for streams in another form than the cassette holds."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.book import OrderBook, parse_change
from pytest_binance_replay.cassette import Frame, RestAnswer
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.library import SessionSource
from pytest_binance_replay.options import make_options
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.bots import ask, dial, take
from tests.integration.conftest import OpenReplay

SLOW, TOP, MINI = "btcusdt@depth", "btcusdt@depth5", "btcusdt@miniTicker"
FAST = "btcusdt@depth@100ms"
OK = b'{"result":null,"id":1}'
SNAPSHOT = "/api/v3/depth?symbol=BTCUSDT&limit=1000"


@pytest.fixture
def replay(open_replay: OpenReplay, demo: Path) -> BinanceReplay:
    return open_replay(demo, speed="asap", start="manual")


def derived(replay: BinanceReplay, name: str) -> list[bytes]:
    return [frame.payload for frame in replay.frames(name)]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return json.load(reply)


def read_on(bot: ClientConnection, heard: list[bytes]) -> None:
    """Read until the connection ends."""
    while True:
        heard.append(bot.recv(5, decode=False))


# What a bot gets


@pytest.mark.parametrize("name", [SLOW, TOP, MINI, "!ticker@arr", "!bookTicker"])
def test_a_bot_gets_what_no_cassette_holds(replay: BinanceReplay, name: str) -> None:
    with dial(f"{replay.ws_url}/ws/{name}") as bot:
        replay.play().wait()
        assert take(bot) == derived(replay, name) != []
    assert not replay.missing


def test_a_combined_bot_gets_it_wrapped(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/stream?streams={MINI}") as bot:
        replay.play().wait()
        wrapped = [b'{"stream":"%b","data":%b}' % (MINI.encode(), payload)
                   for payload in derived(replay, MINI)]  # fmt: skip
        assert take(bot) == wrapped


def test_a_bot_that_wants_microseconds_gets_them(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/ws/{SLOW}?timeUnit=MICROSECOND") as bot:
        replay.play().wait()
        times = [json.loads(message)["E"] for message in take(bot)]
    assert times == [json.loads(p)["E"] * 1000 for p in derived(replay, SLOW)]


def test_a_bot_of_the_simple_protocol_is_fed(open_replay: OpenReplay) -> None:
    ticker = {"e": "24hrTicker", "E": 7, "s": "BTCUSDT", "C": 1, "O": 2, "n": 3}
    ticker |= dict.fromkeys("pPwcQohlvq", "1.5")
    frames = [Frame(1_000_000, "!ticker@arr", json.dumps([ticker]).encode())]
    replay = open_replay(frames, start="manual")
    with dial(replay.url) as bot:
        bot.send('{"action":"subscribe","pair":"BTCUSDT","stream":"ticker"}')
        assert json.loads(bot.recv(5))["result"] is True
        replay.play().wait()
        (event,) = map(json.loads, take(bot))
    assert (event["symbol"], event["last_price"]) == ("BTCUSDT", 1.5)


def test_recorded_streams_stay_byte_for_byte(replay: BinanceReplay) -> None:
    names = (FAST, "btcusdt@ticker", SLOW, MINI)
    with dial(f"{replay.ws_url}/ws/{'/'.join(names)}") as bot:
        replay.play().wait()
        messages = take(bot)
    recorded = [f.payload for f in replay.frames() if f.stream in names]
    made = derived(replay, SLOW) + derived(replay, MINI)
    assert len(messages) == len(recorded) + len(made)
    left = iter(messages)
    assert all(payload in left for payload in recorded)


# From when on


def test_two_bots_get_what_each_would_alone(
    open_replay: OpenReplay, demo: Path
) -> None:
    def scenario(*bots: str) -> dict[str, list[bytes]]:
        replay = open_replay(demo, speed="asap", start="manual")
        wanted = {"early": [SLOW, TOP], "late": [TOP, "!miniTicker@arr"]}
        with ExitStack() as stack:
            connected = {}
            for until, name in ((12.3, "early"), ("20.05s", "late")):
                replay.play(until=until).wait()
                if name in bots:
                    bot = stack.enter_context(dial(f"{replay.ws_url}/ws"))
                    assert ask(bot, "SUBSCRIBE", wanted[name]) == OK
                    connected[name] = bot
            replay.play().wait()
            return {name: take(bot) for name, bot in connected.items()}

    assert scenario("early", "late") == scenario("early") | scenario("late")


def test_what_a_late_bot_missed_is_counted(replay: BinanceReplay) -> None:
    replay.play(until=30).wait()
    with dial(f"{replay.ws_url}/ws/{MINI}") as bot:
        replay.wait_for_subscription(MINI).wait()
        (client,) = replay.clients
        replay.play().wait()
        assert client.missed[MINI] + len(take(bot)) == len(derived(replay, MINI))


def test_a_tape_wound_back_derives_the_same_again(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/ws/{MINI}/{TOP}") as bot:
        here = replay.play(until=10).wait()
        replay.play(until=20).wait()
        first = take(bot)
        replay.seek(here).wait()
        assert replay.position == here
        replay.play(until=20).wait()
        again = take(bot)
        assert again == first[-len(again) :]
        assert len(again) > 5


def test_positions_are_those_of_the_cassette(replay: BinanceReplay) -> None:
    frames = sum(1 for _ in replay.frames())
    with dial(f"{replay.ws_url}/ws/{SLOW}/!bookTicker"):
        assert replay.play().wait().frames == frames


def test_a_tape_can_be_stepped_to_a_derived_frame(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/ws/{SLOW}") as bot:
        replay.wait_for_subscription(SLOW).wait()
        replay.step(2, stream=SLOW).wait()
        assert take(bot) == derived(replay, SLOW)[:2]
        replay.play(until=SLOW).wait()
        assert take(bot) == derived(replay, SLOW)[2:3]
        replay.play(until=lambda frame: frame.stream == SLOW).wait()
        assert take(bot) == derived(replay, SLOW)[3:4]


def test_a_tape_starts_after_a_derived_stream(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start_after=[MINI])
    with dial(f"{replay.ws_url}/ws/{MINI}") as bot:
        replay.play().wait()
        assert len(take(bot)) == len(derived(replay, MINI))


def test_frames_of_the_tests_own_join_derived_ones(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/ws/{MINI}") as bot:
        replay.wait_for_subscription(MINI).wait()
        replay.play(until=10).wait()
        before = take(bot)
        replay.push(MINI, '"mine"').wait()
        replay.push("btcusdt@ticker", '"nothing is derived from it"').wait()
        replay.play().wait()
        made = derived(replay, MINI)
        assert before + take(bot) == [
            *made[: len(before)], b'"mine"', *made[len(before) :]
        ]  # fmt: skip
    assert not replay.missing


def test_a_looped_tape_goes_on_in_derived_streams(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start="manual", at_end="loop")
    with dial(f"{replay.ws_url}/ws/{TOP}/{MINI}") as bot:
        replay.wait_for_subscription().wait()
        replay.play(until="130s").wait()
        events = list(map(json.loads, take(bot)))
    ids = [event["lastUpdateId"] for event in events if "lastUpdateId" in event]
    times = [event["E"] for event in events if "E" in event]
    assert ids == sorted(set(ids))
    assert times == sorted(set(times))
    assert len(ids) > 2 * len(derived(replay, TOP))
    assert len(times) > 2 * len(derived(replay, MINI))


def test_a_rebased_tape_is_cut_into_the_same_windows(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start="manual", time="rebase")
    with dial(f"{replay.ws_url}/ws/{SLOW}") as bot:
        replay.play().wait()
        moved = [json.loads(message)["u"] for message in take(bot)]
    assert moved == [json.loads(payload)["u"] for payload in derived(replay, SLOW)]


# A local order book


def test_a_derived_book_ends_where_a_looped_tape_begins_anew(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo, speed="asap", start="manual", at_end="loop")
    with dial(f"{replay.ws_url}/ws/{SLOW}") as bot:
        replay.wait_for_subscription().wait()
        replay.play(until="70s").wait()
        heard: list[bytes] = []
        with pytest.raises(ConnectionClosed, match="1001"):
            read_on(bot, heard)
    assert heard == derived(replay, SLOW)


def test_a_book_joins_and_follows_a_derived_stream(
    open_replay: OpenReplay, demo: Path
) -> None:
    replay = open_replay(demo)
    with dial(f"{replay.ws_url}/ws/{SLOW}") as bot:
        changes = [parse_change(bot.recv(5, decode=False))]
        shown = get(f"{replay.rest_url}{SNAPSHOT}")
        book = OrderBook(
            "BTCUSDT",
            update_id=shown["lastUpdateId"],
            bids=shown["bids"],
            asks=shown["asks"],
        )
        replay.play().wait()
        for change in [*changes, *map(parse_change, take(bot))]:
            book.apply_change(change)
    assert book == replay.book("BTCUSDT")


@pytest.mark.parametrize("at", [1, 5.5, 17.3, 33, 50])
def test_a_book_joins_a_derived_stream_wherever_the_tape_stands(
    replay: BinanceReplay, at: float
) -> None:
    replay.play(until=at).wait()
    with dial(f"{replay.ws_url}/ws/{SLOW}") as bot:
        replay.wait_for_subscription(SLOW).wait()
        shown = get(f"{replay.rest_url}{SNAPSHOT}")
        replay.play().wait()
        events = list(map(parse_change, take(bot)))
    last_id = shown["lastUpdateId"]
    first = next(event for event in events if event.final_update_id > last_id)
    assert first.first_update_id <= last_id + 1
    book = OrderBook(
        "BTCUSDT", update_id=last_id, bids=shown["bids"], asks=shown["asks"]
    )
    for event in events:
        book.apply_change(event)
    assert book == replay.book("BTCUSDT")


def test_who_follows_a_derived_book_is_sent_away_when_the_tape_goes_back(
    replay: BinanceReplay,
) -> None:
    with dial(f"{replay.ws_url}/ws/{SLOW}") as bot:
        replay.play(until=30).wait()
        replay.seek(0).wait()
        with pytest.raises(ConnectionClosed, match="1001"):
            read_on(bot, [])


# What is missing


def test_what_cannot_be_derived_is_missing_still(replay: BinanceReplay) -> None:
    names = ["btcusdt@kline_5m", "solusdt@depth5", "!markPrice@arr", "BTCUSDT@depth"]
    with dial(f"{replay.ws_url}/ws") as bot:
        ask(bot, "SUBSCRIBE", names)
    assert [missing.asked for missing in replay.missing] == names
    assert "btcusdt@kline_1m" in replay.missing[0].nearest


def test_a_picture_without_a_snapshot_is_missing(open_replay: OpenReplay) -> None:
    diff = b'{"e":"depthUpdate","E":1,"s":"A","U":1,"u":1,"b":[["1","1"]],"a":[]}'
    replay = open_replay([Frame(1_000_000, "a@depth@100ms", diff)], start="manual")
    with dial(f"{replay.ws_url}/ws/a@depth5"):
        replay.wait_for_subscription().wait()
        assert [missing.asked for missing in replay.missing] == ["a@depth5"]


# Real recordings


@pytest.fixture
def futures(thread: LoopThread, shared_data: Path) -> Iterator[BinanceReplay]:
    """Some seconds of futures with their snapshot."""
    folder = shared_data / "hftbacktest-usdm-20240808"
    frames = list(islice(read_frames(folder / "session.jsonl.gz"), 20_000))
    body = (folder / "rest" / "BTCUSDT_depth_1000.json").read_bytes()
    request = "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    answers = [RestAnswer(frames[0].receive_time_us, request, 200, body)]
    source = SessionSource(frames, market="usdm", rest=answers)
    options = make_options({"speed": "asap", "start": "manual", "routes": "any"})
    with BinanceReplay(thread, [source], options) as replay:
        yield replay


def test_a_futures_bot_builds_its_book_of_a_derived_stream(
    futures: BinanceReplay,
) -> None:
    with dial(f"{futures.ws_url}/ws/{SLOW}/btcusdt@depth10@500ms") as bot:
        futures.wait_for_subscription(SLOW).wait()
        shown = get(f"{futures.rest_url}/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
        book = OrderBook(
            "BTCUSDT",
            "usdm",
            update_id=shown["lastUpdateId"],
            bids=shown["bids"],
            asks=shown["asks"],
        )
        futures.play().wait()
        top: dict[str, Any] = {}
        for message in take(bot):
            event = json.loads(message)
            if len(event["b"]) == len(event["a"]) == 10:
                top = event
            else:
                book.apply_change(parse_change(message))
    assert book == futures.book("BTCUSDT")
    assert not book.differences(top["b"], top["a"], depth=10)
