from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
