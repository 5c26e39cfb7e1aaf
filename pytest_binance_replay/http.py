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
_BODILESS = {204, 304}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, once all of it is here.

    Attributes:
        method: As asked; methods are upper case.
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
        self._is_answering = False
        self._is_over = False

    @property
    def is_idle(self) -> bool:
        """Whether all was answered, and whatever comes next begins a request."""
        is_between = self._connection.their_state is h11.IDLE
        return is_between and not self._connection.trailing_data[0]

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client; none counts behind its last request."""
        if not self._is_over:
            self._connection.receive_data(data)
            self._go_on()

    def eof_received(self) -> bool:
        """Take note that the client will say no more.

        Returns:
            Whether it is still to be answered; nobody can choose that under TLS.
        """
        if self._transport.get_extra_info("ssl_object") is not None:
            return False
        if not self._is_over:
            self._connection.receive_data(b"")
            self._go_on()
        return self._is_answering

    def _go_on(self) -> None:
        """Take in the next request, unless one is being answered."""
        if self._is_answering:
            return
        try:
            while self._take(self._connection.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(self._status_of(error), str(error))

    def _status_of(self, error: h11.RemoteProtocolError) -> int:
        status = error.error_status_hint
        unread, _ = self._connection.trailing_data
        return 414 if status == 431 and b"\n" not in unread else status

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
            self._is_answering = True
            self._is_over = self._connection.their_state is h11.MUST_CLOSE
            self._spawn(self._respond(self._request))
            return False
        else:
            if isinstance(event, h11.ConnectionClosed):
                self._transport.close()
            return False
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
        no_body = request.method == "HEAD" or reply.status in _BODILESS
        self._write(reply, has_body=not no_body)
        self._is_answering = False
        states = self._connection.our_state, self._connection.their_state
        if states == (h11.DONE, h11.DONE):
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
        """Answer what cannot be taken, and say no more.

        What the client still sends is read and forgotten: to close at once would
        reset the connection, and the client might never see the answer.
        """
        self._is_over = True
        body = f"{problem}\n".encode()
        self._write(
            HttpReply(status, body, headers={"Connection": "close"}), has_body=True
        )
        if self._transport.get_extra_info("ssl_object") is None:
            self._transport.write_eof()
        else:
            self._transport.close()
