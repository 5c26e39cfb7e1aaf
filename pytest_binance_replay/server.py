"""The replay server: sockets on one side, the hub on the other.

A client is served by two tasks: one hands its messages to the hub, the other, its
feeder, writes what the tape has released and it has not had yet. Frames go to the
transport as finished bytes; websockets does the handshake and all control frames.
"""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.protocol import State
from websockets.streams import StreamReader

from pytest_binance_replay.errors import PortInUseError, SocketsBlockedError
from pytest_binance_replay.hub import ABNORMAL_CLOSURE, HangUp, Outgoing
from pytest_binance_replay.journal import Missing, RestRequest
from pytest_binance_replay.protocols.address import Address, parse_address
from pytest_binance_replay.protocols.rest import (
    JSON_TYPE,
    answer_request,
    request_key,
)
from pytest_binance_replay.wire import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from websockets.http11 import Request
    from websockets.server import ServerProtocol

    from pytest_binance_replay.cassette import RestAnswer
    from pytest_binance_replay.clock import RealClock
    from pytest_binance_replay.hub import Client, Hub
    from pytest_binance_replay.player import Lag
    from pytest_binance_replay.streams import Market

MAX_MESSAGE_BYTES = 2**20
"""The largest message a client may send; larger ones close it with 1009."""

_MAX_LINE_BYTES = 2**16
_CLOSING_SECONDS = 0.05
_SLOW_SECONDS = 2.0

_PING_SECONDS: dict[Market, float] = {"spot": 20.0, "usdm": 180.0}
_PONG_SECONDS: dict[Market, float] = {"spot": 60.0, "usdm": 600.0}

# What a client did wrong is in the journal; a traceback of it in the log of the test
# would only hide what matters there.
_LOGGER = logging.getLogger("pytest_binance_replay.websockets")
_LOGGER.setLevel(logging.CRITICAL)


class Signal:
    """Wakes whoever waits for a change; a change that nobody awaits costs nothing."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()
        self.on_fire: Callable[[], None] = lambda: None

    def fire(self) -> None:
        """Wake all waiters."""
        self.on_fire()
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for the next change."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class _LongLineReader(StreamReader):
    """Reads request lines as long as the exchange takes them.

    Source:
        Measured on the exchange: 16 KiB pass, where websockets stops at 8 KiB.
    """

    def read_line(self, m: int, *args: Any) -> Any:
        """Read a line of at most 64 KiB, whatever the library allows."""
        return super().read_line(max(m, _MAX_LINE_BYTES), *args)


class _Connection(ServerConnection):
    def __init__(
        self, protocol: ServerProtocol, server: Server, **settings: Any
    ) -> None:
        super().__init__(protocol, server, **settings)
        protocol.reader = _LongLineReader()
        # The parser was made for the reader just replaced.
        protocol.parser = protocol.parse()
        next(protocol.parser)
        self.address: Address | None = None


class Link:
    """A client's socket, and the task that feeds it.

    Args:
        connection: The socket.
        client: The hub's side of it.
        hub: The hub.
        now_us: Reads the clock, microseconds.
        signal: Fired whenever the client got further.
        lag: What happens to a client that does not read.
    """

    def __init__(
        self,
        connection: ServerConnection,
        client: Client,
        hub: Hub,
        *,
        now_us: Callable[[], int],
        signal: Signal,
        lag: Lag,
    ) -> None:
        self.connection = connection
        self.client = client
        self.closing: tuple[int, str] | None = None
        self.unconfirmed = False
        self.wake = asyncio.Event()
        self._hub = hub
        self._now_us = now_us
        self._signal = signal
        self._slow_seconds = _SLOW_SECONDS if lag == "disconnect" else None

    @property
    def is_open(self) -> bool:
        """Whether frames can be written to it."""
        return self.connection.state is State.OPEN

    async def feed(self) -> None:
        """Write released frames for as long as the connection lives."""
        try:
            while True:
                await self.wake.wait()
                self.wake.clear()
                while self._write_next():
                    await self._drain()
                if self.client.cursor == self.client.stop_at:
                    await self.hang_up(1001, "The book does not go on here")
        except (OSError, ConnectionClosed):
            return  # The reading side reports how the connection ended.

    def _write_next(self) -> bool:
        """Write the frames of one block; return whether it may be worth another."""
        client, tape = self.client, self._hub.tape
        if not client.view.keys:
            client.cursor = tape.released
        released = tape.released
        if client.stop_at is not None:
            released = min(released, client.stop_at)
        if client.cursor >= released or not self.is_open:
            return False
        block = tape.block_at(client.cursor)
        start = client.cursor - block.first
        stop = min(released, block.end) - block.first
        data = block.wire(client.view).cut(start, stop)
        if data:
            self.connection.transport.write(data)
            self.unconfirmed = True
            counts = block.counts(client.view, start, stop)
            client.note_sent(counts, self._now_us())
        client.cursor = block.first + stop
        self._signal.fire()
        return True

    async def _drain(self) -> None:
        # Without a turn of the loop a client that reads fast would starve the rest.
        await asyncio.sleep(0)  # noqa: TID251 - yields, does not wait
        if not self.connection.paused:
            return
        try:
            async with asyncio.timeout(self._slow_seconds):
                await self.connection.drain()
        except TimeoutError:
            await self.hang_up(1008, "Client reads too slowly")

    def say(self, text: bytes) -> None:
        """Write a text at once, behind all that was written before."""
        if self.is_open:
            self.connection.transport.write(text_frame(text))

    async def carry_out(self, outgoing: Sequence[Outgoing]) -> None:
        """Do what the hub answered."""
        for out in outgoing:
            if isinstance(out, HangUp):
                await self.hang_up(out.code, out.reason)
            else:
                self.say(out.text.encode())
        await self.connection.drain()

    async def hang_up(self, code: int, reason: str) -> None:
        """Close the connection from our side."""
        if self.closing is None:
            self.closing = (code, reason)
        await self.connection.close(code, reason)

    async def ping(self, payload: bytes) -> asyncio.Future[float] | None:
        """Send a ping; None if the connection is gone."""
        try:
            waiter = await self.connection.ping(payload)
        except (ConnectionClosed, OSError):
            return None
        pong = asyncio.ensure_future(waiter)
        pong.add_done_callback(self._note_pong)
        return pong

    def _note_pong(self, pong: asyncio.Future[float]) -> None:
        if not pong.cancelled() and pong.exception() is None:
            self.client.pongs += 1
        self._signal.fire()

    def ending(self) -> tuple[int, str, bool]:
        """Return code and reason of the end, and whether it was the client's doing."""
        if self.closing is not None:
            return (*self.closing, False)
        protocol = self.connection.protocol
        if protocol.close_rcvd is not None:
            return protocol.close_rcvd.code, protocol.close_rcvd.reason, True
        if protocol.close_sent is not None:
            return protocol.close_sent.code, protocol.close_sent.reason, False
        return ABNORMAL_CLOSURE, "", True


class ReplayServer:
    """A Binance on a local port, playing a tape.

    Runs on the loop that starts it.

    Args:
        hub: The hub, which holds the tape.
        clock: Real time; pings keep it, whatever the tape does.
        recorded: Returns the recorded REST answers, oldest first; called in a thread
            at the first request.
        tape_time_us: Returns the recorded time at which the tape stands.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        lag: What happens to a client that does not read.

    Attributes:
        port: The port listened on.
        failures: Errors of the server's own tasks, which no client caused.
        signal: Fired whenever anything changes that somebody may wait for.
    """

    def __init__(
        self,
        hub: Hub,
        clock: RealClock,
        *,
        recorded: Callable[[], Sequence[RestAnswer]],
        tape_time_us: Callable[[], int],
        host: str = "127.0.0.1",
        port: int = 0,
        lag: Lag = "lag",
    ) -> None:
        self.hub = hub
        self.host = host
        self.port = port
        self.failures: list[BaseException] = []
        self.signal = Signal()
        self.links: list[Link] = []
        self._clock = clock
        self._recorded = recorded
        self._tape_time_us = tape_time_us
        self._lag = lag
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._next_ping = 0
        hub.on_change = self.signal.fire

    # Life

    async def start(self) -> None:
        """Listen.

        Raises:
            PortInUseError: If the port is taken.
            SocketsBlockedError: If pytest-socket forbids it.
        """
        try:
            self._server = await serve(
                self._serve,
                self.host,
                self.port,
                process_request=self._process_request,
                create_connection=_Connection,
                compression=None,
                ping_interval=None,
                max_size=MAX_MESSAGE_BYTES,
                close_timeout=1,
                server_header=None,
                logger=_LOGGER,
            )
        except RuntimeError as error:
            raise SocketsBlockedError(type(error).__name__) from error
        except OSError as error:
            raise PortInUseError(self.host, self.port, error.strerror or "") from error
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        for market in self.hub.catalogue.markets:
            self.spawn(self._keep_pinging(market))

    async def close(self) -> None:
        """Say good-bye to all clients, leave no task and no socket behind."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        goodbyes = [
            asyncio.ensure_future(k.hang_up(1001, "")) for k in self._open_links()
        ]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=_CLOSING_SECONDS)
        for link in self.links:
            link.connection.transport.abort()
        await asyncio.gather(*goodbyes, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that ends with the server; its error becomes a failure."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)
            self.signal.fire()

    def wake_feeders(self) -> None:
        """Let every client have what the tape has released."""
        for link in self.links:
            link.wake.set()
        self.signal.fire()

    # Clients

    def _open_links(self) -> list[Link]:
        return [link for link in self.links if link.is_open]

    async def _serve(self, connection: ServerConnection) -> None:
        try:
            await self._serve_client(connection)
        except Exception as error:
            self.failures.append(error)
            self.signal.fire()
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
            lag=self._lag,
        )
        self.links.append(link)
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
        for link in self._open_links():
            while link.is_open and link.client.cursor < self.hub.tape.released:
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

    async def _keep_pinging(self, market: Market) -> None:
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while True:
            beat += _PING_SECONDS[market]
            await self._clock.sleep_until(beat)
            for link in self._open_links():
                if link.client.market == market:
                    self.spawn(self._ping(link, _PONG_SECONDS[market]))

    async def _ping(self, link: Link, seconds: float) -> None:
        pong = await link.ping(self.ping_payload())
        if pong is None:
            return
        _, late = await asyncio.wait([pong], timeout=seconds)
        if late:
            await link.hang_up(1008, "Pong timeout")

    # Handshakes and requests over HTTP

    async def _process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            return await self._answer(request.path)
        address = parse_address(request.path)
        if isinstance(address, Address):
            refusal = self.hub.refusal(address)
            if refusal is None:
                connection.address = address  # type: ignore[attr-defined]
                return None
            address = refusal
        return _respond(address.status, address.body.encode(), "text/plain")

    async def _answer(self, target: str) -> Response:
        loop = asyncio.get_running_loop()
        recorded = await loop.run_in_executor(None, self._recorded)
        reply = answer_request(target, recorded, self._tape_time_us())
        path, _ = request_key(target)
        _, _, query = target.partition("?")
        missing = None
        if not reply.known:
            markets = self.hub.catalogue.markets
            missing = Missing(0, target, "rest", markets[0])
        self.hub.note_rest(RestRequest(path, query, reply.status), missing)
        return _respond(reply.status, reply.body, JSON_TYPE)


def _respond(status: int, body: bytes, content_type: str) -> Response:
    headers = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Connection": "close",
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
        }
    )
    return Response(status, HTTPStatus(status).phrase, headers, body)
