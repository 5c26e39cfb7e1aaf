"""What requests are answered from: symbols, payloads, members."""

from __future__ import annotations

import json

import pytest

from pytest_binance_replay.errors import NotOnTapeError, RequestRefusedError
from pytest_binance_replay.ledger import ShelfKey
from pytest_binance_replay.protocols.shown import (
    Event,
    Member,
    converted,
    members,
    stream_name,
)
from tests.rest_tape import RestTape

KEY = ShelfKey("spot", "trade", "LTCBTC")


def test_a_symbol_of_the_tape_exists() -> None:
    RestTape(streams={"ltcbtc@depth5"}).known().check_symbol("spot", "LTCBTC")


def test_a_symbol_that_nobody_knows_is_invalid() -> None:
    known = RestTape(streams={"ltcbtc@trade"}, frames=[]).known()
    with pytest.raises(RequestRefusedError, match="Invalid symbol"):
        known.check_symbol("spot", "NONE")


def test_a_listed_symbol_exists_without_the_tape() -> None:
    known = RestTape(streams={"ltcbtc@trade"}).known(listed={"BNBBTC"})
    with pytest.raises(NotOnTapeError) as caught:
        known.check_symbol("spot", "BNBBTC")
    assert str(caught.value) == "The tape has shown nothing of BNBBTC."


@pytest.mark.parametrize("name", ["!ticker@arr", "!miniTicker@arr", "!bookTicker"])
def test_a_stream_of_all_symbols_may_yet_show_any(name: str) -> None:
    known = RestTape(streams={name}).known()
    with pytest.raises(NotOnTapeError):
        known.check_symbol("spot", "BNBBTC")


def test_a_market_must_be_on_the_tape() -> None:
    known = RestTape(streams={"ltcbtc@trade"}).known()
    known.check_market("spot")
    with pytest.raises(NotOnTapeError) as caught:
        known.check_market("usdm")
    assert str(caught.value) == "The tape holds spot, no usdm."


def test_a_stream_that_only_its_frames_name_is_carried() -> None:
    tape = RestTape([("ltcbtc@trade", {"t": 1})])
    tape.catalogue.streams["spot"] = set()  # as a header that forgets it
    assert tape.known(0).carries(KEY)


def test_only_a_few_names_are_listed() -> None:
    names = {f"ltcbtc@kline_{n}m" for n in (1, 3, 5, 15, 30)}
    names |= {f"ltcbtc@kline_{n}h" for n in (1, 2, 4, 6, 8, 12)}
    text = RestTape(streams=names).known().lacks([KEY])
    assert text.startswith("The tape has no ltcbtc@trade; of LTCBTC it has ")
    assert text.endswith(" and 1 more.")
    assert text.count("kline") == 10


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ShelfKey("spot", "trade", "LTCBTC"), "ltcbtc@trade"),
        (ShelfKey("spot", "kline", "LTCBTC", "1m"), "ltcbtc@kline_1m"),
        (ShelfKey("spot", "ticker", "", "4h"), "<symbol>@ticker_4h"),
        (
            ShelfKey("usdm", "continuousKline", "LTCUSDT", "current_quarter_1m"),
            "ltcusdt_current_quarter@continuousKline_1m",
        ),
    ],
)
def test_payloads_are_known_by_the_name_of_their_stream(
    key: ShelfKey, name: str
) -> None:
    assert stream_name(key) == name


def number_of(event: Event) -> int:
    number: int = event["t"] + len(event.get("p", ""))
    return number


@pytest.mark.parametrize("said", [{}, [], 7, {"t": "x"}, {"t": 1, "p": 2}, None])
def test_a_payload_that_is_something_else_answers_nothing(said: object) -> None:
    with pytest.raises(NotOnTapeError) as caught:
        converted(KEY, json.dumps(said).encode(), number_of)
    sentence = "A frame of ltcbtc@trade is not what the stream promises: "
    assert str(caught.value).startswith(sentence)


def test_a_payload_that_is_no_json_answers_nothing() -> None:
    with pytest.raises(NotOnTapeError, match="JSONDecodeError"):
        converted(KEY, b"{", number_of)


def test_members_are_read_in_order() -> None:
    assert members("id=t price=p? m") == (
        Member("id", "t", optional=False),
        Member("price", "p", optional=True),
        Member("m", "m", optional=False),
    )
