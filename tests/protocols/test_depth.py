"""Depth snapshots over REST: what is asked for, and the body of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.books import Answer
from pytest_binance_replay.protocols.depth import (
    DepthQuery,
    change_ms,
    depth_reply,
    read_depth_query,
)
from pytest_binance_replay.protocols.query import NotOnTape
from pytest_binance_replay.protocols.rest import RestReply
from pytest_binance_replay.streams import Market
from tests.rest_tape import INVALID_SYMBOL, NOW_US, RestTape, error

SPOT = RestTape(streams={"ltcbtc@depth@100ms"})
USDM = RestTape(market="usdm", streams={"ltcusdt@depth", "ltcusd_perp@depth"})
ANSWER = Answer(7, [("1.5", "2"), ("1.4", "1")], [("1.6", "3")])


def read(target: str, tape: RestTape, **more: Any) -> Any:
    """The query, the error as JSON, or the reason."""
    found = read_depth_query(target, tape.known(), **more)
    if isinstance(found, RestReply):
        assert found.status == 400
        return json.loads(found.body)
    return found.reason if isinstance(found, NotOnTape) else found


def body_of(reply: RestReply | NotOnTape) -> dict[str, Any]:
    assert isinstance(reply, RestReply)
    assert reply.status == 200
    body: dict[str, Any] = json.loads(reply.body)
    return body


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        *(("", 100), ("&limit=1", 1), ("&limit=5000", 5000), ("&limit=5001", 5000)),
        ("&symbolStatus=TRADING", 100),
    ],
)
def test_spot_gives_any_number_of_levels_up_to_a_limit(query: str, limit: int) -> None:
    found = read(f"/api/v3/depth?symbol=LTCBTC{query}", SPOT)
    assert found == DepthQuery("spot", "LTCBTC", limit)


def test_parameters_come_in_any_order() -> None:
    found = read("/spot/api/v3/depth?limit=5&symbol=LTCBTC", SPOT)
    assert found == DepthQuery("spot", "LTCBTC", 5)


@pytest.mark.parametrize(
    ("query", "limit"), [("", 500), ("&limit=5", 5), ("&limit=1000", 1000)]
)
def test_futures_give_a_few_numbers_of_levels(query: str, limit: int) -> None:
    found = read(f"/fapi/v1/depth?symbol=ltcusdt{query}", USDM)
    assert found == DepthQuery("usdm", "LTCUSDT", limit)


@pytest.mark.parametrize("limit", [0, 1, 7, 5000])
def test_futures_refuse_other_numbers_of_levels(limit: int) -> None:
    answer = read(f"/fapi/v1/depth?symbol=LTCUSDT&limit={limit}", USDM)
    assert answer == error(-4021, f"{limit} is not valid depth limit")


def test_coin_margined_depth_names_its_symbol() -> None:
    found = read("/dapi/v1/depth?symbol=LTCUSD_PERP", USDM)
    assert found == DepthQuery("usdm", "LTCUSD_PERP", 500, names_symbol=True)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/v3/depth", -1102),
        ("/api/v3/depth?symbol=", -1105),
        ("/api/v3/depth?symbol=ltcbtc", -1100),
        ("/api/v3/depth?symbol=LTCBTC&limit=0", -1130),
        ("/api/v3/depth?symbol=LTCBTC&limit=x", -1100),
        ("/api/v3/depth?symbol=LTCBTC&depth=5", -1104),
        ("/api/v3/depth?symbol=LTCBTC&symbolStatus=x", -1122),
        ("/api/v3/depth?symbol=LTCBTC&symbol=LTCBTC", -1101),
    ],
)
def test_mistakes_are_refused(target: str, code: int) -> None:
    assert read(target, SPOT)["code"] == code


def test_an_unknown_symbol_is_invalid() -> None:
    assert read("/api/v3/depth?symbol=NONE", SPOT) == INVALID_SYMBOL


def test_an_unknown_time_unit_is_refused() -> None:
    answer = read("/api/v3/depth?symbol=LTCBTC", SPOT, time_unit="SECOND")
    assert answer["code"] == -1194


def test_a_market_that_is_not_on_the_tape_has_no_depth() -> None:
    answer = read("/fapi/v1/depth?symbol=LTCUSDT", SPOT)
    assert answer == "The tape holds spot, no usdm."


def test_other_paths_are_left_to_others() -> None:
    assert read("/api/v3/trades?symbol=LTCBTC", SPOT) is None


def test_a_spot_snapshot_has_its_members_in_order() -> None:
    query = DepthQuery("spot", "LTCBTC", 5)
    reply = depth_reply(query, ANSWER, SPOT.ledger(), now_us=NOW_US)
    assert isinstance(reply, RestReply)
    assert reply.body == (
        b'{"lastUpdateId":7,"bids":[["1.5","2"],["1.4","1"]],"asks":[["1.6","3"]]}'
    )


def test_a_futures_snapshot_says_now_and_when_it_changed() -> None:
    frames = [
        ("ltcusdt@depth", {"e": "depthUpdate", "T": 1_790_000_000_001}),
        ("ltcusdt@depth@500ms", {"e": "depthUpdate", "T": 1_790_000_000_002}),
    ]
    tape = RestTape(frames, "usdm")
    query = DepthQuery("usdm", "LTCUSDT", 5)
    body = body_of(depth_reply(query, ANSWER, tape.ledger(), now_us=NOW_US))
    assert list(body) == ["lastUpdateId", "E", "T", "bids", "asks"]
    assert (body["E"], body["T"]) == (NOW_US // 1000, 1_790_000_000_002)


def test_a_snapshot_of_an_unchanged_book_changed_now() -> None:
    query = DepthQuery("usdm", "LTCUSD_PERP", 5, names_symbol=True)
    body = body_of(depth_reply(query, ANSWER, USDM.ledger(), now_us=NOW_US))
    members = ["lastUpdateId", "E", "T", "symbol", "pair", "bids", "asks"]
    assert list(body) == members
    assert body["T"] == NOW_US // 1000
    assert (body["symbol"], body["pair"]) == ("LTCUSD_PERP", "LTCUSD")


RECORDED = (
    b'{ "lastUpdateId": 7, "E": 3, "bids": [["1.50","2"],["1.4","1"]], "asks": []}'
)


def recorded_answer() -> Answer:
    return ANSWER._replace(recorded=RECORDED)


def test_a_recorded_snapshot_is_given_byte_for_byte() -> None:
    query = DepthQuery("usdm", "LTCUSDT", 5)
    reply = depth_reply(query, recorded_answer(), USDM.ledger(), now_us=NOW_US)
    assert isinstance(reply, RestReply)
    assert reply.body == RECORDED


def test_a_recorded_snapshot_is_cut_to_the_levels_asked_for() -> None:
    query = DepthQuery("usdm", "LTCUSDT", 1)
    reply = depth_reply(query, recorded_answer(), USDM.ledger(), now_us=NOW_US)
    expected = {"lastUpdateId": 7, "E": 3, "bids": [["1.50", "2"]], "asks": []}
    assert body_of(reply) == expected


def test_without_a_book_the_reason_is_told() -> None:
    query = DepthQuery("spot", "LTCBTC", 5)
    reply = depth_reply(query, None, SPOT.ledger(), now_us=NOW_US)
    assert reply == NotOnTape(
        "The book of LTCBTC is not known here: that takes its diff depth stream and a "
        "depth snapshot, recorded, that joins it, or partial depth."
    )


@pytest.mark.parametrize(
    ("said", "time"),
    [({"T": 5_000}, 5_000), ({"T": 10**15 + 1999}, 10**12 + 1), ({}, None)],
)
def test_the_time_of_a_change_is_that_of_its_event(
    said: dict[str, int], time: int | None
) -> None:
    market: Market = "usdm"
    ledger = RestTape([("ltcusdt@depth", said)], market).ledger()
    assert change_ms(ledger, market, "LTCUSDT") == time


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("hftbacktest-usdm-20240808", "BTCUSDT_depth_1000.json"),
        ("hftbacktest-coinm-20240808", "BTCUSD_PERP_depth_1000.json"),
        ("gocryptotrader-rest-spot", "api_v3_depth_limit=1000_symbol=BTCUSDT.json"),
    ],
)
def test_members_and_types_are_those_of_real_answers(
    shared_data: Path, folder: str, file: str
) -> None:
    recorded = json.loads((shared_data / folder / "rest" / file).read_bytes())
    market: Market = "spot" if "spot" in folder else "usdm"
    query = DepthQuery(market, "BTCUSD_PERP", 5, names_symbol="coinm" in folder)
    ours = body_of(depth_reply(query, ANSWER, USDM.ledger(), now_us=NOW_US))
    assert {name: type(item) for name, item in ours.items()} == {
        name: type(item) for name, item in recorded.items()
    }
    if market == "usdm":
        assert list(ours) == list(recorded)
