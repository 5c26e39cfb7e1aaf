"""The object that a test holds."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.errors import (
    CassetteFormatError,
    CheckWarning,
    ClientVanishedError,
    ForgottenHandleError,
    LoopHasNoEndError,
    MarketUnknownError,
    MissingDataError,
    OptionError,
    ReplayClosedError,
    ServerFailedError,
    TapeEndedError,
    WaitTimeoutError,
)
from pytest_binance_replay.events import Trade
from pytest_binance_replay.journal import ClientRequest
from pytest_binance_replay.library import CassetteSource, SessionSource
from pytest_binance_replay.options import make_options
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.tape import Position
from tests.integration.bots import (
    dial,
    join,
    open_socket,
    read,
    read_all,
    shake_hands,
    take,
)
from tests.integration.conftest import OpenReplay
from tests.staging import SECOND_US, START_US, TRADES, frames_at, trade

PATH = f"/ws/{TRADES}"
ETH = "ethusdt@trade"
FRAMES = frames_at(range(100))
START = datetime.fromtimestamp(START_US // SECOND_US, UTC)


def numbers(messages: list[bytes]) -> list[int]:
    """The numbers that trades are marked with."""
    return [json.loads(message)["t"] for message in messages]


@pytest.fixture
def replay(open_replay: OpenReplay) -> BinanceReplay:
    return open_replay(FRAMES, speed="asap", start="manual")


# Where to connect


def test_the_addresses_are_of_one_port(replay: BinanceReplay) -> None:
    assert replay.url == f"ws://127.0.0.1:{replay.port}/stream/"
    assert replay.ws_url == f"ws://127.0.0.1:{replay.port}"
    assert replay.rest_url == f"http://127.0.0.1:{replay.port}"
    assert replay.env["BINANCE_REPLAY_URL"] == replay.url
    assert replay.env["BINANCE_REPLAY_WS_URL"] == replay.ws_url
    assert replay.env["BINANCE_REPLAY_REST_URL"] == replay.rest_url
    assert "127.0.0.1" in replay.env["NO_PROXY"]


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")]
)
def test_an_address_is_one_that_can_be_connected_to(
    thread: LoopThread, host: str, shown: str
) -> None:
    with BinanceReplay(thread, host=host) as replay:
        assert replay.ws_url == f"ws://{shown}:{replay.port}"
        with dial(f"{replay.ws_url}/ws"):
            pass


# The tape


@pytest.mark.parametrize(
    ("until", "frames"),
    [
        (None, 100),
        (10, 11),
        (10.5, 11),
        ("10s", 11),
        ("1m", 61),
        ("+5s", 6),
        (START + timedelta(seconds=20), 21),
        (TRADES, 1),
        (lambda frame: frame.payload == trade(7), 8),
        (lambda frame: frame.receive_time_us >= START_US + 9 * SECOND_US, 10),
    ],
)
def test_a_tape_plays_until_what_it_was_told(
    replay: BinanceReplay, until: Any, frames: int
) -> None:
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        assert replay.play(until=until).wait().frames == frames
        assert numbers(take(bot)) == list(range(frames))


@pytest.mark.parametrize("until", ["soon", "-", datetime(2026, 1, 1), object()])  # noqa: DTZ001 - on purpose
def test_nonsense_to_play_to_is_refused_at_the_call(
    replay: BinanceReplay, until: Any
) -> None:
    with pytest.raises(ValueError, match=r"play\(until="):
        replay.play(until=until)


@pytest.mark.parametrize("get", ["play", "until"])
def test_an_async_predicate_is_refused_at_the_call(
    replay: BinanceReplay, get: str
) -> None:
    async def bought() -> bool:
        return True

    order: Callable[[Any], object] = getattr(replay, get)
    with pytest.raises(TypeError, match="bought is async; a predicate must answer"):
        order(bought)


def test_until_is_not_asked_about_frames(replay: BinanceReplay) -> None:
    with pytest.raises(TypeError, match=r"until.. asks without arguments"):
        replay.until(lambda frame: frame)  # type: ignore[arg-type, misc]


def test_a_tape_plays_until_the_test_is_content(replay: BinanceReplay) -> None:
    got: list[bytes] = []
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        replay.speed = 100

        def bot_saw_five() -> bool:
            got.extend(take(bot))
            return len(got) >= 5

        position = replay.play(until=bot_saw_five).wait()
        assert 5 <= position.frames < 100
        assert len(got) + len(take(bot)) == position.frames


@pytest.mark.asyncio
async def test_a_tape_plays_until_an_async_test_is_content(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(FRAMES, speed=100)
    got: list[bytes] = []
    async with join(replay.ws_url + PATH) as bot:

        async def trade_along() -> None:
            while True:
                got.extend(await read(bot, 1))

        trading = asyncio.create_task(trade_along())
        position = await replay.play(until=lambda: len(got) >= 5)
        assert 5 <= position.frames < 100
        trading.cancel()


def test_content_that_never_comes_is_told(replay: BinanceReplay) -> None:
    with pytest.raises(
        WaitTimeoutError, match=r"lambda: False.* to hold while playing"
    ):
        replay.play(until=lambda: False).wait(0.01)


@pytest.mark.parametrize(
    ("start_after", "lacking"),
    [((), "nobody subscribed yet"), ((ETH,), "nobody asked for ethusdt@trade yet")],
)
def test_giving_up_early_tells_what_a_play_waits_for(
    open_replay: OpenReplay, start_after: tuple[str, ...], lacking: str
) -> None:
    replay = open_replay(FRAMES, start_after=start_after)
    playing = replay.play()
    with pytest.raises(WaitTimeoutError) as late:
        playing.wait(0.001)
    assert late.value.seen == (
        f"it is still under way ({lacking}); the tape stands at {replay.position}; "
        "no client ever connected"
    )


def test_an_error_while_playing_is_told_to_who_waits_to_be_content(
    open_replay: OpenReplay, broken: Path
) -> None:
    replay = open_replay(broken, speed="asap", start="manual")
    with pytest.raises(CassetteFormatError, match=r"dip\.jsonl:4"):
        replay.play(until=lambda: False).wait()


def test_a_step_of_a_stream_brings_what_lies_between(open_replay: OpenReplay) -> None:
    mixed = [
        Frame(START_US + n, ETH if n % 10 == 9 else TRADES, trade(n)) for n in range(50)
    ]
    replay = open_replay(mixed, start="manual", speed="asap")
    assert replay.step(2, stream=ETH).wait().frames == 20


def test_a_step_of_nothing_is_refused(replay: BinanceReplay) -> None:
    with pytest.raises(ValueError, match=r"step\(0\): expected 1 or more"):
        replay.step(0)


@pytest.mark.parametrize(("seconds", "frames"), [(0, 1), (2.5, 3), ("90s", 91)])
def test_advancing_releases_what_is_due(
    replay: BinanceReplay, seconds: Any, frames: int
) -> None:
    assert replay.advance(seconds).wait().frames == frames


@pytest.mark.parametrize("seconds", [-1, "soon", None])
def test_nonsense_to_advance_by_is_refused_at_the_call(
    replay: BinanceReplay, seconds: Any
) -> None:
    with pytest.raises(ValueError, match=r"advance\(.*\): expected a length of time"):
        replay.advance(seconds)


@pytest.mark.parametrize(
    ("to", "frames"),
    [
        (0, 0),
        (30, 30),
        ("30s", 30),
        ("+10s", 29),
        ("-10s", 9),
        (START + timedelta(seconds=99), 99),
        (Position(40, None), 40),
        (1000, 100),
    ],
)
def test_seeking_stands_before_a_moment(
    replay: BinanceReplay, to: Any, frames: int
) -> None:
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        replay.step(20).wait()
        take(bot)
        assert replay.seek(to).wait().frames == frames
        replay.play().wait()
        assert numbers(take(bot)) == list(range(frames, 100))


def test_the_speed_can_be_changed_at_any_time(replay: BinanceReplay) -> None:
    replay.speed = "2"  # type: ignore[assignment]
    assert replay.speed == 2
    playing = replay.play()
    replay.speed = "asap"
    assert playing.wait().frames == 100
    with pytest.raises(OptionError, match="expected 'auto', 'asap'"):
        replay.speed = -1


def test_long_silences_are_cut(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, max_gap="1ms", speed="asap", start="manual")
    assert replay.advance("10ms").wait().frames == 11


def test_position_and_done_follow_the_tape(replay: BinanceReplay) -> None:
    assert replay.position == Position(0, START_US)
    assert not replay.done
    replay.play().wait()
    assert replay.position == Position(100, None)
    assert replay.done


def test_a_predicate_over_frames_may_look_and_may_not_wait(
    replay: BinanceReplay,
) -> None:
    seen: list[int] = []

    def looks(frame: Frame) -> bool:
        seen.append(replay.position.frames)
        return len(replay.clients) == 0 and replay.done

    assert replay.play(until=looks).wait().frames == 100
    assert seen == list(range(1, 101))
    replay.seek(0).wait()
    with pytest.raises(RuntimeError, match="runs on the server's thread"):
        replay.play(until=lambda _: replay.pause().wait()).wait()


def test_a_predicate_that_raises_ends_its_order_only(replay: BinanceReplay) -> None:
    with pytest.raises(ZeroDivisionError):
        replay.play(until=lambda frame: 1 // 0).wait()
    assert replay.play().wait().frames == 100
    assert replay.problems() == []


def test_what_the_tape_holds_can_be_read(open_replay: OpenReplay, demo: Path) -> None:
    replay = open_replay(demo)
    assert replay.cassette == "spot.jsonl"
    trades = list(replay.frames("btcusdt@trade"))
    assert {frame.stream for frame in trades} == {"btcusdt@trade"}
    events = list(replay.events("btcusdt@trade"))
    assert len(events) == len(trades)
    assert all(isinstance(event, Trade) for event in events)
    assert sum(1 for _ in replay.frames()) > len(trades)


def test_an_array_is_read_as_its_members(
    open_replay: OpenReplay, shared_data: Path
) -> None:
    path = shared_data / "tomsep-spot-ticker-arr-20190928" / "session.jsonl"
    replay = open_replay(path)
    (frame,) = replay.frames()
    assert len(list(replay.events())) == len(json.loads(frame.payload))


# The end of the tape


def test_a_tape_may_hold_at_its_end(replay: BinanceReplay) -> None:
    with dial(replay.ws_url + PATH):
        replay.play().wait()
        assert replay.clients[0].connected


def test_a_tape_may_close_at_its_end(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap", at_end="close", start="manual")
    sleeper = shake_hands(replay.ws_url, PATH)
    with dial(replay.ws_url + PATH) as bot, dial(f"{replay.ws_url}/ws") as idle:
        replay.wait_for_subscription().wait()
        replay.play()
        for _ in FRAMES:
            bot.recv(timeout=5)
        for connection in (bot, idle):
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(timeout=5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
    sleeper.close()


def test_a_tape_that_closes_at_its_end_gives_everybody_the_rest_first(
    open_replay: OpenReplay,
) -> None:
    bulky = [
        Frame(START_US + n, TRADES, b'"%s"' % bytes([65] * 2000)) for n in range(2000)
    ]
    replay = open_replay(bulky, speed="asap", at_end="close", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        replay.play()
        for _ in range(2000):
            bot.recv(timeout=5)
        with pytest.raises(ConnectionClosed) as closed:
            bot.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert replay.sent == {TRADES: 2000}


def test_who_follows_a_book_is_sent_away_before_the_next_round(
    open_replay: OpenReplay,
) -> None:
    depth = "btcusdt@depth@100ms"
    mixed = [
        f if n % 2 else Frame(f.receive_time_us, depth, f.payload)
        for n, f in enumerate(FRAMES)
    ]
    replay = open_replay(mixed, speed="asap", at_end="loop", start="manual")
    with dial(f"{replay.ws_url}/ws/{depth}") as book, dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription(depth, TRADES).wait()
        replay.step(200).wait()
        assert len(take(bot)) == 100
        for _ in range(50):
            book.recv(timeout=5)
        with pytest.raises(ConnectionClosed) as closed:
            book.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "The book does not go on here"
    assert replay.clients[0].sent == {depth: 50}


def test_who_begins_a_book_with_a_round_is_not_sent_away(
    open_replay: OpenReplay,
) -> None:
    depth = "btcusdt@depth@100ms"
    frames = [Frame(f.receive_time_us, depth, f.payload) for f in FRAMES]
    replay = open_replay(frames, speed="asap", at_end="loop", start="manual")
    replay.step(100).wait()
    with dial(f"{replay.ws_url}/ws/{depth}") as book:
        replay.wait_for_subscription().wait()
        replay.step(100).wait()
        assert len(take(book)) == 100


def test_a_tape_may_go_round(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap", at_end="loop", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        assert replay.step(250).wait().frames == 250
        assert len(take(bot)) == 250
    with pytest.raises(LoopHasNoEndError):
        replay.play()


def test_the_end_may_be_a_failure(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap", at_end="fail", start="manual")
    replay.step(99).wait()
    assert replay.problems() == []
    replay.step(1).wait()
    (problem,) = replay.problems()
    assert isinstance(problem, TapeEndedError)


def test_times_can_be_moved_so_that_the_first_is_now(open_replay: OpenReplay) -> None:
    payload = b'{"e":"trade","E":%d,"s":"BTCUSDT","t":1,"T":%d}'
    then_ms = START_US // 1000
    frame = Frame(START_US, TRADES, payload % (then_ms, then_ms - 2))
    replay = open_replay([frame], time="rebase", speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        replay.play().wait()
        (message,) = map(json.loads, take(bot))
    assert abs(message["E"] - wall_us() // 1000) < 60_000
    assert message["E"] - message["T"] == 2


# What the bot did


def test_what_clients_did_is_told(replay: BinanceReplay) -> None:
    with dial(replay.ws_url + PATH) as bot, dial(f"{replay.ws_url}/stream") as other:
        other.send(f'{{"method":"SUBSCRIBE","params":["{TRADES}"],"id":7}}')
        other.recv(timeout=5)
        replay.step(3).wait()
        take(bot)
        assert replay.subscriptions == (TRADES,)
        assert replay.sent == {TRADES: 6}
        assert [r.path for r in replay.clients] == [PATH, "/stream"]
        (request,) = replay.requests
        assert isinstance(request, ClientRequest)
        assert request.replies == ('{"result":null,"id":7}',)
    assert replay.describe().startswith("cassette: the loaded session\n")


# Frames of the test's own


def test_a_pushed_frame_goes_to_who_is_subscribed(replay: BinanceReplay) -> None:
    with dial(replay.ws_url + PATH) as bot, dial(f"{replay.ws_url}/ws/{ETH}") as other:
        replay.wait_for_subscription(TRADES, ETH).wait()
        replay.push(TRADES, '{"before":"the start"}').wait()
        replay.push(ETH, b'{"of":"a stream that the tape lacks"}').wait()
        replay.play().wait()
        assert replay.push(TRADES, '{"at":"the end"}').wait().frames == 103
        first, *between, last = take(bot)
        assert (first, last) == (b'{"before":"the start"}', b'{"at":"the end"}')
        assert numbers(between) == list(range(100))
        assert take(other) == [b'{"of":"a stream that the tape lacks"}']
    assert replay.problems() == []


def test_a_payload_that_is_no_text_is_refused_at_the_call(
    replay: BinanceReplay,
) -> None:
    with pytest.raises(UnicodeError):
        replay.push(TRADES, b"\xff")
    with pytest.raises(UnicodeError):
        replay.push(TRADES, "\ud800")


def test_sessions_are_played_one_after_the_other(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap", start="manual")
    port = replay.port
    for round_ in range(3):
        with dial(replay.ws_url + PATH) as bot:
            replay.wait_for_subscription().wait()
            replay.play().wait()
            assert len(take(bot)) == (100 if round_ == 0 else 2)
            replay.load([(TRADES, '{"n":1}'), Frame(wall_us() + 10**9, TRADES, b"{}")])
            with pytest.raises(ConnectionClosed) as closed:
                bot.recv(timeout=5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert replay.port == port
        assert replay.clients == ()
        assert replay.position.frames == 0
    assert replay.problems() == []


def test_who_connects_while_a_session_is_loaded_waits_for_it(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(FRAMES, speed="asap", start="manual")
    done = threading.Event()
    lost: list[Exception] = []

    def knock() -> None:
        while not done.is_set():
            try:
                with dial(f"{replay.ws_url}/ws"):
                    pass
            except ConnectionRefusedError as error:
                lost.append(error)
            except (WebSocketException, OSError, EOFError):
                pass  # Its handshake was cut short by the change.

    knocking = threading.Thread(target=knock)
    knocking.start()
    for _ in range(10):
        replay.load([(TRADES, "{}")])
    done.set()
    knocking.join()
    assert lost == []


def test_orders_under_way_end_when_another_session_is_loaded(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(FRAMES, speed=1, start="manual")
    playing = replay.play()
    replay.load([(TRADES, "{}")])
    with pytest.raises(ReplayClosedError, match="the tape to be played"):
        playing.wait()


def test_what_was_wrong_before_a_session_is_loaded_stays_wrong(
    replay: BinanceReplay,
) -> None:
    with dial(f"{replay.ws_url}/ws/ethusdt@trades"):
        pass
    for _ in range(2):
        replay.load([(TRADES, "{}")])
    (problem,) = replay.problems()
    assert isinstance(problem, MissingDataError)


# What was wrong


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "dip.jsonl"
    lines = ['{"cassette":1,"market":"spot","streams":["btcusdt@trade"]}']
    lines += [
        f'{{"t":{START_US + n},"stream":"{TRADES}","data":{trade(n).decode()}}}'
        for n in range(2)
    ]
    path.write_text("\n".join([*lines, '{"t":12,"str', *lines[1:]]) + "\n")
    return path


def test_a_broken_line_is_told_with_its_place_and_the_server_lives_on(
    open_replay: OpenReplay, broken: Path
) -> None:
    replay = open_replay(broken, speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        for _ in range(2):
            with pytest.raises(CassetteFormatError, match=r"dip\.jsonl:4: not a"):
                replay.play().wait()
        with pytest.raises(CassetteFormatError, match=r"dip\.jsonl:4: not a"):
            replay.push(TRADES, "{}").wait()
        assert replay.pause().wait().frames == 2
        assert take(bot) == [trade(0), trade(1)]
        assert replay.seek(0).wait().frames == 0
        assert replay.step(2).wait().frames == 2
        assert take(bot) == [trade(0), trade(1)]
        assert "at the end" in replay.describe()
    assert replay.problems() == []


def test_a_broken_line_that_nobody_waited_for_is_a_problem(
    open_replay: OpenReplay, broken: Path
) -> None:
    replay = open_replay(broken, speed="asap")
    with dial(replay.ws_url + PATH):
        replay.until(lambda: replay._stage.player.failure).wait()
    (problem,) = replay.problems()
    assert isinstance(problem, CassetteFormatError)
    assert replay.complaints() == [problem]


def test_the_error_of_an_order_that_nobody_waited_for_is_a_problem(
    replay: BinanceReplay,
) -> None:
    handle = replay.step(1000)
    replay.until(handle.done).wait()
    (problem,) = replay.problems()
    assert isinstance(problem, TapeEndedError)
    with pytest.raises(TapeEndedError):
        handle.wait()
    assert replay.problems() == []


def test_a_stream_that_was_misspelt_is_said_to_be_none(replay: BinanceReplay) -> None:
    misspelt = TRADES.replace("@trade", "@trades")
    with pytest.raises(TapeEndedError) as raised:
        replay.step(stream=misspelt).wait()
    assert (
        f"before 1 more frame of '{misspelt}' (no cassette has that stream; did you "
        f"mean {TRADES}"
    ) in str(raised.value)
    with pytest.raises(TapeEndedError) as raised:
        replay.step(9999, stream=TRADES).wait()
    assert "no cassette has" not in str(raised.value)


def test_a_wait_that_nobody_waited_for_is_a_problem(replay: BinanceReplay) -> None:
    replay.until(lambda: True)
    (problem,) = replay.problems()
    assert isinstance(problem, ForgottenHandleError)
    assert "replay.until(lambda: True) to hold" in str(problem)


def ask_for_more(replay: BinanceReplay) -> None:
    with dial(f"{replay.ws_url}/ws/btcusdt@trades"):
        pass


def vanish(replay: BinanceReplay) -> None:
    bare = shake_hands(replay.ws_url, PATH)
    replay.wait_for_subscription().wait()
    bare.close()
    replay.until(lambda: not replay.clients[0].connected).wait()


def break_down(replay: BinanceReplay) -> None:
    replay._stage.server.failures.append(ZeroDivisionError("by a bug"))


@pytest.mark.parametrize(
    ("check", "do_wrong", "error"),
    [
        ("missing", ask_for_more, MissingDataError),
        ("vanished", vanish, ClientVanishedError),
        ("server", break_down, ServerFailedError),
    ],
)
def test_each_check_can_be_relaxed(
    open_replay: OpenReplay,
    check: str,
    do_wrong: Callable[[BinanceReplay], None],
    error: type[Exception],
) -> None:
    for severity in ("fail", "warn", "ignore"):
        replay = open_replay(FRAMES, start="manual", check={check: severity})
        do_wrong(replay)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            problems = replay.problems()
        assert [type(p) for p in problems] == [error] * (severity == "fail")
        told = [w for w in warned if issubclass(w.category, CheckWarning)]
        assert len(told) == (severity == "warn")


def test_what_clients_do_when_the_test_is_over_is_their_own_affair(
    replay: BinanceReplay,
) -> None:
    bare = shake_hands(replay.ws_url, PATH)
    replay.wait_for_subscription().wait()
    replay.test_is_over()
    bare.close()
    replay.until(lambda: not replay.clients[0].connected).wait()
    assert replay.problems() == []


def test_who_vanished_from_a_replay_that_the_test_closed_is_told(
    replay: BinanceReplay,
) -> None:
    vanish(replay)
    replay.close()
    replay.test_is_over()
    assert [type(problem) for problem in replay.problems()] == [ClientVanishedError]


def test_who_comes_when_the_test_is_over_is_not_its_affair(
    replay: BinanceReplay,
) -> None:
    replay.test_is_over()
    vanish(replay)
    assert replay.problems() == []


def test_a_block_checks_and_closes(thread: LoopThread) -> None:
    with (
        pytest.raises(MissingDataError),
        BinanceReplay(thread, [SessionSource(FRAMES)]) as replay,
    ):
        ask_for_more(replay)
    assert replay.closed


def test_a_block_closes_where_a_check_only_warns(thread: LoopThread) -> None:
    options = make_options({"check": {"missing": "warn"}})
    with (
        pytest.raises(CheckWarning),
        BinanceReplay(thread, [SessionSource(FRAMES)], options) as replay,
    ):
        ask_for_more(replay)
    assert replay.closed


def test_an_error_in_a_block_hides_no_other(thread: LoopThread) -> None:
    replay = BinanceReplay(thread, [SessionSource(FRAMES)])

    def fail_in_a_block() -> None:
        with replay:
            ask_for_more(replay)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_a_block()
    assert replay.closed


# The end


def test_a_closed_replay_can_be_looked_at_and_takes_no_orders(
    replay: BinanceReplay,
) -> None:
    with dial(replay.ws_url + PATH):
        replay.step(3).wait()
        replay.close()
        replay.close()
    assert replay.position.frames == 3
    assert len(replay.clients) == 1
    assert replay.problems() == []
    with pytest.raises(ReplayClosedError, match=r"step\(1\)"):
        replay.step()
    with pytest.raises(ReplayClosedError, match=r"load\(\)"):
        replay.load([])


def test_what_was_wrong_is_told_of_a_closed_replay(replay: BinanceReplay) -> None:
    ask_for_more(replay)
    replay.close()
    for _ in range(2):
        assert [type(problem) for problem in replay.problems()] == [MissingDataError]


def test_who_knocks_at_the_last_moment_is_not_left_waiting(
    open_replay: OpenReplay,
) -> None:
    for _ in range(30):
        replay = open_replay(FRAMES)
        with open_socket(replay.ws_url) as bare:
            replay.close()
            assert read_all(bare) == b""


def test_a_replay_leaves_nothing_on_the_loop(
    thread: LoopThread, open_replay: OpenReplay
) -> None:
    def left() -> tuple[int, int]:
        loop: Any = thread.loop
        return len(loop._selector.get_map()), len(asyncio.all_tasks(loop))

    before = thread.ask(left)
    for connects in (False, True):
        replay = open_replay(FRAMES, speed="asap")
        if connects:
            with dial(replay.ws_url + PATH) as bot:
                bot.recv()
        replay.close()
        assert thread.ask(left) == before


def test_orders_under_way_end_with_the_replay(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed=1, start="manual")
    playing = replay.play()
    replay.close()
    with pytest.raises(ReplayClosedError):
        playing.wait()


def test_a_replay_that_cannot_start_gives_its_port_back(
    thread: LoopThread, tmp_path: Path
) -> None:
    path = tmp_path / "dip.jsonl"
    path.write_text('{"t":1,"stream":"x@depth","data":{}}\n')
    source = CassetteSource(path, "dip", warn=lambda _: None)
    with pytest.raises(MarketUnknownError):
        BinanceReplay(thread, [source], make_options({}))
