"""HTTP as clients speak it, well and badly, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.cassette import RestAnswer
from pytest_binance_replay.library import SessionSource
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.bots import open_socket, read_all
from tests.integration.conftest import OpenReplay, OpenRig
from tests.staging import START_US, TRADES, frames_at, trade

PING = "/api/v3/ping"
TIME = "/api/v3/time"
TIME_BODY = b'{"serverTime":%d}' % (START_US // 1000)
HANDSHAKE = (
    f"GET /ws/{TRADES} HTTP/1.1\r\nHost: local\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
).encode()
LIMIT = 2**16


def ask(target: str = PING, *headers: str, method: str = "GET") -> bytes:
    """A request without a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: local", *headers, "", ""]
    return "\r\n".join(lines).encode()


def read_head(bare: socket.socket) -> tuple[int, dict[str, str]]:
    """The status and the headers of the next answer, names in lower case."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = bare.recv(1)
        assert byte, head
        head += byte
    first, *lines = head.decode().rstrip().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}


def read_answer(bare: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer, with its body."""
    status, headers = read_head(bare)
    size = int(headers["content-length"])
    body = bare.recv(size, socket.MSG_WAITALL) if size else b""
    return status, headers, body


@pytest.fixture
def replay(open_replay: OpenReplay) -> BinanceReplay:
    return open_replay(frames_at([0, 1]), speed="asap", start="manual")


@pytest.fixture
def bare(replay: BinanceReplay) -> Any:
    with open_socket(replay.ws_url) as opened:
        yield opened


def lives_on(bare: socket.socket) -> bool:
    bare.sendall(ask(PING))
    status, _, body = read_answer(bare)
    return (status, body) == (200, b"{}")


# Request after request


def test_a_connection_takes_one_request_after_another(bare: socket.socket) -> None:
    for target, body in [(PING, b"{}"), (TIME, TIME_BODY), (PING, b"{}")]:
        bare.sendall(ask(target))
        assert read_answer(bare)[::2] == (200, body)


def test_pipelined_requests_are_answered_in_order(bare: socket.socket) -> None:
    targets = [PING, TIME, "/api/v3/nothing", PING, TIME]
    bare.sendall(b"".join(map(ask, targets)))
    answers = [read_answer(bare) for _ in targets]
    assert [status for status, _, _ in answers] == [200, 200, 404, 200, 200]
    assert [body for *_, body in answers][3:] == [b"{}", TIME_BODY]


def test_head_has_the_length_but_no_body(bare: socket.socket) -> None:
    bare.sendall(ask(TIME, method="HEAD"))
    status, headers = read_head(bare)
    assert (status, int(headers["content-length"])) == (200, len(TIME_BODY))
    assert lives_on(bare)


@pytest.mark.parametrize(
    "request_",
    [
        ask("/api/v3/order", "Content-Length: 7", method="POST") + b"side=up",
        ask("/api/v3/order", method="DELETE"),
        ask("/api/v3/order", "Content-Length: 2", method="PUT") + b"{}",
        ask("/api/v3/order", "Transfer-Encoding: chunked", method="POST")
        + b"5\r\nside=\r\n2\r\nup\r\n0\r\n\r\n",
        ask("*", method="OPTIONS"),
    ],
)
def test_what_is_no_get_is_refused_in_json_and_the_connection_lives_on(
    bare: socket.socket, request_: bytes
) -> None:
    bare.sendall(request_)
    status, headers, body = read_answer(bare)
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert headers["content-type"].startswith("application/json")
    assert set(json.loads(body)) == {"code", "msg"}
    assert lives_on(bare)


def test_a_get_may_have_a_body(bare: socket.socket) -> None:
    bare.sendall(ask(TIME, "Content-Length: 2") + b"{}" + ask(PING))
    assert read_answer(bare)[::2] == (200, TIME_BODY)
    assert read_answer(bare)[::2] == (200, b"{}")


def test_who_waits_to_send_a_body_is_told_to_go_on(bare: socket.socket) -> None:
    headers = ["Expect: 100-continue", "Content-Length: 7"]
    bare.sendall(ask("/api/v3/order", *headers, method="POST"))
    assert read_head(bare)[0] == 100
    bare.sendall(b"side=up")
    assert read_answer(bare)[0] == 405
    assert lives_on(bare)


# The last request


@pytest.mark.parametrize(
    "request_",
    [
        ask(TIME, "Connection: close"),
        f"GET {TIME} HTTP/1.0\r\n\r\n".encode(),
        f"GET {TIME} HTTP/1.0\n\n".encode(),
        ask(TIME, "Connection: close") + b"\r\nand more that nobody asked for",
    ],
)
def test_the_connection_is_closed_where_the_client_says_so(
    bare: socket.socket, request_: bytes
) -> None:
    bare.sendall(request_)
    status, headers, body = read_answer(bare)
    assert (status, body, headers["connection"]) == (200, TIME_BODY, "close")
    assert read_all(bare) == b""


def test_who_says_no_more_is_answered_still(bare: socket.socket) -> None:
    bare.sendall(ask(PING) + ask(TIME))
    bare.shutdown(socket.SHUT_WR)
    answers = read_all(bare)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.endswith(TIME_BODY)


# What is too long, and what is no HTTP


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, b"\x16\x03\x01\x02\x00garbage\r\n\r\n"),
        (400, b"hello there\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        (414, b"GET /" + b"x" * LIMIT),
        (431, b"GET / HTTP/1.1\r\nX-Long: " + b"x" * LIMIT),
        (413, ask("/x", f"Content-Length: {2**20 + 1}") + bytes(2**20 + 1)),
    ],
)
@pytest.mark.parametrize("before", [b"", ask()])
def test_what_cannot_be_taken_is_refused_and_the_connection_closed(
    bare: socket.socket, before: bytes, status: int, request_: bytes
) -> None:
    if before:
        bare.sendall(before)
        assert read_answer(bare)[0] == 200
    bare.sendall(request_)
    got, headers, body = read_answer(bare)
    assert (got, headers["connection"]) == (status, "close")
    assert body.endswith(b"\n")
    assert read_all(bare) == b""


def test_a_refusal_reaches_who_is_still_sending(bare: socket.socket) -> None:
    bare.sendall(ask("/x", "Content-Length: 9000000", method="POST"))
    bare.sendall(bytes(9_000_000))
    assert read_answer(bare)[0] == 413


# Pieces


def test_a_request_may_come_byte_by_byte(bare: socket.socket) -> None:
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in ask(TIME) + ask(PING):
        bare.sendall(bytes([byte]))
    assert read_answer(bare)[::2] == (200, TIME_BODY)
    assert read_answer(bare)[::2] == (200, b"{}")


def test_a_handshake_may_come_byte_by_byte(
    replay: BinanceReplay, bare: socket.socket
) -> None:
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in HANDSHAKE:
        bare.sendall(bytes([byte]))
    assert read_head(bare)[0] == 101
    replay.wait_for_subscription(TRADES).wait()
    replay.step()
    assert bare.recv(2 + len(trade(0)), socket.MSG_WAITALL)[2:] == trade(0)


@pytest.mark.parametrize("piece_bytes", [1, 40, 1000])
def test_a_connection_kept_from_requests_may_become_a_stream(
    replay: BinanceReplay, bare: socket.socket, piece_bytes: int
) -> None:
    bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for target, body in [(TIME, TIME_BODY), (PING, b"{}")]:
        bare.sendall(ask(target))
        assert read_answer(bare)[::2] == (200, body)
    for start in range(0, len(HANDSHAKE), piece_bytes):
        bare.sendall(HANDSHAKE[start : start + piece_bytes])
    assert read_head(bare)[0] == 101
    replay.wait_for_subscription(TRADES).wait()
    replay.step()
    assert bare.recv(2 + len(trade(0)), socket.MSG_WAITALL)[2:] == trade(0)
    assert replay.problems() == []


def test_an_upgrade_in_a_body_is_no_handshake(bare: socket.socket) -> None:
    body = b"\r\nUpgrade: websocket\r\n"
    bare.sendall(ask("/x", f"Content-Length: {len(body)}", method="POST") + body)
    assert read_answer(bare)[0] == 405


# Leaving


@pytest.mark.parametrize("size", [1, 10, 30])
def test_half_a_request_is_no_failure(replay: BinanceReplay, size: int) -> None:
    with open_socket(replay.ws_url) as bare:
        bare.sendall(ask(TIME)[:size])
        bare.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1 200" not in read_all(bare)
    assert replay._stage.server.failures == []
    assert replay.problems() == []


def test_half_a_body_is_no_failure(replay: BinanceReplay) -> None:
    with open_socket(replay.ws_url) as bare:
        bare.sendall(ask("/x", "Content-Length: 7", method="POST") + b"sid")
        bare.shutdown(socket.SHUT_WR)
        read_all(bare)
    assert replay._stage.server.failures == []
    assert replay.requests == ()


def test_a_client_may_leave_while_its_answer_is_computed(open_rig: OpenRig) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def recorded() -> list[Any]:
        asked.set()
        may_answer.wait(5)
        return []

    rig: Any = open_rig(SessionSource(frames_at([0])), recorded=recorded)
    with open_socket(rig.url) as bare:
        bare.sendall(ask(TIME))
        asked.wait(5)
    may_answer.set()
    rig.wait_until(lambda: rig.hub.rest_requests)
    assert rig.server.failures == []


def test_idle_connections_do_not_hold_the_end(
    open_replay: OpenReplay,
) -> None:
    replay = open_replay(frames_at([0]), start="manual")
    idle = [open_socket(replay.ws_url) for _ in range(10)]
    assert all(map(lives_on, idle))
    idle[0].sendall(b"GET /ws HTTP/1.1\r\nHo")
    replay.close()
    for bare in idle:
        assert read_all(bare) == b""
        bare.close()


def test_a_connection_is_kept_as_long_as_the_client_wants(
    thread: LoopThread, bare: socket.socket
) -> None:
    assert lives_on(bare)
    timers = thread.ask(lambda: repr(thread.loop._scheduled))  # type: ignore[attr-defined]
    assert "Timeout" not in timers


# A status that forbids a body


@pytest.mark.parametrize("status", [204, 304])
def test_a_recorded_status_may_forbid_a_body(open_rig: OpenRig, status: int) -> None:
    answer = RestAnswer(START_US, "/api/v3/x", status, b"{}")
    rig = open_rig(SessionSource(frames_at([0])), recorded=lambda: [answer])
    with open_socket(rig.url) as bare:
        bare.sendall(ask("/api/v3/x") + ask(PING))
        assert read_head(bare)[0] == status
        assert read_answer(bare)[::2] == (200, b"{}")
