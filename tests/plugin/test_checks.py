"""What fails a test at its end, and how strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("project")

BOTS = {
    "missing": 'greedy_bot(binance_replay, "btcusdt@trades")',
    "vanished": "rude_bot(binance_replay)",
    "server": "break_server(binance_replay)",
}
SENTENCES = {
    "missing": (
        "No cassette has stream 'btcusdt@trades' (asked by client 1); "
        "recordings/dip.jsonl has btcusdt@trade. Did you mean 'btcusdt@trade'? "
        "To record it too: pytest --record-binance test_x.py::test_it"
    ),
    "vanished": (
        "client 1 (/ws/btcusdt@trade): *; vanished without a close frame, "
        "while frames were still due for it. If that is meant, pass "
        "check={'vanished': 'ignore'}."
    ),
    "server": "the replay server failed: *",
}
# No client can make our server fail, so the test has to put the failure there.
HEAD = """
import pytest
from bots import *

def break_server(replay):
    replay._stage.server.failures.append(ZeroDivisionError("division by zero"))

{mark}
def test_it(binance_replay):
"""
DIP = '@pytest.mark.binance_replay("dip"{})'
SEVERITIES = [
    ("fail", {"passed": 1, "errors": 1}),
    ("warn", {"passed": 1, "warnings": 1}),
    ("ignore", {"passed": 1}),
]


def make_test(
    pytester: pytest.Pytester, *lines: str, mark: str = DIP.format("")
) -> None:
    body = "".join(f"    {line}\n" for line in lines)
    (pytester.path / "test_x.py").write_text(HEAD.format(mark=mark) + body, "utf-8")


@pytest.mark.parametrize("check", BOTS)
def test_a_check_fails_the_test_at_its_end(
    pytester: pytest.Pytester, check: str
) -> None:
    make_test(pytester, BOTS[check])
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_it*", SENTENCES[check], "* binance replay *"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*plugin.py*")


@pytest.mark.parametrize("check", BOTS)
@pytest.mark.parametrize(("severity", "outcomes"), SEVERITIES)
@pytest.mark.parametrize("place", ["mark", "ini", "option"])
def test_a_check_is_as_strict_as_it_is_told_to_be(
    pytester: pytest.Pytester,
    check: str,
    severity: str,
    outcomes: dict[str, int],
    place: str,
) -> None:
    setting = f', check={{"{check}": "{severity}"}}' if place == "mark" else ""
    make_test(pytester, BOTS[check], mark=DIP.format(setting))
    args = {
        "mark": (),
        "ini": ("-o", f"binance_check={check}={severity}"),
        "option": (f"--binance-check={check}={severity}",),
    }
    result = pytester.runpytest_inprocess(*args[place])
    result.assert_outcomes(**outcomes)
    if severity == "ignore":
        result.stdout.no_fnmatch_line("*binance replay*")
    else:
        result.stdout.fnmatch_lines(f"*{SENTENCES[check]}")


@pytest.mark.parametrize("check", BOTS)
def test_a_warning_of_a_check_fails_the_test_where_warnings_are_errors(
    pytester: pytest.Pytester, check: str
) -> None:
    setting = f', check={{"{check}": "warn"}}'
    make_test(pytester, BOTS[check], mark=DIP.format(setting))
    result = pytester.runpytest_inprocess("-W", "error")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_it*", SENTENCES[check]])
    result.stdout.no_fnmatch_line("*plugin.py*")


def test_all_that_is_wrong_is_told_together(pytester: pytest.Pytester) -> None:
    make_test(
        pytester,
        'greedy_bot(binance_replay, "btcusdt@trades", "ethusdt@trade")',
        "break_server(binance_replay)",
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "the replay server failed: ZeroDivisionError('division by zero'). *",
            "No cassette has stream 'btcusdt@trades' *",
            "No cassette has stream 'ethusdt@trade' *",
        ],
        consecutive=True,
    )


@pytest.mark.parametrize("check", BOTS)
@pytest.mark.parametrize(
    ("ending", "outcomes"),
    [
        ("assert False", {"failed": 1}),
        ('pytest.skip("enough")', {"skipped": 1}),
        ('pytest.xfail("known")', {"xfailed": 1}),
    ],
)
def test_a_test_that_did_not_pass_gets_no_second_error(
    pytester: pytest.Pytester, check: str, ending: str, outcomes: dict[str, int]
) -> None:
    make_test(pytester, BOTS[check], ending)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(**outcomes)


def test_the_section_of_a_failed_test_tells_what_is_missing(
    pytester: pytest.Pytester,
) -> None:
    make_test(pytester, BOTS["missing"], "assert False")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["* binance replay *", "missing: No cassette has *"])


def test_a_failed_unittest_gets_no_second_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import unittest
        import pytest
        from bots import greedy_bot

        @pytest.fixture
        def served(request, binance_replay):
            request.instance.replay = binance_replay

        @pytest.mark.binance_replay("dip")
        @pytest.mark.usefixtures("served")
        class OldTest(unittest.TestCase):
            def test_it(self):
                greedy_bot(self.replay, "btcusdt@trades")
                self.fail("here")
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("* binance replay *")


def test_a_failing_setup_gets_no_second_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from bots import greedy_bot

        @pytest.fixture
        def bot(binance_replay):
            greedy_bot(binance_replay, "btcusdt@trades")
            raise RuntimeError("no bot today")

        @pytest.mark.binance_replay("dip")
        def test_it(bot): pass
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", "* binance replay *"])
    assert result.stdout.str().count("- binance replay -") == 1


def test_a_tape_that_must_not_end_fails_the_test_when_it_does(
    pytester: pytest.Pytester,
) -> None:
    mark = DIP.format(', at_end="fail"')
    make_test(pytester, "plain_bot(binance_replay)", mark=mark)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("the tape ended after 2 frames, before the end of *")


def test_a_tape_that_must_not_end_may_be_left_before(pytester: pytest.Pytester) -> None:
    mark = DIP.format(', at_end="fail"')
    make_test(pytester, "binance_replay.step().wait(10)", mark=mark)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_error_of_a_handle_that_nobody_waited_for_fails_the_test(
    pytester: pytest.Pytester,
) -> None:
    make_test(
        pytester,
        "handle = binance_replay.step(3)",
        "binance_replay.until(handle.done).wait(10)",
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("the tape ended after 2 frames, before *")


def test_the_error_of_a_handle_that_the_test_took_is_its_own_affair(
    pytester: pytest.Pytester,
) -> None:
    make_test(
        pytester,
        "with pytest.raises(EOFError): binance_replay.step(3).wait(10)",
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_what_clients_do_after_the_test_is_not_its_doing(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from bots import connect

        @pytest.fixture
        def bot(binance_replay):
            with connect(binance_replay.ws_url + "/ws/btcusdt@trade") as socket:
                binance_replay.wait_for_subscription().wait(10)
                yield socket
                socket.socket.shutdown(2)

        @pytest.mark.binance_replay("dip", start="manual")
        def test_it(bot): pass
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_test_that_is_run_again_starts_afresh(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    (Path(pytester.path) / "test_x.py").write_text(
        HEAD.format(mark="runs = []\n\n" + DIP.format(""))
        + '    greedy_bot(binance_replay, "btcusdt@trades")\n'
        "    runs.append(1)\n"
        "    assert len(runs) == 2\n",
        "utf-8",
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1, errors=1)
