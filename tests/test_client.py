from __future__ import annotations

from itertools import repeat

import pytest

from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.client import Client
from pytest_binance_replay.protocols.address import Address, Dialect, parse_address
from pytest_binance_replay.wire import Block, Form

KEY = b"btcusdt@trade"
WHOLE = b'{"e":"trade","E":1,"s":"X","p":"1","q":"2","T":1,"m":true}'
SPOT = Catalogue({"spot": {KEY.decode()}})


def make_client(target: str = "/ws") -> Client:
    address = parse_address(target)
    assert isinstance(address, Address)
    client = Client(1, address, "spot", b"", target)
    client.names = {KEY.decode(): (KEY,)}
    client.refresh()
    return client


def make_block(*payloads: bytes, key: bytes = KEY) -> Block:
    times_us = list(range(len(payloads)))
    return Block(0, times_us, times_us, [key] * len(payloads), list(payloads))


def send(client: Client, frames: int, now_us: int) -> None:
    block = make_block(*repeat(WHOLE, frames))
    client.note_passed(block, 0, frames, now_us)


def test_form_and_view_follow_what_a_client_speaks() -> None:
    client = make_client("/stream")
    forms = [client.form]
    client.combined = False
    forms.append(client.form)
    client.dialect = Dialect.SIMPLE
    forms.append(client.form)
    client.refresh()
    assert forms == [Form.COMBINED, Form.RAW, Form.SIMPLE]
    assert client.view.form is Form.SIMPLE


def test_frames_are_counted_by_stream() -> None:
    client = make_client()
    client.note_passed(make_block(b"1", b"2", b"3"), 1, 3, now_us=0)
    client.note_passed(make_block(b"1", key=b"other@trade"), 0, 1, now_us=0)
    assert client.record(SPOT, 0).sent == {"btcusdt@trade": 2}


def test_frames_that_the_simple_protocol_cannot_show_are_counted_apart() -> None:
    client = make_client("/stream/")
    client.dialect = Dialect.SIMPLE
    client.refresh()
    client.note_passed(make_block(WHOLE, b'{"e":"trade"}', b"[]"), 0, 3, now_us=0)
    client.note_passed(make_block(b"1", key=b"other@trade"), 0, 1, now_us=0)
    record = client.record(SPOT, 0)
    assert (record.sent, record.left_out) == ({"btcusdt@trade": 1}, 2)


def test_native_clients_are_sent_what_is_no_event_too() -> None:
    client = make_client()
    client.note_passed(make_block(b"[]"), 0, 1, now_us=0)
    record = client.record(SPOT, 0)
    assert (record.sent, record.left_out) == ({"btcusdt@trade": 1}, 0)


@pytest.mark.parametrize(
    ("sent", "now_us", "burst"),
    [
        ([(50, 0)], 100_000, 50),
        ([(50, 0)], 100_001, 0),
        ([(49, 0)], 0, 0),
        ([(25, 0), (25, 60_000)], 100_000, 50),
        ([(25, 0), (25, 60_000)], 110_000, 0),
        ([(1, 0), (49, 99_000), (49, 101_000)], 120_000, 98),
        ([(100, 0), (60, 500_000)], 500_001, 60),
        ([], 0, 0),
    ],
)
def test_a_burst_is_what_came_in_the_last_tenth_of_a_second(
    sent: list[tuple[int, int]], now_us: int, burst: int
) -> None:
    client = make_client()
    for frames, when_us in sent:
        send(client, frames, when_us)
    assert client.recent_burst(now_us) == burst


def test_very_many_messages_do_not_fill_the_memory() -> None:
    assert make_client().requests.maxlen == 10_000
