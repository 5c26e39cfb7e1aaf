"""Events that only the futures have."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasPath, Field, StrictInt

from pytest_binance_replay.events.base import (
    Event,
    MarketEvent,
    Microseconds,
    Number,
    NumberIfAny,
    TimeIfAny,
    WireObject,
)


class MarkPrice(MarketEvent):
    """The price that margins and liquidations go by.

    Streams: ``<symbol>@markPrice``, ``@markPrice@1s``, and ``!markPrice@arr`` …,
    with an array of all symbols.

    Source:
        Binance USDⓈ-M Futures docs, "Mark Price Stream" and "Mark Price Stream for
        All market".

    Attributes:
        mark_price: In quote units.
        average_mark_price: Since March 2026: its moving average.
        index_price: None on COIN-M before 2022.
        estimated_settle_price: Of use in the last hour before settlement.
        funding_rate: A fraction, not percent; None for contracts without funding.
        next_funding_time_us: Microseconds since 1970; None if there is no funding.
    """

    mark_price: Number = Field(alias="p")
    average_mark_price: Number | None = Field(default=None, alias="ap")
    estimated_settle_price: Number = Field(alias="P")
    index_price: Number | None = Field(default=None, alias="i")
    funding_rate: NumberIfAny = Field(alias="r")
    next_funding_time_us: TimeIfAny = Field(alias="T")


class LiquidationOrder(WireObject):
    """The order inside a ``ForceOrder``.

    Attributes:
        symbol: Upper case.
        side: ``SELL`` where a long position was liquidated, ``BUY`` a short one.
        order_type: ``LIMIT``.
        time_in_force: ``IOC``.
        quantity: Asked for, in base units (COIN-M: contracts).
        price: Asked for, in quote units.
        average_price: Of its fills.
        status: ``FILLED`` as a rule.
        last_filled_quantity: Of its last fill.
        filled_quantity: Of all fills.
        trade_time_us: Microseconds since 1970.
        pair: Since 2026-06-30, COIN-M always: the pair the contract is on.
        symbol_type: Since 2026-06-30: 1 for USDⓈ-M, 2 for COIN-M.
    """

    symbol: str = Field(alias="s")
    side: str = Field(alias="S")
    order_type: str = Field(alias="o")
    time_in_force: str = Field(alias="f")
    quantity: Number = Field(alias="q")
    price: Number = Field(alias="p")
    average_price: Number = Field(alias="ap")
    status: str = Field(alias="X")
    last_filled_quantity: Number = Field(alias="l")
    filled_quantity: Number = Field(alias="z")
    trade_time_us: Microseconds = Field(alias="T")
    pair: str | None = Field(default=None, alias="ps")
    symbol_type: StrictInt | None = Field(default=None, alias="st")


def _of_order(key: str) -> Any:
    return Field(validation_alias=AliasPath("o", key))


class ForceOrder(Event):
    """A liquidation; at most one a second and symbol is told.

    Streams: ``<symbol>@forceOrder`` and ``!forceOrder@arr``, which sends objects, not
    arrays.

    Source:
        Binance USDⓈ-M Futures docs, "Liquidation Order Streams" and "All Market
        Liquidation Order Streams".

    Attributes:
        symbol: The order's.
        pair: The order's.
        symbol_type: The order's.
        order: What was liquidated.
    """

    event_time_us: Microseconds = Field(alias="E")
    symbol: Annotated[str, _of_order("s")]
    pair: Annotated[str | None, _of_order("ps")] = None
    symbol_type: Annotated[StrictInt | None, _of_order("st")] = None
    order: LiquidationOrder = Field(alias="o")


class IndexComponent(WireObject):
    """One asset of a ``CompositeIndex``.

    Attributes:
        base_asset: ``LTC``.
        quote_asset: ``USDT``.
        weight_in_quantity: How much of it the index holds.
        weight_in_percent: Its share of the index, as a fraction.
        index_price: In quote units.
    """

    base_asset: str = Field(alias="b")
    quote_asset: str = Field(alias="q")
    weight_in_quantity: Number = Field(alias="w")
    weight_in_percent: Number = Field(alias="W")
    index_price: Number = Field(alias="i")


class CompositeIndex(MarketEvent):
    """What a composite index symbol is worth and made of.

    Streams: ``<symbol>@compositeIndex``.

    Source:
        Binance USDⓈ-M Futures docs, "Composite Index Symbol Information Streams".

    Attributes:
        price: Of the index, in quote units.
        component_kind: ``baseAsset``.
        components: The assets it is made of.
    """

    price: Number = Field(alias="p")
    component_kind: str = Field(alias="C")
    components: tuple[IndexComponent, ...] = Field(alias="c")


class LeverageBracket(WireObject):
    """One bracket of a ``ContractInfo``.

    Attributes:
        bracket: Its number, from 1.
        notional_from: In quote units.
        notional_to: In quote units.
        maintenance_margin_ratio: A fraction, not percent.
        auxiliary_number: For the quick computation of margins.
        min_leverage: Least leverage in the bracket.
        max_leverage: Most leverage in the bracket.
    """

    bracket: StrictInt = Field(alias="bs")
    notional_from: Number = Field(alias="bnf")
    notional_to: Number = Field(alias="bnc")
    maintenance_margin_ratio: Number = Field(alias="mmr")
    auxiliary_number: Number = Field(alias="cf")
    min_leverage: StrictInt = Field(alias="mi")
    max_leverage: StrictInt = Field(alias="ma")


class ContractInfo(MarketEvent):
    """A contract was listed, settled, or got other leverage brackets.

    Streams: ``!contractInfo``.

    Source:
        Binance USDⓈ-M Futures docs, "Contract Info Stream".

    Attributes:
        contract_type: ``PERPETUAL``.
        delivery_time_us: Microseconds since 1970; far away for perpetuals.
        listing_time_us: Microseconds since 1970.
        status: ``TRADING``, ``PENDING_TRADING``, …
        brackets: None unless they changed.
    """

    contract_type: str = Field(alias="ct")
    delivery_time_us: Microseconds = Field(alias="dt")
    listing_time_us: Microseconds = Field(alias="ot")
    status: str = Field(alias="cs")
    brackets: tuple[LeverageBracket, ...] | None = Field(default=None, alias="bks")


class AssetIndex(MarketEvent):
    """What an asset counts for in multi-assets mode.

    Streams: ``<symbol>@assetIndex``, and ``!assetIndex@arr`` with an array of all.

    Source:
        Binance USDⓈ-M Futures docs, "Multi-Assets Mode Asset Index".

    Attributes:
        symbol: The asset and ``USD``: ``ADAUSD``.
        index_price: In USD.
        bid_buffer: A fraction.
        ask_buffer: A fraction.
        bid_rate: In USD.
        ask_rate: In USD.
        auto_exchange_bid_buffer: A fraction.
        auto_exchange_ask_buffer: A fraction.
        auto_exchange_bid_rate: In USD.
        auto_exchange_ask_rate: In USD.
    """

    index_price: Number = Field(alias="i")
    bid_buffer: Number = Field(alias="b")
    ask_buffer: Number = Field(alias="a")
    bid_rate: Number = Field(alias="B")
    ask_rate: Number = Field(alias="A")
    auto_exchange_bid_buffer: Number = Field(alias="q")
    auto_exchange_ask_buffer: Number = Field(alias="g")
    auto_exchange_bid_rate: Number = Field(alias="Q")
    auto_exchange_ask_rate: Number = Field(alias="G")


class TradingSession(Event):
    """Which session the market behind a contract on shares or goods is in.

    Streams: ``tradingSession``, since 2025-12-11; ``event_type`` says which market,
    ``EquityUpdate``, ``CommodityUpdate``, ``KR_EquityUpdate``, ….

    Source:
        Binance's own Python SDK for USDⓈ-M Futures.

    Attributes:
        start_time_us: Of the session, microseconds since 1970.
        end_time_us: Of the session, microseconds since 1970; may be to come.
        session: ``PRE_MARKET``, ``REGULAR``, ``AFTER_MARKET``, ``OVERNIGHT`` or
            ``NO_TRADING``.
    """

    event_time_us: Microseconds = Field(alias="E")
    start_time_us: Microseconds = Field(alias="t")
    end_time_us: Microseconds = Field(alias="T")
    session: str = Field(alias="S")
