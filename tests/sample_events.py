"""Events of every kind, made up and captured, and the slow way to edit them."""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from pytest_binance_replay.streams import event_kind, market_of_payload
from tests.conftest import SHARED_DATA

CAPTURES = (
    "cryptofeed-spot-20210404/session.jsonl.gz",
    "cryptofeed-spot-20210417/session.jsonl.gz",
    "cryptofeed-spot-20211012/session.jsonl",
    "hftbacktest-coinm-20240808/session.jsonl.gz",
    "hftbacktest-spot-20240808/session.jsonl.gz",
    "hftbacktest-usdm-20230404/session.jsonl.gz",
    "hftbacktest-usdm-20240808/session.jsonl.gz",
    "jayhere1-spot-20260704/session.jsonl",
    "lasota-spot-20240903/session.jsonl",
    "polysim-spot-20260718/session.jsonl.gz",
    "polysim-usdm-20260718/session.jsonl.gz",
    "singles-crypto-msg-parser/frames.jsonl",
    "singles-unicorn-fy-spot-2020/frames.jsonl",
    "tomsep-spot-ticker-arr-20190928/session.jsonl",
)

# One event of each kind with the members that are times and ids, said again here so
# that a slip in the tables of the module cannot hide.
EVENTS: dict[str, tuple[bytes, str, str]] = {
    "trade": (
        b'{"e":"trade","E":1790000001234,"s":"LTCBTC","t":880123,"p":"0.001",'
        b'"q":"4.25","b":1790000000001,"a":1790000000002,"T":1790000001233,"m":false}',
        "E T",
        "t:trade",
    ),
    "aggTrade": (
        b'{"e":"aggTrade","E":1790000002155,"a":9077001,"s":"LTCUSDT","p":"87.40",'
        b'"q":"12","nq":"11","f":51200346,"l":51200349,"T":1790000002003,"st":1}',
        "E T",
        "a:aggregate f:trade l:trade",
    ),
    "blockTrade": (
        b'{"e":"blockTrade","E":1790000100450,"s":"LTCBTC","t":77,"p":"0.1",'
        b'"q":"2","T":1790000100377,"m":true}',
        "E T",
        "t:block",
    ),
    "depthUpdate": (
        b'{"e":"depthUpdate","E":1790000002102,"T":1790000002099,"s":"LTCUSDT",'
        b'"ps":"LTCUSDT","U":7719004410021,"u":7719004413377,"pu":7719004409985,'
        b'"b":[["86.90","0.000"]],"a":[["87.42","3.015"]],"st":1}',
        "E T",
        "U:book u:book pu:book",
    ),
    "partialDepth": (
        b'{"lastUpdateId":30017725,"bids":[["0.1","80.1"]],"asks":[["0.2","14"]]}',
        "",
        "lastUpdateId:book",
    ),
    "bookTicker": (
        b'{"e":"bookTicker","u":7719004413390,"s":"LTCUSDT","b":"87.39","B":"41",'
        b'"a":"87.42","A":"3","T":1790000002107,"E":1790000002108}',
        "E T",
        "u:book",
    ),
    "kline": (
        b'{"e":"kline","E":1790000004251,"s":"LTCUSDT","k":{"t":1789999980000, '
        b'"T":1790000039999, "s":"LTCUSDT", "i":"1m", "f":51200101, "L":51200349, '
        b'"o":"87.35", "l":"87.33", "n":246, "x":false, "V":"911.2", "B":"0"}}',
        "E k.t k.T",
        "k.f:trade k.L:trade",
    ),
    "continuous_kline": (
        b'{"e":"continuous_kline","E":1790000004600,"ps":"LTCUSDT","ct":"PERPETUAL",'
        b'"k":{"t":1789999980000,"T":1790000039999,"i":"1m","f":7719004000001,'
        b'"L":7719004413390,"o":"87.35","n":246,"x":false}}',
        "E k.t k.T",
        "k.f:book k.L:book",
    ),
    "24hrMiniTicker": (
        b'{"e":"24hrMiniTicker","E":1790000005016,"s":"LTCBTC","c":"0.1","v":"4"}',
        "E",
        "",
    ),
    "24hrTicker": (
        b'{"e":"24hrTicker","E":1790000005020,"s":"LTCBTC","p":"-0.1","o":"0.2",'
        b'"l":"0.1","O":1789913605018,"C":1790000005018,"F":861002,"L":880126,'
        b'"n":19125}',
        "E O C",
        "F:trade L:trade",
    ),
    "rollingTicker": (
        b'{"e":"4hTicker","E":1790000005031,"s":"LTCBTC","O":1789985580000,'
        b'"C":1790000005029,"F":877410,"L":880126,"n":2717}',
        "E O C",
        "F:trade L:trade",
    ),
    "avgPrice": (
        b'{"e":"avgPrice","E":1790000006000,"s":"LTCBTC","i":"5m","w":"0.1",'
        b'"T":1790000002000}',
        "E T",
        "",
    ),
    "referencePrice": (
        b'{"e":"referencePrice","s":"LTCBTC","r":null,"t":1790000006010}',
        "t",
        "",
    ),
    "markPriceUpdate": (
        b'{"e":"markPriceUpdate","E":1790000007000,"s":"LTCUSDT","p":"87.4",'
        b'"P":"87.2","r":"","T":1790006400000,"st":1}',
        "E T",
        "",
    ),
    "forceOrder": (
        b'{"e":"forceOrder","E":1790000008120,"o":{"s":"LTCUSDT","S":"SELL",'
        b'"o":"LIMIT","f":"IOC","q":"3.5","l":"1.2","T":1790000008115,"st":1}}',
        "E o.T",
        "",
    ),
    "compositeIndex": (
        b'{"e":"compositeIndex","E":1790000009000,"s":"DEFIUSDT","p":"554.4",'
        b'"C":"baseAsset","c":[{"b":"LTC","q":"USDT","w":"1.0","i":"87.4"}]}',
        "E",
        "",
    ),
    "contractInfo": (
        b'{"e":"contractInfo","E":1790000010000,"s":"LTCUSDT","dt":1798761600000,'
        b'"ot":1569398400000,"bks":[{"bs":1,"bnc":10000,"mmr":0.006,"ma":75}]}',
        "E dt ot",
        "",
    ),
    "assetIndexUpdate": (
        b'{"e":"assetIndexUpdate","E":1790000011000,"s":"LTCUSD","i":"87.4"}',
        "E",
        "",
    ),
    "tradingSession": (
        b'{"e":"EquityUpdate","E":1790000012000,"t":1789997400000,'
        b'"T":1790020800000,"S":"REGULAR"}',
        "E t T",
        "",
    ),
    "serverShutdown": (b'{"e":"serverShutdown","E":1790000013000}', "E", ""),
}

Edit = Callable[[str, int], int]


def edited(payload: bytes, paths: str, edit: Edit) -> Any:
    """Return the decoded payload after editing, the slow and obvious way."""
    document = json.loads(payload)
    for event in document if isinstance(document, list) else [document]:
        for path in paths.split():
            *outer, key = path.split(".")
            owner = event[outer[0]] if outer else event
            if key in owner:
                owner[key] = edit(path, owner[key])
    return document


def blanked(payload: bytes) -> bytes:
    """Return a payload with each run of digits blanked."""
    return re.sub(rb"\d+", b"#", payload)


def id_paths(kind: str) -> str:
    """Name the members of a kind that are ids."""
    return " ".join(pair.partition(":")[0] for pair in EVENTS[kind][2].split())


def kind_of(stream: str, payload: bytes) -> str:
    """Return the kind of a captured frame."""
    kind = event_kind(stream, market_of_payload(payload) or "spot")
    assert kind is not None, stream
    return kind


@cache
def captured(name: str, count: int = 4000) -> list[tuple[str, bytes]]:
    """Return stream and payload of the first frames of a capture."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"no shared recordings at {SHARED_DATA}")
    opener: Any = gzip.open if path.suffix == ".gz" else Path.open
    with opener(path, "rb") as lines:
        return [sliced(line) for line in itertools.islice(lines, count)]


def sliced(line: bytes) -> tuple[str, bytes]:
    """Cut stream and payload out of a captured line."""
    found = re.search(rb'"stream":\s*"([^"]+)",\s*"data":\s*(.*)\}\s*$', line)
    assert found
    return found[1].decode(), found[2]


def sampled(name: str) -> Iterator[tuple[str, bytes]]:
    """Give kind and payload of some frames of a capture."""
    for stream, payload in captured(name)[::7]:
        yield kind_of(stream, payload), payload


numbers = st.integers(min_value=0, max_value=2**53)
texts = st.text(st.sampled_from('aETtuU":{}[],\\ é'), max_size=12)
others = st.one_of(texts, st.none(), st.booleans(), st.lists(texts, max_size=3))


@st.composite
def events(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw kind and payload of an event with members that only look like times or ids.

    Members are in any order, with any spaces between them.
    """
    kind = draw(st.sampled_from(sorted(EVENTS)))
    document = copy.deepcopy(json.loads(EVENTS[kind][0]))
    for path in [*EVENTS[kind][1].split(), *id_paths(kind).split()]:
        *outer, key = path.split(".")
        (document[outer[0]] if outer else document)[key] = draw(numbers)
    document |= draw(st.dictionaries(texts.map("x".__add__), others, max_size=3))
    document = dict(draw(st.permutations(list(document.items()))))
    text = json.dumps(
        document,
        separators=draw(
            st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :"), (",\n", ":\t")])
        ),
        ensure_ascii=draw(st.booleans()),
    )
    return kind, text.encode()
