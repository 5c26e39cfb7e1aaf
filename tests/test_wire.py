from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as SocketFrame
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol, State

from pytest_binance_replay.wire import Block, Form, View, stream_key, text_frame

TRADE = b"btcusdt@trade"
DEPTH = b"btcusdt@depth"
TICKER = b"ethusdt@ticker"
FOREIGN = "比特币usdt@trade".encode()

TRADE_EVENT = (
    b'{"e":"trade","E":1700000000123,"s":"BTCUSDT","t":7,"p":"1.10","q":"2.0",'
    b'"T":1700000000120,"m":true,"M":true}'
)
TRADE_IN_MICROSECONDS = TRADE_EVENT.replace(b"0123,", b"0123000,").replace(
    b"0120,", b"0120000,"
)
NO_TRADE = b'{"e":"trade","p":"1.10"}'

keys = st.sampled_from([TRADE, DEPTH, TICKER, FOREIGN])
payloads = st.sampled_from(
    [b"{}", b'{"p":"1.10"}', '{"s": "é"}'.encode(), b"[%b1]" % (b"1," * 70_000)]
)
rows = st.lists(st.tuples(keys, payloads), max_size=12)
forms = st.sampled_from([Form.RAW, Form.COMBINED])
views = st.builds(View, st.just("spot"), st.frozensets(keys), forms)


def block_of(rows: list[tuple[bytes, bytes]], first: int = 0) -> Block:
    times_us = list(range(len(rows)))
    names = [key for key, _ in rows]
    return Block(first, times_us, times_us, names, [payload for _, payload in rows])


def texts_in(data: bytes | memoryview) -> list[bytes]:
    """Read bytes as the websockets library does on a client's side."""
    protocol = Protocol(CLIENT, state=State.OPEN, max_size=None)
    protocol.receive_data(bytes(data))
    texts = []
    for frame in protocol.events_received():
        assert isinstance(frame, SocketFrame)
        assert (frame.fin, frame.opcode) == (True, Opcode.TEXT)
        texts.append(bytes(frame.data))
    return texts


def shown(block: Block, view: View) -> list[bytes]:
    return texts_in(block.wire(view).cut(0, len(block)))


def expected_text(key: bytes, payload: bytes, form: Form) -> bytes:
    if form is Form.RAW:
        return payload
    return b'{"stream":"%b","data":%b}' % (key, payload)


# One frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_shortest_head_of_its_size(size: int, head: bytes) -> None:
    text = b"x" * size
    assert text_frame(text) == head + text
    assert texts_in(text_frame(text)) == [text]


@given(st.integers(0, 200_000))
def test_a_frame_is_what_the_websockets_library_sends(size: int) -> None:
    text = b"x" * size
    assert text_frame(text) == SocketFrame(Opcode.TEXT, text).serialize(mask=False)


@pytest.mark.parametrize(
    ("name", "prefix", "key"),
    [
        ("btcusdt@trade", b"", b"btcusdt@trade"),
        ("btcusdt@trade", b"usdm/", b"usdm/btcusdt@trade"),
        ("币@trade", b"spot/", "spot/币@trade".encode()),
    ],
)
def test_a_stream_key_is_the_name_behind_the_prefix_of_its_market(
    name: str, prefix: bytes, key: bytes
) -> None:
    assert stream_key(name, prefix) == key
    assert View("spot", prefix=prefix).name(key) == name.encode()


# A block in the forms


@given(rows, views)
def test_a_view_shows_what_it_holds_byte_for_byte_in_order(
    rows: list[tuple[bytes, bytes]], view: View
) -> None:
    wanted = [
        expected_text(key, payload, view.form)
        for key, payload in rows
        if key in view.keys
    ]
    assert shown(block_of(rows), view) == wanted


@given(rows, views, st.data())
def test_any_part_of_a_block_is_the_frames_of_that_part(
    rows: list[tuple[bytes, bytes]], view: View, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    cut = block_of(rows).wire(view).cut(start, stop)
    assert cut == block_of(rows[start:stop]).wire(view).cut(0, stop - start)


@given(rows, views, st.data())
def test_counts_are_those_of_the_frames_in_the_same_part(
    rows: list[tuple[bytes, bytes]], view: View, data: st.DataObject
) -> None:
    block = block_of(rows)
    for _ in range(2):
        start = data.draw(st.integers(0, len(rows)))
        stop = data.draw(st.integers(start, len(rows)))
        wanted = Counter(key for key, _ in rows[start:stop] if key in view.keys)
        assert block.wire(view).count(start, stop) == wanted
    whole = Counter(key for key, _ in rows if key in view.keys)
    assert block.wire(view).count(0, len(rows)) == whole


def test_frames_that_a_view_does_not_hold_cost_no_bytes() -> None:
    block = block_of([(TRADE, b"{}"), (DEPTH, b"[]"), (TRADE, b"{}")])
    wire = block.wire(View("spot", frozenset({DEPTH})))
    assert bytes(wire.cut(0, 3)) == b"\x81\x02[]"
    assert not wire.cut(0, 1)
    assert not wire.cut(2, 3)
    assert not block.wire(View("spot")).cut(0, 3)


def test_equal_views_share_one_rendering() -> None:
    block = block_of([(TRADE, TRADE_EVENT)])
    wire = block.wire(View("spot", frozenset({TRADE, DEPTH})))
    assert block.wire(View("spot", frozenset({DEPTH, TRADE}))) is wire
    assert block.wire(View("spot", frozenset({TRADE}))) is not wire
    assert wire.cut(0, 1) is wire.cut(0, 1)


def test_a_combined_event_names_its_stream_without_the_market() -> None:
    view = View("usdm", frozenset({b"usdm/" + FOREIGN}), Form.COMBINED, prefix=b"usdm/")
    block = block_of([(b"usdm/" + FOREIGN, b"{}"), (b"spot/" + FOREIGN, b"{}")])
    assert shown(block, view) == [b'{"stream":"%b","data":{}}' % FOREIGN]


@pytest.mark.parametrize("form", [Form.RAW, Form.COMBINED])
def test_times_are_in_microseconds_for_who_asked_so(form: Form) -> None:
    block = block_of([(TRADE, TRADE_EVENT), (b"who@knows", TRADE_EVENT)])
    view = View("spot", frozenset(block.keys), form, microseconds=True)
    assert shown(block, view) == [
        expected_text(TRADE, TRADE_IN_MICROSECONDS, form),
        expected_text(b"who@knows", TRADE_EVENT, form),  # of no known kind
    ]


def test_times_are_in_milliseconds_for_who_asked_so() -> None:
    block = block_of([(TRADE, TRADE_IN_MICROSECONDS)])
    view = View("spot", frozenset({TRADE}), microseconds=False)
    assert shown(block, view) == [TRADE_EVENT]


def test_views_that_differ_in_the_unit_of_time_do_not_share() -> None:
    block = block_of([(TRADE, TRADE_EVENT)])
    view = View("spot", frozenset({TRADE}))
    converted = View("spot", frozenset({TRADE}), microseconds=True)
    assert shown(block, converted) == [TRADE_IN_MICROSECONDS]
    assert shown(block, view) == [TRADE_EVENT]


def test_the_simple_form_is_readable() -> None:
    key = b"spot/" + TRADE
    block = block_of([(key, TRADE_EVENT)])
    view = View("spot", frozenset({key}), Form.SIMPLE, prefix=b"spot/")
    (text,) = shown(block, view)
    event = json.loads(text)
    assert event["event"] == "trade"
    assert event["price"] == 1.1


def test_what_the_simple_form_cannot_show_is_left_out_of_it_alone() -> None:
    block = block_of([(TRADE, NO_TRADE), (TRADE, TRADE_EVENT), (TRADE, b"[]")])
    simple = View("spot", frozenset({TRADE}), Form.SIMPLE)
    assert len(shown(block, simple)) == 1
    assert block.wire(simple).count(0, 3) == {TRADE: 1}
    assert not block.wire(simple).cut(0, 1)
    assert shown(block, View("spot", simple.keys)) == block.payloads


def test_what_is_written_to_a_socket_does_not_copy_the_block() -> None:
    block = block_of([(TRADE, TRADE_EVENT)] * 3)
    cut = block.wire(View("spot", frozenset({TRADE}))).cut(1, 3)
    assert isinstance(cut, memoryview)
    assert cut.readonly


# Parts of blocks


@given(rows, st.integers(0, 1000), st.data())
def test_a_split_block_is_the_same_frames_in_two(
    rows: list[tuple[bytes, bytes]], first: int, data: st.DataObject
) -> None:
    block = block_of(rows, first)
    number = data.draw(st.integers(first, block.end))
    before, after = block.split(number)
    assert (before.first, before.end) == (first, number)
    assert (after.first, after.end) == (number, block.end)
    for name in ("times_us", "due_us", "keys", "payloads"):
        assert getattr(before, name) + getattr(after, name) == getattr(block, name)
