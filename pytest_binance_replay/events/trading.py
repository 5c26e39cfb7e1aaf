"""Trades and the order book: events that every change brings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field, StrictBool, StrictInt

from pytest_binance_replay.events.base import (
    Event,
    Levels,
    MarketEvent,
    Microseconds,
    Number,
)


class Trade(MarketEvent):
    """One fill.

    Streams: ``<symbol>@trade``, on both markets (on futures undocumented).

    Source:
        Binance Spot API docs, "Trade Streams"; futures fields from recordings.

    Attributes:
        trade_id: The next trade has the next number.
        price: In quote units; 0 where ``kind`` is ``NA``.
        quantity: In base units (COIN-M: contracts).
        trade_time_us: When it was made, microseconds since 1970.
        buyer_is_maker: Whether the taker sold.
        kind: Futures only: ``MARKET``, ``INSURANCE_FUND``, ``ADL``, ``RPI``, or
            ``NA``, which is no trade and does not count.
        buyer_order_id: Spot until 2024-06-18.
        seller_order_id: Spot until 2024-06-18.
        ignore: Spot only, without a meaning.
    """

    trade_id: StrictInt = Field(alias="t")
    price: Number = Field(alias="p")
    quantity: Number = Field(alias="q")
    trade_time_us: Microseconds = Field(alias="T")
    buyer_is_maker: StrictBool = Field(alias="m")
    kind: str | None = Field(default=None, alias="X")
    buyer_order_id: StrictInt | None = Field(default=None, alias="b")
    seller_order_id: StrictInt | None = Field(default=None, alias="a")
    ignore: StrictBool | None = Field(default=None, alias="M")


class BlockTrade(MarketEvent):
    """One trade agreed outside the book.

    Streams: ``<symbol>@blockTrade``, spot since 2026-05-12.

    Source:
        Binance Spot API docs, "Block Trade Streams".

    Attributes:
        trade_id: Counted apart from other trades.
        price: In quote units.
        quantity: In base units.
        trade_time_us: When it was made, microseconds since 1970.
        buyer_is_maker: Whether the taker sold.
    """

    trade_id: StrictInt = Field(alias="t")
    price: Number = Field(alias="p")
    quantity: Number = Field(alias="q")
    trade_time_us: Microseconds = Field(alias="T")
    buyer_is_maker: StrictBool = Field(alias="m")


class AggTrade(MarketEvent):
    """The fills of one taker order at one price, as one.

    Streams: ``<symbol>@aggTrade``, on both markets.

    Source:
        Binance Spot API docs and USDⓈ-M Futures docs, "Aggregate Trade Streams".

    Attributes:
        agg_trade_id: The next aggregate has the next number.
        price: In quote units.
        quantity: The sum, in base units (COIN-M: contracts).
        quantity_without_rpi: Futures since 2025-12-31: the sum without the fills of
            retail price improvement orders.
        first_trade_id: Of the first fill.
        last_trade_id: Of the last fill.
        trade_time_us: When they were made, microseconds since 1970.
        buyer_is_maker: Whether the taker sold.
        ignore: Spot only, without a meaning.
    """

    agg_trade_id: StrictInt = Field(alias="a")
    price: Number = Field(alias="p")
    quantity: Number = Field(alias="q")
    quantity_without_rpi: Number | None = Field(default=None, alias="nq")
    first_trade_id: StrictInt = Field(alias="f")
    last_trade_id: StrictInt = Field(alias="l")
    trade_time_us: Microseconds = Field(alias="T")
    buyer_is_maker: StrictBool = Field(alias="m")
    ignore: StrictBool | None = Field(default=None, alias="M")


class DiffDepth(Event):
    """Changes to a book.

    Streams: ``<symbol>@depth``, ``@depth@100ms`` on both markets, futures also
    ``@depth@500ms``, ``@depth@0ms`` (undocumented) and ``@rpiDepth@500ms``.

    Source:
        Binance Spot API docs, "Diff. Depth Stream"; USDⓈ-M Futures docs, "Diff. Book
        Depth Streams".

    Attributes:
        first_update_id: First update in the event. Spot: the ``final_update_id`` of
            the event before, plus one.
        final_update_id: Last update in the event.
        previous_final_update_id: Futures only: the ``final_update_id`` of the event
            before on the same stream.
        bids: Levels that changed, quantity absolute; a quantity of zero removes one.
        asks: The same for the other side.
        transaction_time_us: Futures only: of the last change, microseconds since 1970.
    """

    first_update_id: StrictInt = Field(alias="U")
    final_update_id: StrictInt = Field(alias="u")
    previous_final_update_id: StrictInt | None = Field(default=None, alias="pu")
    bids: Levels = Field(alias="b")
    asks: Levels = Field(alias="a")
    transaction_time_us: Microseconds | None = Field(default=None, alias="T")


def _either(spot: str, futures: str) -> Any:
    return Field(validation_alias=AliasChoices(spot, futures))


class PartialDepth(Event):
    """The top of a book, whole; it replaces the picture before.

    Streams: ``<symbol>@depth5``, ``@depth10``, ``@depth20``, with or without a speed,
    on both markets. A spot payload has no symbol; ``parse_event`` takes it from the
    stream's name. Futures send the keys of a diff depth.

    Source:
        Binance Spot API docs, "Partial Book Depth Streams"; USDⓈ-M Futures docs of
        the same name.

    Attributes:
        last_update_id: The last update in the picture.
        bids: Best first.
        asks: Best first.
        first_update_id: Futures only.
        previous_final_update_id: Futures only: the ``last_update_id`` of the event
            before on the same stream; -1 if there was none.
        transaction_time_us: Futures only: of the last change, microseconds since 1970.
    """

    last_update_id: Annotated[StrictInt, _either("lastUpdateId", "u")]
    bids: Annotated[Levels, _either("bids", "b")]
    asks: Annotated[Levels, _either("asks", "a")]
    first_update_id: StrictInt | None = Field(default=None, alias="U")
    previous_final_update_id: StrictInt | None = Field(default=None, alias="pu")
    transaction_time_us: Microseconds | None = Field(default=None, alias="T")

    @property
    def final_update_id(self) -> int:
        """The last update, by the name it has in a diff depth."""
        return self.last_update_id


class BookTicker(Event):
    """The best bid and the best ask.

    Streams: ``<symbol>@bookTicker`` and ``!bookTicker`` (spot until 2022-12-07).

    Source:
        Binance Spot API docs, "Individual Symbol Book Ticker Streams"; USDⓈ-M Futures
        docs of the same name and "All Book Tickers Stream".

    Attributes:
        update_id: Of the book; it rises.
        symbol: Upper case.
        best_bid_price: In quote units.
        best_bid_quantity: In base units (COIN-M: contracts).
        best_ask_price: In quote units.
        best_ask_quantity: In base units (COIN-M: contracts).
        transaction_time_us: Futures only, microseconds since 1970.
    """

    update_id: StrictInt = Field(alias="u")
    symbol: str = Field(alias="s")
    best_bid_price: Number = Field(alias="b")
    best_bid_quantity: Number = Field(alias="B")
    best_ask_price: Number = Field(alias="a")
    best_ask_quantity: Number = Field(alias="A")
    transaction_time_us: Microseconds | None = Field(default=None, alias="T")
