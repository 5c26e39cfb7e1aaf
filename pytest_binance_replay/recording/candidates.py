"""Cassettes recorded anew, and where a new one waits until tests have passed on it.

Such a candidate lies beside its cassette, hidden, under a name that all workers of a
run agree on, so that whoever comes first captures it for all. Its lock is the
system's: it ends with the process that holds it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import os
import shlex
import stat
import tempfile
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock

from pytest_binance_replay.errors import CaptureError, CassetteFormatError
from pytest_binance_replay.files import CassetteReader
from pytest_binance_replay.hosts import UPSTREAMS, market_of_host
from pytest_binance_replay.recording.capture import Bounds, guess_market, plan_capture
from pytest_binance_replay.recording.draft import rejected_path
from pytest_binance_replay.recording.public import is_public_request, is_public_stream
from pytest_binance_replay.recording.recorder import Recorder
from pytest_binance_replay.tools.inspection import structure_of
from pytest_binance_replay.tools.structure import compare

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from pytest_binance_replay.background import LoopThread
    from pytest_binance_replay.files import Summary
    from pytest_binance_replay.hosts import Upstream
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.recording.capture import CapturePlan
    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.tools.structure import Change

T = TypeVar("T")

USUAL_SECONDS = 30.0
"""How long a recording lasts where nothing says it."""

_PREFIX = ".binance-replay-"
_PREDICATE_SECONDS = 600.0
_LOOK_SECONDS = 0.5
_LEAST_FRAMES = 20
_SYNTHETIC = "synthetic:"


class Target(NamedTuple):
    """A cassette, there or not yet.

    Attributes:
        label: What errors call it.
        path: The file.
    """

    label: str
    path: Path

    @property
    def exists(self) -> bool:
        """Whether there is an old one."""
        return self.path.is_file()

    @property
    def is_synthetic(self) -> bool:
        """Whether the old one was never recorded, and so cannot have gone stale."""
        if not self.exists:
            return False
        with suppress(CassetteFormatError), CassetteReader(self.path) as reader:
            return (reader.header.source or "").startswith(_SYNTHETIC)
        return False  # Whoever reads on is told what is wrong.


class Wanted(NamedTuple):
    """What is to be captured.

    Attributes:
        plan: What to ask for.
        bounds: When it is enough.
        upstream: Where from.
    """

    plan: CapturePlan
    bounds: Bounds
    upstream: Upstream


# What to capture


def old_streams(old: Summary | None) -> tuple[str, ...]:
    """Return the market streams of a cassette: the header's, or those of its frames."""
    if old is None:
        return ()
    names = old.header.streams
    return tuple(filter(is_public_stream, old.streams if names is None else names))


def seconds_of(options: Options, old: Summary | None) -> float:
    """Return how long to record: as told, as the old cassette, or as usual."""
    if isinstance(options.record_for, float):
        return options.record_for
    if old is None or old.first_time_us is None or old.last_time_us is None:
        return USUAL_SECONDS
    # Frames never fill the time to its ends; rounded down, each recording would be
    # shorter than the last.
    return max(1.0, float(ceil((old.last_time_us - old.first_time_us) / 1e6)))


def market_for(
    options: Options, old: Summary | None, upstream: Upstream | None
) -> Market | None:
    """Return the market as far as anything but the streams' names tells it."""
    by_host = market_of_host(urlsplit(upstream.ws_url).netloc) if upstream else None
    return options.market or (old.market if old else None) or by_host


def plan_target(
    options: Options,
    old: Summary | None,
    streams: Iterable[str],
    requests: Iterable[str],
    upstream: Upstream | None,
) -> Wanted:
    """Decide what to capture.

    Args:
        options: Settings.
        old: What is in the old cassette; None if there is none.
        streams: Their names, at least one.
        requests: Requests to record beside those of the old cassette.
        upstream: Where from; None for the exchange itself.

    Raises:
        CaptureError: If a stream or a request is none that can be recorded.
    """
    names = tuple(streams)
    market = market_for(options, old, upstream) or guess_market(names)
    answers = () if old is None else old.rest
    again = [a.request for a in answers if is_public_request(a.request)]
    until = options.record_for if callable(options.record_for) else None
    bounds = Bounds(
        seconds=None if until else seconds_of(options, old),
        min_messages=options.min_messages,
        until=until,
        time_limit=_PREDICATE_SECONDS if until else None,
    )
    plan = plan_capture(names, market, [*again, *requests])
    return Wanted(plan, bounds, upstream or UPSTREAMS[market])


# Where it waits


def candidate_path(path: Path, run: str) -> Path:
    """Return where the candidate of a cassette waits in a run."""
    real = Path(os.path.realpath(path))  # A link stays a link, to the new file.
    return real.with_name(f"{_PREFIX}{run}-{real.name}")


def left_behind(directory: Path, run: str) -> list[tuple[Path, Path]]:
    """Find the candidates of a run, each with the cassette that it was for."""
    begins = f"{_PREFIX}{run}-"
    found = sorted(directory.rglob(f"{begins}*")) if directory.is_dir() else []
    return [(path, path.with_name(path.name.removeprefix(begins))) for path in found]


def adopt(candidate: Path, path: Path) -> None:
    """Let a candidate take the place of its cassette.

    Raises:
        OSError: If it cannot; the old one is as it was.
    """
    target = Path(os.path.realpath(path))
    if target.exists():
        candidate.chmod(stat.S_IMODE(target.stat().st_mode))
    candidate.replace(target)


def reject(candidate: Path, path: Path) -> Path:
    """Keep a candidate beside its cassette, and return where."""
    kept = rejected_path(Path(os.path.realpath(path)))
    candidate.replace(kept)
    return kept


def adoption(kept: Path, path: Path, here: Path) -> str:
    """Say how to use a rejected recording all the same.

    Args:
        kept: Where it is.
        path: Where it would have to be.
        here: The folder in which the user is.
    """
    move = "move" if os.name == "nt" else "mv"
    names = [
        shlex.quote(str(p.relative_to(here) if p.is_relative_to(here) else p))
        for p in (kept, Path(os.path.realpath(path)))
    ]
    return f"To use it all the same: {move} {names[0]} {names[1]}"


class Candidates:
    """Captures candidates, each once in a run, whoever needs it.

    Args:
        run: What tells this run from others, the same on all of its workers.
        here: The folder in which the user is.
    """

    def __init__(self, run: str, here: Path) -> None:
        self._run = run
        self._here = here
        self._failures: dict[Path, CaptureError] = {}
        self._verified: dict[Path, list[str]] = {}

    def path_of(self, target: Target) -> Path:
        """Return where the candidate of a cassette is, or will be."""
        return candidate_path(target.path, self._run)

    def find(self, target: Target) -> Path | None:
        """Return the candidate of a cassette if it has been captured.

        Raises:
            CaptureError: If that was tried, and failed.
        """
        if (failure := self._failures.get(target.path)) is not None:
            raise failure
        path = self.path_of(target)
        return path if path.is_file() else None

    def capture(
        self, target: Target, wanted: Wanted, thread: LoopThread, test: str | None
    ) -> Path:
        """Capture a candidate, unless somebody has.

        Args:
            target: The cassette.
            wanted: What to capture.
            thread: Where to.
            test: The only test that it is for; None if there are several.

        Raises:
            CaptureError: If it failed. What came is kept beside the cassette.
        """
        path = self.path_of(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock_path(path)):
            if self.find(target) is None:
                self._capture(path, target, wanted, thread, test)
        return path

    def _capture(
        self,
        path: Path,
        target: Target,
        wanted: Wanted,
        thread: LoopThread,
        test: str | None,
    ) -> None:
        try:
            recorder = Recorder(
                path, wanted.plan, wanted.upstream, bounds=wanted.bounds, test=test
            )
            _run_to_the_end(thread, recorder.run())
        except CaptureError as error:
            raise self.fail(target, error) from None
        except BaseException:
            self._keep(rejected_path(path), target)
            raise

    def drop(self, target: Target) -> None:
        """Forget a candidate that turned out to lack something."""
        self.path_of(target).unlink(missing_ok=True)

    def fail(self, target: Target, error: CaptureError) -> CaptureError:
        """Remember that a cassette cannot be recorded, and return what to raise."""
        path = self.path_of(target)
        kept = self._keep(rejected_path(path), target) or self._keep(path, target)
        words = [error.problem]
        if target.exists:
            words.append(f"{target.label} is as it was.")
        if kept is not None:
            words.append(f"What was captured is in {kept.name}, beside it.")
            words.append(adoption(kept, target.path, self._here))
        # The kind of the error matters to nobody here, and its own words are told.
        failure = CaptureError(" ".join(words))
        self._failures[target.path] = failure
        return failure

    def _keep(self, path: Path, target: Target) -> Path | None:
        try:
            return reject(path, target.path)
        except OSError:
            return None

    def verify(self, target: Target, wanted: Wanted, thread: LoopThread) -> list[str]:
        """Compare a cassette with what the upstream sends now, and write nothing.

        Returns:
            What has changed, in sentences; empty if nothing has.

        Raises:
            CaptureError: If nothing could be captured.
        """
        if target.path not in self._verified:
            with tempfile.TemporaryDirectory(prefix="binance-replay-") as folder:
                path = Path(folder) / "now.jsonl"
                recorder = Recorder(
                    path, wanted.plan, wanted.upstream, bounds=wanted.bounds
                )
                try:
                    recording = _run_to_the_end(thread, recorder.run())
                except CaptureError as error:
                    raise CaptureError(error.problem) from None
                changes = drift(target.path, path, recording.seconds)
            self._verified[target.path] = changes
        return self._verified[target.path]


def _lock_path(path: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"binance-replay-{digest}.lock"


def _run_to_the_end(thread: LoopThread, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; if the waiting is interrupted, end it properly first."""
    tasks: list[asyncio.Task[Any]] = []

    async def run() -> T:
        tasks.extend(filter(None, [asyncio.current_task()]))
        return await work

    future = thread.submit(run())
    try:
        # In pieces, for not all systems let a signal end a wait without a limit.
        while not future.done():
            concurrent.futures.wait([future], timeout=_LOOK_SECONDS)
    except BaseException:
        thread.call(_end(tasks))
        raise
    return future.result()


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# What changed


def drift(old: Path, new: Path, seconds: float) -> list[str]:
    """Say what a program that reads the payloads may notice.

    A stream that is silent now counts if the old pace promised a good many frames.

    Args:
        old: The cassette.
        new: What was captured now.
        seconds: How long that took.
    """
    before, after = structure_of(old), structure_of(new)

    def counts(change: Change) -> bool:
        if change.what == "stream-new":
            return False
        if change.what != "stream-gone":
            return change.structural
        rate = before.rate(change.subject)
        return rate is not None and float(rate) * seconds >= _LEAST_FRAMES

    return [
        _sentence(change)
        for change in compare(before, after, statistics=False)
        if counts(change)
    ]


def describe_change(old: Path, new: Path) -> Iterator[str]:
    """Say what a new cassette has and what it lacks, beside the old one.

    Args:
        old: The old one, there or not.
        new: The new one.
    """
    if not old.is_file():
        yield "new"
        return
    try:
        changes = compare(structure_of(old), structure_of(new), statistics=False)
    except CassetteFormatError as error:
        yield f"the old one could not be read: {error.problem}"
        return
    yield from map(_sentence, changes)
    if not changes:
        yield "same streams, same fields"


def _sentence(change: Change) -> str:
    return f"{change.subject}: {change.sentence}"
