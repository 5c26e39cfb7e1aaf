"""What recording costs: beside a bare client that only counts, at the same pace.

    python -m tests.benchmarks.bench_record [MESSAGES_PER_SECOND] [SECONDS]

A server in a process of its own sends trades at an even pace to two clients, one after
the other, several times: one counts what it gets, the other records it. Printed are
what arrived of what was sent, and the processor time of each client as a share of one
processor. The last line sends as fast as the recorder takes it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from pytest_binance_replay.hosts import Upstream
from pytest_binance_replay.recording.capture import Bounds, plan_capture
from pytest_binance_replay.recording.recorder import Recorder
from tests.benchmarks.serving import CLIENT_CPU, SERVER_CPU, pin

STREAM = "btcusdt@trade"
BURSTS_PER_SECOND = 100
ROUNDS = 5
MESSAGE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1790000001234,"s":"BTCUSDT",'
    '"t":%d,"p":"96987.26000000","q":"0.00425000","T":1790000001233,"m":false,'
    '"M":true}}'
)


async def serve_at(rate: int, seconds: float) -> None:
    """Send for some seconds to whoever subscribes; as fast as they take it at 0."""
    total = int((rate or 50_000) * seconds)

    async def send(socket: ServerConnection) -> None:
        request = json.loads(await socket.recv())
        await socket.send(f'{{"result":null,"id":{request["id"]}}}')
        start = perf_counter()
        burst = max(1, rate // BURSTS_PER_SECOND) if rate else 500
        for first in range(0, total, burst):
            for number in range(first, min(first + burst, total)):
                await socket.send(MESSAGE % number)
            due = start + (first + burst) / rate if rate else 0.0
            await asyncio.sleep(max(0.0, due - perf_counter()))
        await socket.wait_closed()

    async with serve(send, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], total, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def count(url: str, total: int) -> int:
    """The bare client."""
    async with connect(f"{url}/stream", compression=None, max_queue=4096) as socket:
        await socket.send(f'{{"method":"SUBSCRIBE","params":["{STREAM}"],"id":1}}')
        await socket.recv()
        got = 0
        while got < total:
            await socket.recv(decode=False)
            got += 1
    return got


async def record(url: str, total: int) -> int:
    """The recorder; REST has no answers here, and nobody waits for them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bench.jsonl"
        plan = plan_capture([STREAM], "usdm")
        upstream = Upstream(f"{url}/stream", "http://127.0.0.1:1")
        bounds = Bounds(min_messages=total)
        return (await Recorder(path, plan, upstream, bounds=bounds).run()).frames


def measure(kind: str, url: str, total: int) -> None:
    """Print how many came, and what that cost."""
    pin(CLIENT_CPU)
    client = count if kind == "count" else record
    wall, processor = perf_counter(), process_time()
    got = asyncio.run(client(url, total))
    print(got, perf_counter() - wall, process_time() - processor)


def run_client(kind: str, url: str, total: int) -> tuple[int, float, float]:
    command = [sys.executable, "-m", __spec__.name, kind, url, str(total)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    got, wall, processor = done.stdout.split()
    return int(got), float(wall), float(processor)


def compare(rate: int, seconds: float) -> None:
    command = [sys.executable, "-m", __spec__.name, "serve", str(rate), str(seconds)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port, total = server.stdout.readline().split()
        shares: dict[str, list[float]] = {"count": [], "record": []}
        rates: list[float] = []
        for _ in range(ROUNDS):
            for kind, found in shares.items():
                got, wall, processor = run_client(
                    kind, f"ws://127.0.0.1:{port}", int(total)
                )
                assert got == int(total)
                found.append(processor / wall)
                if kind == "record":
                    rates.append(got / wall)
        server.stdin.close()
    bare, recorded = median(shares["count"]), median(shares["record"])
    pace = (
        f"{rate:,} a second" if rate else f"as fast as it goes, {median(rates):,.0f}/s"
    )
    print(
        f"{pace}: {total} of {total} messages each time; processor share: "
        f"bare {bare:.1%}, recorder {recorded:.1%} ({recorded / bare:.2f}x)"
    )


def main() -> None:
    kind, *arguments = sys.argv[1:] or ["5000"]
    if kind == "serve":
        pin(SERVER_CPU)
        asyncio.run(serve_at(int(arguments[0]), float(arguments[1])))
    elif kind in {"count", "record"}:
        measure(kind, arguments[0], int(arguments[1]))
    else:
        seconds = float(arguments[0]) if arguments else 4.0
        print(f"{os.cpu_count()} processors, Python {sys.version.split()[0]}")
        compare(int(kind), seconds)
        compare(0, seconds)


if __name__ == "__main__":
    main()
