from __future__ import annotations

import pytest

from pytest_binance_replay.recording.public import is_public_request, is_public_stream

LISTEN_KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v3/depth?symbol=BTCUSDT&limit=1000",
        "/api/v3/exchangeInfo",
        "/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22]",
        "/api/v3/ticker?symbol=BTCUSDT",
        "/fapi/v1/premiumIndex?symbol=BTCUSDT",
        "/fapi/v2/ticker/price",
        "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m",
    ],
)
def test_market_data_is_public(target: str) -> None:
    assert is_public_request(target)


@pytest.mark.parametrize(
    "target",
    [
        "/api/v3/account",
        "/api/v3/order?symbol=BTCUSDT",
        "/api/v3/userDataStream",
        "/api/v3/historicalTrades?symbol=BTCUSDT",
        "/fapi/v1/listenKey",
        "/api/v3/depth?symbol=BTCUSDT&signature=c0ffee",
        "/api/v3/depth?symbol=BTCUSDT&Timestamp=1",
        "/api/v3/depth?symbol=BTCUSDT&listenKey=",
        "/api/v3/depth/../account",
        "/api/v3/depth\n",
        "https://api.binance.com/api/v3/depth",
        "",
    ],
)
def test_what_needs_a_key_or_is_not_known_is_not_public(target: str) -> None:
    assert not is_public_request(target)


@pytest.mark.parametrize("name", ["btcusdt@trade", "!ticker@arr", "币usdt@depth@100ms"])
def test_market_streams_are_public(name: str) -> None:
    assert is_public_stream(name)


@pytest.mark.parametrize(
    "name",
    [LISTEN_KEY, f"{LISTEN_KEY}@account", "btcusdt", "", 'a"b@trade', "a\\b@trade"],
)
def test_listen_keys_and_what_no_stream_is_called_are_not_public(name: str) -> None:
    assert not is_public_stream(name)
