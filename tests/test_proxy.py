from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.proxy import (
    Target,
    TunnelProxy,
    parse_target,
    proxy_environment,
)

SECONDS = 5
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"CONNECT api.binance.com:443 HTTP/1.1", ("api.binance.com", 443, True)),
        (b"connect [::1]:9443 HTTP/1.1", ("::1", 9443, True)),
        (b"GET http://api.binance.com/x?y HTTP/1.1", ("api.binance.com", 80, False)),
        (b"GET ws://127.0.0.1:81/ws HTTP/1.1", ("127.0.0.1", 81, False)),
        (b"CONNECT api.binance.com HTTP/1.1", None),
        (b"CONNECT api.binance.com:x HTTP/1.1", None),
        (b"CONNECT [::1:80 HTTP/1.1", None),
        (b"GET /api/v3/ping HTTP/1.1", None),
        (b"GET ftp://api.binance.com/ HTTP/1.1", None),
        (b"\x16\x03\x01", None),
        (b"", None),
    ],
)
def test_a_request_tells_where_it_wants_to_go(
    line: bytes, target: tuple[str, int, bool] | None
) -> None:
    assert parse_target(line + b"\r\nHost: x\r\n\r\n") == target


@given(st.binary())
def test_any_bytes_have_a_target_or_none(head: bytes) -> None:
    target = parse_target(head)
    assert target is None or (target.host and target.port)


@given(
    st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){0,3}", fullmatch=True),
    st.integers(1, 2**16 - 1),
)
def test_a_target_reads_back(host: str, port: int) -> None:
    address = Target(host, port, is_tunnel=True).address
    assert parse_target(f"CONNECT {address} HTTP/1.1".encode()) == (host, port, True)


def test_an_address_of_ipv6_is_written_as_urls_have_it() -> None:
    assert Target("::1", 443, is_tunnel=True).address == "[::1]:443"


def test_the_environment_leads_here() -> None:
    env = proxy_environment("http://127.0.0.1:9", Path("ca.pem"), Path("bundle.pem"))
    assert env == {
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,::1"),
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),
        **dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9"),
        **dict.fromkeys(("ALL_PROXY", "all_proxy"), "http://127.0.0.1:9"),
        "SSL_CERT_FILE": "bundle.pem",
        "REQUESTS_CA_BUNDLE": "bundle.pem",
        "CURL_CA_BUNDLE": "bundle.pem",
        "WEBSOCKET_CLIENT_CA_BUNDLE": "bundle.pem",
        "NODE_EXTRA_CA_CERTS": "ca.pem",
        "NODE_USE_ENV_PROXY": "1",
    }


# Over sockets


class Stage:
    """A proxy before two ports, which say who they are and then do as told."""

    def __init__(self, proxy: TunnelProxy, port: int, plain: int) -> None:
        self.proxy = proxy
        self.port = port
        self.plain = plain

    async def ask(self, head: bytes) -> bytes:
        """Send a request, and return everything that comes back."""
        async with self.connected() as (reader, writer):
            writer.write(head)
            writer.write_eof()
            return await reader.read()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Streams]:
        """A connection to the proxy."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def saying(name: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + b" heard " + await reader.read())
        writer.close()

    return talk


async def abort(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)  # a reset, and no end in good order
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"here")
    await reader.read()
    writer.close()


@asynccontextmanager
async def stage(tls: Talk, plain: Talk) -> AsyncIterator[Stage]:
    async with (
        asyncio.timeout(SECONDS),
        await asyncio.start_server(tls, "127.0.0.1", 0) as first,
        await asyncio.start_server(plain, "127.0.0.1", 0) as second,
    ):
        ports = [port_of(server.sockets[0]) for server in (first, second)]
        proxy = TunnelProxy(tls_port=ports[0], plain_port=ports[1])
        door = listener()
        await proxy.start(door)
        try:
            yield Stage(proxy, port_of(door), ports[1])
        finally:
            await proxy.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"CONNECT stream.binance.com:9443 HTTP/1.1", b"tls heard more"),
        (b"CONNECT api.binance.com:80 HTTP/1.1", b"plain heard more"),
    ],
)
async def test_a_tunnel_to_the_exchange_ends_here(line: bytes, said: bytes) -> None:
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        answer = await scene.ask(line + b"\r\n\r\nmore")
        assert answer == ESTABLISHED + said
        assert scene.proxy.refused == ()


@pytest.mark.asyncio
async def test_a_request_in_the_clear_is_passed_on_whole() -> None:
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        head = b"GET http://api.binance.com/api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n"
        assert await scene.ask(head) == b"plain heard " + head


@pytest.mark.asyncio
async def test_this_machine_is_reached_as_asked() -> None:
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        line = b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % scene.plain
        assert (await scene.ask(line)).endswith(b"plain heard ")


@pytest.mark.asyncio
async def test_everything_else_is_refused_and_remembered() -> None:
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        head = b"CONNECT example.org:443 HTTP/1.1\r\n\r\n"
        answer = await scene.ask(head)
        assert answer == await scene.ask(head)
        assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert answer.endswith(
            b"\r\n\r\nThe replay keeps its bots from example.org:443.\n"
        )
        await scene.ask(b"GET http://example.org/ HTTP/1.1\r\n\r\n")
        assert scene.proxy.refused == ("example.org:443", "example.org:80")


@pytest.mark.asyncio
async def test_what_is_no_request_to_a_proxy_is_told_so() -> None:
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        answer = await scene.ask(b"GET / HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert scene.proxy.refused == ()


@pytest.mark.asyncio
async def test_where_nobody_listens_nobody_answers() -> None:
    closed = listener()
    port = port_of(closed)
    closed.close()
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        answer = await scene.ask(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port)
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")


@pytest.mark.asyncio
@pytest.mark.parametrize("head", [b"", b"CONNECT", b"x" * 2**17])
async def test_who_leaves_or_babbles_is_hung_up_on(head: bytes) -> None:
    async with stage(saying(b"tls"), saying(b"plain")) as scene:
        try:
            assert await scene.ask(head) == b""
        except ConnectionError:
            assert len(head) > 2**16


@pytest.mark.asyncio
async def test_a_far_side_that_breaks_off_breaks_the_tunnel() -> None:
    async with stage(abort, abort) as scene:
        line = b"CONNECT api.binance.com:443 HTTP/1.1\r\n\r\n"
        async with scene.connected() as (reader, writer):
            writer.write(line)
            assert await reader.read() == ESTABLISHED


@pytest.mark.asyncio
async def test_closing_cuts_what_is_open() -> None:
    async with stage(stay, stay) as scene:
        async with scene.connected() as (reader, writer):
            writer.write(b"CONNECT api.binance.com:443 HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"here")
            await scene.proxy.close()
            assert await reader.read() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", scene.port)


@pytest.mark.asyncio
async def test_a_proxy_that_never_started_closes() -> None:
    await TunnelProxy(tls_port=1, plain_port=1).close()
