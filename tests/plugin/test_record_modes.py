"""The modes of recording, and when a run may record at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_binance_replay.files import CassetteReader, summarise
from pytest_binance_replay.replay import BinanceReplay
from tests.plugin.recording import BTC, ETH, cassettes

pytestmark = pytest.mark.slow

Record = Callable[..., pytest.RunResult]

TEST = """
import pytest
from bots import plain_bot

@pytest.mark.binance_replay({mark})
def test_it(binance_replay):
    plain_bot(binance_replay, "{stream}")
"""


def make_test(
    pytester: pytest.Pytester, mark: str = '"dip"', stream: str = BTC
) -> None:
    pytester.makepyfile(test_x=TEST.format(mark=mark, stream=stream))


# Whether


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (
            ["--record-binance", "--binance-record-mode=once"],
            "--record-binance and --binance-record-mode=once are at odds: the first "
            "means --binance-record-mode=rewrite. Leave one of them out.",
        ),
        (
            ["--binance-record-mode=some"],
            "--binance-record-mode=some: expected 'none', 'once', 'new', 'rewrite', "
            "'all' or 'verify'.",
        ),
        (
            ["-o", "binance_record_mode=some"],
            "binance_record_mode = some: expected 'none', 'once', 'new', 'rewrite', "
            "'all' or 'verify'.",
        ),
        (
            ["--record-binance", "--binance-upstream=example.org"],
            "--binance-upstream=example.org: expected wss://HOST[[]:PORT], and maybe "
            ",https://HOST[[]:PORT] behind it.",
        ),
        (
            ["-o", "binance_upstream=x"],
            "binance_upstream = x: expected wss://HOST[[]:PORT], and maybe "
            ",https://HOST[[]:PORT] behind it.",
        ),
    ],
)
def test_wrong_options_end_the_run_before_it_begins(
    pytester: pytest.Pytester, args: list[str], complaint: str
) -> None:
    result = pytester.runpytest_inprocess(*args)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"ERROR: {complaint}")


@pytest.mark.usefixtures("project")
def test_the_flag_may_be_said_twice(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(
        "--record-binance", "--binance-record-mode=rewrite"
    )
    assert result.ret is pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(
        "binance-replay: record mode rewrite, from the exchange"
    )


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("flag", ["--record-binance", "--binance-record-mode=verify"])
def test_recording_does_not_run_under_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setenv("CI", "true")
    result = pytester.runpytest_inprocess(flag)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        f"ERROR: {flag}: recording does not run under CI (the variable CI is set), "
        "where the exchange may be out of reach and files are lost. To record all the "
        "same, add --binance-record-in-ci."
    )


def test_recording_runs_under_ci_if_told(
    pytester: pytest.Pytester,
    project: Path,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    make_test(pytester)
    record("--record-binance", "--binance-record-in-ci").assert_outcomes(passed=1)
    assert summarise(project / "recordings/dip.jsonl").frames > 2


def test_a_mode_of_the_configuration_file_does_not_hold_under_ci(
    pytester: pytest.Pytester,
    project: Path,
    record: Record,
    upstream: BinanceReplay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mode = "binance_record_mode=rewrite"
    make_test(pytester)
    monkeypatch.setenv("CI", "true")
    record("-o", mode).assert_outcomes(passed=1)
    assert upstream.clients == ()
    monkeypatch.delenv("CI")
    record("-o", mode, "--binance-record-mode=none").assert_outcomes(passed=1)
    assert upstream.clients == ()
    record("-o", mode).assert_outcomes(passed=1)
    assert len(upstream.clients) == 1


# Which


def test_once_records_what_is_not_there_and_nothing_else(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    old = (project / "recordings/dip.jsonl").read_bytes()
    make_test(pytester)
    pytester.makepyfile(
        test_y="from test_x import plain_bot as bot\n"
        "def test_new(binance_replay): bot(binance_replay)"
    )
    record("--binance-record-mode=once").assert_outcomes(passed=2)
    assert cassettes(project) == ["dip.jsonl", "test_y/test_new.jsonl"]
    assert (project / "recordings/dip.jsonl").read_bytes() == old


def test_new_touches_what_lacks_something_and_records_it_whole(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    path = project / "recordings/dip.jsonl"
    old = path.read_bytes()
    make_test(pytester)
    record("--binance-record-mode=new").assert_outcomes(passed=1)
    assert path.read_bytes() == old
    make_test(pytester, '"dip"', f"{BTC}/{ETH}")
    record("--binance-record-mode=new").assert_outcomes(passed=1)
    assert CassetteReader(path).header.streams == (BTC, ETH)


def test_new_adds_what_a_mark_declares(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    make_test(pytester, f'"dip", streams="{ETH}"')
    record("--binance-record-mode=new").assert_outcomes(passed=1)
    path = project / "recordings/dip.jsonl"
    assert CassetteReader(path).header.streams == (BTC, ETH)


def test_all_plays_live_and_keeps_what_the_test_passes_on_again(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(
        test_x="""
        from bots import plain_bot

        def test_it(binance_replay):
            with open("runs", "a") as file:
                file.write(f"{binance_replay.cassette or 'live'}\\n")
            assert '"t"' in plain_bot(binance_replay)
        """
    )
    record("--binance-record-mode=all").assert_outcomes(passed=1)
    runs = (project / "runs").read_text("utf-8").splitlines()
    assert runs == ["live", "recordings/test_x/test_it.jsonl"]
    assert len(upstream.clients) == 1
    header = CassetteReader(project / "recordings/test_x/test_it.jsonl").header
    assert (header.streams, header.test) == ((BTC,), "test_x.py::test_it")
    assert header.source == upstream.ws_url


def test_all_rejects_what_a_test_that_failed_live_was_played(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    text = TEST.format(mark='"dip"', stream=BTC)
    pytester.makepyfile(test_x=text + "    assert 0\n")
    record("--binance-record-mode=all").assert_outcomes(failed=1)
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]
    assert summarise(project / "recordings/dip.rejected.jsonl").frames > 0


def test_verify_tells_drift_and_writes_nothing(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    old = (project / "recordings/dip.jsonl").read_bytes()
    make_test(pytester)
    result = record("--binance-record-mode=verify")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "recordings/dip.jsonl is no longer what the exchange sends. trade: T: field is "
        "new, integer, in all * payloads; trade: m: field is new, boolean, in all * "
        "payloads; trade: t: field is new, *. Record it anew: pytest --record-binance"
    )
    assert cassettes(project) == ["dip.jsonl"]
    assert (project / "recordings/dip.jsonl").read_bytes() == old


def test_verify_passes_what_is_as_it_was(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    make_test(pytester)
    record("--record-binance").assert_outcomes(passed=1)
    before = (project / "recordings/dip.jsonl").read_bytes()
    result = record("--binance-record-mode=verify")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("recordings/dip.jsonl: as the exchange is now")
    assert (project / "recordings/dip.jsonl").read_bytes() == before


def test_verify_of_what_is_not_there_says_so(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    make_test(pytester, '"dap"')
    result = record("--binance-record-mode=verify")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("No cassette 'dap' in recordings; nearest: 'dip'. *")
