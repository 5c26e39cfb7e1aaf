"""Names of cassettes that belong to tests."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_binance_replay.naming import (
    MAX_NAME_BYTES,
    cassette_name,
    differs_by_case,
)

PORTABLE = re.compile(r"[A-Za-z0-9_.=+,\[\]-]+")


def named(
    function: str,
    parameters: str | None = None,
    *,
    classes: tuple[str, ...] = (),
    module: str = "tests/test_bot",
    has_twin: bool = False,
) -> str:
    """The cassette name of a test that pytest calls what it would."""
    name = function if parameters is None else f"{function}[{parameters}]"
    test = "::".join((f"{module}.py", *classes, name))
    return cassette_name(
        module, classes, function, parameters, test=test, has_twin=has_twin
    )


@pytest.mark.parametrize(
    ("classes", "parameters", "name"),
    [
        ((), None, "test_dip"),
        (("TestBuyer",), None, "TestBuyer.test_dip"),
        (("TestBuyer", "TestLate"), None, "TestBuyer.TestLate.test_dip"),
        ((), "BTCUSDT", "test_dip[BTCUSDT]"),
        ((), "spot-1.5", "test_dip[spot-1.5]"),
        (("TestBuyer",), "fast", "TestBuyer.test_dip[fast]"),
    ],
)
def test_a_plain_name_is_what_pytest_calls_the_test(
    classes: tuple[str, ...], parameters: str | None, name: str
) -> None:
    assert named("test_dip", parameters, classes=classes) == f"tests/test_bot/{name}"


@pytest.mark.parametrize(
    "parameters", ["a/b", "a:b", "..", "a b", "\\xe9", "é", "a\nb"]
)
def test_a_character_that_files_cannot_have_is_replaced(parameters: str) -> None:
    folder, _, name = named("test_dip", parameters).rpartition("/")
    assert folder == "tests/test_bot"
    assert PORTABLE.fullmatch(name)
    assert name.startswith("test_dip[")


def test_ids_that_lose_their_difference_are_told_apart() -> None:
    names = {named("test_dip", parameters) for parameters in ("a/b", "a:b", "a-b")}
    assert len(names) == 3


def test_a_twin_is_told_apart_on_any_disk() -> None:
    upper = named("test_dip", "BTC", has_twin=True)
    lower = named("test_dip", "btc", has_twin=True)
    assert upper.casefold() != lower.casefold()
    assert upper.startswith("tests/test_bot/test_dip[BTC]-")


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    names = {named("test_dip", "x" * 300 + last) for last in "ab"}
    assert len(names) == 2
    assert {len(name.rpartition("/")[2]) for name in names} == {MAX_NAME_BYTES}


def test_the_longest_name_is_left_alone() -> None:
    function = "t" * MAX_NAME_BYTES
    assert named(function) == f"tests/test_bot/{function}"
    assert named(function + "t") != f"tests/test_bot/{function}t"


def test_modules_of_one_name_have_folders_of_their_own() -> None:
    assert named("test_a", module="a/test_x") != named("test_a", module="b/test_x")


def test_a_name_is_the_same_every_time() -> None:
    assert named("test_dip", "a/b") == "tests/test_bot/test_dip[a-b]-1b01ea"


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("test_a", ["test_a", "test_b"], False),
        ("test_a", ["test_A"], True),
        ("STRASSE", ["straße"], True),
        ("test_a", [], False),
    ],
)
def test_a_twin_is_a_name_that_differs_by_case_alone(
    name: str, others: list[str], expected: bool
) -> None:
    assert differs_by_case(name, others) is expected


IDS = st.text(st.sampled_from("aAbB/:-[] éÉ"), max_size=8) | st.text(max_size=300)


@given(IDS, IDS)
def test_any_two_tests_have_files_of_their_own_on_any_disk(
    first: str, second: str
) -> None:
    assume(first != second)
    twins = differs_by_case(first, [second])
    names = [named("test_dip", id_, has_twin=twins) for id_ in (first, second)]
    assert names[0].casefold() != names[1].casefold()
    for name in names:
        assert PORTABLE.fullmatch(file := name.removeprefix("tests/test_bot/"))
        assert len(file) <= MAX_NAME_BYTES
