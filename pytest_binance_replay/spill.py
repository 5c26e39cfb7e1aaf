"""Blocks on disk, for clients that lag further behind than memory should reach.

Nothing is written while everybody keeps up.
"""

from __future__ import annotations

import marshal
import tempfile
from bisect import bisect_right
from typing import IO

from pytest_binance_replay.wire import Block

_CACHED_BLOCKS = 4


class SpillFile:
    """A temporary file of blocks; implements `pytest_binance_replay.tape.Store`."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._firsts: list[int] = []
        self._places: list[tuple[int, int]] = []
        self._cache: dict[int, Block] = {}

    def put(self, block: Block) -> None:
        """Append a block."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="binance-replay-")  # noqa: SIM115 - closed by close()
        lists = (block.times_us, block.due_us, block.keys, list(block.payloads))
        data = marshal.dumps((block.first, *lists))
        self._firsts.append(block.first)
        self._places.append((self._file.seek(0, 2), len(data)))
        self._file.write(data)

    def get(self, number: int) -> Block:
        """Read the block that holds a frame number.

        Raises:
            IndexError: If no kept block holds it.
        """
        at = bisect_right(self._firsts, number) - 1
        if at < 0 or self._file is None:
            raise IndexError(number)
        block = self._cache.get(at)
        if block is None:
            offset, size = self._places[at]
            self._file.seek(offset)
            # Written by this process and unlinked: nobody else can have touched it.
            block = Block(*marshal.loads(self._file.read(size)))
            while len(self._cache) >= _CACHED_BLOCKS:
                del self._cache[next(iter(self._cache))]
            self._cache[at] = block
        return block

    def clear(self) -> None:
        """Forget all blocks and give the disk space back."""
        if self._file is not None and self._firsts:
            self._file.truncate(0)
            self._firsts.clear()
            self._places.clear()
            self._cache.clear()

    def close(self) -> None:
        """Remove the file."""
        self.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
