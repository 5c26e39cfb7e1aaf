"""What all commands share: exit codes, and lines said to a terminal."""

from __future__ import annotations

import errno
import os
import queue
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_binance_replay.errors import OutputError

if TYPE_CHECKING:
    from typing import TextIO

FINE, UNSOUND, USAGE, NETWORK = 0, 1, 2, 3
"""Exit codes: fine; the thing checked is not sound; wrong usage; network."""

STOPPED = 130
"""Exit code of what Ctrl-C ended, as shells say it."""

_LOST = {errno.ENOSPC, errno.EFBIG, errno.EIO}
_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Windows's Ctrl-Break


def listen_for_signals() -> queue.SimpleQueue[int]:
    """Return a queue of the signals that are to end the program.

    Unlike the lock of an event, a simple queue may be entered again by a second
    signal that arrives while the first is being noted.
    """
    stops: queue.SimpleQueue[int] = queue.SimpleQueue()
    for name in _SIGNALS:
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, lambda received, _: stops.put(received))
    return stops


def say(stream: TextIO | None, text: str) -> None:
    """Write lines to a stream, which may be closed: then nobody wants to know.

    Raises:
        OutputError: If what somebody wants to know cannot be written.
    """
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError as error:
        # The interpreter flushes once more when it ends, and would complain.
        with suppress(OSError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        if stream is sys.stdout and error.errno in _LOST:
            raise OutputError(os.strerror(error.errno)) from None
