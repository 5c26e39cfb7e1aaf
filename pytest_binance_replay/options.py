"""Settings of a replay: the one place that knows and checks them.

A setting may come from the command line, a marker, the configuration file or a
default, as text or as a Python value. Whoever has a value gives it here together
with the words that say where it stood.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pytest_binance_replay.errors import OptionError

Speed = float | Literal["auto", "asap"]
AtEnd = Literal["hold", "close", "loop", "fail"]
Severity = Literal["ignore", "warn", "fail"]
CHECKS = ("missing", "server", "vanished")

_DURATION = r"(\d+(?:\.\d+)?|\.\d+)(us|ms|s|m|h|)"
_UNIT_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: Keyword of the marker; options and ini keys are made from it.
        parse: Turns a value into the setting's own; raises ValueError or TypeError.
        default: The value where nobody gave one.
        expected: What a value must be, in words that follow "expected".
        help: What it does, a sentence without a full stop.
        plural: Whether it holds several values, each with a name of its own or not.
    """

    name: str
    parse: Callable[[Any], object]
    default: object
    expected: str
    help: str
    plural: bool = False


def parse_seconds(value: object) -> float:
    """Return a length of time in seconds.

    Args:
        value: A number of seconds, or text like `250ms`, `1.5s`, `2m`, `1h`.

    Raises:
        ValueError: If it is neither, negative or not finite.
        TypeError: If it is of another type.
    """
    if isinstance(value, str):
        found = re.fullmatch(_DURATION, value.strip())
        if found is None:
            raise ValueError(value)
        seconds = float(found[1]) * _UNIT_SECONDS[found[2]]
    else:
        seconds = _number(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(value)
    return seconds


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _parse_speed(value: object) -> Speed:
    if value == "auto" or value == "asap":
        return value
    speed = float(value) if isinstance(value, str) else _number(value)
    if not (math.isfinite(speed) and speed > 0):
        raise ValueError(value)
    return speed


def _parse_gap(value: object) -> float | None:
    return None if value is None or value == "none" else parse_seconds(value)


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(value)
        return str(value)

    return parse


def _parse_optional(*choices: str) -> Callable[[object], str | None]:
    parse = _one_of(*choices)
    return lambda value: None if value is None else parse(value)


def _parse_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return _one_of("true", "false")(value) == "true"


def _parse_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise TypeError(value)
    texts = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(text, str) and (text or text is value) for text in texts):
        raise TypeError(value)
    return tuple(name for text in texts for name in re.split(r"[,\s]+", text) if name)


def _parse_recording_time(value: object) -> float | Callable[..., object] | None:
    if value is None or callable(value):
        return value
    seconds = parse_seconds(value)
    if not seconds:
        raise ValueError(value)
    return seconds


def _parse_counts(value: object) -> int | Mapping[str, int]:
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) and name for name in value):
            raise TypeError(value)
        return {name: _parse_count(count) for name, count in value.items()}
    texts = _parse_names(value) if isinstance(value, str | list) else ()
    if not texts or (len(texts) == 1 and "=" not in texts[0]):
        return _parse_count(texts[0] if texts else value)
    pairs = [text.rpartition("=") for text in texts]
    return _parse_counts({name: count for name, _, count in pairs})


def _parse_count(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    if value < 0:
        raise ValueError(value)
    return value


def _parse_check(value: object) -> Mapping[str, Severity]:
    if not isinstance(value, Mapping):
        pairs = [text.partition("=") for text in _parse_names(value)]
        value = {name: level for name, _, level in pairs}
    severity = _one_of("ignore", "warn", "fail")
    if any(name not in CHECKS for name in value):
        raise ValueError(value)
    return {name: severity(level) for name, level in value.items()}  # type: ignore[misc]


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        setting.name: setting
        for setting in (
            Setting(
                "speed",
                _parse_speed,
                "auto",
                "'auto', 'asap' or a number above 0",
                "pace of the tape: auto skips recorded gaps at a rate that clients "
                "live through, asap is as fast as sockets take it, 1 keeps the gaps",
            ),
            Setting(
                "max_gap",
                _parse_gap,
                None,
                "a length of time such as 0.25, '250ms' or '2s'",
                "longest recorded silence that is kept",
            ),
            Setting(
                "start",
                _one_of("auto", "manual"),
                "auto",
                "'auto' or 'manual'",
                "whether the tape starts by itself once clients have subscribed",
            ),
            Setting(
                "start_after",
                _parse_names,
                (),
                "stream names and REST paths such as 'btcusdt@depth,/api/v3/depth', or "
                "a list of them",
                "what must have been asked for before the tape starts",
                plural=True,
            ),
            Setting(
                "at_end",
                _one_of("hold", "close", "loop", "fail"),
                "hold",
                "'hold', 'close', 'loop' or 'fail'",
                "what happens at the end of the tape",
            ),
            Setting(
                "lag",
                _one_of("lag", "stall", "disconnect"),
                "lag",
                "'lag', 'stall' or 'disconnect'",
                "what happens when a client cannot follow: it lags, the tape stalls, "
                "or it is disconnected",
            ),
            Setting(
                "market",
                _parse_optional("spot", "usdm"),
                None,
                "'spot' or 'usdm'",
                "market of cassettes that do not say theirs",
            ),
            Setting(
                "time",
                _one_of("recorded", "rebase"),
                "recorded",
                "'recorded' or 'rebase'",
                "whether payloads keep their times, or move so that the first is now",
            ),
            Setting(
                "routes",
                _parse_optional("live", "any"),
                None,
                "'live' or 'any'",
                "whether futures paths keep streams of other routes silent; by the "
                "recording date if not given",
            ),
            Setting(
                "redirect",
                _parse_bool,
                False,  # noqa: FBT003 - the default value itself
                "true or false",
                "whether connections to the exchange's hosts land on the replay, TLS "
                "and all, in place of an error",
            ),
            Setting(
                "check",
                _parse_check,
                MappingProxyType({}),
                "'ignore', 'warn' or 'fail' for missing, server or vanished, such as "
                "'missing=warn,vanished=ignore' or {'missing': 'warn'}",
                "how strictly the checks at the end of a test are taken; those not "
                "named fail it",
                plural=True,
            ),
            Setting(
                "streams",
                _parse_names,
                (),
                "stream names such as 'btcusdt@trade,btcusdt@depth@100ms', or a list "
                "of them",
                "what a recording captures; by default what the old cassette has, or "
                "else what the bot asks for",
                plural=True,
            ),
            Setting(
                "record_for",
                _parse_recording_time,
                None,
                "a length of time above 0 such as '30s' or '5m'; in a mark also a "
                "predicate over frames",
                "how long a recording lasts; by default as long as the old cassette, "
                "or else 30s",
            ),
            Setting(
                "min_messages",
                _parse_counts,
                0,
                "a number of messages, or numbers by stream such as "
                "'btcusdt@trade=20,ethusdt@trade=5' or {'btcusdt@trade': 20}",
                "messages that each stream of a recording has to bring",
                plural=True,
            ),
        )
    }
)

UNBUILT: Mapping[str, str] = MappingProxyType(
    {
        "strict": "checking the exchange's limits is",
        "faults": "putting faults into a replay is",
    }
)
"""Settings whose names are taken, and what they wait for, as a sentence begins."""


class Options(NamedTuple):
    """All settings of one replay, checked.

    No dataclass, for making one would be a good part of what every start of pytest
    pays for this package.

    Attributes:
        speed: Pace of the tape.
        max_gap: Longest recorded silence kept, seconds; None keeps all.
        start: Whether the tape starts by itself.
        start_after: What must have been asked for before it does.
        at_end: What happens at its end.
        lag: What happens when a client cannot follow.
        market: Market of cassettes that do not say theirs.
        time: Whether payloads keep their recorded times.
        routes: Whether futures paths keep other routes' streams silent; None goes
            by the date of each recording.
        redirect: Whether connections to the exchange's hosts land on the replay.
        check: Severity of the checks that are not to fail.
        streams: What a recording captures; empty leaves that to the old cassette, or
            to the bot.
        record_for: How long a recording lasts, seconds, or a predicate over frames
            that ends it; None for as long as the old cassette.
        min_messages: How many messages each stream of a recording has to bring, or
            those named.
    """

    speed: Speed = "auto"
    max_gap: float | None = None
    start: Literal["auto", "manual"] = "auto"
    start_after: tuple[str, ...] = ()
    at_end: AtEnd = "hold"
    lag: Literal["lag", "stall", "disconnect"] = "lag"
    market: Literal["spot", "usdm"] | None = None
    time: Literal["recorded", "rebase"] = "recorded"
    routes: Literal["live", "any"] | None = None
    redirect: bool = False
    check: Mapping[str, Severity] = MappingProxyType({})
    streams: tuple[str, ...] = ()
    record_for: float | Callable[..., object] | None = None
    min_messages: int | Mapping[str, int] = 0

    def severity(self, name: str) -> Severity:
        """Return how strictly a check is to be taken."""
        return self.check.get(name, "fail")


def parse_setting(name: str, value: object, where: str) -> object:
    """Check one setting.

    Args:
        name: Its name.
        value: The value, as it was given.
        where: Where it stood and how it was written, for the error.

    Raises:
        OptionError: If the name or the value is wrong, or not built yet.
    """
    if name in UNBUILT:
        raise OptionError(where, f"{UNBUILT[name]} not built yet; leave it out")
    setting = SETTINGS.get(name)
    if setting is None:
        raise OptionError(where, f"unknown setting; there are {', '.join(SETTINGS)}")
    if name == "time" and value == "freeze":
        raise OptionError(where, "freezing the clock is not built yet; leave it out")
    try:
        return setting.parse(value)
    except (ValueError, TypeError):
        raise OptionError(where, f"expected {setting.expected}") from None


def layered(*layers: Mapping[str, object]) -> dict[str, object]:
    """Lay checked settings of several origins over each other.

    Each check of `check` is a setting of its own: a layer that sets one of them
    leaves the others to the layers below.

    Args:
        layers: Settings by name, those that win last.
    """
    merged: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            below = merged.get(name)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                merged[name] = {**below, **value}
            else:
                merged[name] = value
    return merged


def make_options(values: Mapping[str, object], where: str = "replay") -> Options:
    """Check settings given as Python values, and fill in the defaults.

    Args:
        values: Settings by name.
        where: What they were given to, for errors: `where(name=value)`.

    Raises:
        OptionError: If a name or a value is wrong.
    """
    parsed = {
        name: parse_setting(name, value, f"{where}({name}={value!r})")
        for name, value in values.items()
    }
    return Options(**parsed)  # type: ignore[arg-type]
