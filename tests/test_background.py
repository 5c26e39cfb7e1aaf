"""The server's thread, and handles under asyncio, under trio and by blocking."""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import freezegun
import pytest
from pytest_socket import disable_socket, enable_socket

from pytest_binance_replay.background import (
    Handle,
    LoopThread,
    PolledHandle,
    _PreciseSelector,
)
from pytest_binance_replay.clock import monotonic_seconds
from pytest_binance_replay.errors import (
    ForgottenHandleError,
    ReplayClosedError,
    SocketsBlockedError,
    WaitTimeoutError,
)

trio = pytest.importorskip("trio")


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


async def answer(value: object) -> Any:
    return value


async def fail(error: Exception) -> Any:
    raise error


async def forever() -> Any:
    await asyncio.get_running_loop().create_future()


def order(thread: LoopThread, value: object, wanted: str = "an answer") -> Handle[Any]:
    work = fail(value) if isinstance(value, Exception) else answer(value)
    return Handle(thread.submit(work), wanted)


def poll(
    thread: LoopThread,
    predicate: Callable[[], object],
    *,
    timeout: float = 5.0,
    finish: Callable[[object], Any] = answer,
    busy: Callable[[], bool] = lambda: False,
) -> PolledHandle[Any]:
    async def tick(seconds: float) -> None:
        await answer(seconds)

    return PolledHandle(
        thread,
        predicate,
        tick=tick,
        timeout=timeout,
        wanted="the bot to buy",
        seen=lambda: "the bot has bought nothing",
        finish=finish,
        busy=busy,
    )


async def awaited(handle: Awaitable[Any]) -> Any:
    return await handle


def by_asyncio(handle: Handle[Any]) -> Any:
    return asyncio.run(awaited(handle))


def by_trio(handle: Handle[Any]) -> Any:
    return trio.run(awaited, handle)


def by_blocking(handle: Handle[Any]) -> Any:
    return handle.wait()


WAYS = [by_asyncio, by_trio, by_blocking]
every_way = pytest.mark.parametrize("get", WAYS)
Way = Callable[[Handle[Any]], Any]


class Countdown:
    """Becomes true after some questions."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> str:
        self.left -= 1
        return "" if self.left > 0 else "now"


# The thread


def test_a_question_is_answered_on_the_servers_thread(thread: LoopThread) -> None:
    assert thread.ask(lambda: threading.current_thread().name) == "binance-replay"


def test_the_servers_thread_may_ask_itself(thread: LoopThread) -> None:
    assert thread.ask(lambda: thread.ask(lambda: "an answer")) == "an answer"


def test_what_a_question_raises_is_raised_where_it_was_asked(
    thread: LoopThread,
) -> None:
    with pytest.raises(ZeroDivisionError):
        thread.ask(lambda: 1 // 0)


def test_the_servers_thread_must_not_wait_for_itself(thread: LoopThread) -> None:
    with pytest.raises(RuntimeError, match="runs on the server's thread"):
        thread.ask(lambda: thread.call(answer(1)))


def test_a_handle_must_not_be_waited_for_on_the_servers_thread(
    thread: LoopThread,
) -> None:
    handle = Handle(thread.submit(forever()), "the end of time")
    with pytest.raises(RuntimeError, match="runs on the server's thread"):
        thread.ask(handle.wait)
    with pytest.raises(RuntimeError, match="runs on the server's thread"):
        thread.ask(poll(thread, lambda: False).wait)
    handle.cancel()


def test_who_shares_the_servers_loop_on_another_thread_may_wait(
    thread: LoopThread,
) -> None:
    """As under gevent, where threads are one to asyncio."""
    handle = Handle(thread.submit(forever()), "the end of time")
    asyncio._set_running_loop(thread.loop)
    try:
        with pytest.raises(WaitTimeoutError):
            handle.wait(timeout=0)
    finally:
        asyncio._set_running_loop(None)
    handle.cancel()


def test_the_loop_goes_on_while_the_test_freezes_time(thread: LoopThread) -> None:
    async def passing() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() == start:
            await answer(None)
        return loop.time() - start

    with freezegun.freeze_time("2026-01-01"):
        assert thread.call(passing()) > 0


def test_a_thread_that_is_stopped_is_gone() -> None:
    thread = LoopThread()
    thread.call(answer(1))
    thread.stop()
    assert thread.loop.is_closed()
    assert not thread._thread.is_alive()


async def _stop_in_a_running_loop() -> bool:
    thread = LoopThread()
    thread.call(answer(1))
    thread.stop()
    return thread.loop.is_closed()


def test_a_thread_can_be_stopped_while_another_loop_runs() -> None:
    assert asyncio.run(_stop_in_a_running_loop())


def test_sockets_that_are_blocked_are_named_as_the_cause() -> None:
    disable_socket()
    try:
        with pytest.raises(SocketsBlockedError, match="cannot open a socket"):
            LoopThread()
    finally:
        enable_socket()


# Handles


@every_way
def test_a_handle_gives_the_result(thread: LoopThread, get: Way) -> None:
    handle = order(thread, 5)
    assert get(handle) == 5
    assert handle.done()
    assert get(handle) == 5


@every_way
def test_a_handle_raises_the_error(thread: LoopThread, get: Way) -> None:
    error = ZeroDivisionError("nothing to divide")
    handle = order(thread, error)
    with pytest.raises(ZeroDivisionError, match="nothing to divide"):
        get(handle)
    assert handle.unseen_error() is None
    assert handle.has_shown(error)


def test_an_error_that_nobody_waited_for_is_unseen(thread: LoopThread) -> None:
    error = ZeroDivisionError()
    handle = order(thread, error)
    concurrent.futures.wait([handle._future])
    assert handle.unseen_error() is error
    assert not handle.has_shown(error)


def test_a_handle_under_way_has_no_error_yet(thread: LoopThread) -> None:
    handle = Handle(thread.submit(forever()), "the end of time")
    assert not handle.done()
    assert handle.unseen_error() is None
    handle.cancel()
    assert handle.unseen_error() is None


def test_giving_up_says_what_was_waited_for(thread: LoopThread) -> None:
    handle = Handle(thread.submit(forever()), "the end of time")
    with pytest.raises(WaitTimeoutError) as raised:
        handle.wait(0.001)
    assert str(raised.value) == (
        "waited 0.001 s for the end of time; it is still under way"
    )
    handle.cancel()


def test_blocking_in_an_async_test_is_hinted_at(thread: LoopThread) -> None:
    async def block(seconds: float) -> None:
        handle = Handle(thread.submit(forever()), "the end of time")
        try:
            handle.wait(seconds)
        finally:
            handle.cancel()

    with pytest.raises(WaitTimeoutError, match="in an async test, await the handle"):
        asyncio.run(block(0.001))


def test_an_order_that_got_stuck_while_blocking_an_async_test_has_the_hint(
    thread: LoopThread,
) -> None:
    stuck = WaitTimeoutError(10.0, "a pong", "client 1 is connected")

    async def block() -> None:
        order(thread, stuck).wait()

    with pytest.raises(WaitTimeoutError) as raised:
        asyncio.run(block())
    assert str(raised.value) == (
        "waited 10 s for a pong; in an async test, await the handle: wait() holds up "
        "the test's own loop. client 1 is connected"
    )


@every_way
def test_a_handle_called_off_says_so(thread: LoopThread, get: Way) -> None:
    handle = Handle(thread.submit(forever()), "the tape to be played")
    handle.cancel()
    with pytest.raises(ReplayClosedError, match="waited for the tape to be played"):
        get(handle)


def test_who_blocks_is_woken_when_a_handle_is_called_off(thread: LoopThread) -> None:
    handle = Handle(thread.submit(forever()), "the tape to be played")
    waiting = threading.Event()

    def wait() -> None:
        handle._future.add_done_callback(lambda _: None)
        waiting.set()
        with pytest.raises(ReplayClosedError):
            handle.wait()

    waiter = threading.Thread(target=wait)
    waiter.start()
    waiting.wait()
    handle.cancel()
    waiter.join(5)
    assert not waiter.is_alive()


def test_awaiting_may_be_cancelled_and_taken_up_again(thread: LoopThread) -> None:
    gate = threading.Event()

    async def wait_twice() -> object:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, gate.wait)
        handle = Handle(asyncio.run_coroutine_threadsafe(late(), thread.loop), "it")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaited(handle), 0.001)
        gate.set()
        await work
        return await handle

    async def late() -> str:
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        return "late"

    assert asyncio.run(wait_twice()) == "late"


def test_an_answer_for_a_loop_that_is_gone_harms_nobody(thread: LoopThread) -> None:
    gate = threading.Event()

    async def late() -> str:
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        return "late"

    handle = Handle(thread.submit(late()), "it")
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(awaited(handle), 0.001))
    with pytest.raises(trio.TooSlowError):
        trio.run(_give_up_soon, handle)
    gate.set()
    assert handle.wait(5) == "late"


async def _give_up_soon(handle: Handle[Any]) -> None:
    with trio.fail_after(0.001):
        await handle


def test_several_handles_can_be_gathered(thread: LoopThread) -> None:
    async def gather() -> list[object]:
        return list(await asyncio.gather(order(thread, 1), order(thread, 2)))

    assert asyncio.run(gather()) == [1, 2]


def test_awaiting_under_neither_asyncio_nor_trio_is_refused(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "trio")
    steps = order(thread, 1).__await__()
    with pytest.raises(RuntimeError, match="awaited under asyncio and trio"):
        next(steps)


# Polled handles


@every_way
def test_a_predicate_is_asked_until_it_holds(thread: LoopThread, get: Way) -> None:
    countdown = Countdown(5)
    assert get(poll(thread, countdown)) == "now"
    assert countdown.left == 0


@every_way
def test_a_predicate_that_holds_is_asked_once(thread: LoopThread, get: Way) -> None:
    handle = poll(thread, Countdown(1))
    assert get(handle) == "now"
    assert get(handle) == "now"


@every_way
def test_a_predicate_is_asked_on_the_side_of_who_waits(
    thread: LoopThread, get: Way
) -> None:
    handle = poll(thread, lambda: threading.current_thread().name)
    assert get(handle) == threading.current_thread().name


@every_way
def test_a_predicate_that_never_holds_gives_up(thread: LoopThread, get: Way) -> None:
    handle = poll(thread, lambda: False, timeout=0.001)
    with pytest.raises(WaitTimeoutError, match=r"for the bot to buy; .*bought nothing"):
        get(handle)
    assert handle.unseen_error() is None


@every_way
def test_the_error_of_a_predicate_is_raised_where_one_waits(
    thread: LoopThread, get: Way
) -> None:
    handle = poll(thread, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError) as raised:
        get(handle)
    assert raised.traceback[-1].name == "<lambda>"


@every_way
def test_what_finishes_a_wait_may_take_time_and_fail(
    thread: LoopThread, get: Way
) -> None:
    assert get(poll(thread, lambda: 2, finish=lambda _: answer("done"))) == "done"
    failing = poll(thread, lambda: 2, finish=lambda _: fail(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        get(failing)


def test_the_loop_of_the_test_goes_on_while_a_wait_is_finished(
    thread: LoopThread,
) -> None:
    """What finishes it may need an answer of a bot that runs on that loop."""
    bot = asyncio.Event()

    async def run() -> object:
        loop = asyncio.get_running_loop()

        async def finish(_: object) -> str:
            loop.call_soon_threadsafe(bot.set)
            asked = asyncio.run_coroutine_threadsafe(answered(), loop)
            return await asyncio.wrap_future(asked)

        async def answered() -> str:
            await bot.wait()
            return "answered"

        return await poll(thread, lambda: True, finish=finish)

    assert asyncio.run(run()) == "answered"


def test_the_time_limit_counts_from_when_the_tape_stands_still(
    thread: LoopThread,
) -> None:
    busy = Countdown(20)
    handle = poll(thread, lambda: False, timeout=0, busy=lambda: not busy())
    with pytest.raises(WaitTimeoutError):
        handle.wait()
    assert busy.left == 0


def test_a_wait_that_nobody_waited_for_is_an_error(thread: LoopThread) -> None:
    handle = poll(thread, lambda: True)
    error = handle.unseen_error()
    assert isinstance(error, ForgottenHandleError)
    assert str(error) == (
        "nobody waited for the bot to buy, so it was never asked. Await the handle, "
        "or call its wait()."
    )


def test_a_wait_that_is_called_off_while_it_is_finished_says_so(
    thread: LoopThread,
) -> None:
    handles: list[PolledHandle[Any]] = []

    async def finish(_: object) -> None:
        handles[0].cancel()

    handles.append(poll(thread, lambda: True, finish=finish))
    with pytest.raises(ReplayClosedError):
        handles[0].wait()


# Waiting to the microsecond


class FarSelector(_PreciseSelector):
    """One that was opened when there were many files already."""

    def fileno(self) -> int:
        return 5000


@pytest.mark.parametrize("kind", [_PreciseSelector, FarSelector])
@pytest.mark.parametrize("timeout", [None, 0, 0.0001, 5])
def test_what_is_ready_ends_the_wait(
    kind: type[_PreciseSelector], timeout: float | None
) -> None:
    near, far = socket.socketpair()
    with near, far, kind() as selector:
        key = selector.register(near, selectors.EVENT_READ)
        far.send(b"!")
        assert selector.select(timeout) == [(key, selectors.EVENT_READ)]


@pytest.mark.parametrize("kind", [_PreciseSelector, FarSelector])
def test_a_wait_is_not_cut_short(kind: type[_PreciseSelector]) -> None:
    near, far = socket.socketpair()
    with near, far, kind() as selector:
        selector.register(near, selectors.EVENT_READ)
        started = monotonic_seconds()
        assert selector.select(0.0007) == []
        assert monotonic_seconds() - started >= 0.0007
