"""Payloads that sum up a stretch of time: candles, tickers, averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.market.candles import period_at
from pytest_binance_replay.market.payloads import Period
from pytest_binance_replay.market.sums import MINUTE_US, Sum
from pytest_binance_replay.strategies.sketch import MOST_ID, Number, Sketch
from pytest_binance_replay.streams import Market, parse_stream

Window = Literal["1h", "4h", "1d"]

_HOURS: dict[str, int] = {"1h": 1, "4h": 4, "1d": 24}
_MOST_TRADES = 1_000_000
_MOST_MOVES = 3


def draw_total(sketch: Sketch, *, least: int = 1) -> Sum:
    """Draw what some trades add up to.

    Args:
        sketch: Bounds prices, and the quantity of all trades together.
        least: The least number of trades.
    """
    base = sketch.quantity()
    count = sketch.count(least, min(_MOST_TRADES, base))
    total = Sum(sketch.count(1, MOST_ID - count), sketch.price())
    total.last_id += count
    if not count:
        return total
    total.base = base
    later = [sketch.price() for _ in range(min(count - 1, _MOST_MOVES))]
    prices = [total.open, *later]
    total.close = prices[-1]
    total.low, total.high = min(prices), max(prices)
    average = sketch.count(total.low, total.high)
    total.quote = base * average
    total.bought_base = sketch.count(0, base)
    total.bought_quote = total.bought_base * average
    return total


def draw_period(
    sketch: Sketch, intervals: Sequence[str], *, stream: str = "btcusdt@kline_"
) -> tuple[Period, bool]:
    """Draw a candle's period, and whether it is over.

    Args:
        sketch: Its moment.
        intervals: One of them is drawn.
        stream: How a name of its streams begins, before the interval.
    """
    if isinstance(intervals, str) or not intervals:
        msg = f"{intervals=}: expected a sequence such as ('1m', '1h')"
        raise InvalidArgument(msg)
    for interval in intervals:
        market = sketch.instrument.market
        if parse_stream(f"{stream}{interval}", market) is None:
            msg = f"{intervals=}: {market} has no candles of {interval!r}"
            raise InvalidArgument(msg)
    interval = sketch.any(st.sampled_from(intervals))
    period = period_at(interval, sketch.now_us)
    if sketch.flag():
        return period_at(interval, period.start_us - 1), True
    return period, False


@st.composite
def klines(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    intervals: Sequence[str] = ("1m",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@kline_<interval>`: a candle, growing or closed.

    A candle may have had no trade yet: then its ids are -1 and its volumes zero.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: As in `trades`, and so are the bounds below.
        market: `spot` or `usdm`.
        intervals: One of them is drawn; the first is the simplest.
        min_price: Bounds the four prices.
        max_price: Bounds the four prices.
        min_quantity: Bounds the volume, in base units.
        max_quantity: Bounds the volume.
        min_time_us: Bounds the event time, which is inside a growing candle and
            behind a closed one.
        max_time_us: Bounds the event time.
    """
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    period, closed = draw_period(sketch, intervals)
    total = draw_total(sketch, least=0)
    return sketch.words.kline(sketch.now_us, period, total, closed=closed)


@st.composite
def mini_tickers(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@miniTicker`: the last day in short.

    Bounds are as in `trades`; those of the quantity are of the volume.
    """
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    return sketch.words.mini_ticker(sketch.now_us, draw_total(sketch))


@st.composite
def tickers(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@ticker`: the last day at length.

    Bounds are as in `trades`; those of the quantity are of the volume.
    """
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    total = draw_total(sketch)
    last = sketch.count(1, total.base)
    [bid], [ask] = sketch.sides(1)
    return sketch.words.ticker(sketch.now_us, total, last, (*bid, *ask))


@st.composite
def rolling_tickers(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    windows: Sequence[Window] = ("1h", "4h", "1d"),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@ticker_1h`, `_4h` and `_1d`, on spot: the last hours.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: As in `trades`, and so are the bounds below.
        windows: One of them is drawn; the first is the simplest.
        min_price: Bounds all prices.
        max_price: Bounds all prices.
        min_quantity: Bounds the volume, in base units.
        max_quantity: Bounds the volume.
        min_time_us: Bounds the event time.
        max_time_us: Bounds the event time.
    """
    if isinstance(windows, str) or not windows or not {*windows} <= _HOURS.keys():
        msg = f"{windows=}: expected a sequence of some of '1h', '4h', '1d'"
        raise InvalidArgument(msg)
    sketch = Sketch(
        draw,
        symbols,
        "spot",
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    window, now_us = sketch.any(st.sampled_from(windows)), sketch.now_us
    start_us = now_us - now_us % MINUTE_US - _HOURS[window] * 60 * MINUTE_US
    total = draw_total(sketch)
    return sketch.spot.rolling_ticker(now_us, window, max(0, start_us), total)


@st.composite
def avg_prices(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@avgPrice`, on spot: the average of five minutes.

    Bounds are as in `trades`.
    """
    sketch = Sketch(
        draw,
        symbols,
        "spot",
        prices=(min_price, max_price),
        times_us=(min_time_us, max_time_us),
    )
    total = Sum(1, sketch.price())
    total.base, total.quote = 1, total.close
    traded_us = max(0, sketch.now_us - sketch.count(0, 5 * 60_000) * 1000)
    return sketch.spot.average_price(sketch.now_us, total, traded_us)


@st.composite
def reference_prices(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@referencePrice`, on spot; there may be no price.

    Bounds are as in `trades`.
    """
    sketch = Sketch(
        draw,
        symbols,
        "spot",
        prices=(min_price, max_price),
        times_us=(min_time_us, max_time_us),
    )
    price = f'"{sketch.spot.spell.price(sketch.price())}"'
    if sketch.flag():
        price = "null"
    return (
        f'{{"e":"referencePrice","s":"{sketch.symbol}","r":{price},'
        f'"t":{sketch.now_us // 1000}}}'
    )
