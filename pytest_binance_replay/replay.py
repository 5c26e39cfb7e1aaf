"""The object that a test holds: a Binance of its own, and the tape it plays."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pytest_binance_replay import checks
from pytest_binance_replay.background import Handle, LoopThread, PolledHandle
from pytest_binance_replay.cassette import End, Frame, Header, Mark, RestAnswer
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.errors import (
    LoopHasNoEndError,
    NoBookError,
    ReplayClosedError,
)
from pytest_binance_replay.goals import Goal, ToCount, ToFrame, ToTheEnd, ToTime
from pytest_binance_replay.guard import Guard
from pytest_binance_replay.library import CassetteSource, Library, SessionSource
from pytest_binance_replay.moments import (
    name_of,
    parse_moment,
    parse_us,
    takes_a_frame,
)
from pytest_binance_replay.options import Options, parse_setting
from pytest_binance_replay.report import describe
from pytest_binance_replay.secure import SecurePort
from pytest_binance_replay.server import listen
from pytest_binance_replay.stage import open_stage
from pytest_binance_replay.streams import nearest_streams
from pytest_binance_replay.tape import Position
from pytest_binance_replay.tls import Authority
from pytest_binance_replay.wire import stream_key

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import (
        Callable,
        Coroutine,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path
    from types import TracebackType

    from pytest_binance_replay.book import OrderBook
    from pytest_binance_replay.cassette import Line
    from pytest_binance_replay.checks import Look
    from pytest_binance_replay.control import Control
    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.events import Event
    from pytest_binance_replay.journal import (
        ClientRecord,
        ClientRequest,
        Missing,
        RestRequest,
    )
    from pytest_binance_replay.options import Speed
    from pytest_binance_replay.stage import Stage
    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.wire import Block

    Until = float | str | datetime | Callable[..., object]
    StageOpener = Callable[
        [Library, Options, socket.socket, asyncio.AbstractEventLoop], Stage
    ]

T = TypeVar("T")

WAIT_SECONDS = 5.0
"""How long a test waits for what a bot does, unless it says otherwise."""


class BinanceReplay:
    """A Binance on a local port that plays recorded cassettes.

    Started when made, on the loop of a thread of its own; closed by `close()` or at
    the end of a `with` block. Every call that takes time acts at once and returns a
    handle: `await` it in an async test, call its `wait()` in a plain one.

    Args:
        thread: Where the server runs.
        sources: What the tape is made of; none makes an empty tape.
        options: Settings.
        record_command: The command that would record what is missing.
        cassette_warnings: Where the sources put what is odd about them.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        test: What pytest calls the test, for errors.
        authority: Returns the authority that vouches for the port for TLS.
        guarded: Whether this process is kept from the exchange meanwhile.
        stage_opener: What serves a tape without sources.
    """

    def __init__(
        self,
        thread: LoopThread,
        sources: Iterable[CassetteSource | SessionSource] = (),
        options: Options | None = None,
        *,
        record_command: str = "pytest --record-binance",
        cassette_warnings: list[BinanceReplayWarning] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        test: str | None = None,
        authority: Callable[[], Authority] = Authority,
        guarded: bool = False,
        stage_opener: StageOpener = open_stage,
    ) -> None:
        self._thread = thread
        self._test = test
        self._stage_opener = stage_opener
        self._authority = authority
        self._secure: SecurePort | None = None
        self._guard: Guard | None = None
        self._warnings = [] if cassette_warnings is None else cassette_warnings
        self._options = options or Options()
        self._record_command = record_command
        self._handles: list[Handle[Any]] = []
        self._earlier: list[Exception] = []
        self._final_clients: tuple[ClientRecord, ...] | None = None
        self._last_look: Look | None = None
        self._closed = False
        self._host = host
        self._listener = listen(host, port)
        self._port: int = self._listener.getsockname()[1]
        self._sources = tuple(sources)
        self.loaded: object = None
        try:
            self._stage = self._open(self._sources)
        except BaseException:
            self._listener.close()
            raise
        try:
            self._stand_guard(guarded=guarded)
        except BaseException:
            self.close()
            raise

    # Making and ending

    def _open(self, sources: tuple[CassetteSource | SessionSource, ...]) -> Stage:
        options = self._options
        library = Library(sources, routes=options.routes, market=options.market)
        loop = self._thread.loop
        opener = open_stage if sources else self._stage_opener
        stage = opener(library, options, self._listener, loop)
        # Who connects before it has started waits at the open port.
        loop.call_soon_threadsafe(stage.start)
        return stage

    def _stand_guard(self, *, guarded: bool) -> None:
        """Keep this process from the exchange, or lead it here."""
        if self._options.redirect:
            markets = self._stage.library.catalogue.markets
            market = markets[0] if len(markets) == 1 else None
            self._guard = self._tls.guard(self._test, self.port, market)
        elif guarded:
            self._guard = Guard(test=self._test)
        if self._guard is not None:
            self._guard.install()

    @property
    def _tls(self) -> SecurePort:
        if self._secure is None:
            if self._closed:
                wanted = "TLS"
                raise ReplayClosedError(wanted)
            self._secure = SecurePort(self._thread, self._host, self._authority)
            self._secure.serve_with(self._stage.server)
        return self._secure

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def take_warnings(self) -> list[BinanceReplayWarning]:
        """Return what is odd about the cassettes, each once, and forget it."""
        found = {str(warning): warning for warning in self._warnings}
        self._warnings.clear()
        return list(found.values())

    def close(self) -> None:
        """Close all connections and the port; harmless when done already."""
        if self._closed:
            return
        if self._guard is not None:
            self._guard.remove()
        self._closed = True
        self._call_off()
        self._last_look = self._thread.call(self._look_and_close())
        self._listener.close()
        if self._secure is not None:
            self._secure.close()

    async def _look_and_close(self) -> Look:
        look = checks.look_at(self._stage)
        await self._stage.close()
        return look

    def _call_off(self) -> None:
        for handle in self._handles:
            handle.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and (problems := self.problems()):
            raise problems[0]

    # Where to connect

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._port

    @property
    def _address(self) -> str:
        return f"{_reachable(self._host)}:{self.port}"

    @property
    def url(self) -> str:
        """Where the simple protocol is spoken."""
        return f"ws://{self._address}/stream/"

    @property
    def ws_url(self) -> str:
        """The base of Binance's own paths, such as `/ws/btcusdt@trade`."""
        return f"ws://{self._address}"

    @property
    def rest_url(self) -> str:
        """The base of the REST paths: put `/api/v3/…` or `/fapi/v1/…` behind."""
        return f"http://{self._address}"

    @property
    def wss_url(self) -> str:
        """What `ws_url` is, over TLS; verify it against `ca`."""
        return f"wss://{_reachable(self._host)}:{self._tls.port}"

    @property
    def https_url(self) -> str:
        """What `rest_url` is, over TLS; verify it against `ca`."""
        return f"https://{_reachable(self._host)}:{self._tls.port}"

    @property
    def ca(self) -> Path:
        """File with the certificate of the authority that vouches for TLS here."""
        return self._tls.authority.ca_path

    @property
    def env(self) -> dict[str, str]:
        """Environment for a bot in a subprocess.

        `BINANCE_REPLAY_URL`, `BINANCE_REPLAY_WS_URL` and `BINANCE_REPLAY_REST_URL`
        say where to connect; `NO_PROXY` keeps loopback away from any proxy. With
        `redirect`, a proxy and the certificates to trust lead what dials the exchange
        here, as far as the program heeds them.
        """
        redirected = {}
        if self._options.redirect:
            redirected = self._tls.environment(self.port)
        return {
            **redirected,
            "BINANCE_REPLAY_URL": self.url,
            "BINANCE_REPLAY_WS_URL": self.ws_url,
            "BINANCE_REPLAY_REST_URL": self.rest_url,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    # The tape

    def play(self, until: Until | None = None) -> Handle[Position]:
        """Play at the set speed, to the end of the tape or to a goal.

        Waits for the start first: see `start` and `start_after`. Done once every
        client has its last frame and has answered a ping sent behind it.

        Args:
            until: None plays to the end. A number of seconds from the start of the
                tape, text such as `"12.5s"` or an aware `datetime` plays all frames
                up to that time; a stream name, up to and with its next frame. A
                predicate with one argument is asked about each frame as it is
                released, on the server's thread, and the tape stops behind the first
                that it accepts. A predicate without arguments is asked about the
                test's own state while the test waits for the handle.

        Returns:
            Handle of the position then reached.

        Raises:
            ReplayError: If the tape loops and `until` is None.
        """
        if callable(until) and not takes_a_frame(until):
            return self._play_until_state(until)
        if until is None and self._stage.tape.endless:
            raise LoopHasNoEndError
        return self._order(
            self._control.play(self._goal(until)),
            "the tape to be played" if until is None else f"play(until={until!r})",
        )

    def _play_until_state(self, predicate: Callable[[], object]) -> Handle[Position]:
        playing = self._order(self._control.play(ToTheEnd()), "the tape to be played")

        def ask() -> object:
            if playing.done():
                playing.wait()  # Raises what went wrong, if anything did.
            return predicate()

        return self._polled(
            ask,
            WAIT_SECONDS,
            f"{name_of(predicate)} to hold while playing",
            lambda _: self._control.pause(),
            busy=lambda: not playing.done(),
        )

    def pause(self) -> Handle[Position]:
        """Stand still until told to go on."""
        return self._order(self._control.pause(), "the tape to pause")

    def step(self, n: int = 1, *, stream: str | None = None) -> Handle[Position]:
        """Release the next frames at once.

        Args:
            n: How many, 1 or more.
            stream: Count only frames of this stream; frames of other streams that
                lie between are released with them.

        Raises:
            ValueError: If `n` is less than 1.
        """
        if n < 1:
            msg = f"step({n}): expected 1 or more"
            raise ValueError(msg)
        goal = ToCount(n) if stream is None else self._frames_of(stream, n)
        return self._order(self._control.step(goal), f"step({n})")

    def advance(self, seconds: float | str) -> Handle[Position]:
        """Move the tape's own time on, and release what is due by then.

        Args:
            seconds: How far; a number, or text such as `"250ms"`.
        """
        call = f"advance({seconds!r})"
        return self._order(self._control.advance(parse_us(call, seconds)), call)

    def seek(self, to: float | str | datetime | Position) -> Handle[Position]:
        """Wind the tape elsewhere without releasing what lies between.

        Of a single cassette that this process has read before, only what lies near the
        place is read, unless streams are derived from it.

        Args:
            to: A number of seconds from the start of the tape, text such as `"90s"`,
                `"+5s"` or `"-5s"` (the last two from where the tape stands), an
                aware `datetime` or a `Position`.
        """
        tape, call = self._stage.tape, f"seek({to!r})"
        if isinstance(to, Position):
            return self._order(
                self._control.seek(lambda: tape.seek_frame(to.frames)), call
            )
        time_us = parse_moment(call, to, tape)
        return self._order(self._control.seek(lambda: tape.seek_time(time_us())), call)

    @property
    def speed(self) -> Speed:
        """Pace of the tape; set it to change the pace at any time."""
        return self._stage.player.speed

    @speed.setter
    def speed(self, speed: Speed) -> None:
        checked = parse_setting("speed", speed, f"speed = {speed!r}")
        self._ask(lambda: setattr(self._stage.player, "speed", checked))

    @property
    def position(self) -> Position:
        """Where the tape stands: what was released, and when the next frame was."""
        return self._ask(lambda: self._stage.tape.position)

    @property
    def done(self) -> bool:
        """Whether the tape has released all of its frames."""
        return self._ask(lambda: self._stage.tape.head() is None)

    @property
    def cassette(self) -> str:
        """The cassettes on the tape, as they were named."""
        return self._stage.cassette

    def frames(self, stream: str | None = None) -> Iterator[Frame]:
        """Read the frames that the tape holds, as they were recorded.

        Args:
            stream: Only frames of this stream; one that no cassette has is derived
                where it can be. None reads all recorded ones.
        """
        return self._stage.library.frames(stream)

    def events(self, stream: str | None = None) -> Iterator[Event]:
        """Read the frames that the tape holds, as typed events.

        Args:
            stream: Only events of this stream; None reads all. Frames that hold an
                array give one event for each member.

        Raises:
            EventError: If a payload does not fit its stream.
        """
        from pytest_binance_replay.events import parse_event  # noqa: PLC0415 - heavy

        for frame in self.frames(stream):
            market = self._market_of(frame.stream)
            event = parse_event(frame.payload, stream=frame.stream, market=market)
            yield from event if isinstance(event, tuple) else (event,)

    def book(self, symbol: str) -> OrderBook:
        """Return the true order book at the position, to hold the bot's against.

        Before the recorded snapshot has joined its stream, it is that snapshot. The
        book is a copy and stands still when the tape goes on.

        Where no snapshot was recorded, or none is left behind a gap, the book is kept
        from partial depth: its levels end where it is surely complete
        (`OrderBook.known_to`), so it may be shallower than the partial depth was, and
        it compares with another book down to there only. Without a diff stream it is
        the newest partial depth. Where nothing is known, before the first and behind a
        gap in the diffs, it is the next to come that joins, as it is over REST.

        Args:
            symbol: Upper case, such as `BTCUSDT`.

        Raises:
            NoBookError: If the tape has no recorded snapshot that joins the symbol's
                diff depth, and no partial depth of it that shows both sides' best.
            DamagedDepthError: If what the book is made from cannot be read.
        """
        stage = self._stage
        begins = f"{symbol.lower()}@"
        names = (n for s in stage.library.catalogue.streams.values() for n in s)
        name = next((name for name in names if name.startswith(begins)), begins)
        book = self._thread.call(stage.desk.book(self._market_of(name), symbol))
        if book is None:
            raise NoBookError(symbol)
        return book

    # What the bot did

    @property
    def clients(self) -> tuple[ClientRecord, ...]:
        """Every connection so far, in the order of connecting."""
        return self._ask(self._stage.hub.records)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """What connected clients are subscribed to now, each name once."""
        names = (s for c in self.clients if c.connected for s in c.subscriptions)
        return tuple(dict.fromkeys(names))

    @property
    def requests(self) -> tuple[ClientRequest | RestRequest, ...]:
        """What clients asked: messages by client, then requests over HTTP."""
        asked = [request for c in self.clients for request in c.requests]
        rest = self._ask(lambda: tuple(self._stage.hub.rest_requests))
        return (*asked, *rest)

    @property
    def sent(self) -> Mapping[str, int]:
        """How many frames all clients together were sent, by stream name."""
        total: dict[str, int] = {}
        for client in self.clients:
            for name, count in client.sent.items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What clients asked for that the cassettes cannot give."""
        return self._confirmed(self._ask(lambda: tuple(self._stage.hub.missing)))

    def _confirmed(self, missing: Iterable[Missing]) -> tuple[Missing, ...]:
        return tuple(filter(self._stage.library.confirms, missing))

    # Waiting

    def wait_for_subscription(
        self, *streams: str, timeout: float = WAIT_SECONDS
    ) -> Handle[None]:
        """Wait until connected clients are subscribed to all of some streams.

        Args:
            streams: Names as clients give them; none means any.
            timeout: Seconds after which to give up.
        """
        work = self._control.wait_for_subscription(streams, timeout)
        return self._order(work, "a subscription")

    def wait_for_request(
        self, path: str, *, timeout: float = WAIT_SECONDS
    ) -> Handle[None]:
        """Wait until a path, such as `/api/v3/depth`, was asked for over HTTP."""
        work = self._control.wait_for_request(path, timeout)
        return self._order(work, f"a request for {path}")

    def wait_for_reconnect(self, *, timeout: float = WAIT_SECONDS) -> Handle[None]:
        """Wait until a client has come back after one went away.

        Each call waits for one more such return than the calls before it.
        """
        work = self._control.wait_for_reconnect(timeout)
        return self._order(work, "a client to connect again")

    def until(
        self, predicate: Callable[[], object], *, timeout: float = WAIT_SECONDS
    ) -> Handle[object]:
        """Wait until something holds in the test's own state.

        Args:
            predicate: Asked on the test's side, while the test waits for the handle.
            timeout: Seconds after which to give up.

        Returns:
            Handle of what the predicate returned.
        """
        if takes_a_frame(predicate):
            msg = f"{name_of(predicate)}: until() asks without arguments"
            raise TypeError(msg)
        wanted = f"{name_of(predicate)} to hold"
        return self._polled(predicate, timeout, wanted, _answered)

    # Frames of the test's own

    def push(self, stream: str, payload: str | bytes) -> Handle[Position]:
        """Send a frame of the test's own to whoever is subscribed, at once.

        Args:
            stream: Stream name.
            payload: JSON text, sent as it is.
        """
        data = _text_bytes(payload)
        market = self._market_of(stream)
        work = self._push(market, stream, data)
        return self._order(work, f"push({stream!r})")

    async def _push(self, market: Market, stream: str, data: bytes) -> Position:
        self._stage.library.catalogue.streams[market].add(stream)
        return await self._control.push(self._key(stream), data)

    def load(self, session: Iterable[Line | tuple[str, str | bytes]]) -> None:
        """Put a session of the test's own on the tape, in place of what it holds.

        Connections are closed; the port stays. What was asked and sent before is
        forgotten, and the new tape starts as the first one did.

        Args:
            session: Lines of a cassette in order, such as those of a `Session`: frames,
                REST answers, and a header that names market and streams if it is there;
                or pairs of stream name and payload, received a millisecond apart.
        """
        if self._closed:
            wanted = "load()"
            raise ReplayClosedError(wanted)
        source = _as_source(session, self._options.market)
        self._earlier += self._problems_of_tape()
        self._replace_tape((source,))
        self.loaded = session

    def start_over(self) -> None:
        """Be as it was when it was made, but for the port.

        Connections are closed; what was loaded, asked, sent and found wrong is
        forgotten.
        """
        if self._closed:
            wanted = "start_over()"
            raise ReplayClosedError(wanted)
        self._replace_tape(self._sources)
        self._earlier.clear()
        self._handles.clear()
        self._final_clients = None
        self.loaded = None

    def _replace_tape(self, sources: Sequence[CassetteSource | SessionSource]) -> None:
        self._call_off()
        self._thread.call(self._stage.close())
        self._stage = self._open(tuple(sources))
        if self._secure is not None:
            self._secure.serve_with(self._stage.server)

    # At the end of a test

    def test_is_over(self) -> None:
        """Take note that what clients do from now on is no longer the test's doing."""
        if not self._closed:
            # Who is not there yet cannot have vanished.
            came = self._stage.hub.clients
            self._final_clients = self._thread.call(self._let_go()) if came else ()

    async def _let_go(self) -> tuple[ClientRecord, ...]:
        records = self._stage.hub.records()
        await self._stage.server.let_go()
        return records

    def problems(self) -> list[Exception]:
        """Return what is wrong with the run, the cause before its consequences.

        Of a closed replay, what was wrong just before the end. What a handle has raised
        where the test waited for it is not said again. Emits as warnings what `check`
        says is to be no more than that.
        """
        found = [*self._earlier, *self._problems_of_tape()]
        return checks.without_what_was_shown(found, self._handles)

    def _problems_of_tape(self) -> list[Exception]:
        look = self._look()
        if self._final_clients is not None:
            look = look._replace(clients=self._final_clients)
        return checks.find_problems(look, self._missing_errors(look), self._options)

    def _look(self) -> Look:
        return self._last_look or self._ask(lambda: checks.look_at(self._stage))

    def complaints(self) -> list[BaseException]:
        """Return what went wrong so far with cassettes, tape, server and requests."""
        look = self._look()
        return [
            *self.take_warnings(),
            *([] if look.player_failure is None else [look.player_failure]),
            *checks.server_errors(look),
            *self._missing_errors(look),
        ]

    def _missing_errors(self, look: Look) -> list[Exception]:
        missing = self._confirmed(look.missing)
        return checks.missing_errors(self._stage, missing, self._record_command)

    def describe(self) -> str:
        """Describe cassette, position, clients and the last frames, for a report."""
        stage = self._stage
        last = self._ask(lambda: stage.tape.last_released(10))
        return describe(
            cassette=self.cassette or "no cassette",
            position=self.position,
            speed=self.speed,
            clients=self.clients,
            requests=self._ask(lambda: tuple(stage.hub.rest_requests)),
            missing=self._missing_errors(self._look()),
            blocked=() if self._guard is None else self._guard.blocked,
            derived=self._ask(stage.hub.derivations),
            last=[Frame(t, stage.hub.catalogue.name(k), p) for t, k, p in last],
        )

    # Helpers

    @property
    def _control(self) -> Control:
        return self._stage.control

    def _ask(self, question: Callable[[], T]) -> T:
        return question() if self._closed else self._thread.ask(question)

    def _order(self, work: Coroutine[Any, Any, Any], wanted: str) -> Handle[Any]:
        if self._closed:
            work.close()
            raise ReplayClosedError(wanted)
        handle: Handle[Any] = Handle(
            self._thread.submit(work),
            wanted,
            seen=lambda: self._ask(self._control.under_way),
        )
        self._handles.append(handle)
        return handle

    def _polled(
        self,
        predicate: Callable[[], object],
        timeout: float,
        wanted: str,
        finish: Callable[[object], Coroutine[Any, Any, Any]],
        *,
        busy: Callable[[], bool] = lambda: False,
    ) -> Handle[Any]:
        handle: Handle[Any] = PolledHandle(
            self._thread,
            predicate,
            tick=self._control.tick,
            timeout=timeout,
            wanted=wanted,
            seen=lambda: self._ask(self._control.seen),
            finish=finish,
            busy=busy,
        )
        self._handles.append(handle)
        return handle

    def _market_of(self, stream: str) -> Market:
        return self._stage.library.market_of(stream)

    def _key(self, stream: str) -> bytes:
        market = self._market_of(stream)
        return stream_key(stream, self._stage.library.catalogue.prefix(market))

    def _frames_of(self, stream: str, count: int) -> ToCount:
        """Return frames of a stream as a goal; see to it that there is such a stream.

        One that is not there may yet be pushed, so that it is no error to name it.
        """
        market, hub = self._market_of(stream), self._stage.hub
        self._ask(lambda: hub.derive(market, [stream]))
        library, note = self._stage.library, ""
        if not library.offers(market, stream):
            near = nearest_streams(stream, library.catalogue.streams[market])
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            note = f" (no cassette has that stream{meant})"
        return ToCount(count, self._key(stream), note)

    def _goal(self, until: Until | None) -> Goal:
        if until is None:
            return ToTheEnd()
        if callable(until):
            return ToFrame(until, self._frame_at)
        if isinstance(until, str) and ("@" in until or until.startswith("!")):
            return self._frames_of(until, 1)
        time_us = parse_moment(f"play(until={until!r})", until, self._stage.tape)
        return ToTime(self._ask(time_us))

    def _frame_at(self, block: Block, index: int) -> Frame:
        name = self._stage.library.catalogue.name(block.keys[index])
        return Frame(block.times_us[index], name, block.payloads[index])


def _reachable(host: str) -> str:
    """Return how a URL names the host that the server listens on."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


async def _answered(answer: object) -> object:
    return answer


def _text_bytes(payload: str | bytes) -> bytes:
    """Return a payload as UTF-8; a client would hang up on anything else."""
    return (payload if isinstance(payload, str) else payload.decode()).encode()


def _as_source(
    session: Iterable[Line | tuple[str, str | bytes]], market: Market | None
) -> SessionSource:
    """Return a session as the source of a tape; a market given wins over its header."""
    header, frames, rest = Header(), list[Frame](), list[RestAnswer]()
    now_us = wall_us()
    for n, item in enumerate(session):
        match item:
            case Header():
                header = item
            case Frame():
                frames.append(item)
            case RestAnswer():
                rest.append(item)
            case Mark() | End():
                pass
            case (stream, payload):
                frames.append(Frame(now_us + n * 1000, stream, _text_bytes(payload)))
    return SessionSource(
        frames, market=market or header.market, rest=rest, streams=header.streams or ()
    )
