"""One reading of a tape for all who go over it side by side."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from pytest_binance_replay.errors import ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_binance_replay.cassette import Batch

KEPT_BATCHES = 16
"""How far a reader may fall behind the first one and still share what that read."""


class SharedReading:
    """Reads each batch once for readers that are not far from each other.

    Who falls far behind reads for himself until he has caught up.

    Args:
        open_batches: Starts reading the tape from its first frame; it reads the same
            each time.
    """

    def __init__(self, open_batches: Callable[[], Iterator[Batch]]) -> None:
        self._open = open_batches
        self._source: Iterator[Batch] | None = None
        self._front = 0
        self._recent: dict[int, Batch] = {}
        self._failure: ReplayError | None = None

    def batches(self) -> Iterator[Batch]:
        """Start reading from the first frame.

        Raises:
            ReplayError: Where the tape cannot be read, to each reader that comes there.
        """
        number = 0
        own: Iterator[Batch] | None = None
        own_number = 0
        while True:
            batch = self._recent.get(number)
            if batch is not None:
                own = None
            elif number == self._front:
                batch = self._read_on()
            else:
                if own is None:
                    own, own_number = self._open(), 0
                batch = next(islice(own, number - own_number, None), None)
                own_number = number + 1
            if batch is None:
                return
            yield batch
            number += 1

    def _read_on(self) -> Batch | None:
        if self._failure is not None:
            raise self._failure
        if self._source is None:
            self._source = self._open()
        try:
            batch = next(self._source, None)
        except ReplayError as error:
            # The source is used up: its next answer would pass for the tape's end.
            self._failure = error
            raise
        if batch is not None:
            self._recent[self._front] = batch
            self._recent.pop(self._front - KEPT_BATCHES, None)
            self._front += 1
        return batch
