"""One websocket connection to an upstream: subscribed, and read until it ends.

Certificates are verified, and proxies of the environment are used, as clients do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from pytest_binance_replay.clock import RealClock, wall_us
from pytest_binance_replay.errors import ConnectionLostError
from pytest_binance_replay.protocols.upstream import Message, Reply, read_message
from pytest_binance_replay.recording.capture import subscriptions
from pytest_binance_replay.recording.receiver import Receiver
from pytest_binance_replay.recording.refusals import (
    close_reason,
    explained,
    refused_subscription,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from websockets.asyncio.client import ClientConnection

_MOST_BYTES = 64 * 1024 * 1024  # of one message, as of one line of a cassette
_QUEUED_MESSAGES = 4096


class Patience(NamedTuple):
    """How long a recording waits for what, in seconds.

    Attributes:
        open: For a connection, its handshake, and the answer to a subscription.
        close: For the other side's close frame.
        request: For the answer to a REST call.
        ping: Between pings, and for the answer to one.
        silence: For any message, before a connection is made anew.
        lifetime: Age at which a connection is replaced: the exchange cuts at 24 hours.
        overlap: How long the old connection stays beside the one that replaces it.
        first_delay: Before the first new attempt, at the most.
        most_delay: Before any later one, at the most.
        steady: For how long a connection has to last until delays begin anew.
        first: For the very first connection, all attempts together.
        again: For a lost connection to come back, all attempts together.
        settle: At the end, for snapshots under way.
        flush: Between hand-overs of what was written to the system.
    """

    open: float = 10
    close: float = 1
    request: float = 15
    ping: float = 20
    silence: float = 600
    lifetime: float = 23.5 * 3600
    overlap: float = 10
    first_delay: float = 0.5
    most_delay: float = 30
    steady: float = 60
    first: float = 15
    again: float = 900
    settle: float = 10
    flush: float = 1


class UpstreamConnection:
    """A connection that subscribes to some streams and reads until it ends.

    Args:
        url: Address of combined streams.
        streams: What to subscribe to.
        per_second: How many requests to send a second.
        trust: Authorities to verify with; None takes the system's.
        patience: How long to wait for what.
        deliver: Given each message, with the time at which it was received,
            microseconds since the epoch.
        garble: Given what is neither a message nor an answer, and that time.

    Attributes:
        acknowledged: Done when all streams are subscribed to.
        heard_seconds: When the last text came, in the loop's time.
    """

    def __init__(
        self,
        url: str,
        streams: Sequence[str],
        *,
        per_second: int,
        trust: ssl.SSLContext | None,
        patience: Patience,
        deliver: Callable[[UpstreamConnection, Message, int], None],
        garble: Callable[[bytes, int], None],
    ) -> None:
        self.url = url
        self._streams = streams
        self._per_second = per_second
        self._trust = trust
        self._patience = patience
        self._deliver = deliver
        self._garble = garble
        self._loop = asyncio.get_running_loop()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self.acknowledged: asyncio.Future[None] = self._loop.create_future()
        self.heard_seconds = self._loop.time()
        self._broken: asyncio.Future[BaseException] = self._loop.create_future()

    async def run(self) -> NoReturn:
        """Connect, subscribe and read, until the connection ends.

        Raises:
            ConnectionLostError: When it ends in a way that may pass.
            UpstreamError: If trying again is of no use.
        """
        socket = await self._open()
        try:
            await self._work(socket)
        finally:
            try:
                await socket.close()
            finally:
                # Whoever cancels the closing, too, leaves a line that nobody ends.
                socket.transport.abort()
        raise AssertionError  # pragma: no cover - reading ends with an error only

    async def _work(self, socket: ClientConnection) -> None:
        """Subscribe and read."""
        work = [self._fail(), self._read(socket), self._subscribe(socket)]
        tasks = [self._loop.create_task(part) for part in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> ClientConnection:
        options: dict[str, Any] = {}
        if self.url.startswith("wss:") and self._trust is not None:
            options["ssl"] = self._trust
        make: Any = partial(Receiver, take=self._hear, most_bytes=_MOST_BYTES)
        try:
            return await connect(
                self.url,
                compression=None,
                open_timeout=self._patience.open,
                ping_interval=self._patience.ping,
                ping_timeout=self._patience.ping,
                close_timeout=self._patience.close,
                max_size=_MOST_BYTES,
                max_queue=_QUEUED_MESSAGES,
                create_connection=make,
                **options,
            )
        except (OSError, EOFError, WebSocketException) as error:
            raise explained(error, self.url) from None

    async def _read(self, socket: ClientConnection) -> None:
        """Read what is not handed over at once, until the connection ends."""
        while True:
            try:
                raw = await socket.recv(decode=False)
            except ConnectionClosed as error:
                raise ConnectionLostError(close_reason(error)) from None
            self._take([raw])

    def _hear(self, texts: Sequence[bytes]) -> None:
        """Take what is handed over, which no task does; nothing after the end."""
        if self._broken.done():
            return
        try:
            self._take(texts)
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._broken.set_result(error)

    async def _fail(self) -> NoReturn:
        """Raise what could not be raised where it came up."""
        raise await self._broken

    def _take(self, texts: Sequence[bytes]) -> None:
        """Take what has come together, just now."""
        now_us = wall_us()
        self.heard_seconds = self._loop.time()
        for raw in texts:
            self._sort(raw, now_us)

    def _sort(self, raw: bytes, time_us: int) -> None:
        """Tell messages from answers and from all else."""
        message = read_message(raw)
        if isinstance(message, Message):
            self._deliver(self, message, time_us)
        elif isinstance(message, Reply):
            self._take_answer(message)
        else:
            self._garble(raw, time_us)

    def _take_answer(self, reply: Reply) -> None:
        if reply.error is not None:
            raise refused_subscription(self.url, reply.error)
        answer = self._answers.get(reply.number or 0)
        if answer is not None and not answer.done():
            answer.set_result(None)

    async def _subscribe(self, socket: ClientConnection) -> None:
        clock = RealClock(self._loop)
        start = self._loop.time()
        requests = subscriptions(self._streams)
        self._answers = {number: self._loop.create_future() for number, _ in requests}
        for sent, (_, text) in enumerate(requests):
            await clock.sleep_until(start + sent / self._per_second)
            try:
                await socket.send(text)
            except ConnectionClosed as error:
                raise ConnectionLostError(close_reason(error)) from None
        try:
            async with asyncio.timeout(self._patience.open):
                await asyncio.gather(*self._answers.values())
        except TimeoutError:
            reason = f"no answer to SUBSCRIBE within {self._patience.open:g} s"
            raise ConnectionLostError(reason) from None
        self.acknowledged.set_result(None)
