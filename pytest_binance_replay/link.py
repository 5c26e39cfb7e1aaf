"""One client's socket, and the task that feeds it.

Frames go to the transport as finished bytes, and the client's cursor follows them;
websockets does the closing handshake and all control frames.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from pytest_binance_replay.hub import ABNORMAL_CLOSURE, HangUp
from pytest_binance_replay.wire import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.asyncio.server import ServerConnection

    from pytest_binance_replay.client import Client
    from pytest_binance_replay.hub import Hub, Outgoing

GOODBYE_SECONDS = 1.0
"""How long a client may take to answer a close frame before its line is cut."""

_GONE = (ConnectionClosed, OSError)


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


class Link:
    """A client's socket.

    Args:
        connection: The socket.
        client: The hub's side of it.
        hub: The hub.
        now_us: Reads the clock, microseconds.
        signal: Fired whenever the client got further.
        slow_seconds: How long a client may leave what it was sent unread before it
            is sent away; None waits for it.

    Attributes:
        closing: Code and reason with which the server sent the client away; None
            while it has not.
        wake: Set when there may be frames to write.
        written: How many times frames were written.
        answered: How many of those writes lie before a ping that was answered.
    """

    def __init__(
        self,
        connection: ServerConnection,
        client: Client,
        hub: Hub,
        *,
        now_us: Callable[[], int],
        signal: Signal,
        slow_seconds: float | None,
    ) -> None:
        self.connection = connection
        self.client = client
        self.closing: tuple[int, str] | None = None
        self.wake = asyncio.Event()
        self.written = 0
        self.answered = 0
        self._hub = hub
        self._now_us = now_us
        self._signal = signal
        self._slow_seconds = slow_seconds

    @property
    def is_open(self) -> bool:
        """Whether frames can be written to it."""
        return self.connection.state is State.OPEN

    def is_behind(self, number: int) -> bool:
        """Return whether the client has yet to be sent frames before a number."""
        client = self.client
        return self.is_open and bool(client.view.keys) and client.cursor < number

    # Frames

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
        except Exception:
            # A client that gets nothing more must not wait for it in silence.
            await self.hang_up(1011, "The replay server failed")
            raise

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
            self.written += 1
        client.note_passed(block, start, stop, self._now_us())
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
        except _GONE:
            return  # The reading side reports how the connection ended.

    # Answers

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

    # Pings

    async def ping(self, payload: bytes, seconds: float) -> bool:
        """Send a ping and wait for its pong.

        Args:
            payload: Its payload, never the same twice.
            seconds: How long to wait, sending included.

        Returns:
            Whether there is nothing more to wait for: the pong came, or the
            connection ended.
        """
        written = self.written
        try:
            async with asyncio.timeout(seconds):
                pong = await self.connection.ping(payload)
                await asyncio.shield(asyncio.ensure_future(pong))
        except TimeoutError:
            return False
        except _GONE:
            return True
        self.client.pongs += 1
        self.answered = max(self.answered, written)
        self._signal.fire()
        return True

    # The end

    async def hang_up(self, code: int, reason: str) -> None:
        """Close the connection from our side; cut it if the client does not answer."""
        if self.closing is None:
            self.closing = (code, reason)
        try:
            # The library's own limit does not hold while a full buffer is unread.
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self.connection.close(code, reason)
        except TimeoutError:
            self.cut()

    def cut(self) -> None:
        """End the connection at once, whatever is still unsent."""
        self.connection.transport.abort()

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
