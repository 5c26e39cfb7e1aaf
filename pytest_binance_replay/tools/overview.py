"""A cassette summed up: its streams, their prices, ids and gaps, over time.

Payloads are searched, not parsed, apart from the few whose prices are shown.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pytest_binance_replay.cassette import Header, Mark, RestAnswer
from pytest_binance_replay.streams import (
    Market,
    StreamName,
    market_of_payload,
    parse_stream,
)

if TYPE_CHECKING:
    from pytest_binance_replay.cassette import Batch, Line

MOMENTS = 64
"""Into how many parts, at most, the time of a cassette is cut for its pictures."""

_OK = 200


class Snapshot(NamedTuple):
    """A recorded depth snapshot.

    Attributes:
        symbol: Upper case.
        update_id: `lastUpdateId`; None if the answer has none.
    """

    symbol: str
    update_id: int | None


@dataclass(frozen=True, slots=True)
class StreamOverview:
    """One stream.

    Attributes:
        frames: How many frames it has.
        first_price: Of the first payload, as it is written there; None where the
            stream has no prices. A book's price is its best bid.
        last_price: Of the last payload.
        first_id: Trade or update id of the first payload; None without ids.
        last_id: Of the last payload.
        gaps: Places where ids are missing; None where they need not follow each other.
        missing: Ids that are missing there.
        prices: The last price in each part of the cassette's time; None where it has
            none.
        counts: Frames in each part.
    """

    frames: int
    first_price: str | None
    last_price: str | None
    first_id: int | None
    last_id: int | None
    gaps: int | None
    missing: int
    prices: tuple[Decimal | None, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """What is in a cassette.

    Attributes:
        header: Its header, all None without one.
        market: The header's, else what the payloads tell; None if neither does.
        frames: How many frames it has.
        first_time_us: Receive time of the first frame, microseconds since the epoch;
            None without frames.
        last_time_us: The latest receive time of a frame.
        streams: Its streams, in the order of their first frames.
        snapshots: Its depth snapshots, in the order of the file.
        requests: Number of answers to each other REST path.
        marks: Number of marks by name.
        is_finished: Whether it has an end line.
    """

    header: Header
    market: Market | None
    frames: int
    first_time_us: int | None
    last_time_us: int | None
    streams: Mapping[str, StreamOverview]
    snapshots: tuple[Snapshot, ...]
    requests: Mapping[str, int]
    marks: Mapping[str, int]
    is_finished: bool

    @property
    def span_us(self) -> int:
        """From the first frame to the last, microseconds."""
        if self.first_time_us is None or self.last_time_us is None:
            return 0
        return self.last_time_us - self.first_time_us

    @property
    def gaps(self) -> int:
        """Places where ids are missing, over all streams."""
        return sum(stream.gaps or 0 for stream in self.streams.values())

    def rate(self, frames: int) -> Decimal | None:
        """Return so many frames as frames a second; None if the time is too short."""
        return Decimal(frames) * 1_000_000 / self.span_us if self.span_us else None


# What is looked for

_NUMBER = rb"\s*:\s*(-?[0-9]+)"
_DIFF_IDS = re.compile(
    rb'"U"%b\s*,\s*"u"%b(?:\s*,\s*"pu"%b)?' % (_NUMBER, _NUMBER, _NUMBER)
)


def _id(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'"%b"%b' % (name, _NUMBER))


class _Look(NamedTuple):
    """What to look for in the payloads of a kind.

    Attributes:
        price: Path of the price.
        ids: Finds the ids; None where there are none.
        rises_by_one: Markets in which each id follows the one before.
    """

    price: tuple[str | int, ...] = ()
    ids: re.Pattern[bytes] | None = None
    rises_by_one: tuple[Market, ...] = ()


_LOOKS: Mapping[str, _Look] = {
    "trade": _Look(("p",), _id(b"t"), ("spot",)),
    "aggTrade": _Look(("p",), _id(b"a"), ("spot", "usdm")),
    "blockTrade": _Look(("p",), _id(b"t")),
    "bookTicker": _Look(("b",), _id(b"u")),
    "kline": _Look(("k", "c")),
    "continuousKline": _Look(("k", "c")),
    "miniTicker": _Look(("c",)),
    "ticker": _Look(("c",)),
    "markPrice": _Look(("p",)),
    "avgPrice": _Look(("w",)),
    "referencePrice": _Look(("r",)),
    "compositeIndex": _Look(("p",)),
    "assetIndex": _Look(("i",)),
    "forceOrder": _Look(("o", "ap")),
}
_DIFF = _Look((), _DIFF_IDS, ("spot", "usdm"))
_PARTIAL: Mapping[Market, _Look] = {
    "spot": _Look(("bids", 0, 0), _id(b"lastUpdateId")),
    "usdm": _Look(("b", 0, 0), _id(b"u")),
}


def _look_for(name: StreamName | None, market: Market) -> _Look:
    if name is None or name.all_market:
        return _Look()
    if name.kind in {"depth", "rpiDepth"}:
        return _PARTIAL[market] if name.levels else _DIFF
    return _LOOKS.get(name.kind, _Look())


def _price(payload: bytes | None, path: tuple[str | int, ...]) -> str | None:
    if payload is None or not path:
        return None
    try:
        value: Any = json.loads(payload, parse_float=str, parse_int=str)
        for step in path:
            value = value[step]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


# Reading


class _Stream:
    """What is known of one stream so far.

    Attributes:
        is_followed: Whether each id is to follow the one before.
    """

    def __init__(self, look: _Look, market: Market, first: bytes) -> None:
        self.is_followed = market in look.rises_by_one
        self.counts = [0] * MOMENTS
        self._payloads: list[bytes | None] = [None] * MOMENTS
        self._look = look
        self._first = self._last = first
        self._last_id: int | None = None
        self._gaps = 0
        self._missing = 0

    def add(self, moment: int, frames: int, last: bytes) -> None:
        """Take account of frames of one moment, the last of which is given."""
        self.counts[moment] += frames
        self._last = last
        if self._look.price:
            self._payloads[moment] = last

    def follow(self, payload: bytes) -> None:
        """Look whether the ids of the next payload follow."""
        assert self._look.ids is not None
        if (found := self._look.ids.search(payload)) is None:
            return
        _, last, previous = self._ids(found)
        if self._last_id is not None and previous != self._last_id:
            self._gaps += 1
            self._missing += max(0, previous - self._last_id)
        self._last_id = last

    def _ids(self, found: re.Match[bytes]) -> tuple[int, int, int]:
        """Return first and last id, and the id that should come right before."""
        first = int(found[1])
        if self._look is not _DIFF:
            return first, first, first - 1
        return first, int(found[2]), int(found[3]) if found[3] else first - 1

    def _ids_of(self, payload: bytes) -> tuple[int, int, int] | None:
        ids = self._look.ids
        found = ids.search(payload) if ids else None
        return self._ids(found) if found else None

    def halve(self) -> None:
        """Make one moment of two."""
        counts, payloads = self.counts, self._payloads
        rest = MOMENTS // 2
        pairs = zip(payloads[::2], payloads[1::2], strict=True)
        self._payloads = [late or early for early, late in pairs] + [None] * rest
        halves = zip(counts[::2], counts[1::2], strict=True)
        self.counts = [early + late for early, late in halves] + [0] * rest

    def overview(self, moments: int) -> StreamOverview:
        """Return what is known, about so many moments."""
        path = self._look.price
        prices = (_price(payload, path) for payload in self._payloads[:moments])
        first_ids, last_ids = self._ids_of(self._first), self._ids_of(self._last)
        return StreamOverview(
            sum(self.counts),
            _price(self._first, path),
            _price(self._last, path),
            first_ids and first_ids[0],
            last_ids and last_ids[1],
            self._gaps if self.is_followed else None,
            self._missing,
            tuple(_decimal(price) for price in prices),
            tuple(self.counts[:moments]),
        )


def _decimal(text: str | None) -> Decimal | None:
    try:
        number = None if text is None else Decimal(text)
    except InvalidOperation:
        return None
    return number if number is None or number.is_finite() else None


class OverviewReader:
    """Sums up a cassette, batch by batch, in constant memory."""

    def __init__(self) -> None:
        self._header = Header()
        self._market: Market | None = None
        self._streams: dict[bytes, _Stream] = {}
        self._followed: dict[bytes, _Stream] = {}
        self._start_us: int | None = None
        self._latest_us = 0
        self._moment_us = 1
        self._snapshots: list[Snapshot] = []
        self._requests: Counter[str] = Counter()
        self._marks: Counter[str] = Counter()
        self._is_finished = False

    def add_batch(self, batch: Batch) -> None:
        """Take account of the lines of a batch."""
        for _, line in batch.others:
            self._add_line(line)
        if batch.times_us:
            self._make_room(min(batch.times_us), max(batch.times_us))
            self._add_frames(batch)

    def _make_room(self, first_us: int, last_us: int) -> None:
        """Widen the moments until they reach as far as the batch."""
        if self._start_us is None:
            self._start_us = first_us
        self._latest_us = max(self._latest_us, last_us)
        while (self._latest_us - self._start_us) // self._moment_us >= MOMENTS:
            self._moment_us *= 2
            for stream in self._streams.values():
                stream.halve()

    def _add_frames(self, batch: Batch) -> None:
        streams, payloads = batch.streams, batch.payloads
        for name, payload in zip(streams, payloads, strict=True):
            if (stream := self._followed.get(name)) is not None:
                stream.follow(payload)
            elif name not in self._streams:
                self._add_stream(name, payload)
        for moment, part in self._moments(batch.times_us):
            last = dict(zip(streams[part], payloads[part], strict=True))
            for name, frames in Counter(streams[part]).items():
                self._streams[name].add(moment, frames, last[name])

    def _moments(self, times_us: list[int]) -> Iterator[tuple[int, slice]]:
        """Cut a batch where a moment ends; what is out of order goes with the latest.

        Yields:
            Number of the moment, and which frames of the batch are of it.
        """
        start_us, moment_us = self._start_us or 0, self._moment_us
        times_us = list(accumulate(times_us, max, initial=start_us))[1:]
        at = 0
        while at < len(times_us):
            moment = (times_us[at] - start_us) // moment_us
            end = bisect_left(times_us, start_us + (moment + 1) * moment_us, at)
            yield moment, slice(at, end)
            at = end

    def _add_stream(self, name: bytes, payload: bytes) -> None:
        self._market = self._market or market_of_payload(payload)
        text = name.decode()
        market = self._market or ("spot" if parse_stream(text, "spot") else "usdm")
        stream = _Stream(_look_for(parse_stream(text, market), market), market, payload)
        self._streams[name] = stream
        if stream.is_followed:
            self._followed[name] = stream
            stream.follow(payload)

    def _add_line(self, line: Line) -> None:
        if isinstance(line, Header):
            self._header = line
            self._market = line.market or self._market
        elif isinstance(line, RestAnswer):
            self._add_answer(line)
        elif isinstance(line, Mark):
            self._marks[line.name] += 1
        else:
            self._is_finished = True

    def _add_answer(self, answer: RestAnswer) -> None:
        url = urlsplit(answer.request)
        if answer.status != _OK or not url.path.endswith("/depth"):
            self._requests[url.path] += 1
            return
        found = _SNAPSHOT_ID.search(answer.payload)
        symbol = parse_qs(url.query).get("symbol", [""])[0].upper()
        self._snapshots.append(Snapshot(symbol, int(found[1]) if found else None))

    def overview(self) -> Overview:
        """Return what was read so far."""
        span_us = self._latest_us - (self._start_us or 0)
        moments = span_us // self._moment_us + 1
        streams = {
            name.decode(): stream.overview(moments)
            for name, stream in self._streams.items()
        }
        return Overview(
            self._header,
            self._market,
            sum(stream.frames for stream in streams.values()),
            self._start_us,
            None if self._start_us is None else self._latest_us,
            streams,
            tuple(self._snapshots),
            self._requests,
            self._marks,
            self._is_finished,
        )


_SNAPSHOT_ID = _id(b"lastUpdateId")


def combined_counts(overview: Overview) -> tuple[int, ...]:
    """Return the frames of all streams in each part of the time."""
    columns: Iterator[tuple[int, ...]] = zip(
        *(stream.counts for stream in overview.streams.values()), strict=True
    )
    return tuple(map(sum, columns))
