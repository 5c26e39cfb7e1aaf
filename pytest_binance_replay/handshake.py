"""What comes before a connection: HTTP, in the shape that websockets gives it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from http import client as http_client
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import SecurityError
from websockets.http11 import Response
from websockets.streams import StreamReader

from pytest_binance_replay.http import (
    MAX_HEAD_BYTES,
    HttpConversation,
    HttpReply,
    HttpRequest,
)

if TYPE_CHECKING:
    import asyncio

    from websockets.server import ServerProtocol

    from pytest_binance_replay.protocols.address import Address

_MAX_LINE_BYTES = 2**16
_MAY_BE_HTTP = re.compile(rb"[A-Za-z]{0,20}\Z|[A-Za-z]{1,20} ")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_HANDSHAKE = re.compile(rb"\nupgrade:[^\r\n]*websocket", re.IGNORECASE)

Answer = Callable[[HttpRequest], Awaitable[HttpReply]]
Spawn = Callable[[Coroutine[Any, Any, None]], object]


def make_response(status: int, body: bytes, content_type: str) -> Response:
    """Return a response over HTTP that ends the connection.

    Args:
        status: HTTP status.
        body: The body, sent as it is.
        content_type: Its media type.
    """
    headers = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Connection": "close",
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
        }
    )
    return Response(status, http_client.responses.get(status, ""), headers, body)


class _LongLineReader(StreamReader):
    """Reads request lines as long as the exchange takes them.

    Source:
        Measured on the exchange: 16 KiB pass, where websockets stops at 8 KiB.
    """

    def read_line(self, m: int, *args: Any) -> Any:
        """Read a line of at most 64 KiB, whatever the library allows."""
        return super().read_line(max(m, _MAX_LINE_BYTES), *args)


class Connection(ServerConnection):
    """A connection that takes long request lines and refuses others politely.

    Attributes:
        address: What the client asked for; None until the handshake has said.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        answer: Answer,
        spawn: Spawn,
        **settings: Any,
    ) -> None:
        super().__init__(protocol, server, **settings)
        self._head: bytearray | None = bytearray()
        self._http: HttpConversation | None = None
        self._answer = answer
        self._spawn = spawn
        protocol.reader = _LongLineReader()
        # The parser was made for the reader just replaced.
        protocol.parser = protocol.parse()
        next(protocol.parser)
        self.address: Address | None = None
        self._is_refused = False

    def data_received(self, data: bytes) -> None:
        """Take bytes: of requests, or of a handshake and what follows it.

        A client may do both on one connection: one that keeps connections for use
        again takes streams and REST, which have one port here, for one server.
        """
        if self._http is not None and self._head is None and self._http.is_idle:
            self._head = bytearray()
        if self._head is not None:
            self._head += data
            self._decide(bytes(self._head))
        elif self._http is not None:
            self._http.data_received(data)
        else:
            super().data_received(data)

    def _decide(self, head: bytes) -> None:
        """See from the head of a request what is spoken from here on."""
        end = _END_OF_HEAD.search(head)
        is_whole = end is not None or len(head) > MAX_HEAD_BYTES
        if not is_whole and _MAY_BE_HTTP.match(head):
            return
        self._head = None
        if _HANDSHAKE.search(head, 0, len(head) if end is None else end.end()):
            self._http = None
            super().data_received(head)
            return
        if self._http is None:
            self._http = HttpConversation(self.transport, self._answer, self._spawn)
        self._http.data_received(head)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Take note that the client says no more.

        Returns:
            Whether it is still to be answered.
        """
        if self._http is not None:
            return self._http.eof_received()
        super().eof_received()
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless it was accepted just before the end."""
        super().connection_made(transport)
        if not self.server.is_serving():
            self.transport.abort()

    def cut(self) -> None:
        """End the connection at once, if it has begun."""
        transport: asyncio.Transport | None = getattr(self, "transport", None)
        if transport is not None:  # pragma: no branch - accepted a moment ago
            transport.abort()

    def send_data(self) -> None:
        """Send what is to be sent, and an answer to what is no request."""
        problem = self.protocol.handshake_exc
        if self.request is None and problem is not None and not self._is_refused:
            self._is_refused = True
            # Newer versions of the library answer some of it by themselves.
            if not any(self.protocol.writes):
                self._refuse(problem.__cause__ or problem)
        super().send_data()

    def _refuse(self, problem: BaseException) -> None:
        if isinstance(problem, EOFError):
            return  # The client left in the middle of its request.
        status = 414 if isinstance(problem, SecurityError) else 400
        body = f"{problem}\n".encode()
        self.transport.write(make_response(status, body, "text/plain").serialize())
