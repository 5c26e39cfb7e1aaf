"""Tests under Hypothesis's `@given`: each example gets a replay of its own.

Hypothesis sets fixtures up once for all examples, and refuses function-scoped ones for
that reason. The fixture here is as new before each example, so it is not refused; what
is wrong at the end of an example fails that example, which is then made smaller. The
session of the smallest one is kept as a cassette.

Nothing here imports Hypothesis for a test that does not use it.
"""

from __future__ import annotations

import functools
import inspect
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_binance_replay.marks import (
    default_cassette,
    hypothesis_handle,
    is_property_test,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from pytest_binance_replay.replay import BinanceReplay
    from pytest_binance_replay.session import Session

FAILED = ".failed"
"""Folder, below that of the cassettes, of the sessions of failing examples."""

PLUGIN_NAME = "binance_replay_given"
"""What the plugin manager calls `PropertyTests`."""

_KEPT = pytest.StashKey[list[str]]()
_FIXTURE = "binance_replay"
_SETTINGS = "_hypothesis_internal_use_settings"


class PropertyTests:
    """Plugin that gives each example of a test under `@given` a replay of its own.

    Args:
        directory: The project's folder of cassettes.
        replay_of: Returns the replay that a test's fixture gave it, if it has one.
    """

    def __init__(
        self,
        directory: Path,
        replay_of: Callable[[pytest.Item], BinanceReplay | None],
    ) -> None:
        self._directory = directory
        self._replay_of = replay_of

    # Outside of Hypothesis's own, which looks at fixtures and settings.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Be around each example, and keep the session of one that fails."""
        if not is_property_test(item):
            return (yield)
        name = default_cassette(item)
        examples = Examples(self._replay_of(item))
        try:
            with examples.running(item):
                result = yield
        except Exception:
            item.stash[_KEPT] = keep_failing(examples.failing, name, self._directory)
            raise
        forget_failing(name, self._directory)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Name the session that was kept."""
        report = yield
        if kept := item.stash.get(_KEPT, None):
            report.sections.append(("binance replay: session", "\n".join(kept)))
            del item.stash[_KEPT]
        return report


class Examples:
    """The examples of one property test.

    Args:
        replay: The replay that its fixture gave it; None if it has none.

    Attributes:
        failing: Sessions of the examples that it failed with in the end.
    """

    def __init__(self, replay: BinanceReplay | None) -> None:
        self._replay = replay
        self._is_new = True
        self.failing: list[Session] = []

    @contextmanager
    def running(self, item: pytest.Item) -> Iterator[None]:
        """Be around each example while the test runs."""
        handle = hypothesis_handle(item)
        inner = handle.inner_test
        handle.inner_test = self._around(inner)
        try:
            with _calm_settings(item) if self._replay else _no_change():
                yield
        finally:
            handle.inner_test = inner

    def _around(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(inner):

            @functools.wraps(inner)
            async def run_async(*args: Any, **kwargs: Any) -> None:
                __tracebackhide__ = True
                with self._example((*args, *kwargs.values())):
                    await inner(*args, **kwargs)

            return run_async

        @functools.wraps(inner)
        def run(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            with self._example((*args, *kwargs.values())):
                inner(*args, **kwargs)

        return run

    @contextmanager
    def _example(self, values: tuple[object, ...]) -> Iterator[None]:
        if self._replay is not None and not self._is_new:
            self._replay.start_over()
        self._is_new = False
        try:
            yield
            self._check()
        except Exception:
            if _is_final():
                loaded = () if self._replay is None else (self._replay.loaded,)
                self._remember((*loaded, *values))
            raise

    def _check(self) -> None:
        """Raise what is wrong with the replay of an example that passed."""
        if self._replay is None:
            return
        self._replay.test_is_over()
        for problem in self._replay.problems():
            raise problem

    def _remember(self, values: tuple[object, ...]) -> None:
        known = sys.modules.get("pytest_binance_replay.session")
        if known is not None:
            found = (value for value in values if isinstance(value, known.Session))
            self.failing += dict.fromkeys(found)


@contextmanager
def _no_change() -> Iterator[None]:
    yield


@contextmanager
def _calm_settings(item: pytest.Item) -> Iterator[None]:
    """Let a test have its replay, and the time that sockets take."""
    from hypothesis import HealthCheck, settings  # noqa: PLC0415 - the test has it

    usual: Any = settings.default

    function = getattr(item.obj, "__func__", item.obj)  # type: ignore[attr-defined]
    given = getattr(function, _SETTINGS, None)
    if given is None:
        yield
        return
    changes: dict[str, Any] = {}
    if given.deadline == usual.deadline:
        changes["deadline"] = None
    if not _other_fixtures(item):
        more = (*given.suppress_health_check, HealthCheck.function_scoped_fixture)
        changes["suppress_health_check"] = more
    setattr(function, _SETTINGS, settings(given, **changes))
    try:
        yield
    finally:
        setattr(function, _SETTINGS, given)


def _other_fixtures(item: pytest.Item) -> bool:
    """Return whether a test asks for another fixture that examples would share."""
    found = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    asked = inspect.signature(item.function).parameters  # type: ignore[attr-defined]
    return any(
        name != _FIXTURE and found[name][-1].scope == "function"
        for name in asked
        if name in found
    )


def _is_final() -> bool:
    """Return whether this example is one that the test fails with in the end."""
    from hypothesis import control  # noqa: PLC0415 - the test has it

    if not control.currently_in_test_context():
        return False
    return bool(control.current_build_context().is_final)


# What is kept


def keep_failing(sessions: list[Session], name: str, directory: Path) -> list[str]:
    """Keep the sessions of failing examples as cassettes, in place of older ones.

    Args:
        sessions: In the order of their errors.
        name: Of the cassette that belongs to the test.
        directory: The project's folder of cassettes.

    Returns:
        What to tell of them, in lines.
    """
    names = [f"{FAILED}/{name}{f'-{n}' if n > 1 else ''}" for n in _numbers(sessions)]
    try:
        forget_failing(name, directory)
        for session, shown in zip(sessions, names, strict=True):
            session.save(directory / f"{shown}.jsonl")
        if sessions:
            ignored = directory / FAILED / ".gitignore"
            ignored.write_text("*\n", encoding="utf-8")
    except OSError as error:
        return [f"The session of the failing example could not be saved: {error}"]
    return [
        line
        for session, shown in zip(sessions, names, strict=True)
        for line in _told(session, shown, directory)
    ]


def _numbers(sessions: list[Session]) -> range:
    return range(1, len(sessions) + 1)


def _told(session: Session, name: str, directory: Path) -> Iterator[str]:
    count = len(session.frames())
    frames = "1 frame" if count == 1 else f"{count} frames"
    yield f"{directory.name}/{name}.jsonl: the session that it fails with, {frames}."
    yield f'Play it again: @pytest.mark.binance_replay("{name}")'
    yield f"Keep it: move it out of {FAILED}, which git ignores."


def forget_failing(name: str, directory: Path) -> None:
    """Remove what was kept of a test when it failed last."""
    folder = (directory / FAILED / name).parent
    own = (directory / FAILED / name).name
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        stem = file.name.removesuffix(".jsonl")
        if stem == own or (
            stem.startswith(f"{own}-") and stem[len(own) + 1 :].isdigit()
        ):
            file.unlink()
