"""The pytest plugin: options, marker, fixtures and report sections.

pytest imports this module in every project that has the package installed, so it
imports nothing heavy before a test asks for a replay.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Binds the real clock before any test can freeze it.
from pytest_binance_replay import clock as _clock  # noqa: F401
from pytest_binance_replay.errors import OptionError, ReplayError
from pytest_binance_replay.naming import cassette_name
from pytest_binance_replay.options import SETTINGS, make_options, parse_setting

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_binance_replay.factory import ReplayFactory
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.replay import BinanceReplay

MARKER = "binance_replay"

_GIVEN = pytest.StashKey[dict[str, object]]()
_INI = pytest.StashKey[dict[str, object]]()
_REPLAY = pytest.StashKey["BinanceReplay"]()
_FAILED = pytest.StashKey[bool]()


# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register an option and an ini key for every setting."""
    group = parser.getgroup("binance-replay", "Binance replay")
    for name, setting in SETTINGS.items():
        group.addoption(
            _flag(name),
            dest=f"binance_{name}",
            metavar="VALUE",
            help=f"{setting.help} ({setting.expected}; default: {setting.default!r})",
        )
        parser.addini(f"binance_{name}", f"{setting.help}: {setting.expected}")
    help_text = "directory of the cassettes, relative to rootdir (default: recordings)"
    group.addoption(
        "--binance-cassette-dir",
        dest="binance_cassette_dir",
        metavar="DIR",
        help=help_text,
    )
    parser.addini("binance_cassette_dir", help_text, default="recordings")


def _flag(name: str) -> str:
    return f"--binance-{name.replace('_', '-')}"


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker and check what was given on the outside."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*cassettes, {', '.join(f'{name}=...' for name in SETTINGS)}): "
        "the cassettes that the binance_replay fixture plays, and how.",
    )
    config.stash[_GIVEN] = _read_settings(config, "command line")
    config.stash[_INI] = _read_settings(config, "ini")


def _read_settings(config: pytest.Config, source: str) -> dict[str, object]:
    found = {}
    for name in SETTINGS:
        if source == "ini":
            value = config.getini(f"binance_{name}") or None
            where = f"binance_{name} = {value} (configuration file)"
        else:
            value = config.getoption(f"binance_{name}")
            where = f"{_flag(name)}={value}"
        if value is not None:
            found[name] = _checked(name, value, where)
    return found


def _checked(name: str, value: object, where: str) -> object:
    try:
        return parse_setting(name, value, where)
    except OptionError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str:
    """Say where cassettes come from and what is not as usual."""
    settings = config.stash[_INI] | config.stash[_GIVEN]
    shown = [f"{name}={value}" for name, value in settings.items()]
    where = f"cassettes in {config.getini('binance_cassette_dir')}"
    if (given := config.getoption("binance_cassette_dir")) is not None:
        where = f"cassettes in {given}"
    name = f"binance-replay {version('pytest-binance-replay')}"
    return f"{name}: {', '.join([where, *shown])}"


# Markers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse wrong markers before the first test runs."""
    for item in items:
        _read_markers(item)


def _read_markers(
    item: pytest.Item,
) -> tuple[tuple[Any, ...] | None, dict[str, object]]:
    """Return the cassettes of the closest mark that names any, and all settings."""
    cassettes: tuple[Any, ...] | None = None
    settings: dict[str, object] = {}
    for mark in item.iter_markers(MARKER):
        if mark.args and cassettes is None:
            cassettes = _cassettes_of(item, mark)
        for name, value in mark.kwargs.items():
            where = f"{item.nodeid}: {MARKER}({name}={value!r})"
            settings.setdefault(name, _checked(name, value, where))
    return cassettes, settings


def _cassettes_of(item: pytest.Item, mark: pytest.Mark) -> tuple[Any, ...]:
    for name in mark.args:
        if not isinstance(name, str | os.PathLike) and mark.args != (None,):
            msg = (
                f"{item.nodeid}: {MARKER}({name!r}): expected names of cassettes, or "
                "None alone for an empty tape."
            )
            raise pytest.UsageError(msg)
    return tuple(name for name in mark.args if name is not None)


def _options_for(item: pytest.Item) -> tuple[tuple[Any, ...] | None, Options]:
    cassettes, marked = _read_markers(item)
    stash = item.config.stash
    settings = stash[_INI] | marked | stash[_GIVEN]
    return cassettes, make_options(settings, f"{item.nodeid}: {MARKER}")


def _default_name(item: pytest.Item) -> str:
    path = item.path.with_suffix("")
    root = item.config.rootpath
    module = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    owners = [node for node in item.listchain() if isinstance(node, pytest.Class)]
    function = getattr(item, "originalname", None) or item.name.partition("[")[0]
    callspec = getattr(item, "callspec", None)
    owner = getattr(item, "cls", None) or getattr(item, "module", None)
    return cassette_name(
        module.as_posix(),
        [node.name for node in owners],
        function,
        None if callspec is None else callspec.id,
        node_id=item.nodeid,
        neighbours=dir(owner),
    )


# Fixtures


@pytest.fixture(scope="session")
def binance_replay_factory(pytestconfig: pytest.Config) -> Iterator[ReplayFactory]:
    """Start replay servers, one for each call.

    `binance_replay_factory(*cassettes, **settings)` takes what the marker takes and
    returns a running `BinanceReplay`, for use in fixtures of any scope, or for several
    servers in one test. Use it in a `with` block to check and close it there; what is
    left open is closed, unchecked, at the end of the pytest session.
    """
    from pytest_binance_replay.factory import ReplayFactory

    directory = pytestconfig.getoption("binance_cassette_dir")
    directory = directory or pytestconfig.getini("binance_cassette_dir")
    factory = ReplayFactory(
        pytestconfig.rootpath / directory,
        defaults=pytestconfig.stash[_INI],
        overrides=pytestconfig.stash[_GIVEN],
    )
    yield factory
    factory.close()


@pytest.fixture
def binance_replay(
    request: pytest.FixtureRequest, binance_replay_factory: ReplayFactory
) -> Iterator[BinanceReplay]:
    """A Binance on a local port that plays the test's cassettes.

    Named by `@pytest.mark.binance_replay("name")`, else after the test. See
    `BinanceReplay` for what it can do.
    """
    item: pytest.Item = request.node
    cassettes, options = _options_for(item)
    replay = _open(binance_replay_factory, cassettes, options, item)
    item.stash[_REPLAY] = replay
    yield replay
    problems = replay.problems()
    replay.close()
    for warning in replay.take_warnings():
        warnings.warn(warning, stacklevel=1)
    if problems and not item.stash.get(_FAILED, False):
        pytest.fail("\n".join(map(str, problems)), pytrace=False)


def _open(
    factory: ReplayFactory,
    cassettes: tuple[Any, ...] | None,
    options: Options,
    item: pytest.Item,
) -> BinanceReplay:
    try:
        return factory.open(
            cassettes, options, test=item.nodeid, default_name=_default_name(item)
        )
    except ReplayError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)


# Reports


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Tell a replay when the test itself is over."""
    try:
        return (yield)
    finally:
        if (replay := item.stash.get(_REPLAY, None)) is not None:
            replay.test_is_over()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the replay of a test that failed."""
    report = yield
    replay = item.stash.get(_REPLAY, None)
    if replay is not None and report.failed:
        item.stash[_FAILED] = True
        report.sections.append(("binance replay", replay.describe()))
    return report
