"""What a recording asks of an upstream, and when it has enough.

Source:
    Binance Spot API docs, "WebSocket Limits"; Binance USDⓈ-M Futures API docs,
    "Websocket Market Streams", connect rules and routes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from pytest_binance_replay.books import fastest_diff
from pytest_binance_replay.errors import CaptureError
from pytest_binance_replay.protocols.rest import plain_request
from pytest_binance_replay.protocols.upstream import subscribe_text
from pytest_binance_replay.recording.public import is_public_request, is_public_stream
from pytest_binance_replay.streams import (
    is_diff_depth,
    nearest_streams,
    parse_stream,
    route_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from random import Random

    from pytest_binance_replay.cassette import Frame
    from pytest_binance_replay.streams import Market

MOST_STREAMS = 1024
"""Streams that one connection may carry, in either market."""

_MESSAGES_PER_SECOND: Mapping[Market, int] = {"spot": 5, "usdm": 10}
# Longer texts have been cut by the exchange.
_TEXT_BYTES = 4096

_DEPTH_PATHS: Mapping[Market, str] = {"spot": "/api/v3/depth", "usdm": "/fapi/v1/depth"}
_DEPTH_LEVELS = 1000
_MOST_SYMBOLS = 100

_COMMON = ("trade", "aggTrade", "depth@100ms", "depth", "bookTicker", "ticker")
_KINDS = (*_COMMON, "miniTicker", "kline_1m", "markPrice")


# What to ask


class ConnectionPlan(NamedTuple):
    """One connection to the upstream.

    Attributes:
        path: `/stream`, behind the route on futures.
        streams: What it subscribes to.
    """

    path: str
    streams: tuple[str, ...]


class DepthPlan(NamedTuple):
    """The depth snapshot of one symbol.

    Attributes:
        symbol: Upper case.
        request: What gives it, path and query.
        stream: The diff depth stream that it has to join, the fastest one.
    """

    symbol: str
    request: str
    stream: str


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """What a recording asks of an upstream.

    Attributes:
        market: The market.
        streams: All streams, each once, in the order asked for.
        connections: The connections that carry them.
        depths: The snapshots that its diff depth streams need.
        requests: Other REST calls, path and query, made once.
        notes: What is odd about it, in sentences.
    """

    market: Market
    streams: tuple[str, ...]
    connections: tuple[ConnectionPlan, ...]
    depths: tuple[DepthPlan, ...]
    requests: tuple[str, ...]
    notes: tuple[str, ...]


def guess_market(streams: Iterable[str]) -> Market:
    """Return the market that has all of some streams: spot if both have, or neither."""
    names = list(streams)
    markets: tuple[Market, ...] = ("spot", "usdm")
    for market in markets:
        if all(parse_stream(name, market) for name in names):
            return market
    return "spot"


def plan_capture(
    streams: Iterable[str], market: Market, requests: Iterable[str] = ()
) -> CapturePlan:
    """Plan a recording.

    Depth snapshots that diff depth streams need, and on spot the `exchangeInfo` of
    the symbols, which is small there, are part of every plan.

    Args:
        streams: Names of market streams, at least one.
        market: Their market.
        requests: Further REST calls for market data, path and query; depth snapshots
            that the plan has by itself are left out.

    Raises:
        CaptureError: If there is no stream, or a name or a request is none that
            market data has.
    """
    names = tuple(dict.fromkeys(streams))
    if not names:
        problem = "No stream to record. Name one, such as btcusdt@trade."
        raise CaptureError(problem)
    for name in names:
        _check_stream(name)
    depths = tuple(_depths(names, market))
    asked = [_checked_request(request) for request in requests]
    own = {(depth.symbol, _DEPTH_PATHS[market]) for depth in depths}
    others = [r for r in asked if (_symbol_of(r), r.partition("?")[0]) not in own]
    infos = _exchange_info(names) if market == "spot" else ()
    return CapturePlan(
        market=market,
        streams=names,
        connections=tuple(_connections(names, market)),
        depths=depths,
        requests=tuple(dict.fromkeys([*infos, *others])),
        notes=tuple(note for name in names for note in _notes(name, market)),
    )


def _check_stream(name: str) -> None:
    if not is_public_stream(name):
        problem = (
            f"{name[:60]!r} is no market stream, and no other is ever recorded. Take a "
            "name such as btcusdt@trade."
        )
        raise CaptureError(problem)
    symbol, at, rest = name.partition("@")
    if symbol != symbol.lower() and not name.startswith("!"):
        problem = (
            f"{name!r} stays silent on the exchange, where symbols of streams are "
            f"lower case. Take {symbol.lower()}{at}{rest}."
        )
        raise CaptureError(problem)


def _checked_request(request: str) -> str:
    if not is_public_request(request):
        path = request.partition("?")[0][:60]
        problem = (
            f"{path!r} is not among the requests for market data, and no other is ever "
            "recorded, nor one that is signed."
        )
        raise CaptureError(problem)
    return plain_request(request)


def _symbol_of(request: str) -> str:
    query = request.partition("?")[2].split("&")
    found = (part[7:] for part in query if part.startswith("symbol="))
    return next(found, "").upper()


def _depths(names: Sequence[str], market: Market) -> Iterator[DepthPlan]:
    symbols = {n.partition("@")[0]: None for n in names if is_diff_depth(n)}
    for symbol in symbols:
        stream = fastest_diff(symbol, names)
        if stream is not None:
            upper = symbol.upper()
            query = f"symbol={quote(upper)}&limit={_DEPTH_LEVELS}"
            yield DepthPlan(upper, f"{_DEPTH_PATHS[market]}?{query}", stream)


def _exchange_info(names: Sequence[str]) -> tuple[str, ...]:
    parsed = (parse_stream(name, "spot") for name in names)
    symbols = {p.symbol.upper(): None for p in parsed if p is not None and p.symbol}
    if not 0 < len(symbols) <= _MOST_SYMBOLS:
        return ()
    if len(symbols) == 1:
        query = f"symbol={quote(next(iter(symbols)))}"
    else:
        listed = ",".join(f'"{symbol}"' for symbol in symbols)
        query = f"symbols={quote(f'[{listed}]')}"
    return (plain_request(f"/api/v3/exchangeInfo?{query}"),)


def _connections(names: Sequence[str], market: Market) -> Iterator[ConnectionPlan]:
    by_path: dict[str, list[str]] = defaultdict(list)
    for name in names:
        # What no route is known for is where the old paths lead.
        route = f"/{route_of(name) or 'public'}" if market == "usdm" else ""
        by_path[f"{route}/stream"].append(name)
    for path, carried in by_path.items():
        for start in range(0, len(carried), MOST_STREAMS):
            yield ConnectionPlan(path, tuple(carried[start : start + MOST_STREAMS]))


def _notes(name: str, market: Market) -> Iterator[str]:
    if parse_stream(name, market) is not None:
        return
    other: Market = "usdm" if market == "spot" else "spot"
    if parse_stream(name, other) is not None:
        yield f"{name!r} is a stream of {other}, and this records {market}."
        return
    symbol = name.partition("@")[0]
    near = nearest_streams(name, [f"{symbol}@{kind}" for kind in _KINDS], limit=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    yield f"{name!r} is no stream of {market} that is known; it may stay silent.{guess}"


def messages_per_second(market: Market) -> int:
    """Return how many requests to send a second: one less than is allowed, for pongs.

    Source:
        Binance Spot and USDⓈ-M Futures API docs: 5 and 10 incoming messages per
        second, pings and pongs included.
    """
    return _MESSAGES_PER_SECOND[market] - 1


def subscriptions(streams: Iterable[str]) -> list[tuple[int, str]]:
    """Write the requests that subscribe to some streams, as few as size allows.

    Returns:
        Each request's `id`, from 1, and its text.
    """
    parts: list[list[str]] = [[]]
    room = _TEXT_BYTES
    for name in streams:
        size = len(name.encode()) + 3
        if size > room and parts[-1]:
            parts.append([])
        if not parts[-1]:
            room = _TEXT_BYTES - 64
        parts[-1].append(name)
        room -= size
    return [(n, subscribe_text(part, n)) for n, part in enumerate(parts, 1)]


def clean_origin(url: str) -> str:
    """Return a URL without user, password, path, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def delays(random: Random, *, first: float, most: float) -> Iterator[float]:
    """Return how long to wait before each further attempt, in seconds.

    Twice as long each time, up to a limit, less up to a half by chance, so that many
    who were cut at once do not come back at once.

    Args:
        random: Where chance comes from.
        first: Seconds before the first, at the most.
        most: Seconds that no wait is longer than.
    """
    for doublings in count():
        yield min(most, first * 2.0 ** min(doublings, 30)) * random.uniform(0.5, 1)


# When it is enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """When a recording has enough; without any, it goes on until it is stopped.

    Attributes:
        seconds: How long it lasts, from the acknowledgement of its last stream on;
            longer, if by then there are too few messages.
        min_messages: How many messages each stream has to bring, or those named.
            Alone, it is what ends the recording.
        until: Asked about each frame; the recording ends when it says yes, whatever
            else is set.
        time_limit: Seconds after which too few messages, or no yes, is an error. None
            for a minute more than `seconds`; without those, there is no limit.
    """

    seconds: float | None = None
    min_messages: int | Mapping[str, int] = 0
    until: Callable[[Frame], object] | None = None
    time_limit: float | None = None

    @property
    def limit_seconds(self) -> float | None:
        """The time limit that holds."""
        if self.time_limit is not None or self.seconds is None:
            return self.time_limit
        return self.seconds + 60

    def wanted(self, streams: Iterable[str]) -> dict[bytes, int]:
        """Return how many messages each stream has to bring, if any.

        Raises:
            CaptureError: If a stream is named that is not recorded.
        """
        least = self.min_messages
        names = list(streams)
        if isinstance(least, int):
            least = dict.fromkeys(names, least)
        for name in least.keys() - set(names):
            problem = f"min_messages names {name!r}, which is not recorded. Record it."
            raise CaptureError(problem)
        return {name.encode(): number for name, number in least.items() if number > 0}


class Tally:
    """Counts the frames of each stream, and tells when they are enough.

    Args:
        streams: The streams that are recorded.
        bounds: When it is enough.

    Attributes:
        counts: Frames by stream, UTF-8; those of streams without any too.
        frames: All frames.
    """

    def __init__(self, streams: Sequence[str], bounds: Bounds) -> None:
        self.counts = {name.encode(): 0 for name in streams}
        self.frames = 0
        self._lacking = bounds.wanted(streams)
        self._wanted = dict(self._lacking)

    @property
    def lacks(self) -> bool:
        """Whether a stream has not brought enough yet."""
        return bool(self._lacking)

    def add(self, stream: bytes) -> bool:
        """Count one frame; return whether it was the last that was lacking."""
        self.counts[stream] += 1
        self.frames += 1
        left = self._lacking.get(stream)
        if left is None:
            return False
        if left > 1:
            self._lacking[stream] = left - 1
            return False
        del self._lacking[stream]
        return not self._lacking

    def silent(self) -> list[str]:
        """Return the streams that have brought nothing."""
        return [name.decode() for name, number in self.counts.items() if not number]

    def shortage(self) -> str:
        """Say what has come of what is lacking, in words."""
        return ", ".join(
            f"{stream.decode()} sent {self.counts[stream]} of {self._wanted[stream]}"
            for stream in self._lacking
        )
