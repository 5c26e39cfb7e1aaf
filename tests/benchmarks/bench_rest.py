"""Hundreds of REST requests while a tape plays as fast as it can, beside each alone.

All three run in turn, in the same minute, each on a fresh server in a process of its
own. No frame may be lost; and both at once may take as long as one after the other.
"""

from __future__ import annotations

import gzip
import http.client
import json
import multiprocessing
import socket
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from pytest_binance_replay.cassette import RestAnswer, format_line
from pytest_binance_replay.files import read_frames
from tests.benchmarks.processes import serving
from tests.benchmarks.serving import CLIENT_CPU, pin
from tests.benchmarks.sessions import DEMO, ROOT

LARGEST = ROOT.parent / "shared/data/hftbacktest-spot-20240808/session.jsonl.gz"
_TEXT = 0x81  # a frame of text, whole
ROUNDS = 1
REQUESTS = 400
DEPTH = ["/api/v3/depth?symbol=BTCUSDT&limit=1000", "/api/v3/depth?symbol=ETHUSDT"]
MIX = [
    *DEPTH,
    "/api/v3/ticker/bookTicker?symbol=BTCUSDT",
    "/api/v3/ticker/price?symbol=ETHUSDT",
    "/api/v3/trades?symbol=BTCUSDT&limit=100",
    "/api/v3/exchangeInfo",
    "/api/v3/time",
]


class Taken(NamedTuple):
    """What one client saw.

    Attributes:
        seconds: From its first answer or frame to the last.
        longest_seconds: The longest it waited for one.
    """

    seconds: float
    longest_seconds: float


def write_session(folder: Path) -> Path:
    """Put the largest recording and its snapshots on one tape; the demo without it."""
    if not LARGEST.exists():
        return DEMO
    path, rest = folder / "session.jsonl", list(_answers(LARGEST.parent / "rest"))
    with gzip.open(LARGEST, "rb") as lines, path.open("wb") as file:
        file.write(b'{"cassette":1,"market":"spot"}\n')
        for raw in lines:
            time_us = int(raw[len(b'{"t":') :].partition(b",")[0])
            while rest and rest[0].receive_time_us <= time_us:
                file.write(format_line(rest.pop(0)))
            file.write(raw)
    return path


def _answers(folder: Path) -> Iterator[RestAnswer]:
    for answer in json.loads((folder / "index.json").read_text("utf-8")):
        payload = (folder / answer["file"]).read_bytes().strip()
        request = "/" + answer["url"].split("/", 3)[3]
        yield RestAnswer(answer["t"], request, 200, payload)


# Clients


class Follower:
    """Follows streams on one connection and counts every byte of them."""

    def __init__(self, port: int, streams: list[str]) -> None:
        self._line = socket.create_connection(("127.0.0.1", port))
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        head = f"Host: here\r\n{upgrade}{key}Sec-WebSocket-Version: 13\r\n\r\n"
        path = f"/ws/{'/'.join(streams)}"
        self._line.sendall(f"GET {path} HTTP/1.1\r\n{head}".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._line.recv(1)

    def take(self, payloads: int, payload_bytes: int) -> Taken:
        """Read all payloads: so many, and of so many bytes in all."""
        found = found_bytes = 0
        first = longest = before = 0.0
        with self._line, self._line.makefile("rb", 2**20) as source:
            while found < payloads:
                opcode, size = source.read(2)
                if size >= 126:
                    size = int.from_bytes(source.read(2 if size == 126 else 8), "big")
                source.read(size)
                if opcode != _TEXT:
                    continue
                now = perf_counter()
                found, found_bytes = found + 1, found_bytes + size
                first = first or now
                longest = max(longest, now - before) if before else 0.0
                before = now
        assert found_bytes == payload_bytes
        return Taken(before - first, longest)


def ask(port: int, targets: list[str], count: int) -> Taken:
    """Ask one after another on one connection, and be answered each time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    waited = []
    for number in range(count):
        asked = perf_counter()
        connection.request("GET", targets[number % len(targets)])
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        waited.append(perf_counter() - asked)
    connection.close()
    return Taken(sum(waited), max(waited))


# Rounds


class Round(NamedTuple):
    """The three, and both together from the first to the last of them, in seconds."""

    tape: Taken
    requests: Taken
    tape_beside: Taken
    requests_beside: Taken
    both_seconds: float


class Tape(NamedTuple):
    """A session, and what of it one client follows."""

    path: Path
    streams: list[str]
    payloads: int
    payload_bytes: int


def measure(tape: Tape, targets: list[str], pool: ProcessPoolExecutor) -> Round:
    with serving("replay", tape.path) as server:
        alone = _follow(server.port, tape)
        requests = pool.submit(ask, server.port, targets, REQUESTS).result()
    with serving("replay", tape.path) as server:
        started = perf_counter()
        asking = pool.submit(ask, server.port, targets, REQUESTS)
        beside = _follow(server.port, tape)
        requests_beside = asking.result()
        seconds = perf_counter() - started
    return Round(alone, requests, beside, requests_beside, seconds)


def _follow(port: int, tape: Tape) -> Taken:
    return Follower(port, tape.streams).take(tape.payloads, tape.payload_bytes)


def read_tape(path: Path) -> Tape:
    sizes: list[int] = []
    names: dict[str, None] = {}
    for frame in read_frames(path):
        names[frame.stream] = None
        sizes.append(len(frame.payload))
    return Tape(path, list(names), len(sizes), sum(sizes))


def show(what: str, alone: str, together: str, ratio: str) -> None:
    print(f"{what:<46} {alone:>14} {together:>14} {ratio:>9}", flush=True)


def show_rounds(name: str, rounds: list[Round]) -> None:
    def middle(part: str, member: str) -> float:
        values = (getattr(getattr(found, part), member) for found in rounds)
        return float(median(values))

    print(f"\n{name}: {REQUESTS:,} requests, medians of {len(rounds)} rounds")
    show("", "alone", "together", "ratio")
    for what, part in (("tape", "tape"), ("requests", "requests")):
        for member, words in (("seconds", "s"), ("longest_seconds", "s, longest wait")):
            alone, beside = middle(part, member), middle(f"{part}_beside", member)
            times = f"{beside / alone:.2f} x"
            show(f"{words}, {what}", f"{alone:.3f}", f"{beside:.3f}", times)
    sums = [found.tape.seconds + found.requests.seconds for found in rounds]
    ratio = median(r.both_seconds / s for r, s in zip(rounds, sums, strict=True))
    both = median(found.both_seconds for found in rounds)
    show("s, both", f"{median(sums):.3f}", f"{both:.3f}", f"{ratio:.2f} x")


def test_requests_beside_a_tape() -> None:
    pin(CLIENT_CPU)
    spawn = multiprocessing.get_context("spawn")
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=spawn) as pool,
    ):
        tape = read_tape(write_session(Path(folder)))
        print(f"\n{tape.payloads:,} frames to one client that reads each")
        pool.submit(pin, CLIENT_CPU).result()
        for name, targets in (("depth", DEPTH), ("mix", MIX)):
            rounds = [measure(tape, targets, pool) for _ in range(ROUNDS)]
            show_rounds(name, rounds)


if __name__ == "__main__":
    test_requests_beside_a_tape()
