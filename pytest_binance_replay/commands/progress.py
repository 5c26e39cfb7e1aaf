"""How far a long command has come, for whoever watches it at a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from pytest_binance_replay.clock import monotonic_seconds

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_EVERY_SECONDS = 0.2


class Progress:
    """Shows a share of the work on a terminal, in one line that is wiped at the end.

    Args:
        what: What is being done: ``converting``.
        total_bytes: How much there is to read.
        stream: Where to show it; None for stderr. Nothing is shown elsewhere than on a
            terminal.
    """

    def __init__(
        self, what: str, total_bytes: int, stream: TextIO | None = None
    ) -> None:
        self._what = what
        self._total_bytes = max(total_bytes, 1)
        self._stream = sys.stderr if stream is None else stream
        self._shows = self._stream is not None and self._stream.isatty()
        self._next_seconds = monotonic_seconds() + _EVERY_SECONDS
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Take the line off the terminal, so that others can be written there."""
        self._show("")

    def __call__(self, done_bytes: int) -> None:
        """Take note of how much has been read."""
        if not self._shows or monotonic_seconds() < self._next_seconds:
            return
        self._next_seconds = monotonic_seconds() + _EVERY_SECONDS
        percent = min(100 * done_bytes // self._total_bytes, 100)
        self._show(f"{self._what}: {percent} %")

    def _show(self, text: str) -> None:
        if self._shows and text != self._shown:
            self._stream.write(f"\r{text.ljust(len(self._shown))}")
            self._stream.write("\r" if not text else "")
            self._stream.flush()
            self._shown = text
