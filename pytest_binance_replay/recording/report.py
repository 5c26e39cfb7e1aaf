"""Pytest's part in recording: runs tests on what was recorded for them, and judges it.

Tests run where they run, in this process or on workers of pytest-xdist; what they use
and how they end travels with their reports to the one process that keeps the books. A
new recording takes the old one's place when all tests that use the cassette have
passed on it; what is left when the run ends is kept beside it.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import call_and_report

from pytest_binance_replay.commands.display import shown_bytes
from pytest_binance_replay.errors import ReplayError
from pytest_binance_replay.files import summarise
from pytest_binance_replay.marks import (
    default_cassette,
    is_property_test,
    name_of_test,
    read_marks,
)
from pytest_binance_replay.recording.candidates import (
    Candidates,
    adopt,
    adoption,
    candidate_path,
    describe_change,
    left_behind,
    reject,
)
from pytest_binance_replay.recording.refresh import Refresh, Setting, find_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_binance_replay.factory import ReplayFactory
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.recording.candidates import Target
    from pytest_binance_replay.recording.options import RecordOptions
    from pytest_binance_replay.replay import BinanceReplay

PLUGIN_NAME = "binance-replay-recording"

_KEY = "binance_recording"
_RUN_KEY = "binance_replay_run"
_REFRESH = pytest.StashKey[Refresh]()
_PASSED = pytest.StashKey[str]()


class _Books:
    """What is known of one cassette: who uses it, and how they ended."""

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        self.label = label
        self.users: set[str] = set()
        self.outcomes: dict[str, str] = {}

    @property
    def failed(self) -> list[str]:
        return [test for test, how in self.outcomes.items() if how == "failed"]

    @property
    def is_accepted(self) -> bool:
        """Whether all have ended, one has passed and none has failed."""
        ends = self.outcomes.values()
        return (
            self.users <= self.outcomes.keys()
            and "passed" in ends
            and "failed" not in ends
        )


class RecordReport:
    """Records the cassettes of a run's tests, and reports what became of them.

    Args:
        config: Of the run.
        directory: The project's folder of cassettes.
        options: How the run records.
        settings_of: Returns the checked settings of a test.
    """

    def __init__(
        self,
        config: pytest.Config,
        directory: Path,
        options: RecordOptions,
        settings_of: Callable[[pytest.Item], Options],
    ) -> None:
        worker = getattr(config, "workerinput", None)
        self._config = config
        self._directory = directory
        self._settings_of = settings_of
        self._is_worker = worker is not None
        self._run: str = secrets.token_hex(4) if worker is None else worker[_RUN_KEY]
        self._here = Path(config.invocation_params.dir)
        self._setting = Setting(
            options.mode,
            options.upstream,
            Candidates(self._run, self._here),
            defaultdict(dict),
            defaultdict(set),
            self._announce,
        )
        self._targets: dict[str, list[Target]] = {}
        self._books: dict[str, _Books] = {}
        self._lines: list[str] = []
        self._verified: dict[str, None] = {}
        self._has_failed = False

    def _announce(self, sentence: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if self._is_worker or reporter is None or capture is None:
            return
        if reporter.verbosity >= 0:
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(sentence)

    def pytest_report_header(self) -> str:
        """Say that this run records, and from where."""
        upstream = self._setting.upstream
        source = "the exchange" if upstream is None else upstream.ws_url
        return f"binance-replay: record mode {self._setting.mode}, from {source}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let all workers of pytest-xdist share one run."""
        node.workerinput[_RUN_KEY] = self._run

    # Before the run

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which tests use which cassettes, and what they declare for them."""
        for item in session.items:
            if "binance_replay" in getattr(item, "fixturenames", ()):
                self._note_use(item)

    def _note_use(self, item: pytest.Item) -> None:
        test = name_of_test(item)
        try:
            targets = self._find(item)
            streams = self._settings_of(item).streams
        except ReplayError:  # The test itself is told.
            return
        self._targets[test] = targets
        for target in targets:
            self._setting.users[target.path].add(test)
            if len(targets) == 1:
                self._setting.declared[target.path].update(dict.fromkeys(streams))

    def _find(self, item: pytest.Item) -> list[Target]:
        cassettes, _, _ = read_marks(item)
        targets = find_targets(
            cassettes,
            default_cassette(item),
            name_of_test(item),
            self._directory,
            self._shown,
        )
        if cassettes is None and is_property_test(item):
            # Without a cassette of its own it plays what its examples load.
            return [target for target in targets if target.exists]
        return targets

    def _shown(self, path: Path) -> str:
        root = self._config.rootpath
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    # Running a test

    def open(
        self, factory: ReplayFactory, item: pytest.Item, options: Options
    ) -> BinanceReplay:
        """Start what a test is to run on.

        Raises:
            ReplayError: If it cannot be had.
        """
        refresh = item.stash.get(_REFRESH, None)
        if refresh is None:
            if self._setting.mode == "verify":
                names, _, _ = read_marks(item)
                factory.find(
                    names, test=name_of_test(item), default_name=default_cassette(item)
                )
            refresh = Refresh(
                self._setting, factory, self._find(item), options, name_of_test(item)
            )
            item.stash[_REFRESH] = refresh
        return refresh.open()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a test until a run of it counts, and report that one."""
        if name_of_test(item) not in self._targets:
            return None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = None
        while reports is None:
            reports = _run_once(item, nextitem)
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Let the last report of a test tell how it ended."""
        report: pytest.TestReport = yield
        targets = self._targets.get(name_of_test(item))
        if targets is None:
            return report
        so_far = item.stash.get(_PASSED, "passed")
        if report.when == "setup":
            so_far = "passed"
        if report.failed or so_far == "failed":
            so_far = "failed"
        elif report.skipped:
            so_far = "skipped"
        item.stash[_PASSED] = so_far
        if report.when == "teardown":
            setattr(report, _KEY, self._facts(item, targets, so_far))
        return report

    def _facts(
        self, item: pytest.Item, targets: Sequence[Target], outcome: str
    ) -> list[dict[str, Any]]:
        """Note how a test ended, in a form that travels between processes."""
        return [
            {
                "path": str(target.path),
                "label": target.label,
                "users": sorted(self._setting.users[target.path]),
                "test": name_of_test(item),
                "outcome": outcome,
            }
            for target in targets
        ]

    # Keeping the books

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over how a test ended; let a recording take its place if it may."""
        if self._is_worker:
            return
        for fact in getattr(report, _KEY, ()):
            path: str = fact["path"]
            books = self._books.setdefault(path, _Books(Path(path), fact["label"]))
            books.users.update(fact["users"])
            books.outcomes[fact["test"]] = fact["outcome"]
            if books.is_accepted:
                self._settle(books)

    def _settle(self, books: _Books) -> None:
        if self._setting.mode == "verify":
            self._verified[books.label] = None
            return
        candidate = candidate_path(books.path, self._run)
        if candidate.is_file():
            self._adopt(candidate, books)

    def _adopt(self, candidate: Path, books: _Books) -> None:
        try:
            lines = _describe(candidate, books)
            adopt(candidate, books.path)
        except OSError as error:
            self._has_failed = True
            self._lines.append(
                f"{books.label}: the new recording cannot take its place: "
                f"{error.strerror}. It is as it was."
            )
        else:
            self._lines += lines

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep beside their cassettes the recordings that were not accepted."""
        if self._is_worker:
            return
        waiting = dict(left_behind(self._directory, self._run))
        for books in self._books.values():
            candidate = candidate_path(books.path, self._run)
            if candidate.is_file():
                waiting[candidate] = books.path
        for candidate, path in waiting.items():
            self._reject(candidate, path)
        if self._has_failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _reject(self, candidate: Path, path: Path) -> None:
        books = self._books.get(str(path)) or _Books(path, self._shown(path))
        for used, tests in self._setting.users.items():
            if candidate_path(used, self._run) == candidate:
                books.users |= tests
        kept = reject(candidate, path)
        old = "is as it was" if path.exists() else "is not written"
        self._lines.append(
            f"{books.label} {old}, for {_reason(books)}. The new recording is "
            f"{kept.name}, beside it. {adoption(kept, path, self._here)}"
        )

    # The summary

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show what became of each cassette."""
        if not self._lines and not self._verified:
            return
        terminalreporter.section("binance replay: recordings")
        for line in self._lines:
            terminalreporter.write_line(line)
        for label in self._verified:
            terminalreporter.write_line(f"{label}: as the exchange is now")


def _run_once(
    item: Any, nextitem: pytest.Item | None
) -> list[pytest.TestReport] | None:
    """Run a test once; return its reports, or None if that run does not count."""
    if getattr(item, "_request", True) is False:
        item._initrequest()  # noqa: SLF001 - as whoever runs a test again has to
    try:
        reports = [call_and_report(item, "setup", log=False)]
        if reports[0].passed and not item.config.getoption("setuponly"):
            reports.append(call_and_report(item, "call", log=False))
        refresh = item.stash.get(_REFRESH, None)
        failure = next(filter(None, map(_failure, reports)), None)
        again = refresh is not None and refresh.wants_another_run(failure)
        # What the test shares with others stays up for its next run.
        following = item.parent if again else nextitem
        if item.session.shouldfail or item.session.shouldstop:
            following = item.parent if again else None
        teardown = call_and_report(item, "teardown", log=False, nextitem=following)
        reports.append(teardown)
    finally:
        if hasattr(item, "_request"):
            item._request = False  # noqa: SLF001
            item.funcargs = None
    if again:
        return None
    if refresh is not None:
        del item.stash[_REFRESH]
    return reports


def _failure(report: pytest.TestReport) -> str | None:
    """Return in a line why a phase of a test did not pass; None if it did."""
    if report.passed:
        return None
    crash = getattr(report.longrepr, "reprcrash", None)
    message = getattr(crash, "message", None) or report.longreprtext or report.outcome
    return str(message).splitlines()[0]


def _describe(candidate: Path, books: _Books) -> list[str]:
    """Describe a new recording, and what it has and lacks beside the old one."""
    found = summarise(candidate)
    span_us = (found.last_time_us or 0) - (found.first_time_us or 0)
    what = f"{_count(found.frames, 'frame')} of {_count(len(found.streams), 'stream')}"
    size = shown_bytes(candidate.stat().st_size)
    return [
        f"{books.label}: {what} in {span_us / 1e6:.1f} s, {size}",
        *(f"  {line}" for line in describe_change(books.path, candidate)),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s'[: number != 1]}"


def _reason(books: _Books) -> str:
    if books.failed:
        return f"{_some(books.failed)} failed on it"
    missing = sorted(books.users - books.outcomes.keys())
    return f"{_some(missing)} did not end" if missing else "no test passed on it"


def _some(names: Iterable[str]) -> str:
    first, *more = names
    return f"{first} and {_count(len(more), 'more test')}" if more else first
