"""Several cassettes laid on one time line, as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import Header
from pytest_binance_replay.errors import (
    MarketsDifferError,
    MarketUnknownError,
    NothingLeftError,
)
from pytest_binance_replay.files import Summary, summarise
from pytest_binance_replay.foreign import iso_time
from pytest_binance_replay.tools.converting import (
    CassetteInput,
    merge_by_time,
    own_recorder,
)

if TYPE_CHECKING:
    from pytest_binance_replay.errors import BinanceReplayWarning
    from pytest_binance_replay.formats import Item
    from pytest_binance_replay.streams import Market

    Warn = Callable[[BinanceReplayWarning], object]

_STEP_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """A cassette that becomes a part of another.

    Attributes:
        path: The file.
        shift_us: What is added to its receive times, microseconds.
        summary: What is in it.
    """

    path: Path
    shift_us: int
    summary: Summary

    @property
    def span_us(self) -> tuple[int, int] | None:
        """Its first and last receive time on the common time line; None if empty."""
        first, last = self.summary.first_time_us, self.summary.last_time_us
        if first is None or last is None:
            return None
        return first + self.shift_us, last + self.shift_us


class Merge:
    """Several cassettes as one; payloads stay as they are.

    Args:
        paths: The files; of frames received at the same time, those of the first go
            first.
        shifts_us: What to add to the receive times of some of them, microseconds, by
            their place.
        warn: Takes what is odd about them.

    Attributes:
        parts: What becomes one.
        market: Their market.
        progress: Is told how many lines were read.

    Raises:
        CassetteFormatError: If something in them cannot be read.
        MarketsDifferError: If they are of two markets.
        MarketUnknownError: If nothing says the market of any.
        NothingLeftError: If they hold no frame.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        shifts_us: dict[int, int] | None = None,
        warn: Warn = lambda _: None,
    ) -> None:
        shifts = shifts_us or {}
        self.parts = [
            Part(path, shifts.get(number, 0), summarise(path))
            for number, path in enumerate(paths)
        ]
        self.market: Market = self._market()
        self._warn = warn
        self.progress: Callable[[int], object] = lambda _: None
        if not any(part.summary.frames for part in self.parts):
            labels = " and ".join(str(part.path) for part in self.parts)
            raise NothingLeftError(labels, "there is no frame in them")

    def _market(self) -> Market:
        told = [(str(p.path), p.summary.market) for p in self.parts]
        known = [(path, market) for path, market in told if market is not None]
        if not known:
            raise MarketUnknownError(told[0][0])
        (one, market), *others = known
        for other, other_market in others:
            if other_market != market:
                raise MarketsDifferError(one, market, other, other_market)
        return market

    @property
    def frames(self) -> int:
        """How many frames there are together."""
        return sum(part.summary.frames for part in self.parts)

    @property
    def header(self) -> Header:
        """The header of what they become."""
        headers = [part.summary.header for part in self.parts]
        names = [
            name
            for part in self.parts
            for name in (*(part.summary.header.streams or ()), *part.summary.streams)
        ]
        sources = dict.fromkeys(h.source for h in headers if h.source is not None)
        extra: dict[str, object] = {}
        for header in reversed(headers):
            extra |= header.extra
        starts = [part.span_us[0] for part in self.parts if part.span_us]
        return Header(
            market=self.market,
            source=", ".join(sources) or None,
            recorded_at=iso_time(min(starts)),
            streams=tuple(dict.fromkeys(names)),
            recorder=own_recorder(),
            extra={**extra, "merged_from": [part.path.name for part in self.parts]},
        )

    def doubles(self) -> list[tuple[str, str, str]]:
        """Return streams that two parts have at the same time, with both their paths.

        Their frames come twice, or chain to neither; that may be meant.
        """
        found = []
        for one, other in combinations(self.parts, 2):
            if _overlap(one.span_us, other.span_us):
                both = one.summary.streams.keys() & other.summary.streams.keys()
                found += [
                    (name, str(one.path), str(other.path)) for name in sorted(both)
                ]
        return found

    def items(self) -> Iterator[Item]:
        """Read all their lines, without headers and ends."""
        walks = [self._walk(part) for part in self.parts]
        for number, item in enumerate(merge_by_time(walks)):
            if number % _STEP_ITEMS == 0:
                self.progress(number)
            yield item

    def _walk(self, part: Part) -> Iterator[Item]:
        items = CassetteInput(part.path, str(part.path)).items(self._warn, 0)
        if not part.shift_us:
            yield from items
            return
        for item in items:
            moved_us = max(item.receive_time_us + part.shift_us, 0)
            yield replace(item, receive_time_us=moved_us)


def _overlap(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    if one is None or other is None:
        return False
    return max(one[0], other[0]) <= min(one[1], other[1])
