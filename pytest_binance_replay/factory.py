"""Starts replays by the names of their cassettes, all on one thread."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.errors import (
    CassetteFormatError,
    CassetteNameError,
    CassetteNotFoundError,
    MissingExtraError,
    OptionError,
)
from pytest_binance_replay.files import read_header
from pytest_binance_replay.library import CassetteSource
from pytest_binance_replay.options import layered, make_options, parse_setting
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.shelf import (
    DEMO_PREFIX,
    find_cassette,
    list_cassettes,
)
from pytest_binance_replay.stage import open_stage
from pytest_binance_replay.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.replay import StageOpener


RECORD_COMMAND = "pytest --record-binance"


class ReplayFactory:
    """Starts replays on one thread; `binance_replay_factory` is one.

    Args:
        directory: Where cassettes are looked for.
        root: Errors name files relative to it; None means the directory's parent.
        defaults: Settings that hold unless a call says otherwise, checked.
        overrides: Settings that hold whatever a call says, checked.
        guarded: Whether this process is kept from the exchange while one runs.
        record_command: What errors name as the way to record what is missing.

    Attributes:
        opened: All files that were ever played.
    """

    def __init__(
        self,
        directory: Path,
        *,
        root: Path | None = None,
        defaults: Mapping[str, object] | None = None,
        overrides: Mapping[str, object] | None = None,
        guarded: bool = True,
        record_command: str = RECORD_COMMAND,
    ) -> None:
        self._directory = directory
        self._root = root or directory.parent
        self._defaults = dict(defaults or {})
        self._overrides = dict(overrides or {})
        self._guarded = guarded
        self._record_command = record_command
        self._thread: LoopThread | None = None
        self._authority: Authority | None = None
        self._replays: list[BinanceReplay] = []
        self.opened: set[Path] = set()

    def __call__(
        self,
        *cassettes: str | os.PathLike[str] | None,
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> BinanceReplay:
        """Start a replay.

        Args:
            cassettes: Names of cassettes, as the marker takes them; none, or None
                alone, makes an empty tape, to `load()` and `push()`.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            settings: Settings, as the marker takes them.

        Raises:
            CassetteNotFoundError: If there is no such cassette.
            CassetteFormatError: If a cassette cannot be read.
            OptionError: If a setting is wrong.
        """
        names = [] if cassettes == (None,) else list(cassettes)
        for name in names:
            if not isinstance(name, str | os.PathLike):
                where = f"binance_replay_factory({name!r})"
                raise OptionError(where, "expected names of cassettes")
        given = {
            name: parse_setting(
                name, value, f"binance_replay_factory({name}={value!r})"
            )
            for name, value in settings.items()
        }
        options = make_options(layered(self._defaults, given, self._overrides))
        return self.open(names, options, host=host, port=port)

    def open(
        self,
        cassettes: Iterable[Any] | None,
        options: Options,
        *,
        test: str | None = None,
        default_name: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> BinanceReplay:
        """Start a replay with checked settings.

        Args:
            cassettes: Names of cassettes; None for the one that belongs to the test.
            options: Settings.
            test: What pytest calls the test.
            default_name: Name of the cassette that belongs to the test by its name.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
        """
        files = self.find(cassettes, test=test, default_name=default_name)
        return self.play(files, options, test=test, host=host, port=port)

    def find(
        self,
        cassettes: Iterable[Any] | None,
        *,
        test: str | None = None,
        default_name: str = "",
    ) -> list[tuple[str, Path]]:
        """Find files by the names of cassettes.

        Args:
            cassettes: Names of cassettes; None for the one that belongs to the test.
            test: What pytest calls the test.
            default_name: Name of the cassette that belongs to the test by its name.

        Returns:
            What errors call each file, and the file.
        """
        with self._naming(self._command(test)):
            if cassettes is None:
                found = find_cassette_of_test(default_name, test, self._directory)
                files = [(self.shown(found), found)]
            else:
                files = [self._find(name) for name in cassettes]
        self.opened.update(path for _, path in files)
        return files

    def play(
        self,
        files: Iterable[tuple[str, Path]],
        options: Options,
        *,
        test: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        stage_opener: StageOpener = open_stage,
    ) -> BinanceReplay:
        """Start a replay of some files.

        Args:
            files: What errors call each file, and the file.
            options: Settings.
            test: What pytest calls the test.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            stage_opener: What serves a tape without files.
        """
        warnings: list[BinanceReplayWarning] = []
        sources = [
            CassetteSource(path, label, market=options.market, warn=warnings.append)
            for label, path in files
        ]
        replay = BinanceReplay(
            self.thread,
            sources,
            options,
            record_command=self._command(test),
            cassette_warnings=warnings,
            host=host,
            port=port,
            test=test,
            authority=self.authority,
            guarded=self._guarded,
            stage_opener=stage_opener,
        )
        self._replays = [*self.running, replay]
        return replay

    @property
    def directory(self) -> Path:
        """Where cassettes are looked for."""
        return self._directory

    @property
    def thread(self) -> LoopThread:
        """The thread of all replays."""
        if self._thread is None:
            self._thread = LoopThread()
        return self._thread

    def _command(self, test: str | None) -> str:
        return self._record_command + (f" {shlex.quote(test)}" if test else "")

    def authority(self) -> Authority:
        """Return the authority that vouches for all ports for TLS, made once.

        Raises:
            MissingExtraError: If trustme is not installed.
        """
        if self._authority is None:
            self._authority = Authority()
        return self._authority

    @property
    def running(self) -> tuple[BinanceReplay, ...]:
        """Replays that were started and not closed, oldest first."""
        return tuple(replay for replay in self._replays if not replay.closed)

    @contextmanager
    def _naming(self, command: str) -> Iterator[None]:
        """Let errors name files as the user does, and the command that helps."""
        try:
            yield
        except CassetteNotFoundError as error:
            directory = error.directory.replace(str(self._root) + os.sep, "")
            directory = "this folder" if directory == os.curdir else directory
            raise CassetteNotFoundError(
                error.name, directory, error.nearest, command
            ) from None
        except CassetteNameError as error:
            problem = error.problem.replace(str(self._root) + os.sep, "")
            raise CassetteNameError(problem, error.advice) from None

    def _find(self, name: str | os.PathLike[str]) -> tuple[str, Path]:
        text = os.fspath(name)
        path = find_cassette(text, self._directory)
        return (text if text.startswith(DEMO_PREFIX) else self.shown(path)), path

    def shown(self, path: Path) -> str:
        """Return a path as the user knows it: from the project's root, if below it."""
        inside = path.is_relative_to(self._root)
        return str(path.relative_to(self._root) if inside else path)

    def close(self) -> None:
        """Close what is still open, and the thread."""
        for replay in self.running:
            replay.close()
        self._replays.clear()
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        if self._authority is not None:
            self._authority.close()
            self._authority = None


def find_cassette_of_test(name: str, test: str | None, directory: Path) -> Path:
    """Find the cassette that belongs to a test.

    Args:
        name: The name it has if it was recorded under the test's present name.
        test: What pytest calls the test; a cassette whose header says it belongs to
            that test is taken when the name misses.
        directory: The project's folder of cassettes.

    Raises:
        CassetteNotFoundError: If there is none.
        CassetteNameError: If several say that they belong to the test.
    """
    try:
        return find_cassette(name, directory)
    except CassetteNotFoundError:
        paths = (find_cassette(other, directory) for other in list_cassettes(directory))
        found = [path for path in paths if test and _belongs_to(path, test)]
        if not found:
            raise
    if len(found) > 1:
        files = " and ".join(map(str, found))
        problem = f"{len(found)} cassettes say that they belong to {test}: {files}"
        raise CassetteNameError(problem, "Name one of them in the test's mark.")
    return found[0]


def _belongs_to(path: Path, test: str) -> bool:
    try:
        return read_header(path).test == test
    except (CassetteFormatError, MissingExtraError, OSError):
        return False  # Not this test's; whoever plays it is told.
