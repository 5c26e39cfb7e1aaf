"""What the commands share that look at cassettes and change nothing."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import STOPPED, say
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.shelf import DEMO_PREFIX, find_cassette

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cassettes to look at, and the way to write the answer."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a cassette: .jsonl, .jsonl.gz or .jsonl.zst",
    )
    add_json_argument(parser)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add the way to write the answer."""
    parser.add_argument(
        "--json", action="store_true", help="answer in JSON, for a program to read"
    )


def path_of(name: str) -> Path:
    """Return the file that a user names; `demo:spot` is the bundled one.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If it is a directory.
    """
    if name.startswith(DEMO_PREFIX):
        return find_cassette(name, Path())
    path = Path(name)
    if path.is_dir():
        advice = f"Name the cassettes in it: {path / '*.jsonl'}"
        raise CassetteFormatError(name, 0, "is a directory", advice)
    return path


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C end what only looks, without a traceback.

    Raises:
        SystemExit: If the user stopped it.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(sys.stderr, "Stopped.")
        sys.exit(STOPPED)


def size_of(path: Path) -> int:
    """Return the size of a file, 0 if nobody can tell."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def answer(text: str) -> None:
    """Write to stdout; what its encoding lacks becomes a question mark."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    say(sys.stdout, text.encode(encoding, "replace").decode(encoding))


def answer_json(value: object) -> None:
    """Write a JSON document to stdout."""
    say(sys.stdout, json.dumps(value, indent=2))


def can_show(text: str) -> bool:
    """Tell whether stdout can show characters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
