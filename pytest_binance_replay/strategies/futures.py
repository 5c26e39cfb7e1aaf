"""Payloads that only the futures have."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.market.payloads import Liquidation, Mark
from pytest_binance_replay.market.spelling import exact
from pytest_binance_replay.strategies.sketch import Number, Sketch, check_integers
from pytest_binance_replay.strategies.statistics import draw_period, draw_total
from pytest_binance_replay.streams import Market

_USDM: Market = "usdm"
_UNIT_DECIMALS = 8
_MOST_FUNDING = 3_000_000  # 3 %, in units of 1e-8
_FUNDING_US = 8 * 3_600_000_000
_NEVER_MS = 4_133_404_800_000  # 2100-12-25, the delivery of what is not delivered
_CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL")
_STATUSES = ("TRADING", "PENDING_TRADING", "SETTLING", "CLOSE")
_SHARE_EVENTS = (
    *("EquityUpdate", "CommodityUpdate", "KR_EquityUpdate", "HK_EquityUpdate"),
    "CN_EquityUpdate",
)
_SESSIONS = ("REGULAR", "PRE_MARKET", "AFTER_MARKET", "OVERNIGHT", "NO_TRADING")
_BUFFER = "0.05000000"
_ASSETS = ("BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "ADA", "LTC")


@st.composite
def mark_prices(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@markPrice` and `@markPrice@1s`, on usdm.

    Bounds are as in `trades`; the funding rate lies within 3 %, and shrinks to zero.
    """
    sketch = Sketch(
        draw,
        symbols,
        _USDM,
        prices=(min_price, max_price),
        times_us=(min_time_us, max_time_us),
    )
    unit = 10 ** (_UNIT_DECIMALS - sketch.instrument.price_decimals)
    mark, average, settle, index = (sketch.price() * unit for _ in range(4))
    funding_us = sketch.now_us - sketch.now_us % _FUNDING_US + _FUNDING_US
    funding = sketch.any(st.integers(-_MOST_FUNDING, _MOST_FUNDING))
    told = Mark(mark, average, settle, index, funding, funding_us)
    return sketch.usdm.mark_price(sketch.now_us, told)


@st.composite
def force_orders(
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
    """Payloads of `<symbol>@forceOrder` and `!forceOrder@arr`, on usdm: a liquidation.

    Bounds are as in `trades`.
    """
    sketch = Sketch(
        draw,
        symbols,
        _USDM,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    quantity = sketch.quantity()
    order = Liquidation(
        sells=sketch.flag(),
        quantity=quantity,
        price=sketch.price(),
        quote=sketch.price() * quantity,
        last_quantity=sketch.count(1, quantity),
        time_us=sketch.now_us,
    )
    return sketch.usdm.force_order(sketch.now_us, order)


@st.composite
def continuous_klines(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    intervals: Sequence[str] = ("1m",),
    contracts: Sequence[str] = ("PERPETUAL",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<pair>_<contract>@continuousKline_<interval>`, on usdm.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: The pairs; otherwise as in `klines`, and so are those left out here.
        intervals: As in `klines`.
        contracts: `PERPETUAL`, `CURRENT_QUARTER`, `NEXT_QUARTER` or
            `TRADIFI_PERPETUAL`; one of them is drawn, the first is the simplest.
        min_price: Bounds the four prices.
        max_price: Bounds the four prices.
        min_quantity: Bounds the volume.
        max_quantity: Bounds the volume.
        min_time_us: Bounds the event time.
        max_time_us: Bounds the event time.
    """
    if isinstance(contracts, str) or not contracts or not {*contracts} <= {*_CONTRACTS}:
        msg = f"{contracts=}: expected a sequence of some of {', '.join(_CONTRACTS)}"
        raise InvalidArgument(msg)
    sketch = Sketch(
        draw,
        symbols,
        _USDM,
        prices=(min_price, max_price),
        quantities=(min_quantity, max_quantity),
        times_us=(min_time_us, max_time_us),
    )
    stream = "btcusdt_perpetual@continuousKline_"
    period, closed = draw_period(sketch, intervals, stream=stream)
    total = draw_total(sketch, least=0)
    text = sketch.usdm.continuous_kline(sketch.now_us, period, total, closed=closed)
    contract = sketch.any(st.sampled_from(contracts))
    return text.replace('"ct":"PERPETUAL"', f'"ct":"{contract}"', 1)


@st.composite
def composite_indexes(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("DEFIUSDT",),
    min_size: int = 1,
    max_size: int = 3,
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@compositeIndex`, on usdm: an index and what it is made of.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: As in `trades`, and so are the bounds below.
        min_size: Least number of assets, 1 or more.
        max_size: Most of them, eight at the most.
        min_price: Bounds all prices.
        max_price: Bounds all prices.
        min_time_us: Bounds the event time.
        max_time_us: Bounds the event time.
    """
    check_integers("size", 1, min_size, max_size)
    if max_size > len(_ASSETS):
        msg = f"{max_size=}: expected {len(_ASSETS)} at the most"
        raise InvalidArgument(msg)
    sketch = Sketch(
        draw,
        symbols,
        _USDM,
        prices=(min_price, max_price),
        times_us=(min_time_us, max_time_us),
    )
    unit = 10 ** (_UNIT_DECIMALS - sketch.instrument.price_decimals)
    count = sketch.count(min_size, max_size)
    assets = ",".join(
        f'{{"b":"{asset}","q":"USDT","w":"{exact(sketch.count(1, 10**9))}",'
        f'"W":"{exact(10**8 // count)}","i":"{exact(sketch.price() * unit)}"}}'
        for asset in _ASSETS[:count]
    )
    return (
        f'{{"e":"compositeIndex","E":{sketch.now_us // 1000},"s":"{sketch.symbol}",'
        f'"p":"{exact(sketch.price() * unit)}","C":"baseAsset","c":[{assets}]}}'
    )


@st.composite
def contract_infos(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `!contractInfo`, on usdm: a contract was listed or changed.

    Some have leverage brackets, whose members are JSON numbers, with fractions too.
    Bounds are as in `trades`.
    """
    sketch = Sketch(draw, symbols, _USDM, times_us=(min_time_us, max_time_us))
    now_ms = sketch.now_us // 1000
    status = sketch.any(st.sampled_from(_STATUSES))
    brackets = ""
    if sketch.flag():
        most = sketch.count(1, 125)
        ratio = f"{sketch.count(1, 500)}".zfill(4).rstrip("0")
        brackets = (
            f'"bks":[{{"bs":1,"bnf":0,"bnc":{10**4 * sketch.count(1, 100)},'
            f'"mmr":0.{ratio},"cf":0,"mi":{sketch.count(1, most)},"ma":{most}}}],'
        )
    return (
        f'{{"e":"contractInfo","E":{now_ms},"s":"{sketch.symbol}",'
        f'"ps":"{sketch.symbol}","ct":"PERPETUAL","dt":{_NEVER_MS},'
        f'"ot":{now_ms - sketch.count(0, now_ms)},"cs":"{status}",{brackets}"st":1}}'
    )


@st.composite
def asset_indexes(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSD",),
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `<symbol>@assetIndex`, on usdm: what an asset counts for as margin.

    Symbols are an asset and `USD`. Bounds are as in `trades`; those of the price are of
    the index, and the rates lie within 5 % of it.
    """
    sketch = Sketch(
        draw,
        symbols,
        _USDM,
        prices=(min_price, max_price),
        times_us=(min_time_us, max_time_us),
    )
    index = sketch.price() * 10 ** (_UNIT_DECIMALS - sketch.instrument.price_decimals)
    lower, upper = exact(index - index // 20), exact(index + index // 20)
    return (
        f'{{"e":"assetIndexUpdate","E":{sketch.now_us // 1000},"s":"{sketch.symbol}",'
        f'"i":"{exact(index)}","b":"{_BUFFER}","a":"{_BUFFER}","B":"{lower}",'
        f'"A":"{upper}","q":"{_BUFFER}","g":"{_BUFFER}","Q":"{lower}","G":"{upper}"}}'
    )


@st.composite
def trading_sessions(
    draw: st.DrawFn,
    *,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of `tradingSession`, on usdm: whether shares or goods are traded.

    Bounds of the event time are as in `trades`; it lies inside the session.
    """
    sketch = Sketch(draw, ("BTCUSDT",), _USDM, times_us=(min_time_us, max_time_us))
    now_ms = sketch.now_us // 1000
    event = sketch.any(st.sampled_from(_SHARE_EVENTS))
    start_ms = now_ms - sketch.count(0, min(now_ms, 86_400_000))
    return (
        f'{{"e":"{event}","E":{now_ms},"t":{start_ms},'
        f'"T":{now_ms + sketch.count(1, 86_400_000)},'
        f'"S":"{sketch.any(st.sampled_from(_SESSIONS))}"}}'
    )
