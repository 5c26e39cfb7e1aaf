from __future__ import annotations

import gzip
import json
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_binance_replay.errors import EventError
from pytest_binance_replay.events import (
    AggTrade,
    AssetIndex,
    AveragePrice,
    BlockTrade,
    BookTicker,
    CompositeIndex,
    ContinuousKline,
    ContractInfo,
    DiffDepth,
    Event,
    ForceOrder,
    Kline,
    Level,
    MarkPrice,
    MiniTicker,
    PartialDepth,
    ReferencePrice,
    RollingTicker,
    ServerShutdown,
    Ticker,
    Trade,
    TradingSession,
    UnknownEvent,
    parse_event,
)
from pytest_binance_replay.streams import Market, event_kind, market_of_payload

DATA = Path(__file__).parents[1].parent / "shared" / "data"

# Event time and most other times, and their microseconds.
T = 1790000001234
T_US = T * 1000


def level(price: str, quantity: str) -> Level:
    return Level(Decimal(price), Decimal(quantity))


CANDLE: dict[str, Any] = {
    "t": 1789999980000,
    "T": 1790000039999,
    "s": "LTCBTC",
    "i": "1m",
    "f": 880101,
}
CANDLE |= {
    "L": 880126,
    "o": "0.15",
    "c": "0.17",
    "h": "0.18",
    "l": "0.14",
    "v": "150.4",
}
CANDLE |= {"n": 26, "x": False, "q": "0.228", "V": "90.15", "Q": "0.136", "B": "0"}
WINDOW: dict[str, Any] = {
    "E": T,
    "s": "LTCBTC",
    "p": "-0.10",
    "P": "-1.201",
    "w": "0.15",
    "o": "0.16",
}
WINDOW |= {"h": "0.18", "l": "0.14", "c": "0.17", "v": "9.1", "q": "1.5", "O": T - 5}
WINDOW |= {"C": T - 1, "F": 8610, "L": 8801, "n": 192}
TICKER = WINDOW | {"e": "24hrTicker", "Q": "4.25"}
FORCED: dict[str, Any] = {
    "s": "LTCUSDT",
    "S": "SELL",
    "o": "LIMIT",
    "f": "IOC",
    "q": "3.5",
    "p": "86.95",
}
FORCED |= {
    "ap": "87.31",
    "X": "FILLED",
    "l": "1.2",
    "z": "3.4",
    "T": T,
    "ps": "LTCUSDT",
}
BRACKET = {"bs": 1, "bnf": 0, "bnc": 10000, "mmr": Decimal("0.006"), "cf": 0, "mi": 51}

# Stream, market, payload, class, and what its attributes are.
Case = tuple[str, Market, Any, type[Event], dict[str, Any]]
CASES: dict[str, Case] = {
    "spot trade": (
        "ltcbtc@trade",
        "spot",
        {"e": "trade", "E": T, "s": "LTCBTC", "t": 880123, "p": "0.00151700"}
        | {"q": "4.25000000", "T": T - 1, "m": False, "M": True},
        Trade,
        {
            "event_type": "trade",
            "event_time_us": T_US,
            "symbol": "LTCBTC",
            "trade_id": 880123,
            "price": Decimal("0.00151700"),
            "quantity": Decimal("4.25000000"),
            "trade_time_us": T_US - 1000,
            "buyer_is_maker": False,
            "ignore": True,
            "kind": None,
            "buyer_order_id": None,
            "seller_order_id": None,
            "pair": None,
            "symbol_type": None,
        },
    ),
    "spot trade until 2024": (
        "btcusdt@trade",
        "spot",
        {"e": "trade", "E": T, "s": "BTCUSDT", "t": 1, "p": "9302.0", "q": "0.001"}
        | {"b": 2517144287, "a": 2517144235, "T": T, "m": False, "M": True},
        Trade,
        {"buyer_order_id": 2517144287, "seller_order_id": 2517144235},
    ),
    "futures trade": (
        "ltcusdt@trade",
        "usdm",
        {"e": "trade", "E": T, "T": T, "s": "LTCUSDT", "t": 51200345, "p": "87.41"}
        | {"q": "1.530", "X": "RPI", "m": True, "st": 1},
        Trade,
        {"kind": "RPI", "symbol_type": 1, "ignore": None, "buyer_is_maker": True},
    ),
    "block trade": (
        "ltcbtc@blockTrade",
        "spot",
        {"e": "blockTrade", "E": T, "s": "LTCBTC", "t": 77, "p": "0.0015", "q": "2500"}
        | {"T": T - 2, "m": True},
        BlockTrade,
        {
            "trade_id": 77,
            "price": Decimal("0.0015"),
            "quantity": Decimal(2500),
            "trade_time_us": T_US - 2000,
            "buyer_is_maker": True,
        },
    ),
    "spot aggTrade": (
        "ltcbtc@aggTrade",
        "spot",
        {"e": "aggTrade", "E": T, "s": "LTCBTC", "a": 410777, "p": "0.1", "q": "9.1"}
        | {"f": 880124, "l": 880126, "T": T, "m": True, "M": True},
        AggTrade,
        {
            "agg_trade_id": 410777,
            "price": Decimal("0.1"),
            "quantity": Decimal("9.1"),
            "quantity_without_rpi": None,
            "first_trade_id": 880124,
            "last_trade_id": 880126,
            "trade_time_us": T_US,
            "buyer_is_maker": True,
            "ignore": True,
        },
    ),
    "futures aggTrade": (
        "ltcusdt@aggTrade",
        "usdm",
        {"e": "aggTrade", "E": T, "a": 9, "s": "LTCUSDT", "p": "87.4", "q": "12.000"}
        | {"nq": "11.250", "f": 5, "l": 8, "T": T, "m": False, "st": 1},
        AggTrade,
        {"quantity_without_rpi": Decimal("11.250"), "ignore": None, "symbol_type": 1},
    ),
    "spot diff depth": (
        "ltcbtc@depth@100ms",
        "spot",
        {"e": "depthUpdate", "E": T, "s": "LTCBTC", "U": 30017721, "u": 30017725}
        | {"b": [["0.16", "80.1"], ["0.12", "0.00"]], "a": [["0.18", "14"]]},
        DiffDepth,
        {
            "event_time_us": T_US,
            "symbol": "LTCBTC",
            "first_update_id": 30017721,
            "final_update_id": 30017725,
            "previous_final_update_id": None,
            "bids": (level("0.16", "80.1"), level("0.12", "0")),
            "asks": (level("0.18", "14"),),
            "transaction_time_us": None,
        },
    ),
    "futures diff depth": (
        "ltcusdt@depth",
        "usdm",
        {"e": "depthUpdate", "E": T, "T": T - 3, "s": "LTCUSDT", "ps": "LTCUSDT"}
        | {"U": 771, "u": 7719, "pu": 770, "b": [], "a": [["87.42", "3.015"]], "st": 1},
        DiffDepth,
        {
            "previous_final_update_id": 770,
            "transaction_time_us": T_US - 3000,
            "pair": "LTCUSDT",
            "bids": (),
        },
    ),
    "diff depth of a futures book with RPI orders": (
        "ltcusdt@rpiDepth@500ms",
        "usdm",
        {"e": "depthUpdate", "s": "LTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [], "a": []},
        DiffDepth,
        {"final_update_id": 2, "event_time_us": None},
    ),
    "spot partial depth": (
        "ltcbtc@depth5@100ms",
        "spot",
        {
            "lastUpdateId": 30017725,
            "bids": [["0.16", "80.1"]],
            "asks": [["0.18", "14"]],
        },
        PartialDepth,
        {
            "event_type": None,
            "event_time_us": None,
            "symbol": "LTCBTC",
            "last_update_id": 30017725,
            "final_update_id": 30017725,
            "bids": (level("0.16", "80.1"),),
            "asks": (level("0.18", "14"),),
            "first_update_id": None,
            "previous_final_update_id": None,
            "transaction_time_us": None,
        },
    ),
    "futures partial depth": (
        "ltcusdt@depth20",
        "usdm",
        {"e": "depthUpdate", "E": T, "T": T, "s": "LTCUSDT", "U": 5, "u": 9, "pu": -1}
        | {"b": [["86.90", "1"]], "a": [["87.42", "3.015"]]},
        PartialDepth,
        {
            "symbol": "LTCUSDT",
            "last_update_id": 9,
            "first_update_id": 5,
            "previous_final_update_id": -1,
            "bids": (level("86.90", "1"),),
            "asks": (level("87.42", "3.015"),),
            "transaction_time_us": T_US,
        },
    ),
    "spot book ticker": (
        "ltcbtc@bookTicker",
        "spot",
        {"u": 30017729, "s": "LTCBTC", "b": "0.16", "B": "79", "a": "0.18", "A": "14"},
        BookTicker,
        {
            "event_type": None,
            "event_time_us": None,
            "update_id": 30017729,
            "symbol": "LTCBTC",
            "best_bid_price": Decimal("0.16"),
            "best_bid_quantity": Decimal(79),
            "best_ask_price": Decimal("0.18"),
            "best_ask_quantity": Decimal(14),
            "transaction_time_us": None,
        },
    ),
    "spot book ticker of all symbols": (
        "!bookTicker",
        "spot",
        {"u": 1, "s": "LTCBTC", "b": "0.16", "B": "79", "a": "0.18", "A": "14"},
        BookTicker,
        {"symbol": "LTCBTC"},
    ),
    "futures book ticker": (
        "ltcusdt@bookTicker",
        "usdm",
        {"e": "bookTicker", "u": 7, "s": "LTCUSDT", "ps": "LTCUSDT", "b": "87.39"}
        | {"B": "41.2", "a": "87.42", "A": "3.0", "T": T - 1, "E": T, "st": 1},
        BookTicker,
        {"event_time_us": T_US, "transaction_time_us": T_US - 1000, "pair": "LTCUSDT"},
    ),
    "kline": (
        "ltcbtc@kline_1m",
        "spot",
        {"e": "kline", "E": T, "s": "LTCBTC", "k": CANDLE},
        Kline,
        {
            "candle.open_time_us": 1789999980000_000,
            "candle.close_time_us": 1790000039999_999,
            "candle.symbol": "LTCBTC",
            "candle.interval": "1m",
            "candle.first_trade_id": 880101,
            "candle.last_trade_id": 880126,
            "candle.open_price": Decimal("0.15"),
            "candle.close_price": Decimal("0.17"),
            "candle.high_price": Decimal("0.18"),
            "candle.low_price": Decimal("0.14"),
            "candle.volume": Decimal("150.4"),
            "candle.trade_count": 26,
            "candle.is_closed": False,
            "candle.quote_volume": Decimal("0.228"),
            "candle.taker_buy_volume": Decimal("90.15"),
            "candle.taker_buy_quote_volume": Decimal("0.136"),
            "candle.ignore": Decimal(0),
        },
    ),
    "kline without a trade": (
        "ltcbtc@kline_1m",
        "spot",
        {"e": "kline", "E": T, "s": "LTCBTC"}
        | {"k": CANDLE | {"f": -1, "L": -1, "n": 0, "x": True}},
        Kline,
        {"candle.first_trade_id": -1, "candle.is_closed": True},
    ),
    "continuous kline": (
        "ltcusdt_perpetual@continuousKline_1m",
        "usdm",
        {"e": "continuous_kline", "E": T, "ps": "LTCUSDT", "ct": "PERPETUAL"}
        | {"k": {key: CANDLE[key] for key in CANDLE.keys() - {"s"}}},
        ContinuousKline,
        {
            "event_time_us": T_US,
            "symbol": None,
            "pair": "LTCUSDT",
            "contract_type": "PERPETUAL",
            "candle.first_update_id": 880101,
            "candle.last_update_id": 880126,
            "candle.close_time_us": 1790000039999_999,
        },
    ),
    "mini ticker": (
        "ltcusdt@miniTicker",
        "usdm",
        {"e": "24hrMiniTicker", "E": T, "s": "LTCUSDT", "ps": "LTCUSDT", "c": "0.17"}
        | {"o": "0.16", "h": "0.18", "l": "0.14", "v": "40.5", "q": "6.1", "st": 1},
        MiniTicker,
        {
            "last_price": Decimal("0.17"),
            "open_price": Decimal("0.16"),
            "high_price": Decimal("0.18"),
            "low_price": Decimal("0.14"),
            "volume": Decimal("40.5"),
            "quote_volume": Decimal("6.1"),
        },
    ),
    "spot ticker": (
        "ltcbtc@ticker",
        "spot",
        TICKER | {"x": "0.13", "b": "0.16", "B": "79", "a": "0.18", "A": "14"},
        Ticker,
        {
            "price_change": Decimal("-0.10"),
            "price_change_percent": Decimal("-1.201"),
            "weighted_average_price": Decimal("0.15"),
            "price_before_window": Decimal("0.13"),
            "last_price": Decimal("0.17"),
            "last_quantity": Decimal("4.25"),
            "best_bid_price": Decimal("0.16"),
            "best_bid_quantity": Decimal(79),
            "best_ask_price": Decimal("0.18"),
            "best_ask_quantity": Decimal(14),
            "open_price": Decimal("0.16"),
            "high_price": Decimal("0.18"),
            "low_price": Decimal("0.14"),
            "volume": Decimal("9.1"),
            "quote_volume": Decimal("1.5"),
            "open_time_us": T_US - 5000,
            "close_time_us": T_US - 1000,
            "first_trade_id": 8610,
            "last_trade_id": 8801,
            "trade_count": 192,
        },
    ),
    "futures ticker": (
        "ltcusdt@ticker",
        "usdm",
        TICKER | {"ps": "LTCUSDT", "st": 1},
        Ticker,
        {"price_before_window": None, "best_bid_price": None, "best_ask_price": None},
    ),
    "rolling ticker": (
        "ltcbtc@ticker_4h",
        "spot",
        WINDOW | {"e": "4hTicker"},
        RollingTicker,
        {"event_type": "4hTicker", "last_price": Decimal("0.17"), "trade_count": 192},
    ),
    "average price": (
        "ltcbtc@avgPrice",
        "spot",
        {"e": "avgPrice", "E": T, "s": "LTCBTC", "i": "5m", "w": "0.15", "T": T - 4},
        AveragePrice,
        {
            "interval": "5m",
            "average_price": Decimal("0.15"),
            "last_trade_time_us": T_US - 4000,
        },
    ),
    "reference price": (
        "ltcbtc@referencePrice",
        "spot",
        {"e": "referencePrice", "s": "LTCBTC", "r": "0.15", "t": T},
        ReferencePrice,
        {
            "reference_price": Decimal("0.15"),
            "engine_time_us": T_US,
            "event_time_us": None,
        },
    ),
    "no reference price": (
        "ltcbtc@referencePrice",
        "spot",
        {"e": "referencePrice", "s": "LTCBTC", "r": None, "t": T},
        ReferencePrice,
        {"reference_price": None},
    ),
    "mark price": (
        "ltcusdt@markPrice@1s",
        "usdm",
        {"e": "markPriceUpdate", "E": T, "s": "LTCUSDT", "p": "87.40113042", "st": 1}
        | {"ap": "87.39", "P": "87.22", "i": "87.41", "r": "-0.0001", "T": T + 9},
        MarkPrice,
        {
            "mark_price": Decimal("87.40113042"),
            "average_mark_price": Decimal("87.39"),
            "estimated_settle_price": Decimal("87.22"),
            "index_price": Decimal("87.41"),
            "funding_rate": Decimal("-0.0001"),
            "next_funding_time_us": T_US + 9000,
        },
    ),
    "mark price without funding": (
        "btcusd_261225@markPrice",
        "usdm",
        {"e": "markPriceUpdate", "E": T, "s": "BTCUSD_261225", "p": "1", "P": "2"}
        | {"r": "", "T": 0},
        MarkPrice,
        {
            "average_mark_price": None,
            "index_price": None,
            "funding_rate": None,
            "next_funding_time_us": None,
        },
    ),
    "liquidation": (
        "!forceOrder@arr",
        "usdm",
        {"e": "forceOrder", "E": T, "o": FORCED | {"st": 1}},
        ForceOrder,
        {
            "symbol": "LTCUSDT",
            "pair": "LTCUSDT",
            "symbol_type": 1,
            "order.symbol": "LTCUSDT",
            "order.side": "SELL",
            "order.order_type": "LIMIT",
            "order.time_in_force": "IOC",
            "order.quantity": Decimal("3.5"),
            "order.price": Decimal("86.95"),
            "order.average_price": Decimal("87.31"),
            "order.status": "FILLED",
            "order.last_filled_quantity": Decimal("1.2"),
            "order.filled_quantity": Decimal("3.4"),
            "order.trade_time_us": T_US,
            "order.pair": "LTCUSDT",
            "order.symbol_type": 1,
        },
    ),
    "liquidation until 2026": (
        "ltcusdt@forceOrder",
        "usdm",
        {"e": "forceOrder", "E": T}
        | {"o": {key: FORCED[key] for key in FORCED.keys() - {"ps"}}},
        ForceOrder,
        {"pair": None, "symbol_type": None, "order.pair": None},
    ),
    "composite index": (
        "defiusdt@compositeIndex",
        "usdm",
        {"e": "compositeIndex", "E": T, "s": "DEFIUSDT", "p": "554.4", "C": "baseAsset"}
        | {"c": [{"b": "LTC", "q": "USDT", "w": "1.04", "W": "0.01", "i": "87.4"}]},
        CompositeIndex,
        {"price": Decimal("554.4"), "component_kind": "baseAsset"},
    ),
    "contract info": (
        "!contractInfo",
        "usdm",
        {"e": "contractInfo", "E": T, "s": "LTCUSDT", "ct": "PERPETUAL"}
        | {"dt": 4133404800000, "ot": 1569398400000, "cs": "TRADING", "st": 1}
        | {"bks": [BRACKET | {"ma": 75}]},
        ContractInfo,
        {
            "contract_type": "PERPETUAL",
            "delivery_time_us": 4133404800000_000,
            "listing_time_us": 1569398400000_000,
            "status": "TRADING",
        },
    ),
    "contract info without brackets": (
        "!contractInfo",
        "usdm",
        {
            "e": "contractInfo",
            "E": T,
            "s": "LTCUSDT",
            "ps": "LTCUSDT",
            "ct": "PERPETUAL",
        }
        | {"dt": T, "ot": T, "cs": "TRADING"},
        ContractInfo,
        {"brackets": None, "pair": "LTCUSDT"},
    ),
    "asset index": (
        "adausd@assetIndex",
        "usdm",
        {"e": "assetIndexUpdate", "E": T, "s": "ADAUSD", "i": "87.4", "b": "0.05"}
        | {"a": "0.06", "B": "83.0", "A": "91.7", "q": "0.02", "g": "0.03"}
        | {"Q": "85.2", "G": "89.6"},
        AssetIndex,
        {
            "index_price": Decimal("87.4"),
            "bid_buffer": Decimal("0.05"),
            "ask_buffer": Decimal("0.06"),
            "bid_rate": Decimal("83.0"),
            "ask_rate": Decimal("91.7"),
            "auto_exchange_bid_buffer": Decimal("0.02"),
            "auto_exchange_ask_buffer": Decimal("0.03"),
            "auto_exchange_bid_rate": Decimal("85.2"),
            "auto_exchange_ask_rate": Decimal("89.6"),
        },
    ),
    "trading session": (
        "tradingSession",
        "usdm",
        {"e": "KR_EquityUpdate", "E": T, "t": T - 8, "T": T + 8, "S": "REGULAR"},
        TradingSession,
        {
            "event_type": "KR_EquityUpdate",
            "start_time_us": T_US - 8000,
            "end_time_us": T_US + 8000,
            "session": "REGULAR",
            "symbol": None,
        },
    ),
    "server shutdown": (
        "!serverShutdown",
        "spot",
        {"e": "serverShutdown", "E": T},
        ServerShutdown,
        {"event_time_us": T_US, "symbol": None},
    ),
}


def as_text(wire: object) -> str:
    """JSON text in which a Decimal stands as the number it is."""
    return re.sub(r'"\\u0000([^"]*)"', r"\1", json.dumps(wire, default="\0{}".format))


def parse_one(payload: bytes | str, stream: str, market: Market = "spot") -> Event:
    event = parse_event(payload, stream=stream, market=market)
    assert isinstance(event, Event)
    return event


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """One event of each kind."""
    of_a_kind: Case = request.param
    return of_a_kind


def test_an_event_has_its_class_and_fields(case: Case) -> None:
    stream, market, wire, event_class, fields = case
    event = parse_one(as_text(wire), stream, market)
    assert type(event) is event_class
    assert {name: attrgetter(name)(event) for name in fields} == fields


def test_an_event_knows_all_that_the_exchange_documents(case: Case) -> None:
    stream, market, wire, _, _ = case
    event = parse_one(as_text(wire), stream, market)
    assert not event.unknown_fields
    for nested in ("candle", "order"):
        assert not getattr(getattr(event, nested, event), "unknown_fields", {})


def test_a_class_reads_text_without_a_stream(case: Case) -> None:
    stream, market, wire, event_class, _ = case
    with_stream = parse_one(as_text(wire), stream, market)
    event = event_class.parse(as_text(wire).encode())
    assert event in (with_stream, with_stream.model_copy(update={"symbol": None}))


def test_an_event_does_not_change(case: Case) -> None:
    stream, market, wire, _, _ = case
    event = parse_one(as_text(wire), stream, market)
    for name in type(event).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(event, name, None)
    assert hash(event) == hash(parse_one(as_text(wire), stream, market))


def test_fields_nobody_knows_are_kept(case: Case) -> None:
    stream, market, wire, _, _ = case
    news = {"zz": Decimal("1.10"), "price": [1], "parse": None, "model_config": {}}
    event = parse_one(as_text(wire | news), stream, market)
    assert event.unknown_fields == news
    assert event.zz == Decimal("1.10")  # type: ignore[attr-defined]
    without = parse_one(as_text(wire), stream, market)
    assert event.model_dump(exclude=set(news)) == without.model_dump(exclude=set(news))


def test_members_of_members_are_typed_too() -> None:
    stream, market, wire, _, _ = CASES["composite index"]
    index = parse_one(as_text(wire), stream, market)
    assert isinstance(index, CompositeIndex)
    component = index.components[0]
    assert (component.base_asset, component.quote_asset) == ("LTC", "USDT")
    assert component.weight_in_quantity == Decimal("1.04")
    assert component.weight_in_percent == Decimal("0.01")
    assert component.index_price == Decimal("87.4")


def test_leverage_brackets_are_exact_though_they_are_json_numbers() -> None:
    stream, market, wire, _, _ = CASES["contract info"]
    info = parse_one(as_text(wire), stream, market)
    assert isinstance(info, ContractInfo)
    assert info.brackets is not None
    bracket = info.brackets[0]
    assert bracket.maintenance_margin_ratio == Decimal("0.006")
    assert (bracket.notional_from, bracket.notional_to) == (Decimal(0), Decimal(10000))
    assert (bracket.bracket, bracket.auxiliary_number) == (1, Decimal(0))
    assert (bracket.min_leverage, bracket.max_leverage) == (51, 75)


@pytest.mark.parametrize(
    ("event_type", "event_class"),
    [
        ("1hTicker", RollingTicker),
        ("4hTicker", RollingTicker),
        ("1dTicker", RollingTicker),
        ("24hrTicker", Ticker),
    ],
)
def test_the_event_type_decides_the_class(
    event_type: str, event_class: type[Event]
) -> None:
    payload = as_text(WINDOW | {"Q": "1", "e": event_type})
    assert type(parse_one(payload, "ltcbtc@trade")) is event_class


@pytest.mark.parametrize(
    "event_type",
    [
        "EquityUpdate",
        "CommodityUpdate",
        "KR_EquityUpdate",
        "HK_EquityUpdate",
        "CN_EquityUpdate",
    ],
)
def test_every_trading_session_is_one(event_type: str) -> None:
    payload = as_text({"e": event_type, "E": T, "t": T, "T": T, "S": "NO_TRADING"})
    assert type(parse_one(payload, "tradingSession", "usdm")) is TradingSession


def test_the_stream_decides_where_there_is_no_event_type() -> None:
    wire = {"E": T, "s": "LTCBTC", "t": 1, "p": "1", "q": "1", "T": T, "m": True}
    assert type(parse_one(as_text(wire), "ltcbtc@trade")) is Trade


def test_an_array_gives_a_tuple() -> None:
    ticker = TICKER | {"s": "ETHBTC"}
    payload = as_text([TICKER, ticker])
    events = parse_event(payload, stream="!ticker@arr", market="spot")
    assert isinstance(events, tuple)
    assert [(type(event), event.symbol) for event in events] == [
        (Ticker, "LTCBTC"),
        (Ticker, "ETHBTC"),
    ]


def test_an_empty_array_gives_an_empty_tuple() -> None:
    assert parse_event(b"[]", stream="!ticker@arr", market="spot") == ()


def test_a_symbol_in_a_partial_depth_wins_over_the_name() -> None:
    payload = '{"lastUpdateId":1,"bids":[],"asks":[],"s":"ETHBTC"}'
    assert parse_one(payload, "ltcbtc@depth5").symbol == "ETHBTC"


@pytest.mark.parametrize("stream", ["BTCUSDT@depth", "nonsense"])
def test_a_name_that_says_no_symbol_gives_none(stream: str) -> None:
    payload = '{"e":"depthUpdate","U":1,"u":2,"b":[],"a":[]}'
    assert parse_one(payload, stream).symbol is None


@pytest.mark.parametrize(
    "payload",
    [
        '{"e":"newsFlash","E":1790000001234,"s":"BTCUSDT","ps":"X","st":2,"z":0.10}',
        '{"e":"newsFlash","E":"soon","s":{"a":[1]},"ps":null,"st":true,"z":0.10}',
        '{"e":17,"E":17900000012340000000,"s":5,"z":0.10}',
        '{"fields":{},"z":0.10}',
    ],
)
def test_an_event_nobody_knows_keeps_everything(payload: str) -> None:
    event = parse_one(payload, "btcusdt@newsFlash")
    assert isinstance(event, UnknownEvent)
    assert event.fields == json.loads(payload, parse_float=Decimal)
    assert event.unknown_fields == event.fields


def test_an_event_nobody_knows_has_its_usual_members_read() -> None:
    payload = '{"e":"newsFlash","E":1790000001234,"s":"BTCUSDT","ps":"X","st":2}'
    event = parse_one(payload, "btcusdt@newsFlash")
    assert (event.event_type, event.event_time_us) == ("newsFlash", T_US)
    assert (event.symbol, event.pair, event.symbol_type) == ("BTCUSDT", "X", 2)


def test_unusual_members_of_an_event_nobody_knows_are_left_alone() -> None:
    payload = '{"e":17,"E":true,"s":5,"ps":[],"st":"1"}'
    event = parse_one(payload, "btcusdt@newsFlash")
    assert (event.event_type, event.event_time_us, event.symbol) == (None, None, None)
    assert (event.pair, event.symbol_type) == (None, None)


@pytest.mark.parametrize(
    "levels",
    [
        '[["87.39","41.200"]]',
        '[["87.39","41.200",[]]]',
        '[{"price":"87.39","quantity":"41.200"}]',
        "[[87.39,41.200]]",
    ],
)
def test_a_level_is_read_in_each_shape_it_ever_had(levels: str) -> None:
    event = DiffDepth.parse(f'{{"U":1,"u":2,"b":{levels},"a":[]}}')
    assert event.bids == (level("87.39", "41.200"),)
    assert str(event.bids[0].quantity) == "41.200"


@pytest.mark.parametrize(
    ("on_the_wire", "end_on_the_wire"),
    [(1789999980000, 1790000039999), (1789999980000_000, 1790000039999_999)],
)
def test_a_candle_has_the_same_ends_in_both_units(
    on_the_wire: int, end_on_the_wire: int
) -> None:
    candle = CANDLE | {"t": on_the_wire, "T": end_on_the_wire}
    payload = as_text({"e": "kline", "E": T, "s": "LTCBTC", "k": candle})
    event = Kline.parse(payload)
    assert event.candle.open_time_us == 1789999980000_000
    assert event.candle.close_time_us == 1790000039999_999


def shutdown_at(time: int) -> int:
    return ServerShutdown.parse(f'{{"e":"serverShutdown","E":{time}}}').event_time_us


@given(st.integers(0, 10**14 - 1))
def test_times_of_up_to_14_digits_are_milliseconds(milliseconds: int) -> None:
    assert shutdown_at(milliseconds) == milliseconds * 1000


@given(st.integers(10**14, 10**17 - 1))
def test_times_of_15_to_17_digits_are_microseconds(microseconds: int) -> None:
    assert shutdown_at(microseconds) == microseconds


@given(st.integers(max_value=-1) | st.integers(min_value=10**17))
def test_times_beyond_both_units_are_refused(time: int) -> None:
    with pytest.raises(EventError, match="expected milliseconds or microseconds"):
        shutdown_at(time)


def price_of(price: str) -> Decimal:
    wire = {"e": "blockTrade", "E": T, "s": "A", "t": 1, "q": "1", "T": T, "m": True}
    return BlockTrade.parse(f'{as_text(wire)[:-1]},"p":{price}}}').price


decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?", fullmatch=True)


@given(decimals)
def test_a_decimal_string_is_read_digit_for_digit(text: str) -> None:
    assert price_of(f'"{text}"').as_tuple() == Decimal(text).as_tuple()
    assert f"{price_of(json.dumps(text)):f}" == text


@given(decimals)
def test_a_json_number_is_read_as_exactly_as_a_string(text: str) -> None:
    assert price_of(text) == Decimal(text)


@pytest.mark.parametrize(
    "price",
    [
        *('"1e-5"', '"+1"', '"1."', '".5"', '""', '" 1"', '"1\\n"', '"1_0"', '"NaN"'),
        *('"\\u0661"', "true", "null", "[]", "{}"),
    ],
)
def test_what_is_no_plain_decimal_is_no_price(price: str) -> None:
    with pytest.raises(EventError, match="expected a decimal number in plain digits"):
        price_of(price)


def floats_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [found for member in value.values() for found in floats_in(member)]
    if isinstance(value, list | tuple):
        return [found for member in value for found in floats_in(member)]
    return [value] if isinstance(value, float) else []


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(list(CASES)))
def test_no_float_is_in_an_event(number: float, name: str) -> None:
    stream, market, wire, _, _ = CASES[name]
    payload = as_text(wire | {"zz": [{"zz": number}]})
    assert not floats_in(parse_one(payload, stream, market).model_dump())


TRADE = CASES["spot trade"][2]
DEPTH = CASES["spot diff depth"][2]
SENTENCES = [
    ("ltcbtc@trade", TRADE | {"p": "x"}, "field 'p' is 'x', expected a decimal number"),
    ("ltcbtc@trade", TRADE | {"m": 1}, "field 'm' is 1, expected true or false."),
    ("ltcbtc@trade", TRADE | {"t": "7"}, "field 't' is '7', expected a whole number."),
    (
        "ltcbtc@trade",
        TRADE | {"t": True},
        "field 't' is True, expected a whole number.",
    ),
    (
        "ltcbtc@trade",
        TRADE | {"t": Decimal("1.0")},
        "field 't' is 1.0, expected a whole number.",
    ),
    ("ltcbtc@trade", TRADE | {"s": 5}, "field 's' is 5, expected text."),
    ("ltcbtc@trade", TRADE | {"s": None}, "field 's' is None, expected text."),
    (
        "ltcbtc@trade",
        TRADE | {"E": "now"},
        "field 'E' is 'now', expected milliseconds or microseconds since 1970.",
    ),
    ("ltcbtc@trade", {"e": "trade", "E": T, "s": "A"}, "field 't' is missing."),
    ("ltcbtc@depth", DEPTH | {"b": 5}, "field 'b' is 5, expected an array."),
    (
        "ltcbtc@depth",
        DEPTH | {"a": [["1", "2"], ["1", "?"]]},
        "field 'a[1]' is ['1', '?'], expected price and quantity, decimals in plain",
    ),
    ("ltcbtc@depth", DEPTH | {"a": [["1"]]}, "field 'a[0]' is ['1'], expected price"),
    ("ltcbtc@depth", DEPTH | {"a": ["12"]}, "field 'a[0]' is '12', expected price"),
    (
        "ltcbtc@depth",
        DEPTH | {"a": [{"price": "1"}]},
        "field 'a[0]' is {'price': '1'}, expected price",
    ),
    (
        "ltcbtc@depth5",
        {"lastUpdateId": "1", "bids": [], "asks": []},
        "field 'lastUpdateId' is '1', expected a whole number.",
    ),
    (
        "ltcbtc@kline_1m",
        {"e": "kline", "E": T, "s": "A", "k": CANDLE | {"o": None}},
        "field 'k.o' is None, expected a decimal number in plain digits.",
    ),
    (
        "ltcbtc@kline_1m",
        {"e": "kline", "E": T, "s": "A", "k": 5},
        "field 'k' is 5, expected an object.",
    ),
    (
        "ltcbtc@forceOrder",
        {"e": "forceOrder", "E": T, "o": []},
        "field 'o' is [], expected an object.",
    ),
    ("!ticker@arr", [TICKER, TICKER | {"c": "?"}], "field '[1].c' is '?', expected"),
    ("!ticker@arr", [[]], "field '[0]' is [], expected an object."),
    ("ltcbtc@trade", "text", "payload is 'text', expected an object."),
    ("ltcbtc@trade", None, "payload is None, expected an object."),
]


@pytest.mark.parametrize(("stream", "wire", "sentence"), SENTENCES)
def test_an_error_names_stream_field_and_value(
    stream: str, wire: object, sentence: str
) -> None:
    with pytest.raises(EventError) as caught:
        parse_event(as_text(wire), stream=stream, market="spot")
    assert str(caught.value).startswith(
        f"A frame of {stream!r} is not an event: {sentence}"
    )
    assert str(caught.value).count("\n") == 0


def test_an_error_says_what_to_do() -> None:
    with pytest.raises(EventError) as caught:
        parse_event('{"e":"trade"}', stream="ltcbtc@trade", market="spot")
    assert str(caught.value) == (
        "A frame of 'ltcbtc@trade' is not an event: field 'E' is missing. "
        "Correct the payload, or take it as it is, from frames()."
    )


def test_an_error_without_a_stream_says_so_by_leaving_it_out() -> None:
    with pytest.raises(EventError) as caught:
        Trade.parse("5")
    assert caught.value.stream is None
    assert str(caught.value) == (
        "The text is not an event: payload is 5, expected an object. Correct it."
    )


def test_an_error_quotes_no_more_than_a_line_can_hold() -> None:
    with pytest.raises(EventError) as caught:
        parse_one(as_text(TRADE | {"p": "x\n" * 1000}), "ltcbtc@trade")
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_an_error_survives_pickling() -> None:
    error = EventError("ltcbtc@trade", "field 'p' is missing")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.stream, copy.problem) == (error.stream, error.problem)
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1"),
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"p":NaN}', "not JSON: NaN is not a JSON number"),
        (b'{"p":-Infinity}', "not JSON: -Infinity is not a JSON number"),
        (b'{"p":1e9999999999999999999}', "not JSON: number '1e9999999999999999999' is"),
        (b'{"s":"\xff"}', "not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "not JSON: its values are nested too deeply"),
        (b"7" * 5000, "not JSON: Exceeds the limit (4300 digits)"),
        (b'{"e":"trade","s":"\\ud800"}', "field 'E' is missing"),
        (
            b'{"e":"serverShutdown","E":1,"\\ud800":5}',
            "payload is '\\ud800', expected text in Unicode",
        ),
    ],
)
def test_text_that_is_not_sound_json_is_an_error(payload: bytes, problem: str) -> None:
    with pytest.raises(EventError) as caught:
        parse_event(payload, stream="ltcbtc@trade", market="spot")
    assert caught.value.problem.startswith(problem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
streams = st.sampled_from(sorted({stream for stream, *_ in CASES.values()}))
markets: st.SearchStrategy[Market] = st.sampled_from(["spot", "usdm"])


def assert_event_or_error(payload: bytes | str, stream: str, market: Market) -> None:
    outcome: object
    try:
        outcome = parse_event(payload, stream=stream, market=market)
    except EventError as error:
        outcome = str(error)
    assert isinstance(outcome, Event | tuple) or str(outcome).isprintable()


@given(payload=st.binary(max_size=60), stream=streams, market=markets)
def test_any_bytes_give_an_event_or_an_error(
    payload: bytes, stream: str, market: Market
) -> None:
    assert_event_or_error(payload, stream, market)


@given(wire=json_values, stream=streams | st.text(max_size=9), market=markets)
def test_any_json_gives_an_event_or_an_error(
    wire: object, stream: str, market: Market
) -> None:
    assert_event_or_error(json.dumps(wire), stream, market)


@given(name=st.sampled_from(list(CASES)), value=json_values, data=st.data())
def test_an_event_with_one_member_spoiled_is_an_event_or_an_error(
    name: str, value: object, data: st.DataObject
) -> None:
    stream, market, wire, _, _ = CASES[name]
    key = data.draw(st.sampled_from(sorted(wire)))
    assert_event_or_error(as_text(wire | {key: value}), stream, market)


@given(name=st.sampled_from(list(CASES)), data=st.data())
def test_an_event_with_one_member_lost_is_an_event_or_an_error(
    name: str, data: st.DataObject
) -> None:
    stream, market, wire, _, _ = CASES[name]
    key = data.draw(st.sampled_from(sorted(wire)))
    wire = {other: wire[other] for other in wire.keys() - {key}}
    assert_event_or_error(as_text(wire), stream, market)


# Frames by class, of whole captures; of large ones every fiftieth line is parsed.
COUNTS: dict[str, dict[type[Event], int]] = {
    "cryptofeed-spot-20210404": {DiffDepth: 2688, AggTrade: 1910, Kline: 118},
    "cryptofeed-spot-20210417": {
        DiffDepth: 614,
        BookTicker: 570,
        AggTrade: 24,
        Kline: 20,
    },
    "cryptofeed-spot-20211012": {DiffDepth: 177, BookTicker: 84, AggTrade: 2, Kline: 2},
    "jayhere1-spot-20260704": {DiffDepth: 18},
    "lasota-spot-20240903": {DiffDepth: 129},
    "polysim-spot-20260718": {DiffDepth: 600, AggTrade: 188, Kline: 60},
    "polysim-usdm-20260718": {DiffDepth: 588, AggTrade: 228, Kline: 116},
    "tomsep-spot-ticker-arr-20190928": {Ticker: 196},
    "singles-unicorn-fy-spot-2020": {
        AggTrade: 1,
        Trade: 1,
        Ticker: 1,
        MiniTicker: 27,
        Kline: 1,
    },
    "singles-crypto-msg-parser": {
        PartialDepth: 6,
        AggTrade: 5,
        DiffDepth: 5,
        BookTicker: 5,
        Ticker: 10,
        Kline: 5,
        MarkPrice: 6,
    },
}
LARGE = [
    "hftbacktest-coinm-20240808",
    "hftbacktest-spot-20240808",
    "hftbacktest-usdm-20230404",
    "hftbacktest-usdm-20240808",
]
CLASSES_OF_KINDS: dict[str, type[Event]] = {
    "trade": Trade,
    "bookTicker": BookTicker,
    "depthUpdate": DiffDepth,
    "markPriceUpdate": MarkPrice,
}
LINE = re.compile(rb'\{"t":(?:\d+|null),"stream":"([^"]+)","data":(.*)\}\s*')

needs_recordings = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared recordings are not here"
)


def frames(path: Path, step: int = 1) -> Iterator[tuple[str, bytes]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in islice(lines, 0, None, step):
            match = LINE.fullmatch(line)
            assert match is not None
            yield match[1].decode(), match[2]


def parse_recorded(stream: str, payload: bytes, market: Market) -> Iterator[Event]:
    events = parse_event(payload, stream=stream, market=market)
    for event in events if isinstance(events, tuple) else (events,):
        assert not event.unknown_fields
        yield event


def market_of(capture: str) -> Market:
    return "spot" if "-spot-" in capture else "usdm"


@needs_recordings
@pytest.mark.parametrize("capture", COUNTS)
def test_every_frame_of_a_recording_parses(capture: str) -> None:
    counts: Counter[type[Event]] = Counter()
    for path in DATA.glob(f"{capture}/*.jsonl*"):
        for stream, payload in frames(path):
            # One collection of single frames has them from both markets.
            market = market_of_payload(payload) or market_of(capture)
            counts.update(map(type, parse_recorded(stream, payload, market)))
    assert counts == COUNTS[capture]


@needs_recordings
@pytest.mark.parametrize("capture", LARGE)
@pytest.mark.slow
def test_every_fiftieth_frame_of_a_large_recording_parses(capture: str) -> None:
    market = market_of(capture)
    expected: Counter[type[Event]] = Counter()
    counts: Counter[type[Event]] = Counter()
    for stream, payload in frames(DATA / capture / "session.jsonl.gz", 50):
        expected[CLASSES_OF_KINDS[str(event_kind(stream, market))]] += 1
        counts.update(map(type, parse_recorded(stream, payload, market)))
    assert counts == expected


@needs_recordings
def test_one_recorded_candle_is_the_same_in_both_units() -> None:
    capture = DATA / "polysim-spot-20260718"
    closed = []
    for name in ("session.jsonl.gz", "session_timeunit_microsecond.jsonl"):
        klines = (text for name, text in frames(capture / name) if "kline" in name)
        candles = [Kline.parse(text).candle for text in klines]
        closed.append([candle for candle in candles if candle.is_closed])
    assert len(closed[0]) == 1
    assert closed[0] == closed[1]


@needs_recordings
def test_recorded_futures_diffs_chain() -> None:
    path = DATA / "hftbacktest-usdm-20230404" / "session.jsonl.gz"
    depth = (text for name, text in frames(path) if name.endswith("@depth@0ms"))
    diffs = [DiffDepth.parse(text) for text in islice(depth, 500)]
    assert [diff.previous_final_update_id for diff in diffs[1:]] == [
        diff.final_update_id for diff in diffs[:-1]
    ]
