"""An upstream that does what a script says, well or badly."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pytest_binance_replay.hosts import Upstream
from pytest_binance_replay.recording.upstream import Patience
from pytest_binance_replay.server import stop_accepting

SHORT = Patience(
    open=1,
    close=0.1,
    request=2,
    first_delay=0.001,
    most_delay=0.01,
    overlap=0.5,
    steady=0,
    first=1,
    again=1,
    settle=1,
    flush=0.01,
)
"""Patience that no test has to wait for."""


class Seat:
    """One connection, as the upstream sees it."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.asked: list[str] = []

    async def hear(self) -> int:
        """Read one subscription; return its id."""
        request = json.loads(await self.connection.recv())
        assert request["method"] == "SUBSCRIBE"
        self.asked += request["params"]
        number: int = request["id"]
        return number

    async def acknowledge(self) -> None:
        """Read one subscription, and agree."""
        await self.say(f'{{"result":null,"id":{await self.hear()}}}')

    async def say(self, text: str | bytes) -> None:
        """Send a text as it is, or bytes as a binary message."""
        await self.connection.send(text)

    async def send(self, stream: str, *payloads: bytes | str) -> None:
        """Send messages of a stream."""
        for payload in payloads:
            text = payload if isinstance(payload, str) else payload.decode()
            await self.say(f'{{"stream":"{stream}","data":{text}}}')

    async def hold(self) -> None:
        """Wait until the client goes."""
        await self.connection.wait_closed()

    def drop(self) -> None:
        """End without a close frame."""
        self.connection.transport.abort()


Script = Callable[[Seat], Awaitable[None]]
Answer = tuple[int, dict[str, str], bytes]


def ok(body: bytes | str) -> Answer:
    """A good answer over REST."""
    return 200, {}, body if isinstance(body, bytes) else body.encode()


def refusal(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Another one."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, body


class Hostile:
    """Runs a script for each connection; the last one for all that follow.

    Answers over REST come in the order given, and the last one again and again; or
    a function gives them.
    """

    def __init__(
        self,
        *scripts: Script,
        rest: Mapping[str, list[Answer] | Callable[[], Answer]] | None = None,
        refuse: Iterable[Answer] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.seats: list[Seat] = []
        self.requests: list[str] = []
        self._scripts = scripts
        self._rest = rest or {}
        self._refuse = list(refuse)
        self._last_refusal: tuple[int, Answer] | None = None
        self.refused = asyncio.Event()
        self._tls = tls
        self._server: Server | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._play,
            "127.0.0.1",
            0,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
            close_timeout=0.1,
            ssl=self._tls,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await stop_accepting(self._server)
        self._server.close()
        await self._server.wait_closed()

    @property
    def upstream(self) -> Upstream:
        """Its addresses."""
        s = "s" if self._tls else ""
        here = f"127.0.0.1:{self._port}"
        return Upstream(f"ws{s}://{here}", f"http{s}://{here}")

    def refuse_next(self, *answers: Answer) -> None:
        """Answer the next attempts to connect with these; then `refused` is set."""
        self._refuse += answers

    def refuse_after(self, connections: int, answer: Answer) -> None:
        """Answer all attempts to connect with one, once there were so many."""
        self._last_refusal = (connections, answer)

    def _next_refusal(self) -> Answer | None:
        if self._refuse:
            answer = self._refuse.pop(0)
            if not self._refuse:
                self.refused.set()
            return answer
        if self._last_refusal and len(self.seats) >= self._last_refusal[0]:
            return self._last_refusal[1]
        return None

    async def _play(self, connection: ServerConnection) -> None:
        seat = Seat(connection)
        self.seats.append(seat)
        script = self._scripts[min(len(self.seats), len(self._scripts)) - 1]
        try:
            await script(seat)
        except ConnectionClosed:
            return

    def _answer(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        if "Upgrade" in request.headers:
            refused = self._next_refusal()
            return self._respond(connection, refused) if refused else None
        self.requests.append(request.path)
        answers = self._rest.get(request.path.partition("?")[0])
        if callable(answers):
            return self._respond(connection, answers())
        if not answers:
            return self._respond(connection, refusal(404, b'{"code":-1,"msg":"no"}'))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return self._respond(connection, answer)

    def _respond(self, connection: ServerConnection, answer: Answer) -> Response:
        status, headers, body = answer
        response = connection.respond(status, "")
        response.body = body
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            response.headers[name] = value
        return response


async def silent(seat: Seat) -> None:
    """A script that acknowledges, and says nothing more."""
    await seat.acknowledge()
    await seat.hold()
