"""What a test may name as a place on the tape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from pytest_binance_replay.moments import (
    name_of,
    parse_moment,
    parse_us,
    takes_a_frame,
)
from tests.staging import SECOND_US, START_US, frames_at, lay_tape

NOON = datetime(2026, 11, 20, 12, 0, 0, 123_457, UTC)


@pytest.mark.parametrize(
    ("when", "time_us"),
    [
        (0, START_US),
        (1.5, START_US + 1_500_000),
        ("250ms", START_US + 250_000),
        ("+1s", START_US + 6 * SECOND_US),
        ("-2s", START_US + 3 * SECOND_US),
        (NOON, 1_795_176_000_123_457),
        (NOON.astimezone(timezone(timedelta(hours=8))), 1_795_176_000_123_457),
    ],
)
def test_a_moment_is_counted_from_the_start_from_here_or_from_the_epoch(
    when: Any, time_us: int
) -> None:
    tape = lay_tape(frames_at(range(10)))
    tape.release(6)
    assert parse_moment("seek()", when, tape)() == time_us


@pytest.mark.parametrize(
    "when", ["", "+", "soon", "+-1s", -1, None, True, float("nan")]
)
def test_what_is_no_moment_is_refused(when: Any) -> None:
    with pytest.raises(ValueError, match=r"seek\(\): expected a length of time such"):
        parse_moment("seek()", when, lay_tape([]))


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"seek\(\): .* has no time zone"):
        parse_moment("seek()", NOON.replace(tzinfo=None), lay_tape([]))


@pytest.mark.parametrize(
    ("seconds", "us"), [(0, 0), (0.1, 100_000), ("1m", 60_000_000)]
)
def test_lengths_of_time_are_microseconds(seconds: Any, us: int) -> None:
    assert parse_us("advance()", seconds) == us


class Bot:
    """Has methods that a test may ask."""

    def is_rich(self) -> bool:
        return True

    def likes(self, frame: object) -> bool:
        return bool(frame)


def with_defaults(a: int = 1, *more: int, b: int = 2, **others: int) -> bool:
    return bool(a)


@pytest.mark.parametrize(
    ("predicate", "takes"),
    [
        (lambda: True, False),
        (lambda frame: frame, True),
        (lambda frame, /: frame, True),
        (lambda n=1: n, False),
        (with_defaults, False),
        (Bot().is_rich, False),
        (Bot().likes, True),
        (partial(Bot.likes, Bot()), True),
        (partial(Bot.likes, Bot(), 1), False),
        (dict, True),
    ],
)
def test_a_predicate_with_an_argument_is_about_frames(
    predicate: Any, takes: bool
) -> None:
    assert takes_a_frame(predicate) is takes


async def never_answers() -> bool:
    return True


def test_a_coroutine_function_is_no_predicate() -> None:
    with pytest.raises(TypeError, match="never_answers is async"):
        takes_a_frame(never_answers)


def test_a_predicate_is_named_by_its_name_or_its_source() -> None:
    assert name_of(Bot().likes) == "Bot.likes"
    assert name_of(partial(Bot.likes)).startswith("functools.partial")
    assert "is this one" in name_of(lambda: "is this one")
    assert name_of(eval("lambda: 1")) == "<lambda>"
