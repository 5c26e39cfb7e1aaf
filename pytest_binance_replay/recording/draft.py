"""The cassette that a recording writes: lines in order of time, counted."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import Mark, RestAnswer, unparsed_mark
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.compression import suffix_of
from pytest_binance_replay.writer import CassetteWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_binance_replay.cassette import Header

_OK = 200


def rejected_path(path: Path) -> Path:
    """Return where what a failed recording captured is kept.

    Example:
        >>> from pathlib import Path
        >>> rejected_path(Path("recordings/dip.jsonl.gz")).name
        'dip.rejected.jsonl.gz'
    """
    suffix = suffix_of(path.name)
    return path.with_name(f"{path.name.removesuffix(suffix)}.rejected{suffix}")


class Draft:
    """A cassette that is being recorded.

    Receive times never go back: what waited for a decision gets the time of the line
    before it.

    Args:
        path: The file to be; it stays as it was until `commit()`.
        header: Its first line.

    Attributes:
        size_bytes: What the system has been given, as of the last `flush()`.
        marks: Marks so far, by name.
        requests: Requests of the answers so far, in order.

    Raises:
        OSError: If it cannot be written; each method may raise it, too.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._writer = CassetteWriter(path, header)
        self.size_bytes = self._writer.flush()
        self.marks: Counter[str] = Counter()
        self.requests: list[str] = []
        self._is_over = False

    @property
    def is_compressed(self) -> bool:
        """Whether each `flush()` makes the file somewhat larger."""
        return suffix_of(self._path.name) != ".jsonl"

    def _in_order(self, time_us: int) -> int:
        last_us = self._writer.last_time_us
        if time_us < last_us:
            return last_us
        return time_us

    def frame(self, stream: bytes, payload: bytes, time_us: int) -> int:
        """Write a frame; return the receive time that it has."""
        time_us = self._in_order(time_us)
        self._writer.write_raw_frame(time_us, stream, payload)
        return time_us

    def answer(self, request: str, body: bytes) -> None:
        """Write a REST answer that has just come."""
        self._writer.write(RestAnswer(self._in_order(wall_us()), request, _OK, body))
        self.requests.append(request)

    def garble(self, raw: bytes, time_us: int) -> None:
        """Write what cannot be read, as a mark."""
        self._mark(unparsed_mark(self._in_order(time_us), None, raw))

    def mark(self, name: str, fields: Mapping[str, object]) -> None:
        """Write a mark about something that has just happened."""
        self._mark(Mark(self._in_order(wall_us()), name, fields))

    def _mark(self, mark: Mark) -> None:
        self._writer.write(mark)
        self.marks[mark.name] += 1

    def flush(self) -> None:
        """Hand over to the system what was written."""
        self.size_bytes = self._writer.flush()

    def commit(self) -> None:
        """Finish it, and put it in place."""
        # A disk that is full is told while all that fits can still be kept.
        self.flush()
        self._is_over = True
        self._writer.commit(end_time_us=self._in_order(wall_us()))
        self.size_bytes = self._path.stat().st_size

    def keep(self, reason: str) -> str | None:
        """Keep it beside its place, with a mark that says why it is not in it.

        Args:
            reason: Why, in a sentence.

        Returns:
            None if it has no frames, or cannot be kept: then it is given up.
        """
        if self._is_over or not self._writer.frames:
            self._writer.discard()
            return None
        kept = rejected_path(self._path)
        with suppress(OSError):
            self.mark("failed", {"reason": reason})
        try:
            self._writer.keep_as(kept)
        except OSError:
            return None
        return str(kept)
