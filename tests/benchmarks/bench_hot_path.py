"""The hot path, row by row, each beside its yardstick in the same run.

    python -m tests.benchmarks.bench_hot_path [--pairs 5] [--scale 1.0] [ROW...]

A pair is ours and then the yardstick, or the other way about, in turn; servers keep to
one processor and clients to another; shown are medians, and the median of the pairs'
ratios, which is what counts. `--scale 0.1` makes shorter sessions, to try it out.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, serve

from pytest_binance_replay import BinanceReplay, Position, ReplayFactory
from pytest_binance_replay.files import CassetteReader, read_frames
from pytest_binance_replay.wire import text_frame
from pytest_binance_replay.writer import CassetteWriter
from tests.benchmarks.processes import combined, serving, start_sinks
from tests.benchmarks.serving import CLIENT_CPU, pin
from tests.benchmarks.sessions import Session, make_session

PAIRS = 5
MILLION = 1_000_000
HAND_FRAMES = 100_000  # of a yardstick that would take minutes for a million
SLOW_BYTES = 1_000_000  # a second
_PACED_FRAMES = 106  # a second of a session that hurries four times
Pair = tuple[float, float]


class Bench:
    """What all rows share: where sessions are, how many pairs, how long they are."""

    def __init__(self, folder: Path, pairs: int, scale: float) -> None:
        self.folder = folder
        self.pairs = pairs
        self.scale = scale
        self.session = cache(self._session)

    def _session(self, frames: int, of: str = "", suffix: str = ".jsonl") -> Session:
        plain = self.folder / f"{frames}-{of or 'all'}.jsonl"
        if suffix == ".jsonl":
            return make_session(plain, max(1, int(frames * self.scale)), of=of)
        session = self.session(frames, of)
        path = plain.with_name(plain.name + suffix.removeprefix(".jsonl"))
        with CassetteReader(session.path) as reader:
            header = reader.header
        with CassetteWriter(path, header) as writer:
            for frame in read_frames(session.path):
                writer.write(frame)
        return session._replace(path=path)

    def paced(self, seconds: float) -> Session:
        """Return a session of so long, some 110 frames a second as in real ones."""
        frames = int(seconds * _PACED_FRAMES)
        return make_session(self.folder / f"{frames}-paced.jsonl", frames, hurry=4)

    def in_turn(self, ours: Callable[[], float], theirs: Callable[[], float]) -> str:
        """Measure pairs and return medians and ratio, for a row."""
        pairs: list[Pair] = []
        for number in range(self.pairs):
            if number % 2:
                yardstick = theirs()
                pairs.append((ours(), yardstick))
            else:
                pairs.append((ours(), theirs()))
        return self.told(pairs)

    @staticmethod
    def told(pairs: list[Pair]) -> str:
        """Return medians and ratio of pairs, for a row."""
        ratios = sorted(a / b for a, b in pairs)
        spread = f"({ratios[0]:.3g} to {ratios[-1]:.3g})"
        ours_, theirs_ = (median(column) for column in zip(*pairs, strict=True))
        return f"{ours_:>13,.6g} {theirs_:>13,.6g} {median(ratios):>9.3g} x  {spread}"


def rate(kind: str, session: Session, count: int = 1, *, path: str = "") -> float:
    """Return the frames a second that so many clients got together."""
    asked = path or combined(session.streams)
    with serving(kind, session.path) as server:
        seconds = start_sinks(server.port, count, [asked]).seconds()
    return count * session.frames / seconds


# Rows


def one_client(bench: Bench) -> str:
    """frames/s at asap, one client that counts, a million frames, cold"""
    session, by_hand = bench.session(MILLION), bench.session(HAND_FRAMES)
    return bench.in_turn(
        lambda: rate("replay", session), lambda: rate("by-hand", by_hand)
    )


def ten_clients(bench: Bench) -> str:
    """the same, 10 clients alike, together"""
    session, by_hand = bench.session(MILLION), bench.session(20_000)
    return bench.in_turn(
        lambda: rate("replay", session, 10), lambda: rate("by-hand", by_hand, 10)
    )


def hundred_clients(bench: Bench) -> str:
    """the same, 100 clients alike, together"""
    session, by_hand = bench.session(200_000), bench.session(2_000)
    return bench.in_turn(
        lambda: rate("replay", session, 100), lambda: rate("by-hand", by_hand, 100)
    )


def ten_subsets(bench: Bench) -> str:
    """the same, 10 clients, each another 2 of 27 streams, delivered"""
    session, by_hand = bench.session(MILLION), bench.session(20_000)

    def measure(kind: str, session: Session) -> float:
        paths = [combined(session.part(number)) for number in range(10)]
        wanted = {stream for number in range(10) for stream in session.part(number)}
        frames = sum(frame.stream in wanted for frame in read_frames(session.path))
        with serving(kind, session.path) as server:
            return frames / start_sinks(server.port, 10, paths).seconds()

    return bench.in_turn(
        lambda: measure("replay", session), lambda: measure("by-hand-filter", by_hand)
    )


def simple_protocol(bench: Bench) -> str:
    """frames/s, simple protocol, one client"""
    trades = "btcusdt@trade"
    session, by_hand = bench.session(200_000, trades), bench.session(40_000, trades)
    asked = json.dumps({"action": "subscribe", "pair": "BTCUSDT", "stream": "trade"})

    def measure(kind: str, session: Session) -> float:
        with serving(kind, session.path) as server:
            sinks = start_sinks(server.port, 1, ["/stream/"], "--say", asked)
            return session.frames / sinks.seconds()

    return bench.in_turn(
        lambda: measure("replay", session), lambda: measure("by-hand-readable", by_hand)
    )


def in_one_process(bench: Bench) -> str:
    """frames/s of a websockets client, from our thread beside it"""
    session = bench.session(200_000)

    async def read(port: int) -> float:
        url = f"ws://127.0.0.1:{port}{combined(session.streams)}"
        async with connect(url, compression=None, max_size=None) as bot:
            await bot.recv()
            started = perf_counter()
            for _ in range(session.frames - 1):
                await bot.recv()
            return session.frames / (perf_counter() - started)

    def ours() -> float:
        factory = ReplayFactory(bench.folder)
        try:
            replay = factory(session.path, speed="asap")
            return asyncio.run(read(replay.port))
        finally:
            factory.close()

    def ceiling() -> float:
        with serving("framed", session.path) as server:
            return asyncio.run(read(server.port))

    return bench.in_turn(ours, ceiling)


def beside_a_slow_one(bench: Bench) -> str:
    """frames/s of 9 fast clients beside one at 1 MB/s, and without it"""
    session = bench.session(400_000)
    path = combined(session.streams)

    def measure(*, beside: bool) -> float:
        with serving("replay", session.path) as server:
            slow = None
            if beside:
                rate = f"--rate={SLOW_BYTES}"
                slow = start_sinks(server.port, 1, [path], rate)
            seconds = start_sinks(server.port, 9, [path]).seconds()
            if slow is not None:
                slow.stop()
        return 9 * session.frames / seconds

    return bench.in_turn(lambda: measure(beside=True), lambda: measure(beside=False))


def peak_megabytes(session: Session | None, clients: int = 1) -> float:
    """Return the peak memory of a replay server; of 100 clients, one stands still."""
    options = ["--stand-still"] if clients > 1 else []
    with serving("replay", session.path if session else None) as server:
        if session:
            path = combined(session.streams)
            start_sinks(server.port, clients, [path], *options).rows()
    return server.peak_bytes / 2**20


def memory(bench: Bench) -> str:
    """MB over an idle server, 100 clients, one standing still"""
    session = bench.session(200_000)
    idle = peak_megabytes(None)
    over = peak_megabytes(session, 100) - idle
    return f"{over:>13.1f} {idle:>13.1f}"


def memory_by_size(bench: Bench) -> str:
    """peak MB, one client, a file of 1 GB and one of 100 MB"""
    pairs = [
        (peak_megabytes(bench.session(4 * MILLION)), peak_megabytes(session))
        for session in [bench.session(400_000)]
    ]
    large, small = pairs[0]
    return f"{large:>13.1f} {small:>13.1f} {large / small:>9.3f} x"


def compressed(bench: Bench, suffix: str) -> str:
    packed = bench.session(400_000, "", suffix)
    plain = bench.session(400_000)
    return bench.in_turn(lambda: rate("replay", packed), lambda: rate("replay", plain))


def gzipped(bench: Bench) -> str:
    """frames/s, a cassette in gzip and the same plain"""
    return compressed(bench, ".jsonl.gz")


def zstandard(bench: Bench) -> str:
    """frames/s, a cassette in zstd and the same plain"""
    return compressed(bench, ".jsonl.zst")


def winding(bench: Bench) -> str:
    """ms to wind a million frames near their end, once read; the first time"""
    session = bench.session(MILLION)
    pairs: list[Pair] = []
    factory = ReplayFactory(bench.folder)
    sleep(3)  # a file just made counts as one that may change unseen

    def measure(replay: BinanceReplay, share: float) -> float:
        started = perf_counter()
        replay.seek(Position(int(share * session.frames), None)).wait(60)
        return (perf_counter() - started) * 1000

    for number in range(bench.pairs):
        unread = bench.folder / f"unread-{number}.jsonl"
        unread.symlink_to(session.path)
        replay = factory(unread, speed="asap")
        first = measure(replay, 0.99)
        pairs.append((measure(replay, 0.98), first))
    factory.close()
    return bench.told(pairs)


# Pacing


def lateness_ms(kind: str, session: Session, *options: str) -> list[float]:
    """Return how late each frame came, beside the earliest, in order."""
    ours = kind == "replay"
    frames = list(read_frames(session.path))
    envelope = '{{"stream":"{}","data":}}'
    sizes = [
        len(text_frame(b" " * (len(f.payload) + len(envelope.format(f.stream)))))
        for f in frames
    ]
    if not ours:
        sizes = [len(text_frame(f.payload)) for f in frames]
    if kind == "by-hand-sleep":
        with session.path.open("rb") as file:
            next(file)
            sizes = [len(text_frame(line)) for line in file]
    with serving(kind, session.path, *options) as server:
        sinks = start_sinks(server.port, 1, [combined(session.streams)], "--arrivals")
        row = sinks.rows()[0][3:]
    arrivals = zip(map(float, row[::2]), map(int, row[1::2]), strict=True)
    late, got, when, sent = [], 0, 0.0, 0
    for frame, size in zip(frames, sizes, strict=True):
        sent += size
        while got < sent:
            when, got = next(arrivals)
        due = (frame.receive_time_us - frames[0].receive_time_us) / 1e6
        late.append((when - due) * 1000)
    earliest = min(late)
    return [one - earliest for one in late]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def drift(bench: Bench) -> str:
    """ms late at the end of 30 s at speed 1; `asyncio.sleep(gap)`"""
    session = bench.paced(30)

    def measure(kind: str, *options: str) -> float:
        late = lateness_ms(kind, session, *options)
        return max(0.001, abs(median(late[-100:]) - median(late[:100])))

    return bench.in_turn(
        lambda: measure("replay", "--speed=1"), lambda: measure("by-hand-sleep")
    )


def lateness(bench: Bench) -> str:
    """p99 ms late at speed 1, idle; a bare `loop.call_at` loop"""
    session = bench.paced(20)
    return bench.in_turn(
        lambda: percentile(lateness_ms("replay", session, "--speed=1"), 0.99),
        lambda: percentile(lateness_ms("by-hand-call-at", session), 0.99),
    )


def lateness_beside_a_busy_bot(bench: Bench) -> str:
    """p99 ms late, a bot busy 50 ms at a time; a server on the bot's loop"""
    session = bench.paced(20)
    busy = "--busy"
    return bench.in_turn(
        lambda: percentile(lateness_ms("replay", session, "--speed=1", busy), 0.99),
        lambda: percentile(lateness_ms("by-hand-call-at", session, busy), 0.99),
    )


# Start


def server_on_a_thread() -> float:
    """Start and stop a bare websockets server on a thread; return the milliseconds."""
    started = perf_counter()
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

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    return 1000 * (perf_counter() - started)


def fixture(bench: Bench) -> str:
    """ms to set up and tear down; a bare websockets server on a thread"""
    factory = ReplayFactory(bench.folder)

    def replay() -> float:
        started = perf_counter()
        replay = factory("demo:spot")
        replay.test_is_over()
        replay.close()
        replay.problems()
        return 1000 * (perf_counter() - started)

    replay()  # the first pays for imports and the thread
    try:
        return bench.in_turn(
            lambda: median(replay() for _ in range(40)),
            lambda: median(server_on_a_thread() for _ in range(40)),
        )
    finally:
        factory.close()


def collection(bench: Bench) -> str:
    """ms of processor time of `pytest --co` on an empty project; without us"""
    empty = bench.folder / "empty"
    empty.mkdir(exist_ok=True)

    def collect(*options: str) -> float:
        before = getrusage(RUSAGE_CHILDREN)
        for _ in range(5):
            command = [sys.executable, "-m", "pytest", "--co", "-q", *options]
            subprocess.run(command, cwd=empty, capture_output=True, check=False)
        after = getrusage(RUSAGE_CHILDREN)
        user = after.ru_utime - before.ru_utime
        return 200 * (user + after.ru_stime - before.ru_stime)

    return bench.in_turn(collect, lambda: collect("-p", "no:binance_replay"))


def same_bytes(bench: Bench) -> str:
    """clients of 10 whose texts have the hash of what was recorded"""
    session = bench.session(HAND_FRAMES)
    expected = hashlib.sha256()
    for frame in read_frames(session.path):
        expected.update(f'{{"stream":"{frame.stream}","data":'.encode())
        expected.update(frame.payload + b"}")
    with serving("replay", session.path) as server:
        paths = [combined(session.streams)]
        rows = start_sinks(server.port, 10, paths, "--hash").rows()
    equal = sum(row[3] == expected.hexdigest() for row in rows)
    return f"{equal:>13} {len(rows):>13}"


ROWS: dict[str, Callable[[Bench], str]] = {
    row.__name__.replace("_", "-"): row
    for row in (
        *(one_client, ten_clients, hundred_clients, ten_subsets, simple_protocol),
        *(in_one_process, beside_a_slow_one, memory, memory_by_size),
        *(gzipped, zstandard, winding, drift, lateness, lateness_beside_a_busy_bot),
        *(fixture, collection, same_bytes),
    )
}


def run(names: list[str], pairs: int, scale: float) -> None:
    pin(CLIENT_CPU)
    print(f"\n{'':<66} {'ours':>13} {'yardstick':>13} {'ratio':>11}")
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder), pairs, scale)
        for name in names or ROWS:
            row = ROWS[name]
            print(f"{row.__doc__:<66} ", end="", flush=True)
            print(row(bench), flush=True)


def test_the_hot_path_beside_what_one_writes_by_hand() -> None:
    run([], PAIRS, 1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the hot path.")
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    run(asked.rows, asked.pairs, asked.scale)
