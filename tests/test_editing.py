from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay import editing
from pytest_binance_replay.editing import convert_times, shift_times
from pytest_binance_replay.errors import ReplayError, TimeShiftError
from tests.sample_events import (
    CAPTURES,
    EVENTS,
    blanked,
    captured,
    edited,
    events,
    sampled,
)


@pytest.mark.parametrize("kind", EVENTS)
def test_all_times_of_a_kind_move_and_nothing_else(kind: str) -> None:
    payload, times, _ = EVENTS[kind]
    moved = shift_times(payload, kind=kind, offset_us=60_000_000)
    assert json.loads(moved) == edited(payload, times, lambda _, ms: ms + 60_000)
    assert blanked(moved) == blanked(payload)


@pytest.mark.parametrize("kind", EVENTS)
def test_microseconds_and_back_give_the_same_payload(kind: str) -> None:
    payload, times, _ = EVENTS[kind]
    fine = convert_times(payload, kind=kind, microseconds=True)
    assert json.loads(fine) == edited(
        payload, times, lambda path, ms: ms * 1000 + (999 if path == "k.T" else 0)
    )
    assert convert_times(fine, kind=kind, microseconds=True) is fine
    assert convert_times(fine, kind=kind, microseconds=False) == payload
    assert convert_times(payload, kind=kind, microseconds=False) is payload


@pytest.mark.parametrize("name", CAPTURES)
def test_times_of_captured_frames_move_as_the_slow_reference_says(name: str) -> None:
    for kind, payload in sampled(name):
        moved = shift_times(payload, kind=kind, offset_us=-86_400_000_000)
        times = EVENTS[kind][1]
        expected = edited(payload, times, lambda _, ms: ms - 86_400_000)
        assert json.loads(moved) == expected
        assert blanked(moved) == blanked(payload)
        assert shift_times(moved, kind=kind, offset_us=86_400_000_000) == payload


@pytest.mark.parametrize("name", CAPTURES)
def test_captured_frames_survive_microseconds_and_back(name: str) -> None:
    for kind, payload in sampled(name):
        fine = convert_times(payload, kind=kind, microseconds=True)
        assert blanked(fine) == blanked(payload)
        assert (fine is payload) == (kind == "partialDepth" or b'"E"' not in payload)
        assert convert_times(fine, kind=kind, microseconds=False) == payload


def test_recorded_microsecond_candles_convert_to_the_millisecond_ones() -> None:
    folder = "polysim-spot-20260718/"
    coarse = {
        json.loads(payload)["E"]: payload
        for stream, payload in captured(folder + "session.jsonl.gz")
        if stream == "btcusdt@kline_1m"
    }
    matched = 0
    for _, payload in captured(folder + "session_timeunit_microsecond.jsonl"):
        converted = convert_times(payload, kind="kline", microseconds=False)
        if (twin := coarse.get(json.loads(converted)["E"])) is not None:
            assert converted == twin
            matched += 1
    assert matched >= 20


def test_end_of_a_recorded_candle_gets_the_recorded_microseconds() -> None:
    folder = "polysim-spot-20260718/"
    frames = captured(folder + "session_timeunit_microsecond.jsonl")
    for _, payload in frames:
        coarse = convert_times(payload, kind="kline", microseconds=False)
        fine = json.loads(convert_times(coarse, kind="kline", microseconds=True))
        recorded = json.loads(payload)
        assert fine["k"] == recorded["k"]
        assert fine["E"] == recorded["E"] // 1000 * 1000


def test_times_in_microseconds_move_by_single_microseconds() -> None:
    payload = b'{"e":"trade","E":1790000001234567,"t":5,"T":1790000001234001}'
    moved = shift_times(payload, kind="trade", offset_us=-1)
    assert moved == b'{"e":"trade","E":1790000001234566,"t":5,"T":1790000001234000}'


def test_times_in_milliseconds_refuse_a_fraction() -> None:
    with pytest.raises(TimeShiftError) as caught:
        shift_times(EVENTS["trade"][0], kind="trade", offset_us=1_500)
    assert str(caught.value) == (
        "cannot move times in milliseconds by 1500 µs. "
        "Take an offset of whole milliseconds."
    )
    assert isinstance(caught.value, ReplayError)
    assert isinstance(caught.value, ValueError)
    assert pickle.loads(pickle.dumps(caught.value)).offset_us == 1_500


def test_a_payload_without_times_takes_any_offset() -> None:
    payload = EVENTS["partialDepth"][0]
    assert shift_times(payload, kind="partialDepth", offset_us=1) is payload


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("markPriceUpdate", b'{"e":"markPriceUpdate","s":"LTCUSD_270326","T":0}'),
        ("contractInfo", b'{"e":"contractInfo","dt":4133404800000}'),
        ("contractInfo", b'{"e":"contractInfo","dt":4133404800000000}'),
        ("trade", b'{"e":"trade","E":-1}'),
    ],
)
def test_what_stands_for_no_time_stays(kind: str, payload: bytes) -> None:
    assert shift_times(payload, kind=kind, offset_us=1_000_000) is payload


def test_no_funding_stays_zero_in_microseconds() -> None:
    payload = b'{"e":"markPriceUpdate","E":1790000007000,"T":0}'
    fine = convert_times(payload, kind="markPriceUpdate", microseconds=True)
    assert fine == b'{"e":"markPriceUpdate","E":1790000007000000,"T":0}'


def test_an_offset_of_nothing_gives_the_same_object() -> None:
    for kind, (payload, _, _) in EVENTS.items():
        assert shift_times(payload, kind=kind, offset_us=0) is payload


def test_each_time_of_a_candle_is_told_from_its_namesake_outside() -> None:
    payload = (
        b'{"e":"kline","T":7,"t":8,"E":10,"k":{"E":9,"t":1000,"T":1999,"f":3},"L":4}'
    )
    assert shift_times(payload, kind="kline", offset_us=1_000_000) == (
        b'{"e":"kline","T":7,"t":8,"E":1010,"k":{"E":9,"t":2000,"T":2999,"f":3},"L":4}'
    )


def test_candle_may_hold_an_object_of_its_own() -> None:
    payload = b'{"E":1,"k":{"x":{"t":5},"t":60000,"s":"}{"}}'
    moved = shift_times(payload, kind="kline", offset_us=60_000_000)
    assert b'"t":120000' in moved


def test_a_key_inside_a_string_is_text() -> None:
    payload = b'{"note":"\\"E\\":5 {\\"E\\":6","a\\"E":7,"E":8}'
    assert json.loads(payload)['a"E'] == 7
    moved = shift_times(payload, kind="trade", offset_us=1000)
    assert moved == payload.replace(b'"E":8', b'"E":9')


@pytest.mark.parametrize("number", [b"5.5", b"5e3", b'"5"', b"null", b"5.0"])
def test_what_is_no_whole_number_is_passed_over(number: bytes) -> None:
    payload = b'{"E":' + number + b"}"
    assert shift_times(payload, kind="trade", offset_us=1000) is payload


def test_spaces_stay_where_they_were() -> None:
    payload = b' { "e" : "trade" ,\n "E" :  1790000001234 , "T"\t:1790000001233 }\n'
    moved = shift_times(payload, kind="trade", offset_us=1000)
    assert moved == payload.replace(b"1234", b"1235").replace(b"1233", b"1234")


@given(events(), st.integers(min_value=0, max_value=2**40))
def test_times_move_in_any_layout_as_the_slow_reference_says(
    drawn: tuple[str, bytes], offset_ms: int
) -> None:
    kind, payload = drawn

    def later(_: str, time: int) -> int:
        if time <= 0:
            return time
        return time + offset_ms * (1000 if time >= 10**14 else 1)

    moved = shift_times(payload, kind=kind, offset_us=offset_ms * 1000)
    assert json.loads(moved) == edited(payload, EVENTS[kind][1], later)
    assert blanked(moved) == blanked(payload)


@given(st.binary(max_size=60), st.sampled_from(sorted(EVENTS)))
def test_any_bytes_can_be_edited_without_an_error(payload: bytes, kind: str) -> None:
    moved = shift_times(payload, kind=kind, offset_us=0)
    assert blanked(convert_times(moved, kind=kind, microseconds=True)) == blanked(
        payload
    )


def test_every_kind_has_a_table_of_times() -> None:
    assert set(editing._TIMES) == set(EVENTS)
