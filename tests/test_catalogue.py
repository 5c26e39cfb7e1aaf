from __future__ import annotations

import pytest

from pytest_binance_replay.catalogue import Catalogue

SPOT = Catalogue({"spot": {"btcusdt@trade"}})
BOTH = Catalogue({"usdm": {"btcusdt@trade"}, "spot": {"btcusdt@trade"}})


def test_markets_keep_the_order_of_the_cassettes() -> None:
    assert BOTH.markets == ("usdm", "spot")


def test_streams_of_the_only_market_are_their_own_keys() -> None:
    assert SPOT.prefix("spot") == b""
    assert SPOT.origin(b"btcusdt@trade") == ("spot", "btcusdt@trade")


def test_streams_of_two_markets_are_told_apart_by_a_prefix() -> None:
    keys = [BOTH.prefix(market) + b"btcusdt@trade" for market in BOTH.markets]
    assert keys == [b"usdm/btcusdt@trade", b"spot/btcusdt@trade"]
    assert [BOTH.origin(key)[0] for key in keys] == ["usdm", "spot"]
    assert {BOTH.name(key) for key in keys} == {"btcusdt@trade"}


def test_a_name_with_a_slash_stays_whole() -> None:
    assert SPOT.name(b"odd/name") == "odd/name"
    assert BOTH.name(b"spot/odd/name") == "odd/name"


def test_a_name_that_is_not_ascii_comes_back() -> None:
    assert SPOT.name("币安@trade".encode()) == "币安@trade"


def test_a_key_of_no_market_on_the_tape_is_an_error() -> None:
    with pytest.raises(KeyError):
        BOTH.origin(b"btcusdt@trade")


@pytest.mark.parametrize(
    ("route", "name", "silent"),
    [
        (None, "btcusdt@bookTicker", False),
        (None, "btcusdt@depth@100ms", False),
        (None, "btcusdt@trade", False),
        (None, "btcusdt@aggTrade", True),
        (None, "btcusdt@kline_1m", True),
        ("public", "btcusdt@bookTicker", False),
        ("public", "btcusdt@markPrice@1s", True),
        ("public", "!forceOrder@arr", True),
        ("market", "btcusdt@markPrice@1s", False),
        ("market", "tradingSession", False),
        ("market", "btcusdt@depth", True),
        ("private", "btcusdt@depth", True),
        ("private", "btcusdt@aggTrade", True),
        ("public", "btcusdt@noSuchKind", False),
    ],
)
def test_a_futures_path_keeps_streams_of_another_route_silent(
    route: str | None, name: str, *, silent: bool
) -> None:
    live = Catalogue({"usdm": {name}}, {"usdm": "live"})
    assert live.keeps_silent("usdm", name, route) is silent


@pytest.mark.parametrize("route", [None, "public", "market"])
def test_any_path_delivered_in_former_days(route: str | None) -> None:
    former = Catalogue({"usdm": set()}, {"usdm": "any"})
    assert not former.keeps_silent("usdm", "btcusdt@aggTrade", route)


def test_spot_has_no_routes() -> None:
    assert not SPOT.keeps_silent("spot", "btcusdt@aggTrade", None)
