"""The form of a payload: its text without its numbers, and what fields it has.

Payloads of a stream differ in their numbers and hardly in anything else. What depends
on the form alone, such as whether a model accepts a payload or which fields it has,
need be found out once for each form, which is many times faster than for each payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 18
_LEVELS = re.compile(rb'(?:\["0(?:\.0)?","0(?:\.0)?"\],?)+')
_LONGEST_FORM = 4096
_NUMBER_TEXT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def form_of(payload: bytes) -> bytes | None:
    """Return the text of a payload with each number, and each list of levels, as one.

    Two payloads of one form are alike in everything but the digits of their numbers,
    how many digits these have, and how many levels stand in a list that has any.

    Args:
        payload: One JSON value.

    Returns:
        None where payloads of a form could still be unlike each other, or the form is
        too long to be kept: numbers of more than 17 digits, lists of many events.

    Example:
        >>> form_of(b'{"e":"trade","t":27,"p":"10.50"}')
        b'{"e":"trade","t":0,"p":"0.0"}'
    """
    form = payload.translate(_DIGITS)
    if _LONG_NUMBER in form:
        return None
    # Each run of up to 17 digits becomes one.
    form = form.replace(b"00000000", b"0").replace(b"0000", b"0")
    form = form.replace(b"00", b"0").replace(b"00", b"0")
    if b"[[" in form:
        form = _LEVELS.sub(b"L", form)
    return form if len(form) <= _LONGEST_FORM else None


def fields_of(wire: object) -> Iterator[tuple[str, str]]:
    """Name the fields of a decoded payload and the types of their values.

    Args:
        wire: A decoded JSON value, in which numbers with a fraction are no integers.

    Yields:
        Path and type: ``k.o`` and ``decimal``, a text that is a number. Members of an
        array of events count as the events they are, those of a list of levels as a
        part of it: ``array of levels``. The same pair may come more than once.
    """
    if isinstance(wire, list):
        for event in wire:
            yield from fields_of(event)
    elif isinstance(wire, dict):
        yield from _members(wire, "")


def _members(wire: dict[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in wire.items():
        path = f"{prefix}{name}"
        yield path, _type_of(value)
        if isinstance(value, dict):
            yield from _members(value, f"{path}.")
        elif isinstance(value, list):
            for member in value:
                if isinstance(member, dict):
                    yield from _members(member, f"{path}[].")


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case str():
            return "decimal" if _NUMBER_TEXT.fullmatch(value) else "text"
        case list():
            return "array"
        case dict():
            return "object"
    return "number"
