"""A server that says where its clients believe they are."""

from __future__ import annotations

import json
import logging
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.guard import Redirect
from pytest_binance_replay.handshake import make_response
from pytest_binance_replay.server import stop_accepting
from pytest_binance_replay.tls import Authority

# Clients that trust somebody else hang up on it; that is their test, and no news.
_LOGGER = logging.getLogger("tests.landing")
_LOGGER.setLevel(logging.CRITICAL)


class LandingPlace:
    """Two ports, TLS and in the clear, on the loop of a thread.

    Answers requests, and greets WebSocket clients, with the host they dialled, the
    path they asked for and the port it was.
    """

    def __init__(self, thread: LoopThread, authority: Authority) -> None:
        self._thread = thread
        self.ca_pem = authority.ca_pem

        async def start() -> tuple[Server, Server]:
            settings: dict[str, Any] = {
                "process_request": self._answer,
                "logger": _LOGGER,
            }
            context = authority.server_context()
            return (
                await serve(self._greet, "127.0.0.1", 0, ssl=context, **settings),
                await serve(self._greet, "127.0.0.1", 0, **settings),
            )

        self._servers = thread.call(start())
        self.tls_port, self.plain_port = map(_port, self._servers)

    def redirect(self, **facts: Any) -> Redirect:
        """The way here."""
        given = {"ca_pem": self.ca_pem, **facts}
        return Redirect(self.tls_port, self.plain_port, **given)

    def close(self) -> None:
        """Close both ports."""

        async def close() -> None:
            await stop_accepting(*self._servers)
            for server in self._servers:
                server.close()
                await server.wait_closed()

        self._thread.call(close())

    def _answer(self, connection: ServerConnection, request: Any) -> Any:
        if "Upgrade" in request.headers:
            return None
        said = self._describe(connection, request)
        return make_response(200, said.encode(), "application/json")

    async def _greet(self, connection: ServerConnection) -> None:
        await connection.send(self._describe(connection, connection.request))
        await connection.wait_closed()

    @staticmethod
    def _describe(connection: ServerConnection, request: Any) -> str:
        is_tls = connection.transport.get_extra_info("ssl_object") is not None
        return json.dumps([request.headers["Host"], request.path, is_tls])


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port
