"""Unused cassettes in pytest's summary, and the command that finds them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_binance_replay.commands import unused as unused_command

AddCassette = Callable[..., Path]

TESTS = """
    import pytest

    @pytest.mark.binance_replay("dip")
    def test_marked(binance_replay):
        pass

    def test_by_name(binance_replay):
        pass

    def test_by_hand(binance_replay_factory):
        binance_replay_factory("by-hand").close()

    def test_without():
        pass
"""
SECTION = "*= binance replay: cassettes =*"
LONELY = "unused: recordings/lonely.jsonl: no test uses it. To remove it: git rm *"


@pytest.fixture
def suite(
    pytester: pytest.Pytester, project: Path, add_cassette: AddCassette
) -> pytest.Pytester:
    """A project with four tests, the cassettes of three, and one that none uses."""
    pytester.makepyfile(test_bot=TESTS)
    for name in ("test_bot/test_by_name.jsonl", "by-hand.jsonl", "lonely.jsonl"):
        add_cassette(name)
    return pytester


@pytest.fixture
def dry(suite: pytest.Pytester) -> pytest.Pytester:
    """The same without what takes time: its tests are skipped."""
    skipped = TESTS.replace("import pytest", "import pytest\n    pytestmark = SKIP")
    suite.makepyfile(test_bot=skipped.replace("SKIP", "pytest.mark.skip('dry')"))
    return suite


def test_a_full_run_ends_with_the_cassettes_that_no_test_used(
    suite: pytest.Pytester,
) -> None:
    result = suite.runpytest()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([SECTION, LONELY])
    result.stdout.no_fnmatch_line("*by-hand*")
    result.stdout.no_fnmatch_line("unused: *test_by_name*")
    assert result.ret == 0


def test_unused_cassettes_can_fail_a_run(dry: pytest.Pytester) -> None:
    result = dry.runpytest("--binance-unused=fail")
    reason = "The run fails because of unused cassettes (--binance-unused=fail)."
    result.stdout.fnmatch_lines([SECTION, LONELY, reason])
    assert result.ret == 1


def test_a_run_without_unused_cassettes_does_not_fail(
    dry: pytest.Pytester, project: Path
) -> None:
    for name in ("lonely", "by-hand"):
        (project / f"recordings/{name}.jsonl").unlink()
    result = dry.runpytest("--binance-unused=fail")
    result.stdout.no_fnmatch_line(SECTION)
    assert result.ret == 0


def test_unused_cassettes_can_be_ignored_by_ini_and_command_line_wins(
    dry: pytest.Pytester,
) -> None:
    result = dry.runpytest("-o", "binance_unused=ignore")
    result.stdout.no_fnmatch_line(SECTION)
    result = dry.runpytest("-o", "binance_unused=ignore", "--binance-unused=warn")
    result.stdout.fnmatch_lines([SECTION])


@pytest.mark.slow
def test_workers_of_xdist_are_taken_together(suite: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = suite.runpytest_subprocess("-n", "2", "--binance-unused=fail")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([SECTION, LONELY])
    result.stdout.no_fnmatch_line("*by-hand*")
    assert result.ret == 1


@pytest.mark.slow
def test_a_crashed_worker_says_nothing_of_unused_cassettes(
    dry: pytest.Pytester,
) -> None:
    pytest.importorskip("xdist")
    dry.makepyfile(test_crash="def test_crash():\n    import os\n    os._exit(3)\n")
    result = dry.runpytest_subprocess("-n", "1", "--binance-unused=fail")
    result.stdout.no_fnmatch_line(SECTION)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "not nothing"],
        ["-m", "binance_replay"],
        ["test_bot.py"],
        ["test_bot.py::test_marked", "."],
        ["--deselect=test_bot.py::test_marked"],
        ["--ignore=test_other.py"],
        ["--collect-only"],
    ],
)
def test_a_run_of_a_part_says_nothing_of_unused_cassettes(
    dry: pytest.Pytester, arguments: list[str]
) -> None:
    result = dry.runpytest("--binance-unused=fail", *arguments)
    result.stdout.no_fnmatch_line(SECTION)
    assert result.ret == 0


@pytest.mark.parametrize("arguments", [["--lf"], ["--sw"]])
def test_a_run_of_what_failed_last_says_nothing_of_unused_cassettes(
    dry: pytest.Pytester, arguments: list[str]
) -> None:
    result = dry.runpytest("-p", "cacheprovider", "--binance-unused=fail", *arguments)
    result.stdout.no_fnmatch_line(SECTION)


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("def test_no(): assert 0", ["-x"]),
        ("import pytest; test_stop = lambda: pytest.exit('enough')", []),
        ("import nothing_of_this_name", ["--continue-on-collection-errors"]),
        ("import pytest; pytest.skip('x', allow_module_level=True)", []),
    ],
)
def test_a_run_that_ends_early_or_lacks_tests_says_nothing(
    dry: pytest.Pytester, source: str, arguments: list[str]
) -> None:
    dry.makepyfile(test_z=source)
    result = dry.runpytest_inprocess("--binance-unused=fail", *arguments)
    result.stdout.no_fnmatch_line(SECTION)


def test_a_run_with_failures_is_judged_all_the_same(dry: pytest.Pytester) -> None:
    dry.makepyfile(test_z="def test_no(): assert 0")
    result = dry.runpytest()
    result.stdout.fnmatch_lines([SECTION, LONELY])
    assert result.ret == 1


@pytest.mark.parametrize("argument", [".", "tests", "{root}"])
def test_paths_that_name_all_tests_are_a_full_run(
    dry: pytest.Pytester, project: Path, argument: str
) -> None:
    scope = "asyncio_default_fixture_loop_scope = function"
    dry.makefile(".ini", pytest=f"[pytest]\ntestpaths = tests\n{scope}\n")
    (project / "tests").mkdir()
    (project / "test_bot.py").rename(project / "tests/test_bot.py")
    result = dry.runpytest(argument.format(root=project))
    result.stdout.fnmatch_lines([SECTION])


def test_a_project_that_uses_no_replay_is_left_alone(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile("def test_x(): pass")
    result = pytester.runpytest("--binance-unused=fail")
    result.stdout.no_fnmatch_line(SECTION)
    assert result.ret == 0


def test_old_and_large_cassettes_are_told_by_ini(
    dry: pytest.Pytester, add_cassette: AddCassette
) -> None:
    header = '{"cassette":1,"market":"spot","recorded_at":"2020-01-01T00:00:00Z"}\n'
    frame = '{"t":1795168800003123,"stream":"btcusdt@trade","data":{}}\n'
    add_cassette("dip.jsonl", header + frame)
    settings = ("-o", "binance_max_age=30d", "-o", "binance_max_cassette_mb=0.0001")
    result = dry.runpytest(*settings)
    result.stdout.fnmatch_lines(
        [
            SECTION,
            "old: recordings/dip.jsonl: recorded * days ago, on 2020-01-01. *",
            "large: recordings/by-hand.jsonl: 0.0 MB, and 0.0001 MB are the limit. *",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--binance-unused=maybe"],
            "--binance-unused=maybe: expected 'ignore', 'warn' or 'fail'.",
        ),
        (
            ["-o", "binance_unused=maybe"],
            "binance_unused = maybe: expected 'ignore', 'warn' or 'fail'.",
        ),
        (
            ["-o", "binance_max_age=soon"],
            "binance_max_age = soon: expected an age such as 90d, 12w or 36h.",
        ),
        (
            ["-o", "binance_max_cassette_mb=x"],
            "binance_max_cassette_mb = x: expected a number of megabytes above 0.",
        ),
    ],
)
def test_a_wrong_setting_is_a_usage_error(
    dry: pytest.Pytester, arguments: list[str], message: str
) -> None:
    result = dry.runpytest(*arguments)
    result.stderr.fnmatch_lines([f"*{message}*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


# The command


def unused(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    command = (sys.executable, "-m", "pytest_binance_replay", "unused", *arguments)
    return suite.run(*command)


def test_the_command_finds_unused_and_missing_cassettes(
    suite: pytest.Pytester, project: Path
) -> None:
    (project / "recordings/dip.jsonl").unlink()
    result = unused(suite)
    result.stdout.fnmatch_lines(
        [
            "unused: recordings/by-hand.jsonl: no mark names it. *",
            "unused: recordings/lonely.jsonl: no mark names it. *",
            "missing: test_bot.py::test_marked uses 'dip', and recordings has no *",
            "3 cassettes, 3 tests that may use them, 3 problems",
        ]
    )
    result.stderr.fnmatch_lines(
        ["What these open by binance_replay_factory is not known: *::test_by_hand."]
    )
    assert result.ret == 1


@pytest.mark.slow
def test_the_command_is_fine_where_all_is(
    suite: pytest.Pytester, project: Path
) -> None:
    for name in ("by-hand", "lonely"):
        (project / f"recordings/{name}.jsonl").unlink()
    result = unused(suite, "--json")
    assert json.loads(result.outlines[-1]) == {
        "findings": [],
        "tests": 3,
        "tests_with_factory": ["test_bot.py::test_by_hand"],
    }
    assert result.ret == 0


@pytest.mark.slow
def test_the_command_hands_arguments_to_pytest(suite: pytest.Pytester) -> None:
    result = unused(suite, "--max-mb=0.0001", "--", "-k", "marked")
    result.stderr.fnmatch_lines(
        ["Only a part of the tests was collected (tests are selected by keyword), *"]
    )
    result.stdout.fnmatch_lines(["large: recordings/by-hand.jsonl: *"])
    result.stdout.no_fnmatch_line("unused: *")
    assert result.ret == 1


@pytest.mark.slow
def test_the_command_says_why_pytest_does_not_collect(suite: pytest.Pytester) -> None:
    result = unused(suite, "--", "--no-such-option")
    [line] = result.errlines
    assert line.startswith("pytest --collect-only: ended with exit code 4: ")
    assert "--no-such-option" in line
    assert result.ret == 2


@pytest.mark.slow
def test_what_the_plugin_noted_travels_to_the_command(suite: pytest.Pytester) -> None:
    noted = unused_command._collect([])
    assert noted["partial"] is None
    assert len(noted["uses"]) == 3


@pytest.mark.slow
def test_a_property_test_misses_no_cassette(
    project: Path, pytester: pytest.Pytester
) -> None:
    pytest.importorskip("hypothesis")
    pytester.makepyfile(
        """
        from hypothesis import given
        from pytest_binance_replay.strategies import sessions

        @given(session=sessions(streams=["trade"]))
        def test_it(binance_replay, session):
            binance_replay.load(session)
        """
    )
    result = unused(pytester)
    result.stdout.no_fnmatch_line("missing*")
    result.stdout.fnmatch_lines(["*1 test that may use *"])
