"""What a REST request is answered from: its parameters, and what the tape has shown.

A payload is read only when an answer needs it, and its numbers stay the texts they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pytest_binance_replay.ledger import ShelfKey, kept_of, shelf_key
from pytest_binance_replay.protocols.query import not_on_tape, refuse, to_us

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from pytest_binance_replay.books import Answer
    from pytest_binance_replay.ledger import Ledger, Survey
    from pytest_binance_replay.protocols.query import Parameters
    from pytest_binance_replay.streams import Market

Event = dict[str, Any]
"""A payload as it was parsed, or a member of an answer."""

Top = Callable[["Market", str], "Answer | None"]
"""Returns the book of a symbol; None where there is none."""

_Row = TypeVar("_Row")

_SHOWN_NAMES = 10
_EVERYBODY = ("ticker", "miniTicker", "bookTicker", "markPrice")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the exchange: by the tape, and by what was recorded beside it.

    Attributes:
        ledger: What the tape has shown.
        survey: How the tape begins.
        listed: Symbols that exist, whether or not the tape has them.
    """

    ledger: Ledger
    survey: Survey
    listed: Container[str] = ()

    def check_market(self, market: Market) -> None:
        """Check that the tape holds a market.

        Raises:
            NotOnTapeError: If it does not.
        """
        held = self.ledger.catalogue.markets
        if market not in held:
            not_on_tape(f"The tape holds {' and '.join(held)}, no {market}.")

    def symbols(self, market: Market) -> set[str]:
        """Return the symbols of a market that the tape is known to have."""
        return self.ledger.symbols(market) | self.survey.symbols(market)

    def check_symbol(self, market: Market, symbol: str) -> None:
        """Check that the tape has a symbol.

        Raises:
            NotOnTapeError: If the exchange has it, or the tape may show it yet.
            RequestRefusedError: If neither knows it.
        """
        if symbol in self.symbols(market):
            return
        everybody = (ShelfKey(market, kind, "") for kind in _EVERYBODY)
        if symbol in self.listed or any(map(self.ledger.carries, everybody)):
            not_on_tape(f"The tape has shown nothing of {symbol}.")
        refuse(-1121)

    def carries(self, key: ShelfKey) -> bool:
        """Return whether the tape has a stream that would show such payloads."""
        return self.ledger.carries(key) or bool(self.survey.shelves.all(key))

    def lacks(self, keys: Sequence[ShelfKey]) -> str:
        """Say that the tape has shown nothing of some kinds, and what it has instead.

        Args:
            keys: What was looked for, of one symbol; of any, if that is empty.
        """
        wanted = " or ".join(map(stream_name, keys))
        market, _, symbol, _ = keys[0]
        if any(map(self.carries, keys)):
            return f"The tape has shown no frame of {wanted} yet."
        names = sorted(self.ledger.catalogue.streams[market])
        about = {name: shelf_key(market, name) for name in names}
        held = [name for name, key in about.items() if key and key.symbol == symbol]
        more = len(held) - _SHOWN_NAMES
        shown = ", ".join(held[:_SHOWN_NAMES]) + f" and {more} more" * (more > 0)
        subject = f"of {symbol} it has" if symbol else "of all symbols it has"
        return f"The tape has no {wanted}; {subject} {shown or 'nothing'}."


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what there is to answer it from.

    Attributes:
        known: What is known of the exchange.
        market: The market that is asked.
        parameters: The request's parameters.
        limits: How many items it gets if it does not say, and at most.
        now_us: Time at which the tape stands, microseconds since the epoch.
        in_us: Whether times are to be in microseconds.
        top: Returns the book of a symbol at the tape's position.
    """

    known: Known
    market: Market
    parameters: Parameters
    limits: tuple[int, int]
    now_us: int
    in_us: bool
    top: Top

    def key(self, kind: str, symbol: str, detail: str = "") -> ShelfKey:
        """Return the key of some payloads of the market that is asked."""
        return ShelfKey(self.market, kind, symbol, detail)

    def checked(self, symbol: str) -> str:
        """Return a symbol, once it is known to exist."""
        self.known.check_symbol(self.market, symbol)
        return symbol

    def symbol(self) -> str:
        """Return the one symbol that must be there."""
        return self.checked(mandatory(self.parameters.symbol()))

    def all(self, key: ShelfKey, convert: Callable[[Event], _Row]) -> list[_Row]:
        """Return what was shown, oldest first.

        Raises:
            NotOnTapeError: If the tape has no stream of it.
        """
        return [converted(key, payload, convert) for payload in self._shown(key)]

    def last(
        self, key: ShelfKey, count: int, convert: Callable[[Event], _Row | None]
    ) -> list[_Row]:
        """Return what was shown last, oldest first.

        Args:
            key: What to return.
            count: How many at the most.
            convert: Makes the part of the answer; None for what does not count.

        Raises:
            NotOnTapeError: If the tape has no stream of it.
        """
        payloads = reversed(self._shown(key))
        rows = (converted(key, payload, convert) for payload in payloads)
        found = list(islice((row for row in rows if row is not None), count))
        found.reverse()
        return found

    def _shown(self, key: ShelfKey) -> tuple[bytes, ...]:
        payloads = self.known.ledger.shelves.all(key)
        if not payloads and not self.known.carries(key):
            not_on_tape(self.known.lacks([key]))
        return payloads

    def newest(self, key: ShelfKey, convert: Callable[[Event], _Row]) -> _Row | None:
        """Return what was shown last, else what comes first; None for neither."""
        shown = self.known.ledger.shelves.all(key)[-1:]
        payloads = shown or self.known.survey.shelves.all(key)[:1]
        return next((converted(key, payload, convert) for payload in payloads), None)

    def has_lost(self, key: ShelfKey) -> bool:
        """Return whether the tape may have shown more than is kept."""
        return len(self.known.ledger.shelves.all(key)) >= kept_of(key)

    def stamp(self, time: int) -> int:
        """Return a time of the wire in the unit that is asked for."""
        return to_us(time) // (1 if self.in_us else 1000)

    def end_stamp(self, time: int) -> int:
        """Return the end of a candle, whose last microsecond belongs to it."""
        is_ms = to_us(time) != time
        return (to_us(time) + 999 * is_ms) // (1 if self.in_us else 1000)


def mandatory(value: str | None) -> str:
    """Return a parameter that was checked to be there."""
    assert value is not None
    return value


def converted(key: ShelfKey, payload: bytes, convert: Callable[[Event], _Row]) -> _Row:
    """Turn a payload into a part of an answer.

    Raises:
        NotOnTapeError: If the payload is not what its stream promises.
    """
    try:
        return convert(json.loads(payload))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        not_on_tape(
            f"A frame of {stream_name(key)} is not what the stream promises: "
            f"{type(e).__name__}: {e}."
        )


def stream_name(key: ShelfKey) -> str:
    """Return the usual name of a stream that shows such payloads."""
    subject = key.symbol.lower() or "<symbol>"
    contract, _, detail = key.detail.rpartition("_")
    subject += f"_{contract}" * bool(contract)
    return f"{subject}@{key.kind}" + f"_{detail}" * bool(detail)


# Events written as members of an answer


class Member(NamedTuple):
    """A member of an answer.

    Attributes:
        name: Its name.
        source: The event's member that it is taken from.
        optional: Whether it may lack.
    """

    name: str
    source: str
    optional: bool


_TIMES = frozenset("TEOC")
"""Those members of events that are times, among the ones that answers show."""


def members(text: str) -> tuple[Member, ...]:
    """Read a list of members in the order of an answer.

    Args:
        text: Words: `name=source`, or the name alone where both are the same, with
            `?` behind if it may lack.
    """
    found = []
    for word in text.split():
        name, _, source = word.rstrip("?").partition("=")
        found.append(Member(name, source or name, word.endswith("?")))
    return tuple(found)


def project(asked: Asked, event: Event, wanted: tuple[Member, ...]) -> Event:
    """Write an event's members in the order and under the names of an answer."""
    return {
        name: asked.stamp(event[source]) if source in _TIMES else event[source]
        for name, source, may_lack in wanted
        if not may_lack or source in event
    }
