"""Frames a second, memory, and fixture times, beside what one writes by hand.

Both sides of a pair run in turn, in the same minute; what counts is the ratio. The
yardstick of the first two is `for line in file: await socket.send(line)`, that of the
last a websockets server on a thread.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, serve

from pytest_binance_replay import ReplayFactory
from pytest_binance_replay.files import read_frames
from tests.benchmarks.serving import CLIENT_CPU, pin

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "recordings" / "spot.jsonl"
LARGEST = ROOT.parent / "shared/data/hftbacktest-spot-20240808/session.jsonl.gz"
PAIRS = 5
_GREETING_BYTES = 200  # pings, which this client leaves unanswered, come first
_HEADER = '{{"cassette":1,"market":"spot","streams":[{}]}}\n'


class Session(NamedTuple):
    """A cassette, and what its clients are to get.

    Attributes:
        path: The file.
        frames: How many frames it has.
        streams: What a client must ask for to get them all.
        by_hand_bytes: What goes over the wire if each line is sent.
        replay_bytes: What goes over the wire on a combined stream.
    """

    path: Path
    frames: int
    streams: str
    by_hand_bytes: int
    replay_bytes: int


def make_session(folder: Path, times: int) -> Session:
    """Write the largest recording, or the demo without it, so many times over."""
    source = LARGEST if LARGEST.exists() else DEMO
    data = source.read_bytes()
    raw = gzip.decompress(data) if source == LARGEST else data
    lines = [x for x in raw.decode().splitlines(keepends=True) if '"stream":' in x[:40]]
    seconds = 3600 if source == LARGEST else 60
    names = list(dict.fromkeys(_stream_of(line) for line in lines))
    path = folder / f"session-{times}.jsonl"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_HEADER.format(",".join(f'"{name}"' for name in names)))
        for round_ in range(times):
            file.writelines(_later(line, round_ * seconds * 10**6) for line in lines)
    return _measured(path, names, times)


def _stream_of(line: str) -> str:
    return line.split('"stream":"', 1)[1].partition('"')[0]


def _later(line: str, us: int) -> str:
    return re.sub(r"\d+", lambda t: str(int(t[0]) + us), line, count=1) if us else line


def _measured(path: Path, names: list[str], times: int) -> Session:
    frames = replay_bytes = 0
    for frame in read_frames(path):
        envelope = len(f'{{"stream":"{frame.stream}","data":}}') + len(frame.payload)
        replay_bytes += _on_the_wire(envelope)
        frames += 1
    with path.open("rb") as file:
        next(file)
        by_hand_bytes = sum(_on_the_wire(len(line)) for line in file)
    assert frames % times == 0
    return Session(path, frames, "/".join(names), by_hand_bytes, replay_bytes)


def _on_the_wire(size: int) -> int:
    return size + (2 if size < 126 else 4 if size < 2**16 else 10)


@dataclass
class Serving:
    """A server in a process of its own.

    Attributes:
        port: Where it listens.
        peak_bytes: The most memory it ever had; known when it has ended.
        seconds: Processor time it took to serve; known when it has ended.
    """

    port: int
    peak_bytes: int = 0
    seconds: float = 0.0


@contextmanager
def serving(kind: str, *files: Path) -> Iterator[Serving]:
    """Run a server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.serving", kind, *map(str, files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    port, ready = process.stdout.readline().split()
    server = Serving(int(port))
    yield server
    peak, done = process.communicate()[0].split()
    server.peak_bytes = int(peak) * 1024
    server.seconds = float(done) - float(ready)


def path_of(kind: str, session: Session) -> str:
    return f"/stream?streams={session.streams}" if kind == "replay" else "/"


# Clients: each returns how long it took from the first frame to the last.


def count_bytes(port: int, path: str, expected: int, _: int) -> float:
    """Read as fast as a socket can, and count."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        version = "Sec-WebSocket-Version: 13\r\n"
        upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\n{key}{version}"
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n{upgrade}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += line.recv(2**16)
        counted = len(answer.partition(b"\r\n\r\n")[2])
        buffer, started = bytearray(2**20), 0.0
        while counted < expected:
            counted += line.recv_into(buffer)
            if not started and counted > _GREETING_BYTES:
                started = perf_counter()
        return perf_counter() - started


def read_messages(port: int, path: str, _: int, frames: int) -> float:
    """Read with the client library that most bots use."""

    async def read() -> float:
        url = f"ws://127.0.0.1:{port}{path}"
        async with connect(url, compression=None, max_size=None) as bot:
            await bot.recv()
            started = perf_counter()
            for _ in range(frames - 1):
                await bot.recv()
            return perf_counter() - started

    return asyncio.run(read())


Client = Callable[[int, str, int, int], float]
CLIENTS: dict[str, Client] = {
    "a counting socket": count_bytes,
    "a websockets client": read_messages,
}


class Rate(NamedTuple):
    """What one client of a fresh server came to.

    Attributes:
        frames: Frames a second.
        frames_of_cpu: Frames a second of the server's processor time, which other
            work on the machine disturbs less.
    """

    frames: float
    frames_of_cpu: float


def measure(kind: str, session: Session, client: Client) -> Rate:
    """Let one client have all of a session from a fresh server."""
    replayed = kind == "replay"
    expected = session.replay_bytes if replayed else session.by_hand_bytes
    with serving(kind, session.path) as server:
        path = path_of(kind, session)
        seconds = client(server.port, path, expected, session.frames)
    return Rate(session.frames / seconds, session.frames / server.seconds)


def peak_megabytes(session: Session | None) -> float:
    """Return the peak memory of a replay server that a counting client has read."""
    with serving("replay", *([session.path] if session else [])) as server:
        if session:
            path = path_of("replay", session)
            count_bytes(server.port, path, session.replay_bytes, session.frames)
    return server.peak_bytes / 2**20


# Set-up and tear-down


def server_on_a_thread() -> float:
    """Start and stop a bare websockets server on a thread; return the seconds."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def nothing(_: object) -> None: ...

    def run() -> None:
        server = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()

    async def start() -> Server:
        return await serve(nothing, "127.0.0.1", 0)

    started = perf_counter()
    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    return perf_counter() - started


def replay_fixture(factory: ReplayFactory) -> float:
    """Do what the fixture does for a test; return the seconds."""
    started = perf_counter()
    replay = factory("demo:spot")
    replay.problems()
    replay.close()
    return perf_counter() - started


# The table


def medians(pairs: list[tuple[float, float]]) -> tuple[float, float, str]:
    """Return medians of ours, of the yardstick, and of their ratio, in words."""
    ours, yardstick = zip(*pairs, strict=True)
    ratio = median(a / b for a, b in pairs)
    return median(ours), median(yardstick), f"{ratio:.2f} x"


def show(what: str, ours: str, yardstick: str, ratio: str) -> None:
    print(f"{what:<46} {ours:>14} {yardstick:>14} {ratio:>9}", flush=True)


def show_rates(session: Session) -> None:
    for name, client in CLIENTS.items():
        pairs = [
            [measure(kind, session, client) for kind in ("replay", "by-hand")]
            for _ in range(PAIRS)
        ]
        for what in Rate._fields:
            found = medians([(getattr(a, what), getattr(b, what)) for a, b in pairs])
            ours, yardstick, ratio = found
            unit = "frames/s" if what == "frames" else "frames/s of server CPU"
            show(f"{unit}, {name}", f"{ours:,.0f}", f"{yardstick:,.0f}", ratio)


def show_memory(session: Session, longer: Session) -> None:
    idle = peak_megabytes(None)
    for one in (session, longer):
        over = peak_megabytes(one) - idle
        size = one.path.stat().st_size / 2**20
        show(f"MB over an idle server, {size:,.0f} MB", f"{over:.1f}", "", "")


def show_fixture() -> None:
    factory = ReplayFactory(DEMO.parent)
    replay_fixture(factory)  # the first pays for imports and the thread
    pairs = [(replay_fixture(factory), server_on_a_thread()) for _ in range(50)]
    factory.close()
    ours, yardstick, ratio = medians([(1000 * a, 1000 * b) for a, b in pairs])
    show("ms to set up and tear down", f"{ours:.2f}", f"{yardstick:.2f}", ratio)


def test_replay_beside_what_one_writes_by_hand() -> None:
    pin(CLIENT_CPU)
    with TemporaryDirectory() as folder:
        session = make_session(Path(folder), 1)
        print(f"\n{session.frames:,} frames, {PAIRS} pairs, medians")
        show("", "replay", "by hand", "ratio")
        show_rates(session)
        show_memory(session, make_session(Path(folder), 10))
    show_fixture()


if __name__ == "__main__":
    test_replay_beside_what_one_writes_by_hand()
