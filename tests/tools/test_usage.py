"""Cassettes compared with what tests use."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.shelf import demo_directory
from pytest_binance_replay.tools.usage import (
    Finding,
    Limits,
    Use,
    judge,
    parse_age,
    parse_megabytes,
    read_limits,
    uses_of,
)

NOW_US = 1_795_168_800_000_000  # 2026-11-20
FRAME = '{"t":1,"stream":"btcusdt@trade","data":{}}\n'


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


def add(folder: Path, name: str, **header: str) -> Path:
    members = "".join(f',"{key}":"{value}"' for key, value in header.items())
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"cassette":1{members}}}\n{FRAME}', "utf-8")
    return path


def use(test: str, *names: str, may_open: bool = False) -> Use:
    default = test.replace(".py::", "/")
    return Use(test, names or None, default, may_open)


def look(folder: Path, *uses: Use, **more: object) -> list[Finding]:
    return judge(folder, folder.parent, uses, now_us=NOW_US, **more)  # type: ignore[arg-type]


def test_what_tests_use_is_no_finding(shelf: Path) -> None:
    add(shelf, "dip.jsonl")
    add(shelf, "test_a/test_x.jsonl")
    uses = (use("a.py::y", "dip", "demo:spot"), use("test_a.py::test_x"))
    assert look(shelf, *uses) == []


def test_a_cassette_that_no_test_uses_is_unused(shelf: Path) -> None:
    add(shelf, "dip.jsonl")
    add(shelf, "old.jsonl.gz")
    [finding] = look(shelf, use("a.py::y", "dip.jsonl"))
    assert str(finding) == (
        "unused: recordings/old.jsonl.gz: no test uses it. To remove it: "
        "git rm recordings/old.jsonl.gz"
    )
    assert (finding.problem, finding.test) == ("unused", None)


def test_what_a_run_has_opened_is_used(shelf: Path) -> None:
    path = add(shelf, "dip.jsonl")
    assert look(shelf, opened=[shelf / "nested" / ".." / "dip.jsonl"]) == []
    assert look(shelf, opened=[path.resolve()]) == []


def test_a_file_given_by_its_path_is_used(shelf: Path) -> None:
    path = add(shelf, "dip.jsonl")
    assert look(shelf, use("a.py::y", str(path))) == []


def test_a_bundled_cassette_is_not_the_projects_to_record(shelf: Path) -> None:
    assert look(shelf, use("a.py::y", "demo:spot", "demo:nothing")) == []


def test_bundled_cassettes_are_for_others_to_use() -> None:
    assert look(demo_directory()) == []


def test_a_missing_cassette_is_named_once_with_the_command(shelf: Path) -> None:
    [finding] = look(shelf, use("a.py::y", "dip"), use("a.py::z", "dip"))
    assert str(finding) == (
        "missing: a.py::y uses 'dip', and recordings has no such cassette. To record "
        "it: pytest --record-binance 'a.py::y'"
    )


def test_a_cassette_found_by_its_header_is_used_and_should_be_renamed(
    shelf: Path,
) -> None:
    add(shelf, "test_a/test_old.jsonl.gz", test="test_a.py::test_new")
    [finding] = look(shelf, use("test_a.py::test_new"))
    assert str(finding) == (
        "renamed: recordings/test_a/test_old.jsonl.gz belongs to test_a.py::test_new "
        "by its header: git mv recordings/test_a/test_old.jsonl.gz "
        "recordings/test_a/test_new.jsonl.gz"
    )


def test_two_cassettes_of_one_test_by_their_headers_are_not_guessed_at(
    shelf: Path,
) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        add(shelf, name, test="test_a.py::test_new")
    found = look(shelf, use("test_a.py::test_new"))
    assert [finding.problem for finding in found] == ["unused", "unused", "missing"]


def test_an_unused_cassette_of_a_test_like_one_without_may_be_renamed(
    shelf: Path,
) -> None:
    add(shelf, "test_a/test_dip.jsonl", test="test_a.py::test_dip")
    found = look(shelf, use("test_a.py::test_dips"), use("zz.py::other"))
    assert str(found[0]) == (
        "unused: recordings/test_a/test_dip.jsonl: no test uses it; "
        "test_a.py::test_dips lacks one. Renamed? git mv "
        "recordings/test_a/test_dip.jsonl recordings/test_a/test_dips.jsonl"
    )


def test_what_cannot_be_known_is_not_advised_to_be_removed(shelf: Path) -> None:
    add(shelf, "dip.jsonl")
    [finding] = look(shelf, use("a.py::y", "demo:spot", may_open=True), certain=False)
    assert "git rm" not in finding.sentence
    assert finding.sentence.endswith("a full run of pytest tells")


def test_of_a_part_of_the_tests_nothing_is_called_unused(shelf: Path) -> None:
    add(shelf, "dip.jsonl")
    assert look(shelf, complete=False) == []


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ({"recorded_at": "2026-08-01T00:00:00Z"}, ["old"]),
        ({"recorded_at": "2026-08-01"}, ["old"]),
        ({"recorded_at": "2026-11-01T00:00:00Z"}, []),
        ({"recorded_at": "2020-01-01T00:00:00Z", "source": "synthetic:x seed=1"}, []),
        ({"recorded_at": "yesterday"}, []),
        ({}, []),
    ],
)
def test_a_cassette_grows_old_by_the_date_in_its_header(
    shelf: Path, header: dict[str, str], found: list[str]
) -> None:
    add(shelf, "dip.jsonl", **header)
    limits = Limits(max_age=timedelta(days=90))
    findings = look(shelf, use("a.py::y", "dip"), limits=limits)
    assert [finding.problem for finding in findings] == found
    assert look(shelf, use("a.py::y", "dip")) == []


def test_an_old_cassette_says_how_old(shelf: Path) -> None:
    add(shelf, "dip.jsonl", recorded_at="2026-08-01T00:00:00Z", test="a.py::y")
    limits = Limits(max_age=timedelta(days=90))
    [finding] = look(shelf, use("a.py::y", "dip"), limits=limits)
    assert str(finding) == (
        "old: recordings/dip.jsonl: recorded 111 days ago, on 2026-08-01. To refresh "
        "it: pytest --record-binance"
    )
    assert finding.test == "a.py::y"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("dip.jsonl", "Smaller: binance-replay convert recordings/dip.jsonl -o "),
        ("dip.jsonl.gz", "A part may do: binance-replay cut recordings/dip.jsonl.gz "),
    ],
)
def test_a_large_cassette_says_how_large(shelf: Path, name: str, advice: str) -> None:
    path = add(shelf, name)
    limits = Limits(max_bytes=path.stat().st_size - 1)
    [finding] = look(shelf, use("a.py::y", "dip"), limits=limits)
    assert finding.problem == "large"
    assert advice in finding.sentence
    assert look(shelf, use("a.py::y", "dip"), limits=Limits(max_bytes=None)) == []


def test_a_damaged_cassette_is_no_reason_to_fail(shelf: Path) -> None:
    (shelf / "dip.jsonl").write_text("damaged")
    assert look(shelf, use("a.py::y", "dip")) == []


@pytest.mark.parametrize(
    ("text", "days"),
    [("90d", 90), ("90", 90), ("12w", 84), ("36h", 1.5), (" 1.5 d ", 1.5)],
)
def test_an_age_is_read(text: str, days: float) -> None:
    assert parse_age(text, "x") == timedelta(days=days)


def test_an_age_beyond_all_ages_is_for_ever() -> None:
    assert parse_age("9" * 30, "x") == timedelta.max


@pytest.mark.parametrize("text", ["", "d", "-1d", "3 months", "1y", "1e3"])
def test_a_wrong_age_says_what_is_expected(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_age(text, "--max-age=x")
    assert str(caught.value) == (
        "--max-age=x: expected an age such as 90d, 12w or 36h."
    )


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "much"])
def test_a_wrong_size_says_what_is_expected(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_megabytes(text, "--max-mb=x")
    assert str(caught.value) == "--max-mb=x: expected a number of megabytes above 0."


def test_limits_that_are_not_given_are_the_defaults() -> None:
    assert read_limits(("", "a"), ("", "b")) == Limits()
    assert read_limits(("1d", "a"), ("2", "b")) == Limits(timedelta(days=1), 2_000_000)


@given(
    st.lists(
        st.builds(
            Use,
            st.text(),
            st.none() | st.lists(st.text()).map(tuple),
            st.text(),
            st.booleans(),
        )
    )
)
def test_uses_travel_between_processes(uses: list[Use]) -> None:
    noted = [
        [u.test, None if u.names is None else list(u.names), u.default, u.may_open]
        for u in uses
    ]
    assert uses_of(noted) == uses
