"""Payloads of trades and of the order book."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.market.payloads import Ids
from pytest_binance_replay.market.sums import Sum, Trade
from pytest_binance_replay.strategies.sketch import (
    MOST_ID,
    Number,
    Sketch,
    check_integers,
)
from pytest_binance_replay.streams import Market

_MOST_FILLS = 50
_MOST_LEVELS = 10
_LEVELS = (5, 10, 20)
_MOST_SKIPPED = 1_000


@st.composite
def trades(
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
    """Payloads of `<symbol>@trade`: one fill.

    What is drawn is the text that a client gets: the keys in the exchange's order, its
    numbers in the exchange's form. Its other strategies draw the like, and take the
    same bounds.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: Upper case; one of them is drawn. Those that the generated market
            knows have their real tick and step, others 0.01 and 0.001.
        market: `spot` or `usdm`.
        min_price: In quote units; None for one tick.
        max_price: In quote units; None for ten times the usual price of the symbol.
        min_quantity: In base units; None for one step.
        max_quantity: In base units; None for a million steps.
        min_time_us: Of the trade, microseconds since the epoch; None for 2026-11-20
            10:00 UTC. Times are whole milliseconds.
        max_time_us: Of the trade; None for a day after `min_time_us`.

    Shrinks towards the first symbol, its usual price, the least quantity, the earliest
    time and the id 1.

    Raises:
        InvalidArgument: When drawn, if the bounds leave nothing.
    """
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    trade = Trade(sketch.id(), sketch.price(), sketch.quantity(), sketch.flag())
    return sketch.words.trade(sketch.now_us, trade)


@st.composite
def agg_trades(
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
    """Payloads of `<symbol>@aggTrade`: the fills of one taker at one price.

    At most 50 fills. Bounds are as in `trades`; those of the quantity are of the sum.
    """
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    total = Sum(sketch.id(), sketch.price())
    total.base = sketch.quantity()
    total.last_id = total.first_id + sketch.count(0, min(_MOST_FILLS, total.base) - 1)
    total.bought_base = total.base if sketch.flag() else 0
    number = sketch.count(1, total.first_id)
    return sketch.words.agg_trade(sketch.now_us, number, total)


@st.composite
def block_trades(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@blockTrade`, on spot: a trade agreed outside the book.

    Bounds are as in `trades`.
    """
    sketch = Sketch(
        draw,
        symbols,
        "spot",
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    spell, now_ms = sketch.spot.spell, sketch.now_us // 1000
    sold = "true" if sketch.flag() else "false"
    return (
        f'{{"e":"blockTrade","E":{now_ms},"s":"{sketch.symbol}","t":{sketch.id()},'
        f'"p":"{spell.price(sketch.price())}",'
        f'"q":"{spell.quantity(sketch.quantity())}","T":{now_ms},"m":{sold}}}'
    )


@st.composite
def depth_updates(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    min_size: int = 1,
    max_size: int | None = None,
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@depth`, at any speed: levels of the book that changed.

    Every bid is below every ask, and no price comes twice. A level may have been
    removed, which is a quantity of zero whatever `min_quantity` says. On usdm the same
    payloads come on `<symbol>@rpiDepth@500ms`.

    One payload stands by itself; for payloads that follow each other, and make a book,
    see `sessions`.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: As in `trades`, and so are the bounds below.
        market: `spot` or `usdm`.
        min_size: Least number of levels, both sides together, 1 or more.
        max_size: Most of them; None for ten, or `min_size` if that is more.
        min_price: Bounds all prices.
        max_price: Bounds all prices.
        min_quantity: Bounds all quantities but zero.
        max_quantity: Bounds all quantities.
        min_time_us: Bounds the event time.
        max_time_us: Bounds the event time.
    """
    check_integers("size", 1, min_size, max_size)
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    most = max(_MOST_LEVELS, min_size) if max_size is None else max_size
    prices = sketch.prices(most, min_size)
    bids = sketch.count(0, len(prices))
    levels = [(price, sketch.quantity_or_none()) for price in prices]
    first = sketch.id(2)
    last = first + len(levels) - 1
    ids = Ids(first, last, max(1, first - 1 - sketch.count(0, _MOST_SKIPPED)))
    now_us = sketch.now_us
    return sketch.words.depth(now_us, now_us, ids, levels[:bids][::-1], levels[bids:])


@st.composite
def partial_depths(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    levels: int = 5,
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@depth5`, `@depth10` and `@depth20`: the best levels.

    Each side has one level at least, and the sides do not cross. On spot the payload
    names neither symbol nor time.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: As in `trades`, and so are the bounds below.
        market: `spot` or `usdm`.
        levels: 5, 10 or 20: the most that each side has.
        min_price: Bounds all prices.
        max_price: Bounds all prices.
        min_quantity: Bounds all quantities.
        max_quantity: Bounds all quantities.
        min_time_us: Bounds the event time.
        max_time_us: Bounds the event time.
    """
    if levels not in _LEVELS:
        msg = f"{levels=}: expected 5, 10 or 20"
        raise InvalidArgument(msg)
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    bids, asks = sketch.sides(levels)
    first = sketch.id(2)
    ids = Ids(first, min(MOST_ID, first + sketch.count(0, _MOST_SKIPPED)), first - 1)
    return sketch.words.partial(sketch.now_us, sketch.now_us, ids, bids, asks)


@st.composite
def book_tickers(
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
    """Payloads of `<symbol>@bookTicker`: best bid and best ask, the bid being lower.

    Bounds are as in `trades`.
    """
    sketch = Sketch(
        draw,
        symbols,
        market,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    [bid], [ask] = sketch.sides(1)
    return sketch.words.book_ticker(sketch.now_us, sketch.id(), (*bid, *ask))


@st.composite
def server_shutdowns(
    draw: st.DrawFn,
    *,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `!serverShutdown`, on spot: the connection is about to be closed.

    Bounds of the event time are as in `trades`.
    """
    sketch = Sketch(draw, ("BTCUSDT",), "spot", times_us=(min_time_us, max_time_us))
    return f'{{"e":"serverShutdown","E":{sketch.now_us // 1000}}}'
