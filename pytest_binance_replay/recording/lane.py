"""One connection of a recording, kept up: the lost comes back, the old is replaced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from pytest_binance_replay.clock import RealClock, wall_us
from pytest_binance_replay.errors import ConnectionLostError, UpstreamError
from pytest_binance_replay.protocols.upstream import SHUTDOWN_STREAM, Message
from pytest_binance_replay.recording.capture import clean_origin, delays
from pytest_binance_replay.recording.handover import Handover
from pytest_binance_replay.recording.upstream import UpstreamConnection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from random import Random

    from pytest_binance_replay.recording.upstream import Patience

_LIFETIME = "24h"
_SHUTDOWN = "serverShutdown"


class Sink(Protocol):
    """Where what is captured goes."""

    def frame(self, stream: bytes, payload: bytes, time_us: int) -> None:
        """Take a message of a stream that was asked for."""

    def foreign(self) -> None:
        """Take note of a message of a stream that was not."""

    def garble(self, raw: bytes, time_us: int) -> None:
        """Take what cannot be read."""

    def mark(self, name: str, **fields: object) -> None:
        """Take note of something that happened to a connection."""


class _Attempt(NamedTuple):
    """A connection, and the task that runs it."""

    connection: UpstreamConnection
    task: asyncio.Task[NoReturn]


class Lane:
    """Keeps one of a recording's connections up.

    Args:
        number: Its number among them, from 1.
        url: Address of combined streams.
        streams: What it carries.
        per_second: How many requests it may send a second.
        trust: Authorities to verify with; None takes the system's.
        patience: How long to wait for what.
        sink: Where messages go.
        random: Where chance comes from.

    Attributes:
        acknowledged: Done when all streams have been subscribed to for the first time.
    """

    def __init__(
        self,
        number: int,
        url: str,
        streams: Sequence[str],
        *,
        per_second: int,
        trust: ssl.SSLContext | None,
        patience: Patience,
        sink: Sink,
        random: Random,
    ) -> None:
        self._number = number
        self._url = url
        self._streams = streams
        self._wanted = frozenset(name.encode() for name in streams)
        self._per_second = per_second
        self._trust = trust
        self._patience = patience
        self._sink = sink
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._clock = RealClock(self._loop)
        self._delays = self._new_delays()
        self._tasks: set[asyncio.Task[NoReturn]] = set()
        self._current: UpstreamConnection | None = None
        self._handover: Handover | None = None
        self._lost: str | None = None  # why nothing comes, while nothing does
        self._shutdown = asyncio.Event()
        self._handed_over = asyncio.Event()
        self.acknowledged: asyncio.Future[None] = self._loop.create_future()

    def _new_delays(self) -> Iterator[float]:
        first, most = self._patience.first_delay, self._patience.most_delay
        return delays(self._random, first=first, most=most)

    async def run(self) -> NoReturn:
        """Keep the connection up until cancelled.

        Raises:
            UpstreamError: If it cannot be kept up.
        """
        try:
            attempt = await self._connect(self._patience.first)
            self.acknowledged.set_result(None)
            while True:
                attempt = await self._replace(attempt)
        finally:
            await self._end(*self._tasks)

    async def _replace(self, attempt: _Attempt) -> _Attempt:
        """Wait until a connection ends or has to, and return the next one."""
        since = self._loop.time()
        reason = await self._wait_for_end(attempt)
        if self._loop.time() - since >= self._patience.steady:
            self._delays = self._new_delays()
        if reason in {_LIFETIME, _SHUTDOWN}:
            successor = await self._hand_over(attempt, reason)
            if successor is not None:
                return successor
            reason = _reason_of(attempt.task)
        return await self._come_back(attempt, reason)

    async def _wait_for_end(self, attempt: _Attempt) -> str:
        """Return why a connection has ended, or has to end."""
        # Not all at once, if there are several.
        lifetime = self._patience.lifetime * self._random.uniform(0.98, 1)
        retired = self._loop.time() + lifetime
        while True:
            silent = attempt.connection.heard_seconds + self._patience.silence
            await self._wait(attempt.task, self._shutdown, until=min(retired, silent))
            now = self._loop.time()
            if attempt.task.done():
                return _reason_of(attempt.task)
            if self._shutdown.is_set():
                return _SHUTDOWN
            if now >= retired:
                return _LIFETIME
            if now >= attempt.connection.heard_seconds + self._patience.silence:
                return f"nothing came for {self._patience.silence:g} s"

    async def _wait(
        self, task: asyncio.Task[NoReturn], event: asyncio.Event, *, until: float
    ) -> None:
        """Wait for a task, an event or a time, whichever is first."""
        waiting = self._loop.create_task(event.wait())
        try:
            seconds = max(0.0, until - self._loop.time())
            both: set[asyncio.Task[object]] = {task, waiting}
            await asyncio.wait(
                both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()

    # Connections

    def _start(self) -> _Attempt:
        connection = UpstreamConnection(
            self._url,
            self._streams,
            per_second=self._per_second,
            trust=self._trust,
            patience=self._patience,
            deliver=self._deliver,
            garble=self._sink.garble,
        )
        task = self._loop.create_task(connection.run())
        self._tasks.add(task)
        return _Attempt(connection, task)

    async def _connect(self, limit_seconds: float) -> _Attempt:
        """Try until a connection carries all streams."""
        deadline = self._loop.time() + limit_seconds
        while True:
            attempt = self._start()
            self._current = attempt.connection
            lost = await self._failure(attempt)
            if lost is None:
                self._note_return()
                return attempt
            if self._lost is None and self.acknowledged.done():
                self._note_loss(lost.reason)  # it brought something, but not all
            seconds = max(next(self._delays), lost.retry_seconds or 0)
            if self._loop.time() + seconds > deadline:
                raise self._given_up(lost, limit_seconds)
            await self._clock.sleep_until(self._loop.time() + seconds)

    async def _failure(self, attempt: _Attempt) -> ConnectionLostError | None:
        """Wait until a connection carries all streams; return why it does not."""
        ready: set[asyncio.Future[None] | asyncio.Task[NoReturn]]
        ready = {attempt.task, attempt.connection.acknowledged}
        await asyncio.wait(ready, return_when=asyncio.FIRST_COMPLETED)
        if not attempt.task.done():
            return None
        return _loss_of(attempt.task)

    def _given_up(self, lost: ConnectionLostError, seconds: float) -> UpstreamError:
        origin = clean_origin(self._url)
        if lost.retry_seconds is not None:
            return UpstreamError(
                f"{origin} answers {lost.reason}, and wants to be left alone for "
                f"{lost.retry_seconds:g} s. Record after that."
            )
        return UpstreamError(
            f"{origin} could not be reached for {seconds:g} s: {lost.reason}. Check "
            "the network, and the address if you gave one."
        )

    async def _come_back(self, attempt: _Attempt, reason: str) -> _Attempt:
        """Make a lost connection anew."""
        self._note_loss(reason)
        self._shutdown.clear()
        await self._end(attempt.task)
        # Even the first attempt is delayed, for all who were cut come at once.
        await self._clock.sleep_until(self._loop.time() + next(self._delays))
        return await self._connect(self._patience.again)

    def _note_loss(self, reason: str) -> None:
        self._lost = reason
        self._sink.mark("disconnected", reason=reason, connection=self._number)

    def _note_return(self) -> None:
        """Say, before the first message that came again, that they come again."""
        reason, self._lost = self._lost, None
        if reason is not None:
            self._sink.mark("reconnected", reason=reason, connection=self._number)

    async def _end(self, *tasks: asyncio.Task[NoReturn]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)

    # Before a connection ends

    async def _hand_over(self, old: _Attempt, reason: str) -> _Attempt | None:
        """Replace a connection while it lasts.

        Returns:
            None if it ended before another carried all streams.
        """
        try:
            while not old.task.done():
                self._handover = Handover(self._wanted)
                self._handed_over.clear()
                new = self._start()
                if await self._is_up(new):
                    await self._overlap(self._handover, old, new, reason)
                    return new
                await self._end(new.task)
                await asyncio.wait({old.task}, timeout=next(self._delays))
        finally:
            self._handover = None
        return None

    async def _is_up(self, attempt: _Attempt) -> bool:
        try:
            return await self._failure(attempt) is None
        except UpstreamError:
            # While the old connection lasts, that is no reason to end.
            return False

    async def _overlap(
        self, handover: Handover, old: _Attempt, new: _Attempt, reason: str
    ) -> None:
        """Let the streams go over, and end the old connection."""
        if not handover.is_done:
            until = self._loop.time() + self._patience.overlap
            await self._wait(old.task, self._handed_over, until=until)
        self._current, self._handover = new.connection, None
        overlap = not old.task.done()
        for stream, payload in handover.finish():
            self._sink.frame(stream, payload, wall_us())
        self._shutdown.clear()
        self._sink.mark(
            "reconnected", reason=reason, connection=self._number, overlap=overlap
        )
        await self._end(old.task)

    # Messages

    def _deliver(
        self, connection: UpstreamConnection, message: Message, time_us: int
    ) -> None:
        stream, payload = message
        if stream == SHUTDOWN_STREAM:
            if connection is self._current:
                text = payload.decode()
                self._sink.mark("server_shutdown", connection=self._number, text=text)
                self._shutdown.set()
        elif stream not in self._wanted:
            self._sink.foreign()
        elif self._handover is None:
            if connection is self._current:
                if self._lost is not None:
                    self._note_return()
                self._sink.frame(stream, payload, time_us)
        else:
            self._pass(self._handover, connection, message, time_us)

    def _pass(
        self,
        handover: Handover,
        connection: UpstreamConnection,
        message: Message,
        time_us: int,
    ) -> None:
        """Let a message through if it counts while there are two connections."""
        is_old = connection is self._current
        take = handover.take_old if is_old else handover.take_new
        for payload in take(*message):
            self._sink.frame(message.stream, payload, time_us)
        if handover.is_done or handover.is_full:
            self._handed_over.set()


def _loss_of(task: asyncio.Task[NoReturn]) -> ConnectionLostError:
    """Return how a connection was lost; raise what was no such thing."""
    error = task.exception()
    if isinstance(error, ConnectionLostError):
        return error
    assert error is not None  # reading ends with an error only
    raise error


def _reason_of(task: asyncio.Task[NoReturn]) -> str:
    return _loss_of(task).reason
