"""Derived streams: which there are, what is in them, and where they are on a tape."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_binance_replay.book import Change, OrderBook, parse_change
from pytest_binance_replay.cassette import Batch, Frame, RestAnswer
from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.derived.depth import merge_levels, read_diff
from pytest_binance_replay.derived.loom import Loom
from pytest_binance_replay.derived.members import mini_array, mini_ticker, symbol_in
from pytest_binance_replay.derived.pictures import Ladder, snapshots_among
from pytest_binance_replay.derived.recipes import find_recipe, told_of
from pytest_binance_replay.editing import convert_times
from pytest_binance_replay.events import MiniTicker, Ticker, parse_event
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.following import Snapshot, SymbolBook
from pytest_binance_replay.library import CassetteSource, Library, SessionSource
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tape import WovenBatch
from pytest_binance_replay.timeline import Loop

DEMO = Path(__file__).parents[1] / "recordings" / "spot.jsonl"
START_US = 1_795_168_800_000_000
START_MS = START_US // 1000
DIFFS = "ltcbtc@depth@100ms"
DEPTH_REQUEST: dict[Market, str] = {
    "spot": "/api/v3/depth?symbol=LTCBTC&limit=1000",
    "usdm": "/fapi/v1/depth?symbol=LTCBTC&limit=1000",
}

Rows = list[tuple[int, str, bytes]]


# Which streams can be derived


RECIPES: list[tuple[Market, str, str, str]] = [
    ("spot", "a@depth", "a@depth@100ms", "a@depth@100ms"),
    ("usdm", "a@depth", "a@depth@100ms a@depth@0ms a@depth@500ms", "a@depth@0ms"),
    ("usdm", "a@depth@500ms", "a@depth", "a@depth"),
    ("usdm", "a@depth@100ms", "a@depth@0ms", "a@depth@0ms"),
    ("spot", "a@depth10", "a@depth@100ms", "a@depth@100ms"),
    ("spot", "a@depth20@100ms", "a@depth@100ms", "a@depth@100ms"),
    ("usdm", "a@depth5@500ms", "a@depth@0ms", "a@depth@0ms"),
    ("spot", "a@depth5@100ms", "a@depth@100ms a@depth20@100ms", "a@depth20@100ms"),
    ("spot", "a@depth5", "a@depth20 a@depth10 a@depth5@100ms", "a@depth10"),
    ("spot", "a@miniTicker", "a@ticker", "a@ticker"),
    ("spot", "a@miniTicker", "a@ticker !miniTicker@arr", "!miniTicker@arr"),
    ("spot", "a@miniTicker", "!ticker@arr", "!ticker@arr"),
    ("spot", "a@ticker", "!ticker@arr", "!ticker@arr"),
    ("spot", "a@ticker_4h", "!ticker_4h@arr !ticker@arr", "!ticker_4h@arr"),
    ("spot", "!ticker@arr", "b@ticker a@ticker a@trade", "a@ticker b@ticker"),
    ("spot", "!ticker_1h@arr", "a@ticker_1h a@ticker", "a@ticker_1h"),
    ("spot", "!miniTicker@arr", "a@ticker !ticker@arr", "!ticker@arr"),
    ("spot", "!miniTicker@arr", "a@ticker a@miniTicker b@ticker",
     "a@miniTicker b@ticker"),
    ("spot", "!bookTicker", "a@bookTicker b@bookTicker", "a@bookTicker b@bookTicker"),
    ("spot", "a@bookTicker", "!bookTicker", "!bookTicker"),
    ("usdm", "a@markPrice@1s", "!markPrice@arr@1s !markPrice@arr", "!markPrice@arr@1s"),
    ("usdm", "!markPrice@arr", "a@markPrice b@markPrice@1s", "a@markPrice"),
    ("usdm", "a@forceOrder", "!forceOrder@arr", "!forceOrder@arr"),
    ("usdm", "!forceOrder@arr", "a@forceOrder", "a@forceOrder"),
    ("usdm", "!assetIndex@arr", "adausd@assetIndex", "adausd@assetIndex"),
]  # fmt: skip


@pytest.mark.parametrize(("market", "name", "held", "sources"), RECIPES)
def test_a_stream_is_derived_from_what_holds_the_same(
    market: Market, name: str, held: str, sources: str
) -> None:
    recipe = find_recipe(name, market, set(held.split()))
    assert recipe is not None
    assert recipe.sources == tuple(sources.split())


INEXACT: list[tuple[Market, str, str]] = [
    ("spot", "a@depth", "a@depth a@depth@100ms"),  # it is there
    ("spot", "a@depth@100ms", "a@depth"),  # a slow one made fast
    ("spot", "a@depth10@100ms", "a@depth"),
    ("spot", "a@depth10", "a@depth5 a@depth20@100ms"),
    ("spot", "a@depth", "b@depth@100ms"),
    ("spot", "a@depth@250ms", "a@depth@100ms"),  # which no exchange sends
    ("spot", "A@depth", "a@depth@100ms"),
    ("spot", "a@depth@500ms", "a@depth@100ms"),
    ("usdm", "a@rpiDepth@500ms", "a@depth@100ms"),
    ("spot", "a@ticker", "a@miniTicker"),
    ("spot", "a@ticker_1h", "a@ticker !ticker@arr"),
    ("spot", "!ticker@arr", "a@miniTicker"),
    ("spot", "!ticker@arr", ""),
    ("spot", "a@kline_5m", "a@kline_1m"),
    ("spot", "a@aggTrade", "a@trade"),
    ("spot", "a@bookTicker", "a@depth@100ms"),
    ("usdm", "a@bookTicker", "!bookTicker"),  # sent every five seconds
    ("usdm", "!bookTicker", "a@bookTicker"),
    ("usdm", "a@markPrice", "a@markPrice@1s !markPrice@arr@1s"),
    ("usdm", "!contractInfo", "a@trade"),
    ("spot", "a@markPrice", "!markPrice@arr"),
]


@pytest.mark.parametrize(("market", "name", "held"), INEXACT)
def test_a_stream_that_would_not_be_exact_is_not_derived(
    market: Market, name: str, held: str
) -> None:
    assert find_recipe(name, market, set(held.split())) is None


def test_a_recipe_says_what_it_takes() -> None:
    tickers = {f"{symbol}@ticker" for symbol in "abcdef"}
    recipes = [
        find_recipe("!ticker@arr", "spot", tickers),
        find_recipe("a@depth10", "spot", {"a@depth@100ms"}),
    ]
    assert told_of([recipe for recipe in recipes if recipe] * 2) == [
        "!ticker@arr from a@ticker, b@ticker, c@ticker, d@ticker and 2 more",
        "a@depth10 from a@depth@100ms and a recorded snapshot",
    ]


# Weaving


def batches_of(rows: Rows, size: int = 1000) -> list[Batch]:
    cut = [rows[n : n + size] for n in range(0, len(rows), size)]
    return [
        Batch([t for t, _, _ in part], [s.encode() for _, s, _ in part],
              [p for _, _, p in part], [])
        for part in cut
    ]  # fmt: skip


def rows_of(batches: Iterable[Batch]) -> Rows:
    return [
        (time_us, stream.decode(), payload)
        for batch in batches
        for time_us, stream, payload in zip(
            batch.times_us, batch.streams, batch.payloads, strict=True
        )
    ]


def loom_of(
    rows: Rows,
    *wanted: str,
    market: Market = "spot",
    size: int = 1000,
    answers: Sequence[RestAnswer] = (),
) -> Loom:
    """A loom over some frames that derives what is wanted."""
    catalogue = Catalogue({market: {stream for _, stream, _ in rows}})
    loom = Loom(lambda: iter(batches_of(rows, size)), catalogue, lambda: answers)
    found = [loom.find(market, name) for name in wanted]
    loom.add([recipe for recipe in found if recipe])
    return loom


def derive(rows: Rows, name: str, **settings: Any) -> Rows:
    """The frames of a derived stream."""
    woven = rows_of(loom_of(rows, name, **settings).batches())
    return [row for row in woven if row[1] == name]


def spot_diff(first: int, last: int, ms: int, bids: Any = (), asks: Any = ()) -> bytes:
    event = {"e": "depthUpdate", "E": START_MS + ms, "s": "LTCBTC", "U": first,
             "u": last, "b": bids, "a": asks}  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def usdm_diff(
    first: int, last: int, previous: int, ms: int, bids: Any = (), asks: Any = ()
) -> bytes:
    event = {"e": "depthUpdate", "E": START_MS + ms, "T": START_MS + ms - 3,
             "s": "LTCBTC", "ps": "LTCBTC", "U": first, "u": last, "pu": previous,
             "b": bids, "a": asks, "st": 1}  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def received(*payloads: tuple[int, bytes], stream: str = DIFFS) -> Rows:
    """Frames of one stream, received at milliseconds after the start."""
    return [(START_US + ms * 1000, stream, payload) for ms, payload in payloads]


def test_nothing_is_touched_while_nothing_is_derived() -> None:
    batches = batches_of(received((0, spot_diff(1, 1, 0))))
    loom = Loom(lambda: iter(batches), Catalogue({"spot": {DIFFS}}))
    assert all(a is b for a, b in zip(loom.batches(), batches, strict=True))


def test_diffs_of_a_window_are_merged() -> None:
    rows = received(
        (5, spot_diff(1, 2, 0, [["1.0", "4"], ["1.1", "5"]], [["2.0", "1"]])),
        (105, spot_diff(3, 5, 100, [["1.10", "0.0"], ["1.2", "7"]])),
        (905, spot_diff(6, 6, 900, [], [["1.9", "3"]])),
        (1005, spot_diff(7, 9, 1000, [["1.3", "1"]])),
    )
    first, second = derive(rows, "ltcbtc@depth")
    assert first == (
        START_US + 905_000,
        "ltcbtc@depth",
        spot_diff(
            1,
            6,
            900,
            [["1.2", "7"], ["1.10", "0.0"], ["1.0", "4"]],
            [["1.9", "3"], ["2.0", "1"]],
        ),
    )
    assert second[2] == rows[3][2]


def test_futures_diffs_keep_the_first_pu_and_all_else_of_the_last() -> None:
    rows = received(
        (5, usdm_diff(10, 12, 9, 0, [["1.0", "4"], ["1.1", "5"]])),
        (107, usdm_diff(15, 18, 12, 102, [["0.9", "1"], ["1.0", "0"]])),
    )
    ((time_us, _, payload),) = derive(rows, "ltcbtc@depth", market="usdm")
    assert time_us == START_US + 107_000
    bids = [["0.9", "1"], ["1.0", "0"], ["1.1", "5"]]
    assert payload == usdm_diff(10, 18, 9, 102, bids)


def test_spaces_and_unknown_members_of_a_diff_stay() -> None:
    odd = (b'{"U":2, "e" : "depthUpdate","E":%d,"b" : [ ["1.0","2",[]] ],"a":[],'
           b'"u":3,"z":[1]}')  # fmt: skip
    rows = received((0, spot_diff(1, 1, 0)), (9, odd % (START_MS + 9)))
    ((_, _, payload),) = derive(rows, "ltcbtc@depth")
    told = odd.replace(b'"U":2', b'"U":1').replace(b"[ [", b"[[").replace(b"] ]", b"]]")
    assert payload == told % (START_MS + 9)


def test_diffs_in_microseconds_go_into_the_same_windows() -> None:
    plain = [(ms + 5, spot_diff(ms, ms + 99, ms)) for ms in range(0, 3000, 100)]
    finer = [(ms, convert_times(payload, kind="depthUpdate", microseconds=True))
             for ms, payload in plain]  # fmt: skip
    merged = [derive(received(*diffs), "ltcbtc@depth") for diffs in (plain, finer)]
    assert [row[0] for row in merged[0]] == [row[0] for row in merged[1]]
    assert len(merged[0]) == 3


@pytest.mark.parametrize("jitter", [-5, 0, 5])
def test_events_that_come_a_little_early_or_late_change_no_window(jitter: int) -> None:
    times = [ms + (jitter if ms % 1000 == 0 else 0) for ms in range(0, 3000, 100)]
    rows = received(*((ms + 20, spot_diff(n, n, ms)) for n, ms in enumerate(times, 1)))
    merged = [json.loads(row[2]) for row in derive(rows, "ltcbtc@depth")]
    assert [(event["U"], event["u"]) for event in merged] == [
        (1, 10),
        (11, 20),
        (21, 30),
    ]


def test_a_gap_in_the_recording_is_never_merged_away() -> None:
    rows = received((0, spot_diff(1, 2, 0)), (100, spot_diff(5, 6, 100)))
    assert [row[2] for row in derive(rows, "ltcbtc@depth")] == [rows[0][2], rows[1][2]]


def test_a_window_ends_where_nothing_comes_for_as_long() -> None:
    late = (1002, spot_diff(2, 2, 1))  # held up on its way
    rows = received((0, spot_diff(1, 1, 0)), late)
    assert len(derive(rows, "ltcbtc@depth")) == 2


def test_what_is_read_ahead_is_no_more_than_a_window() -> None:
    rows = received((0, spot_diff(1, 1, 0)))
    rows += [(START_US + ms * 1000, "ltcbtc@trade", b"{}") for ms in range(1, 9000, 10)]
    read: list[Batch] = []

    def batches() -> Iterator[Batch]:
        for batch in batches_of(rows, 10):
            read.append(batch)
            yield batch

    loom = Loom(batches, Catalogue({"spot": {DIFFS, "ltcbtc@trade"}}))
    loom.add(filter(None, [loom.find("spot", "ltcbtc@depth")]))
    assert b"ltcbtc@depth" in next(loom.batches()).streams
    assert read[-1].times_us[0] <= START_US + 1_100_000


BROKEN = [
    b"{}", b"[]", b"null", b'{"U":1', b'{"U":1,"u":2,"E":3,"b":[["x","1"]],"a":[]}',
    b'{"U":1,"u":2,"E":"3","b":[],"a":[]}', b'{"U":1,"u":2,"E":3,"b":{},"a":[]}',
    b'{"U":1,"u":2,"E":3,"b":[["1"]],"a":[]}', b'{"U":1,"u":2,"E":3,"b":[1],"a":[]}',
    b'{"U":1,"u":2,"E":3,"b":[["NaN","1"]],"a":[]}',
    b'{"U":1,"u":2,"E":3,"b":[[1,2]],"a":[]}', b'{"U":1,"u":2,"E":3,"b":[{}],"a":[]}',
    b'{"U":1,"u":2,"E":3,"b":[["1,2","1"]],"a":[["1",""]]}',
    b'{"U":1,"u":2,"pu":"1","E":3,"b":[],"a":[]}', b"\xff", b"[" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("payload", BROKEN)
def test_what_is_no_diff_is_passed_over(payload: bytes) -> None:
    assert read_diff(payload) is None
    rows = received((0, spot_diff(1, 1, 0)), (1, payload), (2, spot_diff(2, 2, 2)))
    ((_, _, merged),) = derive(rows, "ltcbtc@depth")
    assert merged == spot_diff(1, 2, 2)


@given(st.binary() | st.text().map(str.encode) | st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from("UuEba"), inner, max_size=5),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_payload_is_a_diff_or_none(payload: bytes) -> None:
    found = read_diff(payload)
    assert found is None or found[0].payload == payload


# A market of diffs


PRICES, QUANTITIES = "123456789", ("0", "0.00", "1", "2.5")
SIDE = st.dictionaries(
    st.sampled_from(PRICES), st.sampled_from(QUANTITIES), max_size=3
).map(lambda levels: sorted(map(list, levels.items())))
STEPS = st.tuples(
    st.sampled_from([1, 98, 100, 102, 340, 1500]),  # milliseconds of event time
    st.sampled_from([0, 10, 5_000, 700_000]),  # microseconds on the way
    st.integers(1, 3),  # ids
    SIDE,
    SIDE,
    st.booleans(),  # a trade behind it
)


def market_of(market: Market, steps: list[Any]) -> tuple[Market, Rows]:
    """Diffs that chain, behind a snapshot at 100."""
    rows: Rows = []
    last, event_ms, time_us = 100, 0, START_US
    for n, (ms, late_us, ids, bids, asks, is_traded) in enumerate(steps):
        event_ms += ms
        time_us = max(time_us, START_US + event_ms * 1000) + late_us
        previous, first, last = last, last + 1, last + ids
        if market == "spot":
            payload = spot_diff(first, last, event_ms, bids[::-1], asks)
        else:
            first, previous = (first, previous) if n else (100, 95)
            last += 1
            payload = usdm_diff(first, last, previous, event_ms, bids, asks)
        rows.append((time_us, DIFFS, payload))
        if is_traded:
            rows.append((time_us, "ltcbtc@trade", b"{}"))
    return market, rows


SOME = settings(max_examples=40)
MARKETS: st.SearchStrategy[Market] = st.sampled_from(["spot", "usdm"])
markets = st.builds(market_of, MARKETS, st.lists(STEPS, min_size=1, max_size=12))


def snapshot(market: Market = "spot", update_id: int = 100) -> RestAnswer:
    body = {"lastUpdateId": update_id, "bids": [["3", "1"]], "asks": [["6", "1"]]}
    payload = json.dumps(body).encode()
    return RestAnswer(START_US, DEPTH_REQUEST[market], 200, payload)


def book_of(market: Market) -> OrderBook:
    shown = [("3", "1")], [("6", "1")]
    return OrderBook("LTCBTC", market, update_id=100, bids=shown[0], asks=shown[1])


SPEEDS: dict[Market, list[str]] = {
    "spot": ["ltcbtc@depth"],
    "usdm": ["ltcbtc@depth", "ltcbtc@depth@500ms"],
}


@SOME
@given(markets, st.data())
def test_a_slower_stream_makes_the_same_book(
    made: tuple[Market, Rows], data: st.DataObject
) -> None:
    market, rows = made
    name = data.draw(st.sampled_from(SPEEDS[market]))
    woven = rows_of(loom_of(rows, name, market=market).batches())
    true, slow, received_us = book_of(market), book_of(market), 0
    for time_us, stream, payload in woven:
        if stream == DIFFS:
            true.apply_change(parse_change(payload))
            received_us = time_us
        elif stream == name:
            slow.apply_change(parse_change(payload))
            assert time_us == received_us
            assert slow == true
    assert slow == true


@SOME
@given(markets, st.data())
def test_a_slower_stream_chains_and_sorts_like_a_recorded_one(
    made: tuple[Market, Rows], data: st.DataObject
) -> None:
    market, rows = made
    name = data.draw(st.sampled_from(SPEEDS[market]))
    events = [
        json.loads(payload) for _, _, payload in derive(rows, name, market=market)
    ]
    sources = [json.loads(p) for _, s, p in rows if s == DIFFS]
    assert events[0]["U"] == sources[0]["U"]
    assert {event["E"] for event in events} <= {event["E"] for event in sources}
    for before, event in pairwise(events):
        chained = event["U"] - 1 if market == "spot" else event["pu"]
        assert chained == before["u"]
    for event in events:
        bids = [Decimal(price) for price, _ in event["b"]]
        assert bids == sorted(set(bids), reverse=market == "spot")
        asks = [Decimal(price) for price, _ in event["a"]]
        assert asks == sorted(set(asks))


@SOME
@given(markets, st.sampled_from(["ltcbtc@depth5", "ltcbtc@depth10@100ms"]))
def test_a_picture_is_the_top_of_the_book_and_never_repeated(
    made: tuple[Market, Rows], name: str
) -> None:
    market, rows = made
    answers = [snapshot(market)]
    woven = rows_of(loom_of(rows, name, market=market, answers=answers).batches())
    book, shown, count = book_of(market), None, 5 if "5" in name else 10
    for _, stream, payload in woven:
        if stream == DIFFS:
            book.apply_change(parse_change(payload))
        elif stream == name:
            event = json.loads(payload)
            sides = ("bids", "asks") if market == "spot" else ("b", "a")
            picture = [[tuple(level) for level in event[side]] for side in sides]
            assert picture == list(map(list, book.texts(count)))
            assert picture != shown
            shown = picture
            assert event["lastUpdateId" if market == "spot" else "u"] == book.update_id
    assert shown == list(map(list, book.texts(count)))


@SOME
@given(markets, st.integers(1, 7))
def test_the_blocks_of_a_file_do_not_show_in_what_is_derived(
    made: tuple[Market, Rows], size: int
) -> None:
    market, rows = made
    wanted = ("ltcbtc@depth", "ltcbtc@depth10")
    answers = [snapshot(market)]
    whole, pieces = (
        rows_of(
            loom_of(rows, *wanted, market=market, answers=answers, size=n).batches()
        )
        for n in (1000, size)
    )
    assert pieces == whole
    assert [row for row in whole if row[1] not in wanted] == rows


@SOME
@given(markets, st.data())
def test_a_tape_read_from_a_frame_on_is_the_rest_of_the_whole(
    made: tuple[Market, Rows], data: st.DataObject
) -> None:
    market, rows = made
    number = data.draw(st.integers(0, len(rows)))
    since = data.draw(st.integers(0, number))
    size = data.draw(st.integers(1, 7))
    loom = loom_of(rows, "ltcbtc@depth", market=market, size=size)
    whole = rows_of(loom.batches())
    places = [n for n, row in enumerate(whole) if row[1] != "ltcbtc@depth"]
    ends = [*places, len(whole)]
    batches, gone = loom.batches_from(number, since)
    rest = rows_of(batches)
    assert rest == whole[ends[number] :]
    assert gone == Counter(
        row[1].encode() for row in whole[ends[since] : ends[number]]
        if row[1] == "ltcbtc@depth"
    )  # fmt: skip


# Pictures


def pictures(
    diffs: Rows,
    *answers: RestAnswer,
    name: str = "ltcbtc@depth5@100ms",
    **settings: Any,
) -> list[Any]:
    made = derive(diffs, name, answers=answers, **settings)
    return [json.loads(payload) for _, _, payload in made]


def shot(
    update_id: int,
    bids: Any,
    asks: Any,
    *,
    limit: str = "&limit=1000",
    status: int = 200,
) -> RestAnswer:
    body = {"lastUpdateId": update_id, "bids": bids, "asks": asks}
    request = f"/api/v3/depth?symbol=LTCBTC{limit}"
    return RestAnswer(START_US, request, status, json.dumps(body).encode())


BID, ASK = [["3", "1"]], [["6", "1"]]


def test_a_spot_picture_has_the_shape_of_spot() -> None:
    rows = received((0, spot_diff(101, 103, 0, [["4", "2"]])))
    ((_, _, payload),) = derive(rows, "ltcbtc@depth5", answers=[snapshot()])
    text = b'{"lastUpdateId":103,"bids":[["4","2"],["3","1"]],"asks":[["6","1"]]}'
    assert payload == text


def test_a_futures_picture_has_the_shape_of_an_event_and_chains() -> None:
    rows = received(
        (0, usdm_diff(99, 103, 95, 0, [["4", "2"]])),
        (400, usdm_diff(105, 106, 103, 400, [["1", "0"]])),
        (800, usdm_diff(108, 109, 106, 800, [["4", "0"]])),
    )
    answers = [snapshot("usdm")]
    made = derive(rows, "ltcbtc@depth5", market="usdm", answers=answers)
    assert [payload for _, _, payload in made] == [
        usdm_diff(99, 103, 95, 0, [["4", "2"], ["3", "1"]], ASK),
        usdm_diff(108, 109, 103, 800, BID, ASK),
    ]


def test_there_is_no_picture_before_the_snapshot_joins_or_behind_a_gap() -> None:
    rows = received(
        (0, spot_diff(90, 95, 0)),
        (100, spot_diff(96, 101, 100)),
        (200, spot_diff(105, 106, 200, [["5", "1"]])),  # 102 to 104 are lost
        (300, spot_diff(107, 108, 300, [["5", "2"]])),
        (400, spot_diff(109, 112, 400, [["5", "3"]])),
    )
    later = shot(110, [["2", "1"]], ASK)
    found = pictures(rows, snapshot(), later)
    assert [picture["lastUpdateId"] for picture in found] == [101, 112]
    assert found[1]["bids"] == [["5", "3"], ["2", "1"]]


def test_a_picture_shows_no_levels_that_the_snapshot_did_not_reach() -> None:
    taken = shot(
        100, [["4", "1"], ["3", "1"]], [["6", "1"], ["7", "1"]], limit="&limit=2"
    )
    levels = [["2", "1"], ["1", "1"], ["0.5", "1"]]
    rows = received(
        (0, spot_diff(101, 101, 0, [["4.5", "1"], ["3.5", "1"], ["3.2", "1"]], [
            ["5.1", "1"], ["5.2", "1"], ["5.3", "1"]])),
        (100, spot_diff(102, 102, 100, [["4.5", "0"], *levels])),
        (200, spot_diff(103, 103, 200, [["4.4", "1"]])),
        (300, spot_diff(104, 104, 300, [[price, "0"] for price, _ in levels])),
        (400, spot_diff(105, 105, 400, [["4.4", "0"]])),
    )  # fmt: skip
    loom = loom_of(rows, answers=[taken])
    assert loom.find("spot", "ltcbtc@depth5@100ms") is None
    recipe = find_recipe("ltcbtc@depth5@100ms", "spot", {DIFFS})
    assert recipe is not None
    loom.recipes[b"top"] = recipe
    made = [json.loads(p) for _, s, p in rows_of(loom.batches()) if s == "top"]
    assert [picture["lastUpdateId"] for picture in made] == [101, 103]


@pytest.mark.parametrize(
    ("answer", "is_enough"),
    [
        (shot(100, BID, ASK), True),  # there are no more
        (shot(100, BID * 5, ASK * 9, limit="&limit=5"), True),
        (shot(100, BID * 4, ASK * 4, limit="&limit=4"), False),
        (shot(100, BID * 100, ASK * 3, limit=""), True),
        (shot(100, BID, ASK, status=400), False),
        (RestAnswer(0, DEPTH_REQUEST["spot"], 200, b'{"code":-1003}'), False),
        (RestAnswer(0, DEPTH_REQUEST["spot"], 200, b"<html>"), False),
        (shot(100, [[3, 1]], ASK), False),
        (RestAnswer(0, DEPTH_REQUEST["usdm"], 200, snapshot().payload), False),
        (RestAnswer(0, "/api/v3/trades?symbol=LTCBTC", 200, b"[]"), False),
    ],
)
def test_a_picture_needs_a_snapshot_that_shows_enough(
    answer: RestAnswer, is_enough: bool
) -> None:
    loom = loom_of(received((0, spot_diff(101, 101, 0))), answers=[answer])
    assert (loom.find("spot", "ltcbtc@depth5") is not None) is is_enough


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/v3/depth?symbol=A&limit=20", 20),
        ("/api/v3/depth?symbol=A", 100),
        ("/api/v3/depth?symbol=A&limit=9999", 5000),
        ("/fapi/v1/depth?symbol=a", 500),
    ],
)
def test_a_snapshot_is_cut_where_its_request_said(path: str, limit: int) -> None:
    answer = RestAnswer(0, path, 200, snapshot().payload)
    ((taken,),) = snapshots_among([answer]).values()
    assert taken.limit == limit


@given(st.lists(SIDE, max_size=5))
def test_a_ladder_holds_what_a_book_does(sides: list[Any]) -> None:
    bids, asks = Ladder(-1), Ladder(1)
    book = OrderBook("LTCBTC", update_id=0)
    for n, levels in enumerate(sides, 1):
        bids.set(levels)
        asks.set(levels)
        book.apply_change(Change(n, n, None, levels, levels))
    assert [bids.best(5), asks.best(5)] == list(map(list, book.texts(5)))


@given(st.lists(SIDE))
def test_merged_levels_have_the_last_quantity_of_each_price(sides: list[Any]) -> None:
    newest = {Decimal(price): [price, qty] for side in sides for price, qty in side}
    assert merge_levels(sides) == [newest[price] for price in sorted(newest)]


def test_a_deeper_picture_is_cut_byte_for_byte_and_not_repeated() -> None:
    text = b'{ "lastUpdateId":%d,"bids": [ ["1","2",[]], %b ],"asks":[%b]}'
    best, more = b'["9","1"]', b'["8","1"] , ["7","1"],["6","1"],["5","1"],["4","1"]'
    deep = [
        text % (1, more, best),
        text % (2, more[:-9] + b'["3","1"]', best),  # the sixth level alone
        text % (3, best, more),
        b"{}",
    ]
    rows = received(*enumerate(deep), stream="ltcbtc@depth20@100ms")
    cut = b'["1","2",[]],["8","1"],["7","1"],["6","1"],["5","1"]'
    assert [p for _, _, p in derive(rows, "ltcbtc@depth5@100ms")] == [
        b'{ "lastUpdateId":1,"bids": [%b],"asks":[%b]}' % (cut, best),
        b'{ "lastUpdateId":3,"bids": [["1","2",[]],%b],"asks":[%b]}'
        % (best, more.replace(b" ", b"")),
    ]


def test_cut_pictures_of_the_futures_chain() -> None:
    deep = [usdm_diff(n, n, n - 1, n, [["4", str(n // 2)]], ASK) for n in range(2, 7)]
    rows = received(*enumerate(deep), stream="ltcbtc@depth10")
    made = derive(rows, "ltcbtc@depth5", market="usdm")
    events = [json.loads(payload) for _, _, payload in made]
    assert [(event["pu"], event["u"]) for event in events] == [(1, 2), (2, 4), (4, 6)]


def test_a_round_of_a_loop_begins_with_a_picture() -> None:
    deep = usdm_diff(2, 3, 1, 0, [["4", "1"]], ASK)
    rows = received((0, deep), stream="ltcbtc@depth10")
    catalogue = Catalogue({"usdm": {"ltcbtc@depth10"}})
    looped = Loop(lambda: iter(batches_of(rows)), catalogue.origin)
    loom = Loom(looped.batches, catalogue)
    loom.add(filter(None, [loom.find("usdm", "ltcbtc@depth5")]))
    batches = loom.batches()
    assert [len(next(batches).streams) for _ in range(3)] == [2, 2, 2]


# Tickers


def ticker(symbol: str = "LTCBTC", ms: int = 0, **more: Any) -> bytes:
    event = {"e": "24hrTicker", "E": START_MS + ms, "s": symbol, "p": "1.0", "P": "2",
             "w": "3.0", "x": "4", "c": "5.0", "Q": "6", "b": "7", "B": "8", "a": "9",
             "A": "10", "o": "11.00", "h": "12", "l": "13", "v": "14", "q": "15",
             "O": START_MS, "C": START_MS, "F": 1, "L": 2, "n": 2} | more  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def mini(symbol: str = "LTCBTC", ms: int = 0) -> bytes:
    return (
        b'{"e":"24hrMiniTicker","E":%d,"s":"%b","c":"5.0","o":"11.00","h":"12",'
        b'"l":"13","v":"14","q":"15"}' % (START_MS + ms, symbol.encode())
    )


def test_a_mini_ticker_has_the_numbers_of_the_ticker_as_they_stand() -> None:
    assert mini_ticker(ticker()) == mini()


def test_a_mini_ticker_of_the_futures_keeps_pair_and_kind() -> None:
    found = mini_ticker(ticker(ps="LTCBTC", st=1))
    assert found == mini().replace(b'"c"', b'"ps":"LTCBTC","c"')[:-1] + b',"st":1}'


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b"null", mini(), ticker().replace(b'"q"', b'"qq"')]
)
def test_what_is_no_whole_ticker_makes_no_mini_ticker(payload: bytes) -> None:
    assert mini_ticker(payload) is None
    assert not list(mini_array(payload))


NUMBERS = st.decimals(0, 10**6, places=3).map(str)


@given(st.fixed_dictionaries(dict.fromkeys("cohlvq", NUMBERS)))
def test_a_mini_ticker_says_what_the_ticker_says(numbers: dict[str, Any]) -> None:
    whole = parse_event(ticker(**numbers), stream="ltcbtc@ticker", market="spot")
    made = mini_ticker(ticker(**numbers)) or b""
    short = parse_event(made, stream="ltcbtc@miniTicker", market="spot")
    assert isinstance(whole, Ticker)
    assert isinstance(short, MiniTicker)
    assert short.model_dump().items() <= {
        **whole.model_dump(), "event_type": short.event_type
    }.items()  # fmt: skip


def test_the_tickers_of_a_second_are_gathered_in_the_order_they_came() -> None:
    rows = [
        (START_US + 10_000, "ltcbtc@ticker", ticker("LTCBTC", 0)),
        (START_US + 20_000, "ethbtc@ticker", ticker("ETHBTC", 7)),
        (START_US + 30_000, "ethbtc@trade", b"{}"),
        (START_US + 950_000, "ltcbtc@ticker", ticker("LTCBTC", 940)),
        (START_US + 960_000, "bnbbtc@ticker", b"{}"),
        (START_US + 970_000, "bnbbtc@ticker", b'{"E":1,"s":"\\uD8"}'),
        (START_US + 1_010_000, "ethbtc@ticker", ticker("ETHBTC", 1007)),
    ]
    expected = [
        [ticker("ETHBTC", 7), ticker("LTCBTC", 940)],
        [ticker("ETHBTC", 1007)],
    ]
    made = derive(rows, "!ticker@arr")
    assert [p for _, _, p in made] == [b"[%b]" % b",".join(part) for part in expected]
    assert [t for t, _, _ in made] == [START_US + 950_000, START_US + 1_010_000]


def test_mini_tickers_are_gathered_of_tickers_and_of_their_own_kind() -> None:
    rows = [
        (START_US, "ltcbtc@ticker", ticker("LTCBTC")),
        (START_US + 1, "ethbtc@miniTicker", mini("ETHBTC")),
        (START_US + 2, "ltcbtc@ticker", ticker("LTCBTC").replace(b'"q"', b'"qq"')),
    ]
    ((_, _, payload),) = derive(rows, "!miniTicker@arr")
    assert payload == b"[%b,%b]" % (mini("LTCBTC"), mini("ETHBTC"))


def test_an_array_of_tickers_makes_one_of_mini_tickers() -> None:
    array = b"[%b, %b]" % (ticker("LTCBTC"), ticker("ETHBTC", 3))
    rows: Rows = [(START_US, "!ticker@arr", array), (START_US, "!ticker@arr", b"[]")]
    ((_, _, payload),) = derive(rows, "!miniTicker@arr")
    assert payload == b"[%b,%b]" % (mini("LTCBTC"), mini("ETHBTC", 3))


def test_a_member_is_cut_out_byte_for_byte() -> None:
    odd = b'{ "e" : "24hrTicker","s" :"LTCBTC", "c":"}","x": {"s":"ETHBTC"} }'
    array = b"[%b,\n%b]" % (ticker("ETHBTC"), odd)
    rows: Rows = [(START_US, "!ticker@arr", array), (START_US, "!ticker@arr", b"[")]
    assert derive(rows, "ltcbtc@ticker") == [(START_US, "ltcbtc@ticker", odd)]
    assert derive(rows, "ltcusdt@ticker") == []


def test_a_member_made_mini_is_that_of_its_symbol() -> None:
    array = b"[%b,%b]" % (ticker("ETHBTC"), ticker("LTCBTC", 5))
    rows: Rows = [(START_US, "!ticker@arr", array)]
    made = derive(rows, "ltcbtc@miniTicker")
    assert made == [(START_US, "ltcbtc@miniTicker", mini("LTCBTC", 5))]


def test_events_sent_one_by_one_are_those_of_the_members() -> None:
    order = b'{"e":"forceOrder","E":%d,"o":{"s":"LTCUSDT","S":"SELL"}}' % START_MS
    rows: Rows = [(START_US, "ltcusdt@forceOrder", order)]
    every = derive(rows, "!forceOrder@arr", market="usdm")
    assert every == [(START_US, "!forceOrder@arr", order)]
    assert derive(every, "ltcusdt@forceOrder", market="usdm") == rows


def test_a_member_of_an_array_gathered_from_members_is_as_it_was() -> None:
    rows = [(f.receive_time_us, f.stream, f.payload) for f in read_frames(DEMO)]
    members = [row for row in rows if row[1] == "btcusdt@ticker"]
    arrays = derive(rows, "!ticker@arr")
    assert [p for _, _, p in derive(arrays, "btcusdt@ticker")] == [
        payload for _, _, payload in members
    ]


@pytest.mark.parametrize("event", [b"{}", b'{"s":1}', b'{"s":"\\x"}', b"\xff"])
def test_an_event_may_have_no_symbol(event: bytes) -> None:
    assert symbol_in(event) is None


# The loom


def test_derived_frames_behind_one_frame_come_in_the_order_of_their_names() -> None:
    rows = received((0, spot_diff(101, 101, 0, [["4", "1"]])))
    rows += [(START_US + 1, "ltcbtc@ticker", ticker())]
    wanted = ("ltcbtc@miniTicker", "ltcbtc@depth5", "ltcbtc@depth", "ltcbtc@depth10")
    for names in (wanted, wanted[::-1]):
        woven = rows_of(loom_of(rows, *names, answers=[snapshot()]).batches())
        assert [stream for _, stream, _ in woven] == [
            DIFFS, "ltcbtc@depth", "ltcbtc@depth10", "ltcbtc@depth5",
            "ltcbtc@ticker", "ltcbtc@miniTicker",
        ]  # fmt: skip


def test_a_stream_that_turns_up_after_all_is_derived_no_longer() -> None:
    rows = received((0, spot_diff(1, 1, 0)), (9, spot_diff(2, 2, 9)))
    rows += [(START_US + 10_000, "ltcbtc@depth", b'"recorded"')]
    rows += received((99, spot_diff(3, 3, 99)), (2000, spot_diff(4, 4, 2000)))
    loom = Loom(lambda: iter(batches_of(rows, 2)), Catalogue({"spot": {DIFFS}}))
    loom.add(filter(None, [loom.find("spot", "ltcbtc@depth")]))
    woven = [p for _, s, p in rows_of(loom.batches()) if s == "ltcbtc@depth"]
    assert woven == [spot_diff(1, 2, 9), b'"recorded"']


def test_what_cannot_be_read_is_met_behind_all_before_it() -> None:
    rows = received((0, spot_diff(1, 1, 0)))

    def batches() -> Iterator[Batch]:
        yield from batches_of(rows)
        raise OSError

    loom = Loom(batches, Catalogue({"spot": {DIFFS}}))
    loom.add(filter(None, [loom.find("spot", "ltcbtc@depth")]))
    woven = loom.batches()
    assert len(next(woven).streams) == 2
    with pytest.raises(OSError, match=r"^$"):
        next(woven)


def test_two_markets_derive_the_same_name_apart() -> None:
    rows: Rows = [
        (START_US, "spot/a@ticker", ticker("A")),
        (START_US, "usdm/a@ticker", ticker("A", st=1)),
    ]
    names = {"a@ticker"}
    catalogue = Catalogue({"spot": set(names), "usdm": set(names)})
    loom = Loom(lambda: iter(batches_of(rows)), catalogue)
    loom.add(filter(None, [loom.find("usdm", "a@miniTicker")]))
    (_, _, (_, key, payload)) = rows_of(loom.batches())
    assert key == "usdm/a@miniTicker"
    assert payload.endswith(b',"st":1}')


def test_a_source_that_never_sends_makes_nothing() -> None:
    rows: Rows = [(START_US, "ltcbtc@trade", b"{}")]
    loom = Loom(lambda: iter(batches_of(rows)), Catalogue({"spot": {DIFFS}}))
    loom.add(filter(None, [loom.find("spot", "ltcbtc@depth")]))
    assert rows_of(loom.batches()) == rows


def test_batches_without_frames_pass() -> None:
    empty = Batch([], [], [], [])
    batches = [empty, *batches_of(received((0, spot_diff(1, 1, 0))))]
    loom = Loom(lambda: iter(batches), Catalogue({"spot": {DIFFS}}))
    loom.add(filter(None, [loom.find("spot", "ltcbtc@depth")]))
    first, second = loom.batches()
    assert first is empty
    assert isinstance(second, WovenBatch)
    assert second.derived == (1,)


def test_each_round_of_a_loop_is_derived_like_the_first() -> None:
    diffs = ((ms, spot_diff(101 + n, 101 + n, ms, [["4", str(n + 1)]]))
             for n, ms in enumerate(range(0, 1500, 100)))  # fmt: skip
    rows = received(*diffs)
    catalogue = Catalogue({"spot": {DIFFS}})
    looped = Loop(lambda: iter(batches_of(rows)), catalogue.origin)
    loom = Loom(looped.batches, catalogue, lambda: [snapshot()])
    wanted = ("ltcbtc@depth", "ltcbtc@depth5@100ms")
    loom.add(filter(None, (loom.find("spot", name) for name in wanted)))
    batches = loom.batches()
    rounds = [rows_of([next(batches)]) for _ in range(3)]
    for number, again in enumerate(rounds):
        ids = [json.loads(p)["u"] - 15 * number for _, s, p in again if s == wanted[0]]
        assert ids == [110, 115]
        tops = [json.loads(p) for _, s, p in again if s == wanted[1]]
        assert [top["lastUpdateId"] - 15 * number for top in tops] == [*range(101, 116)]
        assert [t - 2_000_000 * number for t, _, _ in again] == [
            t for t, _, _ in rounds[0]
        ]


# A library


def test_a_library_gives_the_frames_of_a_stream_that_it_can_derive() -> None:
    library = Library([CassetteSource(DEMO, "demo", warn=lambda _: None)])
    recorded = list(library.frames("btcusdt@depth@100ms"))
    derived = list(library.frames("btcusdt@depth"))
    assert 0 < len(derived) < len(recorded)
    last = json.loads(derived[-1].payload)
    assert last["u"] == json.loads(recorded[-1].payload)["u"]
    assert {frame.stream for frame in derived} == {"btcusdt@depth"}
    assert not list(library.frames("btcusdt@kline_5m"))
    names = {frame.stream for frame in library.frames()}
    assert names == library.catalogue.recorded["spot"]


def test_what_one_of_two_markets_records_is_not_derived_from_the_other() -> None:
    spot = SessionSource([Frame(START_US, "a@miniTicker", b"{}")], market="spot")
    usdm = SessionSource([Frame(START_US, "a@ticker", ticker("A"))], market="usdm")
    library = Library([spot, usdm])
    assert [frame.payload for frame in library.frames("a@miniTicker")] == [b"{}"]
    assert library.market_of("a@miniTicker") == "spot"
    assert [f.payload for f in Library([usdm]).frames("a@miniTicker")] == [mini("A")]


@pytest.mark.parametrize(
    ("name", "market"),
    [("b@ticker", "usdm"), ("b@miniTicker", "usdm"), ("b@trade", "spot")],
)
def test_a_stream_belongs_to_the_market_that_has_it_or_can_derive_it(
    name: str, market: Market
) -> None:
    spot = SessionSource([Frame(START_US, "a@ticker", ticker("A"))], market="spot")
    usdm = SessionSource([Frame(START_US, "b@ticker", ticker("B"))], market="usdm")
    assert Library([spot, usdm]).market_of(name) == market


# Real recordings

RECORDINGS = [
    ("polysim-spot-20260718", "spot"),
    ("polysim-usdm-20260718", "usdm"),
    ("cryptofeed-spot-20210404", "spot"),
    ("lasota-spot-20240903", "spot"),
    pytest.param("hftbacktest-usdm-20240808", "usdm", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("recording", "market"), RECORDINGS)
def test_real_diffs_merged_build_the_same_book(
    shared_data: Path, recording: str, market: Market
) -> None:
    library = open_recording(shared_data / recording, market)
    for source in (n for n in library.catalogue.recorded[market] if "@depth" in n):
        fast = [frame.payload for frame in library.frames(source)]
        slow = [frame.payload for frame in library.frames(slower(source))]
        assert len(slow) < len(fast)
        assert levels_after(slow) == levels_after(fast)
        for before, event in pairwise(map(json.loads, slow)):
            assert event.get("pu", event["U"] - 1) == before["u"]


def open_recording(
    folder: Path, market: Market, answers: Sequence[RestAnswer] = ()
) -> Library:
    """The first ten thousands of frames of a recording."""
    (path,) = folder.glob("session.jsonl*")
    frames = islice(read_frames(path), 40_000)
    return Library([SessionSource(frames, market=market, rest=answers)])


def slower(source: str, levels: str = "") -> str:
    return f"{source.partition('@')[0]}@depth{levels}"


def levels_after(payloads: Iterable[bytes]) -> dict[tuple[str, str], str]:
    """The last quantity of each side and price, removals included."""
    events = map(json.loads, payloads)
    return {
        (side, price): quantity
        for event in events
        for side in "ba"
        for price, quantity, *_ in event[side]
    }


@pytest.mark.parametrize("levels", ["5", "20"])
@pytest.mark.slow
def test_real_pictures_are_the_top_of_the_true_book(
    shared_data: Path, levels: str
) -> None:
    folder = shared_data / "cryptofeed-spot-20210404"
    for file in (folder / "rest").glob("*_depth_1000.json"):
        symbol = file.name.partition("_")[0]
        request = f"/api/v3/depth?symbol={symbol}&limit=1000"
        answer = RestAnswer(0, request, 200, file.read_bytes())
        library = open_recording(folder, "spot", [answer])
        source = f"{symbol.lower()}@depth@100ms"
        shown = {
            picture["lastUpdateId"]: [picture["bids"], picture["asks"]]
            for picture in (
                json.loads(frame.payload)
                for frame in library.frames(slower(source, levels))
            )
        }
        oracle = SymbolBook(symbol, "spot", [Snapshot.parse(answer.payload)])
        seen = 0
        for frame in library.frames(source):
            oracle.take(parse_change(frame.payload))
            if oracle.book is not None and oracle.book.update_id in shown:
                count = int(levels.partition("@")[0])
                top = [list(map(list, side)) for side in oracle.book.texts(count)]
                assert shown[oracle.book.update_id] == top
                seen += 1
        assert seen == len(shown) > 10
