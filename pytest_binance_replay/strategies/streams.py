"""Payloads of a stream, found by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.strategies import futures, statistics, trading
from pytest_binance_replay.strategies.sketch import Number
from pytest_binance_replay.streams import Market, StreamName, parse_stream

_Maker = Callable[..., st.SearchStrategy[str]]

_MAKERS: Mapping[str, _Maker] = {
    "trade": trading.trades,
    "aggTrade": trading.agg_trades,
    "blockTrade": trading.block_trades,
    "depth": trading.depth_updates,
    "rpiDepth": trading.depth_updates,
    "bookTicker": trading.book_tickers,
    "serverShutdown": trading.server_shutdowns,
    "kline": statistics.klines,
    "miniTicker": statistics.mini_tickers,
    "ticker": statistics.tickers,
    "avgPrice": statistics.avg_prices,
    "referencePrice": statistics.reference_prices,
    "continuousKline": futures.continuous_klines,
    "markPrice": futures.mark_prices,
    "forceOrder": futures.force_orders,
    "compositeIndex": futures.composite_indexes,
    "contractInfo": futures.contract_infos,
    "assetIndex": futures.asset_indexes,
    "tradingSession": futures.trading_sessions,
}
_WITHOUT_SYMBOLS = {"serverShutdown", "tradingSession"}
_WITHOUT_PRICES = _WITHOUT_SYMBOLS | {"contractInfo"}
_OF_BOTH_MARKETS = {
    *("trade", "aggTrade", "depth", "rpiDepth", "bookTicker", "kline"),
    *("miniTicker", "ticker"),
}
_ALL_MARKET = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
_OBJECTS = {"bookTicker", "forceOrder", "contractInfo", *_WITHOUT_SYMBOLS}


@st.composite
def payloads(
    draw: st.DrawFn,
    stream: str,
    *,
    market: Market = "spot",
    symbols: Sequence[str] = _ALL_MARKET,
    min_price: Number | None = None,
    max_price: Number | None = None,
    min_time_us: int | None = None,
    max_time_us: int | None = None,
) -> str:
    """Payloads of any stream, by its name.

    What is drawn is the text that a client gets; see the strategy of each kind, such as
    `trades`, for its bounds.

    Args:
        draw: Given by Hypothesis; leave it out.
        stream: Native name, such as `btcusdt@depth@100ms` or `!miniTicker@arr`.
        market: `spot` or `usdm`.
        symbols: Upper case; what streams of all symbols are about. An array has some of
            them, one at least, each once. Other streams name their symbol.
        min_price: Bounds all prices, in quote units.
        max_price: Bounds all prices.
        min_time_us: Bounds the event time, microseconds since the epoch.
        max_time_us: Bounds the event time.

    Raises:
        InvalidArgument: When drawn, if the market has no such stream, or the bounds
            leave nothing.
    """
    name = parse_stream(stream, market)
    if name is None:
        msg = f"{stream=}: {market} has no such stream"
        raise InvalidArgument(msg)
    bounds: dict[str, Any] = {"min_time_us": min_time_us, "max_time_us": max_time_us}
    if name.kind not in _WITHOUT_PRICES:
        bounds |= {"min_price": min_price, "max_price": max_price}
    maker, details = _maker_of(name, market)
    if name.kind in _WITHOUT_SYMBOLS:
        return draw(maker(**details, **bounds))
    if name.symbol is not None:
        symbols = [name.symbol.upper()]
    if not name.all_market or name.kind in _OBJECTS:
        return draw(maker(**details, **bounds, symbols=symbols))
    members = draw(st.lists(st.sampled_from(symbols), min_size=1, unique=True))
    texts = [draw(maker(**details, **bounds, symbols=[member])) for member in members]
    return f"[{','.join(texts)}]"


def _maker_of(name: StreamName, market: Market) -> tuple[_Maker, dict[str, Any]]:
    """Return what draws the payloads of a stream, and what its name says besides."""
    if name.window:
        return statistics.rolling_tickers, {"windows": [name.window]}
    details: dict[str, Any] = {}
    if name.kind in _OF_BOTH_MARKETS:
        details["market"] = market
    if name.interval:
        details["intervals"] = [name.interval]
    if name.contract:
        details["contracts"] = [name.contract.upper()]
    if name.levels:
        return trading.partial_depths, {**details, "levels": name.levels}
    return _MAKERS[name.kind], details
