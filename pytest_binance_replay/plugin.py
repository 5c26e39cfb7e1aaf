"""The pytest plugin: options, marker, fixtures and report sections.

pytest imports this module in every project that has the package installed, so it
imports nothing heavy before a test asks for a replay.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pytest

# Binds the real clock before any test can freeze it.
from pytest_binance_replay import clock as _clock  # noqa: F401
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteNotFoundError,
    OptionError,
    ReplayError,
)
from pytest_binance_replay.given import PLUGIN_NAME as GIVEN_PLUGIN
from pytest_binance_replay.given import PropertyTests
from pytest_binance_replay.marks import (
    MARKER,
    default_cassette,
    is_property_test,
    name_of_test,
    note_twins,
    read_marks,
)
from pytest_binance_replay.options import (
    SETTINGS,
    layered,
    make_options,
    parse_setting,
)
from pytest_binance_replay.recording.options import add_options as add_record_options
from pytest_binance_replay.recording.options import read_options as read_record_options
from pytest_binance_replay.tools.usage_report import PLUGIN_NAME as USAGE_PLUGIN
from pytest_binance_replay.tools.usage_report import UsageReport
from pytest_binance_replay.tools.usage_report import add_options as add_usage_options

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from pytest_binance_replay.factory import ReplayFactory
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.recording.report import RecordReport
    from pytest_binance_replay.replay import BinanceReplay

_GIVEN = pytest.StashKey[Mapping[str, object]]()
_INI = pytest.StashKey[Mapping[str, object]]()
_FACTORY = pytest.StashKey["ReplayFactory"]()
_RECORDER = pytest.StashKey["RecordReport"]()
_REPLAY = pytest.StashKey["BinanceReplay"]()
_RAISED = pytest.StashKey[bool]()

_DIRECTORY = "binance_cassette_dir"


# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register an option and an ini key for every setting."""
    group = parser.getgroup("binance-replay", "Binance replay")
    for name, setting in SETTINGS.items():
        kind: Literal["string", "linelist"]
        kind = "linelist" if setting.plural else "string"
        values = f"{setting.help}: {setting.expected}"
        default = f" (default: {setting.default})" if setting.default else ""
        group.addoption(
            _flag(name),
            dest=f"binance_{name}",
            metavar="VALUE",
            help=f"{values}{default}",
        )
        parser.addini(f"binance_{name}", values, type=kind, default=None)
    help_text = "directory of the cassettes, relative to rootdir (default: recordings)"
    group.addoption(
        "--binance-cassette-dir", dest=_DIRECTORY, metavar="DIR", help=help_text
    )
    parser.addini(_DIRECTORY, help_text, type="string", default="recordings")
    add_usage_options(parser, group)
    add_record_options(parser, group)


def _flag(name: str) -> str:
    return f"--binance-{name.replace('_', '-')}"


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker and check what was given on the outside."""
    keywords = ", ".join(f"{name}=..." for name in SETTINGS)
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*cassettes, {keywords}): the cassettes that the binance_replay "
        "fixture plays, and how; see `pytest --help` for the settings.",
    )
    recording = read_record_options(config)
    config.stash[_GIVEN] = dict(_settings_given(config))
    config.stash[_INI] = dict(_settings_in_file(config))
    usage = UsageReport(config, _cassette_directory(config), lambda: _opened(config))
    config.pluginmanager.register(usage, USAGE_PLUGIN)
    directory = _cassette_directory(config)
    given = PropertyTests(directory, lambda item: item.stash.get(_REPLAY, None))
    config.pluginmanager.register(given, GIVEN_PLUGIN)
    if recording.mode != "none":
        from pytest_binance_replay.recording.report import PLUGIN_NAME, RecordReport

        directory = _cassette_directory(config)
        recorder = RecordReport(config, directory, recording, _options_of)
        config.pluginmanager.register(recorder, PLUGIN_NAME)
        config.stash[_RECORDER] = recorder


def _opened(config: pytest.Config) -> Iterable[Path]:
    factory = config.stash.get(_FACTORY, None)
    return () if factory is None else factory.opened


def _settings_given(config: pytest.Config) -> Iterator[tuple[str, object]]:
    for name in SETTINGS:
        value = config.getoption(f"binance_{name}")
        if value is not None:
            yield name, _checked(name, value, f"{_flag(name)}={value}")


def _settings_in_file(config: pytest.Config) -> Iterator[tuple[str, object]]:
    overrides = config.getoption("override_ini") or ()
    overridden = {override.partition("=")[0] for override in overrides}
    for name in SETTINGS:
        key = f"binance_{name}"
        value = config.getini(key)
        if value is None:
            continue
        shown = " ".join(value) if isinstance(value, list) else value
        where = f"-o {key}={shown}"
        if key not in overridden and config.inipath is not None:
            where = f"{config.inipath.name}: {key} = {shown}"
        yield name, _checked(name, value, where)


def _checked(name: str, value: object, where: str) -> object:
    try:
        return parse_setting(name, value, where)
    except OptionError as error:
        raise pytest.UsageError(str(error)) from None


def _cassette_directory(config: pytest.Config) -> Path:
    name: str = config.getoption(_DIRECTORY) or config.getini(_DIRECTORY)
    return config.rootpath / name


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say where cassettes come from and what is not as usual, if there is anything."""
    settings = layered(config.stash[_INI], config.stash[_GIVEN])
    directory = _cassette_directory(config)
    if not settings and not directory.is_dir():
        return None
    inside = directory.is_relative_to(config.rootpath)
    shown = directory.relative_to(config.rootpath) if inside else directory
    described = [f"{name}={value}" for name, value in settings.items()]
    return f"binance-replay: {', '.join([f'cassettes in {shown}', *described])}"


# Marks


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Look at all parameter sets of a test together, while they are together."""
    made = yield
    if isinstance(made, list) and len(made) > 1:
        note_twins([item for item in made if isinstance(item, pytest.Item)])
    return made


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Refuse wrong marks before the first test runs."""
    found = dict.fromkeys(p for item in items for p in read_marks(item).problems)
    if not found:
        return
    if (output := getattr(config, "workeroutput", None)) is not None:
        # A worker of pytest-xdist that stops here takes the whole run down with it.
        output[MARKER] = tuple(found)
        items.clear()
        return
    raise pytest.UsageError(*found)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Refuse the wrong marks that a worker of pytest-xdist found."""
    if found := getattr(node, "workeroutput", {}).get(MARKER):
        raise pytest.UsageError(*found)


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

    factory = ReplayFactory(
        _cassette_directory(pytestconfig),
        root=pytestconfig.rootpath,
        defaults=pytestconfig.stash[_INI],
        overrides=pytestconfig.stash[_GIVEN],
    )
    pytestconfig.stash[_FACTORY] = factory
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
    replay = _open(binance_replay_factory, item)
    item.stash[_REPLAY] = replay
    yield replay
    problems = _end(replay)
    if problems and not item.stash.get(_RAISED, False):
        pytest.fail("\n".join(map(str, problems)), pytrace=False)


def _open(factory: ReplayFactory, item: pytest.Item) -> BinanceReplay:
    cassettes, _, problems = read_marks(item)
    if not problems:
        recorder: RecordReport | None = item.config.stash.get(_RECORDER, None)
        try:
            options = _options_of(item)
            if recorder is not None:
                return recorder.open(factory, item, options)
            return _open_with(factory, item, cassettes, options)
        except ReplayError as error:
            problems = [str(error)]
    pytest.fail("\n".join(problems), pytrace=False)


def _open_with(
    factory: ReplayFactory,
    item: pytest.Item,
    cassettes: tuple[Any, ...] | None,
    options: Options,
) -> BinanceReplay:
    test, own = name_of_test(item), default_cassette(item)
    try:
        return factory.open(cassettes, options, test=test, default_name=own)
    except CassetteNotFoundError:
        if cassettes is not None or not is_property_test(item):
            raise
    return factory.open((), options, test=test)  # Its examples are yet to be loaded.


def _options_of(item: pytest.Item) -> Options:
    stash = item.config.stash
    return make_options(layered(stash[_INI], read_marks(item).settings, stash[_GIVEN]))


def _end(replay: BinanceReplay) -> list[Exception]:
    """Close a replay and return what was wrong, and warnings that are errors."""
    replay.close()
    try:
        found = replay.problems()
    except BinanceReplayWarning as warning:
        found = [warning]
    for odd in replay.take_warnings():
        try:
            warnings.warn(odd, stacklevel=1)
        except BinanceReplayWarning as warning:
            found.append(warning)
    return found


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
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the replays of a test that failed."""
    report = yield
    if call.excinfo is not None:
        if report.failed and not item.stash.get(_RAISED, False):
            sections = (("binance replay", r.describe()) for r in _replays_of(item))
            report.sections.extend(sections)
        item.stash[_RAISED] = True
    if call.when == "teardown":
        # The test may be run again, by a plugin that reruns what failed.
        _forget(item)
    return report


def _forget(item: pytest.Item) -> None:
    if _REPLAY in item.stash:
        del item.stash[_REPLAY]
    if _RAISED in item.stash:
        del item.stash[_RAISED]


def _replays_of(item: pytest.Item) -> Iterable[BinanceReplay]:
    """Return the test's own replay, and those that it or its fixtures started."""
    replay = item.stash.get(_REPLAY, None)
    own = () if replay is None else (replay,)
    if not _asks_for_the_factory(item):
        return own
    factory = item.config.stash.get(_FACTORY, None)
    running = () if factory is None else factory.running
    return (*own, *(other for other in running if other is not replay))


def _asks_for_the_factory(item: pytest.Item) -> bool:
    """Tell whether a test, or a fixture of its own, does what our fixture does."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = getattr(info, "name2fixturedefs", {})
    asked = {name: found[-1].argnames for name, found in definitions.items()}
    asked.pop("binance_replay", None)
    wanted = (getattr(info, "argnames", ()), *asked.values())
    return any("binance_replay_factory" in names for names in wanted)
