"""Cassettes written: replaced atomically, the same lines giving the same bytes.

Compressed ones are written as independent members of about one MiB of lines, so that
a reader may start at any of them.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_binance_replay.cassette import (
    End,
    Frame,
    Header,
    Mark,
    RestAnswer,
    format_line,
)
from pytest_binance_replay.compression import compressor_for
from pytest_binance_replay.errors import CassetteLineError

_MEMBER_BYTES = 1024 * 1024


class CassetteWriter:
    """Writes one cassette, and puts it in place only when it is whole.

    Until `commit` the lines are in a temporary file beside the target, which stays as
    it was. As a context manager it commits when the block ends, and discards when the
    block raises. The same lines give the same bytes.

    Args:
        path: The file to be; its suffix decides the compression. Missing folders are
            made.
        header: Its first line.

    Attributes:
        path: The file to be.
        frames: Frames written so far.
        last_time_us: The latest receive time written, microseconds since the epoch; 0
            before the first.

    Raises:
        CassetteNameError: If the suffix is not one of a cassette.
        MissingExtraError: If the suffix asks for zstd, which needs the extra.
        CassetteLineError: If the header cannot be a line.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self.path = Path(path)
        self.frames = 0
        self.last_time_us = 0
        self._compress = compressor_for(self.path)
        self._pending = [format_line(header)]
        self._pending_bytes = len(self._pending[0])
        # A link stays a link, to the new file.
        self._target = Path(os.path.realpath(path))
        self._target.parent.mkdir(parents=True, exist_ok=True)
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._temporary = self._target.with_name(f".binance-replay-{unique}.part")
        self._file = self._temporary.open("xb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None and not self._file.closed:
            self.commit()
        else:
            self.discard()

    def write(self, line: Frame | RestAnswer | Mark) -> None:
        """Append one line.

        Raises:
            CassetteLineError: If it would not read back as it is (see `format_line`).
        """
        self._append(format_line(line), line.receive_time_us)
        self.frames += isinstance(line, Frame)

    def write_raw_frame(
        self, receive_time_us: int, stream: bytes, payload: bytes
    ) -> None:
        """Append one frame, fast: the caller vouches for its parts.

        Args:
            receive_time_us: Microseconds since the epoch, UTC.
            stream: As between its quotes, UTF-8: a name without quotes, backslashes
                and control characters.
            payload: One line of JSON without blanks around it (see `is_payload`).

        Raises:
            CassetteLineError: If the payload is more than one line.
        """
        if b"\n" in payload:
            problem = "its payload is more than one line"
            raise CassetteLineError(problem)
        parts = (receive_time_us, stream, payload)
        self._append(b'{"t":%d,"stream":"%b","data":%b}\n' % parts, receive_time_us)
        self.frames += 1

    def commit(self, *, end_time_us: int | None = None) -> None:
        """Write the end line, and put the file in place of the old one.

        Args:
            end_time_us: When the recording was finished, microseconds since the epoch;
                None for the latest receive time written.

        Raises:
            OSError: If the file cannot be written; the old one is as it was.
        """
        end_us = self.last_time_us if end_time_us is None else end_time_us
        try:
            self._append(format_line(End(end_us, self.frames)), end_us)
            self._flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._target.exists():
                self._temporary.chmod(stat.S_IMODE(self._target.stat().st_mode))
            self._temporary.replace(self._target)
        except BaseException:
            self.discard()
            raise
        _sync_directory(self._target.parent)

    def flush(self) -> int:
        """Hand over to the system what was written, as whole lines.

        Even if the process is killed then, the temporary file holds them. Of a
        compressed cassette each call makes a member, so that few calls make a smaller
        file.

        Returns:
            The bytes in the temporary file.

        Raises:
            OSError: If they cannot be written.
        """
        if self._pending:
            self._flush()
        return self._file.tell()

    def keep_as(self, path: Path) -> None:
        """Keep what was written under another name, instead of putting it in place.

        It gets an end line; what cannot be written any more is left out.

        Args:
            path: Where to, in the target's folder; what is there is replaced.

        Raises:
            OSError: If it cannot be renamed; it is given up then.
        """
        with suppress(OSError):
            self._append(format_line(End(self.last_time_us, self.frames)), 0)
            self._flush()
        self._file.close()
        try:
            self._temporary.replace(path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Give up what was written; without effect on a cassette in place."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _append(self, raw: bytes, time_us: int) -> None:
        self._pending.append(raw)
        self._pending_bytes += len(raw)
        if time_us > self.last_time_us:
            self.last_time_us = time_us
        if self._pending_bytes >= _MEMBER_BYTES:
            self._flush()

    def _flush(self) -> None:
        packed = memoryview(self._compress(b"".join(self._pending)))
        self._pending, self._pending_bytes = [], 0
        while packed:
            packed = packed[self._file.write(packed) :]


def _sync_directory(directory: Path) -> None:
    # Windows cannot open a directory, and some network file systems cannot sync one:
    # the file itself is safe there.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
