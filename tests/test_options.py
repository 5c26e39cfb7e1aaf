"""Settings: what may be given, and what is said when it is wrong."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.options import (
    CHECKS,
    SETTINGS,
    UNBUILT,
    Options,
    layered,
    make_options,
    parse_seconds,
    parse_setting,
)

GOOD: list[tuple[str, object, object]] = [
    ("speed", "auto", "auto"),
    ("speed", "asap", "asap"),
    ("speed", "10", 10.0),
    ("speed", 0.5, 0.5),
    ("speed", 1, 1.0),
    ("max_gap", None, None),
    ("max_gap", "none", None),
    ("max_gap", "250ms", 0.25),
    ("max_gap", 0, 0.0),
    ("start", "manual", "manual"),
    ("start_after", (), ()),
    ("start_after", "", ()),
    ("start_after", "btcusdt@depth, /api/v3/depth", ("btcusdt@depth", "/api/v3/depth")),
    ("start_after", ["btcusdt@depth"], ("btcusdt@depth",)),
    ("start_after", ["a@trade,b@trade", "c@trade"], ("a@trade", "b@trade", "c@trade")),
    ("at_end", "loop", "loop"),
    ("lag", "stall", "stall"),
    ("market", None, None),
    ("market", "usdm", "usdm"),
    ("time", "rebase", "rebase"),
    ("routes", None, None),
    ("routes", "any", "any"),
    ("redirect", True, True),
    ("redirect", "true", True),
    ("redirect", "false", False),
    ("check", {}, {}),
    ("check", {"missing": "warn"}, {"missing": "warn"}),
    ("check", "missing=warn", {"missing": "warn"}),
    (
        "check",
        "missing=warn, server=ignore",
        {"missing": "warn", "server": "ignore"},
    ),
    (
        "check",
        ["missing=warn", "vanished=fail"],
        {"missing": "warn", "vanished": "fail"},
    ),
    ("streams", ["btcusdt@trade", "a@b, c@d"], ("btcusdt@trade", "a@b", "c@d")),
    ("record_for", "2m", 120.0),
    ("record_for", 0.5, 0.5),
    ("record_for", None, None),
    ("record_for", bool, bool),
    ("min_messages", 3, 3),
    ("min_messages", "20", 20),
    ("min_messages", ["a@b=2", "c@d=3"], {"a@b": 2, "c@d": 3}),
    ("min_messages", {"a@b": 0}, {"a@b": 0}),
]
BAD: list[tuple[str, object]] = [
    *(("speed", value) for value in (0, -3, "fast", "", "nan", "inf", float("inf"))),
    *(("speed", value) for value in (True, None, ["auto"], 10**400, Fraction(1, 2))),
    *(("max_gap", value) for value in (-1, "-1s", "2 parsecs", "ms", "nan", True, ())),
    ("max_gap", "9" * 400),
    *(("start", value) for value in ("later", "", None, True)),
    *(("start_after", value) for value in (None, 3, [1], [""], {"a": "b"}, b"a@trade")),
    *(("at_end", value) for value in ("stop", None)),
    *(("lag", value) for value in ("wait", None)),
    *(("market", value) for value in ("futures", "SPOT", "", 1)),
    *(("time", value) for value in ("now", None, ["recorded"])),
    *(("routes", value) for value in ("old", "", False)),
    *(("redirect", value) for value in ("yes", "", None, 1, [True])),
    *(("check", value) for value in (None, "missing", "missing=loud", "unused=warn")),
    *(("check", value) for value in ({"unused": "warn"}, {"missing": None}, [1])),
    *(("streams", value) for value in (None, 3, [""])),
    ("streams", {"a": "b"}),
    *(("record_for", value) for value in (0, "0s", -1, "soon", True)),
    ("record_for", []),
    *(("min_messages", value) for value in (None, -1, True, "few", "a@b=x", 1.5)),
    *(("min_messages", value) for value in ({"": 1}, {"a@b": -1})),
    ("min_messages", []),
    ("min_messages", ""),
    ("min_messages", {1: 1}),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_a_setting_is_taken(name: str, value: object, expected: object) -> None:
    assert parse_setting(name, value, "here") == expected


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_a_checked_value_may_be_checked_again(
    name: str, value: object, expected: object
) -> None:
    once = parse_setting(name, value, "here")
    assert parse_setting(name, once, "here") == expected


@pytest.mark.parametrize(("name", "value"), BAD, ids=repr)
def test_a_wrong_value_is_told_what_was_expected(name: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        parse_setting(name, value, "tests/test_dip.py")
    expected = SETTINGS[name].expected
    assert str(caught.value) == f"tests/test_dip.py: expected {expected}."


def test_every_setting_has_good_and_bad_examples() -> None:
    assert {name for name, *_ in GOOD} == {name for name, _ in BAD} == set(SETTINGS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.5", 1.5),
        ("0", 0.0),
        ("250us", 0.00025),
        ("250ms", 0.25),
        (".5s", 0.5),
        (" 2m ", 120.0),
        ("1h", 3600.0),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_a_length_of_time_is_in_seconds(text: str | float, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("name", UNBUILT)
def test_a_part_that_is_not_built_yet_says_so(name: str) -> None:
    with pytest.raises(OptionError, match=r"^here: [a-z' -]+ not built yet; leave it"):
        parse_setting(name, True, "here")


def test_freezing_the_clock_is_not_built_yet() -> None:
    with pytest.raises(OptionError) as caught:
        parse_setting("time", "freeze", "here")
    assert str(caught.value) == (
        "here: freezing the clock is not built yet; leave it out."
    )


def test_an_unknown_setting_is_told_what_there_is() -> None:
    with pytest.raises(OptionError) as caught:
        parse_setting("spede", 3, "binance_replay(spede=3)")
    assert str(caught.value) == (
        "binance_replay(spede=3): unknown setting; there are speed, max_gap, start, "
        "start_after, at_end, lag, market, time, routes, redirect, check, streams, "
        "record_for, min_messages."
    )


def test_every_setting_has_its_place_in_the_options() -> None:
    assert set(Options._fields) == set(SETTINGS)
    assert not SETTINGS.keys() & UNBUILT.keys()


def test_the_options_and_the_settings_have_the_same_defaults() -> None:
    defaults = {name: setting.default for name, setting in SETTINGS.items()}
    assert make_options(defaults) == make_options({}) == Options()


def test_options_say_where_a_wrong_value_was_given() -> None:
    with pytest.raises(OptionError, match=r"^replay\(speed=-3\): expected 'auto', "):
        make_options({"speed": -3})
    with pytest.raises(OptionError, match=r"^serve\(lag='x'\): expected 'lag', "):
        make_options({"lag": "x"}, "serve")


def test_a_check_that_is_not_named_fails_the_test() -> None:
    options = make_options({"check": {"missing": "warn"}})
    assert [options.severity(name) for name in CHECKS] == ["warn", "fail", "fail"]


def test_the_last_layer_wins() -> None:
    layers: list[dict[str, object]] = [
        {"speed": 1.0, "lag": "lag", "start_after": ("a@trade",)},
        {"speed": 2.0, "start_after": ("b@trade",)},
        {"speed": 3.0},
    ]
    assert layered(*layers) == {
        "speed": 3.0,
        "lag": "lag",
        "start_after": ("b@trade",),
    }


def test_a_layer_leaves_the_checks_that_it_does_not_name() -> None:
    lower = {"check": {"missing": "warn", "server": "ignore"}}
    upper = {"check": {"missing": "fail"}}
    assert layered(lower, upper)["check"] == {"missing": "fail", "server": "ignore"}
    assert lower["check"]["missing"] == "warn"


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = PLAIN | st.lists(PLAIN) | st.dictionaries(st.text(), PLAIN)


@given(st.sampled_from(sorted(SETTINGS)), ANYTHING)
def test_any_value_at_all_is_taken_or_refused_in_words(name: str, value: Any) -> None:
    with contextlib.suppress(OptionError):
        once = parse_setting(name, value, "here")
        assert parse_setting(name, once, "here") == once


@given(st.integers(0, 10**12))
def test_any_length_of_time_reads_as_it_is_written(us: int) -> None:
    assert round(parse_seconds(f"{us}us") * 1e6) == us
    assert round(parse_seconds(us / 1e6) * 1e6) == us
