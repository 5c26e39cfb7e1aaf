"""Clients that only count, in a process of their own: `python -m … COUNT PORT PATH…`.

Connects to one path after the other, as often as COUNT says in all, reads until every
server closes, and prints one line for each client: when its first and its last bytes
came, how many there were, and, if asked with --hash, the SHA-256 of all texts. With
--arrivals each line goes on with the time and the number of bytes of every read.
"""

from __future__ import annotations

import argparse
import hashlib
import selectors
import socket
from itertools import cycle, islice
from time import monotonic, sleep

from tests.benchmarks.serving import CLIENT_CPU, pin

_HANDSHAKE = (
    "GET {} HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


class Sink:
    """One client.

    Args:
        port: Where to connect.
        path: What to ask for.
        say: A text to send after the handshake; none if empty.
        keep: Whether to keep every text, for its hash.
    """

    def __init__(self, port: int, path: str, say: str, *, keep: bool) -> None:
        self.first = monotonic()
        self.line = socket.create_connection(("127.0.0.1", port))
        self.line.sendall(_HANDSHAKE.format(path).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.line.recv(1)
        if say:
            self.send(_TEXT, say.encode())
        self.last = self.first
        self.bytes = 0
        self.arrivals: list[tuple[float, int]] = []
        self.kept: bytearray | None = bytearray() if keep else None

    def send(self, opcode: int, payload: bytes | bytearray) -> None:
        """Send a short frame, masked with zeros."""
        head = bytes((opcode, 0x80 | len(payload), 0, 0, 0, 0))
        self.line.sendall(head + payload)

    def read(self, buffer: bytearray) -> bool:
        """Take what is there; return whether there will be more."""
        try:
            size = self.line.recv_into(buffer)
        except ConnectionResetError:
            return False
        if size == 0:
            return False
        opcode, length = buffer[0], buffer[1]
        if opcode == _PING:
            # A tape starts later for clients that seem not to listen yet.
            self.send(_PONG, buffer[2 : 2 + length])
        if size < 200 and opcode in {_CLOSE, _PING}:
            return opcode != _CLOSE
        self.last = monotonic()
        self.bytes += size
        self.arrivals.append((self.last, self.bytes))
        if self.kept is not None:
            self.kept += memoryview(buffer)[:size]
        return True

    def digest(self) -> str:
        """Return the hash of all texts, without the heads of their frames."""
        found = hashlib.sha256()
        data, at = memoryview(self.kept or b""), 0
        while at < len(data):
            opcode, size = data[at], data[at + 1]
            at += 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(data[at : at + width], "big")
                at += width
            if opcode == _TEXT:
                found.update(data[at : at + size])
            at += size
        return found.hexdigest()


def read_all(sinks: list[Sink]) -> None:
    buffer = bytearray(2**20)
    with selectors.DefaultSelector() as selector:
        for sink in sinks:
            selector.register(sink.line, selectors.EVENT_READ, sink)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.read(buffer):
                    selector.unregister(key.fileobj)
                    key.data.line.close()


def read_slowly(sink: Sink, bytes_a_second: int) -> None:
    buffer = bytearray(2**16)
    while sink.read(buffer):
        sleep(len(buffer) / bytes_a_second)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--say", default="")
    parser.add_argument("--rate", type=int, help="bytes a second, of a single client")
    parser.add_argument("--stand-still", action="store_true", help="one reads nothing")
    parser.add_argument("--hash", action="store_true")
    parser.add_argument("--arrivals", action="store_true")
    asked = parser.parse_args()
    pin(CLIENT_CPU)
    sinks = [
        Sink(asked.port, path, asked.say, keep=asked.hash)
        for path in islice(cycle(asked.paths), asked.count)
    ]
    print("ready", flush=True)
    if asked.rate:
        read_slowly(sinks[0], asked.rate)
    else:
        read_all(sinks[1:] if asked.stand_still else sinks)
    for sink in sinks:
        told = [f"{sink.first!r}", f"{sink.last!r}", str(sink.bytes)]
        told += [sink.digest()] if asked.hash else []
        if asked.arrivals:
            told += [f"{when!r} {size}" for when, size in sink.arrivals]
        print(*told, flush=True)


if __name__ == "__main__":
    main()
