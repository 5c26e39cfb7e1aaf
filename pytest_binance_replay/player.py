"""The player: the one loop that joins clock, tape and hub.

Each turn releases what the pace allows and the goal wants, and says when the next
turn is due; between turns the loop waits for that moment or for something to change.
Nothing here knows sockets: clients follow the released position by themselves.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from pytest_binance_replay.errors import ReplayError, TapeEndedError
from pytest_binance_replay.goals import ToTime
from pytest_binance_replay.pacing import AutoPace, FastPace, ScaledPace

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.clock import Clock
    from pytest_binance_replay.goals import Goal
    from pytest_binance_replay.hub import Hub
    from pytest_binance_replay.pacing import Pace
    from pytest_binance_replay.tape import Tape
    from pytest_binance_replay.wire import Block

Speed = float | Literal["auto", "asap"]
Lag = Literal["lag", "stall", "disconnect"]

_ROOM_BLOCKS = 4


def pace_for(speed: Speed) -> Pace:
    """Return the pace that a speed asks for."""
    if speed == "auto":
        return AutoPace()
    if speed == "asap":
        return FastPace()
    return ScaledPace(float(speed))


class Run:
    """One order to play: a goal, and what came of it.

    Args:
        goal: Where to stop.
        at_once: Whether recorded gaps are skipped whatever the speed.
        until_us: Where the tape's own time stands once the goal is reached,
            microseconds; None leaves it at the last frame.

    Attributes:
        done: Completed when the goal is reached, when another order or a pause takes
            its place, or with the error that stopped the tape.
    """

    def __init__(
        self, goal: Goal, *, at_once: bool = False, until_us: int | None = None
    ) -> None:
        self.goal = goal
        self.at_once = at_once
        self.until_us = until_us
        self.pace: Pace = FastPace()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(_mark_retrieved)

    def finish(self, error: BaseException | None = None) -> None:
        """Complete it, once."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


def _mark_retrieved(future: asyncio.Future[None]) -> None:
    """Keep asyncio from reporting an error that is reported elsewhere."""
    future.exception()


class Player:
    """Plays a tape to whoever listens.

    Args:
        tape: The tape.
        hub: Who listens.
        clock: What time it is, and how to be called later.
        speed: The pace of a plain `play()`.
        lag: What happens when a client cannot follow: it lags, or the tape stalls.

    Attributes:
        failure: The error that stopped the tape; None while it is sound.
        ended: Whether the end of the tape was reached.
        held_up: Whether it waits for clients to take what was released.
    """

    def __init__(
        self, tape: Tape, hub: Hub, clock: Clock, *, speed: Speed, lag: Lag = "lag"
    ) -> None:
        self.tape = tape
        self.hub = hub
        self.clock = clock
        self.failure: Exception | None = None
        self.ended = False
        self.held_up = False
        self.on_release: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self._speed = speed
        self._lag = lag
        self._run: Run | None = None
        self._due_us: int | None = None
        self._wakeup = asyncio.Event()

    # Orders

    @property
    def speed(self) -> Speed:
        """The pace of a plain `play()`."""
        return self._speed

    @speed.setter
    def speed(self, speed: Speed) -> None:
        self._settle()
        self._speed = speed
        if self._run is not None:
            self._anchor(self._run)
        self.poke()

    def play(self, goal: Goal) -> Run:
        """Play at the set speed until a goal is reached."""
        return self.start(Run(goal))

    def release(self, goal: Goal) -> Run:
        """Release all up to a goal at once, or as fast as the auto pace allows."""
        return self.start(Run(goal, at_once=True))

    def advance(self, us: int) -> Run:
        """Move the tape's own time on, and release what is due by then."""
        self.pause()
        until_us = self.due_us + us
        goal = ToTime(until_us, due=True)
        return self.start(Run(goal, at_once=True, until_us=until_us))

    def start(self, run: Run) -> Run:
        """Carry out an order; one that is under way counts as carried out."""
        self.pause()
        self._run = run
        self._anchor(run)
        self.poke()
        return run

    def pause(self) -> None:
        """Stand still; an order under way counts as carried out."""
        self._settle()
        self._finish()

    def moved(self) -> None:
        """Note that the tape was wound elsewhere: everybody stands there now."""
        self._finish()
        self._due_us = None
        self.ended = False
        for client in self.hub.clients:
            client.cursor = self.tape.released
            client.stop_at = None
        self.poke()

    def poke(self) -> None:
        """Take another turn: something changed."""
        self._wakeup.set()

    @property
    def due_us(self) -> int:
        """The tape's own time, in microseconds: where due times stand."""
        if self._due_us is None:
            head = self._peek()
            self._due_us = 0 if head is None else head[0].due_us[head[1]]
        return self._due_us

    def _peek(self) -> tuple[Block, int] | None:
        """Return the next frame; None at the end, and before what cannot be read.

        An unreadable place is an error once the tape is told to go there.
        """
        try:
            return self.tape.head()
        except ReplayError:
            return None

    def _anchor(self, run: Run) -> None:
        at_once = run.at_once and self._speed != "auto"
        run.pace = FastPace() if at_once else pace_for(self._speed)
        run.pace.anchor(self.clock.now_us(), self.due_us)

    def _settle(self) -> None:
        """Remember how far the tape's own time has come under the pace."""
        if self._run is None:
            return
        reached_us = self._run.pace.due_now(self.clock.now_us())
        head = self._peek()
        if reached_us is None or head is None:
            return
        next_us = head[0].due_us[head[1]]
        self._due_us = max(self.due_us, min(reached_us, next_us))

    def _complete(self) -> None:
        """Note that the goal of the order under way is reached."""
        if self._run is not None and self._run.until_us is not None:
            self._due_us = max(self.due_us, self._run.until_us)
        self._finish()

    def _finish(self, error: BaseException | None = None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.finish(error)

    # The loop

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            self._wakeup.clear()
            again_us = self._guarded_turn()
            if again_us is None:
                await self._wakeup.wait()
            elif again_us > self.clock.now_us():
                await self._wait_until(again_us)
            else:
                # Lets acknowledgements and other clients through between blocks.
                await asyncio.sleep(0)  # noqa: TID251 - yields, does not wait

    async def _wait_until(self, when_us: int) -> None:
        timer = self.clock.call_at(when_us, self._wakeup.set)
        try:
            await self._wakeup.wait()
        finally:
            timer.cancel()

    def _guarded_turn(self) -> int | None:
        try:
            return self.turn()
        except Exception as error:  # noqa: BLE001 - kept, and told to who waits
            self.failure = error
            self._finish(error)
            return None

    def turn(self) -> int | None:
        """Release what is due.

        Returns:
            When to take the next turn, on the clock; None when nothing is to be done
            until something changes.

        Raises:
            ReplayError: If the tape cannot be read any further.
        """
        run = self._run
        if run is None:
            return None
        head = self.tape.head()
        if head is None:
            self._reach_end(run)
            return None
        block, index = head
        stop = run.goal.stop_in(block, index)
        if stop <= index:
            self._complete()
            return None
        self.held_up = self._must_wait_for_clients(run)
        if self.held_up:
            return None
        now_us = self.clock.now_us()
        if self._waits_for_books(run):
            moment_us = self.hub.syncing.wait_until_us(now_us)
            if moment_us is not None:
                return moment_us
            stop = self.hub.syncing.stop_in(block.keys, index, stop)
        plan = run.pace.plan(block, index, stop, now_us, self.hub.audience())
        if plan.upto > self.tape.released:
            self._release(run, block, index, plan.upto)
            released = block.keys[index : plan.upto - block.first]
            self.hub.syncing.note_released(released, now_us)
        return now_us if plan.again_us is None else plan.again_us

    def _release(self, run: Run, block: Block, index: int, upto: int) -> None:
        if index == 0 and block.first in self.tape.seams:
            self.hub.end_books(block.first)
        self.tape.release(upto)
        self.tape.trim(self.hub.lowest_cursor())
        self._due_us = block.due_us[upto - block.first - 1]
        self.on_release()
        self._check(run, block, index, upto - block.first)
        if upto == block.end and self._is_at_end():
            self._reach_end(run)

    def _check(self, run: Run, block: Block, start: int, stop: int) -> None:
        """Stop if what was released reaches the goal."""
        try:
            reached = run.goal.is_reached(block, start, stop)
        except Exception as error:  # noqa: BLE001 - told to whoever gave the goal
            self._finish(error)
            return
        if reached:
            self._complete()

    def _is_at_end(self) -> bool:
        try:
            return self.tape.head() is None
        except ReplayError:
            return False

    @staticmethod
    def _waits_for_books(run: Run) -> bool:
        """Return whether a first diff is given a moment before the tape runs on."""
        return isinstance(run.pace, AutoPace) and not run.at_once

    def _must_wait_for_clients(self, run: Run) -> bool:
        """Return whether the tape would run away from all clients, or from any."""
        released = self.tape.released
        if self._lag == "stall" and self.hub.lowest_cursor() < released:
            return True
        fast = isinstance(run.pace, FastPace)
        ahead = self.tape.blocks_between(self.hub.highest_cursor(), released)
        return fast and ahead >= _ROOM_BLOCKS

    def _reach_end(self, run: Run) -> None:
        first = not self.ended
        self.ended = True
        if run is self._run:
            if run.goal.ends_with_tape:
                self._complete()
            else:
                self._finish(TapeEndedError(self.tape.released, str(run.goal)))
        if first:
            self.on_end()
