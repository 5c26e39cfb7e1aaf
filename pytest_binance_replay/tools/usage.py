"""Which cassettes the tests use, and which are unused, missing, old or large."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_binance_replay.compression import suffix_of
from pytest_binance_replay.errors import (
    CassetteFormatError,
    CassetteNameError,
    CassetteNotFoundError,
    MissingExtraError,
    OptionError,
)
from pytest_binance_replay.files import CassetteReader
from pytest_binance_replay.shelf import (
    DEMO_PREFIX,
    demo_directory,
    find_cassette,
    list_cassettes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_binance_replay.cassette import Header

Problem = Literal["unused", "missing", "renamed", "old", "large"]

DEFAULT_MAX_MB = 50.0
"""Megabytes above which a cassette is large: what git hosts begin to warn at."""

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(h|d|w)?")
_UNIT_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, None: 1.0}
_ALIKE = 0.6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Use:
    """What one test uses.

    Attributes:
        test: What pytest calls it.
        names: Cassettes that its mark names; None for the one named after the test.
        default: Name of the cassette that belongs to it by its own name.
        may_open: Whether it can open others by itself, which only a run shows.
    """

    test: str
    names: tuple[str, ...] | None
    default: str
    may_open: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cassette may be.

    Attributes:
        max_age: How long ago it may have been recorded; None for ever.
        max_bytes: How large it may be; None for any size.
    """

    max_age: timedelta | None = None
    max_bytes: int | None = round(DEFAULT_MAX_MB * 1e6)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a cassette that somebody should look at.

    Attributes:
        problem: What it is: ``unused``, ``missing``, ``renamed``, ``old``, ``large``.
        cassette: Its path as the user knows it; of a missing one, its name.
        test: The test it is about; None if it is about none.
        sentence: What is wrong and what to do.
    """

    problem: Problem
    cassette: str
    test: str | None
    sentence: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.sentence}"


def parse_age(text: str, where: str) -> timedelta:
    """Read an age: ``90d``, ``12w``, ``36h``, or a number of days.

    Raises:
        OptionError: If it is none of these.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise OptionError(where, "expected an age such as 90d, 12w or 36h")
    try:
        return timedelta(days=float(found[1]) * _UNIT_DAYS[found[2]])
    except OverflowError:
        return timedelta.max


def parse_megabytes(text: str, where: str) -> int:
    """Read a number of megabytes, and return bytes.

    Raises:
        OptionError: If it is not a number above 0.
    """
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise OptionError(where, "expected a number of megabytes above 0")
    return round(size * 1e6)


def read_limits(age: tuple[str, str], size: tuple[str, str]) -> Limits:
    """Read what a cassette may be.

    Args:
        age: How old, and where that stood; an empty text leaves the default.
        size: How many megabytes, and where that stood; likewise.

    Raises:
        OptionError: If a text is wrong.
    """
    limits = Limits()
    return Limits(
        parse_age(*age) if age[0] else limits.max_age,
        parse_megabytes(*size) if size[0] else limits.max_bytes,
    )


def uses_of(noted: Iterable[Sequence[Any]]) -> list[Use]:
    """Return what tests use, as it was noted for another process."""
    return [
        Use(test, None if names is None else tuple(names), default, bool(may_open))
        for test, names, default, may_open in noted
    ]


class _Shelf:
    """The cassettes of a project, and what their headers say."""

    def __init__(self, directory: Path, root: Path) -> None:
        self.directory = directory
        self._root = root
        self.paths = [
            find_cassette(name, directory) for name in list_cassettes(directory)
        ]
        self.headers = {path: _header(path) for path in self.paths}
        self.by_test: dict[str, list[Path]] = {}
        for path, header in self.headers.items():
            if header is not None and header.test:
                self.by_test.setdefault(header.test, []).append(path)

    def shown(self, path: Path) -> str:
        inside = path.is_relative_to(self._root)
        return str(path.relative_to(self._root) if inside else path)

    def find(self, name: str) -> Path | None:
        try:
            return find_cassette(name, self.directory)
        except (CassetteNotFoundError, CassetteNameError):
            return None

    def home_of(self, name: str, like: Path) -> Path:
        """Return where a cassette of a name would lie, with another's suffix."""
        return self.directory / f"{name}{suffix_of(like.name)}"


def _header(path: Path) -> Header | None:
    try:
        with CassetteReader(path, warn=lambda _: None) as reader:
            return reader.header
    except (CassetteFormatError, MissingExtraError, OSError):
        return None  # whoever plays it is told


def judge(
    directory: Path,
    root: Path,
    uses: Iterable[Use],
    *,
    now_us: int,
    opened: Iterable[Path] = (),
    limits: Limits | None = None,
    complete: bool = True,
    certain: bool = True,
) -> list[Finding]:
    """Compare the cassettes there are with those that tests use.

    Args:
        directory: The project's folder of cassettes.
        root: Findings name files relative to it.
        uses: What the tests use.
        now_us: The time of day, microseconds since the epoch.
        opened: Files that a run has seen opened.
        limits: What a cassette may be.
        complete: Whether these are all tests; if not, nothing is called unused.
        certain: Whether all that they open is known.

    Returns:
        Unused ones first, then missing, renamed, old and large ones.
    """
    shelf = _Shelf(directory, root)
    used = {_real(path) for path in opened}
    missing: list[tuple[Use, str]] = []
    renamed: list[Finding] = []
    for use in uses:
        names = (use.default,) if use.names is None else use.names
        for name in names:
            if (path := shelf.find(name)) is not None:
                used.add(_real(path))
            elif name.startswith(DEMO_PREFIX):
                continue  # bundled: not the project's to record
            elif use.names is None and (path := _by_header(shelf, use.test)):
                used.add(_real(path))
                renamed.append(_renamed(shelf, path, use))
            else:
                missing.append((use, name))
    # The bundled cassettes are for others to use.
    complete = complete and _real(directory) != _real(demo_directory())
    unused = [path for path in shelf.paths if _real(path) not in used]
    return [
        *(
            _unused(shelf, path, missing, certain=certain)
            for path in unused
            if complete
        ),
        *(_missing(shelf, use, name) for use, name in _each_once(missing)),
        *renamed,
        *_outgrown(shelf, limits or Limits(), now_us),
    ]


def _real(path: Path) -> Path:
    return path.resolve()


def _by_header(shelf: _Shelf, test: str) -> Path | None:
    found = shelf.by_test.get(test, [])
    return found[0] if len(found) == 1 else None


def _each_once(missing: Iterable[tuple[Use, str]]) -> Iterator[tuple[Use, str]]:
    """Give each missing cassette for the first test that misses it."""
    seen: set[str] = set()
    for use, name in missing:
        if name not in seen:
            seen.add(name)
            yield use, name


def _unused(
    shelf: _Shelf, path: Path, missing: Iterable[tuple[Use, str]], *, certain: bool
) -> Finding:
    shown = shelf.shown(path)
    header = shelf.headers[path]
    test = header.test if header is not None else None
    near = _nearest_test(test, missing) if test else None
    if not certain and near is None:
        advice = (
            "no mark names it. Tests that open cassettes by themselves may: a full "
            "run of pytest tells"
        )
    elif near is None:
        advice = f"no test uses it. To remove it: git rm {shown}"
    else:
        home = shelf.shown(shelf.home_of(near.default, path))
        advice = (
            f"no test uses it; {near.test} lacks one. Renamed? git mv {shown} {home}"
        )
    return Finding("unused", shown, test, f"{shown}: {advice}")


def _nearest_test(test: str, missing: Iterable[tuple[Use, str]]) -> Use | None:
    """Return the test without a cassette whose name is most like another's."""
    likeness = [
        (SequenceMatcher(None, test, use.test, autojunk=False).ratio(), n, use)
        for n, (use, _) in enumerate(missing)
        if use.names is None
    ]
    best = max(likeness, default=None, key=lambda entry: (entry[0], -entry[1]))
    return best[2] if best is not None and best[0] >= _ALIKE else None


def _missing(shelf: _Shelf, use: Use, name: str) -> Finding:
    where = shelf.shown(shelf.directory)
    sentence = (
        f"{use.test} uses {name!r}, and {where} has no such cassette. To record it: "
        f"pytest --record-binance '{use.test}'"
    )
    return Finding("missing", name, use.test, sentence)


def _renamed(shelf: _Shelf, path: Path, use: Use) -> Finding:
    shown = shelf.shown(path)
    home = shelf.shown(shelf.home_of(use.default, path))
    sentence = f"{shown} belongs to {use.test} by its header: git mv {shown} {home}"
    return Finding("renamed", shown, use.test, sentence)


def _outgrown(shelf: _Shelf, limits: Limits, now_us: int) -> Iterator[Finding]:
    now = _EPOCH + timedelta(microseconds=now_us)
    for path, header in shelf.headers.items():
        shown = shelf.shown(path)
        recorded = _recorded(header)
        if limits.max_age and recorded and now - recorded > limits.max_age:
            sentence = (
                f"{shown}: recorded {(now - recorded).days} days ago, on "
                f"{recorded:%Y-%m-%d}. To refresh it: pytest --record-binance"
            )
            yield Finding("old", shown, header.test if header else None, sentence)
    for path, header in shelf.headers.items():
        size = path.stat().st_size
        if limits.max_bytes is not None and size > limits.max_bytes:
            shown = shelf.shown(path)
            sentence = (
                f"{shown}: {size / 1e6:.1f} MB, and {limits.max_bytes / 1e6:g} MB are "
                f"the limit. {_smaller(shown)}"
            )
            yield Finding("large", shown, header.test if header else None, sentence)


def _smaller(shown: str) -> str:
    if shown.endswith(".jsonl"):
        return f"Smaller: binance-replay convert {shown} -o {shown}.gz, or cut it."
    return f"A part may do: binance-replay cut {shown} --to 60s"


def _recorded(header: Header | None) -> datetime | None:
    """Return when a cassette was recorded; None for what is generated, or says not."""
    if header is None or (header.source or "").startswith("synthetic:"):
        return None
    try:
        moment = datetime.fromisoformat(header.recorded_at or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
