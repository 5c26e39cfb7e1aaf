"""The market of the bundled demo: one minute of spot trading, made from a seed.

    python -m tests.demo_market

writes ``recordings/spot.jsonl`` anew, byte for byte the same on every machine and
Python version: the arithmetic is all in integers, prices and quantities in units of
1e-8 as the exchange prints them, and chance comes from `random.Random.getrandbits`
alone. Everything a frame tells is read off one order book per symbol, which trades,
quotes and cancellations change, so that streams and REST answers agree.

The story: a calm start, a fall of BTCUSDT by about 1.5 % between second 20 and 27
that draws ETHUSDT and BNBUSDT along, a recovery, and a quiet end.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_binance_replay.cassette import (
    End,
    Frame,
    Header,
    Line,
    RestAnswer,
    format_line,
)

CASSETTE = Path(__file__).parents[1] / "recordings" / "spot.jsonl"

SEED = 9
START_US = 1_795_168_800_000_000  # 2026-11-20T10:00:00Z
MINUTE_US = 60_000_000
DAY_MS = 86_400_000
UNIT = 10**8

Side = Literal["b", "a"]
# Which way prices get worse.
SIDES: tuple[tuple[Side, int], ...] = (("b", -1), ("a", 1))


class Chance:
    """Integers by chance, the same ones on every version of Python."""

    def __init__(self, seed: int) -> None:
        self._bits = random.Random(seed).getrandbits

    def below(self, bound: int) -> int:
        """Return an integer from 0 up to, but not including, the bound."""
        return self._bits(48) * bound >> 48

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def small(self, most: int) -> int:
        """Return an integer from 1 to the most, small ones more often."""
        return 1 + self.below(1 + self.below(most))

    def percent(self, share: int) -> bool:
        return self.below(100) < share


class Instrument(NamedTuple):
    """A symbol, its formats and its part in the story.

    Attributes:
        base: Base asset.
        tick: Smallest step of the price, in units of 1e-8 as all amounts.
        lot: Smallest step of the quantity.
        price: Price at the start.
        lots: Lots in a large order.
        spacing: Ticks between levels, at most.
        spread: Ticks that makers leave between the best level and the fair price.
        pause_us: Pause between two bursts of activity in a calm market, at most.
        story: Where the price is to be: second, and millionths above the start.
        first_update_id: Update id of the book before the first change.
        first_trade_id: Id of the first trade.
        day_trades: Trades of the 24 hours before.
        day_volume: Their base volume.
        day_move: Millionths by which the price rose in those hours.
    """

    base: str
    tick: int
    lot: int
    price: int
    lots: int
    spacing: int
    spread: int
    pause_us: int
    story: tuple[tuple[int, int], ...]
    first_update_id: int
    first_trade_id: int
    day_trades: int
    day_volume: int
    day_move: int

    @property
    def least_lots(self) -> int:
        """Lots that no order goes below: worth 5 USDT throughout the story."""
        return 6 * UNIT * UNIT // (self.price * self.lot)

    @property
    def symbol(self) -> str:
        return f"{self.base}USDT"

    def stream(self, kind: str) -> str:
        return f"{self.symbol.lower()}@{kind}"


INSTRUMENTS = (
    Instrument(
        base="BTC",
        tick=UNIT // 100,
        lot=UNIT // 100_000,
        price=97_250 * UNIT,
        lots=60_000,
        spacing=4_400,
        spread=420,
        pause_us=3_200_000,
        story=(
            (0, 0),
            (8, 250),
            (14, -200),
            (20, 100),
            (23, -6_000),
            (27, -15_000),
            (30, -14_000),
            (36, -7_500),
            (45, -2_500),
            (52, -3_400),
            (61, -2_600),
        ),
        first_update_id=91_340_772_014,
        first_trade_id=6_871_203_355,
        day_trades=4_118_207,
        day_volume=21_904_31877000,
        day_move=11_400,
    ),
    Instrument(
        base="ETH",
        tick=UNIT // 100,
        lot=UNIT // 10_000,
        price=3_180 * UNIT,
        lots=150_000,
        spacing=150,
        spread=12,
        pause_us=6_000_000,
        story=(
            (0, 0),
            (10, -300),
            (21, 200),
            (28, -8_000),
            (32, -7_200),
            (44, -1_500),
            (61, -1_900),
        ),
        first_update_id=68_220_915_440,
        first_trade_id=3_902_664_180,
        day_trades=2_874_551,
        day_volume=318_550_71240000,
        day_move=-6_200,
    ),
    Instrument(
        base="BNB",
        tick=UNIT // 100,
        lot=UNIT // 1_000,
        price=912 * UNIT,
        lots=40_000,
        spacing=48,
        spread=5,
        pause_us=8_400_000,
        story=((0, 0), (22, 300), (29, -3_600), (40, -1_000), (61, -600)),
        first_update_id=21_775_013_806,
        first_trade_id=1_240_557_902,
        day_trades=611_930,
        day_volume=142_876_30500000,
        day_move=3_900,
    ),
)
STREAMS = tuple(
    instrument.stream(kind)
    for instrument in INSTRUMENTS
    for kind in ("trade", "depth@100ms", "ticker", "bookTicker", "kline_1m")
)


def dec(amount: int) -> str:
    """Write an amount of 1e-8 units with eight decimals."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // UNIT}.{abs(amount) % UNIT:08d}"


def divided(dividend: int, divisor: int) -> int:
    """Divide, rounding half away from zero."""
    quotient = (2 * abs(dividend) + divisor) // (2 * divisor)
    return -quotient if dividend < 0 else quotient


def encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Book:
    """One order book; every change of a level takes the next update id."""

    def __init__(self, update_id: int) -> None:
        self.update_id = update_id
        self.told_id = update_id
        self.levels: dict[Side, dict[int, int]] = {"b": {}, "a": {}}
        self._changed: dict[Side, set[int]] = {"b": set(), "a": set()}

    def change(self, side: Side, price: int, quantity: int) -> None:
        self.update_id += 1
        self._changed[side].add(price)
        if quantity:
            self.levels[side][price] = quantity
        else:
            del self.levels[side][price]

    def prices(self, side: Side) -> list[int]:
        """Return the prices of one side, best first."""
        return sorted(self.levels[side], reverse=side == "b")

    def best(self, side: Side) -> int:
        return max(self.levels["b"]) if side == "b" else min(self.levels["a"])

    def top(self) -> dict[str, str]:
        bid, ask = self.best("b"), self.best("a")
        return {
            "b": dec(bid),
            "B": dec(self.levels["b"][bid]),
            "a": dec(ask),
            "A": dec(self.levels["a"][ask]),
        }

    def snapshot(self) -> dict[str, Any]:
        bids, asks = (
            [[dec(price), dec(self.levels[side][price])] for price in self.prices(side)]
            for side, _ in SIDES
        )
        return {"lastUpdateId": self.update_id, "bids": bids, "asks": asks}

    def take_changes(self) -> dict[str, Any] | None:
        """Return what changed since the last call, None if nothing did."""
        if self.told_id == self.update_id:
            return None
        ids = {"U": self.told_id + 1, "u": self.update_id}
        self.told_id = self.update_id
        return ids | {"b": self._take("b"), "a": self._take("a")}

    def _take(self, side: Side) -> list[list[str]]:
        prices = sorted(self._changed[side], reverse=side == "b")
        self._changed[side].clear()
        return [[dec(price), dec(self.levels[side].get(price, 0))] for price in prices]


@dataclass(slots=True)
class Totals:
    """Sums over trades: of a candle, or of a day."""

    first_id: int
    last_id: int
    open: int
    high: int
    low: int
    close: int
    base: int = 0
    quote: int = 0
    bought_base: int = 0
    bought_quote: int = 0

    @classmethod
    def starting(cls, trade_id: int, price: int) -> Totals:
        return cls(trade_id, trade_id - 1, price, price, price, price)

    @property
    def count(self) -> int:
        return self.last_id - self.first_id + 1

    def add(self, price: int, quantity: int, *, taker_buys: bool) -> None:
        quote = price * quantity // UNIT
        self.last_id += 1
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.base += quantity
        self.quote += quote
        if taker_buys:
            self.bought_base += quantity
            self.bought_quote += quote


class Day:
    """The 24 hours up to now, which trades of a day ago leave one by one."""

    def __init__(self, instrument: Instrument, chance: Chance) -> None:
        self._chance = chance
        self._tick, self._lot = instrument.tick, instrument.lot
        self._step = instrument.spacing
        first = instrument.price - instrument.price * instrument.day_move // 10**6
        first -= first % self._tick
        self.before = first
        self.last_quantity = instrument.lot * 25
        self.totals = Totals.starting(instrument.first_trade_id, first)
        self.totals.first_id -= instrument.day_trades
        self.totals.close = instrument.price
        self.totals.low = min(first, instrument.price) * 979 // 980
        self.totals.low -= self.totals.low % self._tick
        self.totals.high = max(first, instrument.price) * 1007 // 1000
        self.totals.high -= self.totals.high % self._tick
        self.totals.base = instrument.day_volume
        self.totals.quote = first * instrument.day_volume // UNIT
        self._leaving_us = START_US + chance.below(2_000_000)

    def forget(self, moment_us: int) -> None:
        """Let go of the trades that are older than a day."""
        totals = self.totals
        while self._leaving_us < moment_us:
            quantity = self._lot * self._chance.small(400)
            totals.base -= quantity
            totals.quote -= totals.open * quantity // UNIT
            totals.first_id += 1
            self.before = totals.open
            step = self._chance.between(-self._step, self._step) // 3
            totals.open += step * self._tick
            self._leaving_us += self._chance.small(4_000_000)


class Pending(NamedTuple):
    """A line that waits for its receive time.

    Attributes:
        moment_us: When the exchange sends it.
        name: Its stream, or the REST request that it answers.
        data: What it says, decoded.
    """

    moment_us: int
    name: str
    data: dict[str, Any]


class Market:
    """One symbol: its book, its trades, and the lines that tell of them."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._instrument = instrument
        self._chance = Chance(seed)
        self._book = Book(instrument.first_update_id)
        self._day = Day(instrument, self._chance)
        self._candle: Totals | None = None
        self._noise = 0
        self._told_top: dict[str, str] = {}
        self._told_ticker: dict[str, Any] = {}
        self._told_candle: dict[str, Any] = {}
        self._lines: list[Pending] = []
        self._open_book()

    # The minute

    def lines(self) -> list[Pending]:
        """Return what the minute brings, in order of its moments."""
        for moment_us, _, act in sorted(self._agenda(), key=lambda entry: entry[:2]):
            act(moment_us)
        return self._lines

    def _agenda(self) -> Iterator[tuple[int, int, Callable[[int], None]]]:
        chance = self._chance
        end_us = START_US + MINUTE_US
        yield START_US + chance.between(350_000, 550_000), 1, self._tell_snapshot
        grid_us = START_US + chance.between(4_000, 9_000)
        for number in range(1, 601):
            yield grid_us + number * 100_000 + chance.below(1_800), 2, self._tell_depth
        ticker_us = START_US + chance.between(100_000, 900_000)
        for number in range(60):
            wobble_us = chance.below(4_000)
            yield ticker_us + number * 1_000_000 + wobble_us, 3, self._tell_ticker
        candle_us = START_US + chance.between(1_000_000, 1_900_000)
        for number in range(29):
            wobble_us = chance.below(40_000)
            yield candle_us + number * 2_000_000 + wobble_us, 4, self._tell_candle
        yield end_us + chance.between(24_000, 39_000), 4, self._close_candle
        for moment_us in self._moments():
            yield moment_us, 0, self._trade_and_quote

    def _moments(self) -> Iterator[int]:
        """Give the moments of activity: bursts, then pauses, shorter in the fall."""
        chance = self._chance
        moment_us = START_US + chance.between(15_000, 60_000)
        while moment_us < START_US + MINUTE_US - 3_000:
            yield moment_us
            if chance.percent(48):
                moment_us += chance.between(400, 9_000)
            else:
                second = (moment_us - START_US) // 1_000_000
                haste = 3 if 20 <= second < 29 else 1
                moment_us += chance.small(self._instrument.pause_us) // haste + 9_000

    def _fair(self, moment_us: int) -> int:
        """Return the price of the story at a moment, with some noise."""
        passed_us = moment_us - START_US
        (start, low), (end, high) = next(
            (here, there)
            for here, there in pairwise(self._instrument.story)
            if passed_us < there[0] * 1_000_000
        )
        part_us = passed_us - start * 1_000_000
        millionths = low + (high - low) * part_us // ((end - start) * 1_000_000)
        self._noise += self._chance.between(-9, 9) - self._noise // 8
        return self._on_tick(
            self._instrument.price * (10**6 + millionths + self._noise) // 10**6
        )

    # What happens in the book

    def _on_tick(self, price: int) -> int:
        return price - price % self._instrument.tick

    def _quantity(self) -> int:
        most = self._chance.small(self._instrument.lots)
        lots = self._instrument.least_lots + self._chance.small(most)
        return self._instrument.lot * lots

    def _step(self) -> int:
        return self._instrument.tick * self._chance.small(self._instrument.spacing)

    def _open_book(self) -> None:
        middle = self._on_tick(self._instrument.price)
        for side, direction in SIDES:
            price = middle
            for _ in range(24):
                price += direction * self._step()
                self._book.levels[side][price] = self._quantity()

    def _trade_and_quote(self, moment_us: int) -> None:
        fair = self._fair(moment_us)
        fills: list[tuple[int, int, bool]] = []
        if self._book.best("b") > fair:
            fills = self._sweep("b", fair)
        elif self._book.best("a") < fair:
            fills = self._sweep("a", fair)
        elif self._chance.percent(32):
            fills = self._take("b" if self._chance.percent(50) else "a")
        else:
            self._requote()
        self._follow(fair)
        for price, quantity, taker_buys in fills:
            self._tell_trade(moment_us, price, quantity, taker_buys=taker_buys)
        self._tell_top(moment_us)

    def _sweep(self, side: Side, fair: int) -> list[tuple[int, int, bool]]:
        """Sell, or buy, through every level on the wrong side of the fair price.

        One taker hits the first levels; the makers of the others step back.
        """
        fills = []
        for number, price in enumerate(self._book.prices(side)):
            if (price <= fair) if side == "b" else (price >= fair):
                break
            if number < 2:
                fills.append((price, self._book.levels[side][price], side == "a"))
            self._book.change(side, price, 0)
        return fills

    def _take(self, side: Side) -> list[tuple[int, int, bool]]:
        """Let a small taker hit the best level, sometimes all of it."""
        price = self._book.best(side)
        resting = self._book.levels[side][price]
        lots = self._chance.small(resting // self._instrument.lot)
        lots = max(lots, self._instrument.least_lots)
        quantity = min(resting, lots * self._instrument.lot)
        self._book.change(side, price, resting - quantity)
        return [(price, quantity, side == "a")]

    def _requote(self) -> None:
        """Let a maker change, add or cancel an order, mostly near the top."""
        side: Side = "b" if self._chance.percent(50) else "a"
        prices = self._book.prices(side)
        price = prices[self._chance.small(len(prices)) - 1]
        kind = self._chance.below(10)
        if kind < 6:
            self._book.change(side, price, self._quantity())
        elif kind < 8:
            self._book.change(side, price, 0)
        else:
            self._place(side, price + dict(SIDES)[side] * self._step())

    def _place(self, side: Side, price: int) -> None:
        resting = self._book.levels[side].get(price, 0)
        self._book.change(side, price, resting + self._quantity())

    def _follow(self, fair: int) -> None:
        """Let makers close the gap to the fair price, and keep the book's depth."""
        for side, direction in SIDES:
            near = fair + direction * self._instrument.tick * self._chance.small(
                self._instrument.spread
            )
            levels = self._book.levels[side]
            far = self._instrument.spread * self._instrument.tick
            if not levels or abs(self._book.best(side) - fair) > far:
                self._place(side, near)
            while len(levels) < 20:
                self._place(
                    side, self._book.prices(side)[-1] + direction * self._step()
                )
            if len(levels) > 30:
                self._book.change(side, self._book.prices(side)[-1], 0)

    # What is told of it

    def _tell(self, moment_us: int, kind: str, data: dict[str, Any]) -> None:
        stream = self._instrument.stream(kind)
        self._lines.append(Pending(moment_us, stream, data))

    def _head(self, event: str, moment_us: int) -> dict[str, Any]:
        return {"e": event, "E": moment_us // 1000, "s": self._instrument.symbol}

    def _tell_trade(
        self, moment_us: int, price: int, quantity: int, *, taker_buys: bool
    ) -> None:
        trade_id = self._day.totals.last_id + 1
        if self._candle is None:
            self._candle = Totals.starting(trade_id, price)
        for totals in (self._candle, self._day.totals):
            totals.add(price, quantity, taker_buys=taker_buys)
        self._day.last_quantity = quantity
        data = self._head("trade", moment_us + 300) | {
            "t": trade_id,
            "p": dec(price),
            "q": dec(quantity),
            "T": moment_us // 1000,
            "m": not taker_buys,
            "M": True,
        }
        self._tell(moment_us, "trade", data)

    def _tell_top(self, moment_us: int) -> None:
        top = self._book.top()
        if top != self._told_top:
            self._told_top = top
            ids = {"u": self._book.update_id, "s": self._instrument.symbol}
            self._tell(moment_us, "bookTicker", ids | top)

    def _tell_depth(self, moment_us: int) -> None:
        if (changes := self._book.take_changes()) is not None:
            data = self._head("depthUpdate", moment_us) | changes
            self._tell(moment_us, "depth@100ms", data)

    def _tell_ticker(self, moment_us: int) -> None:
        last = {"c": dec(self._day.totals.close), "L": self._day.totals.last_id}
        if (news := last | self._book.top()) == self._told_ticker:
            return
        self._told_ticker = news
        self._day.forget(moment_us)
        day, close_ms = self._day.totals, moment_us // 1000
        change = day.close - day.open
        thousandths = divided(change * 100_000, day.open)
        sign = "-" if thousandths < 0 else ""
        told_us = moment_us + self._chance.below(4_000)
        data = self._head("24hrTicker", told_us) | {
            "p": dec(change),
            "P": f"{sign}{abs(thousandths) // 1000}.{abs(thousandths) % 1000:03d}",
            "w": dec(divided(day.quote * UNIT, day.base)),
            "x": dec(self._day.before),
            "c": dec(day.close),
            "Q": dec(self._day.last_quantity),
            **self._book.top(),
            "o": dec(day.open),
            "h": dec(day.high),
            "l": dec(day.low),
            "v": dec(day.base),
            "q": dec(day.quote),
            "O": close_ms - DAY_MS,
            "C": close_ms,
            "F": day.first_id,
            "L": day.last_id,
            "n": day.count,
        }
        self._tell(moment_us, "ticker", data)

    def _tell_candle(self, moment_us: int, *, closed: bool = False) -> None:
        candle = self._candle
        if candle is None:
            return
        data = {
            "t": START_US // 1000,
            "T": (START_US + MINUTE_US) // 1000 - 1,
            "s": self._instrument.symbol,
            "i": "1m",
            "f": candle.first_id,
            "L": candle.last_id,
            "o": dec(candle.open),
            "c": dec(candle.close),
            "h": dec(candle.high),
            "l": dec(candle.low),
            "v": dec(candle.base),
            "n": candle.count,
            "x": closed,
            "q": dec(candle.quote),
            "V": dec(candle.bought_base),
            "Q": dec(candle.bought_quote),
            "B": "0",
        }
        if data != self._told_candle:
            self._told_candle = data
            self._tell(
                moment_us, "kline_1m", self._head("kline", moment_us) | {"k": data}
            )

    def _close_candle(self, moment_us: int) -> None:
        self._tell_candle(moment_us, closed=True)

    def _tell_snapshot(self, moment_us: int) -> None:
        request = f"/api/v3/depth?symbol={self._instrument.symbol}&limit=1000"
        self._lines.append(Pending(moment_us, request, self._book.snapshot()))


def exchange_info(moment_us: int) -> dict[str, Any]:
    """Return what the exchange says of its rules, for the three symbols alone."""
    return {
        "timezone": "UTC",
        "serverTime": moment_us // 1000,
        "rateLimits": [
            rate_limit("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
            rate_limit("ORDERS", "SECOND", 10, 100),
            rate_limit("ORDERS", "DAY", 1, 200_000),
            rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [symbol_rules(instrument) for instrument in INSTRUMENTS],
    }


def rate_limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
    }


def symbol_rules(instrument: Instrument) -> dict[str, Any]:
    allowed = (
        "icebergAllowed",
        "ocoAllowed",
        "otoAllowed",
        "opoAllowed",
        "quoteOrderQtyMarketAllowed",
        "allowTrailingStop",
        "cancelReplaceAllowed",
        "amendAllowed",
        "pegInstructionsAllowed",
        "isSpotTradingAllowed",
        "isMarginTradingAllowed",
    )
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT"],
        **dict.fromkeys(allowed, True),
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": dec(instrument.tick),
                "maxPrice": dec(1_000_000 * UNIT),
                "tickSize": dec(instrument.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": dec(instrument.lot),
                "maxQty": dec(9_000 * UNIT),
                "stepSize": dec(instrument.lot),
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": dec(5 * UNIT),
                "applyMinToMarket": True,
                "maxNotional": dec(9_000_000 * UNIT),
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": [
            "EXPIRE_TAKER",
            "EXPIRE_MAKER",
            "EXPIRE_BOTH",
        ],
    }


def received(lines: Iterable[Pending], chance: Chance) -> Iterator[Frame | RestAnswer]:
    """Give each line its receive time: some milliseconds late, now and then more.

    All come over one connection, so what waits behind a late one arrives with it.
    """
    latest_us = START_US
    for line in lines:
        latency_us = 5_000 + chance.small(4_000)
        if chance.percent(2):
            latency_us += chance.between(12_000, 45_000)
        gap_us = chance.between(2, 60)
        latest_us = max(latest_us + gap_us, line.moment_us + latency_us)
        payload = encoded(line.data)
        if line.name.startswith("/"):
            yield RestAnswer(latest_us, line.name, 200, payload)
        else:
            yield Frame(latest_us, line.name, payload)


def generated(seed: int = SEED) -> Iterator[Line]:
    """Give the lines of the cassette, from the header to the end."""
    yield Header(
        market="spot",
        source=f"synthetic:tests/demo_market.py seed={seed}",
        recorded_at="2026-11-20T10:00:00Z",
        streams=STREAMS,
        recorder="pytest-binance-replay 0.1.0",
    )
    info_us = START_US + 3_000
    lines = [Pending(info_us, "/api/v3/exchangeInfo", exchange_info(info_us))]
    for number, instrument in enumerate(INSTRUMENTS):
        lines += Market(instrument, seed * 10 + number).lines()
    lines.sort(key=lambda line: line.moment_us)
    frames, latest_us = 0, START_US
    for line in received(lines, Chance(seed)):
        yield line
        frames += isinstance(line, Frame)
        latest_us = line.receive_time_us
    yield End(latest_us - latest_us % 10_000 + 10_000, frames)


def cassette(seed: int = SEED) -> bytes:
    """Return the whole cassette."""
    return b"".join(map(format_line, generated(seed)))


if __name__ == "__main__":
    text = cassette()
    CASSETTE.write_bytes(text)
    sys.stdout.write(f"{CASSETTE}: {len(text)} bytes\n")
