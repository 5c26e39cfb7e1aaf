"""What is wrong with a run, as errors: what a test is told at its end."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pytest_binance_replay.errors import (
    CheckWarning,
    ClientVanishedError,
    MissingDataError,
    ReplayError,
    ServerFailedError,
    TapeEndedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_binance_replay.background import Handle
    from pytest_binance_replay.journal import ClientRecord, Missing
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.stage import Stage


def find_problems(
    stage: Stage,
    options: Options,
    clients: Iterable[ClientRecord],
    missing: Iterable[Missing],
    command: str,
) -> list[Exception]:
    """Return what is wrong with a run, the cause before its consequences.

    Emits as warnings what the settings say is to be no more than that.

    Args:
        stage: What was run.
        options: How strictly each check is to be taken.
        clients: Every connection, as it was when the test was over.
        missing: What was asked for in vain.
        command: The command that would record it.
    """
    failure = stage.player.failure
    found: list[Exception] = [] if failure is None else [failure]
    found += _checked("server", server_errors(stage), options)
    found += _checked("missing", missing_errors(stage, missing, command), options)
    vanished = [ClientVanishedError(client) for client in clients if client.vanished]
    found += _checked("vanished", vanished, options)
    if options.at_end == "fail" and stage.player.ended:
        found.append(TapeEndedError(stage.tape.released, "the end of the test"))
    return found


def _checked(
    name: str, errors: Sequence[Exception], options: Options
) -> Sequence[Exception]:
    severity = options.severity(name)
    if severity == "warn":
        for error in errors:
            warnings.warn(CheckWarning(str(error)), stacklevel=2)
    return errors if severity == "fail" else []


def server_errors(stage: Stage) -> list[Exception]:
    """Return what went wrong in the server's own tasks."""
    return [
        error if isinstance(error, ReplayError) else ServerFailedError(repr(error))
        for error in stage.server.failures
    ]


def missing_errors(
    stage: Stage, missing: Iterable[Missing], command: str
) -> list[Exception]:
    """Return what clients asked for in vain, with what there is instead."""
    held = {
        market: tuple(sorted(names))
        for market, names in stage.library.catalogue.streams.items()
    }
    return [
        MissingDataError(item, stage.cassette, held[item.market], command)
        for item in missing
    ]


def without_what_was_shown(
    problems: Iterable[Exception], handles: Sequence[Handle[object]]
) -> list[Exception]:
    """Return each problem once, but for those that a test has been given already.

    Args:
        problems: What is wrong.
        handles: All that the test was given to wait for; their own errors are added
            if nobody waited.
    """
    found = [p for p in problems if not any(h.has_shown(p) for h in handles)]
    unseen = (handle.unseen_error() for handle in handles)
    found += [error for error in unseen if isinstance(error, Exception)]
    return list({(type(error), str(error)): error for error in found}.values())
