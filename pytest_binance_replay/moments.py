"""What a test may name as a place on the tape."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pytest_binance_replay.options import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.tape import Tape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_us(call: str, seconds: object) -> int:
    """Return a length of time in microseconds.

    Args:
        call: What it was given to, for the error.
        seconds: A number, or text such as `"250ms"`.

    Raises:
        ValueError: If it is neither, or negative.
    """
    try:
        return round(parse_seconds(seconds) * 1e6)
    except (ValueError, TypeError):
        msg = f"{call}: expected a length of time such as 0.25, '250ms' or '2m'"
        raise ValueError(msg) from None


def parse_moment(
    call: str, when: float | str | datetime, tape: Tape
) -> Callable[[], int]:
    """Return what computes a moment in recorded time, microseconds.

    Args:
        call: What it was given to, for errors.
        when: A number of seconds from the start of the tape, text such as `"90s"`,
            `"+5s"` or `"-5s"` (the last two from where the tape stands), or an aware
            `datetime`.
        tape: The tape; it is asked on the server's loop only.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(when, datetime):
        if when.tzinfo is None:
            msg = f"{call}: {when!r} has no time zone; use datetime(..., tzinfo=UTC)"
            raise ValueError(msg)
        time_us = (when - _EPOCH) // timedelta(microseconds=1)
        return lambda: time_us
    if isinstance(when, str) and when[:1] in {"+", "-"}:
        us = parse_us(call, when[1:]) * (1 if when[0] == "+" else -1)
        return lambda: tape.time_us + us
    us = parse_us(call, when)
    return lambda: tape.start_us + us


def takes_a_frame(predicate: Callable[..., object]) -> bool:
    """Return whether a predicate wants to be asked about frames.

    Raises:
        TypeError: If it is a coroutine function, whose answer is always true.
    """
    if inspect.iscoroutinefunction(predicate):
        msg = f"{name_of(predicate)} is async; a predicate must answer at once"
        raise TypeError(msg)
    try:
        parameters = inspect.signature(predicate).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        p.default is p.empty and p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
        for p in parameters
    )


def name_of(predicate: Callable[..., Any]) -> str:
    """Return a predicate's name, or its source if it is a lambda."""
    name = getattr(predicate, "__qualname__", repr(predicate))
    if "<lambda>" not in name:
        return name
    try:
        source = inspect.getsource(predicate)
    except (OSError, TypeError):
        return name
    return " ".join(source.split())
