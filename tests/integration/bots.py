"""Clients of the replay server, as simple as bots get."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import ClientConnection as BlockingConnection
from websockets.sync.client import connect as connect_blocking

UNLIMITED: dict[str, Any] = {"max_size": None, "max_queue": None, "compression": None}


def join(url: str) -> connect_async:
    """Connect from an async test."""
    return connect_async(url, **UNLIMITED)


def dial(url: str) -> BlockingConnection:
    """Connect from a plain test."""
    connection: BlockingConnection = connect_blocking(url, **UNLIMITED)
    return connection


async def read(bot: ClientConnection, count: int) -> list[bytes]:
    """The next messages, as bytes."""
    return [await bot.recv(decode=False) for _ in range(count)]


def take(bot: BlockingConnection) -> list[bytes]:
    """Everything that has arrived.

    A client answers pings before it looks at what came with them; the pong to a ping
    of its own shows that it has.
    """
    assert bot.ping().wait(30)
    found: list[bytes] = []
    while True:
        try:
            found.append(bot.recv(timeout=0.01, decode=False))
        except TimeoutError:
            return found


def request(
    method: str, params: Iterable[object] | None = None, number: int = 1
) -> str:
    """A control message."""
    message: dict[str, object] = {"method": method}
    if params is not None:
        message["params"] = list(params)
    return json.dumps(message | {"id": number})


def ask(bot: BlockingConnection, *args: Any) -> bytes:
    """Send a control message and return the next message that comes."""
    bot.send(request(*args))
    return bot.recv(timeout=5, decode=False)


def open_socket(url: str, *, receive_bytes: int | None = None) -> socket.socket:
    """A bare TCP connection; `receive_bytes` is the room for what it leaves unread."""
    host, port = url.removeprefix("ws://").split(":")
    bare = socket.socket()
    bare.settimeout(5)
    if receive_bytes is not None:
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    bare.connect((host, int(port)))
    return bare


def shake_hands(
    url: str, path: str, *, receive_bytes: int | None = None
) -> socket.socket:
    """A bare TCP connection behind the handshake."""
    bare = open_socket(url, receive_bytes=receive_bytes)
    bare.sendall(
        f"GET {path} HTTP/1.1\r\nHost: local\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += bare.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return bare


def read_all(bare: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    chunks = []
    try:
        while chunk := bare.recv(65536):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)


def masked(opcode: int, payload: bytes) -> bytes:
    """A frame as a client sends it, its mask all zeros."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload
