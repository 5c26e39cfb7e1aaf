"""A websocket connection that hands over texts as soon as they have come.

To take a frame apart and to hand its message to whoever waits costs the library more
than all else that a recording does. What an exchange sends is nearly all whole texts,
so from the end of the handshake on those are cut out of what arrives, as many as there
are. Pings and pongs go to the library. So does, with all that follows it, the first
frame of any other kind: a part of a message, a binary one, the end, or what breaks the
protocol. The library's `recv()` gives that, and tells when the connection is lost.

Source:
    RFC 6455, section 5.2, "Base Framing Protocol".
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.client import ClientProtocol

_END_OF_HEAD = b"\r\n\r\n"

# The first byte of frames that are whole: the last of its message, without extensions.
_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A
_USUAL = frozenset({_TEXT, _PING, _PONG})
# The second: sizes up to 125 are in it. What is above 127 is masked.
_SIZE_IN_TWO_BYTES, _SIZE_IN_EIGHT_BYTES = 126, 127


def _extent(raw: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a frame begins, and where it ends.

    It ends behind all there is if a part of it is missing, its head included, and
    nowhere if it is masked, as no server may do.

    Args:
        raw: What has come of it, with what came before and behind it.
        at: Where it begins.
    """
    start = at + 2
    size = raw[at + 1] if start <= len(raw) else 0
    if size < _SIZE_IN_TWO_BYTES:
        return start, start + size
    if size > _SIZE_IN_EIGHT_BYTES:
        return start, sys.maxsize
    start += 2 if size == _SIZE_IN_TWO_BYTES else 8
    return start, start + int.from_bytes(raw[at + 2 : start], "big")


class Receiver(ClientConnection):
    """A connection that hands over texts as soon as they have come.

    Args:
        protocol: The library's, as all that follows `take`.
        take: Given the texts that have come together, in order, UTF-8 unless the other
            side breaks the protocol. It must not raise.
        most_bytes: Size of the largest message.
    """

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        take: Callable[[list[bytes]], None],
        most_bytes: int,
        **settings: Any,
    ) -> None:
        super().__init__(protocol, **settings)
        self._take = take
        self._most_bytes = most_bytes
        self._receive: Callable[[bytes], None] = self._shake_hands
        self._held = bytearray()
        self._needed_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._receive(data)

    def _leave(self, data: bytes) -> None:
        """Let the library take what has come."""
        super().data_received(data)

    def _shake_hands(self, data: bytes) -> None:
        """Let the library have the answer to the handshake, and no more than that."""
        known = len(self._held)
        self._held += data
        end = self._held.find(_END_OF_HEAD)
        if end < 0:
            del self._held[: 1 - len(_END_OF_HEAD)]
            self._leave(data)
            return
        self._held.clear()
        end += len(_END_OF_HEAD) - known
        self._leave(data[:end])
        self._receive = self._cut if self.state is State.OPEN else self._leave
        if rest := data[end:]:
            self._receive(rest)

    def _cut(self, data: bytes) -> None:
        """Hand over texts, and leave other things to the library."""
        if self._held:
            self._held += data
            if len(self._held) < self._needed_bytes:
                return
            data = bytes(self._held)
            self._held.clear()
        at = 0
        while at < len(data):
            at = self._take_texts(data, at)
            if at < len(data):
                at = self._pass(data, at)

    def _take_texts(self, data: bytes, at: int) -> int:
        """Hand over whole texts that follow each other; return where they end."""
        texts = []
        size = len(data)
        while at < size and data[at] == _TEXT:
            start, end = _extent(data, at)
            if end > size:
                break
            texts.append(data[start:end])
            at = end
        if texts:
            self._take(texts)
        return at

    def _pass(self, data: bytes, at: int) -> int:
        """Take a frame that is no whole text; return where the next one begins."""
        start, end = _extent(data, at)
        if data[at] not in _USUAL or end - start > self._most_bytes:
            self._receive = self._leave
            end = len(data)
        elif end > len(data):
            self._held += data[at:]
            self._needed_bytes = end - at
            return len(data)
        self._leave(data[at:end])
        return end
