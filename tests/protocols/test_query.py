"""REST parameters: what is accepted, and the exchange's words for what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.errors import NotOnTapeError, RequestRefusedError
from pytest_binance_replay.protocols.query import (
    NotOnTape,
    Parameters,
    error_reply,
    not_on_tape,
    refuse,
    to_body,
    to_us,
    wants_us,
)
from pytest_binance_replay.protocols.rest import RestReply
from pytest_binance_replay.streams import Market

KNOWN = ("symbol", "symbols", "limit", "type", "startTime", "symbolStatus")
SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"


def read(market: Market = "spot", **values: str) -> Parameters:
    return Parameters(market, list(values.items()), KNOWN)


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(RequestRefusedError) as caught:
        call()
    assert str(caught.value) == caught.value.text
    return caught.value.code, caught.value.text


def test_what_is_right_is_accepted() -> None:
    parameters = Parameters(
        "spot", [("symbol", "LTCBTC"), ("limit", "5")], KNOWN, ["symbol"]
    )
    assert parameters.symbol() == "LTCBTC"
    assert parameters.limit(100, 1000) == 5
    assert "limit" in parameters
    assert "symbols" not in parameters
    assert parameters.text("type") is None


@pytest.mark.parametrize(
    ("market", "pairs", "known", "mandatory", "expected"),
    [
        (
            "spot",
            [("symbol", "A"), ("symbol", "B")],
            ["symbol", "limit"],
            [],
            (-1101, "Too many parameters; expected '1' and received '2'."),
        ),
        (
            "usdm",
            [("symbol", "A"), ("symbol", "B"), ("symbol", "C")],
            ["symbol"],
            [],
            (-1101, "Too many parameters; expected '1' and received '3'."),
        ),
        (
            "spot",
            [("symbol", "A"), ("x", "1")],
            ["symbol"],
            [],
            (-1101, "Too many parameters; expected '1' and received '2'."),
        ),
        (
            "spot",
            [("symbol", ""), ("x", "1")],
            ["symbol", "limit"],
            [],
            (-1105, "Parameter 'symbol' was empty."),
        ),
        (
            "usdm",
            [("symbol", "")],
            ["symbol"],
            ["symbol"],
            (-1105, "Parameter 'symbol' was empty."),
        ),
        (
            "spot",
            [("x", "1")],
            ["symbol", "limit"],
            ["symbol"],
            (
                -1102,
                "Mandatory parameter 'symbol' was not sent, was empty/null, or "
                "malformed.",
            ),
        ),
        (
            "spot",
            [("symbol", "A"), ("x", "1")],
            ["symbol", "limit"],
            ["symbol"],
            (
                -1104,
                "Not all sent parameters were read; read '1' parameter(s) but was "
                "sent '2'.",
            ),
        ),
    ],
)
def test_names_are_checked_in_order(
    market: Market,
    pairs: list[tuple[str, str]],
    known: list[str],
    mandatory: list[str],
    expected: tuple[int, str],
) -> None:
    assert refusal(lambda: Parameters(market, pairs, known, mandatory)) == expected


def test_futures_pass_over_what_they_do_not_know() -> None:
    parameters = Parameters("usdm", [("x", "1"), ("x", "2"), ("y", "")], ["symbol"])
    assert parameters.symbol() is None


@pytest.mark.parametrize("symbol", ["LTCBTC", "1INCHUSDT", "币安人生USDT", "A-B._C"])
def test_spot_symbols_are_of_upper_case(symbol: str) -> None:
    assert read(symbol=symbol).symbol() == symbol


@pytest.mark.parametrize("symbol", ["ltcbtc", "LTC/BTC", "LTC BTC", "A" * 51])
def test_spot_refuses_what_cannot_be_a_symbol(symbol: str) -> None:
    assert refusal(read(symbol=symbol).symbol) == (
        -1100,
        f"Illegal characters found in parameter 'symbol'; legal range is "
        f"'{SYMBOL_RANGE}'.",
    )


def test_futures_take_symbols_of_either_case() -> None:
    assert read("usdm", symbol="btcusdt").symbol() == "BTCUSDT"


def test_several_symbols_are_a_json_list() -> None:
    assert read(symbols='["LTCBTC","BNBBTC"]').symbols() == ["LTCBTC", "BNBBTC"]
    assert read(symbols="[]").symbols() == []
    assert read().symbols() is None


@pytest.mark.parametrize(
    "symbols", ['["LTCBTC", "BNBBTC"]', '["ltcbtc"]', "LTCBTC", "["]
)
def test_a_malformed_list_of_symbols_is_refused(symbols: str) -> None:
    code, text = refusal(read(symbols=symbols).symbols)
    assert code == -1100
    assert text.startswith("Illegal characters found in parameter 'symbols'; legal")


def test_one_symbol_and_several_do_not_go_together() -> None:
    expected = -1128, "Combination of optional parameters invalid."
    assert refusal(read(symbol="A", symbols='["B"]').symbols) == expected


def test_a_symbol_may_be_listed_once() -> None:
    expected = -1151, "Symbol is present multiple times in the list."
    assert refusal(read(symbols='["A","A"]').symbols) == expected


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "1" * 21, "٣"])
def test_what_is_no_number_is_refused(value: str) -> None:
    assert refusal(lambda: read(limit=value).integer("limit")) == (
        -1100,
        "Illegal characters found in parameter 'limit'; legal range is "
        "'^[0-9]{1,20}$'.",
    )
    assert refusal(lambda: read("usdm", limit=value).integer("limit")) == (
        -1130,
        "Data sent for parameter 'limit' is not valid.",
    )


@pytest.mark.parametrize(
    ("market", "sent", "limit"),
    [
        ("spot", None, 500),
        ("spot", "1", 1),
        ("spot", "9999", 1000),
        ("usdm", "1000", 1000),
    ],
)
def test_a_limit_has_a_default_and_spot_cuts_it(
    market: Market, sent: str | None, limit: int
) -> None:
    values = {} if sent is None else {"limit": sent}
    assert read(market, **values).limit(500, 1000) == limit


@pytest.mark.parametrize(("market", "limit"), [("spot", "0"), ("usdm", "1001")])
def test_a_limit_out_of_range_is_refused(market: Market, limit: str) -> None:
    expected = -1130, "Data sent for parameter 'limit' is not valid."
    assert refusal(lambda: read(market, limit=limit).limit(500, 1000)) == expected


def test_times_are_read_in_either_unit() -> None:
    ms = read(startTime="1790000000123")
    assert ms.time_us("startTime") == 1_790_000_000_123_000
    assert ms.time_us("startTime", end=True) == 1_790_000_000_123_999
    us = read(startTime="1790000000123456")
    assert us.time_us("startTime", end=True) == 1_790_000_000_123_456
    assert read().time_us("startTime") is None


def test_a_word_is_one_of_a_few() -> None:
    options = ("FULL", "MINI")
    assert read(type="MINI").choice("type", options, -1139) == "MINI"
    assert read().choice("type", options, -1139) is None
    wrong = read(type="mini")
    expected = -1139, "Invalid ticker type."
    assert refusal(lambda: wrong.choice("type", options, -1139)) == expected


def test_a_status_is_one_of_those_there_are() -> None:
    assert read(symbolStatus="HALT").status() == "HALT"
    expected = -1122, "Invalid symbolStatus."
    assert refusal(read(symbolStatus="OPEN").status) == expected


@pytest.mark.parametrize(
    ("market", "unit", "expected"),
    [
        ("spot", None, False),
        ("spot", "MICROSECOND", True),
        ("spot", "microsecond", True),
        ("spot", "millisecond", False),
        ("usdm", "MICROSECOND", False),
        ("usdm", "nonsense", False),
    ],
)
def test_only_spot_has_time_units(
    market: Market, unit: str | None, expected: bool
) -> None:
    assert wants_us(market, unit) is expected


def test_an_unknown_time_unit_is_refused() -> None:
    assert refusal(lambda: wants_us("spot", "SECOND")) == (
        -1194,
        "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
    )


def test_a_refusal_is_the_exchanges_own_error() -> None:
    with pytest.raises(RequestRefusedError) as caught:
        refuse(-1121)
    body = b'{"code":-1121,"msg":"Invalid symbol."}'
    assert error_reply(caught.value) == RestReply(400, body)


def test_what_the_tape_lacks_is_told_in_our_words() -> None:
    with pytest.raises(NotOnTapeError, match="no trade"):
        not_on_tape("The tape has no trade.")
    body = b'{"code":-1000,"msg":"The tape has no trade."}'
    assert NotOnTape("The tape has no trade.").reply() == RestReply(
        404, body, known=False
    )


def test_a_time_says_its_unit_by_its_size() -> None:
    assert to_us(1_790_000_000_123) == to_us(1_790_000_000_123_000)
    assert to_us(0) == 0


@given(st.recursive(st.text() | st.integers(), st.lists))
def test_every_body_is_compact_utf_8(value: object) -> None:
    body = to_body(value)
    assert json.loads(body.decode()) == json.loads(json.dumps(value))


def test_half_a_surrogate_pair_stays_escaped() -> None:
    assert to_body("\ud83d币") == '"\\ud83d币"'.encode()


@given(
    st.lists(st.tuples(st.sampled_from(KNOWN), st.text(max_size=12)), max_size=4),
    st.sampled_from(["spot", "usdm"]),
)
def test_any_query_is_read_or_refused(
    pairs: list[tuple[str, str]], market: Market
) -> None:
    with suppress(RequestRefusedError):
        parameters = Parameters(market, pairs, KNOWN)
        assert parameters.symbol() != ""
        parameters.symbols()
        assert 1 <= parameters.limit(5, 10) <= 10
        parameters.status()
        parameters.time_us("startTime")
