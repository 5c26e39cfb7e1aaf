"""`binance-replay diff`: what changed from one cassette to another."""

from __future__ import annotations

import sys
from contextlib import closing
from itertools import islice
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import FINE, UNSOUND
from pytest_binance_replay.commands.looking import (
    add_json_argument,
    answer,
    answer_json,
    path_of,
    size_of,
    stoppable,
)
from pytest_binance_replay.commands.progress import Progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_binance_replay.tools.frame_diff import Hunk
    from pytest_binance_replay.tools.structure import Change

SUMMARY = "say what changed from one cassette to another, values apart"

HUNKS = 20
"""How many places that differ `--frames` shows."""

_DIFFERENT = UNSOUND


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Say what changed from one cassette to another in structure and pace: "
        "streams, fields and their types, frames a second. Values are not compared, "
        "for they differ in each recording; --frames compares every frame."
    )
    parser.epilog = (
        "Rates and cadences are reported where they differ by a factor of two or "
        "more. Exit codes: 0 the same, 1 something changed, 2 wrong usage."
    )
    parser.add_argument("old", metavar="OLD", help="the cassette as it was")
    parser.add_argument("new", metavar="NEW", help="the cassette as it is")
    parser.add_argument(
        "--frames",
        action="store_true",
        help="compare frame by frame, times and bytes, and show a unified diff",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"with --frames, show all places that differ, not just {HUNKS}",
    )
    add_json_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Compare two cassettes."""
    old, new = path_of(options.old), path_of(options.new)
    with stoppable():
        if options.frames:
            return _compare_frames(options, old, new)
        return _compare_structures(options, old, new)


def _compare_structures(options: argparse.Namespace, old: Path, new: Path) -> int:
    from pytest_binance_replay.tools.inspection import structure_of
    from pytest_binance_replay.tools.structure import compare

    structures = []
    for name, path in ((options.old, old), (options.new, new)):
        with Progress(f"reading {name}", size_of(path)) as progress:
            structures.append(structure_of(path, progress=progress))
    changes = compare(*structures)
    if options.json:
        answer_json({"same": not changes, "changes": list(map(_as_json, changes))})
    else:
        answer("\n".join(map(_line, changes)) or "no change in streams, fields or pace")
    return _DIFFERENT if changes else FINE


_SIGNS = {"stream-gone": "-", "field-gone": "-", "stream-new": "+", "field-new": "+"}


def _line(change: Change) -> str:
    return f"{_SIGNS.get(change.what, '~')} {change.subject}: {change.sentence}"


def _as_json(change: Change) -> dict[str, object]:
    return {
        "what": change.what,
        "subject": change.subject,
        "sentence": change.sentence,
        "structural": change.structural,
    }


# Frame by frame


def _compare_frames(options: argparse.Namespace, old: Path, new: Path) -> int:
    from pytest_binance_replay.tools.frame_diff import compare_lines
    from pytest_binance_replay.tools.inspection import canonical_lines

    befores, afters = canonical_lines(old), canonical_lines(new)
    with closing(befores), closing(afters):
        hunks = compare_lines(befores, afters)
        shown = hunks if options.all else islice(hunks, HUNKS)
        if options.json:
            found = [_hunk_as_json(hunk) for hunk in shown]
            more = 0 if options.all else sum(1 for _ in hunks)
            answer_json({"same": not found, "hunks": found, "hunks_not_shown": more})
            return _DIFFERENT if found else FINE
        width = _width()
        count = 0
        for hunk in shown:
            if not count:
                answer(f"--- {options.old}\n+++ {options.new}")
            count += 1
            answer("\n".join([hunk.title, *_cut(hunk, width)]))
        if more := 0 if options.all else sum(1 for _ in hunks):
            places = "place differs" if more == 1 else "places differ"
            answer(f"and {more:,} more {places}: --all shows them")
    return _DIFFERENT if count else FINE


def _width() -> int | None:
    """Return the terminal's width; None where whole lines are wanted."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return get_terminal_size().columns if is_terminal else None


def _cut(hunk: Hunk, width: int | None) -> Iterator[str]:
    for mark, line in hunk.lines:
        text = f"{mark}{line}"
        if width is not None and len(text) > width:
            text = f"{text[: width - 3]}..."
        yield text


def _hunk_as_json(hunk: Hunk) -> dict[str, object]:
    return {
        "old_start": hunk.old_start,
        "old_count": hunk.old_count,
        "new_start": hunk.new_start,
        "new_count": hunk.new_count,
        "lines": [f"{mark}{line}" for mark, line in hunk.lines],
    }
