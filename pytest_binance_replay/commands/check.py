"""`binance-replay check`: whether cassettes are sound."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import FINE, UNSOUND, USAGE, say
from pytest_binance_replay.commands.looking import (
    add_file_arguments,
    answer,
    answer_json,
    path_of,
    size_of,
    stoppable,
)
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.errors import ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_binance_replay.soundness import Finding

SUMMARY = "find out whether cassettes are sound: JSON, order, ids, books, models"

SHOWN = 5
"""How many findings of one rule are shown of a cassette."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Find out whether cassettes are sound: whether each payload is JSON and fits "
        "its stream and its model, times and ids are in order, depth streams have no "
        "gap and join their snapshots, and the books they make agree with what book "
        "tickers show. Each finding has its file and line."
    )
    parser.epilog = (
        "Errors make a cassette unsound. Notes do not: a break that a mark announces, "
        "a field that is not of its time or not known, ids that the futures skip. "
        "Exit codes: 0 sound, 1 not sound, 2 wrong usage or no cassette."
    )
    add_file_arguments(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"show all findings, not just {SHOWN} of each rule and cassette",
    )
    parser.add_argument(
        "--market",
        choices=("spot", "usdm"),
        help="whose streams they are (default: what the header or the payloads say)",
    )
    parser.add_argument(
        "--rules", action=_ListRules, nargs=0, help="list the rules, and stop"
    )


def run(options: argparse.Namespace) -> int:
    """Check the cassettes."""
    code = FINE
    reports = []
    for name in options.files:
        report = _Report(name, everything=options.all, aloud=not options.json)
        try:
            with stoppable():
                _check(report, options.market)
        except ReplayError as error:
            say(sys.stderr, str(error))
            code = USAGE
            continue
        reports.append(report.as_json())
        code = max(code, UNSOUND if report.errors else FINE)
    if options.json:
        answer_json({"cassettes": reports})
    return code


class _ListRules(argparse.Action):
    """Lists the rules instead of checking, as `--help` and `--version` do."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pytest_binance_replay.soundness import RULES

        width = max(map(len, RULES))
        rules = (f"{rule:<{width}}  {demand}" for rule, demand in RULES.items())
        answer("\n".join(rules))
        parser.exit()


def _check(report: _Report, market: str | None) -> None:
    from pytest_binance_replay.tools.inspection import FileCheck

    path = path_of(report.name)
    with Progress(f"checking {report.name}", size_of(path)) as progress:
        check = FileCheck(path, market=market, progress=progress)  # type: ignore[arg-type]
        for finding in check:
            if report.add(finding):
                progress.wipe()
                report.tell(finding)
    report.finish(check.frames, check.market)


class _Report:
    """What is told about one cassette.

    Args:
        name: The file, as the user named it.
        everything: Whether all findings are told.
        aloud: Whether they are written down as they come.
    """

    def __init__(self, name: str, *, everything: bool, aloud: bool) -> None:
        self.name = name
        self.errors = 0
        self._everything = everything
        self._aloud = aloud
        self._counts: Counter[tuple[str, str]] = Counter()
        self._told: list[Finding] = []
        self._frames = 0
        self._market: str | None = None

    def add(self, finding: Finding) -> bool:
        """Count a finding; return whether it is one of those to tell."""
        key = finding.rule, finding.severity
        self._counts[key] += 1
        self.errors += finding.severity == "error"
        return self._everything or self._counts[key] <= SHOWN

    def tell(self, finding: Finding) -> None:
        """Write a finding down, or keep it."""
        if not self._aloud:
            self._told.append(finding)
            return
        place = f"{self.name}:{finding.line}" if finding.line else self.name
        stream = f"{finding.stream}: " if finding.stream else ""
        answer(f"{place}: {_word(finding)}{stream}{finding.sentence} [{finding.rule}]")

    def finish(self, frames: int, market: str | None) -> None:
        """Say what is left to say."""
        self._frames, self._market = frames, market
        if not self._aloud:
            return
        for rule, severity, more in self._hidden():
            hidden = _count(more, f"more {severity}")
            answer(f"{self.name}: and {hidden} [{rule}]; --all shows them")
        notes = self._counts.total() - self.errors
        told = [_count(self.errors, "error")] if self.errors else ["sound"]
        told += [_count(notes, "note")] if notes else []
        answer(f"{self.name}: {', '.join([*told, _count(frames, 'frame')])}")

    def _hidden(self) -> Iterator[tuple[str, str, int]]:
        for (rule, severity), count in self._counts.items():
            if count > SHOWN and not self._everything:
                yield rule, severity, count - SHOWN

    def as_json(self) -> dict[str, object]:
        """Return all of it as JSON values."""
        return {
            "file": self.name,
            "sound": not self.errors,
            "market": self._market,
            "frames": self._frames,
            "errors": self.errors,
            "notes": self._counts.total() - self.errors,
            "findings": [
                {
                    "rule": finding.rule,
                    "severity": finding.severity,
                    "line": finding.line,
                    "stream": finding.stream,
                    "sentence": finding.sentence,
                }
                for finding in self._told
            ],
            "not_shown": [
                {"rule": rule, "severity": severity, "findings": more}
                for rule, severity, more in self._hidden()
            ],
        }


def _word(finding: Finding) -> str:
    return "note: " if finding.severity == "note" else ""


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
