"""Requests over HTTP on the port of the streams: kept alive, of any method.

websockets answers one bodiless GET on a connection and drops it; clients of the REST
API reuse connections and send other methods too, so whatever is no WebSocket
handshake is spoken by h11.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import responses
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

MAX_HEAD_BYTES = 2**16
"""The longest request line and headers together."""

_MAX_BODY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, once all of it is here.

    Attributes:
        method: Upper case.
        target: Path and query, as asked.
        headers: By lower-case name; of a name that is repeated, the last.
    """

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer.

    Attributes:
        status: HTTP status.
        body: Sent as it is, but for HEAD.
        content_type: Its media type.
        headers: Further headers.
    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpConversation:
    """One connection over HTTP, request after request.

    Args:
        transport: Where answers are written.
        answer: Answers a request.
        spawn: Runs a task that ends with the server.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        answer: Callable[[HttpRequest], Awaitable[HttpReply]],
        spawn: Callable[..., object],
    ) -> None:
        self._transport = transport
        self._answer = answer
        self._spawn = spawn
        self._connection = h11.Connection(
            h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES
        )
        self._request: h11.Request | None = None
        self._body_bytes = 0
        self._has_line = False

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._connection.their_state is h11.ERROR:
            return
        self._has_line = self._has_line or b"\n" in data
        self._connection.receive_data(data)
        self._go_on()

    def eof_received(self) -> None:
        """Take note that the client will say no more."""
        if self._connection.their_state in {h11.IDLE, h11.DONE}:
            self._transport.close()

    def _go_on(self) -> None:
        try:
            while self._take(self._connection.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            too_long = error.error_status_hint == 431 and not self._has_line
            self._refuse(414 if too_long else error.error_status_hint, str(error))

    def _take(self, event: object) -> bool:
        """Take an event of the client; return whether to look for another."""
        if isinstance(event, h11.Request):
            self._request, self._body_bytes = event, 0
            if self._connection.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            if self._body_bytes > _MAX_BODY_BYTES:
                self._refuse(413, "the body is longer than a megabyte")
                return False
        elif isinstance(event, h11.EndOfMessage) and self._request is not None:
            self._spawn(self._respond(self._request))
        else:
            return False  # Nothing more for now, or the connection is over.
        return True

    async def _respond(self, asked: h11.Request) -> None:
        headers = {
            name.decode(): value.decode("latin-1") for name, value in asked.headers
        }
        request = HttpRequest(
            asked.method.decode(), asked.target.decode("latin-1"), headers
        )
        reply = await self._answer(request)
        if self._transport.is_closing():
            return
        self._write(reply, has_body=request.method != "HEAD")
        if self._connection.our_state is h11.DONE:
            if self._connection.their_state is h11.DONE:
                self._connection.start_next_cycle()
                self._go_on()
        else:
            self._transport.close()

    def _write(self, reply: HttpReply, *, has_body: bool) -> None:
        headers = [
            ("Date", formatdate(usegmt=True)),
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            *reply.headers.items(),
        ]
        reason = responses.get(reply.status, "").encode()
        head = h11.Response(status_code=reply.status, headers=headers, reason=reason)
        self._send(head)
        if has_body:
            self._send(h11.Data(data=reply.body))
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> None:
        data = self._connection.send(event)
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _refuse(self, status: int, problem: str) -> None:
        """Answer what is no request, and close."""
        if self._connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self._write(HttpReply(status, f"{problem}\n".encode()), has_body=True)
        self._transport.close()
