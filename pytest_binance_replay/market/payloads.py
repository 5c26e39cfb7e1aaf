"""What the exchange says, as it says it: key order, number formats, blanks.

One class per market; each method gives one payload from numbers in ticks, steps and
microseconds.

Source:
    Binance Spot API docs, "WebSocket Streams", and Binance USDⓈ-M Futures docs,
    "Websocket Market Streams", as of November 2026; order of levels and blanks in
    futures candles from recordings.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_binance_replay.market.instruments import Instrument
from pytest_binance_replay.market.spelling import Spelling, divided, exact, percent
from pytest_binance_replay.market.sums import Sum, Trade

Levels = list[tuple[int, int]]
"""Prices in ticks with quantities in steps, the best price first."""

Top = tuple[int, int, int, int]


class Ids(NamedTuple):
    """Update ids of a depth event: first, last, last of the event before."""

    first: int
    last: int
    previous: int


class Period(NamedTuple):
    """A candle's interval, as named, and its first and last moment, microseconds."""

    name: str
    start_us: int
    end_us: int


class Mark(NamedTuple):
    """Prices of a perpetual contract in units of 1e-8, and when funding is next."""

    mark: int
    average: int
    settle: int
    index_price: int
    funding: int
    funding_us: int


class Liquidation(NamedTuple):
    """A liquidation order as it was filled: ticks, steps, microseconds."""

    sells: bool
    quantity: int
    price: int
    quote: int
    last_quantity: int
    time_us: int


def _flag(value: bool) -> str:  # noqa: FBT001 - a word of JSON
    return "true" if value else "false"


class SpotPayloads:
    """The payloads of one symbol on spot."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.symbol
        self.spell = Spelling(instrument)

    def trade(self, now_us: int, trade: Trade) -> str:
        """One fill."""
        number, price, quantity, taker_buys = trade
        return (
            f'{{"e":"trade","E":{(now_us + 600) // 1000},"s":"{self.symbol}",'
            f'"t":{number},"p":"{self.spell.price(price)}",'
            f'"q":"{self.spell.quantity(quantity)}","T":{now_us // 1000},'
            f'"m":{_flag(not taker_buys)},"M":true}}'
        )

    def agg_trade(self, now_us: int, number: int, total: Sum) -> str:
        """The fills of one taker at one price."""
        return (
            f'{{"e":"aggTrade","E":{(now_us + 600) // 1000},"s":"{self.symbol}",'
            f'"a":{number},"p":"{self.spell.price(total.close)}",'
            f'"q":"{self.spell.quantity(total.base)}","f":{total.first_id},'
            f'"l":{total.last_id},"T":{now_us // 1000},'
            f'"m":{_flag(not total.bought_base)},"M":true}}'
        )

    def depth(
        self, now_us: int, changed_us: int, ids: Ids, bids: Levels, asks: Levels
    ) -> str:
        """Changed levels, best first."""
        del changed_us  # only the futures tell it
        return (
            f'{{"e":"depthUpdate","E":{now_us // 1000},"s":"{self.symbol}",'
            f'"U":{ids.first},"u":{ids.last},"b":{self.spell.levels(bids)},'
            f'"a":{self.spell.levels(asks)}}}'
        )

    def partial(
        self, now_us: int, changed_us: int, ids: Ids, bids: Levels, asks: Levels
    ) -> str:
        """The best levels."""
        del now_us, changed_us
        return (
            f'{{"lastUpdateId":{ids.last},"bids":{self.spell.levels(bids)},'
            f'"asks":{self.spell.levels(asks)}}}'
        )

    def snapshot(
        self, now_us: int, changed_us: int, update_id: int, bids: Levels, asks: Levels
    ) -> str:
        """The book, as REST answers."""
        ids = Ids(update_id, update_id, update_id)
        return self.partial(now_us, changed_us, ids, bids, asks)

    def book_ticker(self, now_us: int, update_id: int, top: Top) -> str:
        """The best levels of a book."""
        del now_us
        return f'{{"u":{update_id},"s":"{self.symbol}",{self._top(top)}}}'

    def _top(self, top: Top) -> str:
        bid, bid_steps, ask, ask_steps = top
        price, quantity = self.spell.price, self.spell.quantity
        return (
            f'"b":"{price(bid)}","B":"{quantity(bid_steps)}",'
            f'"a":"{price(ask)}","A":"{quantity(ask_steps)}"'
        )

    def kline(self, now_us: int, period: Period, total: Sum, *, closed: bool) -> str:
        """One candle."""
        candle = _candle(self.spell, period, total, self.symbol, closed=closed)
        return (
            f'{{"e":"kline","E":{now_us // 1000},"s":"{self.symbol}",'
            f'"k":{{{",".join(candle)}}}}}'
        )

    def mini_ticker(self, now_us: int, total: Sum) -> str:
        """The day in short."""
        return (
            f'{{"e":"24hrMiniTicker","E":{now_us // 1000},"s":"{self.symbol}",'
            f"{_day_in_short(self.spell, total)}}}"
        )

    def ticker(self, now_us: int, total: Sum, last_steps: int, top: Top) -> str:
        """The day at length."""
        spell = self.spell
        close_ms = now_us // 1000
        average = spell.average(total.quote, total.base)
        return (
            f'{{"e":"24hrTicker","E":{close_ms},"s":"{self.symbol}",'
            f'{_change(spell, total)},"w":"{average}",'
            f'"x":"{spell.price(total.open)}","c":"{spell.price(total.close)}",'
            f'"Q":"{spell.quantity(last_steps)}",{self._top(top)},'
            f'"o":"{spell.price(total.open)}","h":"{spell.price(total.high)}",'
            f'"l":"{spell.price(total.low)}","v":"{spell.quantity(total.base)}",'
            f'"q":"{spell.day_quote(total.quote)}","O":{close_ms - 86_400_000},'
            f'"C":{close_ms},"F":{total.first_id},"L":{total.last_id},'
            f'"n":{total.count}}}'
        )

    def rolling_ticker(
        self, now_us: int, window: str, start_us: int, total: Sum
    ) -> str:
        """A window of hours that begins on a whole minute."""
        spell = self.spell
        average = spell.average(total.quote, total.base)
        return (
            f'{{"e":"{window}Ticker","E":{now_us // 1000},"s":"{self.symbol}",'
            f'{_change(spell, total)},"w":"{average}",'
            f'"o":"{spell.price(total.open)}","h":"{spell.price(total.high)}",'
            f'"l":"{spell.price(total.low)}","c":"{spell.price(total.close)}",'
            f'"v":"{spell.quantity(total.base)}","q":"{spell.day_quote(total.quote)}",'
            f'"O":{start_us // 1000},"C":{now_us // 1000},"F":{total.first_id},'
            f'"L":{total.last_id},"n":{total.count}}}'
        )

    def average_price(self, now_us: int, total: Sum, traded_us: int) -> str:
        """The average price of five minutes."""
        average = self.spell.average(total.quote, total.base)
        return (
            f'{{"e":"avgPrice","E":{now_us // 1000},"s":"{self.symbol}","i":"5m",'
            f'"w":"{average}","T":{traded_us // 1000}}}'
        )


class UsdmPayloads:
    """The payloads of one perpetual contract."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.symbol
        self.spell = Spelling(instrument)
        self._ps = f'"ps":"{self.symbol}"'

    def trade(self, now_us: int, trade: Trade) -> str:
        """One fill."""
        number, price, quantity, taker_buys = trade
        return (
            f'{{"e":"trade","E":{(now_us + 600) // 1000},"T":{now_us // 1000},'
            f'"s":"{self.symbol}","t":{number},"p":"{self.spell.price(price)}",'
            f'"q":"{self.spell.quantity(quantity)}","X":"MARKET",'
            f'"m":{_flag(not taker_buys)},"st":1}}'
        )

    def agg_trade(self, now_us: int, number: int, total: Sum) -> str:
        """The fills of one taker at one price."""
        quantity = self.spell.quantity(total.base)
        return (
            f'{{"e":"aggTrade","E":{(now_us + 3_600) // 1000},"a":{number},'
            f'"s":"{self.symbol}","p":"{self.spell.price(total.close)}",'
            f'"q":"{quantity}","nq":"{quantity}","f":{total.first_id},'
            f'"l":{total.last_id},"T":{now_us // 1000},'
            f'"m":{_flag(not total.bought_base)},"st":1}}'
        )

    def depth(
        self, now_us: int, changed_us: int, ids: Ids, bids: Levels, asks: Levels
    ) -> str:
        """Changed levels; on the futures both sides rise."""
        return self.partial(now_us, changed_us, ids, bids[::-1], asks)

    def partial(
        self, now_us: int, changed_us: int, ids: Ids, bids: Levels, asks: Levels
    ) -> str:
        """The best levels, in the form of a change."""
        return (
            f'{{"e":"depthUpdate","E":{now_us // 1000},"T":{changed_us // 1000},'
            f'"s":"{self.symbol}",{self._ps},"U":{ids.first},"u":{ids.last},'
            f'"pu":{ids.previous},"b":{self.spell.levels(bids)},'
            f'"a":{self.spell.levels(asks)},"st":1}}'
        )

    def snapshot(
        self, now_us: int, changed_us: int, update_id: int, bids: Levels, asks: Levels
    ) -> str:
        """The book, as REST answers."""
        return (
            f'{{"lastUpdateId":{update_id},"E":{now_us // 1000},'
            f'"T":{changed_us // 1000},"bids":{self.spell.levels(bids)},'
            f'"asks":{self.spell.levels(asks)}}}'
        )

    def book_ticker(self, now_us: int, update_id: int, top: Top) -> str:
        """The best levels of a book."""
        bid, bid_steps, ask, ask_steps = top
        price, quantity = self.spell.price, self.spell.quantity
        return (
            f'{{"e":"bookTicker","u":{update_id},"s":"{self.symbol}",{self._ps},'
            f'"b":"{price(bid)}","B":"{quantity(bid_steps)}",'
            f'"a":"{price(ask)}","A":"{quantity(ask_steps)}",'
            f'"T":{now_us // 1000},"E":{(now_us + 600) // 1000},"st":1}}'
        )

    def kline(self, now_us: int, period: Period, total: Sum, *, closed: bool) -> str:
        """One candle, with the blanks that the futures put into it."""
        candle = _candle(self.spell, period, total, self.symbol, closed=closed)
        return (
            f'{{"e":"kline","E":{now_us // 1000},"s":"{self.symbol}",'
            f'"k":{{{", ".join(candle)}}}}}'
        )

    def continuous_kline(
        self, now_us: int, period: Period, total: Sum, *, closed: bool
    ) -> str:
        """One candle of the perpetual contract of a pair."""
        candle = _candle(self.spell, period, total, None, closed=closed)
        return (
            f'{{"e":"continuous_kline","E":{now_us // 1000},{self._ps},'
            f'"ct":"PERPETUAL","k":{{{",".join(candle)}}}}}'
        )

    def mini_ticker(self, now_us: int, total: Sum) -> str:
        """The day in short."""
        return (
            f'{{"e":"24hrMiniTicker","E":{now_us // 1000},"s":"{self.symbol}",'
            f'{self._ps},{_day_in_short(self.spell, total)},"st":1}}'
        )

    def ticker(self, now_us: int, total: Sum, last_steps: int, top: Top) -> str:
        """The day at length; it begins on a whole minute."""
        del top  # only spot tells it
        spell = self.spell
        open_us = now_us - now_us % 60_000_000 - 86_400_000_000
        average = spell.average(total.quote, total.base)
        return (
            f'{{"e":"24hrTicker","E":{now_us // 1000},"s":"{self.symbol}",{self._ps},'
            f'{_change(spell, total)},"w":"{average}","c":"{spell.price(total.close)}",'
            f'"Q":"{spell.quantity(last_steps)}","o":"{spell.price(total.open)}",'
            f'"h":"{spell.price(total.high)}","l":"{spell.price(total.low)}",'
            f'"v":"{spell.quantity(total.base)}","q":"{spell.day_quote(total.quote)}",'
            f'"O":{open_us // 1000},"C":{now_us // 1000},"F":{total.first_id},'
            f'"L":{total.last_id},"n":{total.count},"st":1}}'
        )

    def mark_price(self, now_us: int, mark: Mark) -> str:
        """Mark and index price, and the funding rate."""
        return (
            f'{{"e":"markPriceUpdate","E":{now_us // 1000},"s":"{self.symbol}",'
            f'"p":"{exact(mark.mark)}","ap":"{exact(mark.average)}",'
            f'"P":"{exact(mark.settle)}","i":"{exact(mark.index_price)}",'
            f'"r":"{exact(mark.funding)}","T":{mark.funding_us // 1000},"st":1}}'
        )

    def force_order(self, now_us: int, order: Liquidation) -> str:
        """A liquidation."""
        spell = self.spell
        quantity = spell.quantity(order.quantity)
        return (
            f'{{"e":"forceOrder","E":{now_us // 1000},"o":{{"s":"{self.symbol}",'
            f'"S":"{"SELL" if order.sells else "BUY"}","o":"LIMIT","f":"IOC",'
            f'"q":"{quantity}","p":"{spell.price(order.price)}",'
            f'"ap":"{spell.average(order.quote, order.quantity)}","X":"FILLED",'
            f'"l":"{spell.quantity(order.last_quantity)}","z":"{quantity}",'
            f'"T":{order.time_us // 1000},{self._ps},"st":1}}}}'
        )


Payloads = SpotPayloads | UsdmPayloads


def _change(spell: Spelling, total: Sum) -> str:
    change = total.close - total.open
    thousandths = percent(divided(change * 100_000, total.open))
    return f'"p":"{spell.price(change)}","P":"{thousandths}"'


def _day_in_short(spell: Spelling, total: Sum) -> str:
    return (
        f'"c":"{spell.price(total.close)}","o":"{spell.price(total.open)}",'
        f'"h":"{spell.price(total.high)}","l":"{spell.price(total.low)}",'
        f'"v":"{spell.quantity(total.base)}","q":"{spell.day_quote(total.quote)}"'
    )


def _candle(
    spell: Spelling, period: Period, total: Sum, symbol: str | None, *, closed: bool
) -> list[str]:
    first, last = (total.first_id, total.last_id) if total.count else (-1, -1)
    return [
        f'"t":{period.start_us // 1000}',
        f'"T":{period.end_us // 1000}',
        *([f'"s":"{symbol}"'] if symbol else []),
        f'"i":"{period.name}"',
        f'"f":{first}',
        f'"L":{last}',
        f'"o":"{spell.price(total.open)}"',
        f'"c":"{spell.price(total.close)}"',
        f'"h":"{spell.price(total.high)}"',
        f'"l":"{spell.price(total.low)}"',
        f'"v":"{spell.quantity(total.base)}"',
        f'"n":{total.count}',
        f'"x":{_flag(closed)}',
        f'"q":"{spell.quote(total.quote)}"',
        f'"V":"{spell.quantity(total.bought_base)}"',
        f'"Q":"{spell.quote(total.bought_quote)}"',
        '"B":"0"',
    ]
