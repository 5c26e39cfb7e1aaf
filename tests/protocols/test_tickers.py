"""Prices and statistics over REST: one answer a symbol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.books import Answer
from pytest_binance_replay.streams import Market
from tests.rest_tape import (
    INVALID_SYMBOL,
    NOW_US,
    RestTape,
    Shown,
    ask,
    error,
    load_tape,
)

START_MS = 1_790_000_000_000
OPEN_MS = START_MS - 86_400_000

STATISTICS = dict(
    zip(
        "pPwcQohlvqOCFLn",
        (
            *("0.1", "1.201", "1.5", "1.6", "4.25", "1.4", "1.7", "1.3", "40", "60"),
            *(OPEN_MS, START_MS, 861_002, 880_126, 19_125),
        ),
        strict=True,
    )
)
BEST = {"b": "1.59", "B": "79", "a": "1.61", "A": "14"}


def ticker(symbol: str = "LTCBTC", *, at: int = 0, **more: Any) -> dict[str, Any]:
    head = {"e": "24hrTicker", "E": START_MS + at, "s": symbol}
    return {**head, **STATISTICS, **BEST, "x": "1.39", **more}


def futures_ticker(symbol: str = "LTCUSDT", *, at: int = 0) -> dict[str, Any]:
    head = {"e": "24hrTicker", "E": START_MS + at, "s": symbol, "ps": symbol}
    return {**head, **STATISTICS, "st": 1}


def price_event(kind: str, at: int, price: str) -> Shown:
    """An event that has a price, by the kind of its stream."""
    time = START_MS + at
    said: dict[str, Any] = {"e": kind, "E": time, "s": "LTCBTC"}
    if kind in {"trade", "aggTrade"}:
        said |= {"T": time, "p": price}
    elif kind == "kline_1m":
        said["k"] = {"t": 0, "c": price}
    else:
        said["c"] = price
    return f"ltcbtc@{kind}", said


MINI = (
    "symbol openPrice highPrice lowPrice lastPrice volume quoteVolume openTime "
    "closeTime firstId lastId count"
)
WINDOW = (
    "symbol priceChange priceChangePercent weightedAvgPrice openPrice highPrice "
    "lowPrice lastPrice volume quoteVolume openTime closeTime firstId lastId count"
)
DAY = (
    "symbol priceChange priceChangePercent weightedAvgPrice prevClosePrice lastPrice "
    "lastQty bidPrice bidQty askPrice askQty openPrice highPrice lowPrice volume "
    "quoteVolume openTime closeTime firstId lastId count"
)
FUTURES_DAY = (
    "symbol priceChange priceChangePercent weightedAvgPrice lastPrice lastQty "
    "openPrice highPrice lowPrice volume quoteVolume openTime closeTime firstId "
    "lastId count"
)


# One, some, all


def test_one_symbol_gives_an_object_and_a_list_gives_a_list() -> None:
    known = RestTape([("!ticker@arr", [ticker(), ticker("BNBBTC")])]).known()
    target = "/api/v3/ticker/24hr"
    assert ask(known, f"{target}?symbol=LTCBTC")["symbol"] == "LTCBTC"
    (one,) = ask(known, f'{target}?symbols=["LTCBTC"]')
    assert one["symbol"] == "LTCBTC"
    swapped = ask(known, f"{target}?symbols=%5B%22LTCBTC%22,%22BNBBTC%22%5D")
    assert [row["symbol"] for row in swapped] == ["LTCBTC", "BNBBTC"]
    everything = ask(known, target)
    assert [row["symbol"] for row in everything] == ["BNBBTC", "LTCBTC"]


def test_all_of_one_symbol_is_a_list_of_one() -> None:
    known = RestTape([("ltcusdt@ticker", futures_ticker())], "usdm").known()
    (row,) = ask(known, "/fapi/v1/ticker/24hr")
    assert row["symbol"] == "LTCUSDT"


def test_symbols_without_a_ticker_are_not_among_all() -> None:
    known = RestTape([("ltcbtc@ticker", ticker())], streams={"bnbbtc@trade"}).known()
    assert [row["symbol"] for row in ask(known, "/api/v3/ticker/24hr")] == ["LTCBTC"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (
            "?symbol=BNBBTC",
            "The tape has no bnbbtc@ticker; of BNBBTC it has bnbbtc@trade.",
        ),
        (
            '?symbols=["BNBBTC"]',
            "The tape has no bnbbtc@ticker; of BNBBTC it has bnbbtc@trade.",
        ),
        ("", "The tape has no <symbol>@ticker; of all symbols it has nothing."),
    ],
)
def test_what_no_stream_carries_is_not_answered(target: str, reason: str) -> None:
    known = RestTape(streams={"bnbbtc@trade"}).known()
    assert ask(known, f"/api/v3/ticker/24hr{target}") == reason


def test_a_stream_that_never_sent_a_frame_is_told_apart() -> None:
    known = RestTape(streams={"bnbbtc@ticker"}).known()
    answer = ask(known, "/api/v3/ticker/24hr?symbol=BNBBTC")
    assert answer == "The tape has shown no frame of bnbbtc@ticker yet."


@pytest.mark.parametrize("target", ["?symbol=NONE", '?symbols=["LTCBTC","NONE"]'])
def test_a_symbol_that_nobody_knows_is_refused(target: str) -> None:
    known = RestTape([("ltcbtc@ticker", ticker())]).known()
    assert ask(known, f"/api/v3/ticker/24hr{target}") == INVALID_SYMBOL


def test_symbols_of_a_status_are_those_that_trade() -> None:
    known = RestTape([("ltcbtc@ticker", ticker())]).known()
    target = "/api/v3/ticker/24hr?symbol=LTCBTC&symbolStatus="
    assert ask(known, f"{target}TRADING")["symbol"] == "LTCBTC"
    assert ask(known, f"{target}BREAK") == (
        "No stream says which symbols have the status BREAK."
    )


def test_the_newest_frame_counts_and_before_any_the_first() -> None:
    frames: list[Shown] = [
        ("ltcbtc@trade", {"e": "trade"}),
        ("ltcbtc@ticker", ticker(c="1")),
        ("ltcbtc@ticker", ticker(c="2")),
        ("ltcbtc@ticker", ticker(c="3")),
    ]
    tape = RestTape(frames)
    target = "/api/v3/ticker/24hr?symbol=LTCBTC"
    shown = [ask(tape.known(n), target)["lastPrice"] for n in range(5)]
    assert shown == ["1", "1", "1", "2", "3"]


# 24 hours and windows


def test_the_day_of_a_spot_symbol_has_its_members_in_order() -> None:
    row = ask(
        RestTape([("ltcbtc@ticker", ticker())]).known(),
        "/api/v3/ticker/24hr?symbol=LTCBTC&type=FULL",
    )
    assert " ".join(row) == DAY
    assert row["priceChangePercent"] == "1.201"
    assert (row["bidPrice"], row["bidQty"]) == ("1.59", "79")
    assert (row["openTime"], row["closeTime"]) == (OPEN_MS, START_MS)
    assert (row["firstId"], row["lastId"], row["count"]) == (861_002, 880_126, 19_125)


def test_the_day_of_a_futures_symbol_has_no_best_levels() -> None:
    known = RestTape([("ltcusdt@ticker", futures_ticker())], "usdm").known()
    assert " ".join(ask(known, "/fapi/v1/ticker/24hr?symbol=LTCUSDT")) == FUTURES_DAY


def test_a_mini_ticker_is_the_short_form_of_a_ticker() -> None:
    known = RestTape([("ltcbtc@ticker", ticker())]).known()
    row = ask(known, "/api/v3/ticker/24hr?symbol=LTCBTC&type=MINI")
    assert " ".join(row) == MINI
    assert row["lastPrice"] == "1.6"


def test_a_ticker_is_full_or_mini() -> None:
    known = RestTape([("ltcbtc@ticker", ticker())]).known()
    answer = ask(known, "/api/v3/ticker/24hr?symbol=LTCBTC&type=full")
    assert answer == error(-1139, "Invalid ticker type.")


def test_windows_come_from_their_own_streams() -> None:
    frames: list[Shown] = [
        ("ltcbtc@ticker_1d", {**ticker(c="1"), "e": "1dTicker"}),
        ("ltcbtc@ticker_4h", {**ticker(c="2"), "e": "4hTicker"}),
        ("!ticker_1h@arr", [{**ticker(c="3"), "e": "1hTicker"}]),
    ]
    known = RestTape(frames).known()
    target = "/api/v3/ticker?symbol=LTCBTC"
    assert " ".join(ask(known, target)) == WINDOW
    assert " ".join(ask(known, f"{target}&type=MINI")) == MINI
    sizes = ["", "&windowSize=4h", "&windowSize=1h"]
    rows = [ask(known, target + size) for size in sizes]
    assert [row["lastPrice"] for row in rows] == ["1", "2", "3"]
    assert ask(known, f"{target}&windowSize=2h").startswith(
        "The tape has no ltcbtc@ticker_2h; of LTCBTC it has ltcbtc@ticker_1d, ltc"
    )


@pytest.mark.parametrize("size", ["0m", "60m", "24h", "8d", "1w", "1"])
def test_a_window_must_exist(size: str) -> None:
    known = RestTape([("ltcbtc@ticker", ticker())]).known()
    answer = ask(known, f"/api/v3/ticker?symbol=LTCBTC&windowSize={size}")
    assert answer == error(-1130, "Data sent for parameter 'windowSize' is not valid.")


def test_a_window_is_of_a_symbol() -> None:
    answer = ask(RestTape().known(), "/api/v3/ticker")
    assert answer["code"] == -1102


def test_times_of_a_window_come_in_microseconds_if_asked() -> None:
    row = ask(
        RestTape([("ltcbtc@ticker", ticker())]).known(),
        "/api/v3/ticker/24hr?symbol=LTCBTC",
        time_unit="MICROSECOND",
    )
    assert row["closeTime"] == START_MS * 1000


# The last price


def test_a_price_is_that_of_the_newest_event() -> None:
    frames = [
        price_event("trade", 10, "1"),
        price_event("aggTrade", 40, "2"),
        price_event("ticker", 30, "3"),
        price_event("kline_1m", 20, "4"),
        price_event("miniTicker", 50, "5"),
        price_event("kline_1m", 60, "6"),
        price_event("ticker_4h", 70, "7"),
    ]
    tape = RestTape(frames)
    target = "/api/v3/ticker/price?symbol=LTCBTC"
    prices = [ask(tape.known(n), target) for n in range(len(frames) + 1)]
    assert prices[1] == {"symbol": "LTCBTC", "price": "1"}
    assert [row["price"] for row in prices] == list("11222567")


def test_before_any_event_the_price_is_that_of_the_first() -> None:
    frames = [price_event("ticker", 30, "3"), price_event("trade", 10, "1")]
    tape = RestTape(frames)
    assert ask(tape.known(0), "/api/v3/ticker/price")[0]["price"] == "1"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_futures_price_says_its_time(version: str) -> None:
    frames: list[Shown] = [
        ("ltcusdt@trade", {"T": START_MS + 1, "p": "1", "X": "MARKET"}),
        ("ltcusdt@trade", {"T": START_MS + 2, "p": "0", "X": "NA"}),
    ]
    row = ask(
        RestTape(frames, "usdm").known(),
        f"/fapi/{version}/ticker/price?symbol=LTCUSDT",
    )
    assert list(row.items()) == [
        ("symbol", "LTCUSDT"),
        ("price", "1"),
        ("time", START_MS + 1),
    ]


def test_without_a_price_the_kinds_that_would_have_one_are_named() -> None:
    known = RestTape(streams={"ltcbtc@depth"}).known()
    assert ask(known, "/api/v3/ticker/price?symbol=LTCBTC") == (
        "The tape has no ltcbtc@trade or ltcbtc@aggTrade or ltcbtc@ticker or "
        "ltcbtc@miniTicker or ltcbtc@kline; of LTCBTC it has ltcbtc@depth."
    )


# The best levels


def test_the_best_levels_come_from_the_book_ticker() -> None:
    frames: list[Shown] = [
        ("ltcbtc@ticker", ticker()),
        ("ltcbtc@bookTicker", {"u": 3, "s": "LTCBTC", **BEST, "b": "1.58"}),
    ]
    row = ask(RestTape(frames).known(), "/api/v3/ticker/bookTicker?symbol=LTCBTC")
    assert list(row.items()) == [
        ("symbol", "LTCBTC"),
        ("bidPrice", "1.58"),
        ("bidQty", "79"),
        ("askPrice", "1.61"),
        ("askQty", "14"),
    ]


def test_else_they_come_from_the_ticker() -> None:
    known = RestTape([("ltcbtc@ticker", ticker())]).known()
    row = ask(known, "/api/v3/ticker/bookTicker?symbol=LTCBTC")
    assert row["bidPrice"] == "1.59"


def test_a_futures_book_ticker_says_time_and_id() -> None:
    said = {"e": "bookTicker", "u": 7, "s": "LTCUSDT", **BEST, "T": START_MS, "E": 1}
    known = RestTape([("!bookTicker", said)], "usdm").known()
    row = ask(known, "/fapi/v1/ticker/bookTicker?symbol=LTCUSDT")
    assert list(row)[-2:] == ["time", "lastUpdateId"]
    assert (row["time"], row["lastUpdateId"]) == (START_MS, 7)


BOOK = Answer(9, [("1.5", "2"), ("1.4", "1")], [("1.6", "3")])


@pytest.mark.parametrize(
    ("market", "base", "changed", "time"),
    [
        ("spot", "/api/v3", {}, None),
        ("usdm", "/fapi/v1", {"T": START_MS}, START_MS),
        ("usdm", "/fapi/v1", {}, NOW_US // 1000),
    ],
)
def test_without_a_stream_of_them_they_come_from_the_book(
    market: Market, base: str, changed: dict[str, int], time: int | None
) -> None:
    tape = RestTape([("ltcusdt@depth", {"e": "depthUpdate", **changed})], market)
    asked = []

    def top(of_market: Market, symbol: str) -> Answer:
        asked.append((of_market, symbol))
        return BOOK

    target = f"{base}/ticker/bookTicker?symbol=LTCUSDT"
    row = ask(tape.known(), target, top=top)
    assert (row["bidPrice"], row["bidQty"]) == ("1.5", "2")
    assert (row["askPrice"], row["askQty"]) == ("1.6", "3")
    assert row.get("time") == time
    assert asked == [(market, "LTCUSDT")]


@pytest.mark.parametrize("book", [None, BOOK._replace(bids=[]), BOOK._replace(asks=[])])
def test_a_book_without_two_sides_has_no_best_levels(book: Answer | None) -> None:
    known = RestTape(streams={"ltcbtc@depth"}).known()
    target = "/api/v3/ticker/bookTicker?symbol=LTCBTC"
    assert ask(known, target, top=lambda *_: book) == (
        "The tape has no ltcbtc@bookTicker or ltcbtc@ticker; of LTCBTC it has "
        "ltcbtc@depth."
    )


# Mark, average and reference prices


def test_a_mark_price_has_the_members_of_its_event() -> None:
    said = {"e": "markPriceUpdate", "E": START_MS, "s": "LTCUSDT", "p": "87.4"}
    said |= {"ap": "87.3", "P": "87.2", "i": "87.5", "r": "0.0001", "T": START_MS + 9}
    known = RestTape([("ltcusdt@markPrice@1s", said)], "usdm").known()
    row = ask(known, "/fapi/v1/premiumIndex?symbol=LTCUSDT")
    assert list(row.items()) == [
        ("symbol", "LTCUSDT"),
        ("markPrice", "87.4"),
        ("indexPrice", "87.5"),
        ("estimatedSettlePrice", "87.2"),
        ("lastFundingRate", "0.0001"),
        ("nextFundingTime", START_MS + 9),
        ("time", START_MS),
    ]


def test_a_mark_price_of_old_has_fewer_members() -> None:
    said = {"E": START_MS, "s": "BTCUSD_PERP", "p": "1", "r": "", "T": 0}
    known = RestTape([("!markPrice@arr", [said])], "usdm").known()
    (row,) = ask(known, "/fapi/v1/premiumIndex")
    members = ["symbol", "markPrice", "lastFundingRate", "nextFundingTime", "time"]
    assert list(row) == members
    assert row["nextFundingTime"] == 0


def test_a_real_recordings_mark_price_is_its_newest_frame(shared_data: Path) -> None:
    tape = load_tape(shared_data / "hftbacktest-usdm-20230404", "usdm")
    row = ask(tape.known(), "/fapi/v1/premiumIndex?symbol=BTCUSDT")
    frames = [r for b in tape.batches for r in zip(b.streams, b.payloads, strict=True)]
    newest = json.loads([p for key, p in frames if b"markPrice" in key][-1])
    assert row["markPrice"] == newest["p"]
    assert row["time"] == newest["E"]


@pytest.mark.parametrize(("length", "minutes"), [("5m", 5), ("1h", 60)])
def test_an_average_price_says_of_how_many_minutes(length: str, minutes: int) -> None:
    said = {"s": "LTCBTC", "i": length, "w": "0.0015", "T": START_MS}
    known = RestTape([("ltcbtc@avgPrice", said)]).known()
    row = ask(known, "/api/v3/avgPrice?symbol=LTCBTC")
    assert list(row.items()) == [
        ("mins", minutes),
        ("price", "0.0015"),
        ("closeTime", START_MS),
    ]


def test_an_average_price_is_not_computed_from_anything_else() -> None:
    known = RestTape([price_event("trade", 1, "1")]).known()
    assert ask(known, "/api/v3/avgPrice?symbol=LTCBTC") == (
        "The tape has no ltcbtc@avgPrice; of LTCBTC it has ltcbtc@trade."
    )


def test_a_reference_price_may_be_missing() -> None:
    frames: list[Shown] = [
        ("ltcbtc@referencePrice", {"s": "LTCBTC", "r": "1.5", "t": START_MS}),
        ("ltcbtc@referencePrice", {"s": "LTCBTC", "r": None, "t": START_MS}),
    ]
    tape = RestTape(frames)
    target = "/api/v3/referencePrice?symbol=LTCBTC"
    assert list(ask(tape.known(1), target).items()) == [
        ("symbol", "LTCBTC"),
        ("referencePrice", "1.5"),
        ("timestamp", START_MS),
    ]
    expected = error(-2043, "This symbol doesn't have a reference price.")
    assert ask(tape.known(2), target) == expected


# Shapes of real answers

REAL_SHAPES: list[tuple[str, str, Shown]] = [
    (
        "ticker_24hr_symbol=ETHBTC",
        "ticker/24hr?symbol=ETHBTC",
        ("ethbtc@ticker", ticker("ETHBTC")),
    ),
    (
        "ticker_price_symbol=BTCUSDT",
        "ticker/price?symbol=BTCUSDT",
        ("btcusdt@ticker", ticker("BTCUSDT")),
    ),
    (
        "ticker_bookTicker_symbol=BTCUSDT",
        "ticker/bookTicker?symbol=BTCUSDT",
        ("btcusdt@ticker", ticker("BTCUSDT")),
    ),
]


@pytest.mark.parametrize(("file", "target", "frame"), REAL_SHAPES)
def test_members_and_types_are_those_of_real_answers(
    shared_data: Path, file: str, target: str, frame: Shown
) -> None:
    folder = shared_data / "gocryptotrader-rest-spot" / "rest"
    recorded = json.loads((folder / f"api_v3_{file}.json").read_bytes())
    ours = ask(RestTape([frame]).known(), f"/api/v3/{target}")
    assert {name: type(item) for name, item in ours.items()} == {
        name: type(item) for name, item in recorded.items()
    }


def test_a_real_ticker_array_answers_all_its_symbols(shared_data: Path) -> None:
    tape = load_tape(shared_data / "tomsep-spot-ticker-arr-20190928", "spot")
    rows = ask(tape.known(), "/api/v3/ticker/24hr")
    events = {e["s"]: e for e in json.loads(tape.batches[0].payloads[0])}
    assert len(rows) == len(events)
    assert [row["lastPrice"] for row in rows] == [
        events[r["symbol"]]["c"] for r in rows
    ]
