"""Servers to measure, each in a process of its own: `python -m … KIND [FILE]`.

Prints its port, serves until its input ends, and prints the most memory it ever had
and the processor time it took to serve. The kinds are ours, `replay`, and what one
writes by hand for want of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic, process_time, sleep
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from pytest_binance_replay import ReplayFactory
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.wire import text_frame

SERVER_CPU, CLIENT_CPU = 0, 1
BUSY_SECONDS = 0.05
_CHUNK_FRAMES = 256

Handler = Callable[[ServerConnection], Awaitable[None]]


def pin(cpu: int) -> None:
    """Keep to one processor, where the system lets us and has another."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {cpu})


def peak_kilobytes() -> int:
    """Return the most memory this process ever had, whatever its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if "VmHWM" in x)
        return int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


# By hand


def lines_of(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        next(file)
        yield from file


async def send_lines(path: Path, socket: ServerConnection) -> None:
    """Send a file as one writes it in a minute: line by line."""
    for line in lines_of(path):
        await socket.send(line)


async def send_wanted(path: Path, socket: ServerConnection) -> None:
    """Send what was asked for in the URL."""
    query = parse_qs(urlsplit(socket.request.path if socket.request else "").query)
    wanted = set(query["streams"][0].split("/"))
    for line in lines_of(path):
        row = json.loads(line)
        if row["stream"] in wanted:
            message = {"stream": row["stream"], "data": row["data"]}
            await socket.send(json.dumps(message))


async def send_readable(path: Path, socket: ServerConnection) -> None:
    """Send trades under names that a person can read."""
    await socket.recv()
    for line in lines_of(path):
        row = json.loads(line)["data"]
        if row.get("e") == "trade" and row["s"] == "BTCUSDT":
            readable = {
                "event": "trade",
                "event_time": row["E"],
                "symbol": row["s"],
                "price": float(row["p"]),
                "quantity": float(row["q"]),
                "time": row["T"],
                "buyer_maker": row["m"],
            }
            await socket.send(json.dumps(readable))


async def send_after_sleeping(path: Path, socket: ServerConnection) -> None:
    """Send with the recorded gaps, each slept."""
    last_us = None
    for line in lines_of(path):
        time_us = json.loads(line)["t"]
        if last_us is not None:
            await asyncio.sleep((time_us - last_us) / 1e6)
        last_us = time_us
        await socket.send(line)


async def send_when_due(path: Path, socket: ServerConnection) -> None:
    """Send with the recorded gaps, by the times that the loop itself keeps."""
    loop = asyncio.get_running_loop()
    frames = [(f.receive_time_us, text_frame(f.payload)) for f in read_frames(path)]
    started = loop.time()
    for time_us, frame in frames:
        due = started + (time_us - frames[0][0]) / 1e6
        if due > loop.time():
            reached = loop.create_future()
            loop.call_at(due, reached.set_result, None)
            await reached
        socket.transport.write(frame)


async def send_framed(path: Path, socket: ServerConnection) -> None:
    """Send bytes that were made beforehand, as fast as they are taken."""
    envelope = '{{"stream":"{}","data":'
    texts = [
        envelope.format(f.stream).encode() + f.payload + b"}" for f in read_frames(path)
    ]
    frames = list(map(text_frame, texts))
    for start in range(0, len(frames), _CHUNK_FRAMES):
        socket.transport.write(b"".join(frames[start : start + _CHUNK_FRAMES]))
        await socket.drain()


BY_HAND: dict[str, Callable[[Path, ServerConnection], Awaitable[None]]] = {
    "by-hand": send_lines,
    "by-hand-filter": send_wanted,
    "by-hand-readable": send_readable,
    "by-hand-sleep": send_after_sleeping,
    "by-hand-call-at": send_when_due,
    "framed": send_framed,
}


async def work_now_and_then() -> None:
    """Do what a bot does between two messages, on the server's own loop."""
    while True:
        work()
        await asyncio.sleep(BUSY_SECONDS)


def work() -> None:
    until = monotonic() + BUSY_SECONDS
    while monotonic() < until:
        sum(range(100))


async def run_by_hand(kind: str, path: Path, *, busy: bool) -> None:
    send = partial(BY_HAND[kind], path)
    async with serve(send, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(port, process_time(), flush=True)
        working = asyncio.ensure_future(work_now_and_then()) if busy else None
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        if working is not None:
            working.cancel()
        server.close()


# Ours


def run_replay(path: Path | None, speed: str, at_end: str, *, busy: bool) -> None:
    factory = ReplayFactory(Path())
    pace = speed if speed == "asap" else float(speed)
    replay = factory(*([path] if path else [None]), speed=pace, at_end=at_end)
    print(replay.port, process_time(), flush=True)
    if busy:
        for _ in count():
            work()
            sleep(BUSY_SECONDS)
            if any(not client.connected for client in replay.clients):
                break
    sys.stdin.read()
    factory.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["replay", *BY_HAND])
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--speed", default="asap")
    parser.add_argument("--at-end", default="close")
    parser.add_argument("--busy", action="store_true")
    asked = parser.parse_args()
    pin(SERVER_CPU)
    if asked.kind == "replay":
        run_replay(asked.path, asked.speed, asked.at_end, busy=asked.busy)
    else:
        asyncio.run(run_by_hand(asked.kind, asked.path, busy=asked.busy))
    print(peak_kilobytes(), process_time(), flush=True)


if __name__ == "__main__":
    main()
