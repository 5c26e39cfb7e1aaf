"""Pictures of a book: what can be read of them, and what is wrong where it cannot."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given
from hypothesis import strategies as st

from pytest_binance_replay.picture import parse_partial, parse_snapshot
from pytest_binance_replay.streams import Market

SPOT = {"lastUpdateId": 7, "bids": [["9", "1"], ["8", "2"]], "asks": [["10", "3"]]}
USDM = {"e": "depthUpdate", "U": 5, "u": 7, "pu": 4, "b": [["9", "1"]], "a": []}


def payload(shown: object) -> bytes:
    return json.dumps(shown).encode()


@pytest.mark.parametrize(
    ("market", "shown", "bids", "asks"),
    [
        ("spot", SPOT, [["9", "1"], ["8", "2"]], [["10", "3"]]),
        ("usdm", USDM, [["9", "1"]], []),
    ],
)
def test_partial_depth_is_read_as_its_market_writes_it(
    market: Market, shown: dict[str, Any], bids: object, asks: object
) -> None:
    assert parse_partial(payload(shown), market, 5) == (7, bids, asks, 5)


def test_a_full_picture_is_known_down_to_its_last_level() -> None:
    book = parse_partial(payload(SPOT), "spot", 2).book("LTCBTC", "spot")
    assert book.known_to == (Decimal(8), None)
    assert parse_snapshot(payload(SPOT)).book("LTCBTC", "spot").known_to == (None, None)


WRONG: list[tuple[object, str]] = [
    ([], "it has no 'lastUpdateId'"),
    ("depth", "it has no 'lastUpdateId'"),
    ({"code": -1121, "msg": "Invalid symbol."}, "it has no 'lastUpdateId'"),
    ({**SPOT, "lastUpdateId": "7"}, "its 'lastUpdateId' is '7', no whole number"),
    ({"lastUpdateId": 7, "bids": []}, "it has no 'asks'"),
    ({**SPOT, "asks": {}}, "its 'asks' is {}, no list of levels"),
    (
        {**SPOT, "bids": [["9", "1"], ["8"]]},
        "its 'bids' has ['8'], no price and quantity as texts",
    ),
    (
        {**SPOT, "bids": [["9", "abc"]]},
        "its 'bids' has ['9', 'abc'], no price and quantity as texts",
    ),
    (
        {**SPOT, "asks": [["1,0", "1"]]},
        "its 'asks' has ['1,0', '1'], no price and quantity as texts",
    ),
    ({**SPOT, "asks": [[9, 1]]}, "its 'asks' has [9, 1], no price and quantity as "),
    ({**SPOT, "asks": ["9"]}, "its 'asks' has '9', no price and quantity as texts"),
]


@pytest.mark.parametrize(("shown", "problem"), WRONG)
def test_what_is_no_picture_is_told(shown: object, problem: str) -> None:
    with pytest.raises(ValueError, match="it") as caught:
        parse_snapshot(payload(shown))
    assert str(caught.value).startswith(problem)


@given(st.binary() | st.recursive(st.none(), st.lists).map(payload))
@example(b"[" * 100_000)
@example(b'{"lastUpdateId":7,"bids":[["\xff","1"]],"asks":[]}')
def test_anything_is_a_picture_or_is_refused_with_a_sentence(raw: bytes) -> None:
    for market in ("spot", "usdm"):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - any sentence
            parse_partial(raw, market, 5)
        assert str(caught.value)
