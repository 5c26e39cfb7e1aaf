"""One test's cassettes, recorded anew over as many runs of the test as that takes.

What is to be captured is named by the mark, by the old cassette, or by the bot: then
the first run of the test plays the exchange itself to it, and the cassette is captured
behind that. What a bot asks for that its candidate lacks is captured with the rest, and
the test is run again. Only the last run counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_binance_replay.compression import suffix_of
from pytest_binance_replay.errors import (
    CaptureError,
    CassetteFormatError,
    CassetteNotFoundError,
)
from pytest_binance_replay.factory import find_cassette_of_test
from pytest_binance_replay.files import summarise
from pytest_binance_replay.hosts import UPSTREAMS
from pytest_binance_replay.protocols.rest import request_key
from pytest_binance_replay.protocols.simple import native_names
from pytest_binance_replay.recording.candidates import (
    Candidates,
    Target,
    Wanted,
    market_for,
    old_streams,
    plan_target,
    seconds_of,
)
from pytest_binance_replay.recording.passthrough import LiveSource, PassThrough
from pytest_binance_replay.recording.public import is_public_request, is_public_stream
from pytest_binance_replay.shelf import DEMO_PREFIX, find_cassette
from pytest_binance_replay.streams import parse_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from pytest_binance_replay.factory import ReplayFactory
    from pytest_binance_replay.files import Summary
    from pytest_binance_replay.hosts import Upstream
    from pytest_binance_replay.journal import Missing
    from pytest_binance_replay.options import Options
    from pytest_binance_replay.replay import BinanceReplay
    from pytest_binance_replay.streams import Market

_MOST_CAPTURES = 3
_LEARNING_SECONDS = 5.0
_SHOWN_STREAMS = 6
_RECORDING_MODES = frozenset({"once", "new", "rewrite", "all"})


def find_targets(
    cassettes: Collection[Any] | None,
    default_name: str,
    test: str,
    directory: Path,
    shown: Callable[[Path], str],
) -> list[Target]:
    """Find the cassettes of a test, there or not yet.

    Args:
        cassettes: Names, as its mark has them; None for the one named after the test.
        default_name: That name.
        test: What pytest calls the test.
        directory: The project's folder of cassettes.
        shown: Returns what errors call a file.

    Raises:
        CassetteNameError: If a name means several files, or none it may mean.
    """
    if cassettes is None:
        try:
            path = find_cassette_of_test(default_name, test, directory)
        except CassetteNotFoundError:
            path = _new_file(default_name, directory)
        return [Target(shown(path), path)]
    names = [os.fspath(name) for name in cassettes]
    return [_find_target(name, directory, shown) for name in names]


def _find_target(name: str, directory: Path, shown: Callable[[Path], str]) -> Target:
    try:
        path = find_cassette(name, directory)
    except CassetteNotFoundError:
        if name.startswith(DEMO_PREFIX):
            raise
        path = _new_file(name, directory)
    return Target(name if name.startswith(DEMO_PREFIX) else shown(path), path)


def _new_file(name: str, directory: Path) -> Path:
    return directory / (name if suffix_of(name) else f"{name}.jsonl")


class Asked(NamedTuple):
    """What a bot has asked for so far, beyond what was known.

    Attributes:
        streams: Stream names.
        requests: Requests, path and query.
    """

    streams: dict[str, None]
    requests: dict[str, None]


class Setting(NamedTuple):
    """What all tests of a run have in common.

    Attributes:
        mode: What is recorded when.
        upstream: Where from; None for the exchange itself.
        candidates: Where recordings wait.
        declared: Streams that the marks of all tests name for each cassette.
        users: The tests that use each cassette.
        announce: Tells whoever waits what is going on.
    """

    mode: str
    upstream: Upstream | None
    candidates: Candidates
    declared: dict[Path, dict[str, None]]
    users: dict[Path, set[str]]
    announce: Callable[[str], None]


class Refresh:
    """What becomes of one test's cassettes.

    Args:
        setting: What all tests of the run have in common.
        factory: Starts replays.
        targets: The test's cassettes, in order.
        options: Settings.
        test: What pytest calls the test.

    Attributes:
        drifted: Cassettes that were compared, with what has changed.
    """

    def __init__(
        self,
        setting: Setting,
        factory: ReplayFactory,
        targets: Collection[Target],
        options: Options,
        test: str,
    ) -> None:
        self._setting = setting
        self._factory = factory
        self._targets = list(targets)
        self._options = options
        self._test = test
        self._asked = Asked({}, {})
        self._captures = 0
        self._live: PassThrough | None = None
        self._has_been_live = False
        self._live_failure: str | None = None
        self._outdated: Target | None = None
        self._replay: BinanceReplay | None = None

    # Each run of the test

    def open(self) -> BinanceReplay:
        """Start what the test is to run on now.

        Raises:
            CaptureError: If what it is to run on cannot be had.
        """
        self._factory.opened.update(target.path for target in self._targets)
        if self._outdated is not None:
            self._setting.candidates.drop(self._outdated)
            self._outdated = None
        stand_ins = [self._stand_in_for(target) for target in self._targets]
        lives = [found for found in stand_ins if isinstance(found, PassThrough)]
        self._live = next(iter(lives), None)
        self._replay = self._play_live(lives[0]) if lives else self._play(stand_ins)
        return self._replay

    def _play(self, found: Iterable[Path | PassThrough]) -> BinanceReplay:
        files = [
            (target.label, path)
            for target, path in zip(self._targets, found, strict=True)
            if isinstance(path, Path)
        ]
        return self._factory.play(files, self._options, test=self._test)

    def _play_live(self, live: PassThrough) -> BinanceReplay:
        at_end = self._options.at_end
        options = self._options._replace(
            market=self._market(), at_end="hold" if at_end == "loop" else at_end
        )
        return self._factory.play(
            (), options, test=self._test, stage_opener=live.open_stage
        )

    def _market(self) -> Market | None:
        target = self._targets[0]
        old = self._old(target)
        return market_for(self._options, old, self._setting.upstream)

    def _stand_in_for(self, target: Target) -> Path | PassThrough:
        """Return what to play in a cassette's place, captured if need be."""
        mode, candidates = self._setting.mode, self._setting.candidates
        if mode == "verify":
            if self._is_from_an_exchange(target):
                self._verify(target)
            return target.path
        if not self.records(target):
            return target.path
        found = candidates.find(target)
        if found is not None:
            return found
        streams = self._streams_for(target)
        if (mode == "all" or not streams) and not self._has_been_live:
            return self._pass_through(target, streams)
        if mode == "all":
            problem = f"No message came while {self._test} ran on the exchange."
            raise candidates.fail(target, CaptureError(problem))
        if not streams:
            why = f" (it failed: {self._live_failure})" if self._live_failure else ""
            problem = (
                f"{self._test} asked for no stream while it ran on the exchange{why}, "
                "so there is nothing to record. Name what it needs: "
                "binance_replay(streams=['btcusdt@trade'])."
            )
            raise candidates.fail(target, CaptureError(problem))
        wanted = self._wanted(target, streams)
        self._captures += 1
        self._setting.announce(_announcement(target, wanted))
        return candidates.capture(
            target, wanted, self._factory.thread, self._test_of(target)
        )

    def records(self, target: Target) -> bool:
        """Tell whether a cassette is one to record in this run."""
        if self._setting.mode not in _RECORDING_MODES:
            return False
        if not self._is_from_an_exchange(target):
            return False
        match self._setting.mode:
            case "once":
                return not target.exists
            case "new":
                return not target.exists or self._lacks(target)
        return True

    def _is_from_an_exchange(self, target: Target) -> bool:
        """Tell bundled and generated cassettes apart, which do not go stale."""
        if target.label.startswith(DEMO_PREFIX):
            return False
        return bool(self._declared(target)) or not target.is_synthetic

    def _lacks(self, target: Target) -> bool:
        """Tell whether a cassette lacks what its tests declare or ask for."""
        declared = set(self._declared(target))
        is_complete = declared <= set(old_streams(self._old(target)))
        return not is_complete or any(self._asked)

    def _declared(self, target: Target) -> tuple[str, ...]:
        return tuple(self._setting.declared.get(target.path, ()))

    def _old(self, target: Target) -> Summary | None:
        """Return what is in the old cassette; a damaged one counts if nothing else."""
        if not target.exists:
            return None
        try:
            return summarise(target.path)
        except CassetteFormatError as error:
            if self._declared(target):
                return None
            raise CassetteFormatError(
                target.label, error.line, error.problem, error.advice
            ) from None

    def _streams_for(self, target: Target) -> tuple[str, ...]:
        declared, old = self._declared(target), old_streams(self._old(target))
        # Streams of two moments are no market, so that old ones come along.
        known = (*old, *declared) if self._setting.mode == "new" else declared or old
        return tuple(dict.fromkeys([*known, *self._asked.streams]))

    def _wanted(self, target: Target, streams: tuple[str, ...]) -> Wanted:
        try:
            return plan_target(
                self._options,
                self._old(target),
                streams,
                self._asked.requests,
                self._setting.upstream,
            )
        except CaptureError as error:
            raise self._setting.candidates.fail(target, error) from None

    def _test_of(self, target: Target) -> str | None:
        return self._test if self._is_only_user(target) else None

    def _is_only_user(self, target: Target) -> bool:
        return self._setting.users.get(target.path, set()) <= {self._test}

    def _pass_through(self, target: Target, streams: tuple[str, ...]) -> PassThrough:
        if len(self._targets) > 1:
            problem = (
                f"{self._test} plays {len(self._targets)} cassettes at once, so what "
                f"its bot asks for does not tell what {target.label} is to hold. "
                "Record that one by itself: binance-replay record."
            )
            raise self._setting.candidates.fail(target, CaptureError(problem))
        old = self._old(target)
        market = market_for(self._options, old, self._setting.upstream) or "spot"
        seconds = seconds_of(self._options, old)
        keeps = self._setting.mode == "all"
        path = self._setting.candidates.path_of(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        return PassThrough(
            LiveSource(
                upstream=self._setting.upstream or UPSTREAMS[market],
                seconds=seconds if keeps else min(seconds, _LEARNING_SECONDS),
                streams=streams if keeps else (),
                path=path if keeps else None,
                test=self._test_of(target),
            )
        )

    def _verify(self, target: Target) -> None:
        old = self._old(target)
        streams = self._declared(target) or old_streams(old)
        wanted = self._wanted(target, streams)
        changes = self._setting.candidates.verify(target, wanted, self._factory.thread)
        if changes:
            problem = (
                f"{target.label} is no longer what the exchange sends. "
                f"{'; '.join(changes)}. Record it anew: pytest --record-binance"
            )
            raise CaptureError(problem)

    # Between the runs

    def wants_another_run(self, failure: str | None) -> bool:
        """Tell whether the run that ends now is not the one that counts.

        Args:
            failure: What has failed so far; None if nothing has.
        """
        if self._replay is None or self._replay.closed:
            return False
        if self._live is not None:
            return self._has_learned(self._live, failure)
        return self._has_asked_for_more(self._replay)

    def _has_learned(self, live: PassThrough, failure: str | None) -> bool:
        self._has_been_live = True
        self._live_failure = failure
        if self._setting.mode == "all":
            return failure is None and live.failure is None
        self._asked.streams.update(live.streams)
        self._asked.requests.update(live.requests)
        return True

    def _has_asked_for_more(self, replay: BinanceReplay) -> bool:
        """Note what a candidate of this test alone lacks, if it can be captured."""
        recorded = [t for t in self._targets if self._may_grow(t)]
        if len(recorded) != 1 or self._captures >= _MOST_CAPTURES:
            return False
        target = recorded[0]
        is_shared = not self._is_only_user(target)
        if is_shared or self._options.severity("missing") == "ignore":
            return False
        before = len(self._asked.streams), len(self._asked.requests)
        for missing in replay.missing:
            self._asked.streams.update(dict.fromkeys(_streams_of(missing)))
            self._asked.requests.update(dict.fromkeys(_requests_of(missing)))
        if before == (len(self._asked.streams), len(self._asked.requests)):
            return False
        self._outdated = target
        return True

    def _may_grow(self, target: Target) -> bool:
        if self._setting.mode == "new":
            return self._is_from_an_exchange(target)
        return self.records(target) and self._captures > 0


def _announcement(target: Target, wanted: Wanted) -> str:
    streams, seconds = wanted.plan.streams, wanted.bounds.seconds
    more = len(streams) - _SHOWN_STREAMS
    shown = ", ".join(streams[:_SHOWN_STREAMS]) + (f" and {more} more" * (more > 0))
    how_long = "" if seconds is None else f" for {seconds:g} s"
    return f"recording {target.label}{how_long}: {shown}"


def _streams_of(missing: Missing) -> Iterator[str]:
    """Return the streams that would have been the answer."""
    if missing.reason == "pair":
        pair, _, stream = missing.asked.rpartition("-")
        yield from native_names(pair, stream)[:1]
    elif missing.reason == "stream" and _is_known(missing):
        yield missing.asked


def _is_known(missing: Missing) -> bool:
    """Tell whether it is a market stream, and not one misspelled."""
    is_stream = parse_stream(missing.asked, missing.market) is not None
    return is_stream and is_public_stream(missing.asked)


def _requests_of(missing: Missing) -> Iterator[str]:
    if missing.reason == "rest" and is_public_request(missing.asked):
        path, _ = request_key(missing.asked)
        if not path.endswith(("/ping", "/time")):
            yield missing.asked
