"""The bytes of a file, decompressed, a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pytest_binance_replay.compression import compression_of
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.shelf import missing_file_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_binance_replay.compression import Compression, Decompressor

_COMPRESSED_BYTES = 16_384  # read at once; one byte may expand to a thousand


def open_file(path: Path) -> BinaryIO:
    """Open a file to read.

    Raises:
        CassetteNotFoundError: If there is no such file.
        CassetteFormatError: If it is a directory, or cannot be read.
    """
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except OSError as error:
        # Windows has no error of its own for a directory.
        may_be_directory = isinstance(error, IsADirectoryError | PermissionError)
        if may_be_directory and path.is_dir():
            problem, advice = "is a directory", "Name a cassette in it."
        else:
            reason = error.strerror or str(error)
            problem, advice = f"cannot be read: {reason}", "Check its permissions."
        raise CassetteFormatError(str(path), 0, problem, advice) from None


class Chunks:
    """What a file holds: plain, gzip or zstd, told apart by its first bytes.

    Args:
        file: The file, at its beginning.
        block_bytes: How much of a plain file is read at once.
        damaged: Makes the error for compressed data that is damaged.
        offset: Where in the file to begin: at its start, or at a member of a
            compressed one.

    Attributes:
        position: How much of the file has been read, bytes.
        is_cut: Whether a compressed file ends inside a member; known at the end.
    """

    def __init__(
        self,
        file: BinaryIO,
        block_bytes: int,
        damaged: Callable[[Compression, Exception], Exception],
        offset: int = 0,
    ) -> None:
        self.position = offset
        self.is_cut = False
        self._begin: int | None = None  # of the piece just given, as an offset
        self._is_plain = True
        self._file = file
        self._block_bytes = block_bytes
        self._damaged = damaged

    def __iter__(self) -> Iterator[bytes]:
        head = self._file.read(4)
        self._file.seek(self.position)
        compression = compression_of(head) if head else None
        if compression:
            self._is_plain = False
            yield from self._members(compression)
        else:
            while data := self._read(self._block_bytes):
                self._begin = self.position - len(data)
                yield data

    def begin_of(self, pending: int) -> int | None:
        """Return the offset at which to begin in order to get what was given last.

        Args:
            pending: How many bytes of what was given before are wanted, too.

        Returns:
            None if one cannot begin there.
        """
        if self._begin is None or (pending and not self._is_plain):
            return None
        return self._begin - pending

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.position += len(data)
        return data

    def _members(self, compression: Compression) -> Iterator[bytes]:
        member: Decompressor | None = None
        while data := self._read(_COMPRESSED_BYTES):
            while data:
                if member is None:
                    data = data.lstrip(b"\0")  # padding, as tapes and disks leave it
                    member = compression.decompressor() if data else None
                    self._begin = self.position - len(data)
                    continue
                try:
                    piece = member.decompress(data)
                except compression.damage as error:
                    raise self._damaged(compression, error) from None
                if piece:
                    yield piece
                    self._begin = None
                data = member.unused_data if member.eof else b""
                member = None if member.eof else member
        self.is_cut = member is not None
