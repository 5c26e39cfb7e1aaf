"""Books kept from partial depth: true as far as they know, and no further."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.book import Change, OrderBook, parse_change
from pytest_binance_replay.cassette import Frame, Line, RestAnswer
from pytest_binance_replay.files import CassetteReader
from pytest_binance_replay.market import generate
from pytest_binance_replay.picture import parse_partial
from pytest_binance_replay.shallow import KEPT_DIFFS, ShallowBook
from pytest_binance_replay.strategies import sessions
from pytest_binance_replay.streams import Market, parse_stream
from tests.shallow_tape import ShallowTape, assert_true, diff, picture, within
from tests.test_books import join

SECOND_US = 1_000_000
TAPES: list[tuple[Market, str, str]] = [
    ("spot", "calm", "depth@100ms depth20@100ms"),
    ("spot", "crash", "depth depth5@100ms"),
    ("spot", "crash", "depth@100ms depth20 depth5@100ms"),
    ("usdm", "calm", "depth@0ms depth20@500ms"),
    ("usdm", "crash", "depth@100ms depth5@100ms"),
]
PLACES = 60


@cache
def lines_of(market: Market, scenario: str, streams: str) -> list[Line]:
    """A generated session."""
    return list(
        generate(
            seed=3,
            scenario=scenario,
            length_us=15 * SECOND_US,
            symbols=["BTCUSDT"],
            market=market,
            streams=streams.split(),
            levels=30,
        )
    )


@pytest.fixture(params=TAPES, ids=" ".join)
def tape(request: pytest.FixtureRequest) -> ShallowTape:
    """Tapes with diffs, partial depth, and a snapshot to know the truth by."""
    market, scenario, streams = request.param
    return ShallowTape(lines_of(market, scenario, streams), market)


def places_on(tape: ShallowTape) -> list[int]:
    """Some numbers of frames, both ends among them."""
    count = len(tape.frames)
    some = random.Random(5).sample(range(count), k=min(PLACES, count))
    return sorted({0, *some, count})


def as_change(event: dict[str, Any]) -> Change:
    return Change(event["U"], event["u"], event.get("pu"), event["b"], event["a"])


# Against the truth


def test_all_that_a_shallow_book_knows_is_true(tape: ShallowTape) -> None:
    books, compared = tape.books(), 0
    for number in range(len(tape.frames) + 1):
        found = books.at(*tape.key, number)
        assert found is not None
        if found.book is not None and found.book.update_id in tape.truth:
            assert_true(found.book, tape.truth[found.book.update_id])
            compared += 1
    assert compared > len(tape.frames) // 2


def test_every_shallow_answer_joins_what_follows(tape: ShallowTape) -> None:
    market, symbol = tape.key
    books = tape.books()
    for place in places_on(tape):
        answer = books.answer(market, symbol, place, 5000)
        assert answer is not None
        assert join(market, answer.update_id, tape.events(place)) is not None, place


def test_who_joins_a_shallow_answer_knows_its_range_to_the_end(
    tape: ShallowTape,
) -> None:
    market, symbol = tape.key
    books = tape.books()
    truth = tape.truth[max(tape.truth)]
    for place in places_on(tape):
        answer = books.answer(market, symbol, place, 5000)
        assert answer is not None
        client = OrderBook(
            symbol,
            market,
            update_id=answer.update_id,
            bids=answer.bids,
            asks=answer.asks,
        )
        for event in tape.events(place):
            client.apply_change(as_change(event))
        bid, ask = Decimal(answer.bids[-1][0]), Decimal(answer.asks[-1][0])
        assert within(client.bids, bid, are_bids=True) == within(
            truth.bids, bid, are_bids=True
        )
        assert within(client.asks, ask, are_bids=False) == within(
            truth.asks, ask, are_bids=False
        )


def test_a_shallow_book_copies_and_compares_as_far_as_it_knows(
    tape: ShallowTape,
) -> None:
    market, symbol = tape.key
    books, place = tape.books(), len(tape.frames)
    found, again = (books.book(market, symbol, place) for _ in range(2))
    assert found is not None
    assert found == again
    truth = tape.truth[found.update_id]
    assert found != truth
    assert found.differences(truth.bids, truth.asks) == []
    assert truth.differences(found.bids, found.asks) != []


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_without_diffs_the_newest_partial_depth_is_the_book(market: Market) -> None:
    tape = ShallowTape(lines_of(market, "crash", "depth10@100ms"), market)
    books = tape.books()
    for number in range(len(tape.frames) + 1):
        shown = parse_partial(tape.frames[max(number - 1, 0)].payload, market, 10)
        book = books.book(*tape.key, number)
        assert book == shown.book("BTCUSDT", market)
        answer = books.answer(*tape.key, number, 4)
        assert answer is not None
        assert answer.update_id == shown.update_id
        assert list(map(list, answer.bids)) == list(map(list, shown.bids[:4]))


def test_a_recorded_snapshot_is_the_authority(tape: ShallowTape) -> None:
    market, symbol = tape.key
    plain = ShallowTape(
        [*tape.answers, *(f for f in tape.frames if f.stream == tape.diffs)], market
    )
    for place in places_on(tape):
        here = tape.books(snapshots=True).answer(market, symbol, place, 5000)
        diffs = [f for f in tape.frames[:place] if f.stream == tape.diffs]
        there = plain.books(snapshots=True).answer(market, symbol, len(diffs), 5000)
        assert here == there


@given(data=st.data(), market=st.sampled_from(["spot", "usdm"]))
def test_a_shallow_book_of_any_session_is_true_with_any_loss(
    data: st.DataObject, market: Market
) -> None:
    streams = ["depth@100ms", "depth5@100ms"]
    session = data.draw(sessions(market=market, streams=streams, min_size=5))
    lost = data.draw(st.lists(st.integers(0, 12), max_size=2))
    tape = ShallowTape(session.lines, market, without=lost)
    books = tape.books()
    for number in range(len(tape.frames) + 1):
        if not tape.limits:
            assert not books.knows(*tape.key)
            return
        found = books.at(*tape.key, number)
        assert found is not None
        if found.book is not None and found.book.update_id in tape.truth:
            assert_true(found.book, tape.truth[found.book.update_id])


# Rule by rule


def followed(*told: tuple[str, dict[str, Any]] | Change) -> ShallowBook:
    """A shallow book that has been told some things."""
    book = ShallowBook("LTCBTC", "spot")
    for one in told:
        if isinstance(one, Change):
            book.take(one)
        else:
            name, shown = one
            limit = int(name.rpartition("depth")[2])
            book.show(parse_partial(json.dumps(shown), "spot", limit))
    return book


def bids_of(book: ShallowBook) -> str:
    assert book.book is not None
    return " ".join(price for price, _ in book.book.texts(9)[0])


def test_levels_beyond_the_last_one_shown_are_left_out() -> None:
    book = followed(picture(5, "80 79"), diff(6, 6, "78:3", "81:1"))
    assert bids_of(book) == "81 80 79"


def test_a_used_level_makes_the_book_shallower_until_the_next_picture() -> None:
    told = picture(5, "80 79"), diff(6, 6, "79:0", "78:3")
    assert bids_of(followed(*told)) == "80"
    assert bids_of(followed(*told, picture(6, "80 78"))) == "80 78"


def test_a_side_that_is_used_up_leaves_no_book_until_it_is_known_again() -> None:
    told = picture(5, "80 79"), diff(6, 6, "80:0", "79:0", "78:3")
    assert followed(*told).book is None
    assert bids_of(followed(*told, diff(7, 7, "79.5:1"))) == "79.5"


def test_a_side_with_fewer_levels_than_could_be_shown_is_known_whole() -> None:
    book = followed(picture(5, "80"), diff(6, 6, "3:1"))
    assert bids_of(book) == "80 3"
    assert book.book is not None
    assert book.book.known_to == (None, Decimal(91))
    assert followed(picture(5, "80"), diff(6, 6, "80:0")).book is not None


def test_a_picture_that_shows_less_does_not_take_over() -> None:
    told = picture(5, "80 79 78", "90 91 92", limit=3), diff(6, 7)
    assert bids_of(followed(*told, picture(7, "80 79"))) == "80 79 78"


def test_a_picture_joins_diffs_that_came_before_it() -> None:
    late = diff(4, 5), diff(6, 7, "81:1"), diff(8, 9, "82:1"), picture(6, "80 79")
    assert bids_of(followed(*late)) == "82 81 80 79"


def test_a_picture_waits_for_the_diff_that_spans_it() -> None:
    early = diff(4, 5), picture(7, "80 79")
    book = followed(*early)
    assert book.book is None
    assert book.newest_picture is not None
    book.take(diff(6, 8, "81:1"))
    assert bids_of(book) == "81 80 79"
    assert book.newest_picture is None


def test_of_pictures_that_wait_the_newest_counts() -> None:
    book = followed(picture(7, "80 79"), picture(9, "82 81"), picture(8, "81 80"))
    assert book.newest_picture is not None
    assert book.newest_picture.update_id == 9


@pytest.mark.parametrize(
    ("shown", "first"),
    [(7, 9), (1, 3)],
)
def test_a_picture_too_old_for_its_diffs_is_no_book(shown: int, first: int) -> None:
    book = followed(diff(first, first + 1), picture(shown, "80 79"))
    book.take(diff(first + 2, first + 2))
    assert (book.book is None) is (shown < first - 1)


def test_a_gap_ends_the_book_until_the_next_picture() -> None:
    told = picture(5, "80 79"), diff(6, 6), diff(8, 8, "81:1")
    assert followed(*told).book is None
    assert bids_of(followed(*told, picture(8, "81 80"))) == "81 80"
    assert followed(*told, picture(6, "81 80")).book is None


def test_an_event_told_twice_changes_nothing() -> None:
    told = picture(5, "80 79"), diff(6, 7, "81:1"), diff(8, 8, "81:0")
    assert bids_of(followed(*told, diff(6, 7, "81:1"))) == "80 79"


def test_futures_follow_by_the_id_of_the_event_before() -> None:
    def event(before: int, first: int, last: int) -> Change:
        return Change(first, last, before, [["80", str(last)]], [])

    book = ShallowBook("LTCUSDT", "usdm")
    shown = {"u": 20, "b": [["80", "1"], ["79", "1"]], "a": []}
    book.take(event(5, 8, 15))
    book.show(parse_partial(json.dumps(shown), "usdm", 2))
    book.take(event(15, 18, 22))
    assert book.book is not None
    assert book.book.texts(1)[0] == [("80", "22")]
    book.take(event(21, 23, 25))
    assert book.book is None


def test_a_picture_is_no_use_once_the_diffs_behind_it_are_forgotten() -> None:
    diffs = [diff(n, n) for n in range(1, KEPT_DIFFS + 3)]
    assert followed(*diffs, picture(1, "80 79")).book is None
    assert followed(*diffs, picture(2, "80 79")).book is not None


# Real recordings

REAL: list[tuple[str, Market, str]] = [
    ("cryptofeed-spot-20211012", "spot", "NKNUSDT"),
    ("hftbacktest-spot-20240808", "spot", "BTCUSDT"),
    ("hftbacktest-usdm-20230404", "usdm", "BTCUSDT"),
]
REAL_DIFFS = 300


def real_diffs(folder: Path, symbol: str) -> Iterator[Frame]:
    """The diff depth of a symbol, from the start of a recording."""
    (path,) = folder.glob("session.jsonl*")
    with CassetteReader(path) as reader:
        for batch in reader.batches():
            rows = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
            for time_us, key, payload in rows:
                if key.startswith(f"{symbol.lower()}@depth".encode()):
                    yield Frame(time_us, key.decode(), payload)


def pictured(diffs: list[Frame], truth: dict[int, OrderBook], market: Market) -> Any:
    """Put pictures of a true book between its diffs, some early and some late."""
    dice = random.Random(2)
    placed: list[tuple[float, Frame]] = []
    for n, diff_frame in enumerate(diffs):
        placed.append((n, diff_frame))
        update_id = parse_change(diff_frame.payload).final_update_id
        if n % 9 or update_id not in truth:
            continue
        bids, asks = truth[update_id].texts(10)
        shown: dict[str, Any] = {"lastUpdateId": update_id, "bids": bids, "asks": asks}
        if market == "usdm":
            shown = {"e": "depthUpdate", "u": update_id, "b": bids, "a": asks}
        name = diff_frame.stream.partition("@")[0] + "@depth10"
        made = Frame(diff_frame.receive_time_us, name, json.dumps(shown).encode())
        placed.append((n + dice.choice([-2.5, -0.5, 0.5, 2.5]), made))
    return [one for _, one in sorted(placed, key=itemgetter(0))]


@pytest.mark.parametrize(("name", "market", "symbol"), REAL)
def test_pictures_of_a_real_book_keep_it_with_its_real_diffs(
    shared_data: Path, name: str, market: Market, symbol: str
) -> None:
    folder = shared_data / name
    (file,) = (folder / "rest").glob(f"{symbol}_depth*.json")
    answer = RestAnswer(0, f"/depth?symbol={symbol}", 200, file.read_bytes())
    diffs = list(islice(real_diffs(folder, symbol), REAL_DIFFS))
    whole = ShallowTape([answer, *diffs], market, symbol)
    lines = [answer, *pictured(diffs, whole.truth, market)]
    tape = ShallowTape(lines, market, symbol)
    books, compared = tape.books(), 0
    for place in range(len(tape.frames) + 1):
        found = books.at(*tape.key, place)
        assert found is not None
        if found.book is not None and found.book.update_id in whole.truth:
            assert_true(found.book, whole.truth[found.book.update_id])
            compared += 1
    assert compared > len(diffs) // 2
    for place in range(0, len(tape.frames), 5):
        answered = books.answer(*tape.key, place, 5000)
        assert answered is not None
        assert join(market, answered.update_id, tape.events(place)) is not None


def test_real_partial_depth_is_a_book_of_its_own(shared_data: Path) -> None:
    shown = 0
    path = shared_data / "singles-crypto-msg-parser" / "frames.jsonl"
    for raw in path.read_bytes().splitlines():
        line = json.loads(raw)
        markets: list[Market] = ["spot"] if "bids" in line["data"] else ["usdm"]
        parsed = parse_stream(line["stream"], markets[0])
        if parsed is None or parsed.levels is None:
            continue
        payload = raw[raw.index(b'"data":') + 7 : raw.rindex(b"}")]
        frame = Frame(line["t"] or 0, line["stream"], payload)
        tape = ShallowTape([frame], markets[0], (parsed.symbol or "").upper())
        book = tape.books().book(*tape.key, 1)
        assert book is not None
        bids, asks = (line["data"].get(a, line["data"].get(b)) for a, b in SIDES)
        assert [(str(p), str(q)) for p, q in book.bids] == list(map(tuple, bids))
        assert [(str(p), str(q)) for p, q in book.asks] == list(map(tuple, asks))
        shown += 1
    assert shown == 6


SIDES = (("b", "bids"), ("a", "asks"))
