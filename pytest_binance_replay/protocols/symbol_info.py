"""A symbol as `exchangeInfo` describes it, made from what a tape shows.

The tick of prices and the step of quantities are the finest decimals that occur at the
tape's beginning, so they are never finer than the exchange's own where those are
powers of ten; assets are told apart by the quote assets there are; the rest are
constants.

Source:
    Binance Spot API docs, "Exchange information"; Binance USDⓈ-M and COIN-M Futures
    API docs, "Exchange Information". The constants were taken from answers recorded
    in 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pytest_binance_replay.ledger import Survey
    from pytest_binance_replay.streams import Market

Json = dict[str, Any]

# What a symbol's name says

_COIN_MARGINED = re.compile(r"(.+)(USD)_(PERP|\d{6})")
_DELIVERY = re.compile(r"(.+)_(\d{6})")
# The shortest base is tried first: of two quotes that fit, the longer one counts.
_PAIR = re.compile(
    r"(.+?)"
    r"(USDT|USDC|FDUSD|BUSD|TUSD|USDP|USDS|USD1|USDE|RLUSD|XUSD|BFUSD|PAX|DAI|VAI|UST"
    r"|EURI|EUR|GBP|AUD|TRY|BRL|RUB|UAH|NGN|ZAR|IDRT|BIDR|BKRW|BVND|GYEN|JPY|MXN"
    r"|ARS|COP|CZK|PLN|RON|KZT|IDR|BTC|ETH|BNB|XRP|TRX|DOT|DOGE|SOL|USD|U)"
)
_PERPETUAL_UNTIL_MS = 4_133_404_800_000
_LISTED_MS = 1_569_398_400_000
_QUARTER_US = 14 * 7 * 86_400_000_000
_DELIVERY_HOUR = timedelta(hours=8)


def is_coin_margined(symbol: str) -> bool:
    """Return whether a symbol is a COIN-M contract."""
    return _COIN_MARGINED.fullmatch(symbol) is not None


def pair_of(symbol: str) -> str:
    """Return the pair that a futures contract is of."""
    return symbol.partition("_")[0]


def split_symbol(symbol: str) -> tuple[str, str]:
    """Tell base and quote asset apart by the quote assets there are.

    Returns:
        Base and quote; if no known quote fits, the last three letters are taken.

    Example:
        >>> split_symbol("BUSDTRY")
        ('BUSD', 'TRY')
    """
    pair = pair_of(symbol)
    found = _COIN_MARGINED.fullmatch(symbol) or _PAIR.fullmatch(pair)
    return (found[1], found[2]) if found else (pair[:-3] or pair, pair[-3:])


# How the tape spells numbers


class Grain(NamedTuple):
    """How fine numbers are.

    Attributes:
        written: Decimals that they are written with.
        used: Decimals that are ever other than zero.
    """

    written: int
    used: int

    @classmethod
    def of(cls, texts: Iterable[bytes], default: Grain) -> Grain:
        """Look at numbers; without any, take a default."""
        tails = {text.partition(b".")[2] for text in texts}
        if not tails:
            return default
        return cls(max(map(len, tails)), max(len(tail.rstrip(b"0")) for tail in tails))

    @property
    def step(self) -> str:
        """The smallest number of this fineness, as it would be written."""
        return f"{Decimal(1).scaleb(-self.used):.{self.written}f}"


_GRAINS: Mapping[Market, tuple[Grain, Grain]] = {
    "spot": (Grain(8, 8), Grain(8, 8)),
    "usdm": (Grain(2, 2), Grain(3, 3)),
}
"""Of prices and quantities, where the tape shows none."""

# Texts of prices and of quantities in a payload. Sums of quantities count as well.
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_Finder = Callable[[bytes], list[bytes]]


def _finder(pattern: str) -> _Finder:
    return re.compile(pattern.encode()).findall


def _members(names: str) -> _Finder:
    return _finder(rf'"[{names}]"\s*:\s*"{_NUMBER}"')


_FINDERS: Mapping[str, tuple[_Finder, _Finder]] = {
    "trade": (_members("p"), _members("q")),
    "aggTrade": (_members("p"), _members("q")),
    "bookTicker": (_members("ba"), _members("BA")),
    "ticker": (_members("colhba"), _members("vQBA")),
    "miniTicker": (_members("colh"), _members("v")),
    "kline": (_members("colh"), _members("v")),
    "depth": (
        _finder(rf'\[\s*"{_NUMBER}"'),
        _finder(rf'\[\s*"[0-9.]+"\s*,\s*"{_NUMBER}"'),
    ),
}


def _grains(survey: Survey, market: Market, symbol: str) -> tuple[Grain, Grain]:
    """Return how fine a symbol's prices and quantities are."""
    prices: list[bytes] = []
    quantities: list[bytes] = []
    for kind, (find_prices, find_quantities) in _FINDERS.items():
        for key in survey.shelves.of_symbol(market, kind, symbol):
            for payload in survey.shelves.all(key):
                prices += find_prices(payload)
                quantities += find_quantities(payload)
    default_price, default_quantity = _GRAINS[market]
    return Grain.of(prices, default_price), Grain.of(quantities, default_quantity)


# Symbols made from the tape

_ORDER_TYPES = [
    *("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"),
    *("TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
]
_FUTURES_ORDER_TYPES = [
    *("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"),
    "TRAILING_STOP_MARKET",
]
_SELF_TRADE_MODES = [
    *("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"),
]
_LEAST_NOTIONAL = {"BTC": "0.00010000", "ETH": "0.00500000", "BNB": "0.05000000"}


def _spot_symbol(symbol: str, price: Grain, quantity: Grain) -> Json:
    base, quote = split_symbol(symbol)
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _spot_filters(quote, price, quantity),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": _SELF_TRADE_MODES,
    }


def _spot_filters(quote: str, price: Grain, quantity: Grain) -> list[Json]:
    """Return the filters; some clients look for the price filter in first place."""
    return [
        _price_filter(price.step, "1000000.00000000"),
        _lot_size("LOT_SIZE", quantity.step, "9000000.00000000"),
        {"filterType": "ICEBERG_PARTS", "limit": 100},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": _LEAST_NOTIONAL.get(quote, "5.00000000"),
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]


def _price_filter(tick: str, highest: str) -> Json:
    return {
        "filterType": "PRICE_FILTER",
        "minPrice": tick,
        "maxPrice": highest,
        "tickSize": tick,
    }


def _lot_size(name: str, step: str, most: str) -> Json:
    return {"filterType": name, "minQty": step, "maxQty": most, "stepSize": step}


def _contract(symbol: str, price: Grain, quantity: Grain, *, now_us: int) -> Json:
    base, quote = split_symbol(symbol)
    coin_margined = is_coin_margined(symbol)
    status = "contractStatus" if coin_margined else "status"
    kind, delivery_ms = _term(symbol, now_us)
    return {
        "symbol": symbol,
        "pair": pair_of(symbol),
        "contractType": kind,
        "deliveryDate": delivery_ms,
        "onboardDate": _LISTED_MS,
        status: "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": base if coin_margined else quote,
        **_contract_size(base, coin_margined=coin_margined),
        "pricePrecision": price.written,
        "quantityPrecision": quantity.written,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _contract_filters(price, quantity),
        "orderTypes": _FUTURES_ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY", "DCA", "PSB"],
    }


def _contract_size(base: str, *, coin_margined: bool) -> Json:
    """Return what only COIN-M contracts have: their worth in USD."""
    if not coin_margined:
        return {}
    return {"contractSize": 100 if base == "BTC" else 10, "equalQtyPrecision": 4}


def _contract_filters(price: Grain, quantity: Grain) -> list[Json]:
    return [
        _price_filter(price.step, "4529764"),
        _lot_size("LOT_SIZE", quantity.step, "10000000"),
        _lot_size("MARKET_LOT_SIZE", quantity.step, "10000000"),
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
    ]


def _term(symbol: str, now_us: int) -> tuple[str, int]:
    """Return the type of a contract and when it is delivered, in milliseconds."""
    found = _DELIVERY.fullmatch(symbol)
    day = None if found is None else _day(found[2])
    if day is None:
        return "PERPETUAL", _PERPETUAL_UNTIL_MS
    delivery_ms = int((day + _DELIVERY_HOUR).timestamp()) * 1000
    is_near = delivery_ms * 1000 - now_us <= _QUARTER_US
    return "CURRENT_QUARTER" if is_near else "NEXT_QUARTER", delivery_ms


def _day(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def make_symbol(symbol: str, market: Market, survey: Survey, now_us: int) -> Json:
    """Return a member of `symbols`, made from how the tape begins.

    Args:
        symbol: Upper case.
        market: Its market; COIN-M contracts are `usdm` as well.
        survey: How the tape begins.
        now_us: Decides which of two quarterly contracts is the current one;
            microseconds since the epoch.
    """
    price, quantity = survey.once(
        ("grains", market, symbol), lambda: _grains(survey, market, symbol)
    )
    return describe_symbol(symbol, market, price, quantity, now_us=now_us)


def describe_symbol(
    symbol: str, market: Market, price: Grain, quantity: Grain, *, now_us: int
) -> Json:
    """Return a member of `symbols`.

    Args:
        symbol: Upper case.
        market: Its market; COIN-M contracts are `usdm` as well.
        price: How fine prices are.
        quantity: How fine quantities are.
        now_us: As for `make_symbol`.
    """
    if market == "spot":
        return _spot_symbol(symbol, price, quantity)
    return _contract(symbol, price, quantity, now_us=now_us)
