"""What a generated market goes through: scenarios by name, one after the other."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pytest_binance_replay.errors import OptionError

Points = tuple[tuple[int, int], ...]
"""What something is at a time, in thousandths of a stage; straight lines between."""

_MILLION = 1_000_000
_UNITS_US = {"ms": 1_000, "s": _MILLION, "m": 60 * _MILLION, "h": 3_600 * _MILLION}
_STAGE = re.compile(r"([a-z-]+)(?::([0-9.]+(?:ms|s|m|h)))?")
_LENGTH = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?(ms|s|m|h)")
_USUAL_US = 60 * _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A kind of market.

    Attributes:
        summary: What happens in it.
        path: Where the price goes, in millionths of the price at its start.
        activity: How much goes on, in percent.
        noise: How far the price strays from its path, in percent.
        depth: How much there is in the book, in percent.
        spread: How far makers keep from the fair price at most, in millionths.
        forced: How many of the takers that move the price are liquidated, per mille.
    """

    summary: str
    path: Points = ((0, 0), (1000, 0))
    activity: Points = ((0, 100), (1000, 100))
    noise: int = 100
    depth: int = 100
    spread: int = 0
    forced: int = 20


SCENARIOS: Mapping[str, Scenario] = {
    "calm": Scenario(summary="the price strays about"),
    "trend": Scenario(
        summary="up by 1.5 %, steadily",
        path=((0, 0), (1000, 15_000)),
        activity=((0, 120), (1000, 140)),
    ),
    "crash": Scenario(
        summary="down by 6 % in the middle, a little of it won back",
        path=(
            *((0, 0), (350, -2_000), (450, -20_000), (500, -18_000), (620, -60_000)),
            *((700, -48_000), (1000, -52_000)),
        ),
        activity=(
            (0, 100),
            (350, 150),
            (450, 500),
            (620, 700),
            (750, 250),
            (1000, 150),
        ),
        noise=200,
        depth=60,
        spread=60,
        forced=350,
    ),
    "squeeze": Scenario(
        summary="up by 4.5 %, faster and faster, as shorts are liquidated",
        path=(
            *((0, 0), (400, 4_000), (650, 12_000), (820, 30_000), (880, 45_000)),
            (1000, 36_000),
        ),
        activity=((0, 100), (400, 150), (820, 500), (900, 600), (1000, 250)),
        noise=150,
        depth=70,
        spread=30,
        forced=400,
    ),
    "flash-crash": Scenario(
        summary="down by 4 % and up again, within a sixth of the time",
        path=(
            (0, 0),
            (400, 0),
            (450, -40_000),
            (470, -33_000),
            (560, -5_000),
            (1000, -3_000),
        ),
        activity=(
            (0, 100),
            (400, 100),
            (430, 900),
            (480, 700),
            (600, 200),
            (1000, 100),
        ),
        depth=50,
        spread=80,
        forced=300,
    ),
    "thin-book": Scenario(
        summary="few orders, far apart; little goes on",
        activity=((0, 25), (1000, 25)),
        noise=180,
        depth=12,
        spread=250,
    ),
    "weekend-gap": Scenario(
        summary="nothing for the middle third, then 3 % lower",
        path=((0, 0), (666, 0), (667, -30_000), (1000, -28_000)),
        activity=((0, 60), (332, 40), (333, 0), (666, 0), (667, 400), (1000, 120)),
        spread=40,
    ),
    "news-burst": Scenario(
        summary="quiet, then all at once: up by 1.2 %, and restless",
        path=(
            (0, 0),
            (300, 0),
            (310, 9_000),
            (330, 6_000),
            (400, 12_000),
            (1000, 11_000),
        ),
        activity=((0, 60), (299, 60), (300, 1200), (400, 600), (700, 200), (1000, 120)),
        noise=160,
        depth=70,
        spread=40,
    ),
}
"""The scenarios there are, by name."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A scenario at its time.

    Attributes:
        scenario: What happens.
        start_us: From the start of the session.
        length_us: How long it takes; above 0.
        base: The path's end of the stages before, in millionths.
    """

    scenario: Scenario
    start_us: int
    length_us: int
    base: int

    def path_at(self, passed_us: int) -> int:
        """Return where the price is to be, in millionths above the session's start."""
        return self.base + self._at(self.scenario.path, passed_us)

    def activity_at(self, passed_us: int) -> int:
        """Return how much is to go on, in percent."""
        return self._at(self.scenario.activity, passed_us)

    def _at(self, points: Points, passed_us: int) -> int:
        # In thousandths of a thousandth, for a smooth path.
        place = (passed_us - self.start_us) * _MILLION // self.length_us
        left, value = points[0]
        for right, following in points[1:]:
            if place < right * 1000:
                along, length = place - left * 1000, (right - left) * 1000
                return value + (following - value) * along // length
            left, value = right, following
        return value


class Course:
    """What a session goes through, from its start to its end.

    Args:
        text: Names of scenarios with commas between, each with its length or not:
            `calm:2m,crash:30s,calm`. Those without one share what is left.
        length_us: Of the session; None for the lengths named, and a minute for each
            that is not.

    Attributes:
        length_us: Of the session.

    Raises:
        OptionError: If there is no such scenario, or the lengths do not fit.
    """

    def __init__(self, text: str, length_us: int | None = None) -> None:
        asked = [_parse(part.strip(), text) for part in text.split(",")]
        lengths = _lengths([length for _, length in asked], length_us, text)
        self._stages: list[Stage] = []
        start_us = base = 0
        for (scenario, _), stage_us in zip(asked, lengths, strict=True):
            self._stages.append(Stage(scenario, start_us, stage_us, base))
            start_us += stage_us
            base += scenario.path[-1][1]
        self.length_us = start_us
        self._starts = [stage.start_us for stage in self._stages]

    def stage_at(self, passed_us: int) -> Stage:
        """Return the stage of a moment, counted from the start of the session."""
        return self._stages[bisect_right(self._starts, passed_us) - 1]


def _parse(part: str, text: str) -> tuple[Scenario, int | None]:
    found = _STAGE.fullmatch(part)
    name = found[1] if found else part
    if found is None or name not in SCENARIOS:
        near = get_close_matches(name, SCENARIOS)
        hint = f"did you mean {near[0]!r}? There are" if near else "there are"
        names = ", ".join(SCENARIOS)
        where = f"scenario={text!r}"
        raise OptionError(where, f"no scenario {part!r}; {hint} {names}")
    return SCENARIOS[name], parse_length(found[2]) if found[2] else None


def parse_length(text: str) -> int:
    """Return a length of time in microseconds, exactly.

    Args:
        text: A number and its unit: `90s`, `1.5m`, `250ms`.

    Raises:
        OptionError: If it is no such text, or nothing.
    """
    found = _LENGTH.fullmatch(text)
    length_us = 0
    if found:
        fraction = found[2] or ""
        digits, decimals = int(found[1] + fraction), len(fraction)
        length_us = digits * _UNITS_US[found[3]] // 10**decimals
    if not length_us:
        raise OptionError(
            repr(text), "expected a length of time above 0, such as 90s, 10m or 250ms"
        )
    return length_us


def _lengths(
    asked: Sequence[int | None], whole_us: int | None, text: str
) -> Sequence[int]:
    named_us = sum(length for length in asked if length is not None)
    unnamed = sum(length is None for length in asked)
    if whole_us is None:
        whole_us = named_us + unnamed * _USUAL_US
    left_us = whole_us - named_us
    if left_us < unnamed or (not unnamed and left_us):
        where = f"scenario={text!r}"
        raise OptionError(
            where,
            f"its stages take {_seconds(named_us)} and the session is to take "
            f"{_seconds(whole_us)}",
        )
    lengths = [length or left_us // unnamed for length in asked]
    lengths[-1] += whole_us - sum(lengths)
    return lengths


def _seconds(length_us: int) -> str:
    return (
        f"{length_us // _MILLION}.{length_us % _MILLION:06d}".rstrip("0").rstrip(".")
        + " s"
    )
