"""Tests under `@given`: a replay for each example, and a failing one is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_binance_replay.session import Session

pytestmark = pytest.mark.usefixtures("project")

HEAD = """
import asyncio
import json
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from bots import *
from pytest_binance_replay.strategies import Session, sessions

FEW = settings(max_examples=5, database=None, derandomize=True)
MANY = settings(FEW, max_examples=100)
SOON = pytest.mark.binance_replay(start_after=["btcusdt@trade"])
SMALL = sessions(streams=["trade"], min_size=2, max_size=3)
"""
CONFTEST = """
from hypothesis import Phase, settings
settings.register_profile("ours", phases=[Phase.generate, Phase.shrink])
settings.load_profile("ours")
"""


def run(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    (pytester.path / "test_x.py").write_text(HEAD + body, "utf-8")
    return pytester.runpytest_inprocess()


def test_the_fixture_is_as_new_for_each_example(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
ports = set()

@SOON
@FEW
@given(session=SMALL)
def test_plain(binance_replay, session):
    assert binance_replay.clients == () and binance_replay.loaded is None
    ports.add(binance_replay.port)
    assert len(ports) == 1
    binance_replay.load(session)
    with connect(binance_replay.ws_url + "/ws/btcusdt@trade") as socket:
        binance_replay.play().wait(5)
    assert len(binance_replay.clients) == 1

@pytest.mark.asyncio
@SOON
@FEW
@given(session=SMALL)
async def test_async(binance_replay, session):
    assert binance_replay.clients == ()
    binance_replay.load(session)
    async with aconnect(binance_replay.ws_url + "/ws/btcusdt@trade") as socket:
        await binance_replay.play()

class TestIt:
    @FEW
    @given(number=st.integers())
    @pytest.mark.binance_replay("dip")
    def test_of_a_cassette(self, binance_replay, number):
        assert binance_replay.position.frames == 0
        binance_replay.step().wait(5)
        assert binance_replay.position.frames == 1
""",
    )
    result.assert_outcomes(passed=3)


def test_what_is_wrong_with_a_replay_fails_its_example(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
@MANY
@given(session=SMALL)
def test_it(binance_replay, session):
    binance_replay.load(session)
    greedy_bot(binance_replay, "btcusdt@ticker")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*MissingDataError: No cassette has stream 'btcusdt@ticker'*",
            "*session=Session.parse(",
            "*binance replay: session*",
        ]
    )


@pytest.mark.slow
def test_the_failing_session_is_kept_until_the_test_passes(
    pytester: pytest.Pytester, project: Path
) -> None:
    body = """
@MANY
@given(session=sessions(streams=["trade"]))
def test_it(binance_replay, session):
    binance_replay.load(session)
    assert len(session.frames()) < {limit}
"""
    result = run(pytester, body.format(limit=1))
    kept = project / "recordings/.failed/test_x/test_it.jsonl"
    result.stdout.fnmatch_lines(
        [
            "recordings/.failed/test_x/test_it.jsonl: the session that it fails with, "
            "1 frame.",
            'Play it again: @pytest.mark.binance_replay(".failed/test_x/test_it")',
            "Keep it: move it out of .failed, which git ignores.",
        ]
    )
    assert len(Session.read(kept).frames()) == 1
    assert (project / "recordings/.failed/.gitignore").read_text("utf-8") == "*\n"
    run(pytester, body.format(limit=10_000)).assert_outcomes(passed=1)
    assert not kept.exists()


def test_a_session_is_kept_of_a_test_without_the_fixture(
    pytester: pytest.Pytester, project: Path
) -> None:
    run(
        pytester,
        """
@MANY
@given(session=sessions(streams=["trade"]))
def test_it(session):
    if session.frames():
        raise ValueError if len(session.frames()) % 2 else KeyError
""",
    ).assert_outcomes(failed=1)
    kept = sorted((project / "recordings/.failed/test_x").iterdir())
    assert [file.name for file in kept] == ["test_it-2.jsonl", "test_it.jsonl"]


def test_a_kept_session_plays_by_its_name(
    pytester: pytest.Pytester, project: Path
) -> None:
    body = """
@MANY
@given(session=SMALL)
def test_it(session):
    assert not session.frames()
"""
    run(pytester, body)
    again = """
@pytest.mark.binance_replay(".failed/test_x/test_it", start_after=["btcusdt@trade"])
def test_again(binance_replay):
    assert json.loads(plain_bot(binance_replay))["e"] == "trade"
"""
    run(pytester, again).assert_outcomes(passed=1)


def test_fixtures_of_others_are_still_refused(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@given(session=SMALL)
def test_it(binance_replay, tmp_path, session):
    pass
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*unction-scoped fixture*"])


def test_what_cannot_be_kept_is_said(pytester: pytest.Pytester, project: Path) -> None:
    (project / "recordings/.failed").write_text("in the way", "utf-8")
    result = run(
        pytester,
        """
@FEW
@given(session=SMALL)
def test_it(session):
    assert False
""",
    )
    result.stdout.fnmatch_lines(["The session of the failing example could not be*"])


def test_a_missing_cassette_is_still_missed_where_no_example_replaces_it(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
@FEW
@given(number=st.integers())
@pytest.mark.binance_replay("typo")
def test_it(binance_replay, number):
    pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*typo*"])
