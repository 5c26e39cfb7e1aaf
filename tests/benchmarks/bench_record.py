"""What recording costs: beside bare clients that only count, at the same pace.

    python -m tests.benchmarks.bench_record [MESSAGES_PER_SECOND] [SECONDS]

A server in a process of its own sends to clients in processes of their own, in turn,
several rounds: at an even pace, then as fast as they take it. Printed is the processor
time of each client for a message, the server's left out, and the median over the rounds
of what the recorder needs in relation to a bare client of the same round.

All connect with the same library and without TLS or compression, and subscribe to the
same combined streams. There are two bare clients:

- `plain`, as one writes it: `async for message in connect(url): count += 1`;
- `lean`, the cheapest that the library has: texts are left undecoded, and more of them
  may wait than arrive at once, so that reading never pauses.

What the first use of a module costs is paid by a short run ahead in the same process.
Each client has to get every message; the recorder's cassette is read again, and has to
have each of them once, in order, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.files import read_lines
from pytest_binance_replay.hosts import Upstream
from pytest_binance_replay.recording.capture import Bounds, plan_capture
from pytest_binance_replay.recording.recorder import Recorder
from pytest_binance_replay.wire import text_frame
from tests.benchmarks.serving import CLIENT_CPU, SERVER_CPU, pin

BURSTS_PER_SECOND = 100
ROUNDS = 5
WARM_UP_MESSAGES = 500
FULL_SPEED_MESSAGES_PER_SECOND = 40_000  # of the seconds asked for
_WRITE_FRAMES = 250

_LEVELS = ",".join(f'["96987.{n:02}000000","0.{n:02}425000"]' for n in range(12))
_TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1790000001234,"s":"BTCUSDT",'
    '"t":%d,"p":"96987.26000000","q":"0.00425000","T":1790000001233,"m":false,'
    '"M":true}}'
)
_BOOK_TICKER = (
    '{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"96987.26000000",'
    '"B":"1.20500000","a":"96987.27000000","A":"0.43000000"}}'
)
_DEPTH = (
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790000001234,'
    f'"s":"BTCUSDT","U":%d,"u":%d,"pu":%p,"b":[{_LEVELS}],"a":[{_LEVELS}]}}}}'
)
_SNAPSHOT = b'{"lastUpdateId":%d,"bids":[],"asks":[]}'
MIXES = {
    "trades": (_TRADE,),
    "mixed": (*[_TRADE] * 8, *[_BOOK_TICKER] * 11, _DEPTH),
}
"""Texts sent over and over: `%d` is the number of the message, `%p` of the one before
of its kind."""


def _fill(text: str, number: int, mix: str) -> str:
    before = number - len(MIXES[mix])
    return text.replace("%d", str(number)).replace("%p", str(before))


def _texts(mix: str, total: int) -> Iterator[bytes]:
    for number, text in zip(range(total), cycle(MIXES[mix]), strict=False):
        yield _fill(text, number, mix).encode()


def _streams(mix: str) -> list[str]:
    return [json.loads(_fill(text, 0, mix))["stream"] for text in MIXES[mix]]


# The server


async def _send_at(socket: ServerConnection, texts: list[bytes], rate: int) -> None:
    """Send in bursts, each message by itself, as an exchange does."""
    start = perf_counter()
    burst = max(1, rate // BURSTS_PER_SECOND)
    for first in range(0, len(texts), burst):
        for text in texts[first : first + burst]:
            await socket.send(text, text=True)
        due = start + (first + burst) / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))


async def _send_all(socket: ServerConnection, texts: list[bytes]) -> None:
    """Send as fast as it is taken, many in one piece: the client is the limit."""
    for first in range(0, len(texts), _WRITE_FRAMES):
        frames = map(text_frame, texts[first : first + _WRITE_FRAMES])
        socket.transport.write(b"".join(frames))
        await socket.drain()


def _snapshot(socket: ServerConnection, request: Request) -> Response | None:
    """Answer REST: a snapshot that joins the second diff of its stream."""
    if request.path.endswith("/stream"):
        return None
    body = _SNAPSHOT % len(MIXES["mixed"])
    return Response(200, "OK", Headers({"Content-Length": str(len(body))}), body)


async def serve_at(rate: int) -> None:
    """Send what the path says to whoever subscribes: /MIX/MESSAGES/stream."""

    async def send(socket: ServerConnection) -> None:
        assert socket.request is not None
        _, mix, total, _ = socket.request.path.split("/")
        texts = list(_texts(mix, int(total)))
        request = json.loads(await socket.recv())
        await socket.send(f'{{"result":null,"id":{request["id"]}}}')
        await (_send_at(socket, texts, rate) if rate else _send_all(socket, texts))
        await socket.wait_closed()

    options: dict[str, Any] = {"compression": None, "process_request": _snapshot}
    async with serve(send, "127.0.0.1", 0, **options) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


# The clients


def _subscription(mix: str) -> str:
    return json.dumps({"method": "SUBSCRIBE", "params": [*{*_streams(mix)}], "id": 1})


async def count_plain(url: str, mix: str, total: int) -> int:
    """Count as one writes it."""
    got = -1  # the answer to the subscription
    async with connect(f"{url}/{mix}/{total}/stream") as socket:
        await socket.send(_subscription(mix))
        async for _ in socket:
            got += 1
            if got == total:
                break
    return got


async def count_lean(url: str, mix: str, total: int) -> int:
    """Count as cheaply as the library can."""
    address = f"{url}/{mix}/{total}/stream"
    async with connect(address, compression=None, max_queue=4096) as socket:
        await socket.send(_subscription(mix))
        await socket.recv()
        got = 0
        while got < total:
            await socket.recv(decode=False)
            got += 1
    return got


async def record(url: str, mix: str, total: int, path: Path) -> int:
    """Record all of it, with the depth snapshot that it needs."""
    plan = plan_capture(_streams(mix), "usdm")
    rest_url = url.replace("ws:", "http:")
    upstream = Upstream(f"{url}/{mix}/{total}/stream", rest_url)
    enough = {stream: count for stream, count in _shares(mix, total).items() if count}
    recorder = Recorder(path, plan, upstream, bounds=Bounds(min_messages=enough))
    recording = await recorder.run()
    assert not recording.problems, recording.problems
    return recording.frames


def _shares(mix: str, total: int) -> dict[str, int]:
    """Return how many messages of each stream are among the first so many."""
    names = _streams(mix)
    rounds, rest = divmod(total, len(names))
    return {
        name: rounds * names.count(name) + names[:rest].count(name) for name in names
    }


class Cost(NamedTuple):
    """What a run took: messages, seconds on the clock, and of a processor."""

    messages: int
    wall: float
    processor: float

    @property
    def us(self) -> float:
        """Processor time for a message, microseconds."""
        return self.processor / self.messages * 1e6


def _measure(run: Callable[[int], Awaitable[int]], total: int) -> Cost:
    async def once(messages: int) -> int:
        return await run(messages)

    asyncio.run(once(WARM_UP_MESSAGES))
    wall, processor = perf_counter(), process_time()
    got = asyncio.run(once(total))
    return Cost(got, perf_counter() - wall, process_time() - processor)


def run_client(kind: str, url: str, mix: str, total: int) -> None:
    """Print what a client got, and what that cost."""
    pin(CLIENT_CPU)
    if kind != "recorder":
        count = count_plain if kind == "plain" else count_lean
        print(*_measure(lambda messages: count(url, mix, messages), total))
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bench.jsonl"
        cost = _measure(lambda messages: record(url, mix, messages, path), total)
        _check_whole(path, mix, total)
    print(*cost)


def _check_whole(path: Path, mix: str, total: int) -> None:
    """Hold each frame, and when it came, against what was sent."""
    frames = [line for line in read_lines(path) if isinstance(line, Frame)]
    wrapped = [
        b'{"stream":"%b","data":%b}' % (frame.stream.encode(), frame.payload)
        for frame in frames
    ]
    assert wrapped == list(_texts(mix, total)), "the cassette is not what was sent"
    times = [frame.receive_time_us for frame in frames]
    assert times == sorted(times)


# Both


def _start(kind: str, url: str, mix: str, total: int) -> Cost:
    arguments = [kind, url, mix, str(total)]
    command = [sys.executable, "-m", __spec__.name, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    got, wall, processor = done.stdout.split()
    cost = Cost(int(got), float(wall), float(processor))
    assert cost.messages == total, f"{kind} got {cost.messages} of {total}"
    return cost


def compare(rate: int, mix: str, seconds: float) -> None:
    command = [sys.executable, "-m", __spec__.name, "serve", str(rate)]
    total = int((rate or FULL_SPEED_MESSAGES_PER_SECOND) * seconds)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = f"ws://127.0.0.1:{server.stdout.readline().strip()}"
        rounds = [
            {kind: _start(kind, url, mix, total) for kind in CLIENTS}
            for _ in range(ROUNDS)
        ]
        server.stdin.close()
    _report(f"{rate:,} a second" if rate else "full speed", mix, total, rounds)


def _report(pace: str, mix: str, total: int, rounds: list[dict[str, Cost]]) -> None:
    print(f"{mix}, {pace}: {total} of {total} messages each time, cassettes whole")
    for kind in CLIENTS:
        costs = [of[kind] for of in rounds]
        ratios = [of["recorder"].us / of[kind].us for of in rounds]
        line = f"  {kind:9}{median(cost.us for cost in costs):6.2f} us a message"
        line += f", {median(c.messages / c.wall for c in costs):8,.0f}/s"
        if kind != "recorder":
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            line += f"; recorder to it {median(ratios):.2f} ({spread})"
        print(line)


CLIENTS = ("plain", "lean", "recorder")


def main() -> None:
    kind, *arguments = sys.argv[1:] or ["5000"]
    if kind == "serve":
        pin(SERVER_CPU)
        asyncio.run(serve_at(int(arguments[0])))
    elif kind in CLIENTS:
        url, mix, total = arguments
        run_client(kind, url, mix, int(total))
    else:
        seconds = float(arguments[0]) if arguments else 4.0
        print(f"{os.cpu_count()} processors, Python {sys.version.split()[0]}")
        for mix in MIXES:
            compare(int(kind), mix, seconds)
            compare(0, mix, seconds)


if __name__ == "__main__":
    main()
