"""A proxy that knows one way only: to the replay server.

A bot in a subprocess, of any language, that takes its proxy from the environment is
brought to us by it under the exchange's own names, and gets nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pytest_binance_replay.hosts import (
    LOOPBACK_NAMES,
    find_exchange_host,
    is_clear_port,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

_CHUNK_BYTES = 2**16
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def proxy_environment(proxy_url: str, ca: Path, bundle: Path) -> dict[str, str]:
    """Return an environment that leads a program to the replay server.

    Args:
        proxy_url: Where the proxy listens.
        ca: File with our authority alone, for settings that add to what a program
            trusts.
        bundle: File with our authority and the usual ones, for settings that replace
            it.
    """
    loopback = ",".join(LOOPBACK_NAMES)
    bypass = dict.fromkeys(("NO_PROXY", "no_proxy"), loopback)
    proxies = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    via = {cased: proxy_url for name in proxies for cased in (name, name.lower())}
    # The first is read by OpenSSL, Go and others; the rest by the one in its name.
    trusting = (
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        "WEBSOCKET_CLIENT_CA_BUNDLE",
    )
    return {
        **bypass,
        **via,
        **dict.fromkeys(trusting, str(bundle)),
        "NODE_EXTRA_CA_CERTS": str(ca),
        # Node.js takes proxies from the environment only if told to.
        "NODE_USE_ENV_PROXY": "1",
    }


class Target(NamedTuple):
    """Where a client wants to go.

    Attributes:
        host: Host name or address.
        port: Port.
        is_tunnel: Whether it asks for a tunnel, as all TLS does; else its request is
            passed on.
    """

    host: str
    port: int
    is_tunnel: bool

    @property
    def address(self) -> str:
        """Host and port as URLs have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_target(head: bytes) -> Target | None:
    """Read where a request to a proxy is to go.

    Args:
        head: The request, at least its first line.

    Returns:
        Its target; None if it is no request, or not one to a proxy.
    """
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3:
        return None
    method, url, _ = words
    is_tunnel = method.upper() == "CONNECT"
    try:
        parts = urlsplit(f"//{url}" if is_tunnel else url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not is_tunnel and parts.scheme in {"http", "ws"}:
        port = port or 80
    return Target(host, port, is_tunnel) if host and port else None


class TunnelProxy:
    """An HTTP proxy whose every tunnel to the exchange ends at the replay server.

    Connections to this machine are made as asked; all others are refused with 403.
    Runs on the loop that starts it.

    Args:
        tls_port: The replay server's port for TLS.
        plain_port: Its port in the clear.
        address: Loopback address of both ports, and where the proxy listens.

    Attributes:
        refused: What was refused, as `host:port`, each once, in order.
    """

    def __init__(
        self, *, tls_port: int, plain_port: int, address: str = "127.0.0.1"
    ) -> None:
        self._tls_port = tls_port
        self._plain_port = plain_port
        self._address = address
        self._refused: dict[str, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """What was refused, as `host:port`, each once, in order."""
        return tuple(self._refused)

    async def start(self, listener: socket.socket) -> None:
        """Serve on an open port, which is closed with the proxy.

        Args:
            listener: The port.
        """
        self._server = await asyncio.start_server(self._serve, sock=listener)

    async def close(self) -> None:
        """Close the port and all tunnels."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._serve_one(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # Whichever side goes away, and however, the other is hung up on.
        gone = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        try:
            with contextlib.suppress(*gone):
                await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = parse_target(head)
        if target is None:
            writer.write(_refusal("400 Bad Request", "This is a proxy."))
            return
        destination = self._destination(target)
        if destination is None:
            self._refused[target.address] = None
            reason = f"The replay keeps its bots from {target.address}."
            writer.write(_refusal("403 Forbidden", reason))
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*destination)
        except OSError as error:
            writer.write(_refusal("502 Bad Gateway", str(error)))
            return
        if target.is_tunnel:
            writer.write(_ESTABLISHED)
        else:
            far_writer.write(head)
        try:
            await _join(reader, writer, far_reader, far_writer)
        finally:
            far_writer.transport.abort()

    def _destination(self, target: Target) -> tuple[str, int] | None:
        if find_exchange_host(target.host):
            is_clear = is_clear_port(target.port)
            return self._address, self._plain_port if is_clear else self._tls_port
        is_here = target.host in LOOPBACK_NAMES
        return (target.host, target.port) if is_here else None


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until both sides have said all, or one is gone."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pour(reader, far_writer))
            both.create_task(_pour(far_reader, writer))
    except* OSError:
        writer.transport.abort()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()
    sink.write_eof()


def _refusal(status: str, reason: str) -> bytes:
    body = f"{reason}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
