"""Pytest's part in finding unused cassettes: what a run shows, and its summary.

Judged are full runs only. Of a part of the tests one cannot tell what is unused, so
nothing is said after one: tests selected or left out, an early end, a crash.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_binance_replay.errors import (
    CassetteNameError,
    CassetteNotFoundError,
    OptionError,
)
from pytest_binance_replay.marks import (
    default_cassette,
    is_property_test,
    name_of_test,
    read_marks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_binance_replay.tools.usage import Finding, Limits

PLUGIN_NAME = "binance-replay-usage"

_LEVELS = ("ignore", "warn", "fail")
_KEY = "binance_usage"
_FIXTURES = frozenset({"binance_replay", "binance_replay_factory"})
# Options of pytest that run a part of the tests, and that leave no other trace.
_SELECTING = ("lf", "stepwise", "keyword", "markexpr", "deselect", "ignore")
_ALL_RAN = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


def add_options(parser: pytest.Parser, group: Any) -> None:
    """Register the options."""
    help_text = (
        "what to do about cassettes that no test uses, after a full run: 'ignore', "
        "'warn' or 'fail' (default: warn)"
    )
    group.addoption(
        "--binance-unused", dest="binance_unused", metavar="VALUE", help=help_text
    )
    group.addoption("--binance-usage-file", dest=_KEY, help=argparse.SUPPRESS)
    parser.addini("binance_unused", help_text, type="string", default="warn")
    parser.addini(
        "binance_max_age",
        "age above which a cassette is reported as old, such as 90d (default: none)",
        type="string",
        default="",
    )
    parser.addini(
        "binance_max_cassette_mb",
        "megabytes above which a cassette is reported as large (default: 50)",
        type="string",
        default="",
    )


class UsageReport:
    """Notes which cassettes the tests of a run use, and reports the others.

    Args:
        config: Of the run.
        directory: The project's folder of cassettes.
        opened: Returns the files that were opened.

    Raises:
        pytest.UsageError: If a setting is wrong.
    """

    def __init__(
        self,
        config: pytest.Config,
        directory: Path,
        opened: Callable[[], Iterable[Path]],
    ) -> None:
        self._config = config
        self._directory = directory
        self._opened = opened
        self._uses: dict[str, list[Any]] = {}
        self._opened_by_workers: set[str] = set()
        self._partial = _selection(config)
        self._findings: list[Finding] = []
        self._failed = False
        self._level = _level(config)
        if config.getini("binance_max_age") or config.getini("binance_max_cassette_mb"):
            self._limits()

    def _limits(self) -> Limits:
        age: str = self._config.getini("binance_max_age")
        size: str = self._config.getini("binance_max_cassette_mb")
        from pytest_binance_replay.tools.usage import read_limits  # noqa: PLC0415

        try:
            return read_limits(
                (age, f"binance_max_age = {age}"),
                (size, f"binance_max_cassette_mb = {size}"),
            )
        except OptionError as error:
            raise pytest.UsageError(str(error)) from None

    # What a run shows

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note that tests were left out."""
        if items:
            self._note_part(f"{len(items)} tests deselected")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected, or skipped itself as a whole."""
        if report.outcome != "passed":
            self._note_part(f"{report.nodeid or 'the collection'} {report.outcome}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what each test uses."""
        for item in session.items:
            if (use := _use_of(item, self._directory)) is not None:
                self._uses[use[0]] = use

    def _note_part(self, reason: str) -> None:
        self._partial = self._partial or reason

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """Take over what a worker of pytest-xdist noted."""
        output = getattr(node, "workeroutput", {}).get(_KEY)
        if error or output is None:
            self._note_part("a worker crashed")
            return
        self._uses |= {use[0]: use for use in output["uses"]}
        self._opened_by_workers |= set(output["opened"])
        if output["partial"]:
            self._note_part(output["partial"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Judge the cassettes, once all is known."""
        if session.shouldstop or session.shouldfail:
            self._note_part("the run ended early")
        noted = {
            "uses": list(self._uses.values()),
            "opened": [str(path) for path in self._opened()],
            "partial": self._partial,
        }
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_KEY] = noted
        elif file := self._config.getoption(_KEY):
            places = {
                "directory": str(self._directory),
                "root": str(self._config.rootpath),
            }
            Path(file).write_text(json.dumps({**noted, **places}), encoding="utf-8")
        elif self._is_judged(exitstatus):
            self._judge(session)

    def _is_judged(self, exitstatus: int) -> bool:
        return (
            self._level != "ignore"
            and self._partial is None
            and exitstatus in _ALL_RAN
            and not self._config.getoption("collectonly")
            and bool(self._uses)
            and self._directory.is_dir()
        )

    def _judge(self, session: pytest.Session) -> None:
        from pytest_binance_replay.clock import wall_us  # noqa: PLC0415
        from pytest_binance_replay.tools.usage import judge, uses_of  # noqa: PLC0415

        opened = {Path(path) for path in self._opened_by_workers} | set(self._opened())
        found = judge(
            self._directory,
            self._config.rootpath,
            uses_of(self._uses.values()),
            now_us=wall_us(),
            opened=opened,
            limits=self._limits(),
        )
        # Tests that lack a cassette have failed, and said so themselves.
        self._findings = [finding for finding in found if finding.problem != "missing"]
        unused = any(finding.problem == "unused" for finding in self._findings)
        if unused and self._level == "fail":
            self._failed = True
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show what was found."""
        if not self._findings:
            return
        terminalreporter.section("binance replay: cassettes", yellow=True)
        for finding in self._findings:
            terminalreporter.write_line(str(finding))
        if self._failed:
            terminalreporter.write_line(
                "The run fails because of unused cassettes (--binance-unused=fail).",
                red=True,
            )


def _level(config: pytest.Config) -> str:
    given = config.getoption("binance_unused")
    level: str = given or config.getini("binance_unused")
    if level not in _LEVELS:
        where = f"--binance-unused={given}" if given else f"binance_unused = {level}"
        msg = f"{where}: expected 'ignore', 'warn' or 'fail'."
        raise pytest.UsageError(msg)
    return level


def _use_of(item: pytest.Item, directory: Path) -> list[Any] | None:
    """Note what a test uses, in a form that travels between processes."""
    fixtures = _FIXTURES & set(getattr(item, "fixturenames", ()))
    cassettes, _, _ = read_marks(item)
    names = None if cassettes is None else [str(name) for name in cassettes]
    default = default_cassette(item)
    # A property test without a cassette plays the sessions that it draws.
    is_drawn = is_property_test(item) and not _has_cassette(default, directory)
    if names is None and ("binance_replay" not in fixtures or is_drawn):
        names = []
    if not fixtures and not names:
        return None
    # Whoever has the factory may open what it likes.
    may_open = "binance_replay" not in fixtures
    return [name_of_test(item), names, default, may_open]


def _has_cassette(name: str, directory: Path) -> bool:
    from pytest_binance_replay.shelf import find_cassette  # noqa: PLC0415

    try:
        return find_cassette(name, directory).exists()
    except (CassetteNotFoundError, CassetteNameError):
        return False


# Which part of the tests runs


def _selection(config: pytest.Config) -> str | None:
    """Return how the command line selects tests; None if it does not."""
    for name in _SELECTING:
        if config.getoption(name, None):
            return f"tests are selected by {name}"
    if _covers_all(config):
        return None
    return "paths are named"


def _covers_all(config: pytest.Config) -> bool:
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return True
    here = config.invocation_params.dir
    named = {(here / arg).resolve() for arg in config.args if "::" not in arg}
    wanted = {
        (config.rootpath / path).resolve() for path in config.getini("testpaths")
    } or {config.rootpath.resolve()}
    if any("::" in arg for arg in config.args):
        return False
    return config.rootpath.resolve() in named or wanted <= named
