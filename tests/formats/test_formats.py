"""Each form of capture, line by line, and how forms are told apart."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame, Mark, RestAnswer, original_bytes
from pytest_binance_replay.errors import CaptureLineError
from pytest_binance_replay.events import parse_event
from pytest_binance_replay.formats import (
    FORMATS,
    UNDATED,
    Clues,
    Item,
    LineReader,
    Told,
    recognise,
)
from pytest_binance_replay.formats.base import (
    event_time_us,
    market_of_url,
    seconds_to_us,
    split_envelope,
    streams_of_url,
)
from pytest_binance_replay.formats.names import Namer
from pytest_binance_replay.formats.stamped import TardisReader

TRADE = (
    '{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000",'
    '"q":"100.00000000","T":1672515782136,"m":true,"M":true}'
)
DEPTH = (
    '{"e":"depthUpdate","E":1672515782236,"s":"BNBBTC","U":157,"u":160,"b":[],"a":[]}'
)
ENVELOPE = f'{{"stream":"bnbbtc@trade","data":{TRADE}}}'
SNAPSHOT = '{"lastUpdateId":158,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}'
US = 1_672_515_782_136_000


def read(form: str, *lines: str, **clues: object) -> tuple[list[Item], Told]:
    """Read lines of a form, and return what they make and what they say."""
    sample = "\n".join(lines).encode()
    reader = FORMATS[form].reader(Clues(sample=sample, **clues))  # type: ignore[arg-type]
    assert hasattr(reader, "take")
    by_line = cast("LineReader", reader)
    items = [item for line in lines for item in by_line.take(line.encode())]
    return [*items, *by_line.finish()], reader.told


def frame(item: Item) -> Frame:
    assert isinstance(item, Frame)
    return item


# Which form


EXAMPLES = {
    "cryptofeed": [
        "wss://stream.binance.com:9443/stream?streams=a@trade <-> 1617566590.378895",
        f"1617566591.326123: {ENVELOPE}",
        "https://api.binance.com/api/v3/exchangeInfo -> 1618677371.3386219: {}",
        'configuration: {"trades":["BTC-USDT"]}',
    ],
    "hftbacktest": [f"1723161253937085768 {ENVELOPE}", f"1680652700423575 {ENVELOPE}"],
    "tardis": [f"2019-06-01T00:00:00.0123456Z {ENVELOPE}"],
    "simple-log": [
        '{"e": "trade", "E": 1, "s": "BTCUSDT", "p": 5.5, "q": 1, "T": 1, "m": true}',
        '{"e":"depthUpdate","E":1,"s":"A","U":1,"u":2,"b":[{"price":1.5}],"a":[]}',
        '{"e": "depthUpdate", "E": 1, "s": "A", "U": 1, "u": 2, "b": [], "a": []}',
    ],
    "lines": [
        ENVELOPE,
        f"17: {ENVELOPE}",
        TRADE,
        DEPTH,
        '[{"e":"24hrMiniTicker","E":1}]',
        '{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}',
    ],
    "python": ["{'stream': 'a@trade', 'data': {}}"],
    "rest": [
        SNAPSHOT,
        '{"timezone":"UTC","serverTime":1,"symbols":[]}',
        '[[1784410500000,"1","1","1","1","1",1784410559999,"1",596,"1","1","0"]]',
    ],
    "har": ['{"log":{"version":"1.2"'],
    "public-data": [
        "4329489018,93576.00000000,0.00034000,31.81,1735689600007498,True,True",
        "id,price,qty,quote_qty,time,is_buyer_maker\n1,2,3,4,1700000000000,true",
        "timestamp,percentage,depth,notional\n2023-01-01 00:00:08,-5,21.5,3.5e8",
    ],
}


@pytest.mark.parametrize(
    ("form", "sample"),
    [(form, sample) for form, samples in EXAMPLES.items() for sample in samples],
)
def test_a_form_is_told_by_its_first_line(form: str, sample: str) -> None:
    found = recognise(sample.encode())
    assert found is not None
    assert found.name == form
    assert recognise(b"\xef\xbb\xbf\n \n" + sample.encode() + b"\n") is found


@pytest.mark.parametrize(
    "sample",
    [
        "",
        "root:x:0:0:root:/root:/bin/bash",
        '{"cassette":1,"market":"spot"}',
        '{"t":1,"stream":"btcusdt@trade","data":{}}',
        "1,2,3",
        "name,price\nBTC,5",
        "{}",
        "1723161253937085768",
    ],
)
def test_what_is_of_no_form_is_not_taken_for_one(sample: str) -> None:
    assert recognise(sample.encode()) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_of_some_form_or_none(sample: bytes) -> None:
    found = recognise(sample)
    assert found is None or found.name in FORMATS


LINE_FORMS = sorted(FORMATS.keys() - {"har", "rest"})


@given(st.sampled_from(LINE_FORMS), st.lists(st.binary(max_size=80), max_size=3))
def test_any_line_makes_lines_or_is_refused(form: str, lines: list[bytes]) -> None:
    reader = cast("LineReader", FORMATS[form].reader(Clues(symbol="BTCUSDT")))
    for line in lines:
        with suppress(CaptureLineError):
            items = list(reader.take(line))
            assert all(isinstance(item, Frame | RestAnswer | Mark) for item in items)


@given(
    st.sampled_from(LINE_FORMS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from("eEspqTmUuba"), inner, max_size=6)
        ),
        max_leaves=8,
    ),
)
def test_any_json_makes_lines_or_is_refused(form: str, value: object) -> None:
    reader = cast("LineReader", FORMATS[form].reader(Clues(symbol="BTCUSDT")))
    for prefix in (
        "",
        "1617566591.3: ",
        "1723161253937085768 ",
        "2019-06-01T00:00:00Z ",
    ):
        with suppress(CaptureLineError):
            items = list(reader.take((prefix + json.dumps(value)).encode()))
            assert all(isinstance(item, Frame | RestAnswer | Mark) for item in items)


# Times and wrappers


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        (b"1617566591.326123", 1_617_566_591_326_123),
        (b"1617566592.1065369", 1_617_566_592_106_537),
        (b"1618677372.1768699", 1_618_677_372_176_870),
        (b"1617566591", 1_617_566_591_000_000),
        (b"1617566591.5", 1_617_566_591_500_000),
    ],
)
def test_seconds_are_rounded_to_microseconds(text: bytes, time_us: int) -> None:
    assert seconds_to_us(text) == time_us


@pytest.mark.parametrize("text", [b"", b".5", b"1.2.3", b"-1", b"1e9", b"nan"])
def test_what_is_no_time_in_seconds_is_refused(text: bytes) -> None:
    with pytest.raises(CaptureLineError, match="is no time in seconds"):
        seconds_to_us(text)


@pytest.mark.parametrize(
    ("payload", "time_us"),
    [
        (TRADE, US),
        ('{"E": 1672515782136123}', 1_672_515_782_136_123),
        ('[{"E":1672515782136},{"E":1672515782137}]', US + 1000),
        ('{"u":1,"s":"BNBUSDT"}', UNDATED),
        ('{"E":"1672515782136"}', UNDATED),
    ],
)
def test_the_event_time_is_that_of_the_newest_event(payload: str, time_us: int) -> None:
    assert event_time_us(payload.encode()) == time_us


@pytest.mark.parametrize(
    "text",
    [
        '{"stream":"s@trade","data":PAYLOAD}',
        '{"stream": "s@trade", "data": PAYLOAD}',
        '{"data":PAYLOAD,"stream":"s@trade"}',
        '{"stream":"s@trade","data":PAYLOAD, "recv":{"b":2}}',
        '{"stream":"s@trade","data":PAYLOAD  , "recv":[{"b":2}]}',
        '{"stream":"s@trade","data":PAYLOAD\t,"recv":{"b":2}}',
        '{"stream":"s@trade","data":PAYLOAD,"recv":17}',
        '{"recv":17.5,"stream":"s@trade","data":PAYLOAD}',
        ' {"stream":"s\\u0040trade","data":PAYLOAD} ',
    ],
)
@pytest.mark.parametrize(
    "payload",
    [
        '{"a":1.10}',
        '{"a":[["1","2"]],"b":{"c":"},\\"x\\":1"}}',
        '[{"a":"1"},{"b":"2"}]',
        '{"k":{"t":1, "T":2}, "x":3}',
        "[]",
    ],
)
def test_a_payload_is_cut_out_of_its_wrapper_byte_for_byte(
    text: str, payload: str
) -> None:
    whole = text.replace("PAYLOAD", payload).encode()
    assert split_envelope(whole) == ("s@trade", payload.encode())


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"stream":"s@trade"}', '{"stream":1,"data":{}}', "{" * 99]
)
def test_what_is_no_wrapper_is_none(text: str) -> None:
    assert split_envelope(text.encode()) is None


@pytest.mark.parametrize(
    ("url", "market", "streams"),
    [
        ("wss://stream.binance.com:9443/stream?streams=a@trade/b@depth", "spot", 2),
        ("wss://fstream.binance.com/ws/btcusdt@depth@0ms", "usdm", 1),
        ("wss://dstream.binance.com/stream", "usdm", 0),
        ("wss://stream.binance.com/stream?streams=btcusdt%40trade", "spot", 1),
        ("https://www.binance.com/api/v1/depth?symbol=A", "spot", 0),
        ("https://www.binance.com/fapi/v1/depth?symbol=A", "usdm", 0),
        ("https://example.com/ws/a", None, 1),
    ],
)
def test_an_address_tells_market_and_streams(
    url: str, market: str | None, streams: int
) -> None:
    assert market_of_url(url) == market
    assert len(streams_of_url(url)) == streams


# Names


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (TRADE, "bnbbtc@trade"),
        ('{"e":"kline","s":"BNBBTC","k":{"i":"1m"}}', "bnbbtc@kline_1m"),
        (
            '{"e":"continuous_kline","ps":"BTCUSDT","ct":"PERPETUAL","k":{"i":"1m"}}',
            "btcusdt_perpetual@continuousKline_1m",
        ),
        ('{"e":"24hrTicker","s":"BNBBTC"}', "bnbbtc@ticker"),
        ('{"e":"24hrMiniTicker","s":"BNBBTC"}', "bnbbtc@miniTicker"),
        ('{"e":"4hTicker","s":"BNBBTC"}', "bnbbtc@ticker_4h"),
        ('[{"e":"24hrTicker","s":"BNBBTC"}]', "!ticker@arr"),
        ('[{"e":"1dTicker","s":"BNBBTC"}]', "!ticker_1d@arr"),
        ('{"u":1,"s":"BNBUSDT","b":"1","B":"1","a":"2","A":"1"}', "bnbusdt@bookTicker"),
        ('{"e":"bookTicker","s":"BNBUSDT"}', "bnbusdt@bookTicker"),
        ('{"e":"markPriceUpdate","s":"BTCUSDT"}', "btcusdt@markPrice@1s"),
        ('[{"e":"markPriceUpdate","s":"BTCUSDT"}]', "!markPrice@arr@1s"),
        ('{"e":"forceOrder","o":{"s":"BTCUSDT"}}', "btcusdt@forceOrder"),
        ('{"e":"assetIndexUpdate","s":"ADAUSD"}', "adausd@assetIndex"),
        ('{"e":"contractInfo","s":"IOTAUSDT"}', "!contractInfo"),
        ('{"e":"EquityUpdate"}', "tradingSession"),
        ('{"e":"serverShutdown"}', "!serverShutdown"),
        (DEPTH, "bnbbtc@depth@100ms"),
        (SNAPSHOT, None),
        ("[]", None),
        ('{"result":null,"id":1}', None),
        ('{"e":"unheardOf","s":"A"}', None),
        ("no JSON", None),
    ],
)
def test_a_payload_tells_its_stream(payload: str, name: str | None) -> None:
    assert Namer().name(payload.encode()) == name


@pytest.mark.parametrize(
    ("gap_ms", "previous", "name"),
    [
        (100, False, "bnbbtc@depth@100ms"),
        (1000, False, "bnbbtc@depth"),
        (102, True, "bnbbtc@depth@100ms"),
        (251, True, "bnbbtc@depth"),
        (500, True, "bnbbtc@depth@500ms"),
        (20, True, "bnbbtc@depth@0ms"),
    ],
)
def test_the_speed_of_a_depth_stream_is_that_of_its_events(
    gap_ms: int, previous: bool, name: str
) -> None:
    event = json.loads(DEPTH) | ({"pu": 156} if previous else {})
    sample = [
        json.dumps(event | {"E": event["E"] + n * gap_ms}).encode() for n in range(4)
    ]
    assert Namer(sample=sample).name(sample[0]) == name


@pytest.mark.parametrize(
    ("known", "payload", "name"),
    [
        ("bnbbtc@depth", DEPTH, "bnbbtc@depth"),
        ("!bookTicker", '{"e":"bookTicker","s":"BNBUSDT"}', "!bookTicker"),
        ("bnbbtc@depth5@100ms", SNAPSHOT, "bnbbtc@depth5@100ms"),
        ("bnbbtc@depth20", SNAPSHOT, None),
        ("a@markPrice", '{"e":"markPriceUpdate","s":"A"}', "a@markPrice"),
        (
            "a@kline_1d@+08:00",
            '{"e":"kline","s":"A","k":{"i":"1d"}}',
            "a@kline_1d@+08:00",
        ),
    ],
)
def test_a_name_that_is_known_decides_between_streams_that_look_alike(
    known: str, payload: str, name: str | None
) -> None:
    assert Namer([known]).name(payload.encode()) == name


# Lines


def test_lines_without_times_are_dated_by_their_events() -> None:
    items, told = read("lines", f"12: {ENVELOPE}")
    assert items == [Frame(US, "bnbbtc@trade", TRADE.encode())]
    assert told.notes == {"receive_times": "from event time"}


def test_bare_payloads_get_the_name_of_their_stream() -> None:
    items, told = read("lines", TRADE, DEPTH)
    assert [frame(item).stream for item in items] == [
        "bnbbtc@trade",
        "bnbbtc@depth@100ms",
    ]
    assert "stream_names" in told.notes


def test_a_reply_among_lines_is_kept_as_a_mark() -> None:
    [item], _ = read("lines", '{"result":null,"id":1}')
    assert isinstance(item, Mark)
    assert original_bytes(item) == b'{"result":null,"id":1}'


def test_what_python_printed_becomes_json_of_the_same_order() -> None:
    [item], told = read("python", "{'stream': 'a@x', 'data': {'b': '1.10', 'a': True}}")
    assert frame(item).payload == b'{"b":"1.10","a":true}'
    assert told.notes["payloads"] == "written anew from Python literals"


# cryptofeed


def test_cryptofeed_answers_lose_their_http_headers_only() -> None:
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=BNBBTC&limit=1000"
    line = f'{url} -> 1617566592.1: {SNAPSHOT} header: {{"Date": "now"}}'
    [item], told = read("cryptofeed", line)
    request = "/fapi/v1/depth?symbol=BNBBTC&limit=1000"
    assert item == RestAnswer(1_617_566_592_100_000, request, 200, SNAPSHOT.encode())
    assert told.market == "usdm"


def test_cryptofeed_raw_connections_name_the_stream_of_bare_payloads() -> None:
    url = "wss://stream.binance.com:9443/ws/bnbbtc@depth"
    items, told = read(
        "cryptofeed", f"{url} <-> 1617566590.3", f"1617566591.3: {DEPTH}"
    )
    assert frame(items[0]).stream == "bnbbtc@depth"
    assert (told.source, told.market, told.streams) == (url, "spot", ["bnbbtc@depth"])


def test_cryptofeed_lines_of_what_was_sent_are_passed_over() -> None:
    sent = 'wss://stream.binance.com/stream <- 1617566590.3: {"method":"SUBSCRIBE"}'
    assert read("cryptofeed", sent, "configuration: {}")[0] == []


@pytest.mark.parametrize("line", ["gibberish", "1617566591 {}", "1.2.3: {}"])
def test_no_line_of_cryptofeed_is_refused(line: str) -> None:
    with pytest.raises(CaptureLineError):
        read("cryptofeed", line)


# Stamped


@pytest.mark.parametrize(
    ("form", "stamp", "time_us"),
    [
        ("hftbacktest", "1723161253937085999", 1_723_161_253_937_085),
        ("hftbacktest", "1680652700423575", 1_680_652_700_423_575),
        ("tardis", "2019-06-01T00:00:01.0123456Z", 1_559_347_201_012_345),
        ("tardis", "2019-06-01T00:00:01Z", 1_559_347_201_000_000),
    ],
)
def test_a_stamp_is_the_receive_time(form: str, stamp: str, time_us: int) -> None:
    items, told = read(form, f"{stamp} {ENVELOPE}")
    assert items == [Frame(time_us, "bnbbtc@trade", TRADE.encode())]
    assert not told.notes


@pytest.mark.parametrize(
    ("form", "line"),
    [("hftbacktest", ENVELOPE), ("tardis", "2019-13-01T00:00:01Z {}"), ("tardis", "x")],
)
def test_a_line_without_a_stamp_is_refused(form: str, line: str) -> None:
    with pytest.raises(CaptureLineError, match="it does not begin with a time"):
        read(form, line)


def depth_line(symbol: str, final: int) -> str:
    payload = DEPTH.replace('"u":160', f'"u":{final}').replace("BNBBTC", symbol.upper())
    return f'1680652700423575 {{"stream":"{symbol}@depth@100ms","data":{payload}}}'


def requests(items: list[Item]) -> list[str]:
    return [item.request for item in items if isinstance(item, RestAnswer)]


def test_a_snapshot_without_a_symbol_is_of_the_nearest_update_ids() -> None:
    snapshot = f"1680652700423576 {SNAPSHOT}"
    lines = (depth_line("bnbbtc", 160), depth_line("ethbtc", 99_000), snapshot)
    items, _ = read("hftbacktest", *lines)
    assert requests(items) == ["/api/v3/depth?symbol=BNBBTC&limit=5"]


def test_a_snapshot_before_all_frames_waits_for_one() -> None:
    items, _ = read(
        "hftbacktest", f"1680652700423576 {SNAPSHOT}", depth_line("bnbbtc", 160)
    )
    assert requests(items) == ["/api/v3/depth?symbol=BNBBTC&limit=5"]
    assert isinstance(items[-1], Frame)


def test_a_snapshot_of_no_known_symbol_is_kept_as_a_mark() -> None:
    [item], _ = read("hftbacktest", f"1680652700423576 {SNAPSHOT}")
    assert isinstance(item, Mark)


def test_the_name_of_the_file_tells_the_symbol_where_nothing_else_does() -> None:
    line = f"1680652700423576 {SNAPSHOT}"
    items, _ = read("hftbacktest", line, name="btcusd_perp_20240808.gz")
    assert requests(items) == ["/api/v3/depth?symbol=BTCUSD_PERP&limit=5"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"lastUpdateId":1,"E":5,"T":5,"bids":[],"asks":[]}', "/fapi/v1/depth"),
        (
            '{"lastUpdateId":1,"E":5,"T":5,"symbol":"BNBBTC","bids":[],"asks":[]}',
            "/dapi/v1/depth",
        ),
    ],
)
def test_a_futures_snapshot_answers_a_futures_request(body: str, path: str) -> None:
    items, _ = read("hftbacktest", f"1680652700423576 {body}", symbol="BNBBTC")
    assert requests(items) == [f"{path}?symbol=BNBBTC&limit=5"]


def test_snapshots_that_tardis_made_streams_of_are_rest_answers() -> None:
    stamp = "2019-06-01T00:00:00.0000001Z"
    depth = f'{{"stream":"bnbbtc@depthSnapshot","generated":true,"data":{SNAPSHOT}}}'
    interest = '{"stream":"btcusdt@openInterest","data":{"openInterest":"1"}}'
    items, _ = read("tardis", f"{stamp} {depth}", f"{stamp} {interest}")
    assert requests(items) == [
        "/api/v3/depth?symbol=BNBBTC&limit=5",
        "/fapi/v1/openInterest?symbol=BTCUSDT",
    ]


def test_an_empty_line_from_tardis_is_a_disconnect() -> None:
    reader = cast("TardisReader", FORMATS["tardis"].reader(Clues()))
    assert list(reader.blank()) == []
    list(reader.take(f"2019-06-01T00:00:01Z {ENVELOPE}".encode()))
    [mark] = reader.blank()
    assert mark == Mark(
        1_559_347_201_000_000, "disconnected", {"reason": "said by the capture"}
    )


def test_odd_snapshots_are_kept_whatever_they_hold() -> None:
    line = '2019-06-01T00:00:01Z {"stream":"a@depthSnapshot","data":[]}'
    assert requests(read("tardis", line)[0]) == ["/api/v3/depth?symbol=A&limit=5"]
    broken = '1680652700423576 {"lastUpdateId":1,'
    [item], _ = read("hftbacktest", broken, symbol="BNBBTC")
    assert isinstance(item, Mark)


def test_lines_of_an_unusual_form_are_read_all_the_same() -> None:
    lines = (
        f'1680652700423575 {{"stream": "a@trade", "data": {TRADE}}}\r',
        '1680652700423575 {"stream":"a@trade","data":[{"x":1},{"y":2}]}',
        '1680652700423575 {"stream":"a@trade","data":{"x":1}, "at":{"y":2}}',
        f"1680652700423575 {TRADE}",
    )
    items, _ = read("hftbacktest", *lines)
    assert [frame(item).payload for item in items] == [
        TRADE.encode(),
        b'[{"x":1},{"y":2}]',
        b'{"x":1}',
        TRADE.encode(),
    ]


@pytest.mark.parametrize("line", ["{'stream':" + "[" * 200, "{'a': 1}", "{'stream': 1"])
def test_what_python_would_not_read_is_refused(line: str) -> None:
    with pytest.raises(CaptureLineError):
        read("python", line)


def test_an_address_that_is_none_tells_nothing() -> None:
    assert market_of_url("wss://[") is None
    assert streams_of_url("wss://[") == []


# The log of the simple protocol


SIMPLE_TRADE = (
    '{"e": "trade", "E": 1672515782136, "s": "BTCUSDT", "p": 54718.1, "q": 1e-05, '
    '"T": 1672515782130, "m": false, "M": null}'
)
SIMPLE_DEPTH = (
    '{"e": "depthUpdate", "E": 1672515782136, "s": "BTCUSDT", "U": 5, "u": 9, '
    '"b": [{"price": 54718.1, "quantity": 0.0}], "a": [[54719.0, 2]]}'
)


def test_a_trade_of_a_simple_log_is_written_as_the_exchange_writes_it() -> None:
    items, told = read("simple-log", SIMPLE_TRADE, SIMPLE_TRADE)
    assert frame(items[0]).stream == "btcusdt@trade"
    assert frame(items[1]).payload == (
        b'{"e":"trade","E":1672515782136,"T":1672515782130,"s":"BTCUSDT","t":2,'
        b'"p":"54718.1","q":"0.00001","X":"MARKET","m":false}'
    )
    assert told.market == "usdm"
    assert told.notes["payloads"].startswith("written anew from a log")


def test_a_depth_event_of_a_simple_log_takes_objects_and_pairs() -> None:
    items, _ = read(
        "simple-log", SIMPLE_DEPTH, SIMPLE_DEPTH.replace('"U": 5', '"U": 12')
    )
    event = json.loads(frame(items[0]).payload)
    assert frame(items[0]).stream == "btcusdt@depth"
    assert (event["b"], event["a"]) == ([["54718.1", "0.0"]], [["54719.0", "2"]])
    assert [json.loads(frame(item).payload)["pu"] for item in items] == [4, 9]


def test_a_simple_log_of_spot_has_the_members_of_spot() -> None:
    items, told = read("simple-log", SIMPLE_TRADE.replace("null", "true"), SIMPLE_DEPTH)
    assert told.market == "spot"
    assert frame(items[0]).payload.endswith(b'"T":1672515782130,"m":false,"M":true}')
    assert "pu" not in json.loads(frame(items[1]).payload)


def test_a_ticker_of_a_simple_log_becomes_an_event() -> None:
    keys = ["p", "P", "w", "c", "Q", "o", "h", "l", "v", "q"]
    members = dict.fromkeys(keys, 1.5) | {"O": 1, "C": 1672515782136, "n": 3}
    event = {"e": "24hrTicker", "E": 1672515782136, "s": "BTCUSDT", **members}
    event |= {"F": "7", "L": "9", "x": None, "b": None}
    [item], _ = read("simple-log", json.dumps(event))
    payload = frame(item).payload
    assert frame(item).stream == "btcusdt@ticker"
    assert json.loads(payload) | {"F": 7, "L": 9, "p": "1.5"} == json.loads(payload)
    assert "x" not in json.loads(payload)


@pytest.mark.parametrize(
    "line",
    [
        '{"e": "unheardOf", "E": 1672515782136}',
        '{"e": "trade", "E": 1672515782136, "s": "BTCUSDT"}',
        '{"e": "depthUpdate", "E": 1, "s": "A", "U": 1, "u": 1, "a": [], "b": [{}]}',
        SIMPLE_TRADE.replace("54718.1", '"price"'),
        SIMPLE_TRADE.replace('"E": 1672515782136', '"E": 1e400'),
        SIMPLE_TRADE.replace('"E": 1672515782136', f'"E": {10**30}'),
        "[]",
    ],
)
def test_what_is_no_event_in_a_simple_log_is_kept_as_a_mark(line: str) -> None:
    [item], _ = read("simple-log", line)
    assert isinstance(item, Mark)
    assert original_bytes(item) == line.encode()


def test_a_line_of_a_simple_log_that_is_no_json_is_refused() -> None:
    with pytest.raises(CaptureLineError, match="not JSON"):
        read("simple-log", '{"e": "trade"')


def test_events_made_of_a_simple_log_are_events() -> None:
    items, _ = read("simple-log", SIMPLE_TRADE, SIMPLE_DEPTH)
    for item in map(frame, items):
        assert parse_event(item.payload, stream=item.stream, market="usdm")
