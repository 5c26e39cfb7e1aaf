"""Series that run through the payloads of a stream: times, ids, candles.

Source:
    Binance Spot API docs and USDⓈ-M Futures docs, "Trade Streams", "Aggregate Trade
    Streams", "Kline/Candlestick Streams", "Individual Symbol Book Ticker Streams";
    what holds without exception, and what not, from recordings of both markets.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pytest_binance_replay.soundness.findings import Findings
    from pytest_binance_replay.streams import Market

Series: TypeAlias = Callable[[Any, "Findings"], None]
"""Looks at the next event of one symbol on one stream."""


class EventTimes:
    """Event times of one symbol on one stream."""

    def __init__(self) -> None:
        self._latest = 0

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        time = wire["E"]
        if time < self._latest:
            back = self._latest - time
            sentence = f"event time {time} is {back} before that of the event before"
            findings.jump("event-time", sentence)
        self._latest = time


class TradeIds:
    """Ids of single trades."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._last: int | None = None

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        trade_id, last = wire["t"], self._last
        self._last = trade_id
        if last is None or trade_id == last + 1:
            return
        sentence = f"trade {trade_id} follows trade {last}"
        if trade_id <= last:
            findings.jump("trade-ids", f"{sentence}: ids go back")
        elif self._market == "spot":
            missing = _count(trade_id - last - 1, "trade")
            findings.jump("trade-ids", f"{sentence}: {missing} missing")
        else:
            missing = _count(trade_id - last - 1, "id")
            findings.note("trade-ids", f"{sentence}: {missing} skipped")


class BlockTradeIds:
    """Ids of block trades, which need not follow each other at once."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        trade_id, last = wire["t"], self._last
        self._last = trade_id
        if trade_id <= last:
            sentence = f"block trade {trade_id} follows block trade {last}"
            findings.jump("trade-ids", f"{sentence}: ids go back")


class AggTradeIds:
    """Ids of aggregate trades, and those of the trades they sum up."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._last: tuple[int, int] | None = None

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        own, first, last = wire["a"], wire["f"], wire["l"]
        if first > last:
            sentence = (
                f"aggregate trade {own} begins at trade {first} and ends at {last}"
            )
            findings.error("agg-trade-ids", sentence)
        before, self._last = self._last, (own, last)
        if before is None:
            return
        if own != before[0] + 1:
            sentence = f"aggregate trade {own} follows {before[0]}: "
            missing = _count(own - before[0] - 1, "aggregate trade")
            sentence += f"{missing} missing" if own > before[0] else "ids go back"
            findings.jump("agg-trade-ids", sentence)
        elif first != before[1] + 1:
            self._trades_do_not_follow(first, before[1], findings)

    def _trades_do_not_follow(self, first: int, last: int, findings: Findings) -> None:
        sentence = f"its first trade is {first}, and the one before ended at {last}"
        if first > last and self._market == "usdm":
            skipped = _count(first - last - 1, "trade")
            reason = "fills outside the book are not aggregated"
            findings.note("agg-trade-ids", f"{sentence}: {skipped} skipped; {reason}")
        else:
            findings.jump("agg-trade-ids", sentence)


class BookTickerIds:
    """Update ids of book tickers.

    Args:
        strictly: Whether each is above the one before; streams of the whole market
            may repeat a ticker.
    """

    def __init__(self, *, strictly: bool) -> None:
        self._strictly = strictly
        self._last = -1

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        update_id, last = wire["u"], self._last
        self._last = update_id
        if update_id < last or (self._strictly and update_id == last):
            repeated = "is repeated" if update_id == last else f"follows {last}"
            findings.jump("ticker-ids", f"update id {update_id} {repeated}")


class PartialDepthIds:
    """Update ids of partial depths."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        update_id, last = wire.get("lastUpdateId", wire.get("u")), self._last
        self._last = update_id
        if update_id < last:
            findings.jump("ticker-ids", f"update id {update_id} follows {last}")


class Candles:
    """Candles of one interval.

    Args:
        market: Spot candles count every trade id; those of the futures may skip some.
        counts_trades: Whether its first and last id are of trades.
    """

    def __init__(self, market: Market, *, counts_trades: bool) -> None:
        self._market = market
        self._counts_trades = counts_trades
        self._open_time = -1
        self._closed = False

    def __call__(self, wire: Any, findings: Findings) -> None:
        """Look at the next event."""
        candle = wire["k"]
        if problem := self._inside(candle):
            findings.error("kline", problem)
        start = candle["t"]
        if start < self._open_time:
            sentence = f"candle {start} follows the later candle {self._open_time}"
            findings.jump("kline", sentence)
        elif start == self._open_time and self._closed:
            findings.jump("kline", f"candle {start} goes on after it was closed")
        elif start > self._open_time >= 0 and not self._closed:
            sentence = f"candle {start} begins and {self._open_time} was never closed"
            findings.jump("kline", sentence)
        self._open_time, self._closed = start, candle["x"]

    def _inside(self, candle: Any) -> str | None:
        low, high = Decimal(candle["l"]), Decimal(candle["h"])
        for name, key in (("open", "o"), ("close", "c")):
            if not low <= Decimal(candle[key]) <= high:
                price = candle[key]
                return f"{name} price {price} is not from low {low} to high {high}"
        return self._count_problem(candle) if self._counts_trades else None

    def _count_problem(self, candle: Any) -> str | None:
        first, last, trades = candle["f"], candle["L"], candle["n"]
        ids = last - first + 1 if first >= 0 else 0
        if trades == ids or (self._market == "usdm" and 0 <= trades < ids):
            return None
        return f"{trades} trades counted, and ids {first} to {last} are {ids}"


def _count(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number:,} {noun}s are"
