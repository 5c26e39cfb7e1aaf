"""Whatever one client does, the server lives on and the others lose nothing."""

from __future__ import annotations

import gc
import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.library import SessionSource
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.bots import (
    ask,
    dial,
    masked,
    open_socket,
    read_all,
    request,
    shake_hands,
    take,
)
from tests.integration.conftest import OpenReplay, OpenRig
from tests.staging import START_US, frames_at

FRAMES = frames_at(range(300))
PATH = "/ws/btcusdt@trade"
BULKY = [
    Frame(START_US + n, "btcusdt@trade", b'{"n":%d,"fill":"%s"}' % (n, b"x" * 1000))
    for n in range(16_000)
]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Sockets and tasks that nobody closed make themselves known when collected."""
    yield
    gc.collect()


def cut_off(bare: socket.socket) -> None:
    """Close so that the other side sees a reset."""
    linger = struct.pack("ii", 1, 0)
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    bare.close()


def garbage_for_http(url: str) -> None:
    with open_socket(url) as bare:
        bare.sendall(b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
        assert read_all(bare).startswith(b"HTTP/1.1 400 ")


def another_method(url: str) -> None:
    with open_socket(url) as bare:
        bare.sendall(b"POST /api/v3/order HTTP/1.0\r\nHost: local\r\n\r\n")
        assert read_all(bare).startswith(b"HTTP/1.1 4")


def a_huge_request_line(url: str) -> None:
    with open_socket(url) as bare:
        bare.sendall(b"GET /ws/" + b"x" * 70_000)
        assert read_all(bare).startswith(b"HTTP/1.1 414 ")


def half_a_request(url: str) -> None:
    with open_socket(url) as bare:
        bare.sendall(b"GET /ws HTTP/1.1\r\nHo")


def a_silent_connection(url: str) -> None:
    open_socket(url).close()


def no_upgrade_key(url: str) -> None:
    with open_socket(url) as bare:
        bare.sendall(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
        assert read_all(bare).startswith(b"HTTP/1.1 4")


def an_unknown_path(url: str) -> None:
    with open_socket(url) as bare:
        bare.sendall(
            b"GET /nowhere HTTP/1.1\r\nHost: local\r\nUpgrade: websocket\r\n\r\n"
        )
        assert read_all(bare).startswith(b"HTTP/1.1 404 ")


def garbage_text(url: str) -> None:
    with dial(url + PATH) as bot:
        bot.send("garbage")
        assert json.loads(bot.recv(timeout=5))["error"]["code"] == 3


def binary(url: str) -> None:
    with dial(url + PATH) as bot:
        bot.send(b"\0\1\2")
        assert closed_with(bot) == 1008


def ten_megabytes(url: str) -> None:
    with dial(url + PATH) as bot:
        with suppress(ConnectionClosed):
            bot.send("x" * 10_000_000)
        assert closed_with(bot) in {1009, 1006}  # 1006 if reset while it still sends


def more_than_a_megabyte(url: str) -> None:
    with shake_hands(url, PATH) as bare:
        bare.sendall(masked(1, bytes(2**20 + 1))[:100])
        assert b"\x03\xf1" in bare.recv(100)


def invalid_utf8(url: str) -> None:
    with shake_hands(url, PATH) as bare:
        bare.sendall(masked(1, b"\xff\xfe"))
        assert b"\x03\xef" in bare.recv(100)


def an_unmasked_frame(url: str) -> None:
    with shake_hands(url, PATH) as bare:
        bare.sendall(b"\x81\x02{}")
        assert b"\x03\xea" in bare.recv(100)


def vanishing_in_a_frame(url: str) -> None:
    bare = shake_hands(url, PATH)
    bare.sendall(masked(1, b"{}" * 500)[:300])
    cut_off(bare)


def vanishing_after_a_request(url: str) -> None:
    bare = shake_hands(url, PATH)
    bare.sendall(masked(1, request("LIST_SUBSCRIPTIONS").encode()) * 50)
    cut_off(bare)


def half_open(url: str) -> None:
    with shake_hands(url, PATH) as bare:
        bare.shutdown(socket.SHUT_WR)
        read_all(bare)


def a_close_frame_and_away(url: str) -> None:
    bare = shake_hands(url, PATH)
    bare.sendall(masked(8, struct.pack("!H", 1000)))
    cut_off(bare)


def a_flood_of_streams(url: str) -> None:
    with dial(url + "/ws") as bot:
        names = [f"coin{n}usdt@trade" for n in range(2000)]
        assert json.loads(ask(bot, "SUBSCRIBE", names))["error"]["code"] == 4
        assert ask(bot, "SUBSCRIBE", names[:1024]) == b'{"result":null,"id":1}'


def closed_with(bot: object) -> int | None:
    """The close code; frames that came before are skipped."""
    try:
        while True:
            bot.recv(timeout=5)  # type: ignore[attr-defined]
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


@pytest.mark.parametrize(
    "misbehave",
    [
        garbage_for_http,
        another_method,
        a_huge_request_line,
        half_a_request,
        a_silent_connection,
        no_upgrade_key,
        an_unknown_path,
        garbage_text,
        binary,
        ten_megabytes,
        more_than_a_megabyte,
        invalid_utf8,
        an_unmasked_frame,
        vanishing_in_a_frame,
        vanishing_after_a_request,
        half_open,
        a_close_frame_and_away,
        a_flood_of_streams,
    ],
)
def test_a_good_client_gets_everything_beside(
    open_replay: OpenReplay, misbehave: Callable[[str], None]
) -> None:
    replay = open_replay(FRAMES, speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as good:
        replay.step(100).wait()
        misbehave(replay.ws_url)
        replay.step(100).wait()
        misbehave(replay.ws_url)
        replay.play().wait()
        assert take(good) == [frame.payload for frame in FRAMES]
    assert replay._stage.server.failures == []


@pytest.mark.slow
def test_a_client_that_closes_in_mid_burst_is_let_go(open_replay: OpenReplay) -> None:
    replay = open_replay(BULKY, speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as good:
        bare = shake_hands(replay.ws_url, PATH)
        playing = replay.play()
        bare.recv(10_000)
        bare.sendall(masked(8, struct.pack("!H", 1000)))
        while bare.recv(65536):
            pass
        bare.close()
        playing.wait()
        assert len(take(good)) == len(BULKY)
    assert replay.clients[1].close_code == 1000
    assert not replay.clients[1].vanished


def test_a_client_that_vanishes_while_frames_are_due_is_a_problem(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(BULKY, speed="asap", start="manual")
    bare = asleep(replay.ws_url)
    replay.wait_for_subscription().wait()
    playing = replay.play()
    bare.recv(1000)
    cut_off(bare)
    playing.wait()
    (problem,) = replay.problems()
    assert "client 1" in str(problem)
    assert replay.clients[0].close_code == 1006


def asleep(url: str) -> socket.socket:
    """A client that never reads, with as little room for the unread as can be."""
    return shake_hands(url, PATH, receive_bytes=4096)


@pytest.mark.slow
def test_who_never_reads_lags_and_holds_nobody(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(BULKY), speed="asap", stuck_seconds=0.3)
    with asleep(rig.url), dial(rig.url + PATH) as good:
        rig.wait_until(lambda: len(rig.hub.listeners()) == 2)
        playing = rig.play()
        assert [good.recv(timeout=5, decode=False) for _ in BULKY] == [
            frame.payload for frame in BULKY
        ]
        with pytest.raises(TimeoutError, match=r"client 1.*behind the tape"):
            playing.wait()
        assert rig.thread.ask(lambda: rig.hub.clients[0].cursor) < len(BULKY)


@pytest.mark.slow
def test_who_reads_late_still_gets_everything(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(BULKY), speed="asap", stuck_seconds=0.3)
    late = shake_hands(rig.url, PATH, receive_bytes=65536)
    with late, dial(rig.url + PATH):
        rig.wait_until(lambda: len(rig.hub.listeners()) == 2)
        with pytest.raises(TimeoutError):
            rig.play().wait()
        assert rig.thread.ask(lambda: rig.store._firsts)
        expected = b"".join(
            b"\x81\x7e" + struct.pack("!H", len(f.payload)) + f.payload for f in BULKY
        )
        assert read_exactly(late, len(expected)) == expected


def read_exactly(bare: socket.socket, size: int) -> bytes:
    """Some bytes, without the pings between frames."""
    got = b""
    while len(got) < size:
        got += bare.recv(1 << 20)
        while (at := got.find(b"\x89\x0d")) >= 0:
            got = got[:at] + got[at + 15 :]
    return got


def test_a_client_that_cannot_be_served_is_told_and_so_is_the_test(
    open_rig: OpenRig,
) -> None:
    rig = open_rig(SessionSource(BULKY), speed="asap", stuck_seconds=0.3)
    late = shake_hands(rig.url, PATH, receive_bytes=65536)
    with late, dial(rig.url + PATH) as good:
        rig.wait_until(lambda: len(rig.hub.listeners()) == 2)
        rig.play()
        assert len([good.recv(timeout=5) for _ in BULKY]) == len(BULKY)
        rig.thread.ask(rig.store.clear)  # What the sleeper still needs is lost.
        assert b"The replay server failed" in read_all(late)
        rig.wait_until(lambda: rig.server.failures)
        assert [type(error) for error in rig.server.failures] == [IndexError]
    record = rig.thread.ask(rig.hub.records)[0]
    assert record.close_code == 1011


@pytest.mark.slow
def test_a_stalled_tape_waits_for_who_never_reads(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(BULKY), speed="asap", lag="stall", stuck_seconds=0.3)
    with asleep(rig.url) as late, dial(rig.url + PATH):
        rig.wait_until(lambda: len(rig.hub.listeners()) == 2)
        playing = rig.play()
        with pytest.raises(
            TimeoutError, match=r"waited 0\.3 s for the clients to take"
        ):
            playing.wait()
        assert rig.thread.ask(lambda: rig.tape.released) < len(BULKY)
        late.close()
        rig.wait_until(lambda: rig.tape.released == len(BULKY))


def test_who_never_reads_can_be_disconnected(open_rig: OpenRig) -> None:
    rig = open_rig(
        SessionSource(BULKY), speed="asap", lag="disconnect", slow_seconds=0.05
    )
    with asleep(rig.url), dial(rig.url + PATH):
        rig.wait_until(lambda: len(rig.hub.listeners()) == 2)
        rig.play().wait()
        rig.wait_until(lambda: not rig.hub.clients[0].connected)
        record, _ = rig.thread.ask(rig.hub.records)
    assert (record.close_code, record.close_reason) == (1008, "Client reads too slowly")
    assert not record.vanished


@pytest.mark.parametrize("size", [8_000, 16_000, 16_338])
def test_a_long_list_of_streams_fits_into_the_address(
    open_replay: OpenReplay, size: int
) -> None:
    replay = open_replay(FRAMES, start="manual")
    padding = "x" * (size - len("GET /ws/btcusdt@trade/@trade HTTP/1.1\r\n"))
    with dial(f"{replay.ws_url}/ws/btcusdt@trade/{padding}@trade") as bot:
        replay.step().wait()
        assert take(bot) == [FRAMES[0].payload]


def test_a_server_closes_at_once_whoever_does_not_answer(
    open_replay: OpenReplay,
) -> None:
    replay: BinanceReplay = open_replay(BULKY, speed="asap", start="manual")
    others = [open_socket(replay.ws_url), asleep(replay.ws_url)]
    others.append(shake_hands(replay.ws_url, "/ws"))
    replay.wait_for_subscription().wait()
    replay.step(len(BULKY))
    replay.until(lambda: replay.clients[0].behind).wait()
    replay.close()
    replay.close()
    for bare in others:
        read_all(bare)
        bare.close()
