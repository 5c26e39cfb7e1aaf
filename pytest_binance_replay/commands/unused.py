"""`binance-replay unused`: cassettes that no test uses, and tests without theirs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_binance_replay.commands.console import FINE, UNSOUND, say
from pytest_binance_replay.commands.output import complain, counted
from pytest_binance_replay.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.tools.usage import Finding, Use

SUMMARY = "find cassettes that no test uses"

_COMMAND = "pytest --collect-only"
_SHOWN_LINES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Find cassettes that no test uses, tests whose cassette is missing, and "
        "cassettes that have grown old or large. Nothing is run but pytest "
        "--collect-only, in the folder where you are; what a test opens by "
        "binance_replay_factory only a run can see, and after each full one pytest's "
        "summary tells of unused cassettes too."
    )
    parser.epilog = (
        "Arguments for pytest stand at the end, behind --, as in: binance-replay "
        "unused -- -c tests/pytest.ini. Exit codes: 0 nothing found, 1 something "
        "found, 2 wrong usage, or pytest cannot collect."
    )
    parser.add_argument(
        "--max-age",
        default="",
        metavar="AGE",
        help="report cassettes recorded longer ago: 90d, 12w (default: none)",
    )
    parser.add_argument(
        "--max-mb",
        default="",
        metavar="MB",
        help="report cassettes larger than this many megabytes (default: 50)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON"
    )
    parser.add_argument(
        "pytest_args",
        nargs="*",
        metavar="PYTEST ARGUMENT",
        help="what pytest is to be called with besides",
    )


def run(options: argparse.Namespace) -> int:
    """Find them."""
    from pytest_binance_replay.clock import wall_us
    from pytest_binance_replay.tools.usage import judge, read_limits, uses_of

    limits = read_limits(
        (options.max_age, f"--max-age={options.max_age}"),
        (options.max_mb, f"--max-mb={options.max_mb}"),
    )
    noted = _collect(options.pytest_args)
    uses = uses_of(noted["uses"])
    if noted["partial"]:
        complain(
            f"Only a part of the tests was collected ({noted['partial']}), so no "
            "cassette can be called unused."
        )
    free = sorted(use.test for use in uses if use.may_open)
    directory, root = Path(noted["directory"]), Path(noted["root"])
    found = judge(
        directory,
        root,
        uses,
        now_us=wall_us(),
        limits=limits,
        complete=not noted["partial"],
        certain=not free,
    )
    if options.json:
        say(sys.stdout, _as_json(found, uses, free))
    else:
        _tell(found, uses, free, directory)
    return UNSOUND if found else FINE


def _collect(arguments: Sequence[str]) -> dict[str, Any]:
    """Let pytest collect the tests, and return what our plugin noted."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "usage.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--collect-only", "-q"),
                *("-p", "no:cacheprovider", f"--binance-usage-file={file}"),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if not file.exists():
            last = [line for line in (done.stdout + done.stderr).splitlines() if line]
            said = " / ".join(line.strip() for line in last[-_SHOWN_LINES:])
            problem = f"ended with exit code {done.returncode}: {said or 'no output'}"
            raise OptionError(_COMMAND, problem.rstrip("."))
        noted: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return noted


def _tell(
    found: Sequence[Finding],
    uses: Sequence[Use],
    free: Sequence[str],
    directory: Path,
) -> None:
    from pytest_binance_replay.shelf import list_cassettes

    for finding in found:
        say(sys.stdout, str(finding))
    if free:
        shown = ", ".join(free[:_SHOWN_LINES])
        more = f" and {len(free) - _SHOWN_LINES} more" * (len(free) > _SHOWN_LINES)
        complain(
            f"What these open by binance_replay_factory is not known: {shown}{more}."
        )
    cassettes = counted(len(list_cassettes(directory)), "cassette")
    tests, problems = counted(len(uses), "test"), counted(len(found), "problem")
    say(sys.stdout, f"{cassettes}, {tests} that may use them, {problems}")


def _as_json(found: Sequence[Finding], uses: Sequence[Use], free: Sequence[str]) -> str:
    members = {
        "findings": [
            {
                "problem": finding.problem,
                "cassette": finding.cassette,
                "test": finding.test,
                "sentence": finding.sentence,
            }
            for finding in found
        ],
        "tests": len(uses),
        "tests_with_factory": list(free),
    }
    return json.dumps(members, ensure_ascii=False)
