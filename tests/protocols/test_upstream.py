from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame, format_line, is_payload, parse_line
from pytest_binance_replay.protocols.upstream import (
    Message,
    Reply,
    read_message,
    subscribe_text,
)


def test_a_subscription_is_written_as_the_exchange_documents_it() -> None:
    text = subscribe_text(["btcusdt@trade", "币usdt@depth"], 7)
    assert text == (
        '{"method":"SUBSCRIBE","params":["btcusdt@trade","币usdt@depth"],"id":7}'
    )


@pytest.mark.parametrize(
    ("raw", "stream", "payload"),
    [
        (b'{"stream":"a@trade","data":{"p":1.10}}', b"a@trade", b'{"p":1.10}'),
        (b'{"stream":"!t@arr","data":[{"a": 1}]}', b"!t@arr", b'[{"a": 1}]'),
        (b'{"stream":"a@x","data":{"k":{"t":1, "T":2}}}', b"a@x", None),
        (b' { "data" : {"p" : "1"} , "stream":"a@b" } ', b"a@b", b'{"p" : "1"}'),
        (b'{"stream":"a@b","data":{"p":1},"more":{"x":2}}', b"a@b", b'{"p":1}'),
        (b'{"stream":"a@b","data":{"p":1}}\n', b"a@b", b'{"p":1}'),
        (b'{"stream":"a@b","data":7}', b"a@b", b"7"),
        ('{"stream":"币@b","data":{}}'.encode(), "币@b".encode(), b"{}"),
        (b'{"stream":"\\u5e01@b","data":{}}', "币@b".encode(), b"{}"),
        (b'{"e":"serverShutdown","E":1}', b"!serverShutdown", None),
    ],
)
def test_a_payload_is_cut_out_as_it_stands(
    raw: bytes, stream: bytes, payload: bytes | None
) -> None:
    message = read_message(raw)
    assert isinstance(message, Message)
    assert message.stream == stream
    assert message.payload in raw
    assert payload in {None, message.payload}
    assert json.loads(message.payload) is not None


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b'{"result":null,"id":3}', Reply(3, None)),
        (b'{"id":3,"result":[]}', Reply(3, None)),
        (b'{"result":null,"id":"3"}', Reply(None, None)),
        (b'{"result":null,"id":true}', Reply(None, None)),
        (b'{"error":{"code":2,"msg":"no"},"id":1}', Reply(1, "no")),
        (b'{"error":{"code":2}}', Reply(None, "{'code': 2}")),
        (b'{"error":"no"}', Reply(None, "no")),
    ],
)
def test_an_answer_is_told_from_a_message(raw: bytes, reply: Reply) -> None:
    assert read_message(raw) == reply


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"hello", b"\xff\x00", b"[]", b"7", b'{"e":"trade"}'),
        b'{"stream":"a@b","data":{"p":NaN}}',
        b'{"stream":"a@b","data":{"p":\n1}}',
        b'{"stream":"a@b","data":{"p":1}',
        b'{"stream":"a@b","data":{"p":1}}}',
        b'{"stream":"a@b","data":}',
        b'{"stream":"a@b"}',
        b'{"mark":"reconnected"}',
        b'{"stream":"a@b","data":{"p":"\xff"}}',
        b'{"stream":"a@b","data":{"p":"\x80"}}',
        b'{"stream":"a@b","data":{"p":"\x1f"}}',
        b'{"stream":"a@b","data":{"p":"\\"}}',
        b'{"stream":"a@b","data":{"p":01}}',
        b'{"stream":"a@b","data":{"p":1.}}',
        b'{"stream":"a@b","data":{"p":-}}',
        b'{"stream":"a@b","data":{"p":1,}}',
        b'{"stream":"a@b","data":{"p":[1,]}}',
        b'{"stream":"a@b","data":{"p":[["1","2"],]}}',
        b'{"stream":"a@b","data":{,"p":1}}',
        b'{"stream":"a@b","data":{"p"}}',
        b'{"stream":"a@b","data":[{"p":1}{"p":1}]}',
        b'{"stream":"a@b","data":{"p":%b}}' % (b"1" * 5_000),
        b"[" * 100_000,
    ],
)
def test_all_else_is_neither(raw: bytes) -> None:
    assert read_message(raw) is None


@given(st.binary() | st.text().map(str.encode))
def test_nothing_that_comes_is_an_error(raw: bytes) -> None:
    assert isinstance(read_message(raw), Message | Reply | None)


payloads = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    stream=st.sampled_from(["btcusdt@trade", "!ticker@arr", "币usdt@depth@100ms"]),
    value=st.lists(payloads) | st.dictionaries(st.text(), payloads, max_size=3),
    spaced=st.booleans(),
)
def test_what_was_wrapped_comes_out_again(
    stream: str, value: object, spaced: bool
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    payload = json.dumps(value, separators=separators).encode()
    raw = b'{"stream":%b,"data":%b}' % (
        json.dumps(stream, ensure_ascii=False).encode(),
        payload,
    )
    assert read_message(raw) == Message(stream.encode(), payload)


EVENTS = [
    b'{"e":"trade","E":1,"s":"A","p":"1.10","q":"-2","m":true,"M":false,"X":null}',
    b'{"e":"depthUpdate","U":1,"u":2,"pu":0,"b":[["1.1","2"],["1.0","0"]],"a":[]}',
    b'{"e":"kline","k":{"t":1,"o":"1.0","x":false},"rate":-0.12}',
    b'{"lastUpdateId":160,"bids":[["1","2",[]]],"asks":[]}',
    b'[{"s":"A","c":"1"},{"s":"B","c":"2"}]',
    b"[]",
]
SCRAPS = [
    b"",
    *(bytes([c]) for c in b'"\\,:{}[]-.01eNtn \t\n\x1f\x7f\xff'),
    b"1e5",
    b'""',
]


def variants(text: bytes) -> Iterator[bytes]:
    """Texts with a scrap put in anywhere, or in the place of a byte."""
    for at in range(len(text) + 1):
        for scrap in SCRAPS:
            yield text[:at] + scrap + text[at:]
            yield text[:at] + scrap + text[at + 1 :]


@pytest.mark.parametrize("event", EVENTS)
def test_a_message_is_one_line_of_json_whatever_is_broken_in_it(event: bytes) -> None:
    for raw in variants(b'{"stream":"a@b","data":%b}' % event):
        message = read_message(raw)
        if not isinstance(message, Message):
            continue
        assert is_payload(message.payload)
        if raw.isascii():
            line = format_line(Frame(0, message.stream.decode(), message.payload))
            assert parse_line(line) == parse_line(b'{"t":0,' + raw.strip()[1:])


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_json_is_a_message_whatever_is_odd_in_it(event: bytes) -> None:
    for payload in filter(is_payload, variants(event)):
        message = read_message(b'{"stream":"a@b","data":%b}' % payload)
        assert message == Message(b"a@b", payload)
