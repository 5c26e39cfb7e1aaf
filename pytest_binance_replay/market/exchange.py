"""The generated exchange: books, and all the streams that tell of them.

It knows no chance: what happens to the books is done to it from outside, by a list of
actions or by a crowd, and everything it says follows from that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market.actions import Action
from pytest_binance_replay.market.feeds import DepthFeed
from pytest_binance_replay.market.instruments import Instrument
from pytest_binance_replay.market.lineup import Lineup, name_streams
from pytest_binance_replay.market.listing import Floor, Listing, Told
from pytest_binance_replay.market.sums import MINUTE_US
from pytest_binance_replay.protocols.exchange_info import frame_of_answer
from pytest_binance_replay.protocols.symbol_info import Grain, describe_symbol

START_US = 1_795_168_800_000_000
"""When a generated session starts unless told otherwise: 2026-11-20 10:00 UTC."""

_ID_US = 18
"""On the futures an update id passes in so many microseconds, over all symbols."""


class Exchange:
    """Books of several symbols of one market, and their streams.

    Args:
        instruments: At least one, all of one market.
        streams: As for `name_streams`.
        start_us: A whole minute, microseconds since the epoch.
        seed: Of the day before the start, which tickers and long candles look back
            on.
        opening_levels: Levels that each side of a book has at the start, a tick
            apart.
        opening_quantity: Steps in each of them.

    Attributes:
        market: Its market.
        streams: Names of its streams.
        listings: Its symbols.

    Raises:
        OptionError: If one of the arguments is impossible.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        streams: Iterable[str] | None = None,
        start_us: int = START_US,
        seed: int = 0,
        opening_levels: int = 5,
        opening_quantity: int = 10,
    ) -> None:
        _check(instruments, start_us, opening_levels, opening_quantity)
        self.market = instruments[0].market
        symbols = [instrument.symbol for instrument in instruments]
        self.streams = name_streams(streams, symbols, self.market)
        self._floor = Floor(start_us)
        self._start_us = start_us
        self._shared_id = max(one.first_update_id for one in instruments)
        self._first_shared_id = self._shared_id
        listings = [
            Listing(instrument, self._floor, self._ids(), seed + number)
            for number, instrument in enumerate(instruments)
        ]
        for listing in listings:
            listing.open(opening_levels, opening_quantity)
        self.listings: Mapping[str, Listing] = dict(zip(symbols, listings, strict=True))
        lineup = Lineup(listings, self.market, start_us)
        feeds = [feed for stream in self.streams for feed in lineup.add(stream)]
        ranks = count()
        self._agenda = [(each.feed.next_us, next(ranks), each) for each in feeds]
        heapify(self._agenda)
        self._diffs = [each.feed for each in feeds if isinstance(each.feed, DepthFeed)]

    def _ids(self) -> Callable[[int], int]:
        if self.market == "spot":
            return lambda previous: previous + 1
        return self._next_shared_id

    def _next_shared_id(self, previous: int) -> int:
        del previous  # an id of this symbol, while all of them share the ids
        passed_us = self._floor.now_us - self._start_us
        by_now = self._first_shared_id + passed_us // _ID_US
        self._shared_id = max(self._shared_id + 1, by_now)
        return self._shared_id

    @property
    def now_us(self) -> int:
        """What time it is, microseconds since the epoch."""
        return self._floor.now_us

    def advance(self, to_us: int) -> None:
        """Let time pass: what is due until then is said.

        Args:
            to_us: Microseconds since the epoch; without effect if it is past.
        """
        agenda, floor = self._agenda, self._floor
        while agenda and agenda[0][0] <= to_us:
            due_us, rank, timed = heappop(agenda)
            floor.now_us = max(floor.now_us, due_us)
            for payload in timed.feed.due(due_us):
                floor.tell(timed.stream, payload)
            heappush(agenda, (timed.feed.next_us, rank, timed))
        floor.now_us = max(floor.now_us, to_us)

    def act(self, action: Action) -> None:
        """Let time pass as the action says, and do it.

        Raises:
            OptionError: If its symbol is none of the exchange's.
        """
        listing = self.listings.get(action.symbol)
        if listing is None:
            where = f"action of {action.symbol!r}"
            raise OptionError(where, f"expected one of {', '.join(self.listings)}")
        self.advance(self.now_us + action.after_us)
        listing.act(action)

    def finish(self) -> None:
        """Let time pass until every change of a book has been told."""
        pending = [feed.next_us for feed in self._diffs if feed.is_pending]
        if pending:
            self.advance(max(pending))

    def ask_depth(self, symbol: str, limit: int = 1000) -> None:
        """Ask for a depth snapshot, which is given when the book changes next."""
        self.listings[symbol].ask_depth(limit)

    def ask_exchange_info(self) -> None:
        """Ask for the rules of trading, which are given at once."""
        now_us = self.now_us
        path = "/api/v3/exchangeInfo"
        if self.market == "usdm":
            path = "/fapi/v1/exchangeInfo"
        symbols = [
            describe_symbol(
                one.symbol,
                one.market,
                Grain(one.price_places, one.price_decimals),
                Grain(one.quantity_places, one.quantity_decimals),
                now_us=now_us,
            )
            for one in (listing.instrument for listing in self.listings.values())
        ]
        body = frame_of_answer(path, symbols, now_us // 1000)
        self._floor.tell(path, json.dumps(body, separators=(",", ":")))

    def drain(self) -> list[Told]:
        """Return what was said since the last call, in order."""
        told, self._floor.told = self._floor.told, []
        return told


def _check(
    instruments: Sequence[Instrument], start_us: int, levels: int, quantity: int
) -> None:
    symbols = [instrument.symbol for instrument in instruments]
    if not symbols or len(set(symbols)) < len(symbols):
        where = f"symbols={symbols!r}"
        raise OptionError(where, "expected one or more, each once")
    if len({instrument.market for instrument in instruments}) > 1:
        where = f"symbols={symbols!r}"
        raise OptionError(where, "expected symbols of one market")
    if start_us < 0 or start_us % MINUTE_US:
        where = f"start_us={start_us}"
        raise OptionError(where, "expected a whole minute")
    if levels < 1 or quantity < 1:
        where = f"opening_levels={levels}, opening_quantity={quantity}"
        raise OptionError(where, "expected numbers above 0")
