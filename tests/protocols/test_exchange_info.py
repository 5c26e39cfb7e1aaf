"""`exchangeInfo`: recorded, cut to what was asked, completed, or made."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.cassette import RestAnswer
from pytest_binance_replay.protocols.exchange_info import (
    MADE,
    answer_exchange_info,
    listed_symbols,
    symbols_made,
)
from pytest_binance_replay.streams import Market
from tests.rest_tape import INVALID_SYMBOL, NOW_US, RestTape, error, load_tape

SPOT = "/api/v3/exchangeInfo"
USDM = "/fapi/v1/exchangeInfo"
COINM = "/dapi/v1/exchangeInfo"
TAPE = RestTape(streams={"ltcbtc@trade", "bnbbtc@trade"})


def symbol(name: str, **more: Any) -> dict[str, Any]:
    return {"symbol": name, "status": "TRADING", "permissions": ["SPOT"], **more}


def recorded(
    *symbols: dict[str, Any], request: str = SPOT, time_us: int = 0, status: int = 200
) -> RestAnswer:
    body = {"timezone": "UTC", "extra": 1, "symbols": list(symbols)}
    return RestAnswer(time_us, request, status, json.dumps(body).encode())


def ask(
    target: str,
    tape: RestTape = TAPE,
    answers: Sequence[RestAnswer] = (),
    **more: Any,
) -> dict[str, Any]:
    reply = answer_exchange_info(target, tape.survey(), answers, now_us=NOW_US, **more)
    assert reply is not None
    body: dict[str, Any] = json.loads(reply.body)
    assert reply.status == (400 if "code" in body else 200)
    return body


def names(body: dict[str, Any]) -> list[str]:
    return [item["symbol"] for item in body["symbols"]]


# Made


def test_without_a_recorded_one_the_tapes_symbols_are_described() -> None:
    body = ask(SPOT)
    assert list(body) == [
        *("timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"),
        "pytest-binance-replay",
    ]
    assert names(body) == ["BNBBTC", "LTCBTC"]
    assert body["serverTime"] == NOW_US // 1000
    assert body["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6000,
    }
    assert body[MADE].startswith("Symbols made from the tape")


def test_its_time_comes_in_microseconds_if_asked() -> None:
    assert ask(SPOT, time_unit="MICROSECOND")["serverTime"] == NOW_US


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?symbol=LTCBTC", ["LTCBTC"]),
        ('?symbols=["LTCBTC","BNBBTC"]', ["BNBBTC", "LTCBTC"]),
        ("?symbols=[]", []),
        ("?symbolStatus=TRADING", ["BNBBTC", "LTCBTC"]),
        ("?symbolStatus=BREAK", []),
        ("?permissions=SPOT", ["BNBBTC", "LTCBTC"]),
        ('?permissions=["MARGIN","LEVERAGED"]', []),
    ],
)
def test_some_of_its_symbols_may_be_asked_for(query: str, expected: list[str]) -> None:
    assert names(ask(SPOT + query)) == expected


def test_permission_sets_may_be_left_out() -> None:
    item, _ = ask(f"{SPOT}?showPermissionSets=false")["symbols"]
    assert item["permissionSets"] == []
    item, _ = ask(f"{SPOT}?showPermissionSets=true")["symbols"]
    assert item["permissionSets"] == [["SPOT"]]


def test_symbols_come_in_frames_as_well_as_in_names() -> None:
    tape = RestTape([("!miniTicker@arr", [{"s": "LTCBTC"}])])
    assert names(ask(SPOT, tape)) == ["LTCBTC"]


def test_contracts_are_listed_where_they_belong() -> None:
    streams = {"btcusdt@trade", "btcusdt_260925@trade", "btcusd_perp@trade"}
    tape = RestTape(market="usdm", streams=streams)
    usdm, coinm = ask(USDM, tape), ask(COINM, tape)
    assert names(usdm) == ["BTCUSDT", "BTCUSDT_260925"]
    assert [asset["asset"] for asset in usdm["assets"]] == ["USDT"]
    assert usdm["futuresType"] == "U_MARGINED"
    assert names(coinm) == ["BTCUSD_PERP"]
    assert "assets" not in coinm
    assert symbols_made(COINM, tape.survey()) == ["BTCUSD_PERP"]


@pytest.mark.parametrize(
    ("path", "market"),
    [(USDM, "spot"), (COINM, "spot"), (COINM, "usdm"), (SPOT, "usdm")],
)
def test_a_market_that_is_not_on_the_tape_has_no_symbols(
    path: str, market: Market
) -> None:
    body = ask(path, RestTape(market=market, streams={"ltcusdt@trade"}))
    assert body["symbols"] == []
    assert MADE not in body


def test_futures_pass_over_any_parameter() -> None:
    tape = RestTape(market="usdm", streams={"ltcusdt@trade"})
    assert names(ask(f"{USDM}?symbol=NONE", tape)) == ["LTCUSDT"]


# Recorded


def test_a_recorded_one_is_given_byte_for_byte() -> None:
    answer = recorded(symbol("LTCBTC"), symbol("BNBBTC"), symbol("ETHBTC"))
    reply = answer_exchange_info(SPOT, TAPE.survey(), [answer], now_us=NOW_US)
    assert reply is not None
    assert reply.body is answer.payload


def test_a_recorded_one_is_cut_to_what_is_asked() -> None:
    answer = recorded(
        symbol("LTCBTC"), symbol("ETHBTC", status="BREAK"), symbol("BNBBTC")
    )
    body = ask(f"{SPOT}?symbol=ETHBTC", answers=[answer])
    assert body == {
        "timezone": "UTC",
        "extra": 1,
        "symbols": [symbol("ETHBTC", status="BREAK")],
    }
    assert names(ask(f"{SPOT}?symbolStatus=BREAK", answers=[answer])) == ["ETHBTC"]


def test_a_recorded_symbol_without_permission_sets_gets_none() -> None:
    answer = recorded(symbol("LTCBTC"), symbol("BNBBTC"))
    body = ask(f"{SPOT}?showPermissionSets=false", answers=[answer])
    assert body["symbols"] == [symbol("LTCBTC"), symbol("BNBBTC")]


def test_what_a_recorded_one_lacks_of_the_tape_is_made() -> None:
    answer = recorded(symbol("LTCBTC"), request=f"{SPOT}?symbol=LTCBTC")
    body = ask(SPOT, answers=[answer])
    assert names(body) == ["LTCBTC", "BNBBTC"]
    assert body["symbols"][0] == symbol("LTCBTC")
    assert MADE in body
    assert MADE not in ask(f"{SPOT}?symbol=LTCBTC", answers=[answer])


def test_several_recorded_ones_complete_each_other() -> None:
    answers = [
        recorded(symbol("BNBBTC", told="alone"), request=f"{SPOT}?symbol=BNBBTC"),
        recorded(symbol("LTCBTC"), symbol("BNBBTC", told="whole")),
        recorded(symbol("ETHBTC"), request=f"{SPOT}?symbol=ETHBTC"),
    ]
    body = ask(SPOT, answers=answers)
    found = {item["symbol"]: item.get("told") for item in body["symbols"]}
    assert found == {"LTCBTC": None, "BNBBTC": "whole", "ETHBTC": None}
    assert MADE not in body


def test_the_newest_recorded_one_is_in_force() -> None:
    answers = [
        recorded(symbol("LTCBTC", told=n), symbol("BNBBTC"), time_us=NOW_US + n)
        for n in (-2, -1, 1)
    ]
    assert ask(SPOT, answers=answers)["symbols"][0]["told"] == -1


@pytest.mark.parametrize(
    "answer",
    [
        recorded(symbol("ETHBTC"), status=429),
        recorded(symbol("ETHBTC"), request=USDM),
        RestAnswer(0, SPOT, 200, b"{"),
        RestAnswer(0, SPOT, 200, b"[]"),
        RestAnswer(0, SPOT, 200, b'{"symbols":{}}'),
        RestAnswer(0, SPOT, 200, b'{"symbols":[{"name":"ETHBTC"}]}'),
        RestAnswer(0, SPOT, 200, b'{"symbols":["ETHBTC"]}'),
    ],
)
def test_what_is_no_such_answer_does_not_count(answer: RestAnswer) -> None:
    assert names(ask(SPOT, answers=[answer])) == ["BNBBTC", "LTCBTC"]


def test_recorded_ones_say_which_symbols_exist() -> None:
    answers = [
        recorded(symbol("LTCBTC")),
        recorded(symbol("LTCUSDT"), request=USDM),
        RestAnswer(
            0, "/api/v3/depth?symbol=LTCBTC", 200, b'{"symbols":[{"symbol":"X"}]}'
        ),
        RestAnswer(0, SPOT, 200, b"?"),
    ]
    assert listed_symbols(answers) == {"LTCBTC", "LTCUSDT"}


@pytest.mark.parametrize("name", ["cryptofeed-spot-20211012"])
def test_a_real_recorded_one_is_cut_to_a_symbol(shared_data: Path, name: str) -> None:
    path = shared_data / name / "rest" / "exchangeInfo.json.gz"
    answer = RestAnswer(0, SPOT, 200, gzip.decompress(path.read_bytes()))
    tape = load_tape(shared_data / name, "spot")
    whole = json.loads(answer.payload)
    (real,) = [item for item in whole["symbols"] if item["symbol"] == "NKNUSDT"]
    body = ask(f"{SPOT}?symbol=NKNUSDT", tape, [answer])
    assert body == {**whole, "symbols": [real]}


# Mistakes


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?symbol=nknusdt", -1100),
        ("?symbol=", -1105),
        ("?nonsense=1", -1104),
        ('?symbol=LTCBTC&symbols=["BNBBTC"]', -1128),
        ("?symbol=LTCBTC&permissions=SPOT", -1128),
        ('?symbols=["LTCBTC"]&symbolStatus=TRADING', -1128),
        ("?symbolStatus=OPEN", -1122),
        ("?showPermissionSets=maybe", -1130),
    ],
)
def test_mistakes_are_refused(query: str, code: int) -> None:
    assert ask(SPOT + query)["code"] == code


@pytest.mark.parametrize("query", ["?symbol=NONE", '?symbols=["LTCBTC","NONE"]'])
def test_an_unknown_symbol_is_invalid(query: str) -> None:
    assert ask(SPOT + query) == INVALID_SYMBOL
    assert ask(SPOT + query, answers=[recorded(symbol("LTCBTC"))]) == INVALID_SYMBOL


def test_an_unknown_time_unit_is_refused() -> None:
    text = "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
    assert ask(SPOT, time_unit="SECOND") == error(-1194, text)


def test_other_paths_are_left_to_others() -> None:
    survey = TAPE.survey()
    assert answer_exchange_info("/api/v3/time", survey, [], now_us=NOW_US) is None
