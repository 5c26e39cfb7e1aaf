"""What a user sees of a replay: nothing, a line at the start, a section on failure."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("project")

FAILING = """
import pytest
from bots import connect

@pytest.mark.binance_replay("dip")
def test_it(binance_replay):
    with connect(binance_replay.ws_url + "/ws") as bot:
        bot.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}')
        binance_replay.step().wait(10)
        assert False, "the bot was late"
"""


def test_a_failed_test_shows_its_replay(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError*",
            "-* binance replay -*",
            "cassette: recordings/dip.jsonl",
            "position: frame 1, recorded 2026-11-20T10:00:00.004123Z",
            "speed: auto",
            "client 1 (/ws): btcusdt@trade; 1 frame sent*",
            '*{"method":"SUBSCRIBE","params":[[]"btcusdt@trade"[]],"id":1}*',
            "last frames released:",
            '  2026-11-20T10:00:00.003123Z btcusdt@trade {"e":"trade",*',
        ]
    )


def test_a_passed_test_shows_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING.replace("assert False", "assert True"))
    result = pytester.runpytest_inprocess("-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*binance replay*")


def test_a_bot_that_never_came_is_said_to(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.binance_replay("dip")
        def test_it(binance_replay):
            binance_replay.wait_for_subscription(timeout=0.01).wait()
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E  *waited 0.01 s for *", "-* binance replay -*", "no client ever connected"]
    )


def test_a_failed_test_shows_the_servers_it_started(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(binance_replay_factory):
            binance_replay_factory("dip")
            binance_replay_factory("demo:spot")
            assert False

        def test_of_something_else():
            assert False
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=2)
    sections = [line for line in result.outlines if "- binance replay -" in line]
    assert len(sections) == 2
    result.stdout.fnmatch_lines(
        ["cassette: recordings/dip.jsonl", "cassette: demo:spot"]
    )


def test_a_failed_test_shows_no_server_of_others(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def shared(binance_replay_factory):
            return binance_replay_factory("demo:spot")

        def test_of_the_shared(shared):
            assert False

        @pytest.mark.binance_replay("dip")
        def test_it(binance_replay):
            assert False
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=2)
    shown = [line for line in result.outlines if line.startswith("cassette: ")]
    assert shown == ["cassette: demo:spot", "cassette: recordings/dip.jsonl"]


def test_the_section_is_part_of_machine_readable_reports(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(FAILING)
    reports = pytester.inline_run().getreports("pytest_runtest_logreport")
    sections = [dict(r.sections) for r in reports if r.sections]
    assert [s["binance replay"].partition("\n")[0] for s in sections] == [
        "cassette: recordings/dip.jsonl"
    ]


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "binance-replay: cassettes in recordings"),
        (
            ("--binance-speed=asap", "-o", "binance_lag=stall"),
            "binance-replay: cassettes in recordings, lag=stall, speed=asap",
        ),
        (
            ("--binance-speed=asap", "--binance-cassette-dir=nowhere"),
            "binance-replay: cassettes in nowhere, speed=asap",
        ),
        (("--binance-cassette-dir=/",), "binance-replay: cassettes in /"),
    ],
)
def test_the_header_says_where_cassettes_come_from_and_what_is_set(
    pytester: pytest.Pytester, args: tuple[str, ...], line: str
) -> None:
    result = pytester.runpytest_inprocess(*args)
    assert [x for x in result.outlines if x.startswith("binance-replay")] == [line]


def test_nothing_is_said_in_a_project_without_cassettes(
    pytester: pytest.Pytester, project: Path
) -> None:
    (project / "recordings" / "dip.jsonl").unlink()
    (project / "recordings").rmdir()
    pytester.makepyfile("def test_it(): assert False")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    lines = [line for line in result.outlines if not line.startswith("plugins: ")]
    assert "binance" not in "\n".join(lines)


def test_nothing_is_said_when_pytest_is_to_be_quiet(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess("-q")
    result.assert_outcomes(passed=1)
    assert "binance" not in result.stdout.str()
