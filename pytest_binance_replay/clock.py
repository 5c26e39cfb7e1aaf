"""Clocks: the only module that reads time or waits for it.

Every function is bound when this module is imported, which the plugin does before
any test runs, so that a clock frozen by a test (freezegun, time-machine) cannot
freeze the server. The one exception is `test_clock_us`, which asks for exactly that
clock.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_EPOCH_OFFSET_NS = time.time_ns() - time.monotonic_ns()


def monotonic_seconds(_monotonic: Callable[[], float] = time.monotonic) -> float:
    """Return seconds that never go back and that no test can freeze.

    The default argument holds the real function where freezegun, which replaces
    module attributes, does not find it.
    """
    return _monotonic()


def wall_us(
    _monotonic_ns: Callable[[], int] = time.monotonic_ns,
    _offset_ns: int = _EPOCH_OFFSET_NS,
) -> int:
    """Return the real time of day, microseconds since the epoch, UTC."""
    return (_monotonic_ns() + _offset_ns) // 1000


def test_clock_us() -> int:
    """Return what the code under test takes for now, frozen or not.

    Returns:
        Microseconds since the epoch, UTC.
    """
    return time.time_ns() // 1000


test_clock_us.__test__ = False  # type: ignore[attr-defined]


def pause_thread(seconds: float, _sleep: Callable[[float], None] = time.sleep) -> None:
    """Block the calling thread for some real seconds."""
    _sleep(seconds)


async def _asyncio_sleep(seconds: float) -> None:
    import asyncio  # noqa: PLC0415 - the plugin imports this module at every start

    await asyncio.sleep(seconds)


class Timer(Protocol):
    """A call that is due later and can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it is done or called off already."""


class Clock(Protocol):
    """What a player waits on: real time, or time that a test moves."""

    def now_us(self) -> int:
        """Return the time in microseconds since some fixed moment."""

    def call_at(self, when_us: int, callback: Callable[[], None]) -> Timer:
        """Call back on the server's loop as soon as `now_us()` reaches a time."""


class RealClock:
    """Real time, kept by an event loop.

    Args:
        loop: The server's loop, whose `time()` must be immune to freezing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_us(self) -> int:
        """Return the loop's time in microseconds."""
        return int(self._loop.time() * 1_000_000)

    def call_at(self, when_us: int, callback: Callable[[], None]) -> Timer:
        """Call back at an absolute time, so that lateness never adds up."""
        return self._loop.call_at(when_us / 1_000_000, callback)

    async def sleep_until(self, seconds: float) -> None:
        """Wait until the loop's time reaches a number of seconds."""
        await _asyncio_sleep(max(0.0, seconds - self._loop.time()))

    def wall_ms(self) -> int:
        """Return the real time of day, milliseconds since the epoch, UTC."""
        return wall_us() // 1000


class _ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        if self._callback is not None:
            self._callback()


class ManualClock:
    """Time that stands still until `advance()` moves it; for tests of players.

    Not safe to share between threads: use it on the loop that it serves.
    """

    def __init__(self) -> None:
        self._now_us = 0
        self._timers: list[tuple[int, int, _ManualTimer]] = []
        self._count = 0

    def now_us(self) -> int:
        """Return the time to which the clock was moved, in microseconds."""
        return self._now_us

    def call_at(self, when_us: int, callback: Callable[[], None]) -> Timer:
        """Call back from within the `advance()` that reaches the time."""
        timer = _ManualTimer(callback)
        self._count += 1
        heapq.heappush(self._timers, (when_us, self._count, timer))
        return timer

    def advance(self, us: int) -> None:
        """Move the clock and call what became due, in order of time.

        Args:
            us: Microseconds to move forward, 0 or more.

        Raises:
            ValueError: If the clock would go back.
        """
        if us < 0:
            msg = f"a clock does not go back: advance({us})"
            raise ValueError(msg)
        self._now_us += us
        while self._timers and self._timers[0][0] <= self._now_us:
            heapq.heappop(self._timers)[2].fire()
