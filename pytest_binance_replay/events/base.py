"""What all events share: the wire's types, the base models, reading text.

Wire names are the exchange's, one letter as a rule, and mean different things in
different events; attributes say in words what they mean in theirs.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeGuard, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from pytest_binance_replay.errors import EventError
from pytest_binance_replay.levels import Level

# A time below it counts milliseconds (it is reached in the year 5138), others count
# microseconds (it was passed in March 1973); a thousandfold is neither, so that
# nanoseconds are not taken for either.
_FIRST_MICROSECONDS = 10**14
_END_OF_TIME = _FIRST_MICROSECONDS * 1000

_PLAIN_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def _is_time(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _END_OF_TIME


def _microseconds(value: object) -> int:
    if not _is_time(value):
        kind, expected = "time", "milliseconds or microseconds since 1970"
        raise PydanticCustomError(kind, expected)
    return value if value >= _FIRST_MICROSECONDS else value * 1000


def _last_microsecond(value: object) -> int:
    """A candle's end is the last instant inside it that the wire's unit can say."""
    end_us = _microseconds(value)
    return end_us if end_us == value else end_us + 999


def _time_if_any(value: object) -> int | None:
    return None if _is_time(value) and value == 0 else _microseconds(value)


def _decimal_or_none(value: object) -> Decimal | None:
    if isinstance(value, str):
        return Decimal(value) if _PLAIN_DECIMAL.fullmatch(value) else None
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    return Decimal(value) if type(value) is int else None


def _decimal(value: object) -> Decimal:
    number = _decimal_or_none(value)
    if number is None:
        kind, expected = "decimal", "a decimal number in plain digits"
        raise PydanticCustomError(kind, expected)
    return number


def _decimal_if_any(value: object) -> Decimal | None:
    return None if value == "" else _decimal(value)


def _level(value: object) -> Level:
    members: tuple[object, object]
    match value:
        case (
            [price, quantity]
            | [price, quantity, _]  # until 2019-03-12
            | {"price": price, "quantity": quantity}
        ):
            members = price, quantity
        case _:
            members = None, None
    price_read, quantity_read = map(_decimal_or_none, members)
    if price_read is None or quantity_read is None:
        kind, expected = "level", "price and quantity, decimals in plain digits"
        raise PydanticCustomError(kind, expected)
    return Level(price_read, quantity_read)


Microseconds = Annotated[int, BeforeValidator(_microseconds)]
CandleEnd = Annotated[int, BeforeValidator(_last_microsecond)]
TimeIfAny = Annotated[int | None, BeforeValidator(_time_if_any)]
Number = Annotated[Decimal, BeforeValidator(_decimal)]
NumberIfAny = Annotated[Decimal | None, BeforeValidator(_decimal_if_any)]
Levels = tuple[Annotated[Level, PlainValidator(_level)], ...]


class WireObject(BaseModel):
    """A JSON object of the wire: fields by wire name, whatever else it has kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def unknown_fields(self) -> Mapping[str, Any]:
        """What the payload has beyond this class's fields, by wire name.

        A number with a fraction is a ``Decimal``.
        """
        return MappingProxyType(self.model_extra or {})


class Event(WireObject):
    """One event, with the members that most events have.

    Attributes:
        event_type: The wire's ``e``; None where the payload has none, as in spot book
            tickers and partial depths.
        event_time_us: When the exchange made it, microseconds since 1970; None where
            the payload does not say.
        symbol: Upper case; None where the event is not about one.
        pair: Futures since 2026-06-30, COIN-M always: the pair the contract is on.
        symbol_type: Futures since 2026-06-30: 1 for USDⓈ-M, 2 for COIN-M.
    """

    event_type: str | None = Field(default=None, alias="e")
    event_time_us: Microseconds | None = Field(default=None, alias="E")
    symbol: str | None = Field(default=None, alias="s")
    pair: str | None = Field(default=None, alias="ps")
    symbol_type: StrictInt | None = Field(default=None, alias="st")

    @classmethod
    def parse(cls, text: bytes | str) -> Self:
        """Read one payload, an object, as an event of this class.

        The class is the caller's word: the event type in the text is not looked at.

        Raises:
            EventError: If the text is not JSON or does not fit.

        Example:
            >>> from pytest_binance_replay.events import DiffDepth
            >>> diff = DiffDepth.parse('{"U":161,"u":163,"b":[["9.0","2"]],"a":[]}')
            >>> diff.bids
            (Level(price=Decimal('9.0'), quantity=Decimal('2')),)
        """
        return fit(cls, read_json(text, None), None)


class MarketEvent(Event):
    """An event of one symbol at one time."""

    event_time_us: Microseconds = Field(alias="E")
    symbol: str = Field(alias="s")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_integer(value: object) -> bool:
    return type(value) is int


_USUAL: dict[str, Callable[[object], bool]] = {
    "e": _is_text,
    "E": _is_time,
    "s": _is_text,
    "ps": _is_text,
    "st": _is_integer,
}


class UnknownEvent(Event):
    """An event of a type that nobody knows; keeps everything, checks nothing.

    The members that most events have are read where they look as usual.

    Attributes:
        fields: The whole payload, by wire name.
    """

    fields: Mapping[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _keep_everything(cls, wire: Mapping[str, object]) -> dict[str, object]:
        usual = {key: wire[key] for key, fits in _USUAL.items() if fits(wire.get(key))}
        return {**usual, "fields": wire}

    @property
    def unknown_fields(self) -> Mapping[str, Any]:
        """All of the payload, since none of it is known."""
        return MappingProxyType(dict(self.fields))


class ServerShutdown(Event):
    """The server is about to close the connection.

    Stream: none asked for; wrapped, it comes as ``!serverShutdown``.

    Source:
        Binance Spot API docs, "WebSocket Streams", server shutdown event.
    """

    event_time_us: Microseconds = Field(alias="E")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        problem = f"number {_SHORT.repr(text)} is out of range"
        raise ValueError(problem) from None


def _no_constant(name: str) -> None:
    problem = f"{name} is not a JSON number"
    raise ValueError(problem)


_DECODER = json.JSONDecoder(parse_float=_number, parse_constant=_no_constant)


class _ShortRepr(reprlib.Repr):
    """Values as a message quotes them: short, on one line, numbers as on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = 60

    def repr_Decimal(self, number: Decimal, _level: int) -> str:  # noqa: N802
        return str(number)


_SHORT = _ShortRepr()


def read_json(payload: bytes | str, stream: str | None) -> Any:
    """Parse JSON so that no number with a fraction becomes a float.

    Raises:
        EventError: If it is not JSON.
    """
    try:
        return _DECODER.decode(
            payload if isinstance(payload, str) else payload.decode()
        )
    except ValueError as error:
        raise EventError(stream, f"not JSON: {error}") from error
    except RecursionError as error:  # whose words differ between Pythons
        problem = "not JSON: its values are nested too deeply"
        raise EventError(stream, problem) from error


E = TypeVar("E", bound=Event)


def fit(event_class: type[E], wire: object, stream: str | None, at: str = "") -> E:
    """Make an event of parsed JSON.

    Args:
        event_class: What it shall be.
        wire: The parsed JSON.
        stream: The frame's stream, for the error; None if there is none.
        at: Where in the payload ``wire`` stands, ``[3]``.

    Raises:
        EventError: If it does not fit the class.
    """
    if not isinstance(wire, dict):
        raise EventError(stream, _found(at, wire, "an object"))
    try:
        return event_class.model_validate(wire)
    except ValidationError as error:
        outermost = min(error.errors(), key=lambda found: len(found["loc"]))
        raise EventError(stream, _describe(outermost, at)) from error


_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "model_type": "an object",
    "string_type": "text",
    "string_unicode": "text in Unicode",
    "tuple_type": "an array",
}


def _describe(error: ErrorDetails, at: str) -> str:
    path = at
    for step in error["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    path = path.removeprefix(".")
    if error["type"] == "missing":
        return f"field {path!r} is missing"
    return _found(path, error["input"], _EXPECTED.get(error["type"], error["msg"]))


def _found(path: str, value: object, expected: str) -> str:
    place = f"field {path!r}" if path else "payload"
    return f"{place} is {_SHORT.repr(value)}, expected {expected}"
