from __future__ import annotations

import copy
import gzip
import itertools
import json
import pickle
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay import editing
from pytest_binance_replay.editing import (
    IdOffsets,
    IdSpans,
    convert_times,
    shift_ids,
    shift_times,
    symbol_of,
)
from pytest_binance_replay.errors import ReplayError, TimeShiftError
from pytest_binance_replay.streams import event_kind, market_of_payload

DATA = Path(__file__).parents[1].parent / "shared" / "data"
CAPTURES = (
    "cryptofeed-spot-20210404/session.jsonl.gz",
    "cryptofeed-spot-20210417/session.jsonl.gz",
    "cryptofeed-spot-20211012/session.jsonl",
    "hftbacktest-coinm-20240808/session.jsonl.gz",
    "hftbacktest-spot-20240808/session.jsonl.gz",
    "hftbacktest-usdm-20230404/session.jsonl.gz",
    "hftbacktest-usdm-20240808/session.jsonl.gz",
    "jayhere1-spot-20260704/session.jsonl",
    "lasota-spot-20240903/session.jsonl",
    "polysim-spot-20260718/session.jsonl.gz",
    "polysim-usdm-20260718/session.jsonl.gz",
    "singles-crypto-msg-parser/frames.jsonl",
    "singles-unicorn-fy-spot-2020/frames.jsonl",
    "tomsep-spot-ticker-arr-20190928/session.jsonl",
)

# One event of each kind with the members that are times and ids, said again here so
# that a slip in the tables of the module cannot hide.
EVENTS: dict[str, tuple[bytes, str, str]] = {
    "trade": (
        b'{"e":"trade","E":1790000001234,"s":"LTCBTC","t":880123,"p":"0.001",'
        b'"q":"4.25","b":1790000000001,"a":1790000000002,"T":1790000001233,"m":false}',
        "E T",
        "t:trade",
    ),
    "aggTrade": (
        b'{"e":"aggTrade","E":1790000002155,"a":9077001,"s":"LTCUSDT","p":"87.40",'
        b'"q":"12","nq":"11","f":51200346,"l":51200349,"T":1790000002003,"st":1}',
        "E T",
        "a:aggregate f:trade l:trade",
    ),
    "blockTrade": (
        b'{"e":"blockTrade","E":1790000100450,"s":"LTCBTC","t":77,"p":"0.1",'
        b'"q":"2","T":1790000100377,"m":true}',
        "E T",
        "t:block",
    ),
    "depthUpdate": (
        b'{"e":"depthUpdate","E":1790000002102,"T":1790000002099,"s":"LTCUSDT",'
        b'"ps":"LTCUSDT","U":7719004410021,"u":7719004413377,"pu":7719004409985,'
        b'"b":[["86.90","0.000"]],"a":[["87.42","3.015"]],"st":1}',
        "E T",
        "U:book u:book pu:book",
    ),
    "partialDepth": (
        b'{"lastUpdateId":30017725,"bids":[["0.1","80.1"]],"asks":[["0.2","14"]]}',
        "",
        "lastUpdateId:book",
    ),
    "bookTicker": (
        b'{"e":"bookTicker","u":7719004413390,"s":"LTCUSDT","b":"87.39","B":"41",'
        b'"a":"87.42","A":"3","T":1790000002107,"E":1790000002108}',
        "E T",
        "u:book",
    ),
    "kline": (
        b'{"e":"kline","E":1790000004251,"s":"LTCUSDT","k":{"t":1789999980000, '
        b'"T":1790000039999, "s":"LTCUSDT", "i":"1m", "f":51200101, "L":51200349, '
        b'"o":"87.35", "l":"87.33", "n":246, "x":false, "V":"911.2", "B":"0"}}',
        "E k.t k.T",
        "k.f:trade k.L:trade",
    ),
    "continuous_kline": (
        b'{"e":"continuous_kline","E":1790000004600,"ps":"LTCUSDT","ct":"PERPETUAL",'
        b'"k":{"t":1789999980000,"T":1790000039999,"i":"1m","f":7719004000001,'
        b'"L":7719004413390,"o":"87.35","n":246,"x":false}}',
        "E k.t k.T",
        "k.f:book k.L:book",
    ),
    "24hrMiniTicker": (
        b'{"e":"24hrMiniTicker","E":1790000005016,"s":"LTCBTC","c":"0.1","v":"4"}',
        "E",
        "",
    ),
    "24hrTicker": (
        b'{"e":"24hrTicker","E":1790000005020,"s":"LTCBTC","p":"-0.1","o":"0.2",'
        b'"l":"0.1","O":1789913605018,"C":1790000005018,"F":861002,"L":880126,'
        b'"n":19125}',
        "E O C",
        "F:trade L:trade",
    ),
    "rollingTicker": (
        b'{"e":"4hTicker","E":1790000005031,"s":"LTCBTC","O":1789985580000,'
        b'"C":1790000005029,"F":877410,"L":880126,"n":2717}',
        "E O C",
        "F:trade L:trade",
    ),
    "avgPrice": (
        b'{"e":"avgPrice","E":1790000006000,"s":"LTCBTC","i":"5m","w":"0.1",'
        b'"T":1790000002000}',
        "E T",
        "",
    ),
    "referencePrice": (
        b'{"e":"referencePrice","s":"LTCBTC","r":null,"t":1790000006010}',
        "t",
        "",
    ),
    "markPriceUpdate": (
        b'{"e":"markPriceUpdate","E":1790000007000,"s":"LTCUSDT","p":"87.4",'
        b'"P":"87.2","r":"","T":1790006400000,"st":1}',
        "E T",
        "",
    ),
    "forceOrder": (
        b'{"e":"forceOrder","E":1790000008120,"o":{"s":"LTCUSDT","S":"SELL",'
        b'"o":"LIMIT","f":"IOC","q":"3.5","l":"1.2","T":1790000008115,"st":1}}',
        "E o.T",
        "",
    ),
    "compositeIndex": (
        b'{"e":"compositeIndex","E":1790000009000,"s":"DEFIUSDT","p":"554.4",'
        b'"C":"baseAsset","c":[{"b":"LTC","q":"USDT","w":"1.0","i":"87.4"}]}',
        "E",
        "",
    ),
    "contractInfo": (
        b'{"e":"contractInfo","E":1790000010000,"s":"LTCUSDT","dt":1798761600000,'
        b'"ot":1569398400000,"bks":[{"bs":1,"bnc":10000,"mmr":0.006,"ma":75}]}',
        "E dt ot",
        "",
    ),
    "assetIndexUpdate": (
        b'{"e":"assetIndexUpdate","E":1790000011000,"s":"LTCUSD","i":"87.4"}',
        "E",
        "",
    ),
    "tradingSession": (
        b'{"e":"EquityUpdate","E":1790000012000,"t":1789997400000,'
        b'"T":1790020800000,"S":"REGULAR"}',
        "E t T",
        "",
    ),
    "serverShutdown": (b'{"e":"serverShutdown","E":1790000013000}', "E", ""),
}

Edit = Callable[[str, int], int]


def edited(payload: bytes, paths: str, edit: Edit) -> Any:
    """Return the decoded payload after editing, the slow and obvious way."""
    document = json.loads(payload)
    for event in document if isinstance(document, list) else [document]:
        for path in paths.split():
            *outer, key = path.split(".")
            owner = event[outer[0]] if outer else event
            if key in owner:
                owner[key] = edit(path, owner[key])
    return document


def blanked(payload: bytes) -> bytes:
    """Return a payload with each run of digits blanked."""
    return re.sub(rb"\d+", b"#", payload)


def id_paths(kind: str) -> str:
    return " ".join(pair.partition(":")[0] for pair in EVENTS[kind][2].split())


def kind_of(stream: str, payload: bytes) -> str:
    kind = event_kind(stream, market_of_payload(payload) or "spot")
    assert kind is not None, stream
    return kind


@cache
def captured(name: str, count: int = 4000) -> list[tuple[str, bytes]]:
    """Return stream and payload of the first frames of a capture."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no shared recordings at {DATA}")
    opener: Any = gzip.open if path.suffix == ".gz" else Path.open
    with opener(path, "rb") as lines:
        return [sliced(line) for line in itertools.islice(lines, count)]


def sliced(line: bytes) -> tuple[str, bytes]:
    found = re.search(rb'"stream":\s*"([^"]+)",\s*"data":\s*(.*)\}\s*$', line)
    assert found
    return found[1].decode(), found[2]


def sampled(name: str) -> Iterator[tuple[str, bytes]]:
    """Give kind and payload of some frames of a capture."""
    for stream, payload in captured(name)[::7]:
        yield kind_of(stream, payload), payload


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


@pytest.mark.parametrize("name", CAPTURES)
def test_ids_of_captured_frames_move_as_the_slow_reference_says(name: str) -> None:
    offsets = IdOffsets(book=7_000_000, trade=7_000_000, aggregate=7_000_000)
    for kind, payload in sampled(name):
        moved = shift_ids(payload, kind=kind, offsets=offsets)
        assert json.loads(moved) == edited(
            payload, id_paths(kind), lambda _, n: n + 7_000_000 if n >= 0 else n
        )
        assert blanked(moved) == blanked(payload)


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


def test_ids_of_a_candle_without_trades_stay() -> None:
    payload = b'{"e":"kline","k":{"f":-1,"L":-1,"n":0}}'
    assert shift_ids(payload, kind="kline", offsets=IdOffsets(trade=5)) is payload


def test_an_offset_of_nothing_gives_the_same_object() -> None:
    for kind, (payload, _, _) in EVENTS.items():
        assert shift_times(payload, kind=kind, offset_us=0) is payload
        assert shift_ids(payload, kind=kind, offsets=IdOffsets()) is payload


def test_each_candle_member_is_told_from_its_namesake_outside() -> None:
    payload = (
        b'{"e":"kline","T":7,"t":8,"E":10,"k":{"E":9,"t":1000,"T":1999,"f":3},"L":4}'
    )
    moved = shift_times(payload, kind="kline", offset_us=1_000_000)
    moved = shift_ids(moved, kind="kline", offsets=IdOffsets(trade=1))
    assert moved == (
        b'{"e":"kline","T":7,"t":8,"E":1010,"k":{"E":9,"t":2000,"T":2999,"f":4},"L":4}'
    )


def test_candle_may_hold_an_object_of_its_own() -> None:
    payload = b'{"E":1,"k":{"x":{"t":5},"t":60000,"s":"}{"}}'
    moved = shift_ids(payload, kind="kline", offsets=IdOffsets(trade=9))
    assert moved is payload
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


numbers = st.integers(min_value=0, max_value=2**53)
texts = st.text(st.sampled_from('aETtuU":{}[],\\ é'), max_size=12)
others = st.one_of(texts, st.none(), st.booleans(), st.lists(texts, max_size=3))


@st.composite
def events(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw an event with times, ids and members that only look like them."""
    kind = draw(st.sampled_from(sorted(EVENTS)))
    document = copy.deepcopy(json.loads(EVENTS[kind][0]))
    for path in [*EVENTS[kind][1].split(), *id_paths(kind).split()]:
        *outer, key = path.split(".")
        (document[outer[0]] if outer else document)[key] = draw(numbers)
    document |= draw(st.dictionaries(texts.map("x".__add__), others, max_size=3))
    return kind, dict(draw(st.permutations(list(document.items()))))


@given(
    events(),
    st.integers(min_value=0, max_value=2**40),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :"), (",\n", ":\t")]),
    st.booleans(),
)
def test_any_layout_moves_as_the_slow_reference_says(
    drawn: tuple[str, Any], offset_ms: int, separators: tuple[str, str], escaped: bool
) -> None:
    kind, document = drawn
    text = json.dumps(document, separators=separators, ensure_ascii=escaped)
    payload = text.encode()

    def later(_: str, time: int) -> int:
        if time <= 0:
            return time
        return time + offset_ms * (1000 if time >= 10**14 else 1)

    moved = shift_times(payload, kind=kind, offset_us=offset_ms * 1000)
    assert json.loads(moved) == edited(payload, EVENTS[kind][1], later)
    assert blanked(moved) == blanked(payload)
    offsets = IdOffsets(book=3, trade=3, aggregate=3, block=3)
    moved = shift_ids(payload, kind=kind, offsets=offsets)
    assert json.loads(moved) == edited(payload, id_paths(kind), lambda _, n: n + 3)


@given(st.binary(max_size=60), st.sampled_from(sorted(EVENTS)))
def test_any_bytes_can_be_edited_without_an_error(payload: bytes, kind: str) -> None:
    spans = IdSpans()
    spans.add(payload, kind=kind, stream="btcusdt@x")
    moved = spans.shift(payload, kind=kind, stream="btcusdt@x", rounds=2)
    moved = shift_times(moved, kind=kind, offset_us=0)
    assert blanked(convert_times(moved, kind=kind, microseconds=True)) == blanked(
        payload
    )


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
def test_a_looped_capture_stays_valid_across_the_seams(name: str) -> None:
    frames = [(kind_of(*frame), *frame) for frame in captured(name)]
    kinds = {stream: kind for kind, stream, _ in frames}
    latest: dict[str, Any] = {}
    for stream, event in looped(frames, 3):
        if stream in latest:
            assert follows(kinds[stream], event, latest[stream])
        latest[stream] = event


@pytest.mark.parametrize("name", SESSIONS)
def test_looped_streams_of_a_book_still_meet_at_the_same_ids(name: str) -> None:
    frames = [(kind_of(*frame), *frame) for frame in captured(name, 1500)]

    def meetings(rounds: int) -> int:
        events = [event for _, event in looped(frames, rounds) if "u" in event]
        return len(events) - len({(event["s"], event["u"]) for event in events})

    assert meetings(3) == 3 * meetings(1)


def test_every_kind_has_a_table_of_times() -> None:
    assert set(editing._TIMES) == set(EVENTS)
    assert set(editing._IDS) == {kind for kind in EVENTS if EVENTS[kind][2]}
    assert set(editing._IDS) == set(editing._EXTENT)
