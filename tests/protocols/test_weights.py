"""What requests weigh, and how much of their weight a minute has used."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.protocols.weights import UsedWeight, weight_of

MINUTE_US = 60_000_000
NOON_US = 1_790_000_040_000_000


def symbols(count: int) -> str:
    return json.dumps([f"A{n}" for n in range(count)])


@pytest.mark.parametrize(
    ("target", "weight"),
    [
        ("/api/v3/ping", 1),
        ("/api/v3/time", 1),
        ("/api/v3/exchangeInfo?symbol=LTCBTC", 20),
        ("/api/v3/depth?symbol=LTCBTC", 5),
        ("/api/v3/depth?symbol=LTCBTC&limit=100", 5),
        ("/api/v3/depth?symbol=LTCBTC&limit=101", 25),
        ("/api/v3/depth?symbol=LTCBTC&limit=1000", 50),
        ("/api/v3/depth?symbol=LTCBTC&limit=5000", 250),
        ("/api/v3/depth?symbol=LTCBTC&limit=9999", 250),
        ("/api/v3/depth?symbol=LTCBTC&limit=many", 5),
        (f"/api/v3/depth?limit={'9' * 5000}", 5),
        ("/api/v3/trades?symbol=LTCBTC", 25),
        ("/api/v3/historicalTrades?symbol=LTCBTC", 25),
        ("/api/v3/historicalBlockTrades?symbol=LTCBTC", 25),
        ("/api/v3/aggTrades?symbol=LTCBTC", 4),
        ("/api/v3/klines?symbol=LTCBTC&interval=1m", 2),
        ("/api/v3/uiKlines?symbol=LTCBTC&interval=1m", 2),
        ("/api/v3/avgPrice?symbol=LTCBTC", 2),
        ("/api/v3/referencePrice?symbol=LTCBTC", 2),
        ("/api/v3/ticker/24hr?symbol=LTCBTC", 2),
        (f"/api/v3/ticker/24hr?symbols={symbols(20)}", 2),
        (f"/api/v3/ticker/24hr?symbols={symbols(21)}", 40),
        (f"/api/v3/ticker/24hr?symbols={symbols(100)}", 40),
        (f"/api/v3/ticker/24hr?symbols={symbols(101)}", 80),
        ("/api/v3/ticker/24hr", 80),
        ("/api/v3/ticker/24hr?symbols=[", 80),
        ("/api/v3/ticker/24hr?symbols=7", 80),
        ("/api/v3/ticker?symbol=LTCBTC", 4),
        (f"/api/v3/ticker?symbols={symbols(3)}", 12),
        (f"/api/v3/ticker/tradingDay?symbols={symbols(100)}", 200),
        ("/api/v3/ticker/tradingDay", 4),
        ("/api/v3/ticker/price?symbol=LTCBTC", 2),
        (f"/api/v3/ticker/price?symbols={symbols(1)}", 4),
        ("/api/v3/ticker/price", 4),
        ("/api/v3/ticker/bookTicker?symbol=LTCBTC", 2),
        ("/api/v3/ticker/bookTicker", 4),
        ("/fapi/v1/exchangeInfo", 1),
        ("/fapi/v1/depth?symbol=LTCUSDT", 1),
        ("/fapi/v1/depth?symbol=LTCUSDT&limit=5", 2),
        ("/fapi/v1/depth?symbol=LTCUSDT&limit=100", 5),
        ("/fapi/v1/depth?symbol=LTCUSDT&limit=500", 10),
        ("/fapi/v1/depth?symbol=LTCUSDT&limit=1000", 20),
        ("/dapi/v1/depth?symbol=LTCUSD_PERP&limit=50", 2),
        ("/fapi/v1/rpiDepth?symbol=LTCUSDT", 20),
        ("/fapi/v1/trades?symbol=LTCUSDT", 5),
        ("/fapi/v1/historicalTrades?symbol=LTCUSDT", 200),
        ("/fapi/v1/aggTrades?symbol=LTCUSDT", 20),
        ("/fapi/v1/klines?symbol=LTCUSDT&interval=1m", 5),
        ("/fapi/v1/klines?symbol=LTCUSDT&interval=1m&limit=99", 1),
        ("/fapi/v1/klines?symbol=LTCUSDT&interval=1m&limit=100", 2),
        ("/fapi/v1/continuousKlines?limit=1000", 5),
        ("/fapi/v1/markPriceKlines?limit=1001", 10),
        ("/fapi/v1/premiumIndex?symbol=LTCUSDT", 1),
        ("/fapi/v1/premiumIndex", 10),
        ("/fapi/v1/fundingRate", 0),
        ("/fapi/v1/ticker/24hr?symbol=LTCUSDT", 1),
        ("/fapi/v1/ticker/24hr", 40),
        ("/fapi/v1/ticker/price?symbol=LTCUSDT", 1),
        ("/fapi/v2/ticker/price", 2),
        ("/fapi/v1/ticker/bookTicker?symbol=LTCUSDT", 2),
        ("/fapi/v1/ticker/bookTicker", 5),
        ("/fapi/v1/assetIndex", 10),
        ("/fapi/v1/openInterest?symbol=LTCUSDT", 1),
        ("/nowhere", 1),
    ],
)
def test_requests_weigh_what_the_exchange_says(target: str, weight: int) -> None:
    assert weight_of(target) == weight


@given(st.sampled_from(["depth", "ticker/24hr", "ticker", "klines"]), st.text())
def test_any_request_has_a_weight(path: str, query: str) -> None:
    assert 1 <= weight_of(f"/api/v3/{path}?{query}") <= 250


def test_weights_of_a_minute_add_up_by_market() -> None:
    used = UsedWeight()
    used.add("/api/v3/depth?symbol=LTCBTC", NOON_US)
    assert used.add("/fapi/v1/trades?symbol=LTCUSDT", NOON_US) == {
        "x-mbx-used-weight-1m": "5"
    }
    assert used.add("/dapi/v1/exchangeInfo", NOON_US) == {"x-mbx-used-weight-1m": "6"}
    assert used.add("/spot/api/v3/ping", NOON_US + MINUTE_US - 1) == {
        "x-mbx-used-weight": "6",
        "x-mbx-used-weight-1m": "6",
    }


@pytest.mark.parametrize("later_us", [MINUTE_US, -1, 90 * MINUTE_US])
def test_another_minute_starts_anew(later_us: int) -> None:
    used = UsedWeight()
    used.add("/api/v3/exchangeInfo", NOON_US)
    assert used.add("/api/v3/ping", NOON_US + later_us)["x-mbx-used-weight"] == "1"
