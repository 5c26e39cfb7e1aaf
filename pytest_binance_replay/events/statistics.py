"""Candles, tickers and averages: events that sum up a stretch of time."""

from __future__ import annotations

from pydantic import Field, StrictBool, StrictInt

from pytest_binance_replay.events.base import (
    CandleEnd,
    Event,
    MarketEvent,
    Microseconds,
    Number,
    WireObject,
)


class _CandleBase(WireObject):
    open_time_us: Microseconds = Field(alias="t")
    close_time_us: CandleEnd = Field(alias="T")
    interval: str = Field(alias="i")
    open_price: Number = Field(alias="o")
    close_price: Number = Field(alias="c")
    high_price: Number = Field(alias="h")
    low_price: Number = Field(alias="l")
    volume: Number = Field(alias="v")
    trade_count: StrictInt = Field(alias="n")
    is_closed: StrictBool = Field(alias="x")
    quote_volume: Number = Field(alias="q")
    taker_buy_volume: Number = Field(alias="V")
    taker_buy_quote_volume: Number = Field(alias="Q")
    ignore: Number | None = Field(default=None, alias="B")


class Candle(_CandleBase):
    """The candle inside a ``Kline``.

    Attributes:
        open_time_us: Its start, on the interval's grid, microseconds since 1970.
        close_time_us: Its last microsecond, the same whether the wire's unit was
            milliseconds or microseconds.
        symbol: Upper case.
        interval: ``1m``, without a time zone.
        first_trade_id: -1 if there was no trade.
        last_trade_id: -1 if there was no trade.
        open_price: In quote units, as the three below.
        close_price: Of the last trade so far.
        high_price: So far.
        low_price: So far.
        volume: In base units.
        trade_count: Number of trades.
        is_closed: True in exactly one frame of a candle, its last.
        quote_volume: In quote units.
        taker_buy_volume: Bought by takers, in base units.
        taker_buy_quote_volume: Bought by takers, in quote units.
        ignore: Without a meaning.
    """

    symbol: str = Field(alias="s")
    first_trade_id: StrictInt = Field(alias="f")
    last_trade_id: StrictInt = Field(alias="L")


class ContinuousCandle(_CandleBase):
    """The candle inside a ``ContinuousKline``; as ``Candle``, but ids are of updates.

    Attributes:
        first_update_id: The first in the candle.
        last_update_id: The last in the candle.
    """

    first_update_id: StrictInt = Field(alias="f")
    last_update_id: StrictInt = Field(alias="L")


class Kline(MarketEvent):
    """A candle as it stands.

    Streams: ``<symbol>@kline_<interval>`` on both markets, spot also with
    ``@+08:00``, which the payload does not show.

    Source:
        Binance Spot API docs and USDⓈ-M Futures docs, "Kline/Candlestick Streams".
    """

    candle: Candle = Field(alias="k")


class ContinuousKline(Event):
    """A candle of whatever contract holds a place, such as the current quarter's.

    Streams: ``<pair>_<contract>@continuousKline_<interval>``, futures.

    Source:
        Binance USDⓈ-M Futures docs, "Continuous Contract Kline/Candlestick Streams".

    Attributes:
        pair: Upper case; there is no symbol.
        contract_type: ``PERPETUAL``, ``CURRENT_QUARTER``, ``NEXT_QUARTER`` or
            ``TRADIFI_PERPETUAL``.
    """

    event_time_us: Microseconds = Field(alias="E")
    pair: str = Field(alias="ps")
    contract_type: str = Field(alias="ct")
    candle: ContinuousCandle = Field(alias="k")


class MiniTicker(MarketEvent):
    """The last 24 hours in few numbers.

    Streams: ``<symbol>@miniTicker``, and ``!miniTicker@arr`` with an array of those
    that changed, on both markets.

    Source:
        Binance Spot API docs and USDⓈ-M Futures docs, "Individual Symbol Mini Ticker
        Stream" and "All Market Mini Tickers Stream".

    Attributes:
        last_price: In quote units, as the three below.
        open_price: 24 hours ago.
        high_price: Of the 24 hours.
        low_price: Of the 24 hours.
        volume: In base units (COIN-M: contracts).
        quote_volume: In quote units (COIN-M: base units).
    """

    last_price: Number = Field(alias="c")
    open_price: Number = Field(alias="o")
    high_price: Number = Field(alias="h")
    low_price: Number = Field(alias="l")
    volume: Number = Field(alias="v")
    quote_volume: Number = Field(alias="q")


class _WindowTicker(MarketEvent):
    price_change: Number = Field(alias="p")
    price_change_percent: Number = Field(alias="P")
    weighted_average_price: Number = Field(alias="w")
    open_price: Number = Field(alias="o")
    high_price: Number = Field(alias="h")
    low_price: Number = Field(alias="l")
    last_price: Number = Field(alias="c")
    volume: Number = Field(alias="v")
    quote_volume: Number = Field(alias="q")
    open_time_us: Microseconds = Field(alias="O")
    close_time_us: Microseconds = Field(alias="C")
    first_trade_id: StrictInt = Field(alias="F")
    last_trade_id: StrictInt = Field(alias="L")
    trade_count: StrictInt = Field(alias="n")


class RollingTicker(_WindowTicker):
    """The last 1 hour, 4 hours or day; ``event_type`` says which.

    Streams: ``<symbol>@ticker_1h``, ``_4h``, ``_1d``, and ``!ticker_1h@arr`` … with an
    array of those that changed, spot.

    Source:
        Binance Spot API docs, "Individual Symbol Rolling Window Statistics Streams".

    Attributes:
        price_change: Last price less open price, in quote units.
        price_change_percent: The same in percent.
        weighted_average_price: Quote volume over volume.
        open_price: In quote units, as the three below.
        high_price: Of the window.
        low_price: Of the window.
        last_price: Of the last trade.
        volume: In base units.
        quote_volume: In quote units.
        open_time_us: Start of the window, on a whole minute, microseconds since 1970.
        close_time_us: End of the window, microseconds since 1970.
        first_trade_id: In the window.
        last_trade_id: In the window.
        trade_count: Number of trades.
    """


class Ticker(_WindowTicker):
    """The last 24 hours.

    Streams: ``<symbol>@ticker`` on both markets, and ``!ticker@arr`` with an array of
    those that changed (spot until 2026-03-26).

    Source:
        Binance Spot API docs and USDⓈ-M Futures docs, "Individual Symbol Ticker
        Streams".

    Attributes:
        price_change: Last price less open price, in quote units.
        price_change_percent: The same in percent.
        weighted_average_price: Quote volume over volume.
        price_before_window: Spot only: of the last trade before the 24 hours.
        open_price: In quote units, as the three below.
        high_price: Of the window.
        low_price: Of the window.
        last_price: Of the last trade.
        last_quantity: Of the last trade.
        best_bid_price: Spot only, as the three below.
        best_bid_quantity: In base units.
        best_ask_price: In quote units.
        best_ask_quantity: In base units.
        volume: In base units (COIN-M: contracts).
        quote_volume: In quote units (COIN-M: base units).
        open_time_us: Start of the window, microseconds since 1970.
        close_time_us: End of the window, microseconds since 1970.
        first_trade_id: In the window.
        last_trade_id: In the window.
        trade_count: Number of trades.
    """

    last_quantity: Number = Field(alias="Q")
    price_before_window: Number | None = Field(default=None, alias="x")
    best_bid_price: Number | None = Field(default=None, alias="b")
    best_bid_quantity: Number | None = Field(default=None, alias="B")
    best_ask_price: Number | None = Field(default=None, alias="a")
    best_ask_quantity: Number | None = Field(default=None, alias="A")


class AveragePrice(MarketEvent):
    """The average price of the last minutes.

    Streams: ``<symbol>@avgPrice``, spot since 2023-12-04.

    Source:
        Binance Spot API docs, "Average Price".

    Attributes:
        interval: Length of the window: ``5m``.
        average_price: In quote units.
        last_trade_time_us: Of the last trade, microseconds since 1970.
    """

    interval: str = Field(alias="i")
    average_price: Number = Field(alias="w")
    last_trade_time_us: Microseconds = Field(alias="T")


class ReferencePrice(Event):
    """The price that price rules refer to.

    Streams: ``<symbol>@referencePrice``, spot since 2026; there is no event time.

    Source:
        Binance Spot API docs, "Reference Price Streams".

    Attributes:
        symbol: Upper case.
        reference_price: In quote units; None: there is none now.
        engine_time_us: Since when it holds, microseconds since 1970.
    """

    symbol: str = Field(alias="s")
    reference_price: Number | None = Field(alias="r")
    engine_time_us: Microseconds = Field(alias="t")
