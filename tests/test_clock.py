from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import freezegun
import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay import clock
from pytest_binance_replay.clock import ManualClock, RealClock

THEN = "2020-02-02T02:02:02Z"
THEN_US = 1_580_608_922_000_000
YEAR_US = 365 * 86_400 * 1_000_000


@contextmanager
def frozen_by_freezegun() -> Iterator[None]:
    with freezegun.freeze_time(THEN):
        yield


@contextmanager
def frozen_by_time_machine() -> Iterator[None]:
    with time_machine.travel(THEN, tick=False):
        yield


@pytest.fixture(params=[frozen_by_freezegun, frozen_by_time_machine])
def frozen(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test's clock that stands still in 2020."""
    with request.param():
        yield


def goes_on(read: Callable[[], float]) -> bool:
    """Wait, by no clock at all, until a reading grows."""
    start = read()
    return any(read() > start for _ in range(10_000_000))


# Time that a test cannot freeze


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("read", [clock.monotonic_seconds, clock.wall_us])
def test_real_time_goes_on_while_a_test_has_frozen_its_own(
    read: Callable[[], float],
) -> None:
    assert goes_on(read)


@pytest.mark.usefixtures("frozen")
def test_the_time_of_day_stays_the_real_one() -> None:
    assert clock.wall_us() > THEN_US + 5 * YEAR_US


@pytest.mark.usefixtures("frozen")
def test_the_clock_of_the_code_under_test_is_the_frozen_one() -> None:
    assert clock.test_clock_us() == THEN_US == clock.test_clock_us()


def test_all_clocks_agree_while_nothing_is_frozen() -> None:
    # Not to the second: somebody may set the machine's clock.
    assert abs(clock.wall_us() - clock.test_clock_us()) < YEAR_US
    assert goes_on(clock.monotonic_seconds)
    assert goes_on(clock.wall_us)


def test_pytest_does_not_take_the_clock_for_a_test() -> None:
    assert clock.test_clock_us.__test__ is False  # type: ignore[attr-defined]


def test_a_thread_pauses_for_real_in_a_frozen_test() -> None:
    with freezegun.freeze_time(THEN):
        start = clock.monotonic_seconds()
        clock.pause_thread(0.002)
        assert clock.monotonic_seconds() - start >= 0.002


def test_the_clock_is_there_before_any_test_can_freeze_it() -> None:
    program = (
        "import sys\n"
        "import pytest_binance_replay.plugin\n"
        "print('pytest_binance_replay.clock' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


# Real time on a loop


def on_a_loop(
    work: Callable[[RealClock, asyncio.Future[int]], None],
) -> tuple[int, int]:
    """Run a loop until the future is done; return its result and the clock's time."""

    async def run() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        real = RealClock(loop)
        done: asyncio.Future[int] = loop.create_future()
        work(real, done)
        return await done, real.now_us()

    return asyncio.run(run())


def test_the_real_clock_is_the_loops_own() -> None:
    async def readings() -> tuple[float, int, float]:
        loop = asyncio.get_running_loop()
        return loop.time(), RealClock(loop).now_us(), loop.time()

    before, now_us, after = asyncio.run(readings())
    assert before * 1e6 - 1 <= now_us <= after * 1e6


def test_a_call_comes_when_its_time_has_come() -> None:
    due_us: list[int] = []

    def work(real: RealClock, done: asyncio.Future[int]) -> None:
        due_us.append(real.now_us() + 2000)
        real.call_at(due_us[0], lambda: done.set_result(real.now_us()))

    called_us, _ = on_a_loop(work)
    assert called_us >= due_us[0] - 1  # the loop counts in binary fractions


def test_a_call_that_is_overdue_comes_at_once() -> None:
    def work(real: RealClock, done: asyncio.Future[int]) -> None:
        real.call_at(0, lambda: done.set_result(7))

    assert on_a_loop(work)[0] == 7


def test_a_call_that_was_called_off_does_not_come() -> None:
    called: list[str] = []

    def work(real: RealClock, done: asyncio.Future[int]) -> None:
        timer = real.call_at(0, lambda: called.append("off"))
        real.call_at(real.now_us() + 1000, lambda: done.set_result(0))
        timer.cancel()
        timer.cancel()

    on_a_loop(work)
    assert called == []


@pytest.mark.parametrize("ahead_seconds", [-1.0, 0.002])
def test_to_sleep_until_a_time_is_to_wake_no_earlier(ahead_seconds: float) -> None:
    async def overslept() -> float:
        loop = asyncio.get_running_loop()
        until = loop.time() + ahead_seconds
        await RealClock(loop).sleep_until(until)
        return loop.time() - until

    assert asyncio.run(overslept()) >= -1e-6


def test_milliseconds_of_the_day_are_the_real_ones() -> None:
    async def readings() -> tuple[int, int, int]:
        before = clock.wall_us() // 1000
        now = RealClock(asyncio.get_running_loop()).wall_ms()
        return before, now, clock.wall_us() // 1000

    before, now, after = asyncio.run(readings())
    assert before <= now <= after


# Time that a test moves


@given(st.lists(st.integers(0, 100), max_size=20), st.lists(st.integers(0, 40)))
def test_calls_come_in_the_order_of_time_and_then_of_asking(
    whens_us: list[int], steps_us: list[int]
) -> None:
    manual = ManualClock()
    called: list[tuple[int, int]] = []
    for n, when_us in enumerate(whens_us):
        manual.call_at(when_us, partial(called.append, (when_us, n)))
    for step_us in steps_us:
        manual.advance(step_us)
        due = [(w, n) for n, w in enumerate(whens_us) if w <= manual.now_us()]
        assert called == sorted(due)
    assert manual.now_us() == sum(steps_us)


def test_a_manual_call_that_was_called_off_does_not_come() -> None:
    manual = ManualClock()
    called: list[str] = []
    timer = manual.call_at(5, lambda: called.append("off"))
    manual.call_at(5, lambda: called.append("on"))
    timer.cancel()
    timer.cancel()
    manual.advance(5)
    timer.cancel()
    assert called == ["on"]


def test_a_call_may_ask_for_another_within_the_same_move() -> None:
    manual = ManualClock()
    called: list[int] = []

    def call() -> None:
        called.append(manual.now_us())
        if len(called) < 3:
            manual.call_at(10 * len(called), call)

    manual.call_at(1, call)
    manual.advance(15)
    assert called == [15, 15]
    manual.advance(5)
    assert called == [15, 15, 20]


def test_a_call_that_is_overdue_comes_with_the_next_move() -> None:
    manual = ManualClock()
    manual.advance(10)
    called: list[int] = []
    manual.call_at(3, lambda: called.append(manual.now_us()))
    assert called == []
    manual.advance(0)
    assert called == [10]


def test_a_clock_does_not_go_back() -> None:
    manual = ManualClock()
    with pytest.raises(ValueError, match=r"a clock does not go back: advance\(-1\)"):
        manual.advance(-1)
    assert manual.now_us() == 0
