"""What is wrong with a run, as errors: what a test is told at its end."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

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


class Look(NamedTuple):
    """What was to be seen of a stage at one moment.

    Attributes:
        clients: Every connection so far.
        missing: What was asked for in vain, as far as the hub can tell.
        player_failure: The error that stopped the tape; None while it is sound.
        server_failures: Errors of the server's own tasks.
        tape_ended: Whether the end of the tape was reached.
        released: How many frames were released.
    """

    clients: tuple[ClientRecord, ...]
    missing: tuple[Missing, ...]
    player_failure: Exception | None
    server_failures: tuple[BaseException, ...]
    tape_ended: bool
    released: int


def look_at(stage: Stage) -> Look:
    """Look at a stage; on the loop that it lives on."""
    hub, player = stage.hub, stage.player
    return Look(
        hub.records(),
        tuple(hub.missing),
        player.failure,
        tuple(stage.server.failures),
        player.ended,
        stage.tape.released,
    )


def find_problems(
    look: Look, missing: Sequence[Exception], options: Options
) -> list[Exception]:
    """Return what is wrong with a run, the cause before its consequences.

    Emits as warnings what the settings say is to be no more than that.

    Args:
        look: What there was to be seen at its end.
        missing: What was asked for in vain, see `missing_errors`.
        options: How strictly each check is to be taken.
    """
    found = [] if look.player_failure is None else [look.player_failure]
    found += _checked("server", server_errors(look), options)
    found += _checked("missing", missing, options)
    vanished = [ClientVanishedError(c) for c in look.clients if c.vanished]
    found += _checked("vanished", vanished, options)
    if options.at_end == "fail" and look.tape_ended:
        found.append(TapeEndedError(look.released, "the end of the test"))
    return found


def _checked(
    name: str, errors: Sequence[Exception], options: Options
) -> Sequence[Exception]:
    severity = options.severity(name)
    if severity == "warn":
        for error in errors:
            warnings.warn(CheckWarning(str(error)), stacklevel=2)
    return errors if severity == "fail" else []


def server_errors(look: Look) -> list[Exception]:
    """Return what went wrong in the server's own tasks."""
    return [
        error if isinstance(error, ReplayError) else ServerFailedError(repr(error))
        for error in look.server_failures
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
