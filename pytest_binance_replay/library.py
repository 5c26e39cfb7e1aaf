"""What a tape is made of: cassettes opened together, and what they hold.

A source is a cassette file or a session given in memory; a `Library` lays several
of them on one time line and says which markets, streams and REST answers there are.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate, chain, islice
from threading import Lock
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import Batch, Frame, RestAnswer
from pytest_binance_replay.catalogue import Catalogue, Routes
from pytest_binance_replay.derived.loom import Loom
from pytest_binance_replay.errors import CassetteFormatError, MarketUnknownError
from pytest_binance_replay.files import (
    CassetteReader,
    Summary,
    read_header,
    summarise,
)
from pytest_binance_replay.places import START
from pytest_binance_replay.protocols.simple import native_names
from pytest_binance_replay.streams import market_of_payload
from pytest_binance_replay.tape import merge_batches
from pytest_binance_replay.timeline import Loop, rebased

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path

    from pytest_binance_replay.derived.recipes import Recipe
    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.journal import Missing
    from pytest_binance_replay.places import Find, Place
    from pytest_binance_replay.streams import Market

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SESSION_FRAMES = 512
"""How many frames of a session are a batch: about as many as of a file."""

_ROUTES_SINCE_US = 1_776_961_800_000_000
"""2026-04-23 16:30 UTC: since then futures paths keep streams of other routes silent.

Source: Binance USDⓈ-M Futures docs, change log; measured on that day.
"""


class CassetteSource:
    """A cassette file.

    Args:
        path: The file.
        label: How the user knows it; errors and warnings call it by this.
        market: Its market; None goes by the header, then by the payloads.
        warn: Takes what is odd about it, each thing once, however often it is read.

    Attributes:
        header: Its header, all None if it has none.

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
        self._told: set[str] = set()
        with self._named():
            self.header = read_header(path)

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
        named = type(warning)(self.label, *facts)
        if str(named) not in self._told:
            self._told.add(str(named))
            self._warn(named)

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
        """When it was recorded: what the header says, or its first frame's time.

        In microseconds since the epoch; a header that names no time zone means UTC;
        0 where there is neither a date nor a frame.
        """
        try:
            moment = datetime.fromisoformat(self.header.recorded_at or "")
        except ValueError:
            return _first_time_us(self.batches()) or 0
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)

    def batches(self) -> Iterator[Batch]:
        """Read all frames, from the first."""
        with self._named(), CassetteReader(self.path, warn=self._warn_named) as reader:
            yield from reader.batches()

    def batches_near(self, find: Find) -> tuple[Place, Iterator[Batch]]:
        """Read all frames from a known place on, see `CassetteReader.batches_near`."""
        with self._named():
            reader = CassetteReader(self.path, warn=self._warn_named)
            place, batches = reader.batches_near(find)
        return place, self._named_batches(batches)

    def _named_batches(self, batches: Generator[Batch]) -> Iterator[Batch]:
        with self._named(), closing(batches):
            yield from batches

    def rest_answers(self) -> Sequence[RestAnswer]:
        """Return the recorded REST answers, oldest first."""
        return self._summarise().rest

    def really_has(self, name: str) -> bool:
        """Return whether any frame of the file is of a stream, header or not."""
        try:
            return name in self._summarise().streams
        except CassetteFormatError:  # Reported when the tape gets there.
            return False


class SessionSource:
    """Frames given in memory.

    Args:
        frames: In the order in which they are to be sent; one received before an
            earlier one counts as received with it.
        market: Their market; None goes by the payloads, and is spot if they do not
            say.
        rest: Recorded REST answers, oldest first.
        streams: Names of its streams, where some of them may have no frame; those
            that have one need no mention.
    """

    label = "the loaded session"

    def __init__(
        self,
        frames: Iterable[Frame],
        *,
        market: Market | None = None,
        rest: Sequence[RestAnswer] = (),
        streams: Iterable[str] = (),
    ) -> None:
        self._frames = tuple(frames)
        self._rest = rest
        self.market: Market = market or self._guess_market()
        names = (frame.stream for frame in self._frames)
        self.streams = tuple(dict.fromkeys((*streams, *names)))
        self.recorded_us = self._frames[0].receive_time_us if self._frames else 0

    def _guess_market(self) -> Market:
        guesses = (market_of_payload(frame.payload) for frame in self._frames)
        return next(filter(None, guesses), "spot")

    def batches(self) -> Iterator[Batch]:
        """Return all frames, in batches as a file has them."""
        times_us = accumulate((frame.receive_time_us for frame in self._frames), max)
        for first in range(0, len(self._frames), _SESSION_FRAMES):
            part = self._frames[first : first + _SESSION_FRAMES]
            streams = [frame.stream.encode() for frame in part]
            payloads = [frame.payload for frame in part]
            yield Batch(list(islice(times_us, len(part))), streams, payloads, [])

    def rest_answers(self) -> Sequence[RestAnswer]:
        """Return the recorded REST answers, oldest first."""
        return self._rest

    def really_has(self, name: str) -> bool:
        """Return whether the session is of a stream, if with no frame."""
        return name in self.streams


Source = CassetteSource | SessionSource


class Library:
    """Several sources on one time line.

    Args:
        sources: The sources; of frames received at the same time, those of the first
            go first.
        routes: Whether futures paths keep streams of other routes silent; None goes
            by the date of the newest recording, and is `live` without any.
        market: The market of a tape without any source.

    Attributes:
        catalogue: What the tape holds.
    """

    def __init__(
        self,
        sources: Sequence[Source],
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
        self._read: Callable[[], Iterator[Batch]] = self.batches
        self._is_as_recorded = True

    def _routes(self, routes: Routes | None) -> Mapping[Market, Routes]:
        if routes is not None:
            return {"usdm": routes}
        recorded = [s.recorded_us for s in self.sources if s.market == "usdm"]
        before = bool(recorded) and max(recorded) < _ROUTES_SINCE_US
        return {"usdm": "any" if before else "live"}

    def batches(self) -> Iterator[Batch]:
        """Read all frames of all sources, from the first."""
        return merge_batches([self._keyed(source) for source in self.sources])

    def batches_near(self, find: Find) -> tuple[Place, Iterator[Batch]]:
        """Read the tape from a place on, which a tape of one cassette has.

        Args:
            find: Chooses one of the places that are known.

        Returns:
            The place, and what follows it.
        """
        source = self.sources[0] if len(self.sources) == 1 else None
        if isinstance(source, CassetteSource) and self._is_as_recorded:
            return source.batches_near(find)
        return START, self._read()

    def _keyed(self, source: Source) -> Iterator[Batch]:
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
        origin = self.catalogue.origin
        self._is_as_recorded = not loop and now_us is None
        if now_us is not None:
            start_us = _Once(now_us)
            self._read = lambda: rebased(self.batches(), origin, start_us)
        return Loop(self._read, origin).batches if loop else self._read

    def rest_answers(self) -> list[RestAnswer]:
        """Return the recorded REST answers of all sources, oldest first.

        Their receive times are on the tape's own time line, moved as its frames are.
        """
        answers = self._recorded_answers()
        moved_us = self._moved_us()
        return sorted(
            (replace(a, receive_time_us=a.receive_time_us + moved_us) for a in answers),
            key=lambda answer: answer.receive_time_us,
        )

    def _moved_us(self) -> int:
        """Return by how much the times on the tape differ from the recorded ones."""
        recorded_us = _first_time_us(self.batches())
        on_tape_us = _first_time_us(self._read())
        return (on_tape_us or 0) - (recorded_us or 0)

    def has(self, market: Market, name: str) -> bool:
        """Return whether a stream is on the tape: by a header, a frame or a push."""
        if name in self.catalogue.streams[market]:
            return True
        return any(s.market == market and s.really_has(name) for s in self.sources)

    def offers(self, market: Market, name: str) -> bool:
        """Return whether a stream is on the tape, or can be derived."""
        return self.has(market, name) or self._recipe(market, name) is not None

    def market_of(self, name: str) -> Market:
        """Return the market that a stream belongs to.

        Returns:
            The first that has it, else the first that can derive it, else the first.
        """
        catalogue = self.catalogue
        holding = (m for m, names in catalogue.streams.items() if name in names)
        deriving = (m for m in catalogue.markets if self._recipe(m, name))
        return next(chain(holding, deriving, catalogue.markets))

    def confirms(self, missing: Missing) -> bool:
        """Return whether something reported missing is, now that one can look closer.

        The hub goes by headers, and by what has been pushed so far.
        """
        match missing.reason:
            case "stream" | "case":
                return not self.has(missing.market, missing.asked)
            case "route":
                return self.offers(missing.market, missing.asked)
            case "pair":
                pair, _, stream = missing.asked.rpartition("-")
                names = native_names(pair, stream)
                return not any(self.has(missing.market, name) for name in names)
        return True

    def frames(self, stream: str | None = None) -> Iterator[Frame]:
        """Read the frames of the tape as they were recorded.

        Args:
            stream: Only frames of this stream; one that no cassette has is derived
                where it can be. None reads all recorded ones.
        """
        loom = self._loom()
        if stream is not None and not self._records(stream):
            found = (loom.find(market, stream) for market in self.catalogue.markets)
            loom.add(filter(None, found))
        for batch in loom.batches():
            rows = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
            for time_us, key, payload in rows:
                name = self.catalogue.name(key)
                if stream in {None, name}:
                    yield Frame(time_us, name, payload)

    def _loom(self) -> Loom:
        return Loom(self.batches, self.catalogue, self._recorded_answers)

    def _recorded_answers(self) -> list[RestAnswer]:
        return [answer for source in self.sources for answer in source.rest_answers()]

    def _records(self, name: str) -> bool:
        return any(name in names for names in self.catalogue.recorded.values())

    def _recipe(self, market: Market, name: str) -> Recipe | None:
        return self._loom().find(market, name)


def _first_time_us(batches: Iterator[Batch]) -> int | None:
    return next((batch.times_us[0] for batch in batches if batch.times_us), None)


class _Once:
    """Asks once and keeps the answer, so that going back lands on the same times."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._answer: int | None = None
        self._lock = Lock()  # the tape and REST answers are read in two threads

    def __call__(self) -> int:
        with self._lock:
            if self._answer is None:
                self._answer = self._ask()
            return self._answer
