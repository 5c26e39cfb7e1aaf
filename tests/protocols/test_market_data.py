"""Which paths are computed, and how mistakes are answered on all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.protocols.market_data import _PATHS, answer_market_data
from pytest_binance_replay.protocols.query import NotOnTape
from pytest_binance_replay.protocols.rest import RestReply
from pytest_binance_replay.streams import Market
from tests.rest_tape import NOW_US, RestTape, ask, error

SPOT = RestTape(streams={"ltcbtc@trade"})
EVERY_PATH = sorted(_PATHS)
MANDATORY = [path for path in EVERY_PATH if _PATHS[path][1].mandatory]


def tape_of(market: Market) -> RestTape:
    return RestTape(market=market, streams={"ltcusdt@trade"})


@pytest.mark.parametrize(
    "target",
    [
        *("/api/v3/ping", "/api/v3/depth?symbol=LTCBTC", "/api/v3/exchangeInfo"),
        *("/api/v3/ticker/tradingDay", "/fapi/v1/openInterest?symbol=LTCUSDT", "/"),
        *("/fapi/v1/avgPrice?symbol=LTCUSDT", "/api/v3/premiumIndex"),
    ],
)
def test_other_paths_are_left_to_others(target: str) -> None:
    assert answer_market_data(target, SPOT.known(), now_us=NOW_US) is None


@pytest.mark.parametrize("prefix", ["", "/spot", "http://127.0.0.1:8000"])
def test_a_market_or_an_origin_in_front_does_not_matter(prefix: str) -> None:
    assert ask(SPOT.known(), f"{prefix}/api/v3/trades?symbol=LTCBTC") == []


@pytest.mark.parametrize("path", MANDATORY)
def test_what_is_mandatory_must_be_there(path: str) -> None:
    market, entry = _PATHS[path]
    missing = (
        f"Mandatory parameter '{entry.mandatory[0]}' was not sent, was empty/null, or "
        "malformed."
    )
    assert ask(tape_of(market).known(), path) == error(-1102, missing)


@pytest.mark.parametrize("path", EVERY_PATH)
def test_a_market_that_is_not_on_the_tape_is_not_answered(path: str) -> None:
    market, entry = _PATHS[path]
    other: Market = "usdm" if market == "spot" else "spot"
    query = "&".join(f"{name}=A" for name in entry.mandatory)
    answer = ask(tape_of(other).known(), f"{path}?{query}")
    assert answer == f"The tape holds {other}, no {market}."


@pytest.mark.parametrize("path", EVERY_PATH)
def test_only_spot_refuses_unknown_parameters_and_units(path: str) -> None:
    market, entry = _PATHS[path]
    known = tape_of(market).known()
    query = "&".join(f"{name}=LTCUSDT" for name in entry.mandatory)
    odd = ask(known, f"{path}?{query}&nonsense=1")
    unit = ask(known, f"{path}?{query}", time_unit="SECOND")
    codes = [
        answer["code"] if isinstance(answer, dict) else 0 for answer in (odd, unit)
    ]
    if market == "spot":
        assert codes in ([-1104, -1194], [-1101, -1194])
    else:
        assert not {-1101, -1104, -1194} & set(codes)


def test_what_only_signed_requests_have_is_passed_over() -> None:
    target = "/api/v3/trades?symbol=LTCBTC&timestamp=1&recvWindow=5&signature=c0ffee"
    assert ask(SPOT.known(), target) == []


def test_a_symbol_of_spot_is_of_upper_case() -> None:
    assert ask(SPOT.known(), "/api/v3/trades?symbol=ltcbtc")["code"] == -1100


def test_a_frame_that_cannot_be_read_is_told() -> None:
    known = RestTape([("ltcbtc@trade", {"t": 1})]).known()
    assert ask(known, "/api/v3/trades?symbol=LTCBTC") == (
        "A frame of ltcbtc@trade is not what the stream promises: KeyError: 'p'."
    )


VALUES = st.sampled_from(["", "0", "5", "LTCUSDT", '["LTCUSDT"]', "1m", "FULL", "x"])
NAMES = [
    "symbol",
    "symbols",
    "limit",
    "fromId",
    "interval",
    "startTime",
    "type",
    "pair",
]


@given(
    st.sampled_from(EVERY_PATH),
    st.dictionaries(st.sampled_from(NAMES), VALUES | st.text(max_size=5), max_size=4),
    st.sampled_from([None, "MICROSECOND", "x"]),
)
def test_any_request_is_answered_refused_or_explained(
    path: str, query: dict[str, str], unit: str | None
) -> None:
    market, _ = _PATHS[path]
    target = path + "?" + "&".join(f"{name}={value}" for name, value in query.items())
    known = tape_of(market).known()
    reply = answer_market_data(target, known, now_us=NOW_US, time_unit=unit)
    assert isinstance(reply, NotOnTape) or (
        isinstance(reply, RestReply) and reply.status in {200, 400}
    )
