"""A loop on a thread of its own, and handles to what goes on there.

The loop is one that no test can freeze. A handle works in every kind of test: it
can be awaited, under asyncio and trio, and it can be waited for by blocking.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import select
import selectors
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pytest_binance_replay.clock import monotonic_seconds
from pytest_binance_replay.errors import (
    ForgottenHandleError,
    ReplayClosedError,
    SocketsBlockedError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

_TICK_SECONDS = 0.005
_Epoll: type = getattr(selectors, "EpollSelector", type(None))
_OWN_THREAD = (
    "a predicate that is asked about frames runs on the server's thread and cannot "
    "wait for the server; look at the frame and at plain values only"
)


class _PreciseSelector(selectors.DefaultSelector):
    """Waits to the microsecond where epoll would round up to the millisecond.

    An epoll instance can itself be waited for, and `select` takes microseconds.
    """

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0 or not isinstance(self, _Epoll):
            return super().select(timeout)
        try:
            select.select([self], [], [], timeout)
        except ValueError:  # its number is beyond what `select` takes
            return super().select(timeout)
        return super().select(0)


class _SteadyLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes on when a test freezes time."""

    def __init__(self) -> None:
        super().__init__(_PreciseSelector())

    def time(self) -> float:
        return monotonic_seconds()


class _ServerThread(threading.Thread):
    """The thread of a server's loop; who runs on it cannot wait for the server."""


class LoopThread:
    """An event loop that runs on a daemon thread until it is stopped.

    Raises:
        SocketsBlockedError: If pytest-socket keeps the loop from being made.
    """

    def __init__(self) -> None:
        _try_a_socket()
        self._loop = _SteadyLoop()
        self._thread = _ServerThread(
            target=self._run, name="binance-replay", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it returned.

        Raises:
            RuntimeError: If the loop's own thread asks, which would wait for itself.
        """
        if self._is_own_thread():
            work.close()
            raise RuntimeError(_OWN_THREAD)
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[None]] = []  # keeps the task, as the loop does not

        def start() -> None:
            tasks.append(self._loop.create_task(_answer_when_done(work, answer)))

        self._loop.call_soon_threadsafe(start)
        return answer.result()

    def ask(self, question: Callable[[], T]) -> T:
        """Call a function on the loop and return its answer."""
        if self._is_own_thread():
            return question()
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(_answer, question, answer)
        return answer.result()

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _answer(question: Callable[[], T], answer: concurrent.futures.Future[T]) -> None:
    try:
        answer.set_result(question())
    except BaseException as error:  # noqa: BLE001 - told to whoever asked
        answer.set_exception(error)


async def _answer_when_done(
    work: Coroutine[Any, Any, T], answer: concurrent.futures.Future[T]
) -> None:
    try:
        answer.set_result(await work)
    except BaseException as error:  # noqa: BLE001 - told to whoever waits
        answer.set_exception(error)


def _try_a_socket() -> None:
    """Make a socket, for a loop that fails to make its own cannot be closed."""
    try:
        socket.socket().close()
    except (RuntimeError, Warning) as error:  # pytest-socket warns, too.
        raise SocketsBlockedError(type(error).__name__) from error


class Handle(Generic[T]):
    """Something under way on the server's thread.

    It goes on whether or not anybody waits for it. `await` it in an async test, call
    `wait()` in a plain one.

    Args:
        future: What will be done.
        wanted: What is being waited for, in words.
        seen: Says what there is instead, to whoever gives up waiting.
    """

    def __init__(
        self,
        future: concurrent.futures.Future[T],
        wanted: str,
        seen: Callable[[], str] = lambda: "it is still under way",
    ) -> None:
        self._future = future
        self._wanted = wanted
        self._describe = seen
        self._seen = False

    def done(self) -> bool:
        """Return whether it is over, well or not."""
        return self._future.done()

    def wait(self, timeout: float | None = None) -> T:
        """Block until it is done, and return its result.

        Args:
            timeout: Seconds after which to give up waiting; None relies on the time
                limit that the order itself has.

        Raises:
            WaitTimeoutError: If it is not done in time. What was ordered goes on.
            ReplayClosedError: If the replay was closed before.
        """
        __tracebackhide__ = True
        if not _block_until_done(self._future, timeout):
            seen = f"{_blocking_hint()}{self._describe()}"
            raise WaitTimeoutError(timeout or 0.0, self._wanted, seen)
        try:
            return self._outcome()
        except WaitTimeoutError as error:
            if not (hint := _blocking_hint()):
                raise
            seen = f"{hint}{error.seen}"
            raise WaitTimeoutError(error.seconds, error.wanted, seen) from None

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait in an async test, under asyncio or trio."""
        __tracebackhide__ = True
        yield from _until_done(self._future).__await__()
        return self._outcome()

    def _outcome(self) -> T:
        __tracebackhide__ = True
        self._seen = True
        if self._future.cancelled():
            raise ReplayClosedError(self._wanted)
        error = self._future.exception()
        if error is None:
            return self._future.result()
        # The test is shown where it waited, not how the server came to the error.
        raise error.with_traceback(None) from None

    def unseen_error(self) -> BaseException | None:
        """Return the error that nobody waited for; None if there is none."""
        return None if self._seen else self._error()

    def has_shown(self, error: BaseException) -> bool:
        """Return whether somebody waited for it and was given an error."""
        return self._seen and self._error() is error

    def _error(self) -> BaseException | None:
        if not self._future.done() or self._future.cancelled():
            return None
        return self._future.exception()

    def cancel(self) -> None:
        """Call it off, because the replay ends."""
        self._future.cancel()


class PolledHandle(Handle[T]):
    """A wait for something in the test's own state, asked on the test's side.

    Args:
        thread: Where the server runs.
        predicate: Asked again and again, by whoever waits.
        tick: Ends soon, and at every change on the server's side.
        timeout: Seconds after which to give up.
        wanted: What is being waited for, in words.
        seen: Says what there is instead.
        finish: Turns the predicate's answer into the result.
        busy: Whether the time limit has not begun to count yet.
    """

    def __init__(
        self,
        thread: LoopThread,
        predicate: Callable[[], object],
        *,
        tick: Callable[[float], Coroutine[Any, Any, None]],
        timeout: float,
        wanted: str,
        seen: Callable[[], str],
        finish: Callable[[object], Coroutine[Any, Any, T]],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(concurrent.futures.Future(), wanted, seen)
        self._thread = thread
        self._predicate = predicate
        self._tick = tick
        self._timeout = timeout
        self._finish = finish
        self._busy = busy
        self._asked = False

    def wait(self, timeout: float | None = None) -> T:
        """Block until the predicate holds, and return the result."""
        __tracebackhide__ = True
        for step in self._steps(self._timeout if timeout is None else timeout):
            _block_until_done(step, None)
        return super().wait()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait in an async test, under asyncio or trio."""
        __tracebackhide__ = True
        for step in self._steps(self._timeout):
            yield from _until_done(step).__await__()
        return (yield from super().__await__())

    def unseen_error(self) -> BaseException | None:
        """Return the error that nobody waited for, if only that nobody waited."""
        if not self._asked:
            return ForgottenHandleError(self._wanted)
        return super().unseen_error()

    def _steps(
        self, seconds: float
    ) -> Generator[concurrent.futures.Future[Any], None, None]:
        """Return what to wait for, one after the other, until the handle is done."""
        self._asked = True
        deadline = monotonic_seconds() + seconds
        while not self._future.done():
            if answer := self._predicate():
                finishing = self._thread.submit(self._finish(answer))
                yield finishing
                _copy_outcome(finishing, self._future)
                return
            if self._busy():
                deadline = monotonic_seconds() + seconds
            elif monotonic_seconds() >= deadline:
                self._give_up(seconds)
                return
            yield self._thread.submit(self._tick(_TICK_SECONDS))

    def _give_up(self, seconds: float) -> None:
        seen = f"{_blocking_hint()}{self._describe()}"
        error = WaitTimeoutError(seconds, self._wanted, seen)
        self._future.set_exception(error)


def _copy_outcome(
    source: concurrent.futures.Future[T], target: concurrent.futures.Future[T]
) -> None:
    if target.cancelled() or source.cancelled():
        target.cancel()
    elif (error := source.exception()) is not None:
        target.set_exception(error)
    else:
        target.set_result(source.result())


def _blocking_hint() -> str:
    """Say so when a blocking wait holds the loop that the bot may need."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ""
    return "in an async test, await the handle: wait() holds up the test's own loop. "


def _block_until_done(
    future: concurrent.futures.Future[Any], timeout: float | None
) -> bool:
    """Wait for a future of another thread by blocking; tell whether it is done."""
    if not future.done() and _is_on_a_servers_thread():
        raise RuntimeError(_OWN_THREAD)
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    return done.wait(timeout)


def _is_on_a_servers_thread() -> bool:
    # Not asked of asyncio: all greenlets of gevent, its threads too, share one loop.
    return isinstance(threading.current_thread(), _ServerThread)


async def _until_done(future: concurrent.futures.Future[Any]) -> None:
    """Wait for a future of another thread under asyncio or trio."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        await _until_done_under_trio(future)
        return
    done = loop.create_future()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # The test's loop is closed: over.
            loop.call_soon_threadsafe(mark)

    future.add_done_callback(tell)
    await done


async def _until_done_under_trio(future: concurrent.futures.Future[Any]) -> None:
    trio = sys.modules.get("trio")
    if trio is None:
        msg = "a handle can be awaited under asyncio and trio; elsewhere use wait()"
        raise RuntimeError(msg)
    event = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def tell(_: object) -> None:
        try:
            token.run_sync_soon(event.set)
        except trio.RunFinishedError:
            return

    future.add_done_callback(tell)
    await event.wait()
