"""A recording: what an upstream sends, written into a cassette as it comes.

Frames, REST answers and marks are written by one loop, in the order in which they
came. The cassette takes its place when the recording is finished; until then, and if
it fails, an old one stays as it was.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from pytest_binance_replay.cassette import Frame, Header
from pytest_binance_replay.clock import RealClock, wall_us
from pytest_binance_replay.errors import CaptureError, QuietMarketError, UpstreamError
from pytest_binance_replay.files import OWN_RECORDER
from pytest_binance_replay.recording.capture import (
    Bounds,
    Tally,
    clean_origin,
    messages_per_second,
)
from pytest_binance_replay.recording.draft import Draft
from pytest_binance_replay.recording.fetching import Fetcher
from pytest_binance_replay.recording.lane import Lane
from pytest_binance_replay.recording.snapshots import Snapshots
from pytest_binance_replay.recording.upstream import Patience

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Mapping

    from pytest_binance_replay.hosts import Upstream
    from pytest_binance_replay.recording.capture import CapturePlan

State = Literal["connecting", "recording", "finished", "failed"]

_NOTHING = "The recording was stopped before a message came. Nothing is written."
_GARBLED_IN_A_ROW = 100
_COMPRESSED_FLUSHES = 30  # so many times as seldom, for each makes the file larger


@dataclass(frozen=True, slots=True)
class Progress:
    """How a recording stands.

    Attributes:
        state: Where it is.
        seconds: Time since its last stream was acknowledged; 0 before.
        frames: Frames so far.
        streams: Frames by stream, of each that was asked for.
        size_bytes: What has been written, as the system knows.
        marks: Marks so far, by name.
        problems: What is not as it should be so far, in sentences.
    """

    state: State
    seconds: float
    frames: int
    streams: Mapping[str, int]
    size_bytes: int
    marks: Mapping[str, int]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished recording.

    Attributes:
        path: The cassette.
        frames: Its frames.
        streams: Frames by stream, of each that was asked for.
        seconds: How long it took, from the acknowledgement of its last stream on.
        size_bytes: Size of the file.
        requests: REST requests whose answers it has, path and query, in order.
        marks: Its marks, by name.
        problems: What is not as it should be, in sentences.
        stopped: Whether it was stopped before its bounds were reached.
    """

    path: Path
    frames: int
    streams: Mapping[str, int]
    seconds: float
    size_bytes: int
    requests: tuple[str, ...]
    marks: Mapping[str, int]
    problems: tuple[str, ...]
    stopped: bool


class Recorder:
    """Records what an upstream sends, once.

    Args:
        path: The cassette; what is there is replaced when the recording is finished.
        plan: What to ask for.
        upstream: Where from.
        bounds: When it is enough; without any, `stop()` ends it.
        test: Node id of the test it is for, for the header.
        extra: Further members of the header.
        trust: Authorities to verify with; None takes the system's.
        patience: How long to wait for what.
        random: Where the chance in delays comes from; None for a new one.

    Raises:
        CaptureError: If the bounds name a stream that the plan lacks.
    """

    def __init__(
        self,
        path: str | Path,
        plan: CapturePlan,
        upstream: Upstream,
        *,
        bounds: Bounds | None = None,
        test: str | None = None,
        extra: Mapping[str, object] | None = None,
        trust: ssl.SSLContext | None = None,
        patience: Patience | None = None,
        random: Random | None = None,
    ) -> None:
        self.path = Path(path)
        self._plan = plan
        self._upstream = upstream
        self._bounds = bounds or Bounds()
        self._test = test
        self._extra = extra or {}
        self._trust = trust
        self._patience = patience or Patience()
        self._random = random or Random()
        self._tally = Tally(plan.streams, self._bounds)
        self._run: _Run | None = None
        self._stopped = False

    @property
    def progress(self) -> Progress:
        """How it stands; may be asked from any thread."""
        run = self._run
        counts = dict(self._tally.counts)
        return Progress(
            state="connecting" if run is None else run.state,
            seconds=0.0 if run is None else run.seconds,
            frames=self._tally.frames,
            streams={stream.decode(): number for stream, number in counts.items()},
            size_bytes=0 if run is None else run.draft.size_bytes,
            marks={} if run is None else dict(run.draft.marks),
            problems=self._plan.notes if run is None else run.problems(),
        )

    def stop(self) -> None:
        """Finish now, properly; on the loop of `run()` only, harmless when over.

        What has been recorded becomes the cassette, whether or not it is enough.
        """
        self._stopped = True
        if self._run is not None:
            self._run.stop()

    async def run(self) -> Recording:
        """Record until it is enough; once.

        Cancelled, it keeps what was captured as a failed recording does.

        Raises:
            UpstreamError: If the upstream cannot be reached, refuses, or stays away.
            QuietMarketError: If there were too few messages in the time there was.
            CaptureError: If the cassette cannot be written.
        """
        try:
            draft = Draft(self.path, self._header())
        except OSError as error:
            raise _unwritable(self.path, error) from None
        try:
            await self._record(draft)
            draft.commit()
        except CaptureError as error:
            raise error.with_kept(draft.keep(error.problem)) from None
        except OSError as error:
            problem = _unwritable(self.path, error)
            raise problem.with_kept(draft.keep(problem.problem)) from None
        except BaseException as error:
            draft.keep(f"{type(error).__name__} ended the recording.")
            raise
        return self._result(draft)

    async def _record(self, draft: Draft) -> None:
        run = self._run = _Run(
            draft,
            self._plan,
            self._upstream,
            tally=self._tally,
            bounds=self._bounds,
            trust=self._trust,
            patience=self._patience,
            random=self._random,
        )
        if self._stopped:
            run.stop()
        await run.capture()

    def _header(self) -> Header:
        now = datetime.fromtimestamp(wall_us() // 1_000_000, UTC)
        return Header(
            market=self._plan.market,
            source=clean_origin(self._upstream.ws_url),
            recorded_at=now.isoformat().replace("+00:00", "Z"),
            streams=self._plan.streams,
            recorder=f"{OWN_RECORDER} {version('pytest-binance-replay')}",
            test=self._test,
            extra=self._extra,
        )

    def _result(self, draft: Draft) -> Recording:
        progress = self.progress
        silent = self._tally.silent()
        quiet = [f"Nothing came of {', '.join(silent)}."] if silent else []
        return Recording(
            path=self.path,
            frames=progress.frames,
            streams=progress.streams,
            seconds=progress.seconds,
            size_bytes=progress.size_bytes,
            requests=tuple(draft.requests),
            marks=progress.marks,
            problems=(*progress.problems, *quiet),
            stopped=self._stopped,
        )


def _unwritable(path: Path, error: OSError) -> CaptureError:
    why = error.strerror or str(error)
    return CaptureError(f"{path} cannot be written: {why}. Make room, or name another.")


class _Run:
    """The recording while it is under way: takes what lanes bring."""

    def __init__(
        self,
        draft: Draft,
        plan: CapturePlan,
        upstream: Upstream,
        *,
        tally: Tally,
        bounds: Bounds,
        trust: ssl.SSLContext | None,
        patience: Patience,
        random: Random,
    ) -> None:
        self.draft = draft
        self.state: State = "connecting"
        self._tally = tally
        self._bounds = bounds
        self._until = bounds.until
        self._patience = patience
        self._origin = clean_origin(upstream.ws_url)
        self._loop = asyncio.get_running_loop()
        self._clock = RealClock(self._loop)
        self._over: asyncio.Future[bool] = self._loop.create_future()
        self._start_seconds: float | None = None
        self._end_seconds: float | None = None
        self._notes = dict.fromkeys(plan.notes)
        self._garbled = 0
        self._is_overtime = False
        fetcher = Fetcher(
            upstream.rest_url, trust=trust, patience=patience, random=random
        )
        self._snapshots = Snapshots(plan, fetcher, draft, self._fail)
        base = upstream.ws_url.rstrip("/")
        is_whole = base.endswith("/stream")  # An address of combined streams itself.
        self._lanes = [
            Lane(
                number,
                base if is_whole else f"{base}{connection.path}",
                connection.streams,
                per_second=messages_per_second(plan.market),
                trust=trust,
                patience=patience,
                sink=self,
                random=random,
            )
            for number, connection in enumerate(plan.connections, 1)
        ]

    @property
    def seconds(self) -> float:
        """Time since all streams were acknowledged."""
        if self._start_seconds is None:
            return 0.0
        end = self._end_seconds
        return (self._loop.time() if end is None else end) - self._start_seconds

    def problems(self) -> tuple[str, ...]:
        """What is not as it should be."""
        lacking = () if self._end_seconds is None else self._snapshots.problems()
        return (*tuple(self._notes), *lacking)

    def stop(self) -> None:
        """Finish without waiting for anything."""
        self._finish(in_a_hurry=True)

    async def capture(self) -> None:
        """Record until it is enough, or fails."""
        work: list[Coroutine[Any, Any, object]] = [lane.run() for lane in self._lanes]
        work += [self._keep_time(), self._flush_regularly()]
        tasks = [self._loop.create_task(part) for part in work]
        for task in tasks:
            task.add_done_callback(self._note_failure)
        try:
            if not await self._over:
                self._snapshots.start()
                await self._snapshots.settle(self._patience.settle)
            self._expect_frames()
            self.state = "finished"
        except BaseException:
            self.state = "failed"
            raise
        finally:
            self._end_seconds = self._loop.time()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._snapshots.close()

    def _expect_frames(self) -> None:
        if not self._tally.frames:
            raise CaptureError(_NOTHING)

    def _note_failure(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    def _finish(self, *, in_a_hurry: bool = False) -> None:
        if not self._over.done():
            self._over.set_result(in_a_hurry)

    # Time

    async def _keep_time(self) -> None:
        """Begin to count when all streams are acknowledged, and end in time."""
        await asyncio.gather(*(lane.acknowledged for lane in self._lanes))
        self._start_seconds = start = self._loop.time()
        self.state = "recording"
        self._snapshots.start()
        seconds, limit = self._bounds.seconds, self._bounds.limit_seconds
        if seconds is not None:
            await self._clock.sleep_until(start + seconds)
            self._is_overtime = True
            self._finish_if_enough()
        if limit is not None:
            await self._clock.sleep_until(start + limit)
            self._fail(self._too_quiet(limit))

    def _finish_if_enough(self) -> None:
        """End if the bounds are reached, apart from `until`."""
        is_time = self._is_overtime or self._bounds.seconds is None
        if is_time and self._tally.frames and not self._tally.lacks:
            self._finish()

    def _too_quiet(self, seconds: float) -> QuietMarketError:
        if self._tally.lacks:
            return QuietMarketError(seconds, "enough messages", self._tally.shortage())
        if not self._tally.frames:
            seen = f"{len(self._tally.counts)} streams sent nothing"
            return QuietMarketError(seconds, "a single message", seen)
        seen = f"it saw {self._tally.frames} frames"
        return QuietMarketError(seconds, "a frame that until() says yes to", seen)

    async def _flush_regularly(self) -> None:
        """Let a killed process lose no more than the last moments."""
        times = _COMPRESSED_FLUSHES if self.draft.is_compressed else 1
        while True:
            self.draft.flush()
            seconds = self._loop.time() + self._patience.flush * times
            await self._clock.sleep_until(seconds)

    # What lanes bring

    def frame(self, stream: bytes, payload: bytes, time_us: int) -> None:
        """Take a message of a stream that was asked for."""
        time_us = self.draft.frame(stream, payload, time_us)
        self._garbled = 0
        is_last = self._tally.add(stream)
        if self._until is not None and self._says_yes(stream, payload, time_us):
            self._finish()
        elif self._is_overtime or (is_last and self._until is None):
            self._finish_if_enough()
        self._snapshots.follow(stream, payload)

    def _says_yes(self, stream: bytes, payload: bytes, time_us: int) -> bool:
        if self._until is None or self._over.done():
            return False
        return bool(self._until(Frame(time_us, stream.decode(), payload)))

    def foreign(self) -> None:
        """Take note of a message of a stream that was not asked for."""
        # Neither its content nor its name: both may be an account's.
        if not self.draft.marks["foreign"]:
            self.draft.mark("foreign", {})
        problem = "Messages of streams that nobody asked for came, and are left out."
        self._notes[problem] = None

    def garble(self, raw: bytes, time_us: int) -> None:
        """Take what cannot be read, and keep it in a mark."""
        self.draft.garble(raw, time_us)
        self._notes["Messages came that cannot be read; they are kept in marks."] = None
        self._garbled += 1
        if self._garbled >= _GARBLED_IN_A_ROW:
            self._fail(
                UpstreamError(
                    f"{self._origin} sends what are no combined streams: {raw[:60]!r}. "
                    "Check the upstream's address."
                )
            )

    def mark(self, name: str, **fields: object) -> None:
        """Take note of something that happened to a connection."""
        self.draft.mark(name, fields)
