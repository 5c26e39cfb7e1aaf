"""Lines as rows of tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame, Mark, RestAnswer
from pytest_binance_replay.tools.tables import TABLES, Row, rows_of

TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000",'
    b'"q":"100.00000000","T":1672515782137,"m":true,"M":true}'
)
AGG_TRADE = (
    b'{"e":"aggTrade","E":1672515782136123,"s":"BNBBTC","a":5,"p":"1.10","q":"2",'
    b'"f":7,"l":9,"T":1672515782137123,"m":false}'
)
KLINE = (
    b'{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,'
    b'"T":1672515839999,"i":"1m","f":1,"L":2,"o":"1","c":"4","h":"5","l":"0.5","v":"6",'
    b'"n":2,"x":false,"q":"7","V":"8","Q":"9","B":"0"}}'
)
HEAD = (3, 1_672_515_782_136_000, "bnbbtc@x", "BNBBTC")


@pytest.mark.parametrize(
    ("payload", "table", "values"),
    [
        (
            TRADE,
            "trades",
            (*HEAD, 1_672_515_782_137_000, 12345, "0.00100000", "100.00000000", True),
        ),
        (
            AGG_TRADE,
            "agg_trades",
            (
                *(3, 1_672_515_782_136_123, "bnbbtc@x", "BNBBTC"),
                *(1_672_515_782_137_123, 5, "1.10", "2", False, 7, 9),
            ),
        ),
        (
            b'{"u":400,"s":"BNBBTC","b":"1","B":"2","a":"3","A":"4"}',
            "book_tickers",
            (3, None, "bnbbtc@x", "BNBBTC", 400, "1", "2", "3", "4"),
        ),
        (
            KLINE,
            "klines",
            (
                *(*HEAD, "1m", 1_672_515_780_000_000, 1_672_515_839_999_000),
                *("1", "5", "0.5", "4", "6", "7", 2, "8", "9", False),
            ),
        ),
        (
            b'{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"4","o":"1",'
            b'"h":"5","l":"0.5","v":"6","q":"7"}',
            "tickers",
            (*HEAD, "1", "5", "0.5", "4", "6", "7"),
        ),
        (
            b'{"e":"markPriceUpdate","E":1672515782136,"s":"BNBBTC","p":"1","i":"2",'
            b'"r":"","T":0}',
            "mark_prices",
            (*HEAD, "1", "2", None, None),
        ),
        (b'{"e":"avgPrice"}', "others", (3, "frame", "bnbbtc@x", '{"e":"avgPrice"}')),
        (b'{"e":"trade"}', "others", (3, "frame", "bnbbtc@x", '{"e":"trade"}')),
    ],
)
def test_an_event_is_a_row_of_its_kind(
    payload: bytes, table: str, values: tuple[object, ...]
) -> None:
    [row] = rows_of(Frame(3, "bnbbtc@x", payload))
    assert row == Row(table, values)  # type: ignore[arg-type]
    assert len(row.values) == len(TABLES[table])


@pytest.mark.parametrize(
    ("stream", "payload", "picture", "ids"),
    [
        (
            "a@depth@100ms",
            b'{"e":"depthUpdate","E":5,"s":"A","U":1,"u":2,"b":[["1","2"]],"a":[["3","0"]]}',
            "diff",
            (1, 2),
        ),
        (
            "a@depth5",
            b'{"lastUpdateId":9,"bids":[["1","2"]],"asks":[["3","0"]]}',
            "partial",
            (None, 9),
        ),
    ],
)
def test_a_depth_event_is_a_row_for_each_level(
    stream: str, payload: bytes, picture: str, ids: tuple[object, ...]
) -> None:
    rows = list(rows_of(Frame(3, stream, payload)))
    assert [row.values[3:7] for row in rows] == [("A", picture, *ids)] * 2
    levels = [row.values[7:] for row in rows]
    assert levels == [("bid", "1", "2"), ("ask", "3", "0")]


def test_a_snapshot_is_rows_of_depth_and_other_answers_are_others() -> None:
    body = b'{"lastUpdateId":9,"bids":[["1","2"]],"asks":[]}'
    [row] = rows_of(RestAnswer(3, "/api/v3/depth?symbol=A&limit=5", 200, body))
    assert row.values[3:7] == ("A", "snapshot", None, 9)
    [other] = rows_of(RestAnswer(3, "/api/v3/time", 200, b"{}"))
    assert other == Row("others", (3, "rest", "/api/v3/time", "{}"))
    [odd] = rows_of(RestAnswer(3, "/api/v3/depth", 200, body))
    assert odd.table == "others"


def test_an_array_is_a_row_for_each_of_its_events() -> None:
    rows = rows_of(Frame(3, "!x@arr", b"[%b,%b]" % (TRADE, KLINE)))
    assert [row.table for row in rows] == ["trades", "klines"]


def test_a_mark_is_a_row_of_others() -> None:
    [row] = rows_of(Mark(3, "reconnected", {"reason": "é"}))
    assert row == Row("others", (3, "mark", "reconnected", '{"reason":"é"}'))


@given(st.binary(max_size=40))
def test_any_payload_is_some_row(payload: bytes) -> None:
    for row in rows_of(Frame(3, "a@trade", payload)):
        assert len(row.values) == len(TABLES[row.table])
