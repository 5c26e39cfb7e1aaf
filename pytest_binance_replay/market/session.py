"""Generated sessions as cassette lines: from actions, or from a seed and a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heapify, heapreplace

from pytest_binance_replay.cassette import End, Frame, Header, Line, RestAnswer
from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market.actions import Action
from pytest_binance_replay.market.chance import Chance
from pytest_binance_replay.market.crossings import Crossing, levels_of
from pytest_binance_replay.market.crowd import Crowd
from pytest_binance_replay.market.exchange import START_US, Exchange
from pytest_binance_replay.market.instruments import Instrument, find_instrument
from pytest_binance_replay.market.listing import Told
from pytest_binance_replay.market.scenarios import Course
from pytest_binance_replay.streams import Market

DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
"""What is traded unless something else is asked for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STRIDE_US = 1_000_000
_CLOSING_US = 30_000
_SEEDS = 1 << 64


class Reception:
    """Gives what is told its receive time, and counts it.

    All comes over one connection: what waits behind a late message comes with it.

    Args:
        latency_us: Returns how long a message is underway.
        gap_us: Returns the least time between it and the one before.
        start_us: Nothing comes before.
    """

    def __init__(
        self,
        latency_us: Callable[[], int],
        gap_us: Callable[[], int],
        start_us: int,
    ) -> None:
        self._latency_us, self._gap_us = latency_us, gap_us
        self._latest_us = start_us
        self._frames = 0

    def lines(self, told: Iterable[Told]) -> Iterator[Frame | RestAnswer]:
        """Give what was told as lines of a cassette."""
        for moment_us, name, payload in told:
            self._latest_us = max(
                self._latest_us + self._gap_us(), moment_us + self._latency_us()
            )
            if name.startswith("/"):
                yield RestAnswer(self._latest_us, name, 200, payload)
            else:
                self._frames += 1
                yield Frame(self._latest_us, name, payload)

    def end(self, at_us: int) -> End:
        """Return the last line."""
        return End(max(self._latest_us, at_us), self._frames)


def _header(exchange: Exchange, source: str) -> Header:
    started = _EPOCH + timedelta(microseconds=exchange.now_us)
    return Header(
        market=exchange.market,
        source=source,
        recorded_at=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        streams=exchange.streams,
        recorder="pytest-binance-replay",
    )


def play_actions(
    actions: Iterable[Action],
    *,
    instruments: Sequence[Instrument],
    streams: Iterable[str] | None = None,
    start_us: int = START_US,
    lasting_us: int = 0,
    opening_levels: int = 5,
    opening_quantity: int = 10,
    ask_depth: bool = True,
    ask_exchange_info: bool = False,
    latency_us: int = 5_000,
    source: str = "synthetic:pytest_binance_replay.market seed=0",
) -> Iterator[Line]:
    """Give the session that a list of actions makes, from its header to its end.

    Chance has no part in it. The session ends when the last change of a book has
    been told.

    Args:
        actions: What happens, in order.
        instruments: What is traded, all of one market.
        streams: Full names, or features that each symbol is to have: `trade`,
            `depth@100ms`; None for the usual ones.
        start_us: A whole minute, microseconds since the epoch.
        lasting_us: How long the session lasts at least, in microseconds.
        opening_levels: Levels that each side of a book has at the start, a tick
            apart, the best ones too.
        opening_quantity: Steps in each of them, as one order.
        ask_depth: Whether each symbol has a depth snapshot, right after the first
            change of its book.
        ask_exchange_info: Whether the rules of trading come first.
        latency_us: From the moment that something is told until it is received; what
            is told at one moment is received a microsecond apart.
        source: What the header says about where the session is from.

    Raises:
        OptionError: When the first line is asked for, if an argument is impossible;
            or when its turn comes, if an action is of another symbol.
    """
    exchange = Exchange(
        instruments,
        streams=streams,
        start_us=start_us,
        opening_levels=opening_levels,
        opening_quantity=opening_quantity,
    )
    reception = Reception(lambda: latency_us, lambda: 1, start_us)
    yield _header(exchange, source)
    if ask_exchange_info:
        exchange.ask_exchange_info()
    if ask_depth:
        for symbol in exchange.listings:
            exchange.ask_depth(symbol)
    for action in actions:
        exchange.act(action)
        yield from reception.lines(exchange.drain())
    exchange.advance(start_us + lasting_us)
    exchange.finish()
    yield from reception.lines(exchange.drain())
    yield reception.end(exchange.now_us)


def generate(
    *,
    seed: int = 0,
    scenario: str = "calm",
    length_us: int | None = None,
    symbols: Sequence[str | Instrument] = DEFAULT_SYMBOLS,
    market: Market = "spot",
    streams: Iterable[str] | None = None,
    crossings: Sequence[Crossing] = (),
    activity: int = 25,
    levels: int = 60,
    start_us: int = START_US,
) -> Iterator[Line]:
    """Give a session made by chance, from its header to its end, a line at a time.

    The same arguments give the same lines, on every Python version and machine.
    Memory does not grow with the length of the session.

    Args:
        seed: 0 or more, below 2 ** 64.
        scenario: Name of a scenario, or several, each with its length or not:
            `calm:2m,crash:30s,calm`. Those without one share what is left.
        length_us: Of the session, microseconds; None for the lengths named, and a
            minute for each scenario that has none.
        symbols: What is traded: names of known symbols, or instruments.
        market: Of the names.
        streams: As for `play_actions`.
        crossings: Prices to be reached at given times, and not before.
        activity: How much goes on, in percent of BTCUSDT in August 2024; 100 makes
            some 150 messages a second of it.
        levels: Levels that each side of a book has, about.
        start_us: A whole minute, microseconds since the epoch.

    Raises:
        OptionError: When the first line is asked for, if an argument is impossible.
    """
    _check_numbers(seed, activity, levels)
    course = Course(scenario, length_us)
    instruments = [
        find_instrument(symbol, market) if isinstance(symbol, str) else symbol
        for symbol in symbols
    ]
    _check_symbols(crossings, instruments)
    exchange = Exchange(
        instruments,
        streams=streams,
        start_us=start_us,
        seed=seed,
        opening_levels=1,
        opening_quantity=1000,
    )
    crowds = [
        Crowd(
            exchange,
            listing,
            course,
            levels_of(listing.instrument, crossings, course.length_us),
            Chance(seed * 64 + number + 1),
            activity=activity,
            depth=levels,
        )
        for number, listing in enumerate(exchange.listings.values())
    ]
    yield _header(exchange, f"synthetic:pytest_binance_replay.market seed={seed}")
    exchange.ask_exchange_info()
    reception = _reception(Chance(seed * 64), start_us)
    end_us = start_us + course.length_us
    for _ in _trading(exchange, crowds, end_us):
        yield from reception.lines(exchange.drain())
    # Long enough for a candle that ends with the session to be closed.
    exchange.advance(end_us + _CLOSING_US)
    exchange.finish()
    yield from reception.lines(exchange.drain())
    yield reception.end(exchange.now_us)


def _reception(chance: Chance, start_us: int) -> Reception:
    def latency_us() -> int:
        late_us = chance.between(12_000, 45_000) if chance.happens(20) else 0
        return late_us + 5_000 + chance.below(1 + chance.below(4_000))

    return Reception(latency_us, lambda: 1 + chance.below(16), start_us)


def _trading(
    exchange: Exchange, crowds: Sequence[Crowd], end_us: int
) -> Iterator[None]:
    """Let the crowds trade; stop now and then for what was told to be fetched."""
    asking = [
        (exchange.now_us + 300_000 + 40_000 * number, crowd)
        for number, crowd in enumerate(crowds)
    ]
    agenda = [(crowd.next_us, number) for number, crowd in enumerate(crowds)]
    heapify(agenda)
    while agenda[0][0] < end_us:
        due_us, number = agenda[0]
        while asking and asking[0][0] <= due_us:
            at_us, crowd = asking.pop(0)
            crowd.ask_depth(at_us)
        while exchange.now_us + _STRIDE_US < due_us:
            exchange.advance(exchange.now_us + _STRIDE_US)
            yield
        crowds[number].act()
        heapreplace(agenda, (crowds[number].next_us, number))
        yield


def _check_numbers(seed: int, activity: int, levels: int) -> None:
    if not 0 <= seed < _SEEDS:
        where = f"seed={seed}"
        raise OptionError(where, "expected 0 or more, below 2 ** 64")
    if not 1 <= activity <= 10_000:
        where = f"activity={activity}"
        raise OptionError(where, "expected a percentage of 1 to 10000")
    if not 1 <= levels <= 5_000:
        where = f"levels={levels}"
        raise OptionError(where, "expected a number from 1 to 5000")


def _check_symbols(
    crossings: Iterable[Crossing], instruments: Iterable[Instrument]
) -> None:
    known = [instrument.symbol for instrument in instruments]
    for crossing in crossings:
        if crossing.symbol not in known:
            problem = f"expected a symbol of the session: {', '.join(known)}"
            where = f"crossing {crossing}"
            raise OptionError(where, problem)
