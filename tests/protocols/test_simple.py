from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.protocols.simple import (
    INVALID_DATA,
    SimpleRequest,
    format_event,
    format_events,
    format_reply,
    native_names,
    parse_request,
    subscriptions_fed_by,
)

SPOT_TRADE = (
    b'{"e":"trade","E":1790000001234,"s":"LTCBTC","t":880123,"p":"0.00001000",'
    b'"q":"4.25000000","T":1790000001233,"m":false,"M":true}'
)
USDM_TRADE = (
    b'{"e":"trade","E":1790000001240,"T":1790000001238,"s":"LTCUSDT","t":51200345,'
    b'"p":"87.41","q":"1.530","X":"MARKET","m":true,"st":1}'
)
SPOT_TICKER = (
    b'{"e":"24hrTicker","E":1790000005020,"s":"LTCBTC","p":"-0.00001800","P":"1.201",'
    b'"w":"0.00151262","x":"0.00149900","c":"0.00151700","Q":"4.25000000",'
    b'"b":"0.00151600","B":"79.00000000","a":"0.00151800","A":"14.00000000",'
    b'"o":"0.00149900","h":"0.00153000","l":"0.00149100","v":"40121.75000000",'
    b'"q":"60.68890340","O":1789913605018,"C":1790000005018,"F":861002,"L":880126,'
    b'"n":19125}'
)
USDM_TICKER = (
    b'{"e":"24hrTicker","E":1790000005511,"s":"LTCUSDT","ps":"LTCUSDT","p":"1.05",'
    b'"P":"1.216","w":"86.92","c":"87.40","Q":"0.200","o":"86.35","h":"88.02",'
    b'"l":"85.90","v":"702113.480","q":"61027703.68","O":1789913580000,'
    b'"C":1790000005505,"F":50900001,"L":51200349,"n":299870,"st":1}'
)
DEPTH = (
    b'{"e":"depthUpdate","E":1790000002102,"T":1790000002099,"s":"LTCUSDT",'
    b'"U":7719004410021,"u":7719004413377,"pu":7719004409985,'
    b'"b":[["87.39","41.200"]],"a":[]}'
)
OLD_DEPTH = (
    b'{"e":"depthUpdate","E":1,"s":"LTCBTC","U":3,"u":4,"b":[["9.10","2.0",[]]],'
    b'"a":[["9.20","0.00000000",[]],["9.30","1",[]]]}'
)


def without(payload: bytes, key: str) -> bytes:
    event = json.loads(payload)
    del event[key]
    return json.dumps(event).encode()


def altered(payload: bytes, key: str, value: object) -> bytes:
    return json.dumps(json.loads(payload) | {key: value}).encode()


@pytest.mark.parametrize("action", ["subscribe", "unsubscribe"])
def test_a_request_is_an_object_with_three_members(action: str) -> None:
    members = {"stream": "x y", "n": 1, "action": action, "pair": ""}
    assert parse_request(json.dumps(members)) == SimpleRequest(
        action,  # type: ignore[arg-type]
        "",
        "x y",
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "hello", "[]", "7", "null", '"subscribe"', "{}", "[" * 100_000),
        '{"action":"subscribe","pair":"LTCUSDT","stream":"trade"',
        '{"action":"subscribe","pair":"LTCUSDT"}',
        '{"action":"subscribe","stream":"trade"}',
        '{"pair":"LTCUSDT","stream":"trade"}',
        '{"action":"SUBSCRIBE","pair":"LTCUSDT","stream":"trade"}',
        '{"action":"list","pair":"LTCUSDT","stream":"trade"}',
        '{"action":["subscribe"],"pair":"LTCUSDT","stream":"trade"}',
        '{"action":"subscribe","pair":7,"stream":"trade"}',
        '{"action":"subscribe","pair":"LTCUSDT","stream":null}',
        '{"action":"subscribe","pair":"LTCUSDT","stream":"\\ud800"}',
        '{"method":"SUBSCRIBE","params":["ltcusdt@trade"],"id":1}',
    ],
)
def test_anything_else_is_no_request(text: str) -> None:
    assert parse_request(text) is None


def test_what_is_no_request_has_one_reply() -> None:
    assert INVALID_DATA == '{"error":"Invalid data"}'


@given(st.text() | st.text(st.characters()))
def test_any_text_is_a_request_or_none(text: str) -> None:
    assert parse_request(text) is None or text.strip().startswith("{")


@given(st.sampled_from(["subscribe", "unsubscribe"]), st.text(), st.text())
def test_every_request_is_acknowledged_as_sent(
    action: str, pair: str, stream: str
) -> None:
    members = {"action": action, "pair": pair, "stream": stream}
    request = parse_request(json.dumps(members))
    assert request is not None
    reply = json.loads(format_reply(request))
    subscription = f"{pair}-{stream}"
    assert reply == {"action": action, "subscription": subscription, "result": True}


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (
            SimpleRequest("subscribe", "LTCUSDT", "trade"),
            '{"action":"subscribe","subscription":"LTCUSDT-trade","result":true}',
        ),
        (
            SimpleRequest("unsubscribe", "币", 'a"b'),
            '{"action":"unsubscribe","subscription":"币-a\\"b","result":true}',
        ),
    ],
)
def test_the_reply_is_compact(request_: SimpleRequest, reply: str) -> None:
    assert format_reply(request_) == reply


@pytest.mark.parametrize(
    ("pair", "stream", "names"),
    [
        ("LTCUSDT", "trade", ("ltcusdt@trade",)),
        ("LTCUSDT", "ticker", ("ltcusdt@ticker",)),
        ("LTCUSDT", "depth", ("ltcusdt@depth", "ltcusdt@depth@100ms")),
        ("BTCUSD_PERP", "trade", ("btcusd_perp@trade",)),
        ("1000SATSUSDT", "trade", ("1000satsusdt@trade",)),
        ("币安USDT", "trade", ("币安usdt@trade",)),
        ("ltcusdt", "trade", ()),
        ("LtcUSDT", "trade", ()),
        ("LTCUSDT", "TRADE", ()),
        ("LTCUSDT", "aggTrade", ()),
        ("LTCUSDT", "depth@100ms", ()),
        ("LTCUSDT", "", ()),
        ("", "trade", ()),
        ("LTC USDT", "trade", ()),
        ("LTC/USDT", "depth", ()),
        ("!TICKER", "trade", ("!ticker@trade",)),
    ],
)
def test_the_pair_as_events_have_it_names_the_streams(
    pair: str, stream: str, names: tuple[str, ...]
) -> None:
    assert native_names(pair, stream) == names


@pytest.mark.parametrize(
    ("name", "subscriptions"),
    [
        ("ltcusdt@trade", ("LTCUSDT-trade",)),
        ("ltcusdt@ticker", ("LTCUSDT-ticker",)),
        ("ltcusdt@depth", ("LTCUSDT-depth",)),
        ("ltcusdt@depth@100ms", ("LTCUSDT-depth",)),
        ("ltcusdt@depth@500ms", ()),
        ("ltcusdt@aggTrade", ()),
        ("!ticker@arr", ()),
    ],
)
def test_a_native_stream_names_the_subscription_that_it_feeds(
    name: str, subscriptions: tuple[str, ...]
) -> None:
    assert subscriptions_fed_by(name) == subscriptions


@pytest.mark.parametrize(
    ("stream", "payload", "text"),
    [
        (
            "ltcusdt@trade",
            USDM_TRADE,
            '{"event": "trade", "event_time": 1790000001240, "symbol": "LTCUSDT", '
            '"price": 87.41, "quantity": 1.53, "trade_time": 1790000001238, '
            '"market_marker": true, "ignore": null}',
        ),
        (
            "ltcbtc@trade",
            SPOT_TRADE,
            '{"event": "trade", "event_time": 1790000001234, "symbol": "LTCBTC", '
            '"price": 1e-05, "quantity": 4.25, "trade_time": 1790000001233, '
            '"market_marker": false, "ignore": true}',
        ),
        (
            "ltcusdt@depth",
            DEPTH,
            '{"event": "depthUpdate", "event_time": 1790000002102, '
            '"symbol": "LTCUSDT", "first_update_id": 7719004410021, '
            '"final_update_id": 7719004413377, '
            '"bids": [{"price": "87.39", "quantity": "41.200"}], "asks": []}',
        ),
        (
            "ltcbtc@depth@100ms",
            OLD_DEPTH,
            '{"event": "depthUpdate", "event_time": 1, "symbol": "LTCBTC", '
            '"first_update_id": 3, "final_update_id": 4, '
            '"bids": [{"price": "9.10", "quantity": "2.0"}], '
            '"asks": [{"price": "9.20", "quantity": "0.00000000"}, '
            '{"price": "9.30", "quantity": "1"}]}',
        ),
        (
            "ltcbtc@ticker",
            SPOT_TICKER,
            '{"event": "24hrTicker", "event_time": 1790000005020, '
            '"symbol": "LTCBTC", "price_change": -1.8e-05, '
            '"price_change_percent": 1.201, "weighted_avg_price": 0.00151262, '
            '"last_price": 0.001517, "last_quantity": 4.25, "open_price": 0.001499, '
            '"high_price": 0.00153, "low_price": 0.001491, "volume": 40121.75, '
            '"quote_volume": 60.6889034, "open_time": 1789913605018, '
            '"close_time": 1790000005018, "number_of_trades": 19125, '
            '"first_trade_price": 0.001499, "first_trade_id": "861002", '
            '"last_trade_id": "880126", "best_bid_price": 0.001516, '
            '"best_bid_quantity": 79.0, "best_ask_price": 0.001518, '
            '"best_ask_quantity": 14.0}',
        ),
        (
            "ltcusdt@ticker",
            USDM_TICKER,
            '{"event": "24hrTicker", "event_time": 1790000005511, '
            '"symbol": "LTCUSDT", "price_change": 1.05, '
            '"price_change_percent": 1.216, "weighted_avg_price": 86.92, '
            '"last_price": 87.4, "last_quantity": 0.2, "open_price": 86.35, '
            '"high_price": 88.02, "low_price": 85.9, "volume": 702113.48, '
            '"quote_volume": 61027703.68, "open_time": 1789913580000, '
            '"close_time": 1790000005505, "number_of_trades": 299870, '
            '"first_trade_price": null, "first_trade_id": "50900001", '
            '"last_trade_id": "51200349", "best_bid_price": null, '
            '"best_bid_quantity": null, "best_ask_price": null, '
            '"best_ask_quantity": null}',
        ),
    ],
)
def test_events_read_as_its_clients_expect(
    stream: str, payload: bytes, text: str
) -> None:
    assert format_event(payload, stream=stream) == text.encode()


def test_times_in_microseconds_stay_as_they_are() -> None:
    payload = altered(SPOT_TRADE, "E", 1790000001234567)
    event = format_event(payload, stream="ltcbtc@trade")
    assert event is not None
    assert json.loads(event)["event_time"] == 1790000001234567


def test_a_ticker_without_trades_has_no_trade_ids() -> None:
    payload = without(without(SPOT_TICKER, "F"), "L")
    event = format_event(payload, stream="ltcbtc@ticker")
    assert event is not None
    assert json.loads(event)["first_trade_id"] is None
    assert json.loads(event)["last_trade_id"] is None


def test_what_is_not_ascii_is_escaped_as_python_does() -> None:
    event = format_event(altered(USDM_TRADE, "s", "币"), stream="币@trade")
    assert event is not None
    assert b'"symbol": "\\u5e01"' in event


@pytest.mark.parametrize(
    ("payload", "feature", "needed"),
    [
        (SPOT_TRADE, "trade", "eEspqTm"),
        (SPOT_TICKER, "ticker", "eEspPwcQohlvqOCn"),
        (DEPTH, "depth", "eEsUuba"),
    ],
)
def test_what_lacks_a_member_is_no_event(
    payload: bytes, feature: str, needed: str
) -> None:
    for key in json.loads(payload):
        event = format_event(without(payload, key), stream=f"x@{feature}")
        assert (event is None) == (key in set(needed))


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("x@trade", USDM_TICKER),
        ("x@ticker", USDM_TRADE),
        ("x@depth", USDM_TRADE),
        ("x@aggTrade", altered(USDM_TRADE, "e", "aggTrade")),
        ("x@trade", altered(USDM_TRADE, "e", "aggTrade")),
        ("x@kline_1m", b'{"e":"kline"}'),
        ("x@depth5", b'{"lastUpdateId":1,"bids":[],"asks":[]}'),
        ("x@depth", b'{"lastUpdateId":1,"bids":[],"asks":[]}'),
        ("!ticker@arr", b"[" + USDM_TICKER + b"]"),
        ("x@ticker", b"[" + USDM_TICKER + b"]"),
        ("x@trade", b""),
        ("x@trade", b"null"),
        ("x@trade", b'"trade"'),
        ("x@trade", b"\xff\xfe"),
        ("x@trade", USDM_TRADE[:-1]),
        ("x@trade", b"[" * 200_000),
        ("x@trade", altered(USDM_TRADE, "p", "cheap")),
        ("x@trade", altered(USDM_TRADE, "p", "NaN")),
        ("x@trade", altered(USDM_TRADE, "p", "1e999")),
        ("x@trade", altered(USDM_TRADE, "p", 10**400)),
        ("x@trade", altered(USDM_TRADE, "p", None)),
        ("x@trade", altered(USDM_TRADE, "E", "soon")),
        ("x@trade", USDM_TRADE.replace(b"1790000001240", b"9" * 5000)),
        ("x@depth", altered(DEPTH, "b", None)),
        ("x@depth", altered(DEPTH, "b", [["1"]])),
        ("x@depth", altered(DEPTH, "b", [{"price": "1", "quantity": "2"}])),
    ],
)
def test_what_is_no_whole_event_of_the_stream_is_none(
    stream: str, payload: bytes
) -> None:
    assert format_event(payload, stream=stream) is None


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["x@trade", "x@ticker", "x@depth", "x", ""]),
)
def test_no_payload_breaks_the_formatting(payload: bytes, stream: str) -> None:
    assert format_event(payload, stream=stream) is None


FEATURES = {"trade": "trade", "24hrTicker": "ticker", "depthUpdate": "depth"}
CAPTURES = {
    "hftbacktest-spot-20240808": {"trade", "depth"},
    "hftbacktest-usdm-20240808": {"trade", "depth"},
    "hftbacktest-coinm-20240808": {"trade", "depth"},
    "hftbacktest-usdm-20230404": {"trade", "depth"},
    "cryptofeed-spot-20210404": {"depth"},
    "polysim-usdm-20260718": {"depth"},
    "singles-crypto-msg-parser": {"ticker", "depth"},
    "singles-unicorn-fy-spot-2020": {"trade", "ticker"},
}


def recorded_lines(folder: Path) -> Iterator[str]:
    path = next(folder.glob("session.jsonl*"), folder / "frames.jsonl")
    with path.open("rb") as file:
        lines = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        yield from (line.decode() for line in islice(lines, 2000))


def recorded_events(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    for line in recorded_lines(folder):
        frame = json.loads(line)
        if isinstance(frame["data"], dict):
            feature = FEATURES.get(frame["data"].get("e", ""), "none of ours")
            if frame["stream"].partition("@")[2].split("@")[0] == feature:
                payload = line.partition('"data":')[2].strip().removesuffix("}")
                yield feature, frame["stream"], payload.encode()


@pytest.mark.parametrize("capture", CAPTURES)
def test_every_recorded_event_can_be_read(shared_data: Path, capture: str) -> None:
    seen = set()
    for feature, stream, payload in recorded_events(shared_data / capture):
        text = format_event(payload, stream=stream)
        assert text is not None
        CHECKS[feature](json.loads(payload), json.loads(text))
        seen.add(feature)
    assert seen == CAPTURES[capture]


def check_trade(recorded: dict[str, Any], event: dict[str, Any]) -> None:
    assert list(event.values()) == [
        *(recorded[key] for key in "eEs"),
        *(float(recorded[key]) for key in "pq"),
        *(recorded.get(key) for key in "TmM"),
    ]


def check_ticker(recorded: dict[str, Any], event: dict[str, Any]) -> None:
    def number(key: str) -> float | None:
        return float(recorded[key]) if key in recorded else None

    assert list(event.values()) == [
        *(recorded[key] for key in "eEs"),
        *(number(key) for key in "pPwcQohlvq"),
        *(recorded[key] for key in "OCn"),
        *(number("x"), str(recorded["F"]), str(recorded["L"])),
        *(number(key) for key in "bBaA"),
    ]


def check_depth(recorded: dict[str, Any], event: dict[str, Any]) -> None:
    sides = [[list(level.values()) for level in event[side]] for side in SIDES]
    assert sides == [recorded["b"], recorded["a"]]
    assert list(event.values())[:5] == [recorded[key] for key in "eEsUu"]


SIDES = ("bids", "asks")
CHECKS = {"trade": check_trade, "ticker": check_ticker, "depth": check_depth}


# Events of a shape that was met before

numbers = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map("{:f}".format),
    st.sampled_from(
        ["0", "-0", "007.10", "1e5", "1.", ".5", "1_0", "nan", "", "9" * 400]
    ),
)
values = st.one_of(
    numbers.map('"{}"'.format),
    numbers,
    st.sampled_from(["true", "false", "null", "[]", "{}", '"BTCUSDT"', '"\\u00e9"']),
    st.text(max_size=3).map(json.dumps),
)
levels = st.lists(st.tuples(numbers, numbers), max_size=3).map(
    lambda rows: "[" + ",".join(f'["{p}","{q}"]' for p, q in rows) + "]"
)
FORMED = {
    "trade": '"e":"trade","E":1,"s":"A","p":"1.0","q":"2","T":3,"m":true,"M":true',
    "depth": '"e":"depthUpdate","E":1,"s":"A","U":1,"u":2,"b":[["1","2"]],"a":[]',
}


@given(
    st.sampled_from(sorted(FORMED)),
    st.lists(st.tuples(st.integers(0, 8), values | levels), max_size=3),
)
def test_what_is_cut_out_is_what_parsing_gives(
    kind: str, changes: list[tuple[int, str]]
) -> None:
    formed = FORMED[kind]
    assert format_event(b"{%b}" % formed.encode(), stream=f"a@{kind}") is not None
    members = re.findall(r'"\w+":(?:\[.*?\]+|[^,]+)', formed)
    for index, value in changes:
        key = members[index % len(members)].partition(":")[0]
        members[index % len(members)] = f"{key}:{value}"
    payload = ("{" + ",".join(members) + "}").encode()
    spaced = payload.replace(b'"e":', b'"e": ', 1)  # of a shape that is never learned
    assert format_event(payload, stream=f"a@{kind}") == format_event(
        spaced, stream=f"a@{kind}"
    )


@given(
    st.lists(
        st.sampled_from(
            [SPOT_TRADE, USDM_TRADE, DEPTH, b"", b"{}\n{}", SPOT_TRADE + b"\n" + DEPTH]
        )
    )
)
def test_events_together_read_as_each_alone(payloads: list[bytes]) -> None:
    alone = [format_event(payload, stream="a@trade") for payload in payloads]
    assert list(format_events(payloads, stream="a@trade")) == alone
