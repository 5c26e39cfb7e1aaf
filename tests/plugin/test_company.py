"""Beside other plugins, and under pytest's own switches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("project")

TEST = """
import pytest
from bots import TRADE, async_bot, plain_bot
pytestmark = pytest.mark.binance_replay("dip")

@pytest.mark.parametrize("n", range({times}))
def test_plain(binance_replay, n):
    assert plain_bot(binance_replay) == TRADE

@pytest.mark.asyncio
async def test_async(binance_replay):
    assert await async_bot(binance_replay) == TRADE
"""
PLAIN = TEST.partition("@pytest.mark.asyncio")[0].format(times=1)
FREEZING = {
    "freezegun": """
        from freezegun import freeze_time
        frozen = freeze_time("2020-01-01")
        """,
    "freezegun with a tick": """
        from freezegun import freeze_time
        frozen = freeze_time("2020-01-01", tick=True)
        """,
    "time-machine": """
        import time_machine
        frozen = time_machine.travel("2020-01-01T00:00:00Z", tick=False)
        """,
    "time-machine with a tick": """
        import time_machine
        frozen = time_machine.travel("2020-01-01T00:00:00Z", tick=True)
        """,
}


def run(pytester: pytest.Pytester, test: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(test_x=test)
    return pytester.runpytest_inprocess("-W", "error", *args)


def subrun(pytester: pytest.Pytester, test: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(test_x=test)
    return pytester.runpytest_subprocess("-W", "error", *args, timeout=120)


# Distribution and order


def test_on_workers(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = subrun(pytester, TEST.format(times=4), "-n2")
    result.assert_outcomes(passed=5)


@pytest.mark.slow
def test_a_failure_on_a_worker_is_told_as_here(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    test = """
    import pytest
    from bots import greedy_bot

    @pytest.mark.binance_replay("dip")
    def test_missing(binance_replay):
        greedy_bot(binance_replay, "btcusdt@trades")

    @pytest.mark.binance_replay("dop")
    def test_no_cassette(binance_replay): pass

    @pytest.mark.binance_replay("dip")
    def test_raised(binance_replay):
        binance_replay.step(3).wait()
    """
    result = subrun(pytester, test, "-n2", "--binance-speed=asap")
    result.assert_outcomes(passed=1, errors=2, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "binance-replay: cassettes in recordings, speed=asap",
            "No cassette has stream 'btcusdt@trades' *",
            "No cassette 'dop' in recordings; *",
            "E  *TapeEndedError: the tape ended after 2 frames, *",
            "speed: asap",
        ]
    )


@pytest.mark.slow
def test_a_wrong_mark_is_a_usage_error_on_workers(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    test = PLAIN + "\n@pytest.mark.binance_replay(speed=0)\ndef test_it(): pass\n"
    result = subrun(pytester, test, "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        "ERROR: test_x.py::test_it: binance_replay(speed=0): expected 'auto', 'asap' "
        "or a number above 0."
    )
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_in_random_order(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_randomly")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    result = run(
        pytester, TEST.format(times=3), "-p", "randomly", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=4)


# Clocks


@pytest.mark.parametrize("kind", FREEZING)
def test_under_a_clock_that_a_fixture_freezes(
    pytester: pytest.Pytester, kind: str
) -> None:
    pytest.importorskip(kind.partition(" ")[0].replace("-", "_"))
    pytester.makepyfile(frost=FREEZING[kind])
    pytester.makeconftest(
        """
        import pytest
        from frost import frozen

        @pytest.fixture(autouse=True)
        def frost():
            with frozen:
                yield
        """
    )
    run(pytester, TEST.format(times=1)).assert_outcomes(passed=2)


@pytest.mark.parametrize("kind", FREEZING)
def test_under_a_clock_that_a_decorator_freezes(
    pytester: pytest.Pytester, kind: str
) -> None:
    pytest.importorskip(kind.partition(" ")[0].replace("-", "_"))
    pytester.makepyfile(frost=FREEZING[kind])
    test = """
    import datetime
    import pytest
    from bots import TRADE, async_bot, plain_bot
    from frost import frozen

    @pytest.mark.binance_replay("dip")
    @frozen
    def test_plain(binance_replay):
        assert datetime.datetime.now().year == 2020
        assert plain_bot(binance_replay) == TRADE

    @pytest.mark.asyncio
    @pytest.mark.binance_replay("dip", speed=1)
    @frozen
    async def test_async(binance_replay):
        assert datetime.datetime.now().year == 2020
        assert await async_bot(binance_replay) == TRADE
    """
    run(pytester, test).assert_outcomes(passed=2)


def test_under_a_clock_that_a_module_freezes(pytester: pytest.Pytester) -> None:
    pytest.importorskip("freezegun")
    test = """
    import datetime
    import json
    import freezegun
    import pytest
    from bots import TRADE, plain_bot

    @pytest.fixture(scope="module", autouse=True)
    def frost():
        with freezegun.freeze_time("2020-01-01"):
            yield

    @pytest.mark.binance_replay("dip", time="rebase")
    def test_it(binance_replay):
        assert datetime.datetime.now().year == 2020
        event_time_ms = json.loads(plain_bot(binance_replay))["E"]
        assert abs(event_time_ms - 1577836800000) <= 1
    """
    run(pytester, test).assert_outcomes(passed=1)


# Sockets


@pytest.mark.slow
def test_without_sockets_the_reason_and_the_remedy_are_told(
    pytester: pytest.Pytester,
) -> None:
    pytest.importorskip("pytest_socket")
    result = subrun(pytester, PLAIN, "--disable-socket", "-W", "default")
    result.assert_outcomes(errors=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_plain*",
            "the replay server cannot open a socket (SocketBlockedError). If "
            "pytest-socket blocks it, add --allow-hosts=127.0.0.1 to the command, or "
            "mark the test with enable_socket.",
        ]
    )
    result.stdout.no_fnmatch_line("*Unraisable*")


@pytest.mark.parametrize(
    "args",
    [
        ("--allow-hosts=127.0.0.1",),
        ("--disable-socket", "--allow-hosts=127.0.0.1"),
        ("--disable-socket", "--force-enable-socket"),
    ],
)
@pytest.mark.slow
def test_where_loopback_is_allowed(
    pytester: pytest.Pytester, args: tuple[str, ...]
) -> None:
    pytest.importorskip("pytest_socket")
    subrun(pytester, TEST.format(times=2), *args).assert_outcomes(passed=3)


@pytest.mark.slow
def test_where_one_test_may_open_sockets_and_another_may_not(
    pytester: pytest.Pytester,
) -> None:
    pytest.importorskip("pytest_socket")
    test = """
    import pytest
    from bots import TRADE, plain_bot
    pytestmark = pytest.mark.binance_replay("dip")

    @pytest.mark.enable_socket
    def test_open(binance_replay):
        assert plain_bot(binance_replay) == TRADE

    def test_shut(binance_replay): pass

    @pytest.mark.enable_socket
    def test_open_again(binance_replay):
        assert plain_bot(binance_replay) == TRADE
    """
    result = subrun(pytester, test, "--disable-socket", "-W", "default")
    result.assert_outcomes(passed=2, errors=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at setup of test_shut*", "the replay server cannot open a socket *"]
    )


# pytest's own switches


@pytest.mark.parametrize(
    "args",
    [
        ("-p", "no:cacheprovider"),
        ("-p", "no:terminal"),
        ("-p", "no:logging", "-p", "no:capture"),
        ("-p", "no:warnings"),
        ("-p", "no:threadexception", "-p", "no:unraisableexception"),
        ("--import-mode=importlib",),
        ("--strict-markers", "--strict-config"),
        ("--setup-show",),
        ("-x", "--tb=short", "-vv"),
        ("--junitxml=report.xml",),
        ("--durations=1",),
    ],
    ids=" ".join,
)
def test_under_a_switch(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    pytester.makepyfile(test_x=TEST.format(times=1))
    recorder = pytester.inline_run("-W", "error", *args)
    recorder.assertoutcome(passed=2)


def test_without_asyncio(pytester: pytest.Pytester) -> None:
    ini = "[pytest]\nfilterwarnings = error\naddopts = -p no:randomly\n"
    pytester.makeini(ini)
    run(pytester, PLAIN, "-p", "no:asyncio").assert_outcomes(passed=1)


def test_without_us(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_x="def test_it(): pass\ndef test_of_ours(binance_replay): pass\n"
    )
    result = pytester.runpytest_inprocess("-p", "no:binance_replay")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("E * fixture 'binance_replay' not found")


@pytest.mark.slow
def test_in_development_mode(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    subrun(pytester, TEST.format(times=2)).assert_outcomes(passed=3)


def test_when_tests_are_only_collected(pytester: pytest.Pytester) -> None:
    result = run(pytester, TEST.format(times=2), "--collect-only", "-q")
    assert result.ret == 0
    assert result.outlines[:3] == [
        "test_x.py::test_plain[0]",
        "test_x.py::test_plain[1]",
        "test_x.py::test_async",
    ]


@pytest.mark.parametrize("switch", ["--setup-only", "--setup-plan"])
def test_when_fixtures_are_only_set_up(pytester: pytest.Pytester, switch: str) -> None:
    result = run(pytester, PLAIN, switch)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "SETUP    S binance_replay_factory*",
            "*SETUP    F binance_replay (fixtures used: binance_replay_factory)*",
            "*TEARDOWN F binance_replay*",
            "TEARDOWN S binance_replay_factory",
        ]
    )


def test_when_a_run_stops_at_the_first_failure_and_goes_on_from_there(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        "addopts = -p no:randomly\n"
    )
    test = PLAIN + (
        "\ndef test_bad(binance_replay): assert not Path('bad').exists()\n"
        "\ndef test_last(binance_replay): plain_bot(binance_replay)\n"
    )
    Path("bad").touch()
    test = f"from pathlib import Path\n{test}"
    run(pytester, test, "-x").assert_outcomes(passed=1, failed=1)
    Path("bad").unlink()
    result = pytester.runpytest_inprocess("--lf")
    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_when_the_run_is_interrupted(pytester: pytest.Pytester) -> None:
    test = PLAIN + "\ndef test_stop(binance_replay): raise KeyboardInterrupt\n"
    result = subrun(pytester, test)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*Unraisable*")


def test_with_a_time_limit(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_timeout")
    test = PLAIN + (
        "\n@pytest.mark.timeout(1)\ndef test_stuck(binance_replay):\n"
        "    import threading\n    threading.Event().wait()\n"
    )
    result = subrun(pytester, test, "--timeout=60")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("no client ever connected")


# Names


def test_our_options_and_keys_have_our_name(pytester: pytest.Pytester) -> None:
    lines = pytester.runpytest_inprocess("--help").outlines
    start = lines.index("Binance replay:")
    ours = lines[start : lines.index("", start)]
    options = [line.split("=")[0] for line in ours if line.startswith("  -")]
    assert all("binance" in option for option in options)
    named = [line for line in lines if re.match(r"  --\S*binance", line)]
    assert options == [line.split("=")[0] for line in named]
    assert [x for x in lines if x.startswith("  binance_")]


def test_our_fixtures_have_our_name(pytester: pytest.Pytester) -> None:
    lines = pytester.runpytest_inprocess("--fixtures", "-v").outlines
    ours = {x.split()[0] for x in lines if "pytest_binance_replay" in x and " -- " in x}
    assert ours == {"binance_replay", "binance_replay_factory"}
