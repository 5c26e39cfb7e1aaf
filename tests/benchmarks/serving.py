"""Servers to measure, each in a process of its own: `python -m … KIND FILE`.

Prints its port, serves until its input ends, and prints the most memory it ever had
and the processor time it took to serve.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from time import process_time

from websockets.asyncio.server import Server, ServerConnection, serve

from pytest_binance_replay import ReplayFactory

SERVER_CPU, CLIENT_CPU = 0, 1


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


async def write_by_hand(path: Path) -> Server:
    """Serve a file as one writes it in a minute: line by line, uncompressed."""

    async def send(socket: ServerConnection) -> None:
        with path.open(encoding="utf-8") as file:
            next(file)
            for line in file:
                await socket.send(line)
        await socket.wait_closed()

    return await serve(send, "127.0.0.1", 0, compression=None)


async def run_by_hand(path: Path) -> None:
    server = await write_by_hand(path)
    print(next(iter(server.sockets)).getsockname()[1], process_time(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def run_replay(path: Path | None) -> None:
    factory = ReplayFactory(Path())
    replay = factory(*([path] if path else []), speed="asap")
    print(replay.port, process_time(), flush=True)
    sys.stdin.read()
    factory.close()


def main() -> None:
    kind, *files = sys.argv[1:]
    pin(SERVER_CPU)
    path = Path(files[0]) if files else None
    if kind == "by-hand" and path is not None:
        asyncio.run(run_by_hand(path))
    else:
        run_replay(path)
    print(peak_kilobytes(), process_time(), flush=True)


if __name__ == "__main__":
    main()
