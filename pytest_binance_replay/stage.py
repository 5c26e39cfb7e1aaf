"""Everything that belongs to one tape, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_binance_replay.clock import RealClock, test_clock_us, wall_us
from pytest_binance_replay.control import Control
from pytest_binance_replay.derived.loom import Loom
from pytest_binance_replay.desk import RestDesk
from pytest_binance_replay.hub import Hub
from pytest_binance_replay.player import Player
from pytest_binance_replay.server import ReplayServer
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.tape import Tape

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Coroutine, Iterator

    from pytest_binance_replay.cassette import Batch
    from pytest_binance_replay.library import Library
    from pytest_binance_replay.options import Options


@dataclass(frozen=True, slots=True)
class Stage:
    """A tape, its players and its audience.

    Attributes:
        library: What the tape is made of.
        tape: The tape.
        hub: Who is connected.
        player: Plays the tape.
        server: Serves the clients.
        control: Takes the test's orders.
        desk: Answers requests over HTTP.
        store: Where blocks go that slow clients still need.
        beside: What else runs from start to end; None for nothing.
    """

    library: Library
    tape: Tape
    hub: Hub
    player: Player
    server: ReplayServer
    control: Control
    desk: RestDesk
    store: SpillFile
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None

    @property
    def cassette(self) -> str:
        """The cassettes on the tape, as they were named."""
        return ", ".join(source.label for source in self.library.sources)

    def start(self) -> None:
        """Take clients in; on the server's loop, as all that follows."""
        self.control.start()
        if self.beside is not None:
            self.server.spawn(self.beside())

    async def close(self) -> None:
        """Close all connections and give back what was taken, but for the port."""
        await self.server.close()
        self.store.close()


def open_stage(
    library: Library,
    options: Options,
    listener: socket.socket,
    loop: asyncio.AbstractEventLoop,
) -> Stage:
    """Lay a tape and make what is to serve it, on any thread.

    Args:
        library: What the tape is made of.
        options: Settings.
        listener: The open port.
        loop: The server's loop, which starts it.
    """
    store = SpillFile()
    opener = _opener(library, options)
    loom = Loom(
        opener, library.catalogue, library.rest_answers, open_near=library.batches_near
    )
    tape = _lay_tape(loom, options, store)
    hub = Hub(tape, library.catalogue, loom)
    clock = RealClock(loop)
    player = Player(tape, hub, clock, speed=options.speed, lag=options.lag)
    desk = RestDesk(
        hub,
        opener,
        recorded=library.rest_answers,
        tape_time_us=lambda: tape.time_us or wall_us(),
    )
    server = ReplayServer(hub, clock, listener, desk=desk, lag=options.lag)
    control = Control(
        player, server, start=options.start, start_after=options.start_after
    )
    if options.at_end == "close":
        player.on_end = lambda: _spawn_goodbyes(server)
    return Stage(library, tape, hub, player, server, control, desk, store)


def _opener(library: Library, options: Options) -> Callable[[], Iterator[Batch]]:
    return library.opener(
        loop=options.at_end == "loop",
        now_us=test_clock_us if options.time == "rebase" else None,
    )


def _lay_tape(loom: Loom, options: Options, store: SpillFile) -> Tape:
    is_looped = options.at_end == "loop"
    max_gap = options.max_gap
    return Tape(
        loom.batches,
        store,
        open_near=loom.batches_near,
        max_gap_us=None if max_gap is None else round(max_gap * 1e6),
        endless=is_looped,
    )


def _spawn_goodbyes(server: ReplayServer) -> None:
    server.spawn(server.close_clients(1001, ""))
