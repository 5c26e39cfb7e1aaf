from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_binance_replay.errors import JsonTextError
from pytest_binance_replay.protocols.json_text import MAX_DEPTH, end_of, parse_json

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"separators": (",", ":"), "ensure_ascii": False},
    {"indent": 1},
]
SCRAPS = st.text(st.sampled_from('{}[],:"\\u0dE8-+.1tfn \n\x01'), max_size=30)
ANY_TEXT = st.text() | st.text(st.characters()) | SCRAPS


def is_accepted_by(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def parse_strictly(text: str) -> None:
    """What the standard library accepts, but for what cannot be sent on."""

    def refuse(word: str) -> NoReturn:
        raise ValueError(word)

    value = json.loads(text, parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()


@given(JSON_VALUES, st.sampled_from(LAYOUTS))
def test_every_json_text_is_read_as_python_reads_it(
    value: object, layout: dict[str, Any]
) -> None:
    assert parse_json(json.dumps(value, **layout)) == value


@given(JSON_VALUES, st.sampled_from(LAYOUTS), st.data())
def test_a_text_cut_short_is_said_to_have_ended(
    value: object, layout: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps([value], **layout)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(JsonTextError, match=r"^EOF while parsing a"):
        parse_json(cut)


@given(ANY_TEXT)
@example('"\ud800"')
@example("-Infinity")
def test_any_text_is_a_value_or_not_json_and_python_agrees(text: str) -> None:
    assert is_accepted_by(parse_json, text) == is_accepted_by(parse_strictly, text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hello", "expected value at line 1 column 1"),
        ("NaN", "expected value at line 1 column 1"),
        ("[Infinity]", "expected value at line 1 column 2"),
        ("[-Infinity]", "invalid number at line 1 column 2"),
        ("[1 2]", "expected `,` or `]` at line 1 column 4"),
        ('{"a":1 "b"}', "expected `,` or `}` at line 1 column 8"),
        ('{"a" 1}', "expected `:` at line 1 column 6"),
        ("{'a':1}", "key must be a string at line 1 column 2"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ('{"a":', "EOF while parsing a value at line 1 column 5"),
        ('{"a":1,', "EOF while parsing a value at line 1 column 7"),
        ("[1,", "EOF while parsing a value at line 1 column 3"),
        ("nul", "EOF while parsing a value at line 1 column 3"),
        ("-", "EOF while parsing a value at line 1 column 1"),
        ("[1.", "EOF while parsing a value at line 1 column 3"),
        ("1e+", "EOF while parsing a value at line 1 column 3"),
        ('"abc', "EOF while parsing a string at line 1 column 4"),
        ('"a\\', "EOF while parsing a string at line 1 column 3"),
        ('"a\\u12', "EOF while parsing a string at line 1 column 6"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ('{"a"', "EOF while parsing an object at line 1 column 4"),
        ('{"a":1', "EOF while parsing an object at line 1 column 6"),
        ("[", "EOF while parsing a list at line 1 column 1"),
        ("[1", "EOF while parsing a list at line 1 column 2"),
        ("[]]", "trailing characters at line 1 column 3"),
        ("[1,]", "trailing comma at line 1 column 4"),
        ('{"a":1,}', "trailing comma at line 1 column 8"),
        ("nil", "expected ident at line 1 column 1"),
        ("01", "invalid number at line 1 column 1"),
        ('"a\\x"', "invalid escape at line 1 column 3"),
        ('"\\ud800"', "lone leading surrogate in hex escape at line 1 column 1"),
        (
            '"a\tb"',
            "control character (\\u0000-\\u001F) found while parsing a string "
            "at line 1 column 3",
        ),
    ],
)
def test_the_complaint_is_that_of_the_exchange(text: str, complaint: str) -> None:
    with pytest.raises(JsonTextError) as caught:
        parse_json(text)
    assert str(caught.value) == complaint


def test_places_count_lines_and_the_bytes_of_the_last() -> None:
    with pytest.raises(JsonTextError) as caught:
        parse_json('[\n"é" x]')
    assert (caught.value.line, caught.value.column) == (2, 6)
    assert end_of("ab\ncd", 4) == (2, 1)


def test_of_a_member_named_twice_the_last_counts() -> None:
    assert parse_json('{"id":1,"id":2}') == {"id": 2}


def test_deep_nesting_is_an_error_and_not_a_stack_overflow() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(f"[{deepest[1:-1]},{deepest[1:-1]}]")
    with pytest.raises(JsonTextError, match="recursion limit exceeded"):
        parse_json(f"[{deepest}]")
    with pytest.raises(JsonTextError, match="recursion limit exceeded"):
        parse_json('{"a":' * 100_000)


def test_an_integer_too_long_for_python_becomes_a_float() -> None:
    assert parse_json("9" * 5000) == math.inf
    assert parse_json("9223372036854775808") == 2**63
    assert isinstance(parse_json("1" * 30), float)


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"
