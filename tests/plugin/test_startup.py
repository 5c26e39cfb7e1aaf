"""What the plugin costs a project that has it installed and does not use it."""

from __future__ import annotations

import sys

import pytest

DEAR = ("asyncio", "hypothesis", "pydantic", "websockets", "zstandard")
if sys.version_info >= (3, 14):
    DEAR = DEAR[1:]  # pytest loads pdb, which loads it
ALONE = ("-p", "pytest_binance_replay.plugin", "-W", "error")
TELLING = f"""
import sys

def pytest_unconfigure():
    loaded = [name for name in {DEAR!r} if name in sys.modules]
    ours = [name for name in sys.modules if name.startswith("pytest_binance_replay.")]
    print("loaded:", loaded, sorted(name.partition(".")[2] for name in ours))
"""
LIGHT = [
    *("clock", "errors", "given", "marks", "naming", "options", "plugin"),
    *("recording", "recording.options", "tools", "tools.usage_report"),
]


def run_alone(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """Run pytest with no other plugin than its own and ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_subprocess(*ALONE, *args)


@pytest.mark.parametrize("args", [(), ("--collect-only",), ("-q", "--help")])
def test_a_project_that_does_not_use_us_loads_nothing_dear(
    pytester: pytest.Pytester, args: tuple[str, ...]
) -> None:
    pytester.makeconftest(TELLING)
    pytester.makepyfile("def test_it(): pass")
    result = run_alone(pytester, *args)
    assert result.ret == 0
    result.stdout.fnmatch_lines(f"loaded: [[][]] {LIGHT!r}".replace("['c", "[[]'c"))


def test_a_project_that_uses_us_loads_all_of_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(TELLING)
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.binance_replay("demo:spot")
        def test_it(binance_replay): pass
        """
    )
    result = run_alone(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("loaded: [[]*'websockets'*")


def test_freezing_time_elsewhere_does_not_load_us(pytester: pytest.Pytester) -> None:
    pytest.importorskip("freezegun")
    pytester.makeconftest(TELLING)
    pytester.makepyfile(
        """
        import freezegun

        def test_it():
            with freezegun.freeze_time("2020-01-01"):
                pass
        """
    )
    result = run_alone(pytester)
    result.assert_outcomes(passed=1)
    loaded = next(x for x in result.outlines if x.startswith("loaded: "))
    assert "'replay'" not in loaded
