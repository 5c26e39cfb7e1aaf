from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.ids import (
    _EXTENT,
    _IDS,
    IdOffsets,
    IdSpans,
    shift_ids,
    symbol_of,
)
from tests.sample_events import (
    CAPTURES,
    EVENTS,
    blanked,
    captured,
    edited,
    events,
    id_paths,
    kind_of,
    sampled,
)


@pytest.mark.parametrize("kind", EVENTS)
def test_each_id_moves_by_the_offset_of_its_space(kind: str) -> None:
    payload, _, ids = EVENTS[kind]
    spaces = dict(pair.split(":") for pair in ids.split())
    offsets = IdOffsets(book=1000, trade=200, aggregate=30, block=4)
    moved = shift_ids(payload, kind=kind, offsets=offsets)
    assert json.loads(moved) == edited(
        payload, id_paths(kind), lambda path, n: n + getattr(offsets, spaces[path])
    )
    assert blanked(moved) == blanked(payload)


@pytest.mark.parametrize("name", CAPTURES)
def test_ids_of_captured_frames_move_as_the_slow_reference_says(name: str) -> None:
    offsets = IdOffsets(book=7_000_000, trade=7_000_000, aggregate=7_000_000)
    for kind, payload in sampled(name):
        moved = shift_ids(payload, kind=kind, offsets=offsets)
        assert json.loads(moved) == edited(
            payload, id_paths(kind), lambda _, n: n + 7_000_000 if n >= 0 else n
        )
        assert blanked(moved) == blanked(payload)


def test_ids_of_a_candle_without_trades_stay() -> None:
    payload = b'{"e":"kline","k":{"f":-1,"L":-1,"n":0}}'
    assert shift_ids(payload, kind="kline", offsets=IdOffsets(trade=5)) is payload


def test_an_offset_of_nothing_gives_the_same_object() -> None:
    for kind, (payload, _, _) in EVENTS.items():
        assert shift_ids(payload, kind=kind, offsets=IdOffsets()) is payload


def test_each_id_of_a_candle_is_told_from_its_namesake_outside() -> None:
    payload = (
        b'{"e":"kline","T":7,"t":8,"E":10,"k":{"E":9,"t":1000,"T":1999,"f":3},"L":4}'
    )
    assert shift_ids(payload, kind="kline", offsets=IdOffsets(trade=1)) == (
        b'{"e":"kline","T":7,"t":8,"E":10,"k":{"E":9,"t":1000,"T":1999,"f":4},"L":4}'
    )


def test_a_candle_without_ids_stays_whatever_it_holds() -> None:
    payload = b'{"E":1,"k":{"x":{"t":5},"t":60000,"s":"}{"}}'
    assert shift_ids(payload, kind="kline", offsets=IdOffsets(trade=9)) is payload


@given(events())
def test_ids_move_in_any_layout_as_the_slow_reference_says(
    drawn: tuple[str, bytes],
) -> None:
    kind, payload = drawn
    offsets = IdOffsets(book=3, trade=3, aggregate=3, block=3)
    moved = shift_ids(payload, kind=kind, offsets=offsets)
    assert json.loads(moved) == edited(payload, id_paths(kind), lambda _, n: n + 3)


@given(st.binary(max_size=60), st.sampled_from(sorted(EVENTS)))
def test_ids_of_any_bytes_move_without_an_error(payload: bytes, kind: str) -> None:
    spans = IdSpans()
    spans.add(payload, kind=kind, stream="btcusdt@x")
    moved = spans.shift(payload, kind=kind, stream="btcusdt@x", rounds=2)
    assert blanked(moved) == blanked(payload)


@pytest.mark.parametrize(
    ("payload", "stream", "symbol"),
    [
        (b'{"s":"BTCUSDT","b":"1"}', "!bookTicker", b"BTCUSDT"),
        (b'{"e":"forceOrder","o":{"s":"LTCUSDT"}}', "!forceOrder@arr", b"LTCUSDT"),
        (b'{"lastUpdateId":1}', "ethusdt@depth20@100ms", b"ETHUSDT"),
        (b'{"ps":"BTCUSDT"}', "btcusdt_perpetual@continuousKline_1m", b"BTCUSDT"),
        (
            b'{"ps":"XAUUSDT"}',
            "xauusdt_tradifi_perpetual@continuousKline_1m",
            b"XAUUSDT",
        ),
        (
            b'{"ps":"BTCUSDT"}',
            "btcusdt_next_quarter@continuousKline_1m",
            b"BTCUSDT_NEXT_QUARTER",
        ),
        (
            '{"s":"币安人生USDT"}'.encode(),
            "币安人生usdt@trade",
            "币安人生USDT".encode(),
        ),
    ],
)
def test_symbol_comes_from_the_payload_or_the_stream(
    payload: bytes, stream: str, symbol: bytes
) -> None:
    assert symbol_of(payload, stream) == symbol


Frame = tuple[str, str, bytes]


def looped(frames: list[Frame], rounds: int) -> list[tuple[str, Any]]:
    """Return stream and decoded payload of a tape played several times."""
    spans = IdSpans()
    for kind, stream, payload in frames:
        spans.add(payload, kind=kind, stream=stream)
    return [
        (
            stream,
            json.loads(spans.shift(payload, kind=kind, stream=stream, rounds=done)),
        )
        for done in range(rounds)
        for kind, stream, payload in frames
    ]


def depth(first: int, last: int, before: int | None = None) -> bytes:
    pu = "" if before is None else f',"pu":{before}'
    return f'{{"s":"BTCUSDT","U":{first},"u":{last}{pu},"b":[],"a":[]}}'.encode()


def test_spot_depth_alone_moves_by_last_u_less_first_u_plus_one() -> None:
    spans = IdSpans()
    for payload in (depth(11, 15), depth(16, 16), depth(17, 30)):
        spans.add(payload, kind="depthUpdate", stream="btcusdt@depth")
    assert spans.offsets() == {b"BTCUSDT": IdOffsets(book=20)}
    args: dict[str, Any] = {"kind": "depthUpdate", "stream": "btcusdt@depth"}
    assert spans.shift(depth(11, 15), rounds=1, **args) == depth(31, 35)
    assert spans.shift(depth(11, 15), rounds=3, **args) == depth(71, 75)


def test_futures_depth_alone_moves_by_last_u_less_first_pu() -> None:
    spans = IdSpans()
    for payload in (depth(11, 15, 8), depth(19, 30, 15)):
        spans.add(payload, kind="depthUpdate", stream="btcusdt@depth")
    assert spans.offsets() == {b"BTCUSDT": IdOffsets(book=22)}
    args: dict[str, Any] = {"kind": "depthUpdate", "stream": "btcusdt@depth"}
    assert spans.shift(depth(11, 15, 8), rounds=1, **args) == depth(33, 37, 30)


def test_trades_and_aggregates_move_by_their_own_spans() -> None:
    spans = IdSpans()
    for t in (100, 101, 104):
        spans.add(b'{"s":"X","t":%d}' % t, kind="trade", stream="x@trade")
    for a, f, last in ((7, 99, 100), (8, 101, 103)):
        payload = b'{"s":"X","a":%d,"f":%d,"l":%d}' % (a, f, last)
        spans.add(payload, kind="aggTrade", stream="x@aggTrade")
    spans.add(b'{"s":"X","t":50}', kind="blockTrade", stream="x@blockTrade")
    offsets = IdOffsets(trade=5, aggregate=2, block=1)
    assert spans.offsets() == {b"X": offsets}
    assert offsets.times(3) == IdOffsets(trade=15, aggregate=6, block=3)


def test_without_single_trades_the_next_best_stream_counts() -> None:
    spans = IdSpans()
    ticker = b'{"s":"X","F":5,"L":%d}'
    for last in (100, 109):
        spans.add(ticker % last, kind="24hrTicker", stream="x@ticker")
    assert spans.offsets()[b"X"].trade == 10
    candle = b'{"s":"X","k":{"f":98,"L":109}}'
    spans.add(candle, kind="kline", stream="x@kline_1m")
    assert spans.offsets()[b"X"].trade == 12
    spans.add(b'{"s":"X","a":1,"f":99,"l":101}', kind="aggTrade", stream="x@aggTrade")
    assert spans.offsets()[b"X"].trade == 3


def test_first_depth_of_a_round_is_stretched_to_the_last_of_the_round_before() -> None:
    frames: list[Frame] = [
        ("bookTicker", "x@bookTicker", b'{"u":9,"s":"BTCUSDT"}'),
        ("depthUpdate", "x@depth", depth(11, 15)),
        ("depthUpdate", "x@depth", depth(16, 20)),
        ("bookTicker", "x@bookTicker", b'{"u":28,"s":"BTCUSDT"}'),
    ]
    ids = [event["u"] for _, event in looped(frames, 3)]
    assert ids == [9, 15, 20, 28, 29, 35, 40, 48, 49, 55, 60, 68]
    firsts = [event["U"] for _, event in looped(frames, 3) if "U" in event]
    assert firsts == [11, 16, 21, 36, 41, 56]


def test_first_futures_depth_of_a_round_names_the_last_u_as_its_pu() -> None:
    frames: list[Frame] = [
        ("depthUpdate", "x@depth", depth(11, 15, 8)),
        ("bookTicker", "x@bookTicker", b'{"u":40,"s":"BTCUSDT"}'),
    ]
    befores = [event["pu"] for _, event in looped(frames, 3) if "pu" in event]
    assert befores == [8, 15, 45]


def test_a_missing_pu_of_minus_one_stays() -> None:
    frames: list[Frame] = [("depthUpdate", "x@depth5", depth(11, 15, -1))]
    events = [event for _, event in looped(frames, 2)]
    assert [event["pu"] for event in events] == [-1, -1]
    assert [event["U"] for event in events] == [11, 16]


def test_first_aggregate_of_a_round_follows_the_last() -> None:
    aggregate = b'{"s":"X","a":%d,"f":%d,"l":%d}'
    frames: list[Frame] = [
        ("trade", "x@trade", b'{"s":"X","t":10}'),
        ("aggTrade", "x@aggTrade", aggregate % (1, 8, 10)),
        ("trade", "x@trade", b'{"s":"X","t":19}'),
        ("aggTrade", "x@aggTrade", aggregate % (2, 11, 18)),
    ]
    events = [event for _, event in looped(frames, 2) if "a" in event]
    assert [event["f"] for event in events] == [8, 11, 19, 21]
    assert [event["a"] for event in events] == [1, 2, 3, 4]


def test_an_aggregate_told_before_is_left_as_it_is() -> None:
    aggregate = b'{"s":"X","a":%d,"f":%d,"l":%d}'
    frames: list[Frame] = [
        ("aggTrade", "x@aggTrade", aggregate % (1, 8, 9)),
        ("trade", "x@trade", b'{"s":"X","t":10}'),
        ("aggTrade", "x@aggTrade", aggregate % (2, 10, 12)),
    ]
    events = [event for _, event in looped(frames, 2) if "a" in event]
    assert [(event["f"], event["l"]) for event in events[2:]] == [(9, 10), (11, 13)]


def test_each_member_of_an_array_moves_by_its_own_symbol() -> None:
    spans = IdSpans()
    array = b'[{"s":"A","F":1,"L":%d}, {"s":"B","F":1,"L":%d},{"s":"C","L":7}]'
    for last in (10, 14):
        payload = (array % (last, 2 * last)).replace(b',{"s":"C","L":7}', b"")
        spans.add(payload, kind="24hrTicker", stream="!ticker@arr")
    moved = spans.shift(
        array % (10, 20), kind="24hrTicker", stream="!ticker@arr", rounds=1
    )
    assert moved == (
        b'[{"s":"A","F":6,"L":15}, {"s":"B","F":10,"L":29},{"s":"C","L":7}]'
    )


@pytest.mark.parametrize("kind", ["serverShutdown", "depthUpdate"])
def test_frames_without_ids_or_rounds_stay_the_same_object(kind: str) -> None:
    spans = IdSpans()
    payload = depth(11, 15)
    spans.add(payload, kind=kind, stream="btcusdt@depth")
    rounds = 0 if kind == "depthUpdate" else 1
    moved = spans.shift(payload, kind=kind, stream="btcusdt@depth", rounds=rounds)
    assert moved is payload


def test_recorded_snapshot_moves_with_the_book_of_its_stream() -> None:
    spans = IdSpans()
    spans.add(depth(11, 15), kind="depthUpdate", stream="btcusdt@depth")
    snapshot = b'{"lastUpdateId":13,"bids":[],"asks":[]}'
    moved = spans.shift(snapshot, kind="partialDepth", stream="btcusdt@depth", rounds=2)
    assert moved == b'{"lastUpdateId":23,"bids":[],"asks":[]}'


SESSIONS = [name for name in CAPTURES if "singles" not in name and "arr" not in name]


def follows(kind: str, event: Any, before: Any) -> bool:
    """Tell whether an event may come behind another one of its stream."""
    if kind == "depthUpdate" and "pu" in event:
        return bool(before["u"] == event["pu"] < event["U"] <= event["u"])
    if kind == "depthUpdate":
        return bool(before["u"] + 1 == event["U"] <= event["u"])
    if kind == "aggTrade":
        return bool(before["a"] + 1 == event["a"] and before["l"] < event["f"])
    if kind == "trade":
        return bool(before["t"] + 1 == event["t"])
    return kind != "bookTicker" or bool(before["u"] < event["u"])


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.slow
def test_a_looped_capture_stays_valid_across_the_seams(name: str) -> None:
    frames = [(kind_of(*frame), *frame) for frame in captured(name)]
    kinds = {stream: kind for kind, stream, _ in frames}
    latest: dict[str, Any] = {}
    for stream, event in looped(frames, 3):
        if stream in latest:
            assert follows(kinds[stream], event, latest[stream])
        latest[stream] = event


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.slow
def test_looped_streams_of_a_book_still_meet_at_the_same_ids(name: str) -> None:
    frames = [(kind_of(*frame), *frame) for frame in captured(name, 1500)]

    def meetings(rounds: int) -> int:
        events = [event for _, event in looped(frames, rounds) if "u" in event]
        return len(events) - len({(event["s"], event["u"]) for event in events})

    assert meetings(3) == 3 * meetings(1)


def test_every_kind_with_ids_has_a_table_of_them_and_of_their_extent() -> None:
    assert set(_IDS) == {kind for kind in EVENTS if EVENTS[kind][2]}
    assert set(_IDS) == set(_EXTENT)
