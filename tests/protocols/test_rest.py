from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import RestAnswer
from pytest_binance_replay.protocols.rest import (
    JSON_TYPE,
    RestReply,
    answer_request,
    newest_answer,
    plain_request,
    request_key,
)

DEPTH = "/api/v3/depth?symbol=BTCUSDT&limit=5"
NOW_US = 1_795_168_800_003_123


def answer(request: str, time_us: int = 0, body: bytes = b"{}") -> RestAnswer:
    return RestAnswer(time_us, request, 200, body)


# What makes two requests the same


@pytest.mark.parametrize(
    "target",
    [
        DEPTH,
        "/api/v3/depth?limit=5&symbol=BTCUSDT",
        "/spot/api/v3/depth?symbol=BTCUSDT&limit=5",
        "/usdm/api/v3/depth?symbol=BTCUSDT&limit=5",
        "/api/v3/depth?symbol=%42TCUSDT&limit=5",
        "/api/v3/depth?symbol=BTCUSDT&limit=5&timestamp=1&recvWindow=2&signature=c0f",
        "/api/v3/depth?symbol=BTCUSDT&&limit=5&",
        "http://127.0.0.1:8080/api/v3/depth?symbol=BTCUSDT&limit=5",
        "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5",
        "/api/v3/depth?symbol=BTCUSDT&limit=5#here",
    ],
)
def test_the_same_request_can_be_asked_in_many_ways(target: str) -> None:
    assert request_key(target) == (
        "/api/v3/depth",
        (("limit", "5"), ("symbol", "BTCUSDT")),
    )


@pytest.mark.parametrize(
    "target",
    [
        "/api/v3/depth?symbol=BTCUSDT",
        "/api/v3/depth?symbol=BTCUSDT&limit=",
        "/api/v3/depth?symbol=BTCUSDT&limit=50",
        "/api/v3/depth?symbol=BTCUSDT&limit=5&limit=5",
        "/api/v3/depth?symbol=btcusdt&limit=5",
        "/api/v3/depth?Symbol=BTCUSDT&limit=5",
        "/api/v3/trades?symbol=BTCUSDT&limit=5",
        "/api/v3/depth/?symbol=BTCUSDT&limit=5",
        "//api/v3/depth?symbol=BTCUSDT&limit=5",
        "/fapi/v1/depth?symbol=BTCUSDT&limit=5",
    ],
)
def test_another_request_is_another(target: str) -> None:
    assert request_key(target) != request_key(DEPTH)


@pytest.mark.parametrize(
    "target",
    [
        '/api/v3/ticker/price?symbols=["BTCUSDT","ETHUSDT"]',
        "/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D",
        "/api/v3/ticker/price?symbols=%5b%22BTCUSDT%22,%22ETHUSDT%22%5d",
    ],
)
def test_a_list_may_be_encoded_or_not(target: str) -> None:
    parameters = (("symbols", '["BTCUSDT","ETHUSDT"]'),)
    assert request_key(target) == ("/api/v3/ticker/price", parameters)


def test_a_market_in_front_is_no_part_of_the_path() -> None:
    assert request_key("/spot/spot/x")[0] == "/spot/x"
    assert request_key("/spotless/x")[0] == "/spotless/x"


@given(st.text())
def test_any_target_has_a_key(target: str) -> None:
    key = request_key(target)
    assert request_key(target) == key
    assert isinstance(plain_request(target), str)


PARAMETERS = st.lists(st.tuples(st.text(min_size=1), st.text()))


@given(parameters=PARAMETERS, data=st.data())
def test_the_order_of_parameters_does_not_matter(
    parameters: list[tuple[str, str]], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(parameters))
    one, two = (f"/x?{urlencode(p, quote_via=quote)}" for p in (parameters, other))
    assert request_key(one) == request_key(two)


@given(path=st.from_regex(r"(/[a-z0-9]+){1,3}", fullmatch=True), parameters=PARAMETERS)
def test_a_plain_request_is_the_same_request(
    path: str, parameters: list[tuple[str, str]]
) -> None:
    target = f"{path}?{urlencode(parameters)}"
    plain = plain_request(target)
    assert plain_request(plain) == plain
    if not path.startswith(("/spot/", "/usdm/")):
        assert request_key(plain) == request_key(target)


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("/api/v3/account?timestamp=1&signature=c0ffee", "/api/v3/account"),
        ('/x?symbols=["A","B"]', '/x?symbols=["A","B"]'),
        ("/x?b=1&a=2", "/x?a=2&b=1"),
        ("/x?", "/x"),
    ],
)
def test_a_plain_request_has_no_secrets_and_one_order(target: str, plain: str) -> None:
    assert plain_request(target) == plain


# Which answer is in force

RECORDED = [
    answer(DEPTH, 10, b"first"),
    answer("/api/v3/depth?symbol=ETHUSDT&limit=5", 15, b"other"),
    answer("/api/v3/depth?limit=5&symbol=BTCUSDT", 20, b"second"),
]


@pytest.mark.parametrize(
    ("now_us", "body"),
    [
        (0, b"first"),
        (10, b"first"),
        (19, b"first"),
        (20, b"second"),
        (99, b"second"),
    ],
)
def test_the_newest_answer_by_then_is_in_force(now_us: int, body: bytes) -> None:
    found = newest_answer(DEPTH, RECORDED, now_us)
    assert found is not None
    assert found.payload == body


def test_of_answers_of_one_moment_the_later_one_is_in_force() -> None:
    recorded = [answer(DEPTH, 10, b"first"), answer(DEPTH, 10, b"second")]
    assert answer_request(DEPTH, recorded, 10).body == b"second"


def test_what_was_never_recorded_has_no_answer() -> None:
    assert newest_answer("/api/v3/depth?symbol=LTCUSDT", RECORDED, 99) is None


def test_a_recorded_answer_is_given_byte_for_byte_with_its_status() -> None:
    body = b'{ "code":-1121 , "msg":"Invalid symbol."}'
    recorded = [RestAnswer(0, DEPTH, 400, body)]
    assert answer_request(f"/spot{DEPTH}", iter(recorded), 0) == RestReply(400, body)


# What needs no recording


@pytest.mark.parametrize("market", ["", "/spot", "/usdm"])
@pytest.mark.parametrize("base", ["/api/v3", "/fapi/v1"])
def test_ping_and_time_answer_on_either_base(market: str, base: str) -> None:
    ping = answer_request(f"{market}{base}/ping", [], NOW_US)
    time = answer_request(f"{market}{base}/time", [], NOW_US)
    assert ping == RestReply(200, b"{}")
    assert time == RestReply(200, b'{"serverTime":1795168800003}')


@pytest.mark.parametrize(
    ("target", "unit", "time"),
    [
        ("/api/v3/time", "MICROSECOND", NOW_US),
        ("/api/v3/time", "microsecond", NOW_US),
        ("/spot/api/v3/time", "MICROSECOND", NOW_US),
        ("/api/v3/time", "MILLISECOND", NOW_US // 1000),
        ("/fapi/v1/time", "MICROSECOND", NOW_US // 1000),
    ],
)
def test_time_is_told_in_microseconds_on_spot(
    target: str, unit: str, time: int
) -> None:
    reply = answer_request(target, [], NOW_US, time_unit=unit)
    assert json.loads(reply.body) == {"serverTime": time}


def test_time_is_the_tape_s_even_if_an_answer_was_recorded() -> None:
    recorded = [answer("/api/v3/time", 0, b'{"serverTime":1}')]
    reply = answer_request("/api/v3/time", recorded, NOW_US)
    assert reply.body == b'{"serverTime":1795168800003}'


# What no cassette has


@pytest.mark.parametrize(
    ("target", "recorded", "message"),
    [
        (
            "/api/v3/klines?symbol=X",
            [],
            "No cassette has an answer to /api/v3/klines?symbol=X; they have no REST "
            "answers.",
        ),
        (
            "/api/v3/ping/",
            [answer("/b"), answer("/a?z=1&y=2"), answer("/b")],
            "No cassette has an answer to /api/v3/ping/; they have /a?y=2&z=1, /b.",
        ),
        (
            "/api/v3/order?symbol=X&signature=c0ffee&timestamp=1",
            [answer("/a"), answer("/api/v3/order?symbol=Y")],
            "No cassette has an answer to /api/v3/order?symbol=X; they have "
            "/api/v3/order?symbol=Y, /a.",
        ),
        (
            "/x",
            [answer(f"/{n:02}") for n in range(13)],
            "No cassette has an answer to /x; they have /00, /01, /02, /03, /04, /05, "
            "/06, /07, /08, /09 and 3 more.",
        ),
    ],
)
def test_what_no_cassette_has_is_not_found(
    target: str, recorded: list[RestAnswer], message: str
) -> None:
    reply = answer_request(target, recorded, NOW_US)
    assert (reply.status, reply.known) == (404, False)
    assert json.loads(reply.body) == {"code": -1000, "msg": message}


@given(target=st.text(), requests=st.lists(st.text()))
def test_an_error_is_json_with_exactly_two_members(
    target: str, requests: list[str]
) -> None:
    reply = answer_request(f"/no/{target}", [answer(r) for r in requests], 0)
    if not reply.known:
        assert list(json.loads(reply.body)) == ["code", "msg"]


def test_answers_are_json_in_utf_8() -> None:
    assert JSON_TYPE == "application/json;charset=UTF-8"
