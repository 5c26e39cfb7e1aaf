"""The form of a payload, and its fields."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.errors import EventError
from pytest_binance_replay.events import parse_event
from pytest_binance_replay.tools.forms import fields_of, form_of
from tests.sample_events import EVENTS

DIFF = b'{"U":1,"u":2,"b":[%b],"a":[]}'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"p":"1.5","t":7}', b'{"p":"97250.00","t":123456789}'),
        (DIFF % b'["1.5","2"]', DIFF % b'["15.25","2.00"],["1","0.5"]'),
        (b'{"s":"1000SHIBUSDT"}', b'{"s":"1SHIBUSDT"}'),
    ],
)
def test_what_differs_in_digits_has_one_form(one: bytes, other: bytes) -> None:
    assert form_of(one) == form_of(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"p":"1.5"}', b'{"p":1.5}'),
        (b'{"p":"15"}', b'{"p":"1.5"}'),
        (b'{"p":"1"}', b'{"p":"-1"}'),
        (b'{"p":"1"}', b'{"p":"1e5"}'),
        (b'{"p":"1"}', b'{"p":""}'),
        (b'{"p":1}', b'{"p":null}'),
        (b'{"p":1}', b'{"q":1}'),
        (DIFF % b'["1","2"]', DIFF % b""),
        (DIFF % b'["1","2"]', DIFF % b'["1",2]'),
        (DIFF % b'["1","2"]', DIFF % b'["1","2",[]]'),
        (DIFF % b'["1","2"]', DIFF % b'["1","2"],["1"]'),
    ],
)
def test_what_a_model_tells_apart_has_two_forms(one: bytes, other: bytes) -> None:
    assert form_of(one) != form_of(other)


@pytest.mark.parametrize("digits", range(1, 18))
def test_a_number_of_up_to_17_digits_is_one_digit(digits: int) -> None:
    assert form_of(b'{"t":%b}' % (b"7" * digits)) == b'{"t":0}'


def test_what_could_still_be_unlike_has_no_form() -> None:
    assert form_of(b'{"t":%d}' % 10**17) is None
    assert form_of(b'{"e":"%b"}' % (b"x" * 5000)) is None


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind != "partialDepth"])
@given(digits=st.lists(st.sampled_from("0123456789"), min_size=1, max_size=17))
def test_other_digits_never_change_what_a_model_says(
    kind: str, digits: list[str]
) -> None:
    payload = EVENTS[kind][0]
    wire = json.loads(payload)
    number = int("".join(digits))
    for key, value in wire.items():
        if type(value) is int:
            wire[key] = number
    other = json.dumps(wire, separators=(",", ":")).encode()
    same_form = form_of(other) == form_of(payload)
    assert not same_form or accepted(other) == accepted(payload)


def accepted(payload: bytes) -> bool:
    try:
        parse_event(payload, stream="ltcbtc@x", market="spot")
    except EventError:
        return False
    return True


def test_fields_have_a_path_and_a_type() -> None:
    wire = {
        "e": "kline",
        "p": "-1.5",
        "n": 1,
        "x": True,
        "r": None,
        "f": Decimal("0.5"),
        "k": {"o": "1"},
        "b": [["1", "2"]],
        "c": [{"w": "1"}, {"w": "x"}],
    }
    assert list(fields_of([wire])) == [
        ("e", "text"),
        ("p", "decimal"),
        ("n", "integer"),
        ("x", "boolean"),
        ("r", "null"),
        ("f", "number"),
        ("k", "object"),
        ("k.o", "decimal"),
        ("b", "array"),
        ("c", "array"),
        ("c[].w", "decimal"),
        ("c[].w", "text"),
    ]
    assert list(fields_of(7)) == []
