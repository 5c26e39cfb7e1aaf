"""What a tape is made of: cassettes opened together, and what they hold.

A source is a cassette file or a session given in memory; a `Library` lays several
of them on one time line and says which markets, streams and REST answers there are.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

from pytest_binance_replay.cassette import Batch, Frame, RestAnswer
from pytest_binance_replay.errors import CassetteFormatError, MarketUnknownError
from pytest_binance_replay.files import CassetteReader, Summary, summarise
from pytest_binance_replay.hub import Catalogue
from pytest_binance_replay.streams import market_of_payload
from pytest_binance_replay.tape import merge_batches
from pytest_binance_replay.timeline import Loop, Origin, rebased
from pytest_binance_replay.wire import stream_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.streams import Market

Routes = Literal["live", "any"]

_ROUTES_SINCE_US = 1_776_961_800_000_000
"""2026-04-23 16:30 UTC: since then futures paths keep streams of other routes silent.

Source: Binance USD-M Futures API docs, change log; measured on that day.
"""


class Source(Protocol):
    """Something that a tape can be made of.

    Attributes:
        label: How the user knows it.
        market: Its market.
        streams: Names of its streams.
        recorded_us: When it was recorded, microseconds since the epoch.
    """

    @property
    def label(self) -> str: ...  # noqa: D102 - see above
    @property
    def market(self) -> Market: ...  # noqa: D102
    @property
    def streams(self) -> Iterable[str]: ...  # noqa: D102
    @property
    def recorded_us(self) -> int: ...  # noqa: D102

    def batches(self) -> Iterator[Batch]:
        """Read all frames, from the first."""

    def rest_answers(self) -> Sequence[RestAnswer]:
        """Return the recorded REST answers, oldest first."""


class CassetteSource:
    """A cassette file.

    Args:
        path: The file.
        label: How the user knows it.
        market: Its market; None goes by the header, then by the payloads.
        warn: Takes what is odd about it.

    Raises:
        CassetteFormatError: If its header cannot be read.
    """

    def __init__(
        self,
        path: Path,
        label: str,
        *,
        market: Market | None = None,
        warn: Callable[[BinanceReplayWarning], None],
    ) -> None:
        self.label = label
        self.path = path
        self._market = market
        self._warn = warn
        with self._named(), CassetteReader(path, warn=self._warn_named) as reader:
            self.header = reader.header

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let errors name the file as the user does."""
        try:
            yield
        except CassetteFormatError as error:
            raise type(error)(
                self.label, error.line, error.problem, error.advice
            ) from None

    def _warn_named(self, warning: BinanceReplayWarning) -> None:
        _, *facts = warning.args
        self._warn(type(warning)(self.label, *facts))

    def _summarise(self) -> Summary:
        with self._named():
            return summarise(self.path)

    @cached_property
    def market(self) -> Market:
        """Its market.

        Raises:
            MarketUnknownError: If nothing says it.
        """
        market = self._market or self.header.market or self._summarise().market
        if market is None:
            raise MarketUnknownError(self.label)
        return market

    @cached_property
    def streams(self) -> tuple[str, ...]:
        """Names of its streams: the header's, or those of its frames."""
        if self.header.streams is not None:
            return self.header.streams
        return tuple(self._summarise().streams)

    @cached_property
    def recorded_us(self) -> int:
        """When it was recorded: what the header says, or its first frame's time."""
        try:
            moment = datetime.fromisoformat(self.header.recorded_at or "")
        except ValueError:
            return self._summarise().first_time_us or 0
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000

    def batches(self) -> Iterator[Batch]:
        """Read all frames, from the first."""
        with self._named(), CassetteReader(self.path, warn=self._warn_named) as reader:
            yield from reader.batches()

    def rest_answers(self) -> Sequence[RestAnswer]:
        """Return the recorded REST answers, oldest first."""
        return self._summarise().rest

    def really_has(self, name: str) -> bool:
        """Return whether any frame of the file is of a stream, header or not."""
        return name in self._summarise().streams


class SessionSource:
    """Frames given in memory.

    Args:
        frames: In the order of their receive times.
        market: Their market; None goes by the payloads, and is spot if they do not
            say.
        rest: Recorded REST answers, oldest first.
    """

    label = "the loaded session"

    def __init__(
        self,
        frames: Iterable[Frame],
        *,
        market: Market | None = None,
        rest: Sequence[RestAnswer] = (),
    ) -> None:
        self._frames = tuple(frames)
        self._rest = rest
        self.market: Market = market or self._guess_market()
        self.streams = tuple(dict.fromkeys(frame.stream for frame in self._frames))
        self.recorded_us = self._frames[0].receive_time_us if self._frames else 0

    def _guess_market(self) -> Market:
        guesses = (market_of_payload(frame.payload) for frame in self._frames)
        return next(filter(None, guesses), "spot")

    def batches(self) -> Iterator[Batch]:
        """Return all frames as one batch."""
        times_us, latest_us = [], 0
        for frame in self._frames:
            latest_us = max(latest_us, frame.receive_time_us)
            times_us.append(latest_us)
        streams = [frame.stream.encode() for frame in self._frames]
        payloads = [frame.payload for frame in self._frames]
        yield Batch(times_us, streams, payloads, [])

    def rest_answers(self) -> Sequence[RestAnswer]:
        """Return the recorded REST answers, oldest first."""
        return self._rest

    def really_has(self, name: str) -> bool:
        """Return whether any frame is of a stream."""
        return name in self.streams


class Library:
    """Several sources on one time line.

    Args:
        sources: The sources; of frames received at the same time, those of the first
            go first.
        routes: Whether futures paths keep streams of other routes silent; None goes
            by the date of the recording.
        market: The market of a tape without any source.
    """

    def __init__(
        self,
        sources: Sequence[CassetteSource | SessionSource],
        *,
        routes: Routes | None = None,
        market: Market | None = None,
    ) -> None:
        self.sources = tuple(sources)
        streams: dict[Market, set[str]] = {}
        for source in self.sources:
            streams.setdefault(source.market, set()).update(source.streams)
        if not streams:
            streams[market or "spot"] = set()
        self.catalogue = Catalogue(streams, self._routes(routes))

    def _routes(self, routes: Routes | None) -> Mapping[Market, Routes]:
        if routes is not None:
            return {"usdm": routes}
        futures = [s.recorded_us for s in self.sources if s.market == "usdm"]
        live = bool(futures) and max(futures) >= _ROUTES_SINCE_US
        return {"usdm": "live" if live else "any"}

    def origin(self, key: bytes) -> Origin:
        """Return market and name behind a stream key."""
        market, _, name = key.rpartition(b"/")
        known: Market = self.catalogue.markets[0]
        if market:
            known = "usdm" if market == b"usdm" else "spot"
        return known, name.decode()

    def batches(self) -> Iterator[Batch]:
        """Read all frames of all sources, from the first."""
        return merge_batches([self._keyed(source) for source in self.sources])

    def _keyed(self, source: CassetteSource | SessionSource) -> Iterator[Batch]:
        prefix = self.catalogue.prefix(source.market)
        if not prefix:
            return source.batches()
        return (
            Batch(b.times_us, [prefix + name for name in b.streams], b.payloads, [])
            for b in source.batches()
        )

    def opener(
        self, *, loop: bool, now_us: Callable[[], int] | None
    ) -> Callable[[], Iterator[Batch]]:
        """Return what starts reading the tape.

        Args:
            loop: Whether it starts again at its end.
            now_us: Reads the test's clock, if the tape is to start now; None keeps
                the recorded times.
        """
        read: Callable[[], Iterator[Batch]] = self.batches
        if now_us is not None:
            offset_kept = _Once(now_us)
            recorded = read

            def read() -> Iterator[Batch]:
                return rebased(recorded(), self.origin, offset_kept)

        if loop:
            return Loop(read, self.origin).batches
        return read

    def rest_answers(self) -> list[RestAnswer]:
        """Return the recorded REST answers of all sources, oldest first."""
        answers = [
            answer for source in self.sources for answer in source.rest_answers()
        ]
        return sorted(answers, key=lambda answer: answer.receive_time_us)

    def really_has(self, market: Market, name: str) -> bool:
        """Return whether any frame is of a stream, whatever the headers say."""
        return any(s.market == market and s.really_has(name) for s in self.sources)

    def frames(self, stream: str | None = None) -> Iterator[Frame]:
        """Read the frames of the tape as they were recorded.

        Args:
            stream: Only frames of this stream; None reads all.
        """
        wanted = None if stream is None else stream_key(stream, b"")
        for batch in self.batches():
            rows = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
            for time_us, key, payload in rows:
                name = key.rpartition(b"/")[2]
                if wanted in {None, name}:
                    yield Frame(time_us, name.decode(), payload)


class _Once:
    """Asks once and keeps the answer, so that going back lands on the same times."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._answer: int | None = None

    def __call__(self) -> int:
        if self._answer is None:
            self._answer = self._ask()
        return self._answer
