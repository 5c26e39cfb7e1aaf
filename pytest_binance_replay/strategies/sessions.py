"""Sessions of one consistent market, made of a drawn list of small actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.cassette import Frame, Header, Line, RestAnswer
from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market import (
    Action,
    Cancel,
    Exchange,
    Instrument,
    Place,
    Side,
    Take,
)
from pytest_binance_replay.session import Session
from pytest_binance_replay.strategies.sketch import (
    Number,
    check_integers,
    check_symbols,
    grid,
    instrument_of,
    parse_number,
)
from pytest_binance_replay.streams import Market, is_diff_depth, parse_stream

DEFAULT_STREAMS: dict[Market, tuple[str, ...]] = {
    "spot": ("trade", "aggTrade", "depth@100ms", "bookTicker", "kline_1m"),
    "usdm": (
        *("aggTrade", "depth@100ms", "bookTicker", "markPrice@1s", "kline_1m"),
        "forceOrder",
    ),
}
MINUTE_US = 60_000_000

_SOURCE = "synthetic:pytest_binance_replay.strategies"
_LATENCY_US = 5_000
_MOST_STEPS = 100
_OPENING_QUANTITY = 10
_LEVELS = (2, 5)
_NEAR = 5
_GAPS_US = (0, 100_000, 1_000_000, 10_000_000, MINUTE_US)
_SHORT_MS = 1_000
_SMALL_ID = 1_000
_FIRST_TRADE_ID = 1_000_000  # the day before has trades too
_LARGE_ID = 11_402_772_014_355
_SIDES: tuple[Side, Side] = ("bid", "ask")


@dataclass(frozen=True)
class Plan:
    """What every session of a strategy has in common.

    Attributes:
        instruments: What is traded.
        price_limits: Of each, the least and the greatest price, in ticks.
        streams: Their names, or features that each symbol has.
        most_steps: Of each, the largest order.
        gaps: What draws the time between two actions, microseconds.
        min_size: Least number of actions.
        max_size: Most of them; None for as many as Hypothesis likes.
    """

    instruments: tuple[Instrument, ...]
    price_limits: dict[str, tuple[int, int]]
    streams: tuple[str, ...]
    most_steps: dict[str, int]
    gaps: st.SearchStrategy[int]
    min_size: int
    max_size: int | None

    @property
    def market(self) -> Market:
        """Its market."""
        return self.instruments[0].market

    @cached_property
    def actions(self) -> st.SearchStrategy[list[Action]]:
        """What draws what happens."""
        each = [_actions_of(self, one) for one in self.instruments]
        return st.lists(st.one_of(each), min_size=self.min_size, max_size=self.max_size)


def _actions_of(plan: Plan, instrument: Instrument) -> st.SearchStrategy[Action]:
    symbol = instrument.symbol
    first, last = plan.price_limits[symbol]
    farthest = last - first
    side = st.sampled_from(_SIDES)
    steps = st.integers(1, plan.most_steps[symbol])
    distance = st.integers(1, min(_NEAR, farthest)) | st.integers(1, farthest)

    def place(drawn: tuple[int, Side, int, int]) -> Action:
        gap_us, side, distance, quantity = drawn
        return Place(
            symbol=symbol,
            after_us=gap_us,
            side=side,
            distance=distance,
            quantity=quantity,
        )

    def cancel(drawn: tuple[int, Side, int, int | None]) -> Action:
        gap_us, side, level, quantity = drawn
        return Cancel(
            symbol=symbol, after_us=gap_us, side=side, level=level, quantity=quantity
        )

    def take(drawn: tuple[int, Side, int, bool]) -> Action:
        gap_us, side, quantity, is_forced = drawn
        return Take(
            symbol=symbol,
            after_us=gap_us,
            side=side,
            quantity=quantity,
            is_forced=is_forced,
        )

    forced = st.booleans() if plan.market == "usdm" else st.just(value=False)
    return st.one_of(
        st.tuples(plan.gaps, side, distance, steps).map(place),
        st.tuples(plan.gaps, side, steps, forced).map(take),
        st.tuples(plan.gaps, side, st.integers(0, _NEAR), st.none() | steps).map(
            cancel
        ),
    )


@dataclass(frozen=True)
class Wishes:
    """The arguments of a strategy of sessions, as given."""

    symbols: tuple[str, ...] | str
    market: Market
    streams: tuple[str, ...] | str | None
    min_size: int
    max_size: int | None
    min_price: Number | None
    max_price: Number | None
    max_move: Number
    max_quantity: Number | None
    max_gap_us: int


def as_names(names: Sequence[str]) -> tuple[str, ...] | str:
    """Return names that can be a key; text, which is a mistake, stays text."""
    return names if isinstance(names, str) else tuple(names)


@lru_cache(maxsize=64)
def make_plan(wishes: Wishes) -> Plan:
    """Check the arguments of a strategy, once for all that it draws.

    Raises:
        InvalidArgument: If they leave nothing.
    """
    symbols, market, streams = wishes.symbols, wishes.market, wishes.streams
    check_symbols(symbols, market)
    check_integers("size", 0, wishes.min_size, wishes.max_size)
    check_integers("gap_us", 0, 0, wishes.max_gap_us)
    if isinstance(streams, str):
        msg = f"{streams=}: expected a sequence of stream names"
        raise InvalidArgument(msg)
    prices = wishes.min_price, wishes.max_price
    instruments, limits, most_steps = [], {}, {}
    for symbol in symbols:
        known = instrument_of(symbol, market)
        first, last = limits[symbol] = _price_limits(known, prices, wishes.max_move)
        price = min(max(known.price, first), last - 1)
        instruments.append(replace(known, price=price))
        most_steps[symbol] = _largest_order(known, wishes.max_quantity)
    plan = Plan(
        instruments=tuple(instruments),
        price_limits=limits,
        streams=DEFAULT_STREAMS[market] if streams is None else streams,
        most_steps=most_steps,
        gaps=_gaps(wishes.max_gap_us),
        min_size=wishes.min_size,
        max_size=wishes.max_size,
    )
    try:
        Exchange(plan.instruments, streams=plan.streams)
    except OptionError as error:
        raise InvalidArgument(str(error)) from error
    return plan


def _price_limits(
    instrument: Instrument,
    prices: tuple[Number | None, Number | None],
    max_move: Number,
) -> tuple[int, int]:
    """Return the least and the greatest price of a symbol, in ticks."""
    decimals = instrument.price_decimals
    first, last = grid("price", *prices, decimals, 10 * instrument.price)
    start = min(max(instrument.price, first), last)
    move = max(1, int(start * parse_number("max_move", max_move)))
    first, last = max(first, start - move, 1), min(last, start + move)
    if first == last:
        msg = (
            f"min_price={prices[0]!r} and max_price={prices[1]!r} leave one price; "
            "a market has two at least, a bid and an ask"
        )
        raise InvalidArgument(msg)
    return first, last


def _largest_order(instrument: Instrument, max_quantity: Number | None) -> int:
    decimals = instrument.quantity_decimals
    return grid("quantity", None, max_quantity, decimals, _MOST_STEPS)[1]


def _gaps(most_us: int) -> st.SearchStrategy[int]:
    """Return what draws times between actions; round ones are the simplest."""
    round_ones = sorted({*(gap for gap in _GAPS_US if gap <= most_us), most_us})
    short = st.integers(0, min(_SHORT_MS, most_us // 1000))
    return st.sampled_from(round_ones) | short.map(lambda ms: ms * 1000)


@dataclass(frozen=True)
class Script:
    """A session before it is played.

    Attributes:
        plan: What it has in common with others.
        first_id: Update id before its first change.
        opening_levels: Levels that each side of a book has at the start.
        actions: What happens.
    """

    plan: Plan
    first_id: int
    opening_levels: int
    actions: Sequence[Action]

    def play(self) -> list[Line]:
        """Return the lines of the cassette that it makes, without the end."""
        exchange = Exchange(
            [self._opening(one) for one in self.plan.instruments],
            streams=self.plan.streams,
            opening_levels=self._levels,
            opening_quantity=_OPENING_QUANTITY,
        )
        stage = _Stage(exchange, self.plan.price_limits)
        for action in (*self._openers(exchange), *self.actions):
            stage.act(action)
        exchange.finish()
        header = Header(
            market=exchange.market,
            source=_SOURCE,
            recorded_at="2026-11-20T10:00:00Z",
            streams=exchange.streams,
            recorder="pytest-binance-replay",
        )
        return [header, *_received(exchange)]

    @property
    def _levels(self) -> int:
        limits = self.plan.price_limits
        room = (
            min(
                one.price - limits[one.symbol][0] + 1, limits[one.symbol][1] - one.price
            )
            for one in self.plan.instruments
        )
        return min(self.opening_levels, *room)

    def _opening(self, instrument: Instrument) -> Instrument:
        return replace(
            instrument,
            first_update_id=self.first_id,
            first_trade_id=_FIRST_TRADE_ID + self.first_id,
            first_agg_trade_id=self.first_id,
        )

    def _openers(self, exchange: Exchange) -> Iterator[Action]:
        """Give a small order for each book that is told of, and ask for its snapshot.

        A snapshot is given when the book changes.
        """
        for stream in exchange.streams:
            name = parse_stream(stream, exchange.market)
            if is_diff_depth(stream) and name is not None and name.symbol:
                symbol = name.symbol.upper()
                exchange.ask_depth(symbol)
                yield Place(symbol=symbol, side="bid")


class _Stage:
    """An exchange whose prices stay within limits."""

    def __init__(self, exchange: Exchange, limits: dict[str, tuple[int, int]]) -> None:
        self._exchange = exchange
        self._limits = limits

    def act(self, action: Action) -> None:
        """Do what an action says, a new order no farther away than it may be."""
        exchange = self._exchange
        exchange.advance(exchange.now_us + action.after_us)
        if isinstance(action, Place):
            room = self._room(action.symbol, action.side)
            action = replace(action, distance=min(action.distance, room))
        exchange.act(replace(action, after_us=0))

    def _room(self, symbol: str, side: Side) -> int:
        first, last = self._limits[symbol]
        nearest = self._exchange.listings[symbol].book.nearest(side)
        return 1 + (nearest - first if side == "bid" else last - nearest)


def _received(exchange: Exchange) -> Iterator[Frame | RestAnswer]:
    latest_us = 0
    for moment_us, name, payload in exchange.drain():
        latest_us = max(latest_us + 1, moment_us + _LATENCY_US)
        if name.startswith("/"):
            yield RestAnswer(latest_us, name, 200, payload)
        else:
            yield Frame(latest_us, name, payload)


def draw_script(draw: st.DrawFn, plan: Plan) -> Script:
    """Draw what happens in a session."""
    return Script(
        plan=plan,
        first_id=draw(st.sampled_from((_SMALL_ID, _LARGE_ID))),
        opening_levels=draw(st.integers(*_LEVELS)),
        actions=draw(plan.actions),
    )


@st.composite
def sessions(
    draw: st.DrawFn,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    streams: Sequence[str] | None = None,
    min_size: int = 0,
    max_size: int | None = None,
    min_price: Number | None = None,
    max_price: Number | None = None,
    max_move: Number = "0.01",
    max_quantity: Number | None = None,
    max_gap_us: int = MINUTE_US,
) -> Session:
    """Sessions of one consistent market: all streams tell of the same books and trades.

    Trades happen inside the book, depth diffs chain and make the book, book tickers are
    its top, candles add up and close once. Each symbol whose diff depth is there has a
    depth snapshot over REST, and an order of one step to begin with.

    What is drawn is a list of actions: orders arrive, are cancelled, or are met by a
    taker. A session shrinks to few of them, close together, with one step each, at the
    first symbol, near its usual price. It prints as code that makes it again; play it
    with `binance_replay.load(session)`.

    Args:
        draw: Given by Hypothesis; leave it out.
        symbols: Upper case, all of them in every session. Those that the generated
            market knows have their real tick, step and price, others 0.01, 0.001 and
            100.
        market: `spot` or `usdm`.
        streams: Full names, or features that each symbol has: `trade`, `depth@100ms`,
            `kline_1m`; None for those that bots use most. Tickers look back on a day,
            which takes longer to make than the rest together.
        min_size: Least number of actions.
        max_size: Most of them; None for no limit. An action makes a frame on each
            stream that tells of it, so a session has some five times as many.
        min_price: Of all orders and trades, in quote units; None for one tick.
        max_price: Of all orders and trades; None for ten times the usual price.
        max_move: How far any price is from the one at the start, as a fraction of it;
            an order of the smallest move, one tick, is always possible.
        max_quantity: Of one order, in base units; None for a hundred steps.
        max_gap_us: Most microseconds between two actions. A minute, the default, lets
            candles of a minute close.

    Raises:
        InvalidArgument: When drawn, if the bounds leave nothing.
    """
    plan = make_plan(
        Wishes(
            symbols=as_names(symbols),
            market=market,
            streams=None if streams is None else as_names(streams),
            min_size=min_size,
            max_size=max_size,
            min_price=min_price,
            max_price=max_price,
            max_move=max_move,
            max_quantity=max_quantity,
            max_gap_us=max_gap_us,
        )
    )
    return Session(draw_script(draw, plan).play())
