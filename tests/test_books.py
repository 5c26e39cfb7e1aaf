"""Books along a tape: every snapshot made for a place joins what follows there."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.book import Change, OrderBook, parse_change
from pytest_binance_replay.books import BookKey, Books, Sources, fastest_diff
from pytest_binance_replay.cassette import Batch
from pytest_binance_replay.following import Snapshot, SymbolBook
from pytest_binance_replay.streams import Market

RECORDINGS: list[tuple[str, Market]] = [
    ("cryptofeed-spot-20210404", "spot"),
    ("cryptofeed-spot-20210417", "spot"),
    ("cryptofeed-spot-20211012", "spot"),
    ("hftbacktest-coinm-20240808", "usdm"),
    ("hftbacktest-spot-20240808", "spot"),
    ("hftbacktest-usdm-20230404", "usdm"),
    ("hftbacktest-usdm-20240808", "usdm"),
    ("jayhere1-spot-20260704", "spot"),
]
SHORT = {"cryptofeed-spot-20211012", "jayhere1-spot-20260704"}
POSITIONS = 50
ENOUGH = 200


class Recording:
    """A real recording in memory, with its books."""

    def __init__(self, folder: Path, market: Market) -> None:
        from pytest_binance_replay.files import CassetteReader

        self.market = market
        self._events: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        (path,) = folder.glob("session.jsonl*")
        with CassetteReader(path) as reader:
            self.batches = list(reader.batches())
        self.keys = [key for batch in self.batches for key in batch.streams]
        self.payloads = [p for batch in self.batches for p in batch.payloads]
        self.diff_keys: dict[BookKey, bytes] = {}
        self.snapshots: dict[BookKey, list[Snapshot]] = {}
        for file in sorted((folder / "rest").glob("*_depth*.json")):
            symbol = file.name.partition("_depth")[0]
            name = fastest_diff(symbol, {key.decode() for key in self.keys})
            if name is not None:
                self.diff_keys[market, symbol] = name.encode()
                snapshot = Snapshot.parse(file.read_bytes())
                self.snapshots[market, symbol] = [snapshot]

    def books(self) -> Books:
        """Return fresh books."""

        def read() -> Iterator[Batch]:
            return iter(self.batches)

        return Books(read, Sources(self.diff_keys, self.snapshots))

    def changes(
        self, symbol: str, start: int, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the symbol's diff events from one frame to another."""
        if symbol not in self._events:
            key = self.diff_keys[self.market, symbol]
            rows = zip(count(), self.keys, self.payloads, strict=False)
            self._events[symbol] = [(n, json.loads(p)) for n, k, p in rows if k == key]
        events = self._events[symbol]
        first = bisect_left(events, start, key=itemgetter(0))
        last = (
            len(events)
            if stop is None
            else bisect_left(events, stop, key=itemgetter(0))
        )
        return [event for _, event in events[first:last]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(r, id=r[0], marks=[] if r[0] in SHORT else [pytest.mark.slow])
        for r in RECORDINGS
    ],
)
def recording(request: pytest.FixtureRequest, shared_data: Path) -> Recording:
    """Return each real recording that has a snapshot."""
    name, market = request.param
    return Recording(shared_data / name, market)


def join(
    market: Market, update_id: int, events: list[dict[str, Any]]
) -> list[dict[str, Any]] | None:
    """Follow the exchange's documented steps; None if the client must start over."""
    if market == "spot":
        if events and update_id < events[0]["U"] - 1:
            return None
        left = [e for e in events if e["u"] > update_id]
        if left and not left[0]["U"] <= update_id + 1 <= left[0]["u"]:
            return None
        return left
    left = [e for e in events if e["u"] >= update_id]
    if left and not left[0]["U"] <= update_id <= left[0]["u"]:
        return None
    return left


def test_every_answer_joins_what_follows_by_the_documented_steps(
    recording: Recording,
) -> None:
    chance = random.Random(7)
    books = recording.books()
    for market, symbol in recording.diff_keys:
        places = sorted(
            chance.sample(
                range(len(recording.keys)), k=min(POSITIONS, len(recording.keys))
            )
        )
        for place in places:
            answer = books.answer(market, symbol, place, 5000)
            assert answer is not None
            events = recording.changes(symbol, place)
            assert join(market, answer.update_id, events) is not None, place


def test_books_agree_with_the_book_tickers(recording: Recording) -> None:
    checked = 0
    for (market, symbol), key in recording.diff_keys.items():
        ticker_key = key.partition(b"@")[0] + b"@bookTicker"
        followed = SymbolBook(symbol, market, recording.snapshots[market, symbol])
        tickers = {
            ticker["u"]: ticker
            for k, p in zip(recording.keys, recording.payloads, strict=True)
            if k == ticker_key and (ticker := json.loads(p))
        }
        for k, payload in zip(recording.keys, recording.payloads, strict=True):
            if k != key:
                continue
            followed.take(parse_change(payload))
            book = followed.book
            if book is not None and (ticker := tickers.pop(book.update_id, None)):
                assert book.best_bid == (Decimal(ticker["b"]), Decimal(ticker["B"]))
                assert book.best_ask == (Decimal(ticker["a"]), Decimal(ticker["A"]))
                checked += 1
                if checked > ENOUGH:
                    break
        assert followed.book is not None
        assert followed.holes == []
    has_tickers = any(key.endswith(b"@bookTicker") for key in recording.keys)
    assert (checked > 0) is has_tickers


def test_joined_client_ends_with_the_true_book(recording: Recording) -> None:
    total = min(len(recording.keys), 40_000)
    for market, symbol in recording.diff_keys:
        true = recording.books().at(market, symbol, total)
        assert true is not None
        assert true.book is not None
        answer = recording.books().answer(market, symbol, total // 2, 5000)
        assert answer is not None
        client = OrderBook(
            symbol,
            market,
            update_id=answer.update_id,
            bids=answer.bids,
            asks=answer.asks,
        )
        for event in recording.changes(symbol, total // 2, total):
            client.apply_change(
                Change(event["U"], event["u"], event.get("pu"), event["b"], event["a"])
            )
        assert true.book.differences(client.bids, client.asks, depth=50) == []


def test_going_back_gives_what_going_forward_gave(recording: Recording) -> None:
    books = recording.books()
    total = min(len(recording.keys), 20_000)
    market, symbol = next(iter(recording.diff_keys))
    places = [total // 3, total // 2, total]
    forward = [books.answer(market, symbol, place, 10) for place in places]
    back = [books.answer(market, symbol, place, 10) for place in reversed(places)]
    assert back == forward[::-1]


def spot_event(first: int, last: int, price: str = "9", quantity: str = "1") -> bytes:
    """Return a spot diff payload."""
    return json.dumps(
        {"e": "depthUpdate", "U": first, "u": last, "b": [[price, quantity]], "a": []}
    ).encode()


def snapshot(update_id: int, price: str = "9") -> Snapshot:
    """Return a snapshot with one bid."""
    body = {"lastUpdateId": update_id, "bids": [[price, "5"]], "asks": []}
    return Snapshot.parse(json.dumps(body).encode())


def small_books(events: list[bytes], snapshots: list[Snapshot]) -> Books:
    """Return the books of a tape with one symbol, one frame to a batch."""

    def read() -> Iterator[Batch]:
        for number, payload in enumerate(events):
            yield Batch([number], [b"ltcbtc@depth"], [payload], [])

    key: BookKey = ("spot", "LTCBTC")
    return Books(read, Sources({key: b"ltcbtc@depth"}, {key: snapshots}))


def test_recorded_snapshot_is_given_until_it_has_joined() -> None:
    recorded = snapshot(12)
    books = small_books(
        [spot_event(9, 10), spot_event(11, 12), spot_event(13, 14)], [recorded]
    )
    for number in (0, 1, 2):
        answer = books.answer("spot", "LTCBTC", number, 100)
        assert answer is not None
        assert (answer.update_id, answer.recorded) == (12, recorded.payload)
    joined = books.answer("spot", "LTCBTC", 3, 100)
    assert joined is not None
    assert (joined.update_id, joined.recorded) == (14, None)


def test_gap_in_the_recording_ends_the_book_until_the_next_snapshot() -> None:
    books = small_books(
        [spot_event(1, 2), spot_event(9, 10), spot_event(11, 12)],
        [snapshot(1), snapshot(10)],
    )
    broken = books.at("spot", "LTCBTC", 2)
    assert broken is not None
    assert broken.book is None
    assert "6 updates are missing" in broken.holes[0]
    mended = books.at("spot", "LTCBTC", 3)
    assert mended is not None
    assert mended.book is not None
    assert mended.book.update_id == 12


def test_snapshot_too_old_for_its_stream_allows_no_book() -> None:
    books = small_books([spot_event(9, 10)], [snapshot(3)])
    assert books.answer("spot", "LTCBTC", 1, 100) is None


def test_symbol_without_diffs_or_snapshot_has_no_book() -> None:
    books = small_books([spot_event(1, 2)], [])
    assert not books.knows("spot", "LTCBTC")
    assert books.at("spot", "LTCBTC", 1) is None
    assert books.answer("spot", "LTCUSDT", 1, 5) is None


@pytest.mark.parametrize(
    ("names", "fastest"),
    [
        (["a@depth", "a@depth@100ms"], "a@depth@100ms"),
        (["a@depth@500ms", "a@depth"], "a@depth"),
        (["a@depth@0ms", "a@depth@100ms"], "a@depth@0ms"),
        (["b@depth", "a@depth5"], None),
    ],
)
def test_books_follow_the_fastest_stream(names: list[str], fastest: str | None) -> None:
    assert fastest_diff("A", names) == fastest
