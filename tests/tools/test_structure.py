"""Structure: what is counted, and what counts as a change."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pytest_binance_replay.tools.structure import (
    Change,
    FieldUse,
    Structure,
    StructureReader,
    compare,
    gap_text,
    kind_of,
    rate_text,
)

TRADE = b'{"e":"trade","t":%d,"p":"1.5"}'


def structure(*frames: tuple[str, bytes], gap_us: int = 1000) -> Structure:
    reader = StructureReader()
    for number, (stream, payload) in enumerate(frames):
        reader.add(number * gap_us, stream, payload)
    return reader.structure()


def trades(count: int, payload: bytes = TRADE, gap_us: int = 1000) -> Structure:
    frames = [
        ("btcusdt@trade", payload % n if b"%d" in payload else payload)
        for n in range(count)
    ]
    return structure(*frames, gap_us=gap_us)


def said(old: Structure, new: Structure) -> list[str]:
    return [f"{c.what} {c.subject}: {c.sentence}" for c in compare(old, new)]


def test_fields_are_counted_by_kind_of_stream() -> None:
    found = structure(
        ("btcusdt@trade", TRADE % 1),
        ("ethusdt@trade", b'{"t":"x"}'),
        ("btcusdt@trade", TRADE % 22),
    )
    assert found.payloads == {"trade": 3}
    assert found.fields["trade"]["t"] == FieldUse(3, {"integer": 2, "text": 1})
    assert found.fields["trade"]["p"] == FieldUse(2, {"decimal": 2})
    assert [(n, s.frames) for n, s in found.streams.items()] == [
        ("btcusdt@trade", 2),
        ("ethusdt@trade", 1),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("btcusdt@depth@100ms", "depth@100ms"),
        ("!ticker@arr", "!ticker@arr"),
        ("tradingSession", "tradingSession"),
    ],
)
def test_a_kind_is_what_all_symbols_share(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_many_forms_count_as_few_do() -> None:
    frames = [("btcusdt@trade", b'{"x":"%b"}' % (b"a" * n)) for n in range(600)]
    assert structure(*frames).fields["trade"] == {"x": FieldUse(600, {"text": 600})}


def test_payloads_too_long_to_have_a_form_count_too() -> None:
    payload = b"[%b]" % b",".join([b'{"s":"%05d","c":"1"}' % n for n in range(400)])
    fields = structure(("!ticker@arr", payload)).fields["!ticker@arr"]
    assert fields["c"] == FieldUse(1, {"decimal": 1})


def test_a_payload_that_is_no_json_is_a_type_of_its_own() -> None:
    assert said(trades(1), trades(2, b"{")) == [
        "field-new trade: field is new, not JSON, in all 2 payloads",
        "field-gone trade: e: field is gone; it was in the only payload",
        "field-gone trade: p: field is gone; it was in the only payload",
        "field-gone trade: t: field is gone; it was in the only payload",
    ]


def test_nothing_is_said_of_two_recordings_of_one_structure() -> None:
    assert compare(trades(50), trades(60)) == []
    assert compare(structure(), structure()) == []


def test_a_field_that_comes_goes_or_changes_is_said() -> None:
    old = trades(4, b'{"t":%d,"p":"1.5","M":true}')
    new = structure(
        ("ethusdt@trade", b'{"t":1,"p":1.5,"X":"MARKET"}'),
        ("ethusdt@trade", b'{"t":1,"p":"1.5"}'),
    )
    assert said(old, new) == [
        "stream-gone btcusdt@trade: stream is gone; it had 4 frames",
        "stream-new ethusdt@trade: stream is new, with 2 frames",
        "field-gone trade: M: field is gone; it was in all 4 payloads",
        "field-new trade: X: field is new, text, in 1 of 2 payloads",
        "field-type trade: p: field was decimal, and is number in 1 of 2 payloads",
    ]


def test_streams_and_statistics_can_be_left_out() -> None:
    old, new = trades(50), structure(("ethusdt@trade", b'{"t":1}'))
    only_fields = compare(old, new, streams=False, statistics=False)
    assert {change.what for change in only_fields} == {"field-gone"}
    slow = trades(50, gap_us=9000)
    assert compare(old, slow, statistics=False) == []


def test_pace_is_compared_where_there_is_enough_of_it() -> None:
    old, slow, few = trades(50), trades(50, gap_us=9000), trades(5, gap_us=9000)
    assert said(old, slow) == [
        "rate btcusdt@trade: 1,020 frames a second, now 113",
        "cadence btcusdt@trade: a frame every 1 ms, now every 9 ms",
    ]
    assert not any(change.structural for change in compare(old, slow))
    assert compare(old, few) == []


def test_a_stream_of_one_frame_has_no_pace() -> None:
    alone = trades(1)
    assert alone.rate("btcusdt@trade") is None
    assert alone.streams["btcusdt@trade"].typical_gap_us is None


def test_the_typical_gap_is_the_median() -> None:
    reader = StructureReader()
    for time_us in (0, 10, 20, 98_765, 98_700, 10_000_000):
        reader.add(time_us, "btcusdt@trade", TRADE % time_us)
    assert reader.structure().streams["btcusdt@trade"].typical_gap_us == 10


def test_a_change_is_structural_unless_it_says_otherwise() -> None:
    assert Change("field-new", "trade: X", "field is new").structural


@pytest.mark.parametrize(
    ("rate", "text"),
    [("0", "0"), ("0.0512", "0.0512"), ("13.44", "13.4"), ("1204.4", "1,204")],
)
def test_rates_have_three_digits(rate: str, text: str) -> None:
    assert rate_text(Decimal(rate)) == text


@pytest.mark.parametrize(
    ("gap_us", "text"),
    [(7, "7 µs"), (98_000, "98 ms"), (2_100_000, "2.1 s"), (60_000_000, "60 s")],
)
def test_gaps_are_written_in_their_unit(gap_us: int, text: str) -> None:
    assert gap_text(gap_us) == text
