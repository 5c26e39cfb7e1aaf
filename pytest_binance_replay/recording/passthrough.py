"""The live exchange under a test: what the bot asks for goes through, and is noted.

To the bot it is a replay server like any other; what it plays comes from the upstream
at that moment. Market data goes through, and nothing else ever does: no order, no
signed request, no stream of an account.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from importlib.metadata import version
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_binance_replay.cassette import Batch, End, Header, is_payload
from pytest_binance_replay.clock import RealClock, wall_us
from pytest_binance_replay.control import Control
from pytest_binance_replay.desk import RestDesk
from pytest_binance_replay.errors import CaptureError, ConnectionLostError
from pytest_binance_replay.files import OWN_RECORDER, CassetteReader
from pytest_binance_replay.guard import OWN_THREADS
from pytest_binance_replay.hub import Hub
from pytest_binance_replay.player import Player
from pytest_binance_replay.protocols.query import to_body
from pytest_binance_replay.protocols.rest import (
    RestReply,
    plain_request,
    request_key,
)
from pytest_binance_replay.protocols.simple import native_names
from pytest_binance_replay.recording.capture import (
    clean_origin,
    messages_per_second,
    plan_capture,
)
from pytest_binance_replay.recording.draft import Draft
from pytest_binance_replay.recording.fetching import Fetcher
from pytest_binance_replay.recording.lane import Lane
from pytest_binance_replay.recording.public import is_public_request
from pytest_binance_replay.recording.refusals import words_of
from pytest_binance_replay.recording.snapshots import Snapshots
from pytest_binance_replay.recording.upstream import Patience
from pytest_binance_replay.server import ReplayServer
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.stage import Stage
from pytest_binance_replay.tape import Tape
from pytest_binance_replay.wire import Form
from pytest_binance_replay.writer import CassetteWriter

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_binance_replay.client import Client
    from pytest_binance_replay.hosts import Upstream
    from pytest_binance_replay.library import Library
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.player import Run
    from pytest_binance_replay.streams import Market

_GATHER_SECONDS = 0.05
_QUIET_SECONDS = 60.0
_MOST_BYTES = 64 * 1024 * 1024
_OK = 200
_UNAUTHORIZED = 401
_BAD_GATEWAY = 502
_ANSWERED_BY_REPLAYS = ("/ping", "/time")

_NO_KEY = to_body(
    {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
)
"""What a request is answered that needs a key.

Source:
    Binance Spot API docs, "Error codes": -2015, sent with HTTP status 401.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSource:
    """What goes through, and what becomes of it.

    Attributes:
        upstream: Where from.
        seconds: How long frames come, from the first acknowledged stream on; the test
            is then told that the tape is at its end.
        streams: What is captured whether or not the bot asks for it.
        path: The cassette that what came is written to when the test is over; None
            writes nothing.
        test: What pytest calls the test, for the header.
        trust: Authorities to verify with; None takes the system's.
        patience: How long to wait for what.
    """

    upstream: Upstream
    seconds: float
    streams: tuple[str, ...] = ()
    path: Path | None = None
    test: str | None = None
    trust: ssl.SSLContext | None = None
    patience: Patience = field(default_factory=Patience)


class PassThrough:
    """Plays an upstream to a bot, and remembers what the bot asked for.

    Args:
        source: What goes through.

    Attributes:
        streams: All streams that were asked of the upstream, in order.
        requests: The requests that the upstream answered, path and query, in order.
        failure: Why it ended early; None while it has not.
    """

    def __init__(self, source: LiveSource) -> None:
        self.source = source
        self.streams: dict[str, None] = {}
        self.requests: dict[str, None] = {}
        self.failure: BaseException | None = None

    def open_stage(
        self,
        library: Library,
        options: Options,
        listener: socket.socket,
        loop: asyncio.AbstractEventLoop,
    ) -> Stage:
        """Serve the upstream; what the settings say of a tape does not hold for it.

        Args:
            library: An empty one.
            options: Settings.
            listener: The open port.
            loop: The server's loop, which starts it.
        """
        # Only threads of this name may reach the exchange while a test runs.
        executor = ThreadPoolExecutor(thread_name_prefix=OWN_THREADS)
        loop.set_default_executor(executor)
        store, feed, clock = SpillFile(), _Feed(), RealClock(loop)
        tape = Tape(lambda: feed, store)
        hub = Hub(tape, library.catalogue)
        player = _LivePlayer(feed, tape, hub, clock, options)
        flow = _Flow(self, library.catalogue.markets[0], loop)
        desk = _LiveDesk(hub, flow)
        server = ReplayServer(hub, clock, listener, desk=desk, lag=options.lag)
        control = Control(
            player, server, start=options.start, start_after=options.start_after
        )
        parts = library, tape, hub, player, server, control, desk, store
        return Stage(*parts, beside=partial(flow.run, player, server))


class _Feed:
    """Frames as they come, read as a tape reads a file."""

    def __init__(self) -> None:
        self.is_over = False
        self._frames: deque[tuple[int, bytes, bytes]] = deque()
        self._last_us = 0

    def add(self, stream: bytes, payload: bytes, time_us: int) -> None:
        """Append a frame."""
        self._last_us = max(self._last_us, time_us)
        self._frames.append((self._last_us, stream, payload))

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return all that has come; unlike other iterators it may go on later."""
        if not self._frames:
            raise StopIteration
        rows = list(self._frames)
        self._frames.clear()
        return Batch(
            [t for t, _, _ in rows],
            [s for _, s, _ in rows],
            [p for _, _, p in rows],
            [],
        )


class _LivePlayer(Player):
    """A player that waits where the tape ends only for now."""

    def __init__(
        self, feed: _Feed, tape: Tape, hub: Hub, clock: RealClock, options: Options
    ) -> None:
        super().__init__(tape, hub, clock, speed="asap", lag=options.lag)
        self.feed = feed

    def _reach_end(self, run: Run) -> None:
        if self.feed.is_over:
            super()._reach_end(run)


class _LiveDesk(RestDesk):
    """Passes requests for market data on, and nothing else."""

    def __init__(self, hub: Hub, flow: _Flow) -> None:
        super().__init__(hub, lambda: iter(()), recorded=list, tape_time_us=wall_us)
        self._flow = flow

    async def answer(
        self, target: str, *, time_unit: str | None = None
    ) -> tuple[RestReply, dict[str, str]]:
        """Answer a GET request as the upstream does, and note it."""
        path, _ = request_key(target)
        query = target.partition("#")[0].partition("?")[2]
        asked = f"{path}?{query}" if query else path
        if not is_public_request(asked):
            return self.refuse("GET", target), {}
        try:
            status, body = await self._flow.ask(plain_request(asked), time_unit)
        except ConnectionLostError as error:
            reply = RestReply(_BAD_GATEWAY, to_body({"msg": str(error)}), known=False)
            self.note(target, reply, f"The upstream gave none: {error.reason}.")
            return reply, {}
        reply = RestReply(status, body)
        self.note(target, reply, "")
        return reply, {}

    def refuse(self, method: str, target: str) -> RestReply:
        """Answer what is not passed on as the exchange does without a key."""
        reply = RestReply(_UNAUTHORIZED, _NO_KEY, known=False)
        detail = (
            f"This {method} was not passed on to the exchange: only requests for "
            "market data, without a key or a signature, ever are."
        )
        self.note(target, reply, detail)
        return reply


class _Flow:
    """What goes back and forth between a server and an upstream."""

    _player: _LivePlayer
    _server: ReplayServer
    _fetcher: Fetcher

    def __init__(
        self, owner: PassThrough, market: Market, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._owner = owner
        self._source = owner.source
        self._market = market
        self._loop = loop
        self._clock = RealClock(loop)
        self._random = Random()
        self._refused: set[str] = set()
        self._has_begun = asyncio.Event()
        self._lanes = 0
        self._start_us = wall_us()
        self._snapshots: list[Snapshots] = []
        path = self._source.path
        self._draft = None if path is None else Draft(_raw_path(path), Header())

    # Streams

    async def run(self, player: _LivePlayer, server: ReplayServer) -> None:
        """Ask the upstream for whatever clients ask for, until cancelled."""
        self._player, self._server = player, server
        self._fetcher = Fetcher(
            self._source.upstream.rest_url,
            trust=self._source.trust,
            patience=self._source.patience,
            random=self._random,
        )
        try:
            self._subscribe(self._source.streams)
            while True:
                if self._new_names():
                    # Bots ask for their streams one by one, at once.
                    soon = self._loop.time() + _GATHER_SECONDS
                    await self._clock.sleep_until(soon)
                    self._subscribe(self._new_names())
                else:
                    await server.signal.wait()
        finally:
            await self._close()

    def _new_names(self) -> tuple[str, ...]:
        asked = (name for c in self._server.hub.clients for name in _asked_by(c))
        known = self._owner.streams.keys() | self._refused
        return tuple(dict.fromkeys(name for name in asked if name not in known))

    def _subscribe(self, names: tuple[str, ...]) -> None:
        public = [name for name in names if self._is_public(name)]
        if not public:
            return
        plan = plan_capture(public, self._market)
        self._owner.streams.update(dict.fromkeys(public))
        self._server.hub.catalogue.streams[self._market].update(public)
        if self._draft is not None:
            snapshots = Snapshots(plan, self._fetcher, self._draft, self._fail)
            snapshots.start()
            self._snapshots.append(snapshots)
        for connection in plan.connections:
            self._open_lane(connection.path, connection.streams)

    def _is_public(self, name: str) -> bool:
        try:
            plan_capture([name], self._market)
        except CaptureError:  # It stays silent, as there; the test's report says so.
            self._refused.add(name)
            return False
        return True

    def _open_lane(self, path: str, streams: tuple[str, ...]) -> None:
        self._lanes += 1
        base = self._source.upstream.ws_url.rstrip("/")
        lane = Lane(
            self._lanes,
            base if base.endswith("/stream") else f"{base}{path}",
            streams,
            per_second=messages_per_second(self._market),
            trust=self._source.trust,
            patience=self._source.patience,
            sink=self,
            random=self._random,
        )
        task = self._server.spawn(lane.run())
        task.add_done_callback(self._note_end)
        if self._lanes == 1:
            self._server.spawn(self._end_in_time(lane.acknowledged))

    async def _end_in_time(self, acknowledged: asyncio.Future[None]) -> None:
        await asyncio.shield(acknowledged)
        start = self._loop.time()
        await self._clock.sleep_until(start + self._source.seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(_QUIET_SECONDS):
                await self._has_begun.wait()
        self._player.feed.is_over = True
        self._player.poke()
        self._server.signal.fire()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._owner.failure = error

    # Requests

    async def ask(self, request: str, time_unit: str | None) -> tuple[int, bytes]:
        """Pass a request on.

        Returns:
            Status and body of the answer, whatever they are.

        Raises:
            ConnectionLostError: If there is none.
        """
        source = self._source
        url = source.upstream.rest_url.rstrip("/") + quote(request, safe="/?&=,:%")
        seconds = source.patience.request
        status, body = await self._loop.run_in_executor(
            None, _ask, url, time_unit, source.trust, seconds
        )
        is_own = request.partition("?")[0].endswith(_ANSWERED_BY_REPLAYS)
        if status == _OK and is_payload(body) and not is_own:
            self._owner.requests[request] = None
            if self._draft is not None and time_unit is None:
                self._draft.answer(request, body)
        return status, body

    # What comes

    def frame(self, stream: bytes, payload: bytes, time_us: int) -> None:
        """Take a message of a stream that was asked for."""
        if self._player.feed.is_over:
            return
        self._has_begun.set()
        if self._draft is not None:
            time_us = self._draft.frame(stream, payload, time_us)
            for snapshots in self._snapshots:
                snapshots.follow(stream, payload)
        self._player.feed.add(stream, payload, time_us)
        self._player.poke()

    def foreign(self) -> None:
        """Leave out what was not asked for; it may be an account's."""

    def garble(self, raw: bytes, time_us: int) -> None:
        """Keep what cannot be read; the bot is not shown it."""
        if self._draft is not None:
            self._draft.garble(raw, time_us)

    def mark(self, name: str, **fields: object) -> None:
        """Take note of something that happened to a connection."""
        if self._draft is not None:
            self._draft.mark(name, fields)

    # The file

    async def _close(self) -> None:
        draft, self._draft = self._draft, None
        for snapshots in self._snapshots:
            await snapshots.close()
        if draft is not None and self._source.path is not None:
            self._finish(draft, self._source.path)

    def _finish(self, draft: Draft, path: Path) -> None:
        """Write the cassette, whose first line tells what only now is known."""
        raw = _raw_path(path)
        try:
            draft.commit()
            _rewrite(raw, path, self._header())
        except OSError as error:
            problem = f"{path} cannot be written: {words_of(error)}. Make room."
            self._fail(CaptureError(problem))
        finally:
            raw.unlink(missing_ok=True)

    def _header(self) -> Header:
        now = datetime.fromtimestamp(self._start_us // 1_000_000, UTC)
        return Header(
            market=self._market,
            source=clean_origin(self._source.upstream.ws_url),
            recorded_at=now.isoformat().replace("+00:00", "Z"),
            streams=tuple(self._owner.streams),
            recorder=f"{OWN_RECORDER} {version('pytest-binance-replay')}",
            test=self._source.test,
        )


def _asked_by(client: Client) -> Iterator[str]:
    """Return the streams that a client has asked for where they are not silent."""
    for name, keys in client.names.items():
        if not keys:
            continue
        if client.form is Form.SIMPLE:
            pair, _, stream = name.rpartition("-")
            yield from native_names(pair, stream)[:1]
        else:
            yield name


def _raw_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.raw.jsonl")


def _rewrite(source: Path, target: Path, header: Header) -> None:
    """Copy a cassette under another header, if it has a frame."""
    with CassetteReader(source) as reader, CassetteWriter(target, header) as writer:
        for line in reader.lines():
            if not isinstance(line, Header | End):
                writer.write(line)
        if not writer.frames:
            writer.discard()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: market data is where it was asked for."""


def _ask(
    url: str, time_unit: str | None, trust: ssl.SSLContext | None, seconds: float
) -> tuple[int, bytes]:
    """Ask by blocking.

    Raises:
        ConnectionLostError: If there is no answer.
    """
    context = trust or ssl.create_default_context()
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), _NoRedirect()
    )
    headers = {} if time_unit is None else {"X-MBX-TIME-UNIT": time_unit}
    request = urllib.request.Request(url, headers=headers)
    try:
        with opener.open(request, timeout=seconds) as answer:
            return answer.status, answer.read(_MOST_BYTES).strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_MOST_BYTES).strip()
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        words = words_of(reason) if isinstance(reason, Exception) else str(reason)
        raise ConnectionLostError(words) from None
