from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.streams import (
    Market,
    Route,
    StreamName,
    event_kind,
    is_diff_depth,
    is_well_formed,
    market_of_payload,
    nearest_streams,
    parse_stream,
    route_of,
)

DATA = Path(__file__).parents[1].parent / "shared" / "data"

SPOT: dict[str, tuple[StreamName, str]] = {
    "btcusdt@trade": (StreamName("btcusdt", "trade"), "trade"),
    "btcusdt@aggTrade": (StreamName("btcusdt", "aggTrade"), "aggTrade"),
    "btcusdt@blockTrade": (StreamName("btcusdt", "blockTrade"), "blockTrade"),
    "btcusdt@kline_1s": (StreamName("btcusdt", "kline", interval="1s"), "kline"),
    "btcusdt@kline_1M": (StreamName("btcusdt", "kline", interval="1M"), "kline"),
    "btcusdt@kline_1d@+08:00": (
        StreamName("btcusdt", "kline", interval="1d", utc_offset="+08:00"),
        "kline",
    ),
    "btcusdt@miniTicker": (StreamName("btcusdt", "miniTicker"), "24hrMiniTicker"),
    "!miniTicker@arr": (
        StreamName(None, "miniTicker", all_market=True),
        "24hrMiniTicker",
    ),
    "btcusdt@ticker": (StreamName("btcusdt", "ticker"), "24hrTicker"),
    "!ticker@arr": (StreamName(None, "ticker", all_market=True), "24hrTicker"),
    "btcusdt@ticker_4h": (
        StreamName("btcusdt", "ticker", window="4h"),
        "rollingTicker",
    ),
    "!ticker_1d@arr": (
        StreamName(None, "ticker", window="1d", all_market=True),
        "rollingTicker",
    ),
    "btcusdt@bookTicker": (StreamName("btcusdt", "bookTicker"), "bookTicker"),
    "!bookTicker": (StreamName(None, "bookTicker", all_market=True), "bookTicker"),
    "btcusdt@avgPrice": (StreamName("btcusdt", "avgPrice"), "avgPrice"),
    "btcusdt@referencePrice": (
        StreamName("btcusdt", "referencePrice"),
        "referencePrice",
    ),
    "btcusdt@depth5": (StreamName("btcusdt", "depth", levels=5), "partialDepth"),
    "btcusdt@depth20@100ms": (
        StreamName("btcusdt", "depth", levels=20, speed="100ms"),
        "partialDepth",
    ),
    "btcusdt@depth": (StreamName("btcusdt", "depth"), "depthUpdate"),
    "btcusdt@depth@100ms": (
        StreamName("btcusdt", "depth", speed="100ms"),
        "depthUpdate",
    ),
    "!serverShutdown": (
        StreamName(None, "serverShutdown", all_market=True),
        "serverShutdown",
    ),
    "币安人生usdt@trade": (StreamName("币安人生usdt", "trade"), "trade"),
}

USDM: dict[str, tuple[StreamName, str]] = {
    "btcusdt_261225@trade": (StreamName("btcusdt_261225", "trade"), "trade"),
    "btcusdt@aggTrade": (StreamName("btcusdt", "aggTrade"), "aggTrade"),
    "btcusdt@markPrice": (StreamName("btcusdt", "markPrice"), "markPriceUpdate"),
    "btcusdt@markPrice@1s": (
        StreamName("btcusdt", "markPrice", speed="1s"),
        "markPriceUpdate",
    ),
    "!markPrice@arr": (
        StreamName(None, "markPrice", all_market=True),
        "markPriceUpdate",
    ),
    "!markPrice@arr@1s": (
        StreamName(None, "markPrice", speed="1s", all_market=True),
        "markPriceUpdate",
    ),
    "btcusdt@kline_1m": (StreamName("btcusdt", "kline", interval="1m"), "kline"),
    "btcusdt_perpetual@continuousKline_1s": (
        StreamName("btcusdt", "continuousKline", interval="1s", contract="perpetual"),
        "continuous_kline",
    ),
    "xauusdt_tradifi_perpetual@continuousKline_1h": (
        StreamName(
            "xauusdt",
            "continuousKline",
            interval="1h",
            contract="tradifi_perpetual",
        ),
        "continuous_kline",
    ),
    "btcusdt@miniTicker": (StreamName("btcusdt", "miniTicker"), "24hrMiniTicker"),
    "!miniTicker@arr": (
        StreamName(None, "miniTicker", all_market=True),
        "24hrMiniTicker",
    ),
    "btcusdt@ticker": (StreamName("btcusdt", "ticker"), "24hrTicker"),
    "!ticker@arr": (StreamName(None, "ticker", all_market=True), "24hrTicker"),
    "btcusd_perp@bookTicker": (StreamName("btcusd_perp", "bookTicker"), "bookTicker"),
    "!bookTicker": (StreamName(None, "bookTicker", all_market=True), "bookTicker"),
    "btcusdt@forceOrder": (StreamName("btcusdt", "forceOrder"), "forceOrder"),
    "!forceOrder@arr": (StreamName(None, "forceOrder", all_market=True), "forceOrder"),
    "btcusdt@depth10": (StreamName("btcusdt", "depth", levels=10), "depthUpdate"),
    "btcusdt@depth5@500ms": (
        StreamName("btcusdt", "depth", levels=5, speed="500ms"),
        "depthUpdate",
    ),
    "btcusdt@depth": (StreamName("btcusdt", "depth"), "depthUpdate"),
    "btcusdt@depth@500ms": (
        StreamName("btcusdt", "depth", speed="500ms"),
        "depthUpdate",
    ),
    "btcusdt@depth@0ms": (StreamName("btcusdt", "depth", speed="0ms"), "depthUpdate"),
    "btcusdt@rpiDepth@500ms": (
        StreamName("btcusdt", "rpiDepth", speed="500ms"),
        "depthUpdate",
    ),
    "defiusdt@compositeIndex": (
        StreamName("defiusdt", "compositeIndex"),
        "compositeIndex",
    ),
    "!contractInfo": (
        StreamName(None, "contractInfo", all_market=True),
        "contractInfo",
    ),
    "adausd@assetIndex": (StreamName("adausd", "assetIndex"), "assetIndexUpdate"),
    "!assetIndex@arr": (
        StreamName(None, "assetIndex", all_market=True),
        "assetIndexUpdate",
    ),
    "tradingSession": (
        StreamName(None, "tradingSession", all_market=True),
        "tradingSession",
    ),
}

KNOWN: list[tuple[str, Market, StreamName, str]] = [
    *(("spot-" + name, "spot", *facts) for name, facts in SPOT.items()),
    *(("usdm-" + name, "usdm", *facts) for name, facts in USDM.items()),
]


@pytest.mark.parametrize(
    ("case", "market", "parsed", "kind"), KNOWN, ids=[case for case, *_ in KNOWN]
)
def test_a_known_name_is_taken_apart_and_put_together(
    case: str, market: Market, parsed: StreamName, kind: str
) -> None:
    name = case[5:]
    assert parse_stream(name, market) == parsed
    assert str(parsed) == name
    assert event_kind(name, market) == kind
    assert is_well_formed(name)


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("BTCUSDT@trade", "spot"),
        ("btcusdt@aggtrade", "spot"),
        ("btcusdt@nonsense", "spot"),
        ("btcusdt@depth@250ms", "usdm"),
        ("btcusdt@depth@500ms", "spot"),
        ("btcusdt@depth5@0ms", "usdm"),
        ("btcusdt@depth30", "spot"),
        ("btcusdt@rpiDepth", "usdm"),
        ("btcusdt@kline_1s", "usdm"),
        ("btcusdt@kline_2m", "spot"),
        ("btcusdt@kline_1m@+08:00", "usdm"),
        ("btcusdt@kline_1m@+09:00", "spot"),
        ("btcusdt@markPrice", "spot"),
        ("btcusdt@avgPrice", "usdm"),
        ("btcusdt@ticker_1h", "usdm"),
        ("btcusdt@ticker_2h", "spot"),
        ("btcusdt@continuousKline_1m", "usdm"),
        ("tradingSession", "spot"),
        ("!miniTicker", "spot"),
        ("!bookTicker@arr", "usdm"),
        ("btcusdt", "spot"),
        ("btcusdt@trade\n", "spot"),
        ("btc usdt@trade", "spot"),
        ("@trade", "spot"),
        ("", "spot"),
    ],
)
def test_what_a_market_never_had_is_no_stream_name(name: str, market: Market) -> None:
    assert parse_stream(name, market) is None
    assert event_kind(name, market) is None


symbols = st.from_regex(r"[a-z0-9_]{1,12}|[\u4e00-\u4e20]{1,4}usdt", fullmatch=True)
markets: st.SearchStrategy[Market] = st.sampled_from(["spot", "usdm"])


@given(symbol=symbols, case=st.sampled_from([case for case in KNOWN if case[2].symbol]))
def test_any_symbol_goes_with_any_feature(
    symbol: str, case: tuple[str, Market, StreamName, str]
) -> None:
    name, market, known, kind = case
    name = name[5:].replace(str(known.symbol), symbol, 1)
    parsed = parse_stream(name, market)
    assert parsed is not None
    assert (parsed.symbol, str(parsed)) == (symbol, name)
    assert event_kind(name, market) == kind


@given(
    name=st.text(alphabet="btcusd_perp!@/ kline1mdepth5\x00\n#?&", max_size=30)
    | st.text(max_size=30)
    | st.from_regex(r"!?\w+(@[\w+:]+){0,2}"),
    market=markets,
)
def test_what_parses_is_well_formed_and_formats_back(name: str, market: Market) -> None:
    parsed = parse_stream(name, market)
    assert parsed is None or (is_well_formed(name) and str(parsed) == name)


@pytest.mark.parametrize(
    "name",
    [
        "ltcbtc@nonsense",
        "nosuch@trade",
        "BTCUSDT@trade",
        "ltcbtc@depth@50ms",
        "a@b@c@d",
        "!whatever",
        "!miniTicker@arr@1s",
        "tradingSession",
        "tradingSession@x",
        "ltcbtc@kline_1d@+08:00",
        "币安人生usdt@trade",
    ],
)
def test_a_name_with_a_feature_is_well_formed(name: str) -> None:
    assert is_well_formed(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "not a stream",
        "@@@x",
        "ltcbtc",
        "ltcbtc@",
        "@trade",
        "ltcbtc@@trade",
        "ltcbtc@trade@",
        "!",
        "!@arr",
        "!!miniTicker@arr",
        "ltcbtc@!trade",
        "ltc!btc@trade",
        "ltcbtc@trade/ltcbtc@depth",
        "ltcbtc@trade?x",
        "ltcbtc@trade#x",
        "ltcbtc@trade&x",
        "ltcbtc@trade ",
        "ltcbtc@trade\n",
        "ltcbtc@tra\x00de",
        "ltcbtc@tra\x7fde",
        "ltcbtc@tra\u00a0de",
        "tradingSession\n",
        "tradingsession",
        "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1",
    ],
)
def test_a_name_without_two_whole_parts_is_not_well_formed(name: str) -> None:
    assert not is_well_formed(name)


@pytest.mark.parametrize(
    ("route", "names"),
    [
        (
            "public",
            "btcusdt@bookTicker !bookTicker btcusdt@depth5 btcusdt@depth20@500ms "
            "btcusdt@depth btcusdt@depth@0ms btcusdt@rpiDepth@500ms btcusdt@trade "
            "BTCUSDT@trade btcusdt@depth@250ms",
        ),
        (
            "market",
            "btcusdt@aggTrade btcusdt@markPrice@1s !markPrice@arr !markPrice@arr@1s "
            "btcusdt@kline_1m btcusdt_perpetual@continuousKline_1m btcusdt@miniTicker "
            "!miniTicker@arr btcusdt@ticker !ticker@arr btcusdt@forceOrder "
            "!forceOrder@arr defiusdt@compositeIndex !contractInfo !assetIndex@arr "
            "adausd@assetIndex tradingSession",
        ),
        (
            None,
            "btcusdt@avgPrice btcusdt@nonsense btcusdt@1m trade@1x trade btcusdt "
            "!serverShutdown btcusdt@aggtrade @trade",
        ),
    ],
)
def test_the_kind_decides_the_futures_route(route: Route | None, names: str) -> None:
    assert {name: route_of(name) for name in names.split()} == dict.fromkeys(
        names.split(), route
    )


@pytest.mark.parametrize("name", USDM)
def test_every_futures_stream_has_a_route(name: str) -> None:
    assert route_of(name) in {"public", "market"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("btcusdt@depth", True),
        ("btcusdt@depth@100ms", True),
        ("btcusdt@depth@500ms", True),
        ("btcusd_perp@depth@0ms", True),
        ("btcusdt@depth5", False),
        ("btcusdt@depth20@100ms", False),
        ("btcusdt@rpiDepth@500ms", False),
        ("btcusdt@trade", False),
        ("BTCUSDT@depth", False),
        ("btcusdt@depth@250ms", False),
    ],
)
def test_only_the_changes_of_the_public_book_are_diff_depth(
    name: str, *, expected: bool
) -> None:
    assert is_diff_depth(name) is expected


@pytest.mark.parametrize(
    ("missing", "known", "nearest"),
    [
        pytest.param(
            "BTCUSDT@trade",
            "btcusdt@aggTrade btcusdt@trade ethusdt@trade",
            "btcusdt@trade btcusdt@aggTrade ethusdt@trade",
            id="upper case symbol",
        ),
        pytest.param(
            "btcusdt@aggtrade",
            "btcusdt@trade btcusdt@aggTrade",
            "btcusdt@aggTrade btcusdt@trade",
            id="lower case kind",
        ),
        pytest.param(
            "btcusdt@depth",
            "ethusdt@depth btcusdt@trade btcusdt@depth5 btcusdt@depth@100ms",
            "btcusdt@depth@100ms btcusdt@depth5 btcusdt@trade",
            id="another speed before other data before another symbol",
        ),
        pytest.param(
            "btcusdt@trade",
            "ethusdt@trade btcusdt@ticker btcusdt@aggTrade",
            "btcusdt@aggTrade btcusdt@ticker ethusdt@trade",
            id="aggTrade for trade",
        ),
        pytest.param(
            "btcusdt@kline_1m",
            "ethusdt@kline_1m btcusdt@kline_1h btcusdt@kline_15m",
            "btcusdt@kline_15m btcusdt@kline_1h ethusdt@kline_1m",
            id="another interval",
        ),
        pytest.param(
            "btcust@trade",
            "ethusdt@trade btcusdt@aggTrade btcusdt@trade dogeeur@forceOrder",
            "btcusdt@trade btcusdt@aggTrade ethusdt@trade",
            id="misspelled symbol, nothing far away",
        ),
        pytest.param(
            "!miniTicker",
            "btcusdt@miniTicker !miniTicker@arr !ticker@arr",
            "!miniTicker@arr !ticker@arr btcusdt@miniTicker",
            id="forgotten @arr",
        ),
        pytest.param("btcusdt@trade", "btcusdt@trade", "", id="never itself"),
        pytest.param("btcusdt@trade", "", "", id="none to choose from"),
        pytest.param("btcusdt@trade", "xyz@forceOrder", "", id="nothing near"),
    ],
)
def test_nearest_streams_come_best_first(
    missing: str, known: str, nearest: str
) -> None:
    assert nearest_streams(missing, known.split()) == nearest.split()


@given(
    name=st.sampled_from([*SPOT, *USDM, "BTCUSDT@trade"]),
    known=st.lists(st.sampled_from([*SPOT, *USDM]), max_size=8),
    limit=st.integers(0, 5),
)
def test_nearest_streams_are_known_ones_in_an_order_of_their_own(
    name: str, known: list[str], limit: int
) -> None:
    nearest = nearest_streams(name, known, limit=limit)
    assert len(nearest) == len(set(nearest)) <= limit
    assert set(nearest) <= set(known) - {name}
    assert nearest_streams(name, reversed(known), limit=limit) == nearest


PAYLOADS: list[tuple[str, Market | None]] = [
    (
        '{"e":"trade","E":1,"s":"A","t":1,"p":"1","q":"1","T":1,"m":true,"M":true}',
        "spot",
    ),
    ('{"e":"trade","E":1,"s":"A","t":1,"p":"1","q":"1","b":7,"a":8}', "spot"),
    ('{"e":"trade","E":1,"T":1,"s":"A","t":1,"p":"1","q":"1","X":"ADL"}', "usdm"),
    ('{"e":"trade","E":1,"T":1,"s":"A","t":1,"p":"1","q":"1","m":true}', "usdm"),
    ('{"e":"trade","s":"A","p":"1","q":"1"}', None),
    ('{"e":"aggTrade","E":1,"a":1,"f":1,"l":1,"T":1,"m":true,"M":true}', "spot"),
    ('{"e":"aggTrade","E":1,"a":1,"f":1,"l":1,"T":1,"m":true,"nq":"1"}', "usdm"),
    ('{"e":"aggTrade","E":1,"a":1,"f":1,"l":1,"T":1,"m":true}', "usdm"),
    ('{"e":"aggTrade","p":"1"}', None),
    ('{"e":"blockTrade","T":1,"m":true}', "spot"),
    ('{"e":"depthUpdate","U":1,"u":2,"b":[],"a":[]}', "spot"),
    ('{"e":"depthUpdate","U":1,"u":2,"pu":0,"b":[],"a":[]}', "usdm"),
    ('{"lastUpdateId":1,"bids":[],"asks":[]}', "spot"),
    ('{"lastUpdateId":1,"E":1,"T":1,"bids":[],"asks":[]}', "usdm"),
    ('{"u":1,"s":"A","b":"1","B":"1","a":"1","A":"1"}', "spot"),
    ('{"e":"bookTicker","u":1,"s":"A","b":"1","B":"1","a":"1","A":"1"}', "usdm"),
    ('{"e":"kline","s":"A","k":{"t":1, "i":"1M", "Q":"0"}}', None),
    ('{"e":"kline","s":"BTCUSD_PERP","k":{}}', "usdm"),
    ('{"e":"kline","s":"BTCUSDT_261225","k":{}}', "usdm"),
    ('{"e":"continuous_kline","k":{}}', "usdm"),
    ('{"e":"24hrMiniTicker","s":"A","c":"1"}', None),
    ('{"e":"24hrMiniTicker","s":"A","ps":"A","c":"1"}', "usdm"),
    ('{"e":"24hrTicker","x":"1"}', "spot"),
    ('[{"e":"24hrTicker","b":"1"}]', "spot"),
    ('{"e":"24hrTicker","a":"1"}', "spot"),
    ('{"e":"24hrTicker","E":1,"w":"1","Q":"1","F":1,"L":1,"n":1}', "usdm"),
    ('{"e":"24hrTicker","c":"1"}', None),
    ('{"e":"4hTicker"}', "spot"),
    ('{"e":"avgPrice"}', "spot"),
    ('{"e":"referencePrice","r":null}', "spot"),
    ('{"e":"serverShutdown","E":1}', "spot"),
    ('[{"e":"markPriceUpdate"},{"e":"markPriceUpdate"}]', "usdm"),
    ('{"e": "forceOrder", "o":{}}', "usdm"),
    ('{"e":"compositeIndex"}', "usdm"),
    ('{"e":"contractInfo"}', "usdm"),
    ('{"e":"assetIndexUpdate"}', "usdm"),
    ('{"e":"KR_EquityUpdate","S":"REGULAR"}', "usdm"),
    ('{"e":"whatever","st":1}', "usdm"),
    ('{"e":"whatever"}', None),
    ("[]", None),
    ('{"result":null,"id":1}', None),
    ("not JSON", None),
]


@pytest.mark.parametrize(("payload", "market"), PAYLOADS)
def test_the_market_shows_in_a_payload(payload: str, market: Market | None) -> None:
    assert market_of_payload(payload.encode()) == market


@pytest.mark.parametrize(("payload", "market"), PAYLOADS[:-1])
def test_spaces_and_key_order_do_not_matter_to_the_market(
    payload: str, market: Market | None
) -> None:
    spaced = json.dumps(json.loads(payload), indent=1, sort_keys=True)
    assert market_of_payload(spaced.encode()) == market


@given(st.binary(max_size=200))
def test_any_bytes_have_a_market_or_none(payload: bytes) -> None:
    assert market_of_payload(payload) in {"spot", "usdm", None}


SESSIONS = sorted(DATA.glob("*/session*.jsonl*")) if DATA.is_dir() else []
LINE = re.compile(rb'\{"t":(?:\d+|null),"stream":"([^"]+)","data":(.*)\}\s*')


def frames(path: Path, step: int) -> Iterator[tuple[str, bytes]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in islice(lines, 0, None, step):
            match = LINE.fullmatch(line)
            assert match is not None
            yield match[1].decode(), match[2]


def step_for(path: Path) -> int:
    return 50 if path.stat().st_size > 1_000_000 else 1


@pytest.mark.skipif(not SESSIONS, reason="the shared recordings are not here")
@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.parent.name)
def test_recorded_payloads_tell_their_market(path: Path) -> None:
    market: Market = "spot" if "-spot-" in path.parent.name else "usdm"
    found: dict[str, set[Market | None]] = {}
    for stream, payload in frames(path, step_for(path)):
        assert parse_stream(stream, market) is not None
        kind = str(event_kind(stream, market))
        found.setdefault(kind, set()).add(market_of_payload(payload))
    assert found.pop("kline", {None}) == {None}
    assert all(markets == {market} for markets in found.values()), found


@pytest.mark.skipif(not SESSIONS, reason="the shared recordings are not here")
def test_recorded_single_frames_tell_their_market() -> None:
    # The names of the collection's streams do not say the market, its symbols partly
    # do; the rest was read by eye.
    path = DATA / "singles-crypto-msg-parser" / "frames.jsonl"
    markets = [market_of_payload(payload) for _, payload in frames(path, 1)]
    by_market = {market: markets.count(market) for market in set(markets)}
    assert by_market == {"spot": 6, "usdm": 32, None: 2}
