"""Derived streams on a tape and in a hub: from when on, and for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pytest_binance_replay.cassette import Batch, Frame
from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.client import Client
from pytest_binance_replay.derived.loom import Loom
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.hub import Hub
from pytest_binance_replay.journal import Missing
from pytest_binance_replay.library import Library, SessionSource
from pytest_binance_replay.protocols.address import Address, parse_address
from pytest_binance_replay.report import describe
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tape import Position, Tape
from pytest_binance_replay.wire import Block

START_US = 1_795_168_800_000_000
BROKEN = ("dip.jsonl", 7, "broken")
TICKER, MINI, TRADE = "btcusdt@ticker", "btcusdt@miniTicker", "btcusdt@trade"


def ticker(number: int) -> bytes:
    return (
        b'{"e":"24hrTicker","E":%d,"s":"BTCUSDT","c":"1","o":"2","h":"3","l":"4",'
        b'"v":"5","q":"6"}' % number
    )


def frames(count: int = 6) -> list[Frame]:
    """Trades and tickers in turn, a second apart; every ticker makes a mini ticker."""
    return [
        Frame(START_US + n * 1_000_000, TICKER if n % 2 else TRADE, ticker(n))
        for n in range(count)
    ]


class Shelf:
    """A store of blocks in memory."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def put(self, block: Block) -> None:
        self.blocks.append(block)

    def get(self, number: int) -> Block:
        return next(b for b in self.blocks if b.first <= number < b.end)

    def clear(self) -> None:
        self.blocks.clear()


class Desk:
    """A hub over a tape of some frames, in blocks of four."""

    def __init__(
        self,
        held: list[Frame],
        *,
        market: Market = "spot",
        max_gap_us: int | None = None,
        fail: bool = False,
        size: int = 4,
    ) -> None:
        self.fail = fail
        catalogue = Catalogue({market: {frame.stream for frame in held}})

        def batches() -> Iterator[Batch]:
            for first in range(0, len(held), size):
                part = held[first : first + size]
                yield Batch(
                    [frame.receive_time_us for frame in part],
                    [frame.stream.encode() for frame in part],
                    [frame.payload for frame in part],
                    [],
                )
            if self.fail:
                raise CassetteFormatError(*BROKEN)

        self.loom = Loom(batches, catalogue)
        self.tape = Tape(self.loom.batches, Shelf(), max_gap_us=max_gap_us)
        self.hub = Hub(self.tape, catalogue, self.loom)

    def connect(self, path: str) -> Client:
        address = parse_address(path)
        assert isinstance(address, Address)
        return self.hub.accept(address, path)

    def release(self, count: int) -> None:
        for _ in range(count):
            self.tape.release(self.tape.released + 1)

    def play(self) -> None:
        while (head := self.tape.head()) is not None:
            self.tape.release(head[0].end)

    def sent_to(self, client: Client) -> bytes:
        """All that was released and the client has not had."""
        data = b""
        while client.cursor < self.tape.released:
            block = self.tape.block_at(client.cursor)
            start = client.cursor - block.first
            stop = min(self.tape.released, block.end) - block.first
            data += block.wire(client.view).cut(start, stop)
            client.note_passed(block, start, stop, 0)
            client.cursor = block.first + stop
        return data


def numbers(data: bytes) -> list[int]:
    """The numbers that the events in a client's bytes are marked with."""
    return [int(part[:13].partition(b",")[0]) for part in data.split(b'"E":')[1:]]


@pytest.fixture
def desk() -> Desk:
    return Desk(frames())


def test_a_client_gets_what_no_cassette_has(desk: Desk) -> None:
    client = desk.connect(f"/ws/{MINI}")
    desk.play()
    data = desk.sent_to(client)
    assert numbers(data) == [1, 3, 5]
    assert data.count(b'"e":"24hrMiniTicker"') == 3
    assert client.sent == {MINI.encode(): 3}
    assert not desk.hub.missing
    assert desk.hub.derivations() == [f"{MINI} from {TICKER}"]


def test_nothing_is_derived_unasked(desk: Desk) -> None:
    desk.connect(f"/ws/{TICKER}")
    assert not desk.loom.recipes
    assert desk.hub.derivations() == []


@pytest.mark.parametrize("at", range(7))
def test_a_late_client_gets_what_it_would_alone(at: int) -> None:
    both, alone = Desk(frames()), Desk(frames())
    early = both.connect(f"/ws/{MINI}")
    while both.tape.position.frames < at:
        both.release(1)
    while alone.tape.position.frames < at:
        alone.release(1)
    late, single = both.connect(f"/ws/{MINI}"), alone.connect(f"/ws/{MINI}")
    both.play()
    alone.play()
    assert numbers(both.sent_to(early)) == [1, 3, 5]
    assert numbers(both.sent_to(late)) == numbers(alone.sent_to(single))
    assert late.missed == single.missed == {MINI: at // 2}


def test_a_second_derived_stream_leaves_what_the_first_has_not_had(desk: Desk) -> None:
    first = desk.connect(f"/ws/{MINI}")
    desk.release(2)  # a trade and a ticker, and the mini ticker still to come
    second = desk.connect("/ws/!ticker@arr")
    desk.play()
    assert numbers(desk.sent_to(first)) == [1, 3, 5]
    assert numbers(desk.sent_to(second)) == [3, 5]


def test_a_position_does_not_count_derived_frames(desk: Desk) -> None:
    desk.connect(f"/ws/{MINI}")
    desk.release(4)
    assert desk.tape.released == 4
    assert desk.tape.position == Position(3, START_US + 3_000_000)
    desk.play()
    assert desk.tape.released == 9
    assert desk.tape.position == Position(6, None)


@pytest.mark.parametrize("number", range(7))
def test_a_position_is_found_again_whatever_is_derived(number: int) -> None:
    desk = Desk(frames())
    client = desk.connect(f"/ws/{TRADE}/{TICKER}/{MINI}")
    desk.tape.seek_frame(number)
    assert desk.tape.position.frames == number
    client.cursor = desk.tape.released
    desk.play()
    kept = [n for n in range(number, 6) for _ in range(1 + n % 2)]
    assert numbers(desk.sent_to(client)) == kept


@pytest.mark.parametrize("second", range(6))
def test_a_time_is_found_again_whatever_is_derived(second: int) -> None:
    desk = Desk(frames())
    desk.connect(f"/ws/{MINI}")
    desk.tape.seek_time(START_US + second * 1_000_000)
    assert desk.tape.position == Position(second, START_US + second * 1_000_000)


def test_what_was_missed_counts_from_where_the_tape_was_wound_to(desk: Desk) -> None:
    desk.tape.seek_frame(3)
    desk.release(2)
    assert desk.connect(f"/ws/{MINI}").missed == {MINI: 1}


def test_recorded_numbers_count_neither_derived_nor_pushed_frames(desk: Desk) -> None:
    client = desk.connect(f"/ws/{MINI}")
    desk.release(3)
    desk.tape.insert(MINI.encode(), ticker(99), START_US)
    desk.release(1)
    desk.play()
    assert desk.tape.released == 10
    assert desk.tape.recorded_number(10) == 6
    assert desk.tape.position.frames == 7
    assert numbers(desk.sent_to(client)) == [1, 99, 3, 5]
    desk.tape.trim(10)
    assert desk.tape.recorded_number(10) == 6


def test_a_frame_pushed_between_a_frame_and_its_derived_one_comes_behind_both(
    desk: Desk,
) -> None:
    early = desk.connect(f"/ws/{MINI}")
    desk.release(2)
    late = desk.connect(f"/ws/{MINI}")
    desk.tape.insert(MINI.encode(), ticker(99), START_US)
    desk.release(1)
    desk.play()
    assert numbers(desk.sent_to(early)) == [1, 99, 3, 5]
    assert numbers(desk.sent_to(late)) == [99, 3, 5]


def test_a_client_far_behind_still_finds_its_frames() -> None:
    desk = Desk(frames(400))
    client = desk.connect(f"/ws/{MINI}")
    while (head := desk.tape.head()) is not None:
        desk.tape.release(head[0].end)
        desk.tape.trim(client.cursor)
    assert numbers(desk.sent_to(client)) == list(range(1, 400, 2))


def test_due_times_stay_when_a_stream_is_derived_on_the_way() -> None:
    desk = Desk(frames(), max_gap_us=100)
    desk.release(3)
    block, index = desk.tape.head() or pytest.fail("the tape has ended")
    due_us = block.due_us[index]
    desk.connect(f"/ws/{MINI}")
    block, index = desk.tape.head() or pytest.fail("the tape has ended")
    assert block.due_us[index:] == [due_us, due_us]
    assert block.times_us[index:] == [START_US + 3_000_000] * 2


def test_a_tape_at_its_end_takes_one_more_stream(desk: Desk) -> None:
    desk.play()
    assert desk.connect(f"/ws/{MINI}").missed == {MINI: 3}
    assert desk.tape.head() is None


def test_a_damaged_tape_plays_up_to_the_damage_and_says_so_again() -> None:
    desk = Desk(frames(), fail=True)
    client = desk.connect(f"/ws/{MINI}")
    for _ in range(2):
        with pytest.raises(CassetteFormatError, match="broken"):
            desk.play()
    assert numbers(desk.sent_to(client)) == [1, 3, 5]
    desk.connect("/ws/!ticker@arr")
    with pytest.raises(CassetteFormatError, match="broken"):
        desk.play()


# Clients


def test_subscriptions_over_messages_derive_too(desk: Desk) -> None:
    client = desk.connect("/stream")
    ask = {"method": "SUBSCRIBE", "params": [MINI, "!ticker@arr", "x@y"], "id": 1}
    desk.hub.receive(client, json.dumps(ask))
    desk.play()
    data = desk.sent_to(client)
    assert data.count(b'{"stream":"btcusdt@miniTicker","data":{"e":"24hrMini') == 3
    assert data.count(b'{"stream":"!ticker@arr","data":[{"e":"24hrTicker"') == 3
    assert [missing.asked for missing in desk.hub.missing] == ["x@y"]
    assert desk.hub.asked >= {MINI, "!ticker@arr"}


def test_times_in_microseconds_are_converted_in_derived_events(desk: Desk) -> None:
    client = desk.connect(f"/ws/{MINI}?timeUnit=MICROSECOND")
    desk.play()
    assert numbers(desk.sent_to(client)) == [1000, 3000, 5000]


def test_the_simple_protocol_is_fed_by_derived_streams() -> None:
    whole = ticker(7)[:-1] + b',"p":"1","P":"1","w":"1","Q":"1","O":1,"C":2,"n":3}'
    held = [Frame(START_US, "!ticker@arr", b"[%b]" % whole)]
    desk = Desk(held)
    client = desk.connect("/stream/")
    ask = {"action": "subscribe", "pair": "BTCUSDT", "stream": "ticker"}
    desk.hub.receive(client, json.dumps(ask))
    desk.play()
    assert b'{"event": "24hrTicker", "event_time": 7, ' in desk.sent_to(client)
    assert not desk.hub.missing
    assert desk.hub.derivations() == [f"{TICKER} from !ticker@arr"]


def test_a_simple_pair_that_cannot_be_derived_is_missing(desk: Desk) -> None:
    client = desk.connect("/stream/")
    ask = {"action": "subscribe", "pair": "BTCUSDT", "stream": "depth"}
    desk.hub.receive(client, json.dumps(ask))
    assert [missing.reason for missing in desk.hub.missing] == ["pair"]


def test_a_derived_stream_is_silent_on_the_wrong_route_and_reported() -> None:
    desk = Desk(frames(), market="usdm")
    client = desk.connect(f"/public/ws/{MINI}")
    desk.play()
    assert desk.sent_to(client) == b""
    assert [(m.asked, m.reason) for m in desk.hub.missing] == [(MINI, "route")]
    assert not desk.loom.recipes


def test_a_library_confirms_what_a_wrong_route_kept_silent() -> None:
    library = Library([SessionSource(frames(), market="usdm")])
    assert library.confirms(Missing(1, MINI, "route", "usdm"))
    assert not library.confirms(Missing(1, "btcusdt@kline_1m", "route", "usdm"))


def test_a_frame_pushed_before_anybody_asked_changes_nothing(desk: Desk) -> None:
    desk.hub.catalogue.streams["spot"].add(MINI)  # as a push does
    client = desk.connect(f"/ws/{MINI}")
    desk.play()
    assert numbers(desk.sent_to(client)) == [1, 3, 5]


def test_a_test_can_have_a_stream_derived_that_nobody_asked_for(desk: Desk) -> None:
    desk.hub.derive("spot", [MINI, TICKER, "btcusdt@kline_1m"])
    desk.play()
    assert desk.tape.counts == {TRADE.encode(): 3, TICKER.encode(): 3, MINI.encode(): 3}


def test_without_a_loom_nothing_is_derived() -> None:
    desk = Desk(frames())
    hub = Hub(desk.tape, desk.hub.catalogue)
    hub.derive("spot", [MINI])
    address = parse_address(f"/ws/{MINI}")
    assert isinstance(address, Address)
    hub.accept(address, f"/ws/{MINI}")
    assert [missing.asked for missing in hub.missing] == [MINI]
    assert hub.derivations() == []


# The report


def test_a_report_says_what_was_derived_from_what(desk: Desk) -> None:
    desk.connect(f"/ws/{MINI}")
    text = describe(
        cassette="dip",
        position=desk.tape.position,
        speed=1,
        clients=(),
        requests=(),
        missing=(),
        derived=desk.hub.derivations() + [f"{n}@ticker from b" for n in range(11)],
        last=(),
    )
    assert f"derived: {MINI} from {TICKER}" in text.splitlines()
    assert text.endswith("(2 more streams derived)")
