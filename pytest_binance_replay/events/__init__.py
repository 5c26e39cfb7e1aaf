"""Payloads as typed, frozen values, parsed when someone asks.

``parse_event`` finds the class, ``Trade.parse`` and its like take the caller's word.
Events are for reading: nothing makes a payload of one, so that what is sent stays
what was recorded.
"""

from __future__ import annotations

from pytest_binance_replay.events.base import (
    Event,
    ServerShutdown,
    UnknownEvent,
    fit,
    read_json,
)
from pytest_binance_replay.events.futures import (
    AssetIndex,
    CompositeIndex,
    ContractInfo,
    ForceOrder,
    IndexComponent,
    LeverageBracket,
    LiquidationOrder,
    MarkPrice,
    TradingSession,
)
from pytest_binance_replay.events.statistics import (
    AveragePrice,
    Candle,
    ContinuousCandle,
    ContinuousKline,
    Kline,
    MiniTicker,
    ReferencePrice,
    RollingTicker,
    Ticker,
)
from pytest_binance_replay.events.trading import (
    AggTrade,
    BlockTrade,
    BookTicker,
    DiffDepth,
    PartialDepth,
    Trade,
)
from pytest_binance_replay.levels import Level
from pytest_binance_replay.streams import Market, event_kind, parse_stream

__all__ = [
    "AggTrade",
    "AssetIndex",
    "AveragePrice",
    "BlockTrade",
    "BookTicker",
    "Candle",
    "CompositeIndex",
    "ContinuousCandle",
    "ContinuousKline",
    "ContractInfo",
    "DiffDepth",
    "Event",
    "ForceOrder",
    "IndexComponent",
    "Kline",
    "Level",
    "LeverageBracket",
    "LiquidationOrder",
    "MarkPrice",
    "MiniTicker",
    "PartialDepth",
    "ReferencePrice",
    "RollingTicker",
    "ServerShutdown",
    "Ticker",
    "Trade",
    "TradingSession",
    "UnknownEvent",
    "parse_event",
]

# By event type, and by what `event_kind` says where several share a class or none is
# on the wire.
_CLASSES: dict[object, type[Event]] = {
    "trade": Trade,
    "blockTrade": BlockTrade,
    "aggTrade": AggTrade,
    "depthUpdate": DiffDepth,
    "partialDepth": PartialDepth,
    "bookTicker": BookTicker,
    "kline": Kline,
    "continuous_kline": ContinuousKline,
    "24hrMiniTicker": MiniTicker,
    "24hrTicker": Ticker,
    "rollingTicker": RollingTicker,
    "1hTicker": RollingTicker,
    "4hTicker": RollingTicker,
    "1dTicker": RollingTicker,
    "avgPrice": AveragePrice,
    "referencePrice": ReferencePrice,
    "markPriceUpdate": MarkPrice,
    "forceOrder": ForceOrder,
    "compositeIndex": CompositeIndex,
    "contractInfo": ContractInfo,
    "assetIndexUpdate": AssetIndex,
    "tradingSession": TradingSession,
    "EquityUpdate": TradingSession,
    "CommodityUpdate": TradingSession,
    "KR_EquityUpdate": TradingSession,
    "HK_EquityUpdate": TradingSession,
    "CN_EquityUpdate": TradingSession,
    "serverShutdown": ServerShutdown,
}


def parse_event(
    payload: bytes | str, *, stream: str, market: Market
) -> Event | tuple[Event, ...]:
    """Read one payload.

    Its event type decides the class. The stream's name decides where the payload has
    none, tells a futures partial depth from a diff depth, and gives the symbol where
    the payload leaves it out.

    Args:
        payload: The text of a frame.
        stream: The frame's stream name.
        market: Which market's names and payloads they are.

    Returns:
        One event for an object, one for each member of an array.

    Raises:
        EventError: If the payload is not JSON or does not fit its class.

    Example:
        >>> text = '{"lastUpdateId":7,"bids":[["9.0","2"]],"asks":[]}'
        >>> book = parse_event(text, stream="btcusdt@depth5", market="spot")
        >>> book.symbol, book.bids[0].price
        ('BTCUSDT', Decimal('9.0'))
    """
    wire = read_json(payload, stream)
    if not isinstance(wire, list):
        return _event(wire, "", stream, market)
    return tuple(
        _event(member, f"[{number}]", stream, market)
        for number, member in enumerate(wire)
    )


def _event(wire: object, at: str, stream: str, market: Market) -> Event:
    if not isinstance(wire, dict):
        return fit(Event, wire, stream, at)  # which tells that it is no object
    event_class = _class_of(wire.get("e"), stream, market)
    if event_class in {DiffDepth, PartialDepth} and "s" not in wire:
        wire = {"s": _symbol_of(stream, market), **wire}
    return fit(event_class, wire, stream, at)


def _class_of(event_type: object, stream: str, market: Market) -> type[Event]:
    if event_type is None:
        event_type = event_kind(stream, market)
    if not isinstance(event_type, str):
        return UnknownEvent
    event_class = _CLASSES.get(event_type, UnknownEvent)
    name = parse_stream(stream, market)
    if event_class is DiffDepth and name is not None and name.levels:
        return PartialDepth
    return event_class


def _symbol_of(stream: str, market: Market) -> str | None:
    name = parse_stream(stream, market)
    return name.symbol.upper() if name is not None and name.symbol else None
