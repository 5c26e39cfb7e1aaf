"""Order on the wire, pings, REST, and the port, over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import disable_socket, enable_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pytest_binance_replay.cassette import Frame, RestAnswer
from pytest_binance_replay.errors import (
    CassetteFormatError,
    PortInUseError,
    SocketsBlockedError,
)
from pytest_binance_replay.journal import RestRequest
from pytest_binance_replay.library import SessionSource
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.server import RHYTHMS, ReplayServer, Rhythm, listen
from tests.integration.bots import ask, dial, join, read, request, shake_hands, take
from tests.integration.conftest import OpenReplay, OpenRig
from tests.staging import START_US, TRADES, frames_at, trade

ETH = "ethusdt@trade"
PATH = f"/ws/{TRADES}"
DEPTH = "/api/v3/depth?symbol=BTCUSDT&limit=5"
MIXED = [
    Frame(START_US + n * 1000, TRADES if n % 2 else ETH, trade(n)) for n in range(4000)
]


# Order on the wire


def test_a_reply_comes_before_the_data_of_new_streams(open_replay: OpenReplay) -> None:
    replay = open_replay(MIXED, speed="asap", start="manual")
    with dial(f"{replay.ws_url}/ws") as bot:
        bot.send(request("SUBSCRIBE", [TRADES]))
        replay.wait_for_subscription(TRADES).wait()
        replay.step(10).wait()
        reply, *data = take(bot)
    assert reply == b'{"result":null,"id":1}'
    assert data == [trade(n) for n in (1, 3, 5, 7, 9)]


@pytest.mark.asyncio
async def test_after_the_reply_to_unsubscribe_nothing_of_the_stream_comes(
    open_replay: OpenReplay,
) -> None:
    minute = [
        Frame(START_US + n * 1000, TRADES if n % 2 else ETH, trade(n))
        for n in range(60_000)
    ]
    replay = open_replay(minute, speed=1, start="manual")
    async with join(f"{replay.ws_url}/ws/{TRADES}/{ETH}") as bot:
        playing = replay.play()
        for n in range(20):
            method = "SUBSCRIBE" if n % 2 else "UNSUBSCRIBE"
            await bot.send(request(method, [ETH], n))
            while (
                message := await bot.recv(decode=False)
            ) != b'{"result":null,"id":%d}' % n:
                assert message.startswith(b'{"e":"trade"')
            if method == "UNSUBSCRIBE":
                await only_trades_come(bot, 5)
        await replay.pause()
        await playing


async def only_trades_come(bot: Any, count: int) -> None:
    for message in await read(bot, count):
        assert json.loads(message)["t"] % 2


@pytest.mark.parametrize("at", [1, 100, 250])
def test_set_property_holds_from_the_next_frame_on(
    open_replay: OpenReplay, at: int
) -> None:
    replay = open_replay(frames_at(range(300)), speed="asap", start="manual")
    with dial(replay.ws_url + PATH) as bot:
        replay.step(at).wait()
        bare = take(bot)
        assert ask(bot, "SET_PROPERTY", ["combined", True]) == b'{"result":null,"id":1}'
        replay.play().wait()
        wrapped = take(bot)
    assert bare == [trade(n) for n in range(at)]
    assert wrapped == [
        b'{"stream":"%s","data":%s}' % (TRADES.encode(), trade(n))
        for n in range(at, 300)
    ]


def test_requests_are_answered_in_order_and_mistakes_too(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(MIXED, speed="asap", start="manual")
    with dial(f"{replay.ws_url}/ws") as bot:
        for n in range(100):
            bot.send(request("LIST_SUBSCRIPTIONS", None, n) if n % 3 else "garbage")
        replies = [json.loads(bot.recv(timeout=5)) for _ in range(100)]
    for n, reply in enumerate(replies):
        assert reply == {"result": [], "id": n} if n % 3 else "error" in reply


def test_a_futures_connection_is_closed_after_the_error_reply(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(frames_at([0]), market="usdm", start="manual")
    with dial(f"{replay.ws_url}/ws") as bot:
        bot.send("garbage")
        assert json.loads(bot.recv(timeout=5))["error"]["code"] == 3
        with pytest.raises(ConnectionClosed) as closed:
            bot.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        1008,
        "Invalid request",
    )


# Pings


def read_pings(bare: socket.socket, count: int) -> list[bytes]:
    """Payloads of pings, read from the wire where nothing else comes."""
    pings = []
    for _ in range(count):
        head = bare.recv(2, socket.MSG_WAITALL)
        assert head == b"\x89\x0d"
        pings.append(bare.recv(13, socket.MSG_WAITALL))
    return pings


def test_the_periods_are_those_of_the_exchange() -> None:
    assert RHYTHMS == {"spot": (20, 60), "usdm": (180, 600)}


def test_pings_carry_the_time_in_milliseconds(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(frames_at([0])), rhythms={"spot": Rhythm(0.001, 60.0)})
    with shake_hands(rig.url, "/ws") as bare:
        pings = read_pings(bare, 20)
    assert all(ping.isdigit() for ping in pings)
    assert pings == sorted(set(pings))
    assert abs(int(pings[0]) - rig.server._clock.wall_ms()) < 3_600_000


@pytest.mark.slow
def test_a_missing_pong_closes_the_connection(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(frames_at([0])), rhythms={"spot": Rhythm(0.02, 1.5)})
    with shake_hands(rig.url, "/ws") as deaf, dial(f"{rig.url}/ws") as good:
        rig.wait_until(lambda: not rig.hub.clients[0].connected)
        record, other = rig.thread.ask(rig.hub.records)
        assert (record.close_code, record.close_reason) == (1008, "Pong timeout")
        assert other.connected
        good.ping().wait(5)
        deaf.close()


def test_each_market_has_its_own_rhythm(open_rig: OpenRig) -> None:
    rig = open_rig(
        SessionSource(frames_at([0]), market="spot"),
        SessionSource(frames_at([0]), market="usdm"),
        rhythms={"spot": Rhythm(0.001, 60.0), "usdm": Rhythm(3600.0, 60.0)},
    )
    with dial(f"{rig.url}/spot/ws"), dial(f"{rig.url}/usdm/ws"):
        rig.wait_until(
            lambda: len(rig.hub.clients) == 2 and rig.hub.clients[0].pongs > 5
        )
        assert [c.pongs for c in rig.thread.ask(rig.hub.records)][1] == 0


def test_a_ping_of_the_client_is_answered(open_replay: OpenReplay) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    with dial(replay.ws_url + PATH) as bot:
        assert bot.ping("are you there").wait(5)


def test_the_ping_behind_the_last_frame_looks_like_any_other(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    with shake_hands(replay.ws_url, PATH) as bare:
        replay.wait_for_subscription().wait()
        playing = replay.play()
        assert bare.recv(2 + len(trade(0)), socket.MSG_WAITALL)[2:] == trade(0)
        (payload,) = read_pings(bare, 1)
        bare.sendall(b"\x8a\x8d\0\0\0\0" + payload)
        playing.wait()
    assert payload.isdigit()


# REST


def get(replay: BinanceReplay, target: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", replay.port, timeout=5)
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    path = tmp_path / "dip.jsonl"
    lines = ['{"cassette":1,"market":"spot"}']
    lines += [
        f'{{"t":{START_US + n * 1000},"stream":"{TRADES}","data":{trade(n).decode()}}}'
        for n in range(10)
    ]
    rest = '{{"t":{},"rest":"{}","status":{},"data":{{"lastUpdateId":{}}}}}'
    lines.insert(4, rest.format(START_US + 2500, DEPTH, 200, 1))
    lines.insert(8, rest.format(START_US + 5500, DEPTH, 429, 2))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_recorded_answers_follow_the_position(
    open_replay: OpenReplay, cassette: Path
) -> None:
    replay = open_replay(cassette, start="manual", speed="asap")
    assert get(replay, DEPTH) == (200, b'{"lastUpdateId":1}')
    replay.step(10).wait()
    assert get(replay, DEPTH) == (429, b'{"lastUpdateId":2}')
    asked = [r for r in replay.requests if isinstance(r, RestRequest)]
    assert [(r.path, r.status) for r in asked] == [
        ("/api/v3/depth", 200),
        ("/api/v3/depth", 429),
    ]


@pytest.mark.parametrize("base", ["/api/v3", "/fapi/v1"])
def test_ping_and_time_need_no_recording(open_replay: OpenReplay, base: str) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    assert get(replay, f"{base}/ping") == (200, b"{}")
    expected = b'{"serverTime":%d}' % (START_US // 1000)
    assert get(replay, f"{base}/time") == (200, expected)


def test_what_was_not_recorded_is_missing(open_replay: OpenReplay) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    path = "/api/v3/klines?interval=1m&symbol=BTCUSDT"
    status, body = get(replay, path)
    assert status == 404
    assert "kline" in json.loads(body)["msg"]
    assert [m.asked for m in replay.missing] == [path]
    assert "klines" in str(replay.problems()[0])


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"X-MBX-APIKEY": "None", "Accept-Encoding": "br"},
        {"Connection": "keep-alive", "Upgrade": "h2c"},
        {"Origin": "http://127.0.0.1", "Cookie": "x" * 8000},
    ],
)
def test_odd_headers_do_no_harm(
    open_replay: OpenReplay, headers: dict[str, str]
) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    assert get(replay, "/api/v3/ping", **headers) == (200, b"{}")


def test_a_header_given_twice_does_no_harm(open_replay: OpenReplay) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    connection = http.client.HTTPConnection("127.0.0.1", replay.port, timeout=5)
    connection.putrequest("GET", "/api/v3/ping")
    connection.putheader("Upgrade", "h2c")
    connection.putheader("Upgrade", "h3c")
    connection.endheaders()
    assert connection.getresponse().read() == b"{}"
    connection.close()


def test_a_recorded_status_may_be_one_that_nobody_knows(open_rig: OpenRig) -> None:
    answer = RestAnswer(START_US, "/api/v3/depth", 599, b"{}")
    rig = open_rig(SessionSource(frames_at([0])), recorded=lambda: [answer])
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(rig.url.replace("ws:", "http:") + "/api/v3/depth")
    assert raised.value.code == 599
    raised.value.close()


def test_answers_that_cannot_be_read_are_told_to_both_sides(
    open_rig: OpenRig,
) -> None:
    broken = CassetteFormatError("dip.jsonl", 4, "not a cassette line")

    def fail() -> None:
        raise broken

    rig = open_rig(SessionSource(frames_at([0])), recorded=fail)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(rig.url.replace("ws:", "http:") + "/api/v3/ping")
    assert raised.value.code == 500
    assert b"dip.jsonl:4: not a cassette line" in raised.value.read()
    assert rig.server.failures == [broken]
    raised.value.close()


def test_requests_beside_a_tape_lose_no_frame_and_read_the_file_once(
    open_rig: OpenRig,
) -> None:
    reads: list[str] = []

    def recorded() -> list[RestAnswer]:
        reads.append(threading.current_thread().name)
        return [RestAnswer(START_US, "/api/v3/depth", 200, b"{}")]

    rig = open_rig(SessionSource(MIXED), speed="asap", recorded=recorded)
    url = rig.url.replace("ws:", "http:") + "/api/v3/depth"

    def fetch(_: int) -> bytes:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bytes(response.read())

    with dial(f"{rig.url}/ws/{TRADES}/{ETH}") as bot, ThreadPoolExecutor(16) as pool:
        rig.wait_until(rig.hub.listeners)
        fetching = pool.map(fetch, range(100))
        rig.play().wait()
        assert set(fetching) == {b"{}"}
        assert take(bot) == [frame.payload for frame in MIXED]
    assert len(reads) == 1


# The server's own failures


def test_a_failure_beside_a_client_is_kept_and_the_server_lives_on(
    open_rig: OpenRig,
) -> None:
    rig = open_rig(SessionSource(frames_at([0])))
    usual = rig.hub.on_change

    def fail() -> None:
        rig.hub.on_change = usual
        raise ZeroDivisionError

    rig.hub.on_change = fail
    with pytest.raises(ConnectionClosed), dial(rig.url + PATH) as unlucky:
        unlucky.recv(timeout=5)
    with dial(rig.url + PATH) as bot:
        assert bot.ping().wait(5)
    assert [type(error) for error in rig.server.failures] == [ZeroDivisionError]


def test_a_server_that_never_started_can_be_closed(open_rig: OpenRig) -> None:
    rig = open_rig(SessionSource(frames_at([0])))
    with listen("127.0.0.1", 0) as listener:
        server = ReplayServer(
            rig.hub,
            rig.server._clock,
            listener,
            desk=rig.server._desk,
        )
        rig.thread.call(server.close())


# Handshakes


@pytest.mark.parametrize("path", ["/nowhere", "/stream/ws/x@trade"])
def test_an_unknown_path_is_refused(open_replay: OpenReplay, path: str) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    with pytest.raises(InvalidStatus) as raised:
        dial(replay.ws_url + path)
    assert raised.value.response.status_code == 404


def test_two_markets_want_to_be_told_which(open_rig: OpenRig) -> None:
    rig = open_rig(
        SessionSource(frames_at([0]), market="spot"),
        SessionSource(frames_at([0]), market="usdm"),
    )
    with pytest.raises(InvalidStatus) as raised:
        dial(f"{rig.url}/ws")
    assert raised.value.response.status_code == 400
    assert b"/spot/ws" in bytes(raised.value.response.body or b"")


# The port


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)):
            listen("127.0.0.1", port)


def test_a_host_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(PortInUseError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_hosts_are_listened_on(host: str) -> None:
    with listen(host, 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()


def test_blocked_sockets_are_named_as_the_cause() -> None:
    disable_socket()
    try:
        with pytest.raises(SocketsBlockedError, match="cannot open a socket"):
            listen("127.0.0.1", 0)
    finally:
        enable_socket()


@pytest.mark.asyncio
async def test_a_connection_in_mid_handshake_does_not_hold_the_end(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    reader, writer = await asyncio.open_connection("127.0.0.1", replay.port)
    writer.write(b"GET /ws HTTP/1.1\r\n")
    await writer.drain()
    replay.close()
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
