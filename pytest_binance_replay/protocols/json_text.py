"""JSON as clients send it, read as strictly as the exchange reads it.

The exchange quotes its parser's complaint back at the client, with the place, so this
reader complains in the same words. The standard library's reader cannot stand in: its
words change between Python versions, and it accepts NaN and halves of surrogate pairs,
fails on long integers and exhausts the stack on deep nesting.

Source:
    Binance Spot API docs, "Error messages" of the web socket streams, whose examples
    carry the messages of the serde_json parser.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeAlias

from pytest_binance_replay.errors import JsonTextError

JsonValue: TypeAlias = (
    "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
)

MAX_DEPTH = 127
"""Arrays and objects that may be open at once."""

_MAX_INTEGER_CHARACTERS = 20  # as many as the longest of 64 bits has, with its sign

_SPACES = (" ", "\t", "\n", "\r")
_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![.eE0-9])"
)
_UNFINISHED_NUMBER = re.compile(r"-?[0-9.eE+]*[-+.eE]")
_UNCLOSED_STRING = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
)
_STRING = re.compile(_UNCLOSED_STRING.pattern + '"')
_UNFINISHED_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, tuple[str, bool | None]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}
_NAMES = {"]": "a list", "}": "an object"}


def parse_json(text: str) -> JsonValue:
    """Parse one JSON value.

    Args:
        text: The whole text. Of a member named twice the last one counts.

    Returns:
        The value; an integer of more than 64 bits comes as the nearest float.

    Raises:
        JsonTextError: If the text is no JSON value, is followed by more, nests deeper
            than `MAX_DEPTH`, or holds half of a surrogate pair, which no reply could
            repeat.

    Example:
        >>> parse_json('{"id":[7,null]}')
        {'id': [7, None]}
        >>> parse_json('{"id":NaN}')
        Traceback (most recent call last):
        pytest_binance_replay.errors.JsonTextError: expected value at line 1 column 7
    """
    return _Reader(text).read()


def end_of(text: str, offset: int) -> tuple[int, int]:
    """Give line and column at which a parser stands that has read so far.

    Args:
        text: The whole text.
        offset: Characters read.

    Returns:
        Line, from 1; bytes read of that line, which is the column, from 1, of the last.
    """
    before = text[:offset]
    last_line = before.rpartition("\n")[2]
    return before.count("\n") + 1, len(last_line.encode("utf-8", "surrogatepass"))


class _Reader:
    """Walks over one text; every method leaves `_at` behind what it has read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> JsonValue:
        value = self._value()
        if self._peek():
            self._fail("trailing characters")
        return value

    def _value(self) -> JsonValue:
        match self._peek():
            case "":
                self._fail("EOF while parsing a value")
            case "{":
                return self._object()
            case "[":
                return self._array()
            case '"':
                return self._string()
            case "t" | "f" | "n" as first:
                return self._word(first)
            case first if first in "-0123456789":
                return self._number()
        return self._fail("expected value")

    def _object(self) -> JsonValue:
        members: dict[str, JsonValue] = {}
        upcoming = self._enter("}")
        while upcoming != "}":
            key = self._key(upcoming)
            members[key] = self._value()
            upcoming = self._separator("}")
        self._leave()
        return members

    def _array(self) -> JsonValue:
        items: list[JsonValue] = []
        upcoming = self._enter("]")
        while upcoming != "]":
            items.append(self._value())
            upcoming = self._separator("]")
        self._leave()
        return items

    def _enter(self, closing: str) -> str:
        if self._depth == MAX_DEPTH:
            self._fail("recursion limit exceeded")
        self._depth += 1
        self._at += 1
        upcoming = self._peek()
        if not upcoming:
            self._fail(f"EOF while parsing {_NAMES[closing]}")
        return upcoming

    def _separator(self, closing: str) -> str:
        upcoming = self._peek()
        if upcoming == closing:
            return upcoming
        if not upcoming:
            self._fail(f"EOF while parsing {_NAMES[closing]}")
        if upcoming != ",":
            self._fail(f"expected `,` or `{closing}`")
        self._at += 1
        upcoming = self._peek()
        if upcoming == closing:
            self._fail("trailing comma")
        return upcoming

    def _leave(self) -> None:
        self._depth -= 1
        self._at += 1

    def _key(self, upcoming: str) -> str:
        if not upcoming:
            self._fail("EOF while parsing a value")
        if upcoming != '"':
            self._fail("key must be a string")
        key = self._string()
        colon = self._peek()
        if not colon:
            self._fail("EOF while parsing an object")
        if colon != ":":
            self._fail("expected `:`")
        self._at += 1
        return key

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            self._fail_in_string()
        value: str = json.loads(found[0])
        if _HALF_OF_A_PAIR.search(value):
            self._fail("lone leading surrogate in hex escape")
        self._at = found.end()
        return value

    def _fail_in_string(self) -> NoReturn:
        rest = _UNCLOSED_STRING.sub("", self._text[self._at :], count=1)
        self._at = len(self._text) - len(rest)
        if not rest or _UNFINISHED_ESCAPE.fullmatch(rest):
            self._fail("EOF while parsing a string")
        if rest.startswith("\\"):
            self._fail("invalid escape")
        self._fail("control character (\\u0000-\\u001F) found while parsing a string")

    def _word(self, first: str) -> bool | None:
        word, value = _WORDS[first]
        if self._text.startswith(word, self._at):
            self._at += len(word)
            return value
        if word.startswith(self._text[self._at :]):
            self._fail("EOF while parsing a value")
        return self._fail("expected ident")

    def _number(self) -> int | float:
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            cut_short = _UNFINISHED_NUMBER.fullmatch(self._text, self._at)
            reason = "EOF while parsing a value" if cut_short else "invalid number"
            self._fail(reason)
        self._at = found.end()
        digits = found[0]
        if len(digits) <= _MAX_INTEGER_CHARACTERS and digits.lstrip("-").isdigit():
            return int(digits)
        return float(digits)

    def _peek(self) -> str:
        while self._text.startswith(_SPACES, self._at):
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _fail(self, reason: str) -> NoReturn:
        is_at_end = reason.startswith("EOF")
        offset = len(self._text) if is_at_end else self._at + 1
        raise JsonTextError(reason, *end_of(self._text, offset))
