"""CSV files of Binance's public data, of both markets and all eras."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.errors import CaptureLineError
from pytest_binance_replay.events import parse_event
from pytest_binance_replay.formats import FORMATS, Clues, LineReader, Told
from pytest_binance_replay.formats.public_data import kind_of_row

NAMES = {
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
    "aggTrades": (
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,"
        "is_buyer_maker"
    ),
    "klines": (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        "taker_buy_volume,taker_buy_quote_volume,ignore"
    ),
    "bookDepth": "timestamp,percentage,depth,notional",
}
SPOT_TRADE = (
    "4329489018,93576.00000000,0.00034000,31.81584000,1735689600007498,True,True"
)
OLD_SPOT_TRADE = "17,93576.00000000,0.00034000,31.81584000,1700000000123,False,True"
USDM_TRADE = "5734990164,93548.8,0.116,10851.6608,1735689600011,true"
SPOT_AGG = (
    "3358049364,93576.00000000,0.00034000,4329489018,4329489020,1735689600007498,"
    "True,True"
)
USDM_AGG = "2508404172,93548.8,0.214,5734990164,5734990166,1735689600011,true"
SPOT_KLINE = (
    "1735689600000000,93576.00000000,93610.93000000,93537.50000000,93610.93000000,"
    "8.21827000,1735689659999999,768978.54522770,2631,3.95157000,369757.28652890,0"
)
USDM_KLINE = (
    "1735689600000,93548.80,93599.90,93514.30,93599.90,79.594,1735689659999,"
    "7446486.12600,1946,37.466,3505306.12000,0"
)
BOOK_TICKER = (
    "3751262304186,42313.90,1.5e-3,42314.00,11.298,1706745600005,1706745600010"
)


def read(name: str, *lines: str, **clues: object) -> tuple[list[Frame], Told]:
    """Read the lines of a file of that name."""
    reader = cast(
        "LineReader",
        FORMATS["public-data"].reader(Clues(name=name, **clues)),  # type: ignore[arg-type]
    )
    items = [item for line in lines for item in reader.take(line.encode())]
    frames = [*items, *reader.finish()]
    assert all(isinstance(frame, Frame) for frame in frames)
    return cast("list[Frame]", frames), reader.told


@pytest.mark.parametrize(
    ("name", "lines", "time_us", "stream", "payload"),
    [
        (
            "BTCUSDT-trades-2025-01-01.csv",
            [SPOT_TRADE],
            1_735_689_600_007_498,
            "btcusdt@trade",
            '{"e":"trade","E":1735689600007,"s":"BTCUSDT","t":4329489018,'
            '"p":"93576.00000000","q":"0.00034000","T":1735689600007,"m":true,"M":true}',
        ),
        (
            "BTCUSDT-trades-2023-11.csv",
            [OLD_SPOT_TRADE],
            1_700_000_000_123_000,
            "btcusdt@trade",
            '{"e":"trade","E":1700000000123,"s":"BTCUSDT","t":17,'
            '"p":"93576.00000000","q":"0.00034000","T":1700000000123,"m":false,"M":true}',
        ),
        (
            "BTCUSDT-trades-2025-01-01.csv",
            [NAMES["trades"], USDM_TRADE],
            1_735_689_600_011_000,
            "btcusdt@trade",
            '{"e":"trade","E":1735689600011,"T":1735689600011,"s":"BTCUSDT",'
            '"t":5734990164,"p":"93548.8","q":"0.116","X":"MARKET","m":true}',
        ),
        (
            "BTCUSDT-aggTrades-2025-01-01.csv",
            [SPOT_AGG],
            1_735_689_600_007_498,
            "btcusdt@aggTrade",
            '{"e":"aggTrade","E":1735689600007,"s":"BTCUSDT","a":3358049364,'
            '"p":"93576.00000000","q":"0.00034000","f":4329489018,"l":4329489020,'
            '"T":1735689600007,"m":true,"M":true}',
        ),
        (
            "BTCUSDT-aggTrades-2025-01-01.csv",
            [NAMES["aggTrades"], USDM_AGG],
            1_735_689_600_011_000,
            "btcusdt@aggTrade",
            '{"e":"aggTrade","E":1735689600011,"a":2508404172,"s":"BTCUSDT",'
            '"p":"93548.8","q":"0.214","f":5734990164,"l":5734990166,'
            '"T":1735689600011,"m":true}',
        ),
        (
            "BTCUSDT-1m-2025-01-01.csv",
            [SPOT_KLINE],
            1_735_689_660_000_000,
            "btcusdt@kline_1m",
            '{"e":"kline","E":1735689660000,"s":"BTCUSDT","k":{"t":1735689600000,'
            '"T":1735689659999,"s":"BTCUSDT","i":"1m","f":-1,"L":-1,'
            '"o":"93576.00000000","c":"93610.93000000","h":"93610.93000000",'
            '"l":"93537.50000000","v":"8.21827000","n":2631,"x":true,'
            '"q":"768978.54522770","V":"3.95157000","Q":"369757.28652890","B":"0"}}',
        ),
        (
            "BTCUSDT-bookTicker-2024-02-01.csv",
            [BOOK_TICKER],
            1_706_745_600_010_000,
            "btcusdt@bookTicker",
            '{"e":"bookTicker","u":3751262304186,"s":"BTCUSDT","b":"42313.90",'
            '"B":"0.0015","a":"42314.00","A":"11.298","T":1706745600005,'
            '"E":1706745600010}',
        ),
    ],
)
def test_a_row_becomes_what_the_exchange_would_have_sent(
    name: str, lines: list[str], time_us: int, stream: str, payload: str
) -> None:
    frames, told = read(name, *lines)
    assert frames == [Frame(time_us, stream, payload.encode())]
    assert told.market is not None
    assert parse_event(frames[0].payload, stream=stream, market=told.market)
    assert told.notes["receive_times"] == "from event time"
    assert told.notes["payloads"].startswith("made from Binance public data, ")


@pytest.mark.parametrize(
    ("name", "lines", "market"),
    [
        ("A-trades-1.csv", [SPOT_TRADE], "spot"),
        ("A-trades-1.csv", [USDM_TRADE], "usdm"),
        ("A-aggTrades-1.csv", [SPOT_AGG], "spot"),
        ("A-aggTrades-1.csv", [USDM_AGG], "usdm"),
        ("A-1m-1.csv", [SPOT_KLINE], "spot"),
        ("A-1m-1.csv", [SPOT_KLINE.replace("0000000,", "0000,", 1)], "spot"),
        ("A-1m-1.csv", [NAMES["klines"], USDM_KLINE], "usdm"),
        ("A-1m-1.csv", [USDM_KLINE], "usdm"),
        ("A-bookTicker-1.csv", [BOOK_TICKER], "usdm"),
    ],
)
def test_the_columns_tell_the_market(name: str, lines: list[str], market: str) -> None:
    assert read(name, *lines)[1].market == market


@pytest.mark.parametrize(
    ("name", "row", "stream"),
    [
        ("BTCUSDT-1mo-2024-01.csv", USDM_KLINE, "btcusdt@kline_1M"),
        ("ETHUSDT-12h-2024-01.csv", USDM_KLINE, "ethusdt@kline_12h"),
        ("BTCUSD_PERP-trades-2024-01.csv", USDM_TRADE, "btcusd_perp@trade"),
        ("data/spot/BTCUSDT-trades-2024-01.csv", SPOT_TRADE, "btcusdt@trade"),
    ],
)
def test_the_file_name_tells_symbol_and_interval(
    name: str, row: str, stream: str
) -> None:
    assert read(name, row)[0][0].stream == stream


def test_a_file_of_another_name_needs_the_symbol() -> None:
    with pytest.raises(CaptureLineError, match="add --symbol"):
        read("download.csv", SPOT_KLINE)
    frames, _ = read("download.csv", SPOT_KLINE, symbol="ETHUSDT")
    assert frames[0].stream == "ethusdt@kline_1m"


def test_bands_of_the_book_become_levels_at_their_mean_price() -> None:
    rows = [
        "2023-01-01 00:00:08,-2,30,2940",
        "2023-01-01 00:00:08,-1,10,995",
        "2023-01-01 00:00:08,1,5,502.5",
        "2023-01-01 00:00:08,2,5,502.5",
        "2023-01-01 00:00:38,-1,1,99",
    ]
    frames, told = read("BTCUSDT-bookDepth-2023-01-01.csv", NAMES["bookDepth"], *rows)
    first, second = (json.loads(frame.payload) for frame in frames)
    assert [frame.stream for frame in frames] == ["btcusdt@depth5"] * 2
    assert first["b"] == [["99.50000000", "10"], ["97.25000000", "20"]]
    assert first["a"] == [["100.50000000", "5"]]
    assert (first["E"], second["pu"]) == (1_672_531_208_000, first["u"])
    assert told.notes["payloads"] == "made from Binance public data, bookDepth"


@pytest.mark.parametrize(
    "line",
    ["x", "1,2", SPOT_TRADE + ",5", "id,price,qty,quote_qty,time,is_buyer_maker"],
)
def test_what_is_no_row_in_the_middle_is_refused(line: str) -> None:
    with pytest.raises(CaptureLineError, match="it is no row"):
        read("BTCUSDT-trades-1.csv", SPOT_TRADE, line)


def test_a_time_beyond_all_times_is_refused() -> None:
    with pytest.raises(CaptureLineError, match="it is no row"):
        read("BTCUSDT-trades-1.csv", USDM_TRADE.replace("1735689600011", "9" * 25))


@pytest.mark.parametrize("row", ["a,b,c,d", "2023-01-01 00:00:08,-1,10,995"])
def test_rows_of_bands_need_no_name_of_the_kind(row: str) -> None:
    assert kind_of_row(row.split(",")) == "bookDepth"


def test_a_top_of_the_book_of_spot_has_no_type_and_no_times() -> None:
    frames, _ = read("BTCUSDT-bookTicker-1.csv", BOOK_TICKER, market="spot")
    assert set(json.loads(frames[0].payload)) == {"u", "s", "b", "B", "a", "A"}


def test_a_file_of_unknown_columns_is_refused() -> None:
    with pytest.raises(CaptureLineError, match="columns of no file"):
        read("BTCUSDT-1m-1.csv", "1,2,3,4,5")


CELL = st.sampled_from(["1", "-2.5", "1e-7", "True", "false", "1700000000000"])


@given(st.lists(st.lists(CELL, min_size=4, max_size=12), max_size=3))
def test_any_rows_are_frames_or_are_refused(rows: list[list[str]]) -> None:
    with suppress(CaptureLineError):
        frames, _ = read("BTCUSDT-trades-1.csv", *map(",".join, rows))
        assert all(json.loads(frame.payload) for frame in frames)
