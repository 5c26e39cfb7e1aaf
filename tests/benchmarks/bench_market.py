"""How fast a market is generated, and in how much memory.

    python -m tests.benchmarks.bench_market [FRAMES]

The yardstick writes as many book tickers with `json.dumps`, without any market.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import islice

from pytest_binance_replay.cassette import format_line
from pytest_binance_replay.market import generate

FRAMES = 1_000_000
YEAR_US = 365 * 86_400 * 1_000_000


def yardstick(frames: int) -> None:
    top = {"b": "97250.00000000", "B": "1.50000000", "a": "97250.01000000", "A": "2.1"}
    for number in range(frames):
        json.dumps({"u": number, "s": "BTCUSDT"} | top, separators=(",", ":")).encode()


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(frames: int) -> None:
    started = time.perf_counter()
    yardstick(frames)
    passed = time.perf_counter() - started
    print(f"json.dumps of dicts  {frames / passed:9,.0f} a second")
    before = peak_mib()
    started = time.perf_counter()
    size = 0
    for line in islice(generate(length_us=YEAR_US, activity=100), frames):
        size += len(format_line(line))
    passed = time.perf_counter() - started
    print(
        f"generated lines      {frames / passed:9,.0f} a second, {size / 1e6:,.0f} MB, "
        f"{peak_mib() - before:.1f} MiB more memory (peak {peak_mib():.0f} MiB)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES)
