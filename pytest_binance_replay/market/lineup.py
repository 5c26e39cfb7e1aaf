"""Which streams a generated session has, and the feed behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market.feeds import (
    AveragePriceFeed,
    DepthFeed,
    Feed,
    ForceOrderFeed,
    GatheredFeed,
    KlineFeed,
    LatestTopFeed,
    MarkPriceFeed,
    MiniTickerFeed,
    PartialDepthFeed,
    Regular,
    RollingTickerFeed,
    TickerFeed,
    feed_agg_trades,
    feed_book_ticker,
    feed_trades,
)
from pytest_binance_replay.market.listing import Listing
from pytest_binance_replay.market.marks import Marks
from pytest_binance_replay.market.payloads import SpotPayloads, UsdmPayloads
from pytest_binance_replay.streams import Market, StreamName, parse_stream

_DEFAULTS: Mapping[Market, tuple[str, ...]] = {
    "spot": ("trade", "aggTrade", "depth@100ms", "bookTicker", "kline_1m", "ticker"),
    "usdm": (
        *("aggTrade", "depth@100ms", "bookTicker", "markPrice@1s", "kline_1m"),
        *("ticker", "forceOrder"),
    ),
}

# How often timed streams speak, microseconds, as recorded: the futures keep to their
# names only roughly.
_DEPTH_US: Mapping[Market, Mapping[str | None, int]] = {
    "spot": {None: 1_000_000, "100ms": 100_000},
    "usdm": {None: 250_000, "500ms": 500_000, "100ms": 102_000, "0ms": 52_000},
}
_KLINE_US: Mapping[Market, int] = {"spot": 2_000_000, "usdm": 250_000}
_TICKER_US: Mapping[Market, int] = {"spot": 1_000_000, "usdm": 2_000_000}
_ARRAY_US = 1_000_000
_MARK_US: Mapping[str | None, int] = {None: 3_000_000, "1s": 1_000_000}

# When in its period a stream speaks, for the first symbol and how much later for each
# one after it, so that they do not all speak at once.
_PHASES: Mapping[str, tuple[int, int]] = {
    "depth": (4_000, 1_300),
    "kline": (131_000, 17_000),
    "continuousKline": (139_000, 17_000),
    "ticker": (216_000, 37_000),
    "miniTicker": (419_000, 37_000),
    "avgPrice": (0, 0),
    "forceOrder": (101_000, 9_000),
    "bookTicker": (703_000, 0),
}

_SPOT_ONLY = {"avgPrice"}
_USDM_ONLY = {"markPrice", "forceOrder", "continuousKline"}
_BOTH = {"trade", "aggTrade", "bookTicker", "depth", "kline", "ticker", "miniTicker"}
_KINDS: Mapping[Market, set[str]] = {
    "spot": _BOTH | _SPOT_ONLY,
    "usdm": _BOTH | _USDM_ONLY,
}


def default_streams(market: Market) -> tuple[str, ...]:
    """Return what each symbol of a session has unless something else is asked for."""
    return _DEFAULTS[market]


def name_streams(
    asked: Iterable[str] | None, symbols: Sequence[str], market: Market
) -> tuple[str, ...]:
    """Return the names of a session's streams, each once.

    Args:
        asked: Full names, or features that each symbol is to have: `trade`,
            `depth@100ms`; None for the usual ones.
        symbols: Upper case.
        market: Whose names they are.

    Raises:
        OptionError: If there is no such stream, or it cannot be generated.
    """
    names: dict[str, None] = {}
    for name in default_streams(market) if asked is None else asked:
        if parse_stream(name, market):
            found = [name]
        else:
            found = [f"{symbol.lower()}@{name}" for symbol in symbols]
        for full in found:
            _check(full, name, symbols, market)
            names[full] = None
    ranks = {f"{symbol.lower()}@": rank for rank, symbol in enumerate(symbols)}
    return tuple(sorted(names, key=lambda name: _rank(name, ranks)))


def _rank(name: str, ranks: Mapping[str, int]) -> int:
    symbol, at, _ = name.partition("@")
    return ranks.get(symbol + at, len(ranks))


def _check(full: str, asked: str, symbols: Sequence[str], market: Market) -> None:
    parsed = parse_stream(full, market)
    is_gone = (full, market) == ("!ticker@arr", "spot")  # since March 2026
    if parsed is None or parsed.kind not in _KINDS[market] or is_gone:
        kinds = ", ".join(sorted(_KINDS[market]))
        problem = f"no stream that can be generated on {market}; there are {kinds}"
        where = f"streams={asked!r}"
        raise OptionError(where, problem)
    if parsed.symbol is not None and parsed.symbol.upper() not in symbols:
        problem = f"its symbol is none of the session's: {', '.join(symbols)}"
        where = f"streams={asked!r}"
        raise OptionError(where, problem)


@dataclass(frozen=True, slots=True)
class TimedFeed:
    """A feed that is asked from time to time, and the stream that carries it."""

    stream: str
    feed: Feed


class Lineup:
    """Builds the feeds of a session.

    Args:
        listings: Its symbols.
        market: Their market.
        start_us: When it starts.
    """

    def __init__(
        self, listings: Sequence[Listing], market: Market, start_us: int
    ) -> None:
        self._listings = listings
        self._market = market
        self._start_us = start_us
        self._marks: dict[str, Marks] = {}

    def add(self, stream: str) -> Iterator[TimedFeed]:
        """Build what is behind a stream; one that speaks by itself gives nothing."""
        name = parse_stream(stream, self._market)
        if name is None:
            msg = f"no stream of {self._market}: {stream!r}"
            raise ValueError(msg)
        if name.all_market:
            yield TimedFeed(stream, self._gathered(name))
            return
        number = next(
            number
            for number, listing in enumerate(self._listings)
            if listing.instrument.symbol.lower() == name.symbol
        )
        if (speak := _SPEAKING.get(name.kind)) is not None:
            speak(self._listings[number], stream)
        else:
            yield TimedFeed(stream, self._timed(name, number))

    def _phase(self, kind: str, number: int) -> int:
        first_us, each_us = _PHASES[kind]
        return first_us + each_us * number

    def _timed(self, name: StreamName, number: int) -> Feed:
        if name.kind in {"kline", "continuousKline"}:
            return self._kline(name, number)
        return self._regular(name, number, period_us=None)

    def _regular(self, name: StreamName, number: int, period_us: int | None) -> Regular:
        """Build a feed of one symbol.

        Args:
            name: Of the stream.
            number: Which listing; decides the phase, unless a period is given.
            period_us: Its period; None for its own.
        """
        listing, start_us = self._listings[number], self._start_us
        words, kind = listing.payloads, name.kind
        if kind == "markPrice" and isinstance(words, UsdmPayloads):
            marks = self._marks.setdefault(words.symbol, Marks(listing))
            return MarkPriceFeed(marks, words, start_us, _MARK_US[name.speed])
        phase_us = self._phase(kind, number if period_us is None else 0)
        if kind == "forceOrder" and isinstance(words, UsdmPayloads):
            return ForceOrderFeed(listing, words, start_us, phase_us)
        if kind == "avgPrice" and isinstance(words, SpotPayloads):
            return AveragePriceFeed(listing, words, start_us, phase_us)
        if kind == "depth":
            return self._depth(name, listing, phase_us)
        if kind == "bookTicker":
            return LatestTopFeed(listing, start_us, phase_us)
        if name.window and isinstance(words, SpotPayloads):
            return RollingTickerFeed(listing, words, start_us, phase_us, name.window)
        ticker = TickerFeed if kind == "ticker" else MiniTickerFeed
        own_us = _TICKER_US[self._market]
        return ticker(listing, start_us, period_us or own_us, phase_us)

    def _depth(self, name: StreamName, listing: Listing, phase_us: int) -> Regular:
        period_us = _DEPTH_US[self._market][name.speed]
        if name.levels is None:
            return DepthFeed(listing, self._start_us, period_us, phase_us)
        return PartialDepthFeed(
            listing, self._start_us, period_us, phase_us, name.levels
        )

    def _kline(self, name: StreamName, number: int) -> KlineFeed:
        listing = self._listings[number]
        words, interval = listing.payloads, name.interval or "1m"
        write: Callable[..., str] = words.kline
        if name.kind == "continuousKline" and isinstance(words, UsdmPayloads):
            write = words.continuous_kline
        return KlineFeed(
            listing,
            write,
            interval,
            shifted=name.utc_offset is not None,
            start_us=self._start_us,
            period_us=0 if interval == "1s" else _KLINE_US[self._market],
            phase_us=self._phase(name.kind, number),
        )

    def _gathered(self, name: StreamName) -> GatheredFeed:
        members = [
            self._regular(name, number, _ARRAY_US)
            for number in range(len(self._listings))
        ]
        is_array = name.kind not in {"bookTicker", "forceOrder"}
        return GatheredFeed(members, is_array=is_array)


_SPEAKING: Mapping[str, Callable[[Listing, str], None]] = {
    "trade": feed_trades,
    "aggTrade": feed_agg_trades,
    "bookTicker": feed_book_ticker,
}
