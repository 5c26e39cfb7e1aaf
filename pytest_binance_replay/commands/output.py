"""What commands that write files share."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_binance_replay.commands.console import STOPPED, say
from pytest_binance_replay.errors import OptionError, ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def writing(target: str | Path) -> Iterator[None]:
    """Say in one line why a file could not be written, or that it was stopped.

    Args:
        target: The file, as the user named it.

    Raises:
        OptionError: If the system refuses to write it.
        SystemExit: If the user stopped it.
    """
    try:
        yield
    except ReplayError:
        raise
    except OSError as error:
        where, reason = f"-o {target}", error.strerror or error
        raise OptionError(where, f"cannot be written: {reason}") from None
    except KeyboardInterrupt:
        say(sys.stderr, f"Stopped; {target} is as it was.")
        sys.exit(STOPPED)


def complain(problem: object) -> None:
    """Say on stderr what is odd, and go on."""
    say(sys.stderr, str(problem))


def counted(number: int, noun: str) -> str:
    """Write how many there are of something.

    Example:
        >>> counted(1, "frame"), counted(4716, "frame")
        ('1 frame', '4,716 frames')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
