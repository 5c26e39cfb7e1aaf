"""Settings: on the command line, in the configuration file and in marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_binance_replay.options import SETTINGS, UNBUILT, parse_setting

# Of each setting, two values as the command line and the file have them.
VALUES = {
    "speed": ("asap", "2"),
    "max_gap": ("250ms", "2s"),
    "start": ("manual", "auto"),
    "start_after": ("btcusdt@trade", "/api/v3/depth"),
    "at_end": ("close", "fail"),
    "lag": ("stall", "disconnect"),
    "market": ("usdm", "spot"),
    "time": ("rebase", "recorded"),
    "routes": ("any", "live"),
    "redirect": ("true", "false"),
    "check": ("missing=warn", "missing=ignore"),
    "streams": ("btcusdt@trade", "ethusdt@trade"),
    "record_for": ("30s", "5m"),
    "min_messages": ("3", "4"),
}
# Any text may be asked for.
CAN_BE_WRONG = sorted(VALUES.keys() - {"start_after", "streams"})
TEST = """
from pytest_binance_replay.options import make_options
import pytest

pytestmark = pytest.mark.binance_replay({module})

@pytest.mark.binance_replay({of_class})
class TestIt:
    @pytest.mark.binance_replay({of_function})
    def test_it(self, binance_replay):
        assert binance_replay._options == make_options({expected})
"""


def keywords(column: int) -> str:
    return ", ".join(f"{name}={values[column]!r}" for name, values in VALUES.items())


def flags(column: int) -> list[str]:
    return [
        f"--binance-{name.replace('_', '-')}={values[column]}"
        for name, values in VALUES.items()
    ]


def lines_of_ini(column: int) -> str:
    return "".join(
        f"binance_{name} = {values[column]}\n" for name, values in VALUES.items()
    )


def make_test(
    pytester: pytest.Pytester,
    *,
    module: str = "",
    of_class: str = "",
    of_function: str = "None",
    expected: int | None = None,
) -> None:
    named = {} if expected is None else {n: v[expected] for n, v in VALUES.items()}
    pytester.makepyfile(
        TEST.format(
            module=module, of_class=of_class, of_function=of_function, expected=named
        )
    )


def add_to_ini(project: Path, text: str, name: str = "tox.ini") -> None:
    with (project / name).open("a", encoding="utf-8") as file:
        file.write("\n" + text)


def test_every_setting_is_tried_here() -> None:
    assert VALUES.keys() == SETTINGS.keys()
    for name, pair in VALUES.items():
        first, second = (parse_setting(name, value, "") for value in pair)
        assert first != second


@pytest.mark.usefixtures("project")
def test_what_nobody_sets_is_the_default(pytester: pytest.Pytester) -> None:
    make_test(pytester)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_configuration_file_wins_over_the_default(
    pytester: pytest.Pytester, project: Path
) -> None:
    add_to_ini(project, lines_of_ini(0))
    make_test(pytester, expected=0)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize("place", ["module", "of_class", "of_function"])
def test_a_mark_wins_over_the_configuration_file(
    pytester: pytest.Pytester, project: Path, place: str
) -> None:
    add_to_ini(project, lines_of_ini(1))
    marks = {"of_function": "None", place: f"None, {keywords(0)}"}
    make_test(pytester, expected=0, **marks)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("outer", "inner"),
    [("module", "of_class"), ("of_class", "of_function"), ("module", "of_function")],
)
def test_the_closest_mark_wins(
    pytester: pytest.Pytester, outer: str, inner: str
) -> None:
    marks = {outer: f"None, {keywords(1)}", inner: f"None, {keywords(0)}"}
    make_test(pytester, expected=0, **marks)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_command_line_wins_over_everything(
    pytester: pytest.Pytester, project: Path
) -> None:
    add_to_ini(project, lines_of_ini(1))
    make_test(pytester, of_function=f"None, {keywords(1)}", expected=0)
    pytester.runpytest_inprocess(*flags(0)).assert_outcomes(passed=1)


@pytest.mark.usefixtures("project")
def test_each_check_is_a_setting_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.binance_replay(
            None, check={"missing": "ignore", "server": "warn", "vanished": "ignore"})

        @pytest.mark.binance_replay(check={"missing": "warn", "vanished": "warn"})
        def test_it(binance_replay):
            assert binance_replay._options.check == {
                "missing": "fail", "server": "warn", "vanished": "warn"}
        """
    )
    result = pytester.runpytest_inprocess("--binance-check=missing=fail")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("name", CAN_BE_WRONG)
def test_a_wrong_option_is_a_usage_error(
    pytester: pytest.Pytester, project: Path, name: str
) -> None:
    assert project
    flag = f"--binance-{name.replace('_', '-')}=wrong"
    result = pytester.runpytest_inprocess(flag)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (f"ERROR: {flag}: expected {SETTINGS[name].expected}.")


@pytest.mark.parametrize("name", CAN_BE_WRONG)
def test_a_wrong_line_of_the_file_is_a_usage_error(
    pytester: pytest.Pytester, project: Path, name: str
) -> None:
    add_to_ini(project, f"binance_{name} = wrong\n")
    result = pytester.runpytest_inprocess()
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        f"ERROR: tox.ini: binance_{name} = wrong: expected {SETTINGS[name].expected}."
    )


@pytest.mark.usefixtures("project")
def test_a_wrong_override_of_the_file_is_a_usage_error(
    pytester: pytest.Pytester,
) -> None:
    result = pytester.runpytest_inprocess("-o", "binance_lag=wrong")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        "ERROR: -o binance_lag=wrong: expected 'lag', 'stall' or 'disconnect'."
    )


def test_an_empty_line_of_the_file_is_no_default(
    pytester: pytest.Pytester, project: Path
) -> None:
    add_to_ini(project, "binance_speed =\n")
    result = pytester.runpytest_inprocess()
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0].startswith("ERROR: tox.ini: binance_speed = : expected")


@pytest.mark.parametrize("style", ["tool.pytest.ini_options", "tool.pytest"])
def test_a_toml_file_may_hold_lists(
    pytester: pytest.Pytester, project: Path, style: str
) -> None:
    if style == "tool.pytest" and pytest.version_tuple < (9,):
        pytest.skip("pytest reads native TOML since 9.0")
    (project / "tox.ini").unlink()
    pytester.makepyprojecttoml(
        f"""
        [{style}]
        addopts = ["-p", "no:randomly", "-W", "error"]
        asyncio_default_fixture_loop_scope = "function"
        binance_speed = "10"
        binance_start_after = ["btcusdt@depth", "/api/v3/depth"]
        binance_check = ["missing=warn", "vanished=ignore"]
        """
    )
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.binance_replay(None)
        def test_it(binance_replay):
            options = binance_replay._options
            assert options.speed == 10
            assert options.start_after == ("btcusdt@depth", "/api/v3/depth")
            assert options.check == {"missing": "warn", "vanished": "ignore"}
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("module", "test_x.py"),
        ("of_class", "test_x.py::TestIt"),
        ("of_function", "test_x.py::TestIt::test_it"),
    ],
)
def test_a_wrong_mark_is_a_usage_error_before_the_first_test(
    pytester: pytest.Pytester, place: str, where: str
) -> None:
    marks = {"module": "", "of_class": "", "of_function": "", place: "speed=-3"}
    test = TEST.format(expected="{}", **marks) + "\ndef test_a(): pass\n"
    pytester.makepyfile(test_x=test)
    result = pytester.runpytest_inprocess()
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert result.errlines == [
        f"ERROR: {where}: binance_replay(speed=-3): expected 'auto', 'asap' or a "
        "number above 0.",
        "",
    ]
    result.stdout.fnmatch_lines(["collected 2 items", "*no tests ran*"])


@pytest.mark.usefixtures("project")
def test_every_wrong_mark_is_told_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_x="""
        import pytest
        pytestmark = pytest.mark.binance_replay(sped=1)

        @pytest.mark.binance_replay(["dip"], lag="x")
        @pytest.mark.parametrize("n", [
            1, pytest.param(2, marks=pytest.mark.binance_replay(start_after=3))])
        def test_it(n): pass
        """
    )
    result = pytester.runpytest_inprocess()
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert sorted(filter(None, result.errlines)) == [
        "ERROR: test_x.py: binance_replay(sped=1): unknown setting; there are "
        f"{', '.join(SETTINGS)}.",
        "ERROR: test_x.py::test_it: binance_replay(['dip']): expected names of "
        "cassettes, or None alone for an empty tape.",
        "ERROR: test_x.py::test_it: binance_replay(lag='x'): expected 'lag', 'stall' "
        "or 'disconnect'.",
        "ERROR: test_x.py::test_it[2]: binance_replay(start_after=3): expected "
        f"{SETTINGS['start_after'].expected}.",
    ]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("keyword", [*(f"{n}=1" for n in UNBUILT), "time='freeze'"])
def test_a_keyword_that_is_not_built_yet_says_so(
    pytester: pytest.Pytester, keyword: str
) -> None:
    make_test(pytester, of_function=keyword)
    result = pytester.runpytest_inprocess()
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        f"ERROR: *::test_it: binance_replay({keyword}): * is not built yet; "
        "leave it out."
    )


@pytest.mark.usefixtures("project")
def test_the_help_says_all_of_it_within_80_columns(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--help")
    assert result.ret == 0
    start = result.outlines.index("Binance replay:")
    ours = result.outlines[start : result.outlines.index("", start)]
    assert max(map(len, ours)) <= 80
    text = " ".join(" ".join(ours).split())
    assert (
        "--binance-speed=VALUE pace of the tape: auto skips recorded gaps at a rate "
        "that clients live through, asap is as fast as sockets take it, 1 keeps the "
        "gaps: 'auto', 'asap' or a number above 0 (default: auto)"
    ) in text
    assert (
        "--binance-check=VALUE how strictly the checks at the end of a test are taken; "
        "those not named fail it: 'ignore', 'warn' or 'fail' for missing, server or "
        "vanished, such as 'missing=warn,vanished=ignore' or {'missing': 'warn'}"
    ) in text
    assert "--binance-cassette-dir=DIR directory of the cassettes, relative" in text
    assert "None" not in text
    for name, setting in SETTINGS.items():
        assert f"--binance-{name.replace('_', '-')}=VALUE {setting.help}" in text
        result.stdout.fnmatch_lines([f"  binance_{name} (*"])
    result.stdout.fnmatch_lines(["  binance_cassette_dir (string):*"])


@pytest.mark.usefixtures("project")
def test_the_marker_is_described(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--markers")
    line = next(line for line in result.outlines if "binance_replay(" in line)
    for name in SETTINGS:
        assert f"{name}=..." in line
    assert line.startswith("@pytest.mark.binance_replay(*cassettes, speed=..., ")
    assert line.endswith(
        "): the cassettes that the binance_replay fixture plays, and how; see `pytest "
        "--help` for the settings."
    )


@pytest.mark.usefixtures("project")
def test_the_fixtures_are_described(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--fixtures")
    result.stdout.fnmatch_lines(
        [
            "binance_replay_factory [[]session scope[]] -- *plugin.py:*",
            "    Start replay servers, one for each call.",
            "binance_replay -- *plugin.py:*",
            "    A Binance on a local port that plays the test's cassettes.",
        ]
    )


@pytest.mark.usefixtures("project")
def test_the_marker_is_known_and_can_be_selected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.binance_replay(None)
        def test_it(binance_replay): pass
        def test_of_something_else(): pass
        """
    )
    result = pytester.runpytest_inprocess("--strict-markers", "-m", "binance_replay")
    result.assert_outcomes(passed=1, deselected=1)
