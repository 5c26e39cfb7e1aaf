"""Captures that are one document: HTTP archives and saved REST bodies."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame, Mark, RestAnswer
from pytest_binance_replay.errors import CaptureLineError
from pytest_binance_replay.formats import (
    FORMATS,
    UNDATED,
    Clues,
    DocumentReader,
    Item,
    Told,
)
from pytest_binance_replay.formats.har import JsonWalk

TRADE = '{"e":"trade","E":1672515782136,"s":"BNBBTC","p":"0.00100000","x":"é"}'
SNAPSHOT = '{"lastUpdateId":158,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}'
SOCKET = "wss://stream.binance.com:9443"
START = "2026-11-20T10:00:00.000Z"
START_US = 1_795_168_800_000_000


def read(
    form: str, text: str, *, chunk: int = 7, **clues: Any
) -> tuple[list[Item], Told]:
    """Read a document that comes in small pieces."""
    raw = text.encode()

    def chunks() -> Iterator[bytes]:
        return (raw[at : at + chunk] for at in range(0, len(raw), chunk))

    reader = cast("DocumentReader", FORMATS[form].reader(Clues(**clues)))
    return list(reader.read(chunks)), reader.told


def entry(
    url: str, *messages: tuple[float, str], body: str | None = None
) -> dict[str, Any]:
    received = [
        {"type": "receive", "time": time, "opcode": 1, "data": data}
        for time, data in messages
    ]
    sent = {"type": "send", "time": 1.0, "opcode": 1, "data": "{}"}
    return {
        "_webSocketMessages": [sent, *received] if messages else [],
        "cache": {},
        "request": {"method": "GET", "url": url},
        "response": {"status": 200, "content": {"text": body} if body else {}},
        "startedDateTime": START,
        "time": 250.5,
    }


def har(*entries: dict[str, Any], indent: int | None = None) -> str:
    log = {"version": "1.2", "pages": [], "entries": entries, "comment": ""}
    return json.dumps({"log": log}, indent=indent, ensure_ascii=False)


def test_an_archive_gives_messages_of_all_sockets_by_time() -> None:
    combined = f'{{"stream":"bnbbtc@trade","data":{TRADE}}}'
    text = har(
        entry(f"{SOCKET}/stream?streams=bnbbtc@trade", (1795168800.25, combined)),
        entry(f"{SOCKET}/ws/ethbtc@aggTrade", (1795168800.125, TRADE)),
        entry("https://example.com/", body="<html>"),
        indent=1,
    )
    items, told = read("har", text)
    assert items == [
        Frame(START_US + 125_000, "bnbbtc@trade", TRADE.encode()),
        Frame(START_US + 250_000, "bnbbtc@trade", TRADE.encode()),
    ]
    assert (told.market, told.source) == ("spot", f"{SOCKET}/stream")
    assert told.streams == ["bnbbtc@trade", "ethbtc@aggTrade"]


def test_times_of_an_archive_keep_their_microseconds() -> None:
    text = har(entry(f"{SOCKET}/ws/bnbbtc@trade", (1795168800.0, TRADE)))
    items, _ = read("har", text.replace("1795168800.0", "1795168800.123457"))
    assert items[0].receive_time_us == START_US + 123_457


def test_answers_in_an_archive_are_dated_by_their_end() -> None:
    url = "https://api.binance.com/api/v3/depth?symbol=BNBBTC&limit=5"
    packed = entry(url, body=base64.b64encode(SNAPSHOT.encode()).decode())
    packed["response"]["content"]["encoding"] = "base64"
    items, told = read("har", har(entry(url, body=SNAPSHOT), packed))
    request = "/api/v3/depth?symbol=BNBBTC&limit=5"
    expected = RestAnswer(START_US + 250_500, request, 200, SNAPSHOT.encode())
    assert items == [expected, expected]
    assert told.market == "spot"


def test_replies_in_an_archive_are_kept_as_marks() -> None:
    reply = '{"result":null,"id":1}'
    text = har(entry(f"{SOCKET}/ws/bnbbtc@trade", (1795168800.5, reply)))
    [item], _ = read("har", text)
    assert isinstance(item, Mark)


def test_an_archive_without_the_exchange_gives_nothing() -> None:
    assert read("har", har(entry("wss://example.com/ws", (1.0, "{}"))))[0] == []


@pytest.mark.parametrize(
    "text",
    [
        '{"log":{"entries":[{"request":{}}]}}',
        '{"log":{"entries":[',
        '{"log":{"entries":5}}',
        '{"log":{"entries":[{"a" 1}]}}',
        '{"log":{"entries":[{}] "x":1}}',
        '{"log":{"x":' + "[" * 5000,
        '{"log":{"x":NOPE}}',
    ],
)
def test_a_broken_archive_is_refused(text: str) -> None:
    with pytest.raises(CaptureLineError):
        read("har", text)


def test_a_message_without_a_time_is_refused() -> None:
    broken = entry(f"{SOCKET}/ws/bnbbtc@trade", (1.0, TRADE))
    del broken["_webSocketMessages"][1]["time"]
    with pytest.raises(CaptureLineError, match="has no time or no data"):
        read("har", har(broken))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=10,
    ),
    st.integers(1, 9),
)
def test_a_walk_reads_any_json_in_any_pieces(value: object, size: int) -> None:
    raw = json.dumps({"a": value, "b": [value]}, ensure_ascii=False).encode(
        errors="backslashreplace"
    )
    walk = JsonWalk(raw[at : at + size] for at in range(0, len(raw), size))
    found: dict[str, object] = {}
    for name in walk.members():
        if name == "a":
            found[name] = walk.value()
        else:
            found[name] = [walk.value() for _ in walk.elements()]
    assert found == json.loads(raw) | {"b": [json.loads(raw)["a"]]}
    assert walk.peek() == ""


# REST bodies


@pytest.mark.parametrize(
    ("body", "market", "request_"),
    [
        (SNAPSHOT, None, "/api/v3/depth?symbol=BNBBTC&limit=5"),
        ('{"timezone":"UTC","symbols":[]}', "spot", "/api/v3/exchangeInfo"),
        ('{"rateLimits":[]}', "usdm", "/fapi/v1/exchangeInfo"),
        (
            '[[1784410500000,"1","1","1","1","1",1784410559999,"1",5,"1","1","0"]]',
            None,
            "/api/v3/klines?symbol=BNBBTC&interval=1m&limit=1",
        ),
        (
            '[[1784410500000000,"1","1","1","1","1",1784414099999999,"1",5,"1","1","0"]]',
            None,
            "/api/v3/klines?symbol=BNBBTC&interval=1h&limit=1",
        ),
    ],
)
def test_a_body_tells_what_was_asked(
    body: str, market: str | None, request_: str
) -> None:
    [item], _ = read("rest", f"{body}\n", market=market, symbol="BNBBTC")
    assert item == RestAnswer(UNDATED, request_, 200, body.encode())


def test_a_futures_snapshot_is_dated_by_itself() -> None:
    body = '{"lastUpdateId":1,"E":1784410625722,"T":5,"bids":[],"asks":[]}'
    [item], _ = read("rest", body, symbol="BTCUSDT")
    assert item.receive_time_us == 1_784_410_625_722_000


def test_a_body_on_several_lines_is_put_on_one() -> None:
    body = json.dumps(json.loads(SNAPSHOT), indent=2)
    [item], _ = read("rest", body, symbol="BNBBTC")
    assert isinstance(item, RestAnswer)
    assert b"\n" not in item.payload
    assert json.loads(item.payload) == json.loads(SNAPSHOT)


def test_a_body_without_a_symbol_asks_for_it() -> None:
    with pytest.raises(CaptureLineError, match="name it with --symbol"):
        read("rest", SNAPSHOT)


def test_a_list_that_is_not_of_candles_is_refused() -> None:
    with pytest.raises(CaptureLineError, match="no list of candles"):
        read("rest", '[[1784410500000,"1"]]', symbol="BNBBTC")


def test_an_archive_of_another_encoding_is_refused() -> None:
    reader = cast("DocumentReader", FORMATS["har"].reader(Clues()))
    with pytest.raises(CaptureLineError, match="not UTF-8"):
        list(reader.read(lambda: iter([b'{"log":{"comment":"\xff"}}'])))


def test_a_value_may_be_longer_than_any_piece() -> None:
    text = har(entry("https://example.com/", body="x" * 100_000))
    assert read("har", text, chunk=1000)[0] == []


def test_messages_that_are_none_are_passed_over() -> None:
    odd = entry(f"{SOCKET}/ws/bnbbtc@trade", (1795168800.5, TRADE))
    odd["_webSocketMessages"] += [17, None, {"type": "error"}]
    assert len(read("har", har(odd))[0]) == 1


def test_a_body_that_is_no_json_is_refused() -> None:
    with pytest.raises(CaptureLineError, match="it is not JSON"):
        read("rest", SNAPSHOT[:-1], symbol="BNBBTC")
