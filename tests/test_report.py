from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.journal import ClientRecord, ClientRequest, RestRequest
from pytest_binance_replay.report import WIDTH, burst_advice, describe
from pytest_binance_replay.tape import Position

NOTHING: dict[str, Any] = {
    "cassette": "recordings/dip.jsonl",
    "position": Position(0, 1795168800003123),
    "speed": "auto",
    "clients": (),
    "requests": (),
    "missing": (),
    "last": (),
}
CLIENT = ClientRecord(1, "/ws", "raw", subscriptions=("btcusdt@trade",))
SUBSCRIBE = '{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}'


def report(**parts: object) -> list[str]:
    return describe(**{**NOTHING, **parts}).splitlines()


def test_a_replay_that_nobody_used_says_so() -> None:
    assert report() == [
        "cassette: recordings/dip.jsonl",
        "position: frame 0, recorded 2026-11-20T10:00:00.003123Z",
        "speed: auto",
        "no client ever connected",
    ]


def test_a_typical_failure_shows_who_asked_what_and_what_came() -> None:
    replies = ('{"result":null,"id":1}',)
    client = replace(
        CLIENT,
        requests=(ClientRequest(1, SUBSCRIBE, replies),),
        sent={"btcusdt@trade": 2},
    )
    frame = Frame(1795168800003123, "btcusdt@trade", b'{"e":"trade"}')
    lines = report(
        position=Position(2, None),
        speed=10,
        clients=[client],
        requests=[
            RestRequest("/api/v3/time", "", 200),
            RestRequest("/api/v3/depth", "symbol=BTCUSDT", 404),
        ],
        missing=["No cassette has an answer to '/api/v3/depth?symbol=BTCUSDT'."],
        last=[frame, replace(frame, payload=b"[]")],
    )
    assert lines == [
        "cassette: recordings/dip.jsonl",
        "position: frame 2, at the end",
        "speed: 10",
        "client 1 (/ws): btcusdt@trade; 2 frames sent",
        "  sent 2 of btcusdt@trade",
        f'  {SUBSCRIBE} -> {{"result":null,"id":1}}',
        "GET /api/v3/time -> 200",
        "GET /api/v3/depth?symbol=BTCUSDT -> 404",
        "missing: No cassette has an answer to '/api/v3/depth?symbol=BTCUSDT'.",
        "last frames released:",
        '  2026-11-20T10:00:00.003123Z btcusdt@trade {"e":"trade"}',
        "  2026-11-20T10:00:00.003123Z btcusdt@trade []",
    ]


def test_a_burst_before_a_departure_comes_with_advice() -> None:
    client = replace(CLIENT, connected=False, close_code=1000, burst=50)
    assert report(clients=[client])[-2:] == [
        "  client 1 went away right after a burst of 50 frames: its queue may have "
        "overflowed. Slow the tape",
        "    with speed='auto' or speed=1, or have the bot read faster.",
    ]
    assert burst_advice(client).startswith("client 1 went away right after a burst")


def test_a_signature_is_not_shown() -> None:
    request = RestRequest("/api/v3/account", "timestamp=1&signature=c0ffee", 404)
    assert report(requests=[request])[-1] == "GET /api/v3/account -> 404"


def test_a_message_without_an_answer_is_shown() -> None:
    client = replace(CLIENT, requests=(ClientRequest(1, "b'x'", ()),))
    assert report(clients=[client])[-1] == "  b'x' -> no answer"


def test_a_message_of_many_lines_is_shown_on_one() -> None:
    request = ClientRequest(1, '{\n  "id": 1\n}', ("no",))
    lines = report(clients=[replace(CLIENT, requests=(request,))])
    assert lines[-1] == '  { "id": 1 } -> no'


@pytest.mark.parametrize(
    ("asked", "answer", "line"),
    [
        ("a" * 200, "b", f"  {'a' * 90}... -> b"),
        ("a", "b" * 200, f"  a -> {'b' * 90}..."),
        ("a" * 200, "b" * 200, f"  {'a' * 31}... -> {'b' * 57}..."),
        (" " * 1000 + "a", "b", "  ... -> b"),
    ],
)
def test_long_messages_are_cut_to_the_width(asked: str, answer: str, line: str) -> None:
    client = replace(CLIENT, requests=(ClientRequest(1, asked, (answer,)),))
    assert report(clients=[client])[-1] == line


def test_long_payloads_are_cut_to_the_width() -> None:
    frame = Frame(0, "btcusdt@depth", b"[" * 1_000_000)
    (*_, line) = report(last=[frame])
    assert line.startswith("  1970-01-01T00:00:00.000000Z btcusdt@depth [[[[")
    assert line.endswith("[...")
    assert len(line) == WIDTH


def test_a_long_stream_name_leaves_some_of_the_payload() -> None:
    (*_, line) = report(last=[Frame(0, "x" * 100, b"0123456789" * 9)])
    assert line.endswith("x 01234567890123456...")


def test_a_payload_that_is_not_utf_8_is_shown_as_far_as_it_goes() -> None:
    assert report(last=[Frame(0, "x@y", b'"\xff"')])[-1].endswith('x@y "�"')


def test_of_many_things_the_newest_are_shown_and_the_others_counted() -> None:
    requests = tuple(ClientRequest(11, str(n), ("ok",)) for n in range(7))
    sent = {f"s{n}@trade": n + 1 for n in range(14)}
    clients = [replace(CLIENT, number=n) for n in range(1, 11)]
    lines = report(
        clients=[*clients, replace(CLIENT, number=11, requests=requests, sent=sent)],
        requests=[RestRequest(f"/{n}", "", 200) for n in range(6)],
        missing=[f"thing {n}" for n in range(13)],
    )
    assert lines[3:5] == [
        "(1 earlier client not shown)",
        "client 2 (/ws): btcusdt@trade; 0 frames sent",
    ]
    rest = lines.index("client 11 (/ws): btcusdt@trade; 105 frames sent")
    assert lines[rest + 1].startswith("  sent 14 of s13@trade, 13 of s12@trade,")
    assert lines[rest + 2].endswith("and of 6 more streams")
    assert lines[rest + 3 : rest + 5] == [
        "  (2 earlier messages not shown)",
        "  2 -> ok",
    ]
    assert lines[rest + 9 : rest + 11] == [
        "(1 earlier request over HTTP not shown)",
        "GET /1 -> 200",
    ]
    assert lines[-2:] == ["missing: thing 9", "(3 more things missing)"]


TEXTS = st.text(max_size=400)


@given(
    path=TEXTS,
    asked=TEXTS,
    answer=TEXTS,
    query=TEXTS,
    payload=st.binary(max_size=400),
)
def test_no_line_is_wider_than_the_report_unless_a_word_is(
    path: str, asked: str, answer: str, query: str, payload: bytes
) -> None:
    client = replace(CLIENT, requests=(ClientRequest(1, asked, (answer,)),))
    text = describe(
        **{
            **NOTHING,
            "clients": [client],
            "requests": [RestRequest("/x", query, 200)],
            "missing": [path],
            "last": [Frame(0, "btcusdt@trade", payload)],
        }
    )
    words = max(map(len, path.split()), default=0)
    assert max(map(len, text.split("\n"))) <= max(WIDTH, words + len("missing: "))
