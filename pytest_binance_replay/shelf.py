"""Cassettes found by name: where they lie, what they are called, which come near."""
# Every test looks for its cassette, which takes a third of the time without pathlib.
# ruff: noqa: PTH100, PTH113, PTH117, PTH118

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pytest_binance_replay.compression import SUFFIXES, suffix_of
from pytest_binance_replay.errors import CassetteNameError, CassetteNotFoundError

DEMO_PREFIX = "demo:"
"""How the names of the bundled cassettes begin."""

_SHOWN_NAMES = 5


@cache
def demo_directory() -> Path:
    """Return the folder of the bundled cassettes: in the package, or beside it.

    They are in the package where it was installed, and beside it in a checkout.
    """
    package = Path(__file__).parent
    installed = package / "recordings"
    return installed if installed.is_dir() else package.parent / "recordings"


def find_cassette(name: str | Path, directory: Path) -> Path:
    """Find the file of a cassette by its name.

    Args:
        name: Path below the directory, with or without the suffix; an absolute path;
            or ``demo:`` and the name of a bundled cassette.
        directory: The project's folder of cassettes.

    Raises:
        CassetteNotFoundError: If there is none.
        CassetteNameError: If there are several, or the name leads out of the directory.
    """
    asked = str(name)
    if os.path.isabs(asked):
        found = _file_of(asked, asked)
        if found is None:
            raise missing_file_error(Path(asked))
        return found
    prefix = DEMO_PREFIX if asked.startswith(DEMO_PREFIX) else ""
    root = demo_directory() if prefix else directory
    found = _file_of(asked, _path_below(root, asked, asked.removeprefix(prefix)))
    if found is None:
        names = [prefix + name for name in list_cassettes(root)]
        raise CassetteNotFoundError(asked, str(root), _nearest(asked, names))
    return found


def _path_below(directory: Path, asked: str, name: str) -> str:
    root = os.path.join(os.path.abspath(directory), "")  # links stay as they are
    path = os.path.normpath(os.path.join(root, name))
    if not path.startswith(root) or path == root:
        problem = f"cassette {asked!r} is not below {directory}"
        advice = "Name one in it, or give an absolute path."
        raise CassetteNameError(problem, advice)
    return os.path.normpath(os.path.join(directory, name))


def _file_of(asked: str, path: str) -> Path | None:
    """Return the file that a path means, with the suffix it may lack."""
    if os.path.isfile(path):
        return Path(path)
    found = [path + suffix for suffix in SUFFIXES if os.path.isfile(path + suffix)]
    if len(found) > 1:
        files = " and ".join(found)
        number = "two" if len(found) == 2 else "three"
        problem = f"{number} cassettes answer to {asked!r}: {files}"
        raise CassetteNameError(problem, "Remove one, or name it with its suffix.")
    return Path(found[0]) if found else None


def missing_file_error(path: Path) -> CassetteNotFoundError:
    """Return the error for a file that is not there, with cassettes beside it."""
    # What lies below the folder of a file given by its path may be anything: only the
    # folder itself is looked into.
    names = []
    with suppress(OSError):
        names = [file.name for file in path.parent.iterdir() if suffix_of(file.name)]
    nearest = _nearest(path.name, sorted(names))
    return CassetteNotFoundError(path.name, str(path.parent), nearest)


def _nearest(asked: str, names: list[str]) -> tuple[str, ...]:
    """Return the names that come near, or all of them when they are few."""
    if len(names) <= _SHOWN_NAMES:
        return tuple(names)
    return tuple(get_close_matches(asked, names, n=3, cutoff=0.4))


def list_cassettes(directory: Path) -> list[str]:
    """List the names of all cassettes below a directory, sorted.

    Names have ``/`` between folders, and no suffix unless two files share the rest.
    Hidden files and folders are left out, and recordings that were rejected; a
    directory that is not there has none.
    """
    files = []
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(folder).relative_to(directory)
        files += [
            (below / name).as_posix()
            for name in names
            if suffix_of(name) and not name.startswith(".") and not _is_rejected(name)
        ]
    stems = Counter(map(_without_suffix, files))
    return sorted(
        stem if stems[stem := _without_suffix(name)] == 1 else name for name in files
    )


def _is_rejected(name: str) -> bool:
    """Tell whether a file is what a failed recording left, by its name."""
    return _without_suffix(name).endswith(".rejected")


def _without_suffix(name: str) -> str:
    return name.removesuffix(suffix_of(name))
