"""What a test can order and wait for, carried out on the server's loop.

Every wait here has a limit, and says when it ends what was there instead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from pytest_binance_replay.errors import WaitTimeoutError
from pytest_binance_replay.goals import ToTheEnd
from pytest_binance_replay.player import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pytest_binance_replay.goals import Goal, ToCount
    from pytest_binance_replay.hub import Hub
    from pytest_binance_replay.link import Link
    from pytest_binance_replay.player import Player
    from pytest_binance_replay.server import ReplayServer
    from pytest_binance_replay.tape import Position

QUIET_SECONDS = 0.05
"""How long no further subscription may come before a tape starts by itself."""

STUCK_SECONDS = 10.0
"""How long an order may make no progress, through no fault of the clock."""

_GREETING_SECONDS = 0.5
_MOMENT_SECONDS = 0.25

Start = Literal["auto", "manual"]


class Control:
    """Orders and waits of one replay.

    Args:
        player: Plays the tape.
        server: Serves the clients.
        start: Whether the tape starts by itself.
        start_after: Stream names and REST paths that must all have been asked for
            before it does; if empty, it starts when subscriptions have settled.
        stuck_seconds: How long an order may make no progress.
    """

    def __init__(
        self,
        player: Player,
        server: ReplayServer,
        *,
        start: Start = "auto",
        start_after: Sequence[str] = (),
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        self.player = player
        self.server = server
        self._start_after = frozenset(start_after)
        self._stuck_seconds = stuck_seconds
        self._is_gated = start == "auto"
        self._first_run: Run | None = None
        self._awaited_reconnects = 0
        # Orders begin in the order in which they were given.
        self._orders = asyncio.Lock()
        player.on_release = server.wake_feeders

    @property
    def hub(self) -> Hub:
        """The hub."""
        return self.server.hub

    def start(self) -> None:
        """Serve, and play once the gate opens."""
        self.server.signal.on_fire = self._wake_up
        self.server.start()

    def _wake_up(self) -> None:
        """Begin when anything happens at all: nothing before needs the tasks."""
        self.server.signal.on_fire = self.player.poke
        self.server.spawn(self.player.run())
        if self._is_gated:
            self.server.spawn(self._open_gate())

    # The gate

    async def _open_gate(self) -> None:
        await self._asked_for_all()
        if self._is_gated:
            self._is_gated = False
            self.player.start(self._first_run or Run(ToTheEnd()))
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
        links = [link for link in self.server.links if link.client.view.keys]
        await self._ping(links, _GREETING_SECONDS)

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

    def _take_over(self) -> None:
        """Leave the start to the test; an order that waits for it is overtaken."""
        self._is_gated = False
        self._replace_first_run(None)

    def _replace_first_run(self, run: Run | None) -> None:
        if self._first_run is not None:
            self._first_run.finish()
        self._first_run = run

    # Orders

    async def play(self, goal: Goal) -> Position:
        """Play to a goal at the set speed; wait for every client to have it all."""
        if self._is_gated:
            run = Run(goal)
            self._replace_first_run(run)
            await self._gate_opens(run)
        else:
            async with self._orders:
                run = self.player.play(goal)
        return await self._carry_out(run)

    async def _gate_opens(self, run: Run) -> None:
        try:
            await self.wait_until(
                lambda: run.done.done() or not self._is_gated,
                self._stuck_seconds,
                lambda: f"the tape to start ({self._gate()})",
            )
        except WaitTimeoutError:
            self._first_run = None
            raise

    def _gate(self) -> str:
        if self._start_after:
            lacking = sorted(self._start_after - self.hub.asked)
            return f"nobody asked for {', '.join(lacking)} yet"
        return "nobody subscribed yet"

    async def step(self, goal: ToCount) -> Position:
        """Release some frames at once."""
        self._take_over()
        async with self._orders:
            run = self.player.release(goal)
        return await self._carry_out(run, must_answer=False)

    async def advance(self, us: int) -> Position:
        """Move the tape's own time on; release what is due by then."""
        self._take_over()
        async with self._orders:
            run = self.player.advance(us)
        return await self._carry_out(run, must_answer=False)

    async def pause(self) -> Position:
        """Stand still."""
        self._take_over()
        async with self._orders:
            self.player.pause()
        await self.confirm(must_answer=False)
        return self.player.tape.position

    async def seek(self, wind: Callable[[], None]) -> Position:
        """Wind the tape elsewhere, once every client has what was released.

        Clients that follow a book are sent away when the tape goes back: its update
        ids would go back with it, which on the exchange means loss.
        """
        self._take_over()
        async with self._orders:
            self.player.pause()
            before = self.player.tape.released
            await self._all_have(before)
            try:
                wind()
            finally:
                self.player.moved()
        if self.player.tape.released < before:
            await self._send_book_keepers_away()
        return self.player.tape.position

    async def _send_book_keepers_away(self) -> None:
        keepers = [k for k in self.server.links if self.hub.follows_book(k.client)]
        farewells = (link.hang_up(1001, "The tape went back") for link in keepers)
        await asyncio.gather(*farewells)

    async def push(self, key: bytes, payload: bytes) -> Position:
        """Send a frame of the test's own at the position."""
        tape = self.player.tape
        async with self._orders:
            tape.insert(key, payload, tape.time_us)
            tape.release(tape.released + 1)
            tape.trim(self.hub.lowest_cursor())
            self.server.wake_feeders()
        await self.confirm(must_answer=False)
        return tape.position

    async def _carry_out(self, run: Run, *, must_answer: bool = True) -> Position:
        self.server.signal.fire()  # An order is something that happens, too.
        run.done.add_done_callback(lambda _: self.server.signal.fire())
        await self._patiently(
            run.done.done,
            "the clients to take the frames",
            excuse=lambda: not self.player.held_up,
        )
        run.done.result()
        await self.confirm(must_answer=must_answer)
        return self.player.tape.position

    async def confirm(self, *, must_answer: bool = True) -> None:
        """Wait until every client has what was released, and answered a ping behind it.

        Args:
            must_answer: Whether a client that does not answer is an error. Some answer
                only while they are read from, and a test that goes step by step reads
                after each step: they are given a moment.

        Raises:
            WaitTimeoutError: If a client makes no progress.
        """
        await self._all_have(self.player.tape.released)
        asked = [link for link in self.server.links if link.answered < link.written]
        seconds = self._stuck_seconds if must_answer else _MOMENT_SECONDS
        if not await self._ping(asked, seconds) and must_answer:
            numbers = " and ".join(str(k.client.number) for k in asked if k.is_open)
            wanted = (
                f"a pong to the ping sent behind the last frame, from client {numbers} "
                "(does the bot read while the tape plays?)"
            )
            raise self._stuck(wanted)

    async def _all_have(self, number: int) -> None:
        """Wait until every client was sent the frames before a number."""
        await self._patiently(
            lambda: not any(self._is_behind(k, number) for k in self.server.links),
            "every client to have its last frame",
        )

    def _is_behind(self, link: Link, number: int) -> bool:
        """Return whether a client lacks frames, but for those wound back over."""
        return link.is_behind(min(number, self.player.tape.released))

    async def _patiently(
        self,
        done: Callable[[], bool],
        wanted: str,
        *,
        excuse: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait as long as the tape or a client gets further."""
        progress, deadline = self._progress(), self._deadline()
        while not done():
            try:
                async with asyncio.timeout_at(deadline):
                    await self.server.signal.wait()
            except TimeoutError:
                if not (excuse() or done()):
                    raise self._stuck(wanted) from None
                deadline = self._deadline()
            if progress != self._progress():
                progress, deadline = self._progress(), self._deadline()

    def _progress(self) -> tuple[int, ...]:
        cursors = (client.cursor for client in self.hub.clients)
        return self.player.tape.released, *cursors

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._stuck_seconds

    def _stuck(self, wanted: str) -> WaitTimeoutError:
        return WaitTimeoutError(self._stuck_seconds, wanted, self.seen())

    async def _ping(self, links: Sequence[Link], seconds: float) -> bool:
        """Ping some clients; return whether each has answered or is gone."""
        payload = self.server.ping_payload
        pings = [link.ping(payload(), seconds) for link in links]
        return all(await asyncio.gather(*pings))

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

    def under_way(self) -> str:
        """Say in a line why an order may not be done yet."""
        asked = self._start_after <= self.hub.asked
        begun = asked if self._start_after else self.hub.subscriptions_made > 0
        shut = f" ({self._gate()})" if self._is_gated and not begun else ""
        return f"it is still under way{shut}; {self.seen()}"

    def seen(self) -> str:
        """Say in a line who is connected and where the tape stands."""
        clients = "; ".join(map(str, self.hub.records())) or "no client ever connected"
        requests = [f"{r.path} ({r.status})" for r in self.hub.rest_requests][-5:]
        asked = f"; requests: {', '.join(requests)}" if requests else ""
        return f"the tape stands at {self.player.tape.position}; {clients}{asked}"
