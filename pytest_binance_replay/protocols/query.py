"""REST parameters, read as the exchange reads them, and its words when they are wrong.

Checks come in this order: a parameter sent twice, too many parameters, an empty one, a
missing one, one that nobody reads, then each value by itself, then what the values
say together. The first that fails decides.

Source:
    Binance Spot API docs, "Error codes"; Binance USDⓈ-M Futures API docs, "Error
    codes". Which of several mistakes is reported is our choice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pytest_binance_replay.errors import NotOnTapeError, RequestRefusedError
from pytest_binance_replay.protocols.rest import RestReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.streams import Market

_TEXTS = {
    -1100: "Illegal characters found in parameter '%s'; legal range is '%s'.",
    -1101: "Too many parameters; expected '%s' and received '%s'.",
    -1102: "Mandatory parameter '%s' was not sent, was empty/null, or malformed.",
    -1104: (
        "Not all sent parameters were read; read '%s' parameter(s) but was sent '%s'."
    ),
    -1105: "Parameter '%s' was empty.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1122: "Invalid symbolStatus.",
    -1127: "More than %s hours between startTime and endTime.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Data sent for parameter '%s' is not valid.",
    -1139: "Invalid ticker type.",
    -1151: "Symbol is present multiple times in the list.",
    -1194: "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
    -2043: "This symbol doesn't have a reference price.",
    -4021: "%s is not valid depth limit",
    -4166: "Search window is restricted to recent 2 days only.",
}

_SYMBOL = re.compile(r"(?:[^\Wa-z]|[-.]){1,50}")
_SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"
_SYMBOLS_RANGE = r'^\[("[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}){0,1}\]$'
_SYMBOLS = re.compile(rf'\[(?:"{_SYMBOL.pattern}"(?:,"{_SYMBOL.pattern}")*)?\]')
_DIGITS = re.compile(r"[0-9]{1,20}")
_DIGITS_RANGE = "^[0-9]{1,20}$"
_STATUSES = ("TRADING", "HALT", "BREAK")
_TIME_UNITS = {"MICROSECOND": True, "MILLISECOND": False}
_LEAST_US = 10**14
"""Times from here on are microseconds; as milliseconds it would be the year 5138."""

NOT_ANSWERED = -1000


@dataclass(frozen=True, slots=True)
class NotOnTape:
    """Why the tape cannot answer what the exchange could.

    Attributes:
        reason: What it lacks, as a sentence.
    """

    reason: str

    def reply(self) -> RestReply:
        """Return the answer that says so, in our words and not the exchange's."""
        body = to_body({"code": NOT_ANSWERED, "msg": self.reason})
        return RestReply(404, body, known=False)


def to_body(value: object) -> bytes:
    """Write a JSON value as the exchange does: no blanks, UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")


def refuse(code: int, *facts: object) -> NoReturn:
    """Refuse a request with one of the exchange's errors.

    Args:
        code: Its code.
        facts: What its text names.

    Raises:
        RequestRefusedError: Always.
    """
    raise RequestRefusedError(code, _TEXTS[code] % facts)


def not_on_tape(reason: str) -> NoReturn:
    """Give up on a request that the exchange could answer.

    Args:
        reason: What the tape lacks, as a sentence.

    Raises:
        NotOnTapeError: Always.
    """
    raise NotOnTapeError(reason) from None


def error_reply(error: RequestRefusedError) -> RestReply:
    """Return the exchange's answer to a request that it refuses."""
    return RestReply(400, to_body({"code": error.code, "msg": error.text}))


def wants_us(market: Market, time_unit: str | None) -> bool:
    """Return whether times are to be in microseconds.

    Args:
        market: Only spot looks at the unit.
        time_unit: The header `X-MBX-TIME-UNIT`; None if it was not sent.

    Raises:
        RequestRefusedError: If there is no such unit.
    """
    if market != "spot" or time_unit is None:
        return False
    if (unit := time_unit.upper()) not in _TIME_UNITS:
        refuse(-1194)
    return _TIME_UNITS[unit]


def to_us(time: int) -> int:
    """Return a time of the wire, whose size tells its unit, in microseconds."""
    return time if time >= _LEAST_US else time * 1000


class Parameters:
    """The parameters of a request.

    Args:
        market: Whose rules hold: on spot every parameter must be known, on futures
            unknown ones are passed over.
        pairs: Names and values, decoded.
        known: The names that the path takes.
        mandatory: Those among them that must be there.

    Raises:
        RequestRefusedError: If these are not the parameters that the path takes.
    """

    def __init__(
        self,
        market: Market,
        pairs: Sequence[tuple[str, str]],
        known: Sequence[str],
        mandatory: Sequence[str] = (),
    ) -> None:
        self.market = market
        self._values = {name: value for name, value in pairs if name in known}
        names = [name for name, _ in pairs]
        if twice := next((n for n in self._values if names.count(n) > 1), None):
            refuse(-1101, 1, names.count(twice))
        if market == "spot" and len(pairs) > len(known):
            refuse(-1101, len(known), len(pairs))
        if empty := next((n for n, value in self._values.items() if not value), None):
            refuse(-1105, empty)
        if missing := next((n for n in mandatory if n not in self._values), None):
            refuse(-1102, missing)
        if market == "spot" and len(pairs) > len(self._values):
            refuse(-1104, len(self._values), len(pairs))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def symbol(self, name: str = "symbol") -> str | None:
        """Return a symbol, upper case; None if it was not sent."""
        value = self._values.get(name)
        if value is None or self.market == "usdm":
            return value and value.upper()
        if _SYMBOL.fullmatch(value) is None:
            refuse(-1100, name, _SYMBOL_RANGE)
        return value

    def symbols(self) -> list[str] | None:
        """Return the symbols of a list; None if there was none."""
        value = self._values.get("symbols")
        if value is None:
            return None
        if _SYMBOLS.fullmatch(value) is None:
            refuse(-1100, "symbols", _SYMBOLS_RANGE)
        if "symbol" in self._values:
            refuse(-1128)
        symbols: list[str] = json.loads(value)
        if len(set(symbols)) < len(symbols):
            refuse(-1151)
        return symbols

    def integer(self, name: str) -> int | None:
        """Return an integer from 0 on; None if it was not sent."""
        value = self._values.get(name)
        if value is None:
            return None
        if _DIGITS.fullmatch(value) is None:
            if self.market == "usdm":
                refuse(-1130, name)
            refuse(-1100, name, _DIGITS_RANGE)
        return int(value)

    def time_us(self, name: str, *, end: bool = False) -> int | None:
        """Return a time, sent as milliseconds or microseconds.

        Args:
            name: Name of the parameter.
            end: Whether the whole millisecond is meant, to its last microsecond.

        Returns:
            Microseconds since the epoch; None if it was not sent.
        """
        time = self.integer(name)
        if time is None:
            return None
        return to_us(time) + (999 if end and time < _LEAST_US else 0)

    def limit(self, default: int, most: int) -> int:
        """Return how many items are wanted.

        Args:
            default: How many if nobody says.
            most: What spot cuts larger numbers to, and futures refuse more than.
        """
        limit = self.integer("limit")
        if limit is None:
            return default
        if limit == 0 or (limit > most and self.market == "usdm"):
            refuse(-1130, "limit")
        return min(limit, most)

    def choice(
        self, name: str, options: Sequence[str], code: int, *facts: object
    ) -> str | None:
        """Return one of a few words.

        Args:
            name: Name of the parameter.
            options: The words there are.
            code: The error for any other.
            facts: What the error's text names.

        Returns:
            None if it was not sent.
        """
        value = self._values.get(name)
        if value is not None and value not in options:
            refuse(code, *facts)
        return value

    def text(self, name: str) -> str | None:
        """Return a value as it was sent; None if it was not."""
        return self._values.get(name)

    def status(self) -> str | None:
        """Return the trading status that symbols must have; None for any."""
        return self.choice("symbolStatus", _STATUSES, -1122)
