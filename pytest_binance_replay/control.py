"""What a test can order and wait for, carried out on the server's loop.

Every wait here has a limit, and says when it ends what was there instead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from pytest_binance_replay.errors import WaitTimeoutError
from pytest_binance_replay.goals import ToCount, ToTheEnd, ToTime

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pytest_binance_replay.goals import Goal
    from pytest_binance_replay.hub import Hub
    from pytest_binance_replay.player import Player, Run
    from pytest_binance_replay.server import Link, ReplayServer
    from pytest_binance_replay.tape import Position

QUIET_SECONDS = 0.05
"""How long no further subscription may come before a tape starts by itself."""

STUCK_SECONDS = 10.0
"""How long an order may make no progress, through no fault of the clock."""

_GREETING_SECONDS = 0.5

Start = Literal["auto", "manual"]


class Control:
    """Orders and waits of one replay.

    Args:
        player: Plays the tape.
        server: Serves the clients.
        start: Whether the tape starts by itself.
        start_after: Stream names and REST paths that must all have been asked for
            before it does; if empty, it starts when subscriptions have settled.
    """

    def __init__(
        self,
        player: Player,
        server: ReplayServer,
        *,
        start: Start = "auto",
        start_after: Sequence[str] = (),
    ) -> None:
        self.player = player
        self.server = server
        self._start_after = frozenset(start_after)
        self._manual = start == "manual"
        self._started = False
        self._first_goal: Goal | None = None
        self._first_run: Run | None = None
        self._awaited_reconnects = 0
        player.on_release = server.wake_feeders
        server.signal.on_fire = player.poke

    @property
    def hub(self) -> Hub:
        """The hub."""
        return self.server.hub

    async def start(self) -> None:
        """Serve, and play once the gate opens."""
        await self.server.start()
        self.server.spawn(self.player.run())
        if not self._manual:
            self.server.spawn(self._open_gate())

    # The gate

    async def _open_gate(self) -> None:
        await self._asked_for_all()
        if self._manual or self._started:
            return
        self._started = True
        self._first_run = self.player.play(self._first_goal or ToTheEnd())
        self.server.signal.fire()

    async def _asked_for_all(self) -> None:
        if self._start_after:
            await self._changes(lambda: self._start_after <= self.hub.asked)
            return
        await self._changes(lambda: self.hub.subscriptions_made > 0)
        settled = -1
        while settled != self.hub.subscriptions_made:
            settled = self.hub.subscriptions_made
            # Pongs show that a client that is slow under load has come this far.
            await self._greeted()
            await self._quiet()
            await self._greeted()

    async def _greeted(self) -> None:
        pongs = await self._ping([k for k in self.server.links if k.client.view.keys])
        if pongs:
            await asyncio.wait(pongs, timeout=_GREETING_SECONDS)

    async def _quiet(self) -> None:
        made = self.hub.subscriptions_made
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._changes(lambda: self.hub.subscriptions_made > made)
        except TimeoutError:
            return

    async def _changes(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self.server.signal.wait()

    def take_over(self) -> None:
        """Leave the start to the test."""
        self._manual = True

    # Orders

    async def play(self, goal: Goal) -> Position:
        """Play to a goal at the set speed; wait for every client to have it all."""
        if self._manual or self._started:
            self._started = True
            run = self.player.play(goal)
        else:
            run = await self._play_from_gate(goal)
        return await self._carry_out(run)

    async def _play_from_gate(self, goal: Goal) -> Run:
        self._first_goal = goal
        await self.wait_until(
            lambda: self._started or self._manual,
            STUCK_SECONDS,
            lambda: f"the tape to start ({self._gate()})",
        )
        return self._first_run or self.player.play(goal)

    def _gate(self) -> str:
        if self._start_after:
            lacking = sorted(self._start_after - self.hub.asked)
            return f"nobody asked for {', '.join(lacking)} yet"
        return "nobody subscribed yet"

    async def step(self, goal: ToCount) -> Position:
        """Release some frames at once."""
        return await self._release(goal)

    async def advance(self, us: int) -> Position:
        """Move the tape's own time on; release what is due by then."""
        target_us = self.player.due_us + us
        position = await self._release(ToTime(target_us, due=True))
        self.player.settle_at(target_us)
        return position

    async def _release(self, goal: Goal) -> Position:
        self.take_over()
        self._started = True
        return await self._carry_out(self.player.release(goal))

    async def pause(self) -> Position:
        """Stand still."""
        self.take_over()
        self.player.pause()
        await self.confirm()
        return self.player.tape.position

    async def seek(self, wind: Callable[[], None]) -> Position:
        """Wind the tape elsewhere.

        Clients that follow a book are sent away when the tape goes back: its update
        ids would go back with it, which on the exchange means loss.
        """
        self.take_over()
        self.player.pause()
        before = self.player.tape.released
        wind()
        self.player.moved()
        if self.player.tape.released < before:
            await self._send_book_keepers_away()
        return self.player.tape.position

    async def _send_book_keepers_away(self) -> None:
        for link in list(self.server.links):
            if link.is_open and self.hub.follows_book(link.client):
                await link.hang_up(1001, "The tape went back")

    async def push(self, key: bytes, payload: bytes) -> Position:
        """Send a frame of the test's own at the position."""
        tape = self.player.tape
        tape.insert(key, payload, tape.time_us)
        tape.release(tape.released + 1)
        self.server.wake_feeders()
        await self.confirm()
        return tape.position

    async def _carry_out(self, run: Run) -> Position:
        run.done.add_done_callback(lambda _: self.server.signal.fire())
        await self._patiently(
            run.done.done,
            "the clients to take the frames",
            excuse=lambda: not self.player.held_up,
        )
        run.done.result()
        await self.confirm()
        return self.player.tape.position

    async def confirm(self) -> None:
        """Wait until every client has what was released, and answered a ping behind it.

        Raises:
            WaitTimeoutError: If a client makes no progress.
        """
        upto = self.player.tape.released
        await self._patiently(
            lambda: not any(self._is_behind(link, upto) for link in self.server.links),
            "every client to have its last frame",
        )
        await self._answered()

    async def _patiently(
        self,
        done: Callable[[], bool],
        wanted: str,
        *,
        excuse: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait as long as the tape or a client gets further."""
        progress = self._progress()
        while not done():
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    await self.server.signal.wait()
            except TimeoutError:
                if progress == self._progress() and not excuse():
                    raise self._stuck(wanted) from None
            progress = self._progress()

    def _progress(self) -> tuple[int, ...]:
        cursors = (client.cursor for client in self.hub.clients)
        return self.player.tape.released, *cursors

    def _stuck(self, wanted: str) -> WaitTimeoutError:
        return WaitTimeoutError(STUCK_SECONDS, wanted, self.seen())

    @staticmethod
    def _is_behind(link: Link, upto: int) -> bool:
        client = link.client
        return link.is_open and bool(client.view.keys) and client.cursor < upto

    async def _answered(self) -> None:
        asked = [link for link in self.server.links if link.unconfirmed]
        for link in asked:
            link.unconfirmed = False
        pongs = await self._ping(asked)
        if not pongs:
            return
        _, late = await asyncio.wait(pongs, timeout=STUCK_SECONDS)
        if late:
            wanted = "a pong to the ping sent behind the last frame"
            raise self._stuck(wanted)

    async def _ping(self, links: Sequence[Link]) -> list[asyncio.Future[float]]:
        pongs = [await link.ping(self.server.ping_payload()) for link in links]
        return [pong for pong in pongs if pong is not None]

    # Waits

    async def wait_until(
        self,
        condition: Callable[[], object],
        seconds: float,
        wanted: Callable[[], str],
    ) -> None:
        """Wait for a condition on what clients do.

        Raises:
            WaitTimeoutError: If it does not come true in time.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._changes(condition)
        except TimeoutError:
            raise WaitTimeoutError(seconds, wanted(), self.seen()) from None

    def wait_for_subscription(
        self, streams: Sequence[str], seconds: float
    ) -> Coroutine[Any, Any, None]:
        """Wait until connected clients are subscribed to streams, or to any."""

        def lacking() -> list[str]:
            names = self.hub.subscribed_names()
            return [s for s in streams if s not in names] if streams else []

        def subscribed() -> bool:
            return not lacking() and bool(self.hub.subscribed_names())

        return self.wait_until(
            subscribed,
            seconds,
            lambda: f"a subscription to {', '.join(lacking()) or 'any stream'}",
        )

    def wait_for_request(self, path: str, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait until a path was asked for over HTTP."""
        return self.wait_until(
            lambda: any(r.path == path for r in self.hub.rest_requests),
            seconds,
            lambda: f"a request for {path}",
        )

    async def wait_for_reconnect(self, seconds: float) -> None:
        """Wait until a client has come back after one went away."""
        await self.wait_until(
            lambda: self.hub.reconnects > self._awaited_reconnects,
            seconds,
            lambda: "a client to connect again",
        )
        self._awaited_reconnects += 1

    async def tick(self, seconds: float) -> None:
        """Wait for any change, or for some time to pass."""
        try:
            async with asyncio.timeout(seconds):
                await self.server.signal.wait()
        except TimeoutError:
            return

    def seen(self) -> str:
        """Say in a line who is connected and where the tape stands."""
        clients = "; ".join(map(str, self.hub.records())) or "no client ever connected"
        requests = [f"{r.path} ({r.status})" for r in self.hub.rest_requests][-5:]
        asked = f"; requests: {', '.join(requests)}" if requests else ""
        return f"the tape stands at {self.player.tape.position}; {clients}{asked}"
