"""Two connections that carry the same streams, made into one sequence of messages.

Before an old connection ends, a new one is opened. A stream goes over to the new one
at a message that both have brought, so that none is lost and none is written twice,
whichever of the two is ahead. Until then the old one counts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_HELD = 10_000
"""Messages of the new connection that are held at most."""

_MOST_AHEAD = 5_000  # of each stream


class Handover:
    """Decides what counts while two connections bring the same streams.

    Messages are the same if their bytes are.

    Args:
        streams: The streams, UTF-8.
    """

    def __init__(self, streams: Iterable[bytes]) -> None:
        self._open = {stream: _Seam() for stream in streams}
        self._held = 0

    @property
    def is_done(self) -> bool:
        """Whether all streams have gone over."""
        return not self._open

    @property
    def is_full(self) -> bool:
        """Whether so much is held that it is time to `finish()`."""
        return self._held >= MOST_HELD

    def take_old(self, stream: bytes, payload: bytes) -> list[bytes]:
        """Take a message of the old connection; return what counts."""
        seam = self._open.get(stream)
        if seam is None:
            return []
        if payload not in seam.held:
            seam.ahead.append(payload)
            return [payload]
        held = list(seam.held)
        self._close(stream)
        return held[held.index(payload) :]

    def take_new(self, stream: bytes, payload: bytes) -> list[bytes]:
        """Take a message of the new connection; return what counts."""
        seam = self._open.get(stream)
        if seam is None:
            return [payload]
        if payload not in seam.ahead:
            seam.held.append(payload)
            self._held += 1
            return []
        while seam.ahead.popleft() != payload:
            pass
        if not seam.ahead:  # It has caught up.
            self._close(stream)
        return []

    def finish(self) -> list[tuple[bytes, bytes]]:
        """Give up the old connection.

        Returns:
            What the new one has brought of the streams that had not gone over yet,
            with their streams.
        """
        rest = [
            (stream, payload)
            for stream, seam in self._open.items()
            for payload in seam.held
        ]
        self._open.clear()
        self._held = 0
        return rest

    def _close(self, stream: bytes) -> None:
        self._held -= len(self._open.pop(stream).held)


class _Seam:
    """One stream that has not gone over yet.

    Attributes:
        ahead: What the old connection brought and the new one has not.
        held: What the new one brought and the old one has not.
    """

    def __init__(self) -> None:
        self.ahead: deque[bytes] = deque(maxlen=_MOST_AHEAD)
        self.held: list[bytes] = []
