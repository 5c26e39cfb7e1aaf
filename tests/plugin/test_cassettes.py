"""Cassettes that are not as they should be, as a user reads of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Add = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("project")

HEADER = '{"cassette":1,"market":"spot"}\n'
FRAME = (
    '{{"t":{},"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT"}}}}\n'
)
NOBODYS = '{"t":1,"stream":"btcusdt@custom","data":{"x":1}}\n'
T = 1795168800000000
TEST = """
import pytest
from bots import plain_bot

@pytest.mark.binance_replay("odd")
@pytest.mark.parametrize("n", range({times}))
def test_it(binance_replay, n):
    plain_bot(binance_replay)
"""


def play(pytester: pytest.Pytester, *args: str, times: int = 1) -> pytest.RunResult:
    pytester.makepyfile(test_x=TEST.format(times=times))
    return pytester.runpytest_inprocess(*args)


UNREADABLE = {
    "empty": (b"", "recordings/odd.jsonl: is empty. *"),
    "binary": (
        b"\x00\xff\x80\x13" * 50,
        "recordings/odd.jsonl: is not a cassette: it is binary data. *",
    ),
    "text": (
        b"hello\n",
        "recordings/odd.jsonl: is not a cassette: its first line begins *",
    ),
    "later version": (b'{"cassette":99}\n', "recordings/odd.jsonl:1: *99*"),
    "no market": (
        NOBODYS.encode(),
        "recordings/odd.jsonl: neither a header nor the payloads say which market *",
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_cassette_that_cannot_be_played_fails_the_setup(
    pytester: pytest.Pytester, add_cassette: Add, kind: str
) -> None:
    data, sentence = UNREADABLE[kind]
    add_cassette("odd.jsonl", data)
    result = play(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", sentence])
    result.stdout.no_fnmatch_line("*plugin.py*")


def test_the_market_can_be_given(pytester: pytest.Pytester, add_cassette: Add) -> None:
    add_cassette("odd.jsonl", NOBODYS)
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.binance_replay("odd")
        def test_it(binance_replay): pass
        """
    )
    result = pytester.runpytest_inprocess("--binance-market=usdm")
    result.assert_outcomes(passed=1)


def test_a_broken_line_is_told_where_it_is_reached(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    header = HEADER.replace('"spot"', '"spot","streams":["btcusdt@trade"]')
    add_cassette("odd.jsonl", header + FRAME.format(T) + "broken\n" + FRAME.format(T))
    result = play(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        "E   *CassetteFormatError: recordings/odd.jsonl:3: not a cassette line: *"
    )


def test_a_broken_line_is_told_at_once_where_all_must_be_read_for_the_streams(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    add_cassette("odd.jsonl", HEADER + FRAME.format(T) + "broken\n" + FRAME.format(T))
    result = play(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "recordings/odd.jsonl:3: not a cassette line: it is not a JSON object. Restore "
        "it from git, or cut it out."
    )


def test_a_directory_is_no_cassette(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    add_cassette("odd.jsonl/inner.jsonl")
    result = play(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("No cassette 'odd' in recordings; nearest: 'dip', *")


CUT = HEADER + FRAME.format(T) + FRAME.format(T + 1)[:30]
CUT_SHORT = (
    "CutShortWarning: recordings/odd.jsonl: cut short inside line 3; "
    "playing the 2 whole lines before it."
)
MIXED = HEADER + FRAME.format(T + 2_500_000) + FRAME.format(T)
OUT_OF_ORDER = (
    "OutOfOrderWarning: recordings/odd.jsonl:3: received 2.5 s before an earlier "
    "line; played in file order, without a wait. Sort the lines by 't' if the "
    "recorder wrote them out of order."
)


@pytest.mark.parametrize(
    ("text", "warning"), [(CUT, CUT_SHORT), (MIXED, OUT_OF_ORDER)], ids=["cut", "mixed"]
)
def test_a_warning_about_a_cassette_is_told_once(
    pytester: pytest.Pytester, add_cassette: Add, text: str, warning: str
) -> None:
    add_cassette("odd.jsonl", text)
    result = play(pytester, times=2)
    result.assert_outcomes(passed=2, warnings=2)
    output = result.stdout.str()
    assert output.count(warning) == 1
    result.stdout.fnmatch_lines(
        ["*warnings summary*", "test_x.py::test_it[[]0[]]", "test_x.py::test_it[[]1[]]"]
    )


@pytest.mark.parametrize(
    ("text", "warning"), [(CUT, CUT_SHORT), (MIXED, OUT_OF_ORDER)], ids=["cut", "mixed"]
)
def test_a_warning_about_a_cassette_fails_where_warnings_are_errors(
    pytester: pytest.Pytester, add_cassette: Add, text: str, warning: str
) -> None:
    add_cassette("odd.jsonl", text)
    result = play(pytester, "-W", "error")
    result.assert_outcomes(passed=1, errors=1)
    sentence = warning.partition(": ")[2]
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_it*", sentence])


def test_a_warning_about_a_cassette_can_be_filtered(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    add_cassette("odd.jsonl", CUT)
    ignore = "ignore::pytest_binance_replay.CutShortWarning"
    result = play(pytester, "-W", "error", "-W", ignore)
    result.assert_outcomes(passed=1)


def test_a_failing_test_still_tells_the_warning(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    add_cassette("odd.jsonl", CUT)
    pytester.makepyfile(test_x=TEST.format(times=1) + "    assert False\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1, warnings=1)
    result.stdout.fnmatch_lines(f"*{CUT_SHORT}")
