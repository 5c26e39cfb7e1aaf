"""A replay server whose clock, pings and patience a test can set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_binance_replay.background import Handle, LoopThread
from pytest_binance_replay.clock import ManualClock, RealClock
from pytest_binance_replay.control import Control, Start
from pytest_binance_replay.desk import RestDesk
from pytest_binance_replay.goals import ToTheEnd
from pytest_binance_replay.hub import Hub
from pytest_binance_replay.library import CassetteSource, Library, SessionSource
from pytest_binance_replay.player import Lag, Player, Speed
from pytest_binance_replay.server import RHYTHMS, ReplayServer, Rhythm, listen
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tape import Position, Tape


class Rig:
    """The parts of a replay, put together by hand.

    The tape moves on a manual clock; pings and time limits keep real time, and are
    shorter than anybody's patience.
    """

    def __init__(
        self,
        thread: LoopThread,
        *sources: SessionSource | CassetteSource,
        speed: Speed = 1,
        lag: Lag = "lag",
        start: Start = "manual",
        start_after: Sequence[str] = (),
        rhythms: Mapping[Market, Rhythm] = RHYTHMS,
        slow_seconds: float = 2.0,
        stuck_seconds: float = 10.0,
        recorded: Callable[[], Any] | None = None,
    ) -> None:
        self.thread = thread
        self.clock = ManualClock()
        self.library = Library(sources)
        self.store = SpillFile()
        self._listener = listen("127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        opener = self.library.opener(loop=False, now_us=None)

        async def build() -> None:
            self.tape = Tape(opener, self.store)
            self.hub = Hub(self.tape, self.library.catalogue)
            self.player = Player(self.tape, self.hub, self.clock, speed=speed, lag=lag)
            self.server = ReplayServer(
                self.hub,
                RealClock(thread.loop),
                self._listener,
                desk=RestDesk(
                    self.hub,
                    opener,
                    recorded=recorded or self.library.rest_answers,
                    tape_time_us=lambda: self.tape.time_us,
                ),
                lag=lag,
                rhythms=rhythms,
                slow_seconds=slow_seconds,
            )
            self.control = Control(
                self.player,
                self.server,
                start=start,
                start_after=start_after,
                stuck_seconds=stuck_seconds,
            )
            self.control.start()

        thread.call(build())

    def play(self) -> Handle[Position]:
        """Play to the end."""
        future = self.thread.submit(self.control.play(ToTheEnd()))
        return Handle(future, "the tape to be played")

    def pass_time(self, us: int, released: int) -> None:
        """Move the clock, until a number of frames is released and has arrived."""

        async def pass_it() -> None:
            self.clock.advance(us)
            await self.control.wait_until(
                lambda: self.tape.released >= released, 5, lambda: "the frames"
            )
            await self.control.confirm()
            await self.control.server.links[0].ping(b"for good measure", 5)

        self.thread.call(pass_it())

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds on the server's side."""
        self.thread.call(self.control.wait_until(condition, 5, lambda: "the server"))

    def close(self) -> None:
        """Close the server and the port."""
        self.thread.call(self.server.close())
        self.store.close()
        self._listener.close()
