"""Payloads against the models of their events, once for each form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_binance_replay.errors import EventError
from pytest_binance_replay.events import (
    ContractInfo,
    DiffDepth,
    Event,
    PartialDepth,
    ReferencePrice,
    parse_event,
)
from pytest_binance_replay.events.base import WireObject
from pytest_binance_replay.soundness.eras import day_of, fields_out_of_time
from pytest_binance_replay.tools.forms import form_of

if TYPE_CHECKING:
    from pytest_binance_replay.soundness.findings import Findings
    from pytest_binance_replay.streams import Market

_KEPT_FORMS = 256
_DAY_US = 86_400_000_000


class ModelCheck:
    """The payloads of one stream.

    A model looks at what kind of value stands where, not at which numbers they are;
    so payloads of a form that it took once are taken without asking.

    Args:
        stream: The stream's name.
        market: Its market.
        told: What was noted about fields before, which is not noted again.
    """

    def __init__(self, stream: str, market: Market, told: set[str]) -> None:
        self._stream = stream
        self._market = market
        self._told = told
        self._forms: set[bytes] = set()
        self._day = -1

    def accepts(
        self, payload: bytes, wire: Any, made_at_us: int, findings: Findings
    ) -> bool:
        """Whether a payload fits its model.

        Args:
            payload: The payload.
            wire: The same, decoded.
            made_at_us: When it was made, microseconds since the epoch.
            findings: Told if it does not fit, and of fields that are out of place.
        """
        form = form_of(payload)
        day = made_at_us // _DAY_US
        if form in self._forms and day == self._day:
            return True
        try:
            parsed = parse_event(payload, stream=self._stream, market=self._market)
        except EventError as error:
            findings.error("model", error.problem)
            return False
        events = parsed if isinstance(parsed, tuple) else (parsed,)
        wires = wire if isinstance(wire, list) else [wire]
        pairs = list(zip(events, wires, strict=True))
        problems = (_value_problem(event, its_wire) for event, its_wire in pairs)
        if (problem := next(filter(None, problems), None)) is not None:
            findings.error("model", problem)
            return False
        self._remember(form, day)
        for event, its_wire in pairs:
            self._look_at_fields(event, its_wire, made_at_us, findings)
        return True

    def _remember(self, form: bytes | None, day: int) -> None:
        if day != self._day or len(self._forms) >= _KEPT_FORMS:
            self._forms.clear()
            self._day = day
        if form is not None:
            self._forms.add(form)

    def _look_at_fields(
        self,
        event: Event,
        wire: Mapping[str, object],
        made_at_us: int,
        findings: Findings,
    ) -> None:
        event_type = event.event_type or ""
        for path in _unknown_fields(event, ""):
            self._note(findings, "field", event_type, f"field {path!r} is not known")
        if (day := day_of(made_at_us)) is not None:
            for sentence in fields_out_of_time(wire, self._market, event_type, day):
                self._note(findings, "era", event_type, sentence)

    def _note(self, findings: Findings, rule: str, event: str, sentence: str) -> None:
        about = f"{event}: {sentence.partition(', in a payload of ')[0]}"
        if about not in self._told:
            self._told.add(about)
            findings.note(rule, sentence)


def _unknown_fields(value: WireObject, prefix: str) -> Iterator[str]:
    yield from (f"{prefix}{name}" for name in value.unknown_fields)
    for alias, inner in _members(value):
        if isinstance(inner, WireObject):
            yield from _unknown_fields(inner, f"{prefix}{alias}.")


def _members(value: WireObject) -> Iterator[tuple[str, object]]:
    """Return wire names and values; members of arrays one by one."""
    for name, field in type(value).model_fields.items():
        inner = getattr(value, name)
        members = inner if isinstance(inner, tuple) else (inner,)
        yield from ((field.alias or "", member) for member in members)


def _value_problem(event: WireObject, wire: Mapping[str, Any]) -> str | None:
    """Say which value the exchange never writes in such a way.

    Models are more patient, for payloads that a test writes by hand: they take numbers
    for prices, and nulls for what may be absent.
    """
    if isinstance(event, ContractInfo):
        return None
    for name, value in wire.items():
        if value is None and not isinstance(event, ReferencePrice):
            return f"field {name!r} is null"
    if isinstance(event, DiffDepth | PartialDepth):
        return _levels_problem(wire)
    for alias, inner in _members(event):
        if (problem := _member_problem(alias, inner, wire)) is not None:
            return problem
    return None


def _member_problem(alias: str, inner: object, wire: Mapping[str, Any]) -> str | None:
    told = wire.get(alias)
    if isinstance(inner, Decimal) and not isinstance(told, str):
        return f"field {alias!r} is {told}, expected a text"
    if isinstance(inner, WireObject) and isinstance(told, dict):
        return _value_problem(inner, told)
    return None


def _levels_problem(wire: Mapping[str, Any]) -> str | None:
    for name in ("b", "a", "bids", "asks"):
        for level in wire.get(name) or ():
            texts = isinstance(level, list) and [type(text) for text in level[:2]]
            if texts != [str, str]:
                return f"field {name!r} has a level {level}, expected two texts"
    return None
