"""A loop on a thread of its own, and handles to what goes on there.

The loop is one that no test can freeze. A handle works in every kind of test: it
can be awaited, under asyncio and trio, and it can be waited for by blocking.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pytest_binance_replay.clock import monotonic_seconds
from pytest_binance_replay.errors import SocketsBlockedError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

_TICK_SECONDS = 0.005
_OWN_THREAD = (
    "a predicate that is asked about frames runs on the server's thread and cannot "
    "wait for the server; look at the frame and at plain values only"
)


class _SteadyLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes on when a test freezes time."""

    def time(self) -> float:
        return monotonic_seconds()


class LoopThread:
    """An event loop that runs on a daemon thread until it is stopped.

    Raises:
        SocketsBlockedError: If pytest-socket keeps the loop from being made.
    """

    def __init__(self) -> None:
        try:
            self._loop = _SteadyLoop()
        except RuntimeError as error:
            raise SocketsBlockedError(type(error).__name__) from error
        self._thread = threading.Thread(
            target=self._run, name="binance-replay", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

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
        return self.submit(work).result()

    def ask(self, question: Callable[[], T]) -> T:
        """Call a function on the loop and return its answer."""
        if self._is_own_thread():
            return question()

        async def answer() -> T:
            return question()

        return self.call(answer())

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class Handle(Generic[T]):
    """Something under way on the server's thread.

    It goes on whether or not anybody waits for it. `await` it in an async test, call
    `wait()` in a plain one.

    Args:
        future: What will be done.
        wanted: What is being waited for, in words.
    """

    def __init__(self, future: concurrent.futures.Future[T], wanted: str) -> None:
        self._future = future
        self._wanted = wanted
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
        """
        __tracebackhide__ = True
        concurrent.futures.wait([self._future], timeout)
        if not self._future.done():
            hint = f"{_blocking_hint()}it is still under way"
            raise WaitTimeoutError(timeout or 0.0, self._wanted, hint)
        return self._outcome()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait in an async test, under asyncio or trio."""
        __tracebackhide__ = True
        yield from _until_done(self._future).__await__()
        return self._outcome()

    def _outcome(self) -> T:
        __tracebackhide__ = True
        self._seen = True
        error = self._future.exception()
        if error is None:
            return self._future.result()
        # The test is shown where it waited, not how the server came to the error.
        raise error.with_traceback(None) from None

    def unseen_error(self) -> BaseException | None:
        """Return the error that nobody waited for; None if there is none."""
        if self._seen or not self._future.done() or self._future.cancelled():
            return None
        return self._future.exception()

    def cancel(self) -> None:
        """Stop waiting for it, because the test is over."""
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
        finish: Callable[[object], T],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(concurrent.futures.Future(), wanted)
        self._thread = thread
        self._predicate = predicate
        self._tick = tick
        self._timeout = timeout
        self._describe = seen
        self._finish = finish
        self._busy = busy

    def wait(self, timeout: float | None = None) -> T:
        """Block until the predicate holds, and return the result."""
        __tracebackhide__ = True
        steps = self._steps(self._timeout if timeout is None else timeout)
        for step in steps:
            step.result()
        return super().wait()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait in an async test, under asyncio or trio."""
        __tracebackhide__ = True
        for step in self._steps(self._timeout):
            yield from _until_done(step).__await__()
        return (yield from super().__await__())

    def _steps(
        self, seconds: float
    ) -> Generator[concurrent.futures.Future[None], None, None]:
        if self._future.done():
            return
        deadline = monotonic_seconds() + seconds
        while not (answer := self._predicate()):
            if self._busy():
                deadline = monotonic_seconds() + seconds
            if monotonic_seconds() >= deadline:
                seen = f"{_blocking_hint()}{self._describe()}"
                self._future.set_exception(
                    WaitTimeoutError(seconds, self._wanted, seen)
                )
                return
            yield self._thread.submit(self._tick(_TICK_SECONDS))
        self._future.set_result(self._finish(answer))


def _blocking_hint() -> str:
    """Say so when a blocking wait holds the loop that the bot may need."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ""
    return "in an async test, await the handle: wait() holds up the test's own loop. "


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
