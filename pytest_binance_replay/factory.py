"""Starts replays by the names of their cassettes, all on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.errors import CassetteFormatError, CassetteNotFoundError
from pytest_binance_replay.files import (
    DEMO_PREFIX,
    CassetteReader,
    find_cassette,
    list_cassettes,
)
from pytest_binance_replay.library import CassetteSource
from pytest_binance_replay.options import make_options, parse_setting
from pytest_binance_replay.replay import BinanceReplay

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.options import Options


class ReplayFactory:
    """Starts replays on one thread; `binance_replay_factory` is one.

    Args:
        directory: Where cassettes are looked for.
        defaults: Settings that hold unless a call says otherwise, checked.
        overrides: Settings that hold whatever a call says, checked.
    """

    def __init__(
        self,
        directory: Path,
        *,
        defaults: Mapping[str, object] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        self._directory = directory
        self._defaults = dict(defaults or {})
        self._overrides = dict(overrides or {})
        self._thread: LoopThread | None = None
        self._replays: list[BinanceReplay] = []

    def __call__(
        self,
        *cassettes: str | Path,
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> BinanceReplay:
        """Start a replay.

        Args:
            cassettes: Names of cassettes, as the marker takes them; none makes an
                empty tape, to `load()` and `push()`.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            settings: Settings, as the marker takes them.

        Raises:
            CassetteNotFoundError: If there is no such cassette.
            CassetteFormatError: If a cassette cannot be read.
            OptionError: If a setting is wrong.
        """
        given = {
            name: parse_setting(
                name, value, f"binance_replay_factory({name}={value!r})"
            )
            for name, value in settings.items()
        }
        options = make_options({**self._defaults, **given, **self._overrides})
        return self.open(cassettes, options, host=host, port=port)

    def open(
        self,
        cassettes: Iterable[str | Path] | None,
        options: Options,
        *,
        test: str | None = None,
        default_name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> BinanceReplay:
        """Start a replay with checked settings.

        Args:
            cassettes: Names of cassettes; None for the one named after the test.
            options: Settings.
            test: What pytest calls the test.
            default_name: Name of the cassette that belongs to the test.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
        """
        command = "pytest --record-binance" + (f" {test}" if test else "")
        if cassettes is None:
            path = find_cassette_of_test(default_name or "", test, self._directory)
            files = [(self._shown(path), path)]
        else:
            files = [self._find(name) for name in cassettes]
        found: list[BinanceReplayWarning] = []
        sources = [
            CassetteSource(path, label, market=options.market, warn=found.append)
            for label, path in files
        ]
        if self._thread is None:
            self._thread = LoopThread()
        replay = BinanceReplay(
            self._thread,
            sources,
            options,
            record_command=command,
            cassette_warnings=found,
            host=host,
            port=port,
        )
        self._replays = [r for r in self._replays if not r.closed]
        self._replays.append(replay)
        return replay

    def _find(self, name: str | Path) -> tuple[str, Path]:
        path = find_cassette(name, self._directory)
        bundled = str(name).startswith(DEMO_PREFIX)
        return (str(name) if bundled else self._shown(path)), path

    def _shown(self, path: Path) -> str:
        """Return a path as the user knows it: with the directory it was looked for."""
        root = self._directory.parent
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    def close(self) -> None:
        """Close what is still open, and the thread."""
        for replay in self._replays:
            replay.close()
        self._replays.clear()
        if self._thread is not None:
            self._thread.stop()
            self._thread = None


def find_cassette_of_test(name: str, test: str | None, directory: Path) -> Path:
    """Find the cassette that belongs to a test.

    Args:
        name: The name it has if it was recorded under the test's present name.
        test: What pytest calls the test; a cassette whose header says it belongs to
            that test is taken when the name misses.
        directory: The project's folder of cassettes.

    Raises:
        CassetteNotFoundError: If there is none.
    """
    try:
        return find_cassette(name, directory)
    except CassetteNotFoundError:
        for other in list_cassettes(directory):
            path = find_cassette(other, directory)
            if test is not None and _test_in_header(path) == test:
                return path
        raise


def _test_in_header(path: Path) -> str | None:
    try:
        with CassetteReader(path, warn=lambda _: None) as reader:
            return reader.header.test
    except CassetteFormatError:
        return None  # Not this test's; whoever plays it is told.
