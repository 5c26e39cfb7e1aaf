"""Ledgers and surveys: what a tape has shown before a place, and how it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay import ledger as ledger_module
from pytest_binance_replay.cassette import Batch
from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.errors import ReplayError
from pytest_binance_replay.ledger import (
    KEPT_CANDLES,
    KEPT_TRADES,
    SURVEYED_FRAMES,
    Ledger,
    ShelfKey,
    Survey,
    shelf_key,
    symbols_of,
)
from pytest_binance_replay.streams import Market
from tests.rest_tape import RestTape, Shown, load_tape

TRADES = ShelfKey("spot", "trade", "LTCBTC")


def trade(number: int) -> Shown:
    return "ltcbtc@trade", {"e": "trade", "s": "LTCBTC", "t": number}


def candle(open_time: int, close: str) -> Shown:
    return "ltcbtc@kline_1m", {"e": "kline", "k": {"t": open_time, "c": close}}


@pytest.mark.parametrize(
    ("market", "name", "key"),
    [
        ("spot", "ltcbtc@trade", ("trade", "LTCBTC", "")),
        ("spot", "ltcbtc@depth@100ms", ("depth", "LTCBTC", "")),
        ("spot", "ltcbtc@kline_1d@+08:00", ("kline", "LTCBTC", "1d@+08:00")),
        ("spot", "ltcbtc@ticker_4h", ("ticker", "LTCBTC", "4h")),
        ("spot", "!ticker_1h@arr", ("ticker", "", "1h")),
        ("usdm", "btcusdt@markPrice@1s", ("markPrice", "BTCUSDT", "")),
        (
            "usdm",
            "btcusdt_current_quarter@continuousKline_1h",
            ("continuousKline", "BTCUSDT", "current_quarter_1h"),
        ),
    ],
)
def test_streams_are_sorted_by_what_they_are_about(
    market: Market, name: str, key: tuple[str, str, str]
) -> None:
    assert shelf_key(market, name) == ShelfKey(market, *key)


@pytest.mark.parametrize(
    "name", ["ltcbtc@depth5", "ltcbtc@forceOrder", "LTC", "!a@arr"]
)
def test_other_streams_answer_nothing(name: str) -> None:
    assert shelf_key("spot", name) is None


def test_frames_of_other_streams_are_passed_over() -> None:
    ledger = RestTape([("ltcbtc@depth5", {"s": "LTCBTC"}), trade(1)]).ledger()
    assert len(ledger.shelves.all(TRADES)) == 1
    assert ledger.number == 2


def test_payloads_are_kept_byte_for_byte_oldest_first() -> None:
    odd = b'{ "t" : 1, "p" : "1.10" }'
    ledger = RestTape([("ltcbtc@trade", odd), trade(2)]).ledger()
    assert ledger.shelves.all(TRADES) == (odd, b'{"e":"trade","s":"LTCBTC","t":2}')


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 3))
def test_a_ledger_shows_what_lies_before_its_place(
    numbers: list[int], max_batches: int
) -> None:
    tape = RestTape([trade(n) for n in range(25)])
    ledger = Ledger(tape.read, tape.catalogue)
    for number in numbers:
        while not ledger.advance(number, max_batches=max_batches):
            pass
        shown = [json.loads(payload)["t"] for payload in ledger.shelves.all(TRADES)]
        assert shown == list(range(min(number, 25)))


def test_a_ledger_goes_on_in_pieces() -> None:
    ledger = Ledger(
        RestTape([trade(n) for n in range(12)]).read, Catalogue({"spot": set()})
    )
    assert [ledger.advance(12, max_batches=1) for _ in range(4)] == [
        *(False, False, False),
        True,
    ]


def test_a_place_that_is_reached_is_not_read_again() -> None:
    tape = RestTape([trade(n) for n in range(12)])
    ledger = tape.ledger(7)
    assert ledger.advance(7)
    assert ledger.advance(9)
    assert tape.opened == 1
    ledger.advance(3)
    assert tape.opened == 2


def test_only_the_newest_trades_are_kept() -> None:
    tape = RestTape([trade(n) for n in range(KEPT_TRADES + 5)], batch_frames=100)
    kept = tape.ledger().shelves.all(TRADES)
    assert len(kept) == KEPT_TRADES
    assert json.loads(kept[0])["t"] == 5


def test_of_each_candle_the_newest_payload_is_kept() -> None:
    frames = [candle(60, "1"), candle(60, "2"), candle(120, "3"), candle(120, "4")]
    kept = (
        RestTape(frames).ledger().shelves.all(ShelfKey("spot", "kline", "LTCBTC", "1m"))
    )
    assert [json.loads(payload)["k"]["c"] for payload in kept] == ["2", "4"]


def test_only_the_newest_candles_are_kept() -> None:
    tape = RestTape([candle(n, "1") for n in range(KEPT_CANDLES + 2)], batch_frames=500)
    kept = tape.ledger().shelves.all(ShelfKey("spot", "kline", "LTCBTC", "1m"))
    assert len(kept) == KEPT_CANDLES
    assert json.loads(kept[0])["k"]["t"] == 2


def test_a_candle_is_found_wherever_its_time_stands() -> None:
    payload = b'{"e":"kline","k": { "s":"LTCBTC", "t" : 60, "c":"1"}}'
    junk = b'{"e":"kline"}'
    tape = RestTape([("ltcbtc@kline_1m", payload), ("ltcbtc@kline_1m", junk)])
    kept = tape.ledger().shelves.all(ShelfKey("spot", "kline", "LTCBTC", "1m"))
    assert kept == (payload,)


def test_all_market_streams_are_taken_apart_by_symbol() -> None:
    frames: list[Shown] = [
        ("!ticker@arr", [{"s": "LTCBTC", "c": "1"}, {"c": "2", "s": "币安人生USDT"}]),
        ("ltcbtc@ticker", {"s": "LTCBTC", "c": "3"}),
        ("!ticker@arr", b'[{"s":"BNBBTC", "c":"4"}]'),
        ("!bookTicker", {"u": 1, "s": "LTCBTC"}),
    ]
    ledger = RestTape(frames).ledger()
    found = {
        symbol: ledger.shelves.all(ShelfKey("spot", "ticker", symbol))
        for symbol in ledger.symbols("spot")
    }
    assert found == {
        "LTCBTC": (b'{"s":"LTCBTC","c":"3"}',),
        "币安人生USDT": ('{"c":"2","s":"币安人生USDT"}'.encode(),),
        "BNBBTC": (b'{"s":"BNBBTC", "c":"4"}',),
    }
    assert ledger.shelves.all(ShelfKey("spot", "bookTicker", "LTCBTC"))


def test_an_escaped_symbol_is_the_same_symbol() -> None:
    ledger = RestTape([("!ticker@arr", b'[{"s":"\\u5e01USDT"}]')]).ledger()
    assert ledger.symbols("spot") == {"币USDT"}


def test_an_object_that_is_no_json_has_no_symbol() -> None:
    ledger = RestTape([("!ticker@arr", b'[{"s":"A\\"B"}]')]).ledger()
    assert ledger.symbols("spot") == set()


def test_two_markets_are_kept_apart() -> None:
    catalogue = Catalogue({"spot": {"ltcusdt@trade"}, "usdm": {"ltcusdt@trade"}})
    batch = Batch(
        [0, 0], [b"spot/ltcusdt@trade", b"usdm/ltcusdt@trade"], [b"1", b"2"], []
    )
    ledger = Ledger(lambda: iter([batch]), catalogue)
    assert ledger.advance(2)
    assert ledger.shelves.all(ShelfKey("usdm", "trade", "LTCUSDT")) == (b"2",)
    assert ledger.shelves.of_symbol("spot", "trade", "LTCUSDT") == [
        ShelfKey("spot", "trade", "LTCUSDT")
    ]


def test_symbols_are_those_of_names_and_of_frames() -> None:
    frames: list[Shown] = [("!miniTicker@arr", [{"s": "BNBBTC"}])]
    tape = RestTape(frames, streams={"ltcbtc@depth5", "not a stream"})
    assert tape.ledger(0).symbols("spot") == {"LTCBTC"}
    assert tape.ledger().symbols("spot") == {"LTCBTC", "BNBBTC"}
    assert tape.survey().symbols("spot") == {"LTCBTC", "BNBBTC"}


def test_pairs_and_assets_are_no_symbols() -> None:
    names = {"btcusdt_perpetual@continuousKline_1m", "adausd@assetIndex"}
    assert symbols_of(Catalogue({"usdm": names}), "usdm") == set()
    assert symbols_of(Catalogue({"usdm": names}), "spot") == set()


@pytest.mark.parametrize(
    ("name", "carries"),
    [("ltcbtc@ticker", True), ("!ticker@arr", True), ("ltcbtc@miniTicker", False)],
)
def test_a_symbol_is_carried_by_its_own_stream_or_by_one_of_all(
    name: str, carries: bool
) -> None:
    ledger = RestTape(streams={name}).ledger()
    assert ledger.carries(ShelfKey("spot", "ticker", "LTCBTC")) is carries


# Surveys


def test_a_survey_keeps_the_first_payloads_of_each_stream() -> None:
    frames = [trade(n) for n in range(150)]
    frames += [("ltcbtc@ticker", {"s": "LTCBTC", "c": n}) for n in range(50)]
    shelves = RestTape(frames).survey().shelves
    firsts = [json.loads(payload)["t"] for payload in shelves.all(TRADES)]
    assert firsts == list(range(100))
    assert len(shelves.all(ShelfKey("spot", "ticker", "LTCBTC"))) == 10


def test_a_survey_of_an_endless_tape_ends() -> None:
    def read() -> Iterator[Batch]:
        for n in count():
            yield Batch([0] * 700, [b"ltcbtc@trade"] * 700, [b"%d" % n] * 700, [])

    survey = Survey(read, Catalogue({"spot": {"ltcbtc@trade"}}))
    calls = 0
    while not survey.advance(max_batches=4):
        calls += 1
    assert calls == SURVEYED_FRAMES // 700 // 4
    assert survey.advance()


def test_a_survey_ends_where_the_cassette_is_damaged() -> None:
    class DamagedError(ReplayError):
        pass

    def read() -> Iterator[Batch]:
        yield Batch([0], [b"ltcbtc@trade"], [b"1"], [])
        raise DamagedError

    survey = Survey(read, Catalogue({"spot": {"ltcbtc@trade"}}))
    assert survey.advance()
    assert survey.shelves.all(TRADES) == (b"1",)


# Real recordings


def test_a_real_recording_is_kept_as_a_naive_reader_would(shared_data: Path) -> None:
    tape = load_tape(shared_data / "hftbacktest-spot-20240808", "spot")
    number = 100_003
    ledger = tape.ledger(number)
    rows: list[tuple[bytes, bytes]] = [
        row for b in tape.batches for row in zip(b.streams, b.payloads, strict=True)
    ]
    naive: dict[bytes, list[bytes]] = {}
    for key, payload in rows[:number]:
        naive.setdefault(key, []).append(payload)
    shown: dict[str, Any] = {
        "btcusdt@trade": naive[b"btcusdt@trade"][-KEPT_TRADES:],
        "ethusdt@bookTicker": naive[b"ethusdt@bookTicker"][-1:],
        "btcusdt@depth@100ms": naive[b"btcusdt@depth@100ms"][-1:],
    }
    for name, payloads in shown.items():
        shelf = shelf_key("spot", name)
        assert shelf is not None
        assert list(ledger.shelves.all(shelf)) == payloads


def test_what_to_do_with_a_stream_is_decided_once() -> None:
    decided: list[bytes] = []
    taken: list[bytes] = []

    def decide(key: bytes) -> Any:
        decided.append(key)
        return taken.append

    takers = ledger_module._Takers(decide)
    for payload in (b"1", b"2", b"3"):
        takers[b"ltcbtc@trade"](payload)
    assert decided == [b"ltcbtc@trade"]
    assert taken == [b"1", b"2", b"3"]


def test_a_survey_looks_for_something_once_it_is_done_and_then_no_more() -> None:
    survey = Survey(
        RestTape([trade(n) for n in range(12)], batch_frames=1).read,
        Catalogue({"spot": {"ltcbtc@trade"}}),
    )
    looks = count()

    def look() -> int:
        return next(looks)

    assert [survey.once("trades", look) for _ in range(2)] == [0, 1]
    while not survey.advance():
        pass
    assert [survey.once("trades", look) for _ in range(3)] == [2, 2, 2]
    assert survey.once("others", look) == 3
