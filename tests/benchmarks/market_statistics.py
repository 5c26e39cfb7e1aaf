"""How a generated market compares with recorded ones: a table of statistics.

    python -m tests.benchmarks.market_statistics [--market usdm] [--symbol ETHUSDT]
        [--for 1h] [--seed 0] [--scenario calm] [--activity 100]

A column for each recording that has trades and a book, and one for a generated
session; beside it, how many times it lies above or below the range of the recordings.
Those are in the folder `shared/data` beside the checkout; without it there is only
the generated column.

Trades are fills, as `@trade` tells them; takers are runs of fills of one millisecond
and one side, which `@aggTrade` shows too. Fano is the variance of the counts in
windows of a length over their mean: 1 for arrivals that know nothing of each other.
Autocorrelation is that of the counts in windows of a second. The top of the book is
looked at every tenth of a second. Moves are those of its middle, as the root of their
mean square; sizes are worth so much of the quote asset.
"""

from __future__ import annotations

import argparse
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import NamedTuple, get_args

from pytest_binance_replay.book import OrderBook, parse_change
from pytest_binance_replay.cassette import Frame, Line
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.market import find_instrument, generate, parse_length
from pytest_binance_replay.streams import Market

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SECOND_US = 1_000_000
SAMPLE_US = 100_000


class Recording(NamedTuple):
    """One symbol of a recording.

    Attributes:
        folder: Of the capture.
        symbol: Upper case.
        decimals: The tick of its price was 10 ** -decimals.
    """

    folder: str
    symbol: str
    decimals: int


RECORDINGS: Mapping[Market, tuple[Recording, ...]] = {
    "spot": (
        Recording("cryptofeed-spot-20210404", "BTCUSDT", 2),
        Recording("cryptofeed-spot-20210404", "ETHUSDT", 2),
        Recording("hftbacktest-spot-20240808", "BTCUSDT", 2),
        Recording("hftbacktest-spot-20240808", "ETHUSDT", 2),
        Recording("polysim-spot-20260718", "BTCUSDT", 2),
    ),
    "usdm": (
        Recording("hftbacktest-usdm-20230404", "BTCUSDT", 1),
        Recording("hftbacktest-usdm-20240808", "BTCUSDT", 1),
        Recording("hftbacktest-usdm-20240808", "ETHUSDT", 2),
        Recording("polysim-usdm-20260718", "BTCUSDT", 1),
    ),
}
STREAMS: Mapping[Market, tuple[str, ...]] = {
    "spot": ("trade", "aggTrade", "bookTicker", "depth@100ms"),
    "usdm": ("trade", "aggTrade", "bookTicker", "depth@0ms"),
}


class Portrait:
    """What the table needs to know of one symbol, gathered from its frames.

    Args:
        symbol: Upper case.
        decimals: The tick of its price is 10 ** -decimals.
        book: Where there are no book tickers: the book at a snapshot, to follow.
    """

    def __init__(
        self, symbol: str, decimals: int, book: OrderBook | None = None
    ) -> None:
        self._prefix = f"{symbol.lower()}@"
        self._ticks = 10**decimals
        self._book = book
        self.times_us: dict[str, array[int]] = {}
        self.trades_ms = array("q")
        self.trade_sizes = array("d")
        self.takers_ms = array("q")
        self.taker_sizes = array("d")
        self.told_spreads = array("q")
        self.spreads = array("q")
        self.middles = array("d")
        self.levels = array("q")
        self._side: bool | None = None
        self._top: tuple[float, float] | None = None
        self._look_us = 0

    def add(self, frame: Frame) -> None:
        """Take a frame into account, if it is of the symbol."""
        if not frame.stream.startswith(self._prefix):
            return
        kind = frame.stream[len(self._prefix) :].partition("@")[0]
        self.times_us.setdefault(kind, array("q")).append(frame.receive_time_us)
        if kind in {"trade", "aggTrade"}:
            self._add_trade(json.loads(frame.payload), kind)
        elif kind == "bookTicker":
            event = json.loads(frame.payload)
            self._add_top(frame.receive_time_us, float(event["b"]), float(event["a"]))
            bid, ask = self._top or (nan, nan)
            self.told_spreads.append(round((ask - bid) * self._ticks))
        elif kind == "depth":
            self._add_diff(frame)

    def _add_trade(self, event: dict[str, object], kind: str) -> None:
        size = float(str(event["p"])) * float(str(event["q"]))
        time_ms, side = int(str(event["T"])), bool(event["m"])
        if kind == "trade":
            self.trades_ms.append(time_ms)
            self.trade_sizes.append(size)
        elif self.trades_ms:
            return  # the same fills once more
        if self.takers_ms and (self.takers_ms[-1], self._side) == (time_ms, side):
            self.taker_sizes[-1] += size
        else:
            self.takers_ms.append(time_ms)
            self.taker_sizes.append(size)
            self._side = side

    def _add_top(self, now_us: int, bid: float, ask: float) -> None:
        self._look_us = self._look_us or now_us
        while self._top and self._look_us + SAMPLE_US <= now_us:
            self._look_us += SAMPLE_US
            before_bid, before_ask = self._top
            self.spreads.append(round((before_ask - before_bid) * self._ticks))
            self.middles.append((before_bid + before_ask) / 2)
        self._top = bid, ask

    def _add_diff(self, frame: Frame) -> None:
        change = parse_change(frame.payload)
        self.levels.append(len(change.bids) + len(change.asks))
        if self._book is not None and self._book.apply_change(change):
            bid, ask = self._book.best_bid, self._book.best_ask
            if bid and ask:
                self._add_top(frame.receive_time_us, float(bid.price), float(ask.price))

    @property
    def seconds(self) -> float:
        """How long it was looked at."""
        first = min(times[0] for times in self.times_us.values())
        last = max(times[-1] for times in self.times_us.values())
        return (last - first) / SECOND_US

    def rate(self, kind: str) -> float:
        """Return the frames a second of a kind of stream."""
        return len(self.times_us.get(kind, ())) / self.seconds or nan


# Statistics


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def variation(values: Sequence[float]) -> float:
    """Return the standard deviation over the mean."""
    mean = sum(values) / len(values)
    square = sum((value - mean) ** 2 for value in values) / len(values)
    return float(square**0.5 / mean)


def counts(times: Sequence[int], window: int) -> list[int]:
    """Return how many times are in each window, but for the last, broken one."""
    found = Counter((time - times[0]) // window for time in times)
    return [found[number] for number in range((times[-1] - times[0]) // window)]


def fano(times: Sequence[int], window: int) -> float:
    values = counts(times, window)
    return variation(values) ** 2 * sum(values) / len(values)


def autocorrelation(times: Sequence[int], window: int, lag: int) -> float:
    values = counts(times, window)
    mean = sum(values) / len(values)
    around = [value - mean for value in values]
    shared = sum(a * b for a, b in zip(around, around[lag:], strict=False))
    return shared / sum(value * value for value in around)


def top_share(values: Sequence[float], percent: float) -> float:
    """Return what part of the sum the largest make, in percent."""
    ordered = sorted(values, reverse=True)
    return 100 * sum(ordered[: int(len(ordered) * percent / 100)]) / sum(ordered)


def move(middles: Sequence[float], seconds: int) -> float:
    """Return how far the middle moves in a time, in basis points."""
    step = seconds * SECOND_US // SAMPLE_US
    squares = [
        (after / before - 1) ** 2
        for before, after in zip(middles, middles[step:], strict=False)
    ]
    return 10_000 * (sum(squares) / len(squares)) ** 0.5 if squares else nan


def same_as_before(values: Sequence[int]) -> float:
    """Return how many are as the one before, in percent."""
    return 100 * sum(a == b for a, b in pairwise(values)) / len(values)


def gaps(times: Sequence[int], unit: int = 1) -> list[float]:
    return [(b - a) / unit for a, b in pairwise(times)]


Measure = Callable[[Portrait], float]


def arrivals(
    name: str, times: Callable[[Portrait], Sequence[int]], per_ms: int
) -> list[tuple[str, Measure]]:
    """Return the rows on when something comes.

    Args:
        name: What comes.
        times: Returns when it came.
        per_ms: How many units of those times a millisecond has.
    """
    second = 1000 * per_ms
    return [
        (f"{name}: gap, ms, median", lambda p: percentile(gaps(times(p), per_ms), 50)),
        ("  p90", lambda p: percentile(gaps(times(p), per_ms), 90)),
        ("  p99", lambda p: percentile(gaps(times(p), per_ms), 99)),
        ("  coefficient of variation", lambda p: variation(gaps(times(p)))),
        ("  Fano, 1 s", lambda p: fano(times(p), second)),
        ("  Fano, 10 s", lambda p: fano(times(p), 10 * second)),
        ("  autocorrelation, 1 s", lambda p: autocorrelation(times(p), second, 1)),
        ("  autocorrelation, 10 s", lambda p: autocorrelation(times(p), second, 10)),
    ]


def shape(
    name: str, values: Callable[[Portrait], Sequence[float]]
) -> list[tuple[str, Measure]]:
    """Return the rows on how something is distributed."""
    return [
        (f"{name}: median", lambda p: percentile(values(p), 50)),
        ("  p90", lambda p: percentile(values(p), 90)),
        ("  p99", lambda p: percentile(values(p), 99)),
    ]


ROWS: Sequence[tuple[str, Measure]] = [
    ("seconds", lambda p: p.seconds),
    ("trade, a second", lambda p: p.rate("trade")),
    ("aggTrade, a second", lambda p: p.rate("aggTrade")),
    ("takers, a second", lambda p: len(p.takers_ms) / p.seconds),
    ("bookTicker, a second", lambda p: p.rate("bookTicker")),
    ("depth, a second", lambda p: p.rate("depth")),
    *arrivals("trades", lambda p: p.times_us["trade"], 1000),
    ("  in the ms of the one before, %", lambda p: same_as_before(p.trades_ms)),
    *arrivals("takers", lambda p: p.takers_ms, 1),
    *arrivals("book tickers", lambda p: p.times_us["bookTicker"], 1000),
    *shape("spread, ticks, each 0.1 s", lambda p: p.spreads),
    ("  of one tick, %", lambda p: 100 * p.spreads.count(1) / len(p.spreads)),
    *shape("spread, ticks, each bookTicker", lambda p: p.told_spreads),
    *shape("size of a trade", lambda p: p.trade_sizes),
    ("  largest 1 %, % of volume", lambda p: top_share(p.trade_sizes, 1)),
    *shape("size of a taker", lambda p: p.taker_sizes),
    ("  largest 1 %, % of volume", lambda p: top_share(p.taker_sizes, 1)),
    *shape("levels of a diff", lambda p: p.levels),
    ("move of 1 s, basis points", lambda p: move(p.middles, 1)),
    ("move of 10 s", lambda p: move(p.middles, 10)),
    ("move of 60 s", lambda p: move(p.middles, 60)),
]


def measured(measure: Measure, portrait: Portrait) -> float:
    """Return what a row says of a column; NaN if it has nothing of the kind."""
    try:
        return measure(portrait)
    except (KeyError, IndexError, ZeroDivisionError):
        return nan


# The table


def portray(portrait: Portrait, lines: Iterable[Line]) -> Portrait:
    for line in lines:
        if isinstance(line, Frame):
            portrait.add(line)
    return portrait


def portray_recording(recording: Recording, market: Market) -> Portrait:
    folder, symbol, decimals = recording
    (path,) = (DATA / folder).glob("session.jsonl*")
    book = None
    if folder.startswith("cryptofeed"):
        body = json.loads(
            (DATA / folder / f"rest/{symbol}_depth_1000.json").read_bytes()
        )
        book = OrderBook(
            symbol,
            market,
            update_id=body["lastUpdateId"],
            bids=body["bids"],
            asks=body["asks"],
        )
    return portray(Portrait(symbol, decimals, book), read_frames(path))


def outside(value: float, recorded: Sequence[float]) -> str:
    """Return by what factor a value is above or below all that were recorded."""
    known = [one for one in recorded if one == one]
    if not known or value != value:
        return ""
    least, most = min(known), max(known)
    if least <= value <= most:
        return "within"
    if value > most:
        return f"x {value / most:.1f}" if most > 0 else f"+ {value - most:.2f}"
    return f"/ {least / value:.1f}" if value > 0 else f"- {least - value:.2f}"


def shown(value: float) -> str:
    if value != value:
        return "."
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_table(real: Mapping[str, Portrait], made: Portrait) -> None:
    heads = [*real, "generated"]
    widths = [max(9, len(head) + 2) for head in heads]
    line = "".join(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True))
    print(f"{'':<34}{line}  outside")
    for name, measure in ROWS:
        values = [measured(measure, portrait) for portrait in real.values()]
        value = measured(measure, made)
        cells = zip([*values, value], widths, strict=True)
        line = "".join(f"{shown(v):>{w}}" for v, w in cells)
        print(f"{name:<34}{line}  {outside(value, values)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--market", choices=get_args(Market))
    parser.add_argument("--symbol", default="BTCUSDT")
    parser.add_argument("--for", dest="length", default="1h")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", default="calm")
    parser.add_argument("--activity", type=int, default=100)
    options = parser.parse_args()
    markets: Sequence[Market] = [options.market] if options.market else get_args(Market)
    for market in markets:
        print(
            f"{market}, generated: {options.symbol}, {options.scenario}, "
            f"{options.length}, seed {options.seed}, activity {options.activity}"
        )
        real = {
            f"{one.symbol[:3]} {one.folder[-8:]}": portray_recording(one, market)
            for one in RECORDINGS[market]
            if (DATA / one.folder).exists()
        }
        lines = generate(
            seed=options.seed,
            scenario=options.scenario,
            length_us=parse_length(options.length),
            symbols=[options.symbol],
            market=market,
            streams=STREAMS[market],
            activity=options.activity,
        )
        decimals = find_instrument(options.symbol, market).price_decimals
        write_table(real, portray(Portrait(options.symbol, decimals), lines))
        print()


if __name__ == "__main__":
    main()
