from __future__ import annotations

import json
import uuid
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_binance_replay.protocols.binance import (
    CLOSE_CODE,
    CLOSE_REASON,
    NO_ID,
    BadRequest,
    Method,
    OnBadRequest,
    Request,
    close_after,
    combined_text,
    format_error,
    format_result,
    parse_request,
    reaction,
    too_many_subscriptions,
)
from pytest_binance_replay.streams import Market

METHODS: tuple[Method, ...] = get_args(Method)
IDS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.from_regex(r"(?a:[A-Za-z0-9-]){0,36}", fullmatch=True)
    | st.uuids().map(str)
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(METHODS) | JSON_VALUES,
        "params": st.lists(st.sampled_from(["a@trade", "combined", True]))
        | JSON_VALUES,
        "id": IDS | JSON_VALUES,
        "other": JSON_VALUES,
    },
)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def request_text(method: object, *, request_id: object = 1, **members: object) -> str:
    return json.dumps({"method": method, **members, "id": request_id})


def bad_request(text: str) -> BadRequest:
    bad = parse_request(text)
    assert isinstance(bad, BadRequest)
    return bad


def code_and_msg(text: str) -> tuple[int, str]:
    bad = bad_request(text)
    return bad.code, bad.msg


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        (
            '{"method":"SUBSCRIBE","params":["ltcbtc@trade","ltcbtc@depth5"],"id":11}',
            Request("SUBSCRIBE", ("ltcbtc@trade", "ltcbtc@depth5"), 11),
        ),
        (
            '{"method":"UNSUBSCRIBE","params":["ltcbtc@depth5"],"id":12}',
            Request("UNSUBSCRIBE", ("ltcbtc@depth5",), 12),
        ),
        (
            '{"method":"LIST_SUBSCRIPTIONS","id":13}',
            Request("LIST_SUBSCRIPTIONS", (), 13),
        ),
        (
            '{"method":"SET_PROPERTY","params":["combined",true],"id":14}',
            Request("SET_PROPERTY", ("combined", True), 14),
        ),
        (
            '{"method":"GET_PROPERTY","params":["combined"],"id":15}',
            Request("GET_PROPERTY", ("combined",), 15),
        ),
        (
            ' { "id" : "x" , "extra":[{}], "params":[],\n"method":"SUBSCRIBE"}\n',
            Request("SUBSCRIBE", (), "x"),
        ),
        (
            '{"method":"LIST_SUBSCRIPTIONS","params":["a@trade"],"id":null}',
            Request("LIST_SUBSCRIPTIONS", (), None),
        ),
        (
            '{"method":"SUBSCRIBE","params":["a@trade","a@trade"],"id":1,"id":2}',
            Request("SUBSCRIBE", ("a@trade", "a@trade"), 2),
        ),
    ],
)
def test_every_method_is_understood(text: str, request_: Request) -> None:
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    "name",
    [
        *("btcusdt@trade", "BTCUSDT@trade", "nosuch@nonsense", "a@depth@50ms"),
        *("!ticker@arr", "!anything", "tradingSession", "币安@trade", "a,b@trade,c@x"),
    ],
)
def test_a_well_formed_name_is_accepted_whether_it_exists_or_not(name: str) -> None:
    text = request_text("SUBSCRIBE", params=[name])
    assert parse_request(text) == Request("SUBSCRIBE", (name,), 1)


@pytest.mark.parametrize("method", ["SUBSCRIBE", "UNSUBSCRIBE"])
@pytest.mark.parametrize(
    "name",
    [
        "not a stream",
        "@@@x",
        "ltcbtc",
        "",
        "a@",
        "a@b@",
        "a!b@x",
        "!",
        7,
        None,
        ["a@b"],
    ],
)
def test_one_malformed_name_spoils_the_whole_request(method: str, name: object) -> None:
    bad = bad_request(request_text(method, params=["btcusdt@trade", name]))
    assert bad == BadRequest(2, "Invalid request: invalid stream", 1, "stream")


@pytest.mark.parametrize(
    ("params", "code", "msg"),
    [
        (["other", True], 0, "Unknown property"),
        (["Combined", True], 0, "Unknown property"),
        (["other"], 0, "Unknown property"),
        (["combined", "true"], 1, "Invalid value type: expected Boolean"),
        (["combined", 1], 1, "Invalid value type: expected Boolean"),
        (["combined", None], 1, "Invalid value type: expected Boolean"),
        (["combined"], 1, "Invalid value type: expected Boolean"),
        ([], 2, "Invalid request: property name must be a string"),
        ([True, "combined"], 2, "Invalid request: property name must be a string"),
        ({"combined": True}, 2, "Invalid request: property name must be a string"),
        (None, 2, "Invalid request: property name must be a string"),
        (["combined", True, True], 2, "Invalid request: too many parameters"),
        ([1, 2, 3], 2, "Invalid request: too many parameters"),
    ],
)
def test_what_cannot_be_set_is_refused(params: object, code: int, msg: str) -> None:
    bad = bad_request(request_text("SET_PROPERTY", params=params))
    assert bad == BadRequest(code, msg, 1, "other")


@pytest.mark.parametrize(
    ("params", "code", "msg"),
    [
        (["other"], 0, "Unknown property"),
        ([], 2, "Invalid request: property name must be a string"),
        ([None], 2, "Invalid request: property name must be a string"),
        ("combined", 2, "Invalid request: property name must be a string"),
        (["combined", True], 2, "Invalid request: too many parameters"),
    ],
)
def test_what_cannot_be_got_is_refused(params: object, code: int, msg: str) -> None:
    bad = bad_request(request_text("GET_PROPERTY", params=params))
    assert bad == BadRequest(code, msg, 1, "other")


@pytest.mark.parametrize("method", ["SUBSCRIBE", "UNSUBSCRIBE"])
@pytest.mark.parametrize(
    "members", [{}, {"params": None}, {"params": "a@trade"}, {"params": {}}]
)
def test_streams_must_be_an_array(method: str, members: dict[str, object]) -> None:
    bad = bad_request(request_text(method, **members))
    assert bad == BadRequest(2, "Invalid request: streams must be an array", 1, "other")


@pytest.mark.parametrize("method", ["SET_PROPERTY", "GET_PROPERTY"])
def test_a_property_needs_parameters(method: str) -> None:
    msg = "Invalid request: property name must be a string"
    assert code_and_msg(request_text(method)) == (2, msg)


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        *(("FOO", "FOO"), ("subscribe", "subscribe"), ("", "")),
        *((7, "7"), (None, "null"), (True, "true"), (["SUBSCRIBE"], '["SUBSCRIBE"]')),
    ],
)
def test_an_unknown_method_is_told_the_known_ones(method: object, shown: str) -> None:
    bad = bad_request(request_text(method))
    assert bad == BadRequest(
        2,
        f"Invalid request: unknown variant `{shown}`, expected one of `SUBSCRIBE`, "
        "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`",
        1,
        "other",
    )


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"params":["a@trade"],"id":1}', 1, 29),
        ("{}", 1, 2),
        ("{} \n", 1, 2),
        ("{\n}", 2, 1),
        ("[1]", 1, 3),
        ("7", 1, 1),
        ("null", 1, 4),
        ('"SUBSCRIBE"', 1, 11),
    ],
)
def test_a_missing_method_is_missed_where_the_object_ends(
    text: str, line: int, column: int
) -> None:
    place = f"line {line} column {column}"
    msg = f"Invalid request: missing field `method` at {place}"
    assert code_and_msg(text) == (2, msg)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "expected value at line 1 column 1"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ('{"method":"SUBSCRIBE",}', "trailing comma at line 1 column 23"),
        ('{"method":"SUBSCRIBE","params":["a@tr', "EOF while parsing a string at"),
        ('{"id":NaN}', "expected value at line 1 column 7"),
        ('{"id":"\\ud800"}', "lone leading surrogate in hex escape at"),
        ("[" * 100_000, "recursion limit exceeded at line 1 column 128"),
    ],
)
def test_what_is_not_json_is_told_where_it_fails(text: str, reason: str) -> None:
    bad = bad_request(text)
    assert bad.msg.startswith(f"Invalid JSON: {reason}")
    assert (bad.code, bad.id, bad.fault) == (3, NO_ID, "json")


@given(IDS)
@example(-(2**63))
@example(2**63 - 1)
@example("")
@example("z" * 36)
@example(str(uuid.UUID(int=7)))
def test_an_id_comes_back_with_its_type(request_id: int | str | None) -> None:
    text = request_text("LIST_SUBSCRIPTIONS", request_id=request_id)
    request = parse_request(text)
    assert isinstance(request, Request)
    assert type(request.id) is type(request_id)
    assert format_result([], request.id) == compact({"result": [], "id": request_id})


@pytest.mark.parametrize(
    "request_id",
    [
        *(2**63, -(2**63) - 1, 10**100, 1.0, 1.5, 1e300, True, False),
        *("z" * 37, "a b", "a_b", "é", "\uff17", {}, [], [1]),
    ],
)
def test_other_ids_are_refused_and_not_repeated(request_id: object) -> None:
    bad = bad_request(request_text("LIST_SUBSCRIPTIONS", request_id=request_id))
    msg = "Invalid request: request ID must be an unsigned integer"
    assert bad == BadRequest(2, msg, NO_ID, "other")


def test_an_id_of_more_digits_than_python_reads_is_refused() -> None:
    text = '{"method":"LIST_SUBSCRIPTIONS","id":' + "9" * 10_000 + "}"
    msg = "Invalid request: request ID must be an unsigned integer"
    assert code_and_msg(text) == (2, msg)


def test_a_missing_id_is_refused() -> None:
    bad = bad_request('{"method":"SUBSCRIBE","params":["a@trade"]}')
    msg = "Invalid request: request ID must be an unsigned integer"
    assert bad == BadRequest(2, msg, NO_ID, "other")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"method":"FOO","id":1.5,"params":7', "Invalid JSON"),
        ('{"id":1.5,"params":7}', "missing field"),
        ('{"method":"FOO","id":1.5,"params":7}', "unknown variant"),
        ('{"method":"SUBSCRIBE","id":1.5,"params":7}', "request ID"),
        ('{"method":"SUBSCRIBE","id":1,"params":7}', "streams must"),
    ],
)
def test_the_first_fault_wins(text: str, words: str) -> None:
    assert words in bad_request(text).msg


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"id":7', 7),
        ('"id":null', None),
        ('"id":"7"', "7"),
        ('"id":[7]', NO_ID),
        ('"other":7', NO_ID),
    ],
)
@pytest.mark.parametrize("method", ['"method":"FOO",', ""])
def test_errors_repeat_the_id_if_there_is_one(
    members: str, expected: object, method: str
) -> None:
    assert bad_request("{" + method + members + "}").id == expected


@given(
    MEMBERS.map(json.dumps)
    | st.text()
    | st.text(st.characters())
    | JSON_VALUES.map(json.dumps)
)
def test_any_text_gets_a_reply_of_compact_json(text: str) -> None:
    parsed = parse_request(text)
    if isinstance(parsed, Request):
        reply = format_result(list(parsed.params), parsed.id)
    else:
        reply = format_error(parsed.code, parsed.msg, parsed.id)
    assert compact(json.loads(reply)) == reply
    assert reply.encode().decode() == reply


@pytest.mark.parametrize(
    ("result", "request_id", "text"),
    [
        (None, 11, '{"result":null,"id":11}'),
        (None, None, '{"result":null,"id":null}'),
        (True, "7", '{"result":true,"id":"7"}'),
        (False, -(2**63), '{"result":false,"id":-9223372036854775808}'),
        ([], 1, '{"result":[],"id":1}'),
        (["b@x", "币@y"], 1, '{"result":["b@x","币@y"],"id":1}'),
    ],
)
def test_a_result_stands_before_the_id(
    result: object, request_id: int | str | None, text: str
) -> None:
    assert format_result(result, request_id) == text


def test_an_error_stands_in_an_object_of_its_own() -> None:
    inner = '{"error":{"code":3,"msg":"say `\\"`"}'
    assert format_error(3, 'say `"`', NO_ID) == inner + "}"
    assert format_error(3, 'say `"`', None) == inner + ',"id":null}'
    assert format_error(3, 'say `"`', "7") == inner + ',"id":"7"}'


def test_too_many_subscriptions_have_a_code_of_their_own() -> None:
    bad = too_many_subscriptions(5)
    assert bad == BadRequest(4, "Too many subscriptions", 5, "limit")


@given(st.from_regex(r"[^\s@]{1,9}@[a-z]{1,9}", fullmatch=True), st.binary())
@example('a"b\\@trade', b"")
def test_the_wrapper_leaves_the_payload_alone(name: str, payload: bytes) -> None:
    wrapped = combined_text(name.encode(), payload)
    start = f'{{"stream":{compact(name)},"data":'.encode()
    assert wrapped == start + payload + b"}"


def test_the_wrapper_has_no_spaces() -> None:
    assert (
        combined_text(b"btcusdt@kline_1m", b'{"e":"kline", "E":1}')
        == b'{"stream":"btcusdt@kline_1m","data":{"e":"kline", "E":1}}'
    )


NOT_JSON = bad_request("hello")
NO_STREAM = bad_request(request_text("SUBSCRIBE", params=["ltcbtc"]))
TOO_MANY = too_many_subscriptions(1)
OTHERS = [
    bad_request(request_text("FOO")),
    bad_request(request_text("SUBSCRIBE", request_id=1.5)),
    bad_request(request_text("SUBSCRIBE", params=7)),
    bad_request(request_text("SET_PROPERTY", params=["other", True])),
    bad_request("{}"),
]


@pytest.mark.parametrize("bad", [NOT_JSON, NO_STREAM, TOO_MANY])
@pytest.mark.parametrize(
    ("market", "option", "expected"),
    [
        ("spot", None, "reply"),
        ("usdm", None, "reply_close"),
        ("spot", "reply_close", "reply_close"),
        ("usdm", "reply", "reply"),
        ("spot", "close", "close"),
        ("usdm", "close", "close"),
    ],
)
def test_the_market_or_the_option_decides_what_a_bad_request_does(
    bad: BadRequest, market: Market, option: OnBadRequest | None, expected: str
) -> None:
    assert reaction(bad, market, on_bad_request=option) == expected
    closes = expected != "reply"
    assert close_after(bad, market, on_bad_request=option) is closes


@pytest.mark.parametrize("bad", OTHERS)
@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("option", [None, *get_args(OnBadRequest)])
def test_other_faults_never_close(
    bad: BadRequest, market: Market, option: OnBadRequest | None
) -> None:
    assert reaction(bad, market, on_bad_request=option) == "reply"
    assert not close_after(bad, market, on_bad_request=option)


def test_the_close_is_a_policy_violation_with_a_short_reason() -> None:
    assert (CLOSE_CODE, CLOSE_REASON) == (1008, "Invalid request")
