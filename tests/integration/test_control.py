"""The gate, orders while others are under way, and waits with their messages."""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from pytest_binance_replay.background import Handle
from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.errors import ReplayError, TapeEndedError, WaitTimeoutError
from pytest_binance_replay.goals import ToCount, ToFrame, ToTheEnd, ToTime
from pytest_binance_replay.library import SessionSource
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.tape import Position
from tests.integration.bots import ask, dial, shake_hands, take
from tests.integration.conftest import OpenReplay, OpenRig
from tests.integration.rig import Rig
from tests.staging import SECOND_US, START_US, TRADES, frames_at, trade

PATH = f"/ws/{TRADES}"
ETH = "ethusdt@trade"
FRAMES = frames_at(range(100))


def get(replay: BinanceReplay, target: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", replay.port, timeout=5)
    connection.request("GET", target)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


# The gate


def test_a_tape_starts_by_itself_once_somebody_subscribed(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(FRAMES, speed="asap")
    with dial(replay.ws_url + PATH) as bot:
        assert [bot.recv(timeout=5, decode=False) for _ in FRAMES] == [
            frame.payload for frame in FRAMES
        ]


def test_a_tape_waits_until_subscriptions_have_settled(
    open_replay: OpenReplay,
) -> None:
    both = [
        Frame(f.receive_time_us, s, f.payload) for f in FRAMES for s in (TRADES, ETH)
    ]
    replay = open_replay(both, speed="asap")
    with dial(f"{replay.ws_url}/ws") as bot:
        for n, stream in enumerate((TRADES, ETH)):
            bot.send(f'{{"method":"SUBSCRIBE","params":["{stream}"],"id":{n}}}')
        replay.play().wait()
        assert len(take(bot)) == 2 + len(both)
    assert replay.clients[0].missed == {}


@pytest.mark.parametrize("start", ["auto", "manual"])
def test_a_goal_given_before_the_start_is_exact(
    open_replay: OpenReplay, start: str
) -> None:
    replay = open_replay(FRAMES, speed="asap", start=start)

    def play() -> Handle[Position]:
        return replay.play(until=lambda frame: frame.payload == trade(41))

    early = play() if start == "auto" else None
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        playing = early or play()
        assert playing.wait().frames == 42
        assert take(bot) == [trade(n) for n in range(42)]


def test_a_tape_starts_after_all_that_is_named(open_replay: OpenReplay) -> None:
    wanted = [TRADES, ETH, "/api/v3/ping"]
    replay = open_replay(FRAMES, speed="asap", start_after=wanted)
    playing = replay.play()
    with dial(replay.ws_url + PATH) as bot:
        assert get(replay, "/api/v3/ping") == 200
        assert ask(bot, "LIST_SUBSCRIPTIONS") == b'{"result":["btcusdt@trade"],"id":1}'
        assert replay.position.frames == 0
        assert ask(bot, "SUBSCRIBE", [ETH]) == b'{"result":null,"id":1}'
        playing.wait()
        assert len(take(bot)) == len(FRAMES)


@pytest.mark.parametrize(
    ("start_after", "lacking"),
    [
        ((), "nobody subscribed yet"),
        ((ETH, "/x"), "nobody asked for /x, ethusdt@trade"),
    ],
)
def test_a_gate_that_stays_shut_is_told(
    open_rig: OpenRig, start_after: tuple[str, ...], lacking: str
) -> None:
    rig = open_rig(
        SessionSource(FRAMES),
        start="auto",
        start_after=start_after,
        stuck_seconds=0.001,
    )
    with pytest.raises(WaitTimeoutError, match=rf"for the tape to start \({lacking}"):
        rig.play().wait()


def test_a_goal_that_was_given_up_does_not_hold_for_the_start(
    open_rig: OpenRig,
) -> None:
    rig = open_rig(
        SessionSource(FRAMES), start="auto", speed="asap", stuck_seconds=0.001
    )
    with pytest.raises(WaitTimeoutError):
        order(rig, rig.control.play(ToCount(1))).wait()
    with dial(rig.url + PATH) as bot:
        assert len([bot.recv(timeout=5) for _ in FRAMES]) == len(FRAMES)


def order(rig: Rig, work: Any) -> Handle[Any]:
    return Handle(rig.thread.submit(work), "an order")


def test_a_step_before_the_start_takes_it_over(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap")
    waiting = replay.play()
    assert replay.step(3).wait().frames == 3
    assert waiting.wait().frames == 3
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        assert replay.step().wait().frames == 4
        assert take(bot) == [trade(3)]


@pytest.mark.parametrize(
    "take_over",
    [
        lambda replay: replay.pause(),
        lambda replay: replay.advance(0),
        lambda replay: replay.seek(0),
    ],
    ids=["pause", "advance", "seek"],
)
def test_other_orders_before_the_start_take_it_over_too(
    open_replay: OpenReplay, take_over: Any
) -> None:
    replay = open_replay(FRAMES, speed="asap")
    before = take_over(replay).wait().frames
    with dial(replay.ws_url + PATH) as bot:
        replay.wait_for_subscription().wait()
        replay.step(1).wait()
        assert take(bot) == [trade(before)]


def test_the_last_goal_before_the_start_counts(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap")
    first = replay.play(until=lambda frame: frame.payload == trade(10))
    second = replay.play(until=lambda frame: frame.payload == trade(20))
    with dial(replay.ws_url + PATH):
        assert second.wait().frames == 21
        assert first.wait().frames <= 21


def test_the_last_frame_has_arrived_when_play_is_done(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        replay.play().wait()
        assert len(take(bot)) == len(FRAMES)
    assert replay.done


# Orders while others are under way


def rig_with_bot(open_rig: OpenRig, **settings: Any) -> Rig:
    return open_rig(SessionSource(FRAMES), **settings)


def test_a_pause_stops_a_tape_and_play_goes_on(open_rig: OpenRig) -> None:
    rig = rig_with_bot(open_rig, speed=1)
    with dial(rig.url + PATH) as bot:
        rig.wait_until(rig.hub.listeners)
        first = rig.play()
        rig.pass_time(5 * SECOND_US, 6)
        assert order(rig, rig.control.pause()).wait().frames == 6
        assert first.wait().frames == 6
        rig.pass_time(50 * SECOND_US, 6)
        assert len(take(bot)) == 6
        second = rig.play()
        rig.pass_time(100 * SECOND_US, 100)
        assert second.wait().frames == 100


def test_orders_given_together_are_carried_out_in_order(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(FRAMES, speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        handles = [replay.step(), replay.push(TRADES, "{}"), replay.seek("+0s")]
        handles += [replay.step(2), replay.pause(), replay.play(until=10)]
        for handle in handles:
            handle.wait()
        assert replay.position.time_us == START_US + 11 * SECOND_US
        assert b"{}" in take(bot)


def test_seeking_back_while_a_play_is_being_confirmed_ends_it(
    open_rig: OpenRig,
) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap", stuck_seconds=0.5)
    with shake_hands(rig.url, PATH) as bare:
        rig.wait_until(rig.hub.listeners)
        playing = rig.play()
        rig.wait_until(lambda: rig.tape.released == 100)
        order(rig, rig.control.seek(lambda: rig.tape.seek_frame(0))).wait()
        with pytest.raises(WaitTimeoutError, match="a pong to the ping"):
            playing.wait()
        bare.close()


def test_a_seek_that_fails_leaves_everybody_on_the_tape(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap")
    with dial(rig.url + PATH) as bot:
        rig.wait_until(rig.hub.listeners)

        def wind() -> None:
            rig.tape.seek_frame(50)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            order(rig, rig.control.seek(wind)).wait()
        rig.play().wait()
        assert len(take(bot)) == 50


def test_who_follows_a_book_is_sent_away_when_the_tape_goes_back(
    open_replay: OpenReplay,
) -> None:
    depth = "btcusdt@depth@100ms"
    frames = [Frame(f.receive_time_us, depth, f.payload) for f in FRAMES]
    replay = open_replay(frames, FRAMES, speed="asap", start="manual")
    with dial(f"{replay.ws_url}/ws/{depth}"), dial(replay.ws_url + PATH):
        replay.wait_for_subscription(depth, TRADES).wait()
        replay.seek("+1s").wait()
        assert all(client.connected for client in replay.clients)
        replay.step(3).wait()
        replay.seek(0).wait()
        replay.until(lambda: not replay.clients[0].connected).wait()
        first, second = replay.clients
    assert (first.close_code, first.close_reason) == (1001, "The tape went back")
    assert second.connected


def test_rest_beside_a_stuck_play_does_not_keep_it_alive(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap", stuck_seconds=0.2)
    with shake_hands(rig.url, PATH):
        rig.wait_until(rig.hub.listeners)
        playing = rig.play()
        while not playing.done():
            rig.thread.ask(rig.server.signal.fire)
        with pytest.raises(WaitTimeoutError):
            playing.wait()


def test_a_slow_tape_may_take_its_time(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed=1, stuck_seconds=0.001)
    playing = rig.play()
    with pytest.raises(WaitTimeoutError, match="it is still under way"):
        playing.wait(0.1)
    rig.thread.ask(lambda: rig.clock.advance(100 * SECOND_US))
    assert playing.wait().frames == 100


def test_a_goal_behind_the_end_is_an_error_of_its_order(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap")
    with pytest.raises(TapeEndedError):
        order(rig, rig.control.step(ToCount(101))).wait()


def test_a_time_behind_the_end_is_no_error(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap")
    goal = ToTime(START_US + 10**12)
    assert order(rig, rig.control.play(goal)).wait().frames == 100


def test_advancing_releases_exactly_what_is_due(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed=1)
    released = [
        order(rig, rig.control.advance(us)).wait().frames
        for us in (0, 999_999, 1, 2_500_000, 500_000)
    ]
    assert released == [1, 1, 2, 4, 5]


def test_pushed_frames_do_not_pile_up(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap")
    with dial(rig.url + PATH) as bot:
        rig.wait_until(rig.hub.listeners)
        for _ in range(100):
            order(rig, rig.control.push(TRADES.encode(), b"{}")).wait()
        assert len(take(bot)) == 100
    assert rig.thread.ask(lambda: rig.tape.blocks_between(0, 10**9)) < 10


def test_a_predicate_over_frames_is_asked_on_the_servers_thread(
    open_rig: OpenRig,
) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap")
    positions: list[int] = []

    def is_tenth(frame: Frame) -> bool:
        positions.append(rig.thread.ask(lambda: rig.tape.position.frames))
        return len(positions) == 10

    def frame_at(block: Any, index: int) -> Frame:
        return Frame(block.times_us[index], TRADES, block.payloads[index])

    goal = ToFrame(is_tenth, frame_at)
    assert order(rig, rig.control.play(goal)).wait().frames == 10
    assert positions == list(range(1, 11))


# Waits


def test_waiting_for_subscriptions(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, start="manual")
    any_at_all, both = (
        replay.wait_for_subscription(),
        replay.wait_for_subscription(TRADES, ETH),
    )
    with dial(replay.ws_url + PATH) as bot:
        any_at_all.wait()
        assert not both.done()
        ask(bot, "SUBSCRIBE", [ETH])
        both.wait()


@pytest.mark.parametrize(
    ("streams", "wanted"),
    [
        ((), "a subscription to any stream"),
        ((TRADES, ETH), f"a subscription to {ETH};"),
    ],
)
def test_a_subscription_that_never_comes_is_told(
    open_replay: OpenReplay, streams: tuple[str, ...], wanted: str
) -> None:
    replay = open_replay(FRAMES, start="manual")
    with dial(replay.ws_url + (PATH if streams else "/ws")):
        if streams:
            replay.wait_for_subscription(TRADES).wait()
        with pytest.raises(WaitTimeoutError, match=f"waited 0.01 s for {wanted}"):
            replay.wait_for_subscription(*streams, timeout=0.01).wait()


def test_waiting_for_a_request(open_replay: OpenReplay) -> None:
    replay = open_replay(FRAMES, start="manual")
    waiting = replay.wait_for_request("/api/v3/ping")
    get(replay, "/api/v3/ping")
    waiting.wait()
    with pytest.raises(WaitTimeoutError) as raised:
        replay.wait_for_request("/api/v3/time", timeout=0.01).wait()
    assert str(raised.value) == (
        "waited 0.01 s for a request for /api/v3/time; the tape stands at frame 0, "
        "recorded 2026-11-20T10:00:00.000000Z; no client ever connected; "
        "requests: /api/v3/ping (200)"
    )


def test_waiting_for_a_reconnect_counts_each_return_once(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(FRAMES, start="manual")
    waits = [replay.wait_for_reconnect(), replay.wait_for_reconnect()]
    with dial(replay.ws_url + PATH):
        pass
    replay.until(lambda: not replay.clients[0].connected).wait()
    with dial(replay.ws_url + PATH):
        replay.until(lambda: any(wait.done() for wait in waits)).wait()
        assert sum(wait.done() for wait in waits) == 1
    replay.until(lambda: not replay.clients[1].connected).wait()
    with dial(replay.ws_url + PATH):
        for wait in waits:
            wait.wait()
    with pytest.raises(ReplayError, match="for a client to connect again"):
        replay.wait_for_reconnect(timeout=0.01).wait()


def test_playing_to_the_end_twice_is_fine(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(FRAMES), speed="asap")
    for _ in range(2):
        assert order(rig, rig.control.play(ToTheEnd())).wait().frames == 100
