"""Parts of cassettes: what is in them, and that a bot can sync with them."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_binance_replay.book import OrderBook, parse_change
from pytest_binance_replay.books import fastest_diff
from pytest_binance_replay.cassette import Frame, Header, Line, Mark, RestAnswer
from pytest_binance_replay.errors import MarketUnknownError, NothingLeftError
from pytest_binance_replay.files import read_frames, read_lines, summarise
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tools.converting import Conversion, open_inputs, write_items
from pytest_binance_replay.tools.cutting import MADE, Cut, Span
from pytest_binance_replay.tools.inspection import check_file
from pytest_binance_replay.writer import CassetteWriter
from tests.test_recordings import RECORDINGS

DEMO = RECORDINGS / "spot.jsonl"
FRAMES = list(read_frames(DEMO))
SHOWN_LEVELS = 20
USDM_LINES = 2000  # of each file, one of them a snapshot


def cut(source: Path, target: Path, span: Span, **wanted: object) -> list[Line]:
    """Cut, write, and return the lines of the result."""
    part = Cut(source, span, **wanted)  # type: ignore[arg-type]
    with CassetteWriter(target, part.header) as writer:
        write_items(writer, part.items())
    return list(read_lines(target))


def frames_of(lines: list[Line]) -> list[Frame]:
    return [line for line in lines if isinstance(line, Frame)]


def synced_book(lines: list[Line], symbol: str, market: Market) -> OrderBook | None:
    """Return the book at the end of a cassette, by the exchange's own procedure.

    A client takes the snapshot first and drops the events that it already has.
    """
    stream = fastest_diff(symbol, {frame.stream for frame in frames_of(lines)})
    diffs = [parse_change(f.payload) for f in frames_of(lines) if f.stream == stream]
    for answer in lines:
        if (
            not isinstance(answer, RestAnswer)
            or f"symbol={symbol}&" not in answer.request
        ):
            continue
        body = json.loads(answer.payload)
        last = body["lastUpdateId"]
        book = OrderBook(
            symbol, market, update_id=last, bids=body["bids"], asks=body["asks"]
        )
        left = [
            diff
            for diff in diffs
            if diff.final_update_id > last
            or (market == "usdm" and diff.final_update_id == last)
        ]
        if not left:
            continue
        edge = last + (market == "spot")
        assert left[0].first_update_id <= edge <= left[0].final_update_id
        for diff in left:
            book.apply_change(diff)
        return book
    return None


def top(book: OrderBook | None) -> object:
    if book is None:
        return None
    return book.update_id, book.bids[:SHOWN_LEVELS], book.asks[:SHOWN_LEVELS]


def errors_in(path: Path) -> list[str]:
    return [f.sentence for f in check_file(path) if f.severity == "error"]


def check_cut(source: Path, target: Path, span: Span, symbols: list[str]) -> None:
    """Check that a part has its frames, is sound, and gives the books of the whole."""
    lines = cut(source, target, span)
    whole = list(read_frames(source))
    assert frames_of(lines) == whole[span.first : span.stop]
    assert errors_in(target) == []
    market = summarise(source).market
    assert market is not None
    until = [line for line in read_lines(source) if not isinstance(line, Frame)]
    reference = [*until, *whole[: span.stop]]
    for symbol in symbols:
        found = synced_book(lines, symbol, market)
        if found is not None:
            assert top(found) == top(synced_book(reference, symbol, market))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_a_part_of_the_demo_is_sound_and_syncs(
    data: st.DataObject, tmp_path: Path
) -> None:
    first = data.draw(st.integers(0, len(FRAMES) - 1))
    stop = data.draw(st.integers(first + 1, len(FRAMES)))
    target = tmp_path / "part.jsonl"
    check_cut(DEMO, target, Span(first=first, stop=stop), ["BTCUSDT", "ETHUSDT"])
    if stop - first > 100:
        assert synced_book(list(read_lines(target)), "BTCUSDT", "spot") is not None


def converted(files: list[Path], target: Path) -> Path:
    conversion = Conversion(open_inputs(files))
    with CassetteWriter(target, conversion.survey().header) as writer:
        write_items(writer, conversion.items())
    return target


@pytest.fixture(scope="module")
def cryptofeed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real recording of three spot symbols, with snapshots that join late."""
    original = shared_data / "cryptofeed-spot-20210404" / "original"
    target = tmp_path_factory.mktemp("cut") / "cryptofeed.jsonl"
    return converted(list(original.iterdir()), target)


@pytest.fixture(scope="module")
def usdm(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of a real recording of futures, with their snapshots."""
    folder = tmp_path_factory.mktemp("cut")
    files = []
    for original in (shared_data / "hftbacktest-usdm-20240808" / "original").iterdir():
        with gzip.open(original) as packed:
            beginning = b"".join(islice(packed, USDM_LINES))
        files.append(folder / original.name)
        files[-1].write_bytes(beginning)
    return converted(files, folder / "usdm.jsonl")


def spans(size: int) -> st.SearchStrategy[Span]:
    bounds = st.tuples(st.integers(0, size - 1), st.integers(1, size))
    return bounds.filter(lambda b: b[0] < b[1]).map(
        lambda b: Span(first=b[0], stop=b[1])
    )


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(span=spans(4716))
def test_a_part_of_a_real_spot_recording_is_sound_and_syncs(
    cryptofeed: Path, tmp_path: Path, span: Span
) -> None:
    symbols = ["BTCUSDT", "ETHUSDT", "DOTUSDT"]
    check_cut(cryptofeed, tmp_path / "part.jsonl", span, symbols)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(span=spans(2 * USDM_LINES - 2))
def test_a_part_of_a_real_futures_recording_is_sound_and_syncs(
    usdm: Path, tmp_path: Path, span: Span
) -> None:
    check_cut(usdm, tmp_path / "part.jsonl", span, ["BTCUSDT", "ETHUSDT"])


def test_books_that_are_known_at_the_start_are_made_there(tmp_path: Path) -> None:
    lines = cut(DEMO, tmp_path / "part.jsonl", Span(first=400))
    marks = [line for line in lines if isinstance(line, Mark) and line.name == MADE]
    answers = {line.request: line for line in lines if isinstance(line, RestAnswer)}
    for mark in marks:
        assert mark.fields["from"] == "the order book at the cut"
        assert mark.receive_time_us == FRAMES[400].receive_time_us
        assert str(mark.fields["rest"]) in answers
    assert len(marks) == 3


def test_a_part_from_the_first_frame_keeps_the_recorded_snapshots(
    tmp_path: Path,
) -> None:
    lines = cut(DEMO, tmp_path / "part.jsonl", Span())
    recorded = [line for line in read_lines(DEMO) if not isinstance(line, Header)]
    assert sorted(map(repr, lines[1:])) == sorted(map(repr, recorded))


def test_what_was_asked_before_the_part_is_kept(tmp_path: Path) -> None:
    lines = cut(DEMO, tmp_path / "part.jsonl", Span(first=700))
    requests = [line.request for line in lines if isinstance(line, RestAnswer)]
    assert "/api/v3/exchangeInfo" in requests


def test_the_header_of_a_part_says_what_it_is(tmp_path: Path) -> None:
    streams = {"btcusdt@trade", "btcusdt@depth@100ms"}
    lines = cut(
        DEMO, tmp_path / "part.jsonl", Span(first=400), wanted=streams.__contains__
    )
    header = lines[0]
    assert isinstance(header, Header)
    assert set(header.streams or ()) == streams
    assert header.extra["cut_from"] == "spot.jsonl"
    assert (header.market, header.test) == ("spot", None)
    assert header.source == summarise(DEMO).header.source
    first = next(f for f in FRAMES[400:] if f.stream in streams)
    assert frames_of(lines)[0] == first
    assert (header.recorded_at or "").startswith("2026-11-20T10:00:")


def test_a_part_has_the_answers_of_its_own_symbols_only(tmp_path: Path) -> None:
    lines = cut(
        DEMO,
        tmp_path / "part.jsonl",
        Span(first=400),
        wanted=lambda name: name.startswith("eth"),
    )
    requests = [line.request for line in lines if isinstance(line, RestAnswer)]
    assert all("ETHUSDT" in r or "symbol" not in r for r in requests)
    assert any("ETHUSDT" in request for request in requests)
    assert errors_in(tmp_path / "part.jsonl") == []


def test_times_bound_a_part_from_the_first_to_before_the_second(tmp_path: Path) -> None:
    span = Span(from_us=FRAMES[100].receive_time_us, to_us=FRAMES[200].receive_time_us)
    lines = cut(DEMO, tmp_path / "part.jsonl", span)
    expected = [
        frame
        for frame in FRAMES
        if FRAMES[100].receive_time_us
        <= frame.receive_time_us
        < FRAMES[200].receive_time_us
    ]
    assert frames_of(lines) == expected


@pytest.mark.parametrize(
    "span", [Span(first=10**6), Span(from_us=10**17), Span(to_us=5)]
)
def test_a_part_without_frames_is_an_error_that_says_what_there_is(span: Span) -> None:
    with pytest.raises(NothingLeftError) as caught:
        Cut(DEMO, span)
    assert str(caught.value).startswith(
        f"{DEMO}: no frame lies in the cut: it has {len(FRAMES)} frames from 2026-11-"
    )


# Odd cassettes

DIFF = (
    '{{"t":{t},"stream":"a@depth","data":{{"U":{first},"u":{last},"b":[],"a":[]}}}}\n'
)
REST = (
    '{{"t":{t},"rest":"{path}","status":{status},"data":{{"lastUpdateId":{last},'
    '"bids":[["1","1"]],"asks":[]}}}}\n'
)
HEAD = '{"cassette":1,"market":"spot"}\n'


def diff(t: int, first: int, last: int) -> str:
    return DIFF.format(t=t, first=first, last=last)


def snapshot(
    t: int, last: int, path: str = "/api/v3/depth?symbol=A", status: int = 200
) -> str:
    return REST.format(t=t, last=last, path=path, status=status)


def part_of(tmp_path: Path, span: Span, *lines: str) -> list[Line]:
    source = tmp_path / "odd.jsonl"
    market = "usdm" if "fapi" in "".join(lines) else "spot"
    source.write_text(HEAD.replace("spot", market) + "".join(lines), "utf-8")
    return cut(source, tmp_path / "part.jsonl", span)


def answers_of(lines: list[Line]) -> list[tuple[int, int]]:
    answers = (line for line in lines if isinstance(line, RestAnswer))
    return [(a.receive_time_us, json.loads(a.payload)["lastUpdateId"]) for a in answers]


def test_a_snapshot_received_behind_the_part_is_kept_if_it_joins_inside(
    tmp_path: Path,
) -> None:
    lines = part_of(
        tmp_path,
        Span(stop=2),
        diff(1, 1, 2),
        diff(2, 3, 4),
        diff(3, 5, 6),
        snapshot(9, 5),
    )
    assert answers_of(lines) == []
    lines = part_of(
        tmp_path,
        Span(stop=2),
        diff(1, 1, 2),
        diff(2, 3, 4),
        snapshot(8, 3),
        diff(9, 5, 6),
    )
    assert answers_of(lines) == [(8, 3)]


def test_a_snapshot_that_no_event_of_the_part_joins_is_left_out(tmp_path: Path) -> None:
    lines = part_of(
        tmp_path,
        Span(first=1),
        diff(1, 1, 2),
        snapshot(2, 1),
        diff(3, 9, 9),
        snapshot(4, 99),
    )
    assert answers_of(lines) == []


def test_no_snapshot_is_made_across_a_gap(tmp_path: Path) -> None:
    lines = part_of(
        tmp_path,
        Span(first=2),
        snapshot(1, 0),
        diff(1, 1, 2),
        diff(2, 3, 4),
        diff(3, 9, 9),
    )
    assert answers_of(lines) == []


def test_a_snapshot_without_a_diff_stream_is_kept_like_any_answer(
    tmp_path: Path,
) -> None:
    trade = '{"t":5,"stream":"a@trade","data":{"e":"trade"}}\n'
    lines = part_of(tmp_path, Span(), snapshot(1, 7), snapshot(2, 8), trade)
    assert answers_of(lines) == [(2, 8)]


@pytest.mark.parametrize(
    "odd",
    [
        snapshot(1, 1, status=400),
        snapshot(1, 1, path="/api/v3/depth"),
        '{"t":1,"rest":"/api/v3/depth?symbol=A","status":200,"data":{}}\n',
    ],
)
def test_an_answer_that_is_no_snapshot_makes_no_book(tmp_path: Path, odd: str) -> None:
    lines = part_of(tmp_path, Span(first=1), odd, diff(2, 1, 2), diff(3, 3, 4))
    assert not [line for line in lines if isinstance(line, Mark)]


def test_marks_of_streams_that_are_left_out_are_left_out(tmp_path: Path) -> None:
    source = tmp_path / "odd.jsonl"
    marks = (
        '{"t":2,"mark":"gap","stream":"b@trade"}\n',
        '{"t":2,"mark":"gap","stream":"a@depth"}\n',
        '{"t":2,"mark":"reconnected"}\n',
    )
    other = '{"t":2,"stream":"b@trade","data":{}}\n'
    source.write_text(HEAD + diff(1, 1, 2) + "".join(marks) + other, "utf-8")
    lines = cut(
        source, tmp_path / "part.jsonl", Span(), wanted=lambda name: name == "a@depth"
    )
    marks_left = [line.fields for line in lines if isinstance(line, Mark)]
    assert marks_left == [{"stream": "a@depth"}, {}]


def test_a_cassette_of_no_frames_has_no_part(tmp_path: Path) -> None:
    with pytest.raises(NothingLeftError, match="there is no frame in it"):
        part_of(tmp_path, Span(), snapshot(1, 1))


@pytest.mark.parametrize("limit", ["", "&limit=5", "&limit=many"])
def test_a_made_snapshot_asks_for_a_limit_that_covers_it(
    tmp_path: Path, limit: str
) -> None:
    path = f"/api/v3/depth?symbol=A{limit}"
    lines = part_of(
        tmp_path, Span(first=1), snapshot(1, 0, path=path), diff(1, 1, 2), diff(2, 3, 4)
    )
    [answer] = [line for line in lines if isinstance(line, RestAnswer)]
    assert answer.request == "/api/v3/depth?symbol=A&limit=5"


def test_a_made_snapshot_of_futures_joins_the_next_event(tmp_path: Path) -> None:
    event = (
        '{{"t":{t},"stream":"a@depth","data":{{"e":"depthUpdate","U":{u},"u":{u},'
        '"pu":{pu},"b":[],"a":[]}}}}\n'
    )
    first, second = event.format(t=2, u=10, pu=5), event.format(t=3000, u=20, pu=10)
    body = '{"lastUpdateId":10,"E":1,"T":1,"bids":[["1","1"]],"asks":[]}'
    head = '{"t":1,"rest":"/fapi/v1/depth?symbol=A","status":200,"data":'
    rest = f"{head}{body}}}\n"
    lines = part_of(tmp_path, Span(first=1), rest, first, second)
    [answer] = [line for line in lines if isinstance(line, RestAnswer)]
    assert json.loads(answer.payload) == {
        "lastUpdateId": 20,
        "E": 3,
        "T": 3,
        "bids": [["1", "1"]],
        "asks": [],
    }


def test_an_unknown_market_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "odd.jsonl"
    source.write_text('{"t":1,"stream":"a@x","data":{}}\n', "utf-8")
    with pytest.raises(MarketUnknownError):
        Cut(source, Span())


def test_frames_that_go_back_in_time_keep_their_own_times(tmp_path: Path) -> None:
    lines = part_of(tmp_path, Span(from_us=5), diff(9, 1, 2), diff(7, 3, 4))
    assert [frame.receive_time_us for frame in frames_of(lines)] == [9, 7]
