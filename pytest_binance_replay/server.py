"""The replay server: sockets on one side, the hub on the other.

A client is served by two tasks: one hands its messages to the hub, the other, its
feeder, writes what the tape has released and it has not had yet.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from pytest_binance_replay.errors import PortInUseError, SocketsBlockedError
from pytest_binance_replay.handshake import Connection, make_response
from pytest_binance_replay.hosts import market_of_host
from pytest_binance_replay.http import HttpReply, HttpRequest
from pytest_binance_replay.link import Link, Signal
from pytest_binance_replay.protocols.address import Address, parse_address
from pytest_binance_replay.protocols.rest import JSON_TYPE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Mapping

    from websockets.http11 import Request, Response
    from websockets.server import ServerProtocol

    from pytest_binance_replay.clock import RealClock
    from pytest_binance_replay.desk import RestDesk
    from pytest_binance_replay.hub import Hub
    from pytest_binance_replay.player import Lag
    from pytest_binance_replay.streams import Market

MAX_MESSAGE_BYTES = 2**20
"""The largest message a client may send; larger ones close it with 1009."""

SLOW_SECONDS = 2.0
"""How long a client may read nothing where slow clients are disconnected."""

_CLOSING_SECONDS = 0.05
_BACKLOG = 100


class Rhythm(NamedTuple):
    """How a market keeps its connections alive.

    Attributes:
        ping_seconds: From one ping to the next.
        pong_seconds: How long a pong may take before the connection is closed.
    """

    ping_seconds: float
    pong_seconds: float


RHYTHMS: Mapping[Market, Rhythm] = {
    "spot": Rhythm(20.0, 60.0),
    "usdm": Rhythm(180.0, 600.0),
}
"""Source: Binance API docs, "WebSocket Streams", spot and futures."""

# What a client did wrong is in the journal; a traceback of it in the log of the test
# would only hide what matters there.
_LOGGER = logging.getLogger("pytest_binance_replay.websockets")
_LOGGER.setLevel(logging.CRITICAL)


def listen(host: str, port: int) -> socket.socket:
    """Open a port, for one server after another.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        PortInUseError: If it cannot be had.
        SocketsBlockedError: If pytest-socket forbids it.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except (RuntimeError, Warning) as error:  # pytest-socket warns, too.
        raise SocketsBlockedError(type(error).__name__) from error
    except OSError as error:
        raise PortInUseError(host, port, error.strerror or "") from error
    # Accepted sockets inherit it. Without, a ping behind a frame waits 40 ms for the
    # client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def stop_accepting(*servers: Server) -> None:
    """Leave who knocks from now on to the next server on the port.

    To be awaited before a server is closed: a connection that asyncio took a moment
    ago and has not handed over would be dropped unclosed if its server closed first.
    """
    loop = asyncio.get_running_loop()
    for listener in chain.from_iterable(server.sockets for server in servers):
        loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)  # noqa: TID251 - yields, does not wait


class ReplayServer:
    """A Binance on a local port, playing a tape.

    Runs on the loop that starts it.

    Args:
        hub: The hub, which holds the tape.
        clock: Real time; pings keep it, whatever the tape does.
        listener: The open port. It stays open when the server closes; who connects
            from then on is served by the next server on it.
        desk: Answers requests over HTTP.
        lag: What happens to a client that does not read.
        rhythms: How each market keeps its connections alive.
        slow_seconds: How long a client may read nothing if `lag` is `disconnect`.

    Attributes:
        failures: Errors of the server's own tasks, which no client caused.
        signal: Fired whenever anything changes that somebody may wait for.
        links: The clients connected now.
    """

    def __init__(
        self,
        hub: Hub,
        clock: RealClock,
        listener: socket.socket,
        *,
        desk: RestDesk,
        lag: Lag = "lag",
        rhythms: Mapping[Market, Rhythm] = RHYTHMS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self.hub = hub
        self.failures: list[BaseException] = []
        self.signal = Signal()
        self.links: list[Link] = []
        self._clock = clock
        self._listener = listener
        self._desk = desk
        self._slow_seconds = slow_seconds if lag == "disconnect" else None
        self._rhythms = rhythms
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: WeakSet[Connection] = WeakSet()
        self._servers: list[Server] = []
        self._openings: set[asyncio.Task[None]] = set()
        self._next_ping = 0
        self._is_pinging = False
        hub.on_change = self.signal.fire

    # Life

    def start(self) -> None:
        """Take in who connects."""
        self.serve_on(self._listener)

    def serve_on(
        self, listener: socket.socket, context: ssl.SSLContext | None = None
    ) -> None:
        """Take in who connects to one more port.

        Args:
            listener: The open port, which stays open when the server closes.
            context: What to speak TLS with; None speaks in the clear.
        """
        opening = self.spawn(self._open(listener, context))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

    async def _open(
        self, listener: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        server = await serve(
            self._serve,
            sock=listener.dup(),
            ssl=context,
            process_request=self._process_request,
            create_connection=self._make_connection,  # type: ignore[arg-type]
            compression=None,
            open_timeout=None,  # A connection over HTTP never opens, for websockets.
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
            server_header=None,
            logger=_LOGGER,
        )
        self._servers.append(server)

    def _make_connection(
        self, protocol: ServerProtocol, server: Server, **settings: Any
    ) -> Connection:
        connection = Connection(
            protocol, server, answer=self.answer, spawn=self.spawn, **settings
        )
        self._connections.add(connection)
        return connection

    async def close(self) -> None:
        """Say good-bye to all clients, leave no task and no socket behind."""
        await asyncio.gather(*self._openings, return_exceptions=True)
        await stop_accepting(*self._servers)
        for server in self._servers:
            server.close(close_connections=False)
        goodbyes = [
            asyncio.ensure_future(link.hang_up(1001, "")) for link in self._open_links()
        ]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=_CLOSING_SECONDS)
        await self._cut_all()
        await asyncio.gather(*goodbyes, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def let_go(self) -> None:
        """Let those go who are going, for their own loop may soon stop for ever."""
        for _ in range(2):  # to read what they have said, and to answer
            await asyncio.sleep(0)  # noqa: TID251 - yields, does not wait
        going = [
            asyncio.ensure_future(connection.wait_closed())
            for connection in self._connections
            if connection.state is State.CLOSING
        ]
        if going:
            _, left = await asyncio.wait(going, timeout=_CLOSING_SECONDS)
            for one in left:
                one.cancel()

    async def _cut_all(self) -> None:
        """End what is still connected, also who has not said what for yet."""
        for server in self._servers:
            closed = asyncio.ensure_future(server.wait_closed())
            while self._connections and not closed.done():
                for connection in self._connections:
                    connection.cut()
                await asyncio.wait([closed], timeout=_CLOSING_SECONDS)
            await closed

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that ends with the server; its error becomes a failure."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note_failure(error)

    def _note_failure(self, error: BaseException) -> None:
        self.failures.append(error)
        self.signal.fire()

    # Clients

    def wake_feeders(self) -> None:
        """Let every client have what the tape has released."""
        for link in self.links:
            link.wake.set()
        self.signal.fire()

    def _open_links(self) -> list[Link]:
        return [link for link in self.links if link.is_open]

    async def _serve(self, connection: ServerConnection) -> None:
        try:
            await self._serve_client(connection)
        except Exception as error:
            self._note_failure(error)
            raise

    async def _serve_client(self, connection: ServerConnection) -> None:
        request, address = connection.request, getattr(connection, "address", None)
        if (
            request is None or address is None
        ):  # pragma: no cover - a handshake sets both
            return
        client = self.hub.accept(address, request.path)
        link = Link(
            connection,
            client,
            self.hub,
            now_us=self._clock.now_us,
            signal=self.signal,
            slow_seconds=self._slow_seconds,
        )
        self.links.append(link)
        self._begin_to_ping()
        feeder = self.spawn(link.feed())
        link.wake.set()
        try:
            await self._listen(link)
        finally:
            feeder.cancel()
            self.links.remove(link)
            code, reason, by_client = link.ending()
            self.hub.depart(
                client, code, reason, self._clock.now_us(), by_client=by_client
            )

    async def _listen(self, link: Link) -> None:
        try:
            async for message in link.connection:
                await link.carry_out(self.hub.receive(link.client, message))
                link.wake.set()
        except (ConnectionClosed, OSError):
            return  # How it ended is asked of the link.

    async def close_clients(self, code: int, reason: str) -> None:
        """Close every connection once it has all that was released."""
        released = self.hub.tape.released
        farewells = (
            self._see_off(link, released, code, reason) for link in self._open_links()
        )
        await asyncio.gather(*farewells)

    async def _see_off(self, link: Link, number: int, code: int, reason: str) -> None:
        while link.is_behind(number):
            await self.signal.wait()
        await link.hang_up(code, reason)

    # Pings

    def ping_payload(self) -> bytes:
        """Return the time in milliseconds as digits, never the same twice.

        Source:
            Binance, pings as received.
        """
        now_ms = self._clock.wall_ms()
        self._next_ping = max(self._next_ping + 1, now_ms)
        return b"%d" % self._next_ping

    def _begin_to_ping(self) -> None:
        if self._is_pinging:
            return
        self._is_pinging = True
        for market in self.hub.catalogue.markets:
            self.spawn(self._keep_pinging(market, self._rhythms[market]))

    async def _keep_pinging(self, market: Market, rhythm: Rhythm) -> None:
        """Ping all clients of a market on one beat, as the exchange does."""
        beat = asyncio.get_running_loop().time()
        while True:
            beat += rhythm.ping_seconds
            await self._clock.sleep_until(beat)
            for link in self._open_links():
                if link.client.market == market:
                    self.spawn(self._ping(link, rhythm.pong_seconds))

    async def _ping(self, link: Link, seconds: float) -> None:
        if not await link.ping(self.ping_payload(), seconds):
            await link.hang_up(1008, "Pong timeout")

    # Handshakes and requests over HTTP

    async def _process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        address = parse_address(request.path)
        if isinstance(address, Address):
            if address.market is None:
                dialled = market_of_host(request.headers.get("Host"))
                address = replace(address, market=dialled)
            refusal = self.hub.refusal(address)
            if refusal is None:
                connection.address = address  # type: ignore[attr-defined]
                return None
            address = refusal
        return make_response(address.status, address.body.encode(), "text/plain")

    async def answer(self, request: HttpRequest) -> HttpReply:
        """Answer a request over HTTP."""
        try:
            return await self._answer(request)
        except Exception as error:  # noqa: BLE001 - kept, and told to both sides
            self._note_failure(error)
            return HttpReply(500, f"{error}\n".encode())

    async def _answer(self, request: HttpRequest) -> HttpReply:
        if request.method not in {"GET", "HEAD"}:
            reply = self._desk.refuse(request.method, request.target)
            headers = {"Allow": "GET, HEAD"}
        else:
            time_unit = request.headers.get("x-mbx-time-unit")
            reply, headers = await self._desk.answer(
                request.target, time_unit=time_unit
            )
        return HttpReply(reply.status, reply.body, JSON_TYPE, headers)
