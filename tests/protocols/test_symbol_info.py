"""Symbols described as `exchangeInfo` does, made from what a tape shows."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.protocols.symbol_info import (
    Grain,
    is_coin_margined,
    make_symbol,
    pair_of,
    split_symbol,
)
from pytest_binance_replay.streams import Market
from tests.rest_tape import NOW_US, RestTape, Shown, load_tape

SPOT_MEMBERS = (
    "symbol status baseAsset baseAssetPrecision quoteAsset quotePrecision "
    "quoteAssetPrecision baseCommissionPrecision quoteCommissionPrecision orderTypes "
    "icebergAllowed ocoAllowed otoAllowed opoAllowed quoteOrderQtyMarketAllowed "
    "allowTrailingStop cancelReplaceAllowed amendAllowed pegInstructionsAllowed "
    "isSpotTradingAllowed isMarginTradingAllowed filters permissions permissionSets "
    "defaultSelfTradePreventionMode allowedSelfTradePreventionModes"
)
FUTURES_MEMBERS = (
    "symbol pair contractType deliveryDate onboardDate status maintMarginPercent "
    "requiredMarginPercent baseAsset quoteAsset marginAsset pricePrecision "
    "quantityPrecision baseAssetPrecision quotePrecision underlyingType "
    "underlyingSubType triggerProtect liquidationFee marketTakeBound maxMoveOrderLimit "
    "filters orderTypes timeInForce permissionSets"
)
DEFAULT = Grain(8, 8)


def made(
    symbol: str, *frames: Shown, market: Market = "spot", now_us: int = NOW_US
) -> dict[str, Any]:
    return make_symbol(symbol, market, RestTape(frames, market).survey(), now_us)


def filters_of(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["filterType"]: each for each in item["filters"]}


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        *(("BTCUSDT", "BTC", "USDT"), ("BUSDTRY", "BUSD", "TRY")),
        *(("AAVEUPUSDT", "AAVEUP", "USDT"), ("RUNEEUR", "RUNE", "EUR")),
        *(("USDTTRY", "USDT", "TRY"), ("ETHBTC", "ETH", "BTC")),
        *(("BTCUSDT_260925", "BTC", "USDT"), ("BNBUSD_PERP", "BNB", "USD")),
        *(("AVAXUSD_260925", "AVAX", "USD"), ("币安人生USDT", "币安人生", "USDT")),
        *(("ABCXYZ", "ABC", "XYZ"), ("XY", "XY", "XY"), ("BTC", "BTC", "BTC")),
    ],
)
def test_assets_are_told_apart_by_the_quotes_there_are(
    symbol: str, base: str, quote: str
) -> None:
    assert split_symbol(symbol) == (base, quote)


@pytest.mark.parametrize(
    "name", ["cryptofeed-spot-20210417", "cryptofeed-spot-20211012"]
)
def test_assets_of_all_recorded_symbols_are_told_apart(
    shared_data: Path, name: str
) -> None:
    path = shared_data / name / "rest" / "exchangeInfo.json.gz"
    listed = json.loads(gzip.decompress(path.read_bytes()))["symbols"]
    assert len(listed) > 1000
    wrong = [
        item["symbol"]
        for item in listed
        if split_symbol(item["symbol"]) != (item["baseAsset"], item["quoteAsset"])
    ]
    assert wrong == []


def test_coin_margined_contracts_are_of_usd() -> None:
    assert is_coin_margined("BTCUSD_PERP")
    assert is_coin_margined("BTCUSD_260925")
    assert not is_coin_margined("BTCUSDT_260925")
    assert not is_coin_margined("BTCUSDT")
    assert pair_of("BTCUSD_PERP") == "BTCUSD"


@pytest.mark.parametrize(
    ("texts", "grain", "step"),
    [
        ([b"64706.78000000"], Grain(8, 2), "0.01000000"),
        ([b"64706.00000000", b"1.50000000"], Grain(8, 1), "0.10000000"),
        ([b"64645.10", b"64645.20"], Grain(2, 1), "0.10"),
        ([b"5", b"7"], Grain(0, 0), "1"),
        ([b"5.000", b"70"], Grain(3, 0), "1.000"),
        ([b"0.00000001"], Grain(8, 8), "0.00000001"),
        ([], DEFAULT, "0.00000001"),
    ],
)
def test_a_grain_is_the_finest_that_occurs(
    texts: list[bytes], grain: Grain, step: str
) -> None:
    assert Grain.of(texts, DEFAULT) == grain
    assert grain.step == step


@given(st.lists(st.decimals(0, 10**6, places=4), min_size=1))
def test_every_number_is_a_multiple_of_the_step(numbers: list[Decimal]) -> None:
    grain = Grain.of([f"{number:f}".encode() for number in numbers], DEFAULT)
    assert all(number % Decimal(grain.step) == 0 for number in numbers)


def test_a_spot_symbol_has_its_members_in_order() -> None:
    assert " ".join(made("LTCBTC")) == SPOT_MEMBERS


def test_a_contract_has_its_members_in_order() -> None:
    assert " ".join(made("LTCUSDT", market="usdm")) == FUTURES_MEMBERS


P, Q = "0.00120000", "1.50000000"
FRAMES: list[Shown] = [
    ("ltcbtc@trade", {"p": P, "q": Q}),
    ("ltcbtc@aggTrade", {"p": P, "q": Q}),
    ("ltcbtc@bookTicker", {"b": P, "B": Q, "a": "0", "A": "0"}),
    ("ltcbtc@bookTicker", {"b": "0", "B": "0", "a": P, "A": Q}),
    ("ltcbtc@ticker", {"p": "-0.00000001", "w": "0.00000009", "o": P, "v": Q}),
    ("!miniTicker@arr", [{"s": "LTCBTC", "h": P, "v": Q}]),
    ("ltcbtc@kline_1m", {"k": {"t": 1, "l": P, "v": Q, "q": "0.00000001"}}),
    ("ltcbtc@depth", {"b": [[P, "0.00000000"]], "a": [["1.00000000", Q]]}),
    ("ltcbtc@depth@100ms", b'{"b": [ ["0.00120000", "1.50000000", []] ]}'),
]


@pytest.mark.parametrize("frame", FRAMES, ids=[name for name, _ in FRAMES])
def test_tick_and_step_are_taken_from_every_kind_of_frame(frame: Shown) -> None:
    filters = filters_of(made("LTCBTC", frame))
    tick = Decimal(filters["PRICE_FILTER"]["tickSize"])
    step = Decimal(filters["LOT_SIZE"]["stepSize"])
    assert (tick, step) == (Decimal("0.0001"), Decimal("0.1"))


def test_the_price_filter_comes_first() -> None:
    for item in (made("LTCBTC"), made("LTCUSDT", market="usdm")):
        assert list(filters_of(item))[:2] == ["PRICE_FILTER", "LOT_SIZE"]


def test_precisions_of_a_contract_are_those_its_numbers_are_written_with() -> None:
    frame: Shown = ("ltcusdt@trade", {"p": "64645.10", "q": "0.250"})
    item = made("LTCUSDT", frame, market="usdm")
    assert (item["pricePrecision"], item["quantityPrecision"]) == (2, 3)
    filters = filters_of(item)
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
    assert filters["LOT_SIZE"]["stepSize"] == "0.010"


@pytest.mark.parametrize(
    ("market", "symbol", "tick", "step"),
    [
        ("spot", "LTCBTC", "0.00000001", "0.00000001"),
        ("usdm", "LTCUSDT", "0.01", "0.001"),
    ],
)
def test_without_a_price_the_finest_usual_tick_is_taken(
    market: Market, symbol: str, tick: str, step: str
) -> None:
    filters = filters_of(made(symbol, market=market))
    assert filters["PRICE_FILTER"]["tickSize"] == tick
    assert filters["LOT_SIZE"]["stepSize"] == step


def test_the_least_notional_depends_on_the_quote() -> None:
    assert filters_of(made("LTCBTC"))["NOTIONAL"]["minNotional"] == "0.00010000"
    assert filters_of(made("LTCUSDT"))["NOTIONAL"]["minNotional"] == "5.00000000"


@pytest.mark.parametrize(
    ("symbol", "contract", "delivery_ms"),
    [
        ("LTCUSDT", "PERPETUAL", 4_133_404_800_000),
        ("LTCUSD_PERP", "PERPETUAL", 4_133_404_800_000),
        ("LTCUSDT_260925", "CURRENT_QUARTER", 1_790_323_200_000),
        ("LTCUSDT_261225", "CURRENT_QUARTER", 1_798_185_600_000),
        ("LTCUSDT_270326", "NEXT_QUARTER", 1_806_048_000_000),
        ("LTCUSDT_269999", "PERPETUAL", 4_133_404_800_000),
    ],
)
def test_contracts_end_on_the_day_in_their_name(
    symbol: str, contract: str, delivery_ms: int
) -> None:
    item = made(symbol, market="usdm")
    assert (item["contractType"], item["deliveryDate"]) == (contract, delivery_ms)


@pytest.mark.parametrize(
    ("symbol", "size"), [("BTCUSD_PERP", 100), ("LTCUSD_PERP", 10)]
)
def test_coin_margined_contracts_are_worth_some_usd(symbol: str, size: int) -> None:
    item = made(symbol, market="usdm")
    assert item["contractSize"] == size
    assert item["contractStatus"] == "TRADING"
    assert (item["marginAsset"], item["quoteAsset"]) == (symbol[:3], "USD")


@pytest.mark.parametrize(
    "name", ["cryptofeed-spot-20210417", "cryptofeed-spot-20211012"]
)
def test_ticks_are_those_of_the_exchange_or_coarser(
    shared_data: Path, name: str
) -> None:
    """All ticks there are powers of ten; a short recording may not show the finest."""
    path = shared_data / name / "rest" / "exchangeInfo.json.gz"
    body = json.loads(gzip.decompress(path.read_bytes()))
    listed = {item["symbol"]: filters_of(item) for item in body["symbols"]}
    survey = load_tape(shared_data / name, "spot").survey()
    same = 0
    shown = survey.shelves.symbols("spot")
    for symbol in shown:
        ours = filters_of(make_symbol(symbol, "spot", survey, NOW_US))
        for kind, member in (("PRICE_FILTER", "tickSize"), ("LOT_SIZE", "stepSize")):
            found, real = (
                Decimal(each[kind][member]) for each in (ours, listed[symbol])
            )
            assert found >= real
            same += found == real
    assert same > 1.5 * len(shown)


@pytest.mark.parametrize(
    ("folder", "file", "market"),
    [
        ("polysim-spot-20260718", "spot_exchange_info.json", "spot"),
        ("polysim-usdm-20260718", "perp_exchange_info.json", "usdm"),
    ],
)
def test_members_and_types_are_those_of_real_answers(
    shared_data: Path, folder: str, file: str, market: Market
) -> None:
    body = json.loads((shared_data / folder / "rest" / file).read_bytes())
    (real,) = body["symbols"]
    survey = load_tape(shared_data / folder, market).survey()
    ours = make_symbol("BTCUSDT", market, survey, NOW_US)
    assert {name: type(item) for name, item in ours.items()} == {
        name: type(item) for name, item in real.items()
    }
    for name in ("baseAsset", "quoteAsset", "status"):
        assert ours[name] == real[name]
    theirs = filters_of(real)
    for kind, each in filters_of(ours).items():
        if kind in theirs:
            assert each.keys() == theirs[kind].keys()
    for kind, member in (("PRICE_FILTER", "tickSize"), ("LOT_SIZE", "stepSize")):
        assert filters_of(ours)[kind][member] == theirs[kind][member]
