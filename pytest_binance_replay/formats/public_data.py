"""Binance's public data files: CSV of trades, candles and tops of the book.

A row is what a stream would have sent, without names and in columns, so payloads are
made of it as the exchange writes them. Spot files count time in microseconds since
2025-01-01, all others in milliseconds; futures files of late begin with a line of
column names. ``bookDepth`` holds no levels but sums over bands around the price: each
band becomes one level, at the mean price of what lies in it.

Source:
    github.com/binance/binance-public-data, README.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.formats.base import (
    FROM_EVENT_TIME,
    LATEST_US,
    Clues,
    Format,
    Item,
    Told,
    refuse,
    to_us,
)
from pytest_binance_replay.formats.rest import interval_of
from pytest_binance_replay.streams import Market

Kind = Literal["trades", "aggTrades", "klines", "bookTicker", "bookDepth"]
Row = Sequence[str]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"
_VALUE = rf"(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[Tt]rue|[Ff]alse|{_DATE})"
_ROW = re.compile(rf"{_VALUE}(?:,{_VALUE}){{3,11}}")
_NAMES = re.compile(
    r"(?:id|agg_trade_id|open_time|update_id|timestamp|trade_?id)(?:,\w+){3,11}",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(
    r"(?:.*[/\\])?([A-Z0-9_]+)-(trades|aggTrades|bookTicker|bookDepth|[0-9]+(?:s|mo?|h|d|w))-"
)
_KINDS: Mapping[str, Kind] = {
    "trades": "trades",
    "aggTrades": "aggTrades",
    "bookTicker": "bookTicker",
    "bookDepth": "bookDepth",
}
_SPOT_DECIMALS = 8
_MADE_PRICE = Decimal("0.00000001")
_LEVELS = (5, 10, 20)


def _is_bool(text: str) -> bool:
    return text.lower() in {"true", "false"}


def kind_of_row(row: Row) -> Kind | None:
    """Tell what a row is of by its columns."""
    columns = len(row)
    if columns == 12:
        return "klines"
    if columns == 4:
        return "bookDepth"
    if columns in {6, 7} and _is_bool(row[5]):
        return "trades"
    if columns in {7, 8} and _is_bool(row[6]):
        return "aggTrades"
    has_bools = any(map(_is_bool, row))
    return "bookTicker" if columns == 7 and not has_bools else None


def market_of_row(kind: Kind, row: Row, *, named: bool) -> Market:
    """Tell the market by a row.

    Args:
        kind: What it is of.
        row: Its values.
        named: Whether the file begins with names of columns.
    """
    is_spot = {
        "trades": lambda: len(row) == 7,
        "aggTrades": lambda: len(row) == 8,
        "klines": lambda: (
            len(row[0]) == 16
            or not (named or len(row[1].partition(".")[2]) != _SPOT_DECIMALS)
        ),
    }
    return "spot" if is_spot.get(kind, lambda: False)() else "usdm"


def _recognises(sample: bytes) -> bool:
    first, _, rest = (
        sample.decode(errors="replace").lstrip("\ufeff \r\n").partition("\n")
    )
    first = first.strip()
    if _ROW.fullmatch(first):
        return kind_of_row(first.split(",")) is not None
    second = rest.partition("\n")[0].strip()
    return bool(_NAMES.fullmatch(first)) and (
        not second or bool(_ROW.fullmatch(second))
    )


class PublicDataReader:
    """Reads one CSV file."""

    def __init__(self, clues: Clues) -> None:
        found = _FILE_NAME.match(clues.name)
        self.told = Told(market=clues.market, notes={"receive_times": FROM_EVENT_TIME})
        self._symbol = clues.symbol or (found[1] if found else "")
        self._period = found[2] if found else ""
        self._named = False
        self._columns = 0
        self._make: Callable[[Row], Iterable[Item]] | None = None
        self._bands: list[Row] = []
        self._last_id = 0

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line."""
        text = line.decode(errors="replace").strip("\ufeff \r")
        if _ROW.fullmatch(text) is None:
            if self._make is None and _NAMES.fullmatch(text):
                self._named = True
                return ()
            refuse("it is no row of the columns that the file has")
        row = text.split(",")
        make = self._make or self._begin(row)
        if len(row) != self._columns:
            refuse("it is no row of the columns that the file has")
        try:
            return make(row)
        except (LookupError, ValueError, ArithmeticError):
            refuse("it is no row of the columns that the file has")

    def finish(self) -> Iterable[Item]:
        """Give the last picture of the book."""
        return self._picture()

    def _begin(self, row: Row) -> Callable[[Row], Iterable[Item]]:
        self._columns = len(row)
        kind = _KINDS.get(self._period) or kind_of_row(row)
        if kind is None:
            refuse("it has the columns of no file that is known")
        if not self._symbol:
            refuse("the name of the file does not say its symbol; add --symbol")
        market = self.told.market or market_of_row(kind, row, named=self._named)
        self.told.market = market
        self._is_spot = market == "spot"
        self.told.notes["payloads"] = f"made from Binance public data, {kind}"
        makers: Mapping[Kind, Callable[[Row], Iterable[Item]]] = {
            "trades": self._trade,
            "aggTrades": self._agg_trade,
            "klines": self._kline,
            "bookTicker": self._book_ticker,
            "bookDepth": self._band,
        }
        self._make = makers[kind]
        return self._make

    def _frame(self, time: int, feature: str, event: Mapping[str, object]) -> Frame:
        payload = json.dumps(event, separators=(",", ":")).encode()
        if not 0 <= to_us(time) <= LATEST_US:
            raise ValueError(time)
        return Frame(to_us(time), f"{self._symbol.lower()}@{feature}", payload)

    def _trade(self, row: Row) -> Iterable[Item]:
        number, price, quantity, _, time_text, maker, *_ = row
        time, time_ms = _times(time_text)
        fill = {"t": int(number), "p": _plain(price), "q": _plain(quantity)}
        head: dict[str, object] = {"e": "trade", "E": time_ms}
        is_maker = maker.lower() == "true"
        if self._is_spot:
            tail = {"T": time_ms, "m": is_maker, "M": True}
            event = {**head, "s": self._symbol, **fill, **tail}
        else:
            head |= {"T": time_ms, "s": self._symbol}
            event = {**head, **fill, "X": "MARKET", "m": is_maker}
        return [self._frame(time, "trade", event)]

    def _agg_trade(self, row: Row) -> Iterable[Item]:
        number, price, quantity, first, last, time_text, maker, *_ = row
        time, time_ms = _times(time_text)
        who = {"s": self._symbol, "a": int(number)}
        if not self._is_spot:
            who = {"a": int(number), "s": self._symbol}
        event = {
            "e": "aggTrade",
            "E": time_ms,
            **who,
            "p": _plain(price),
            "q": _plain(quantity),
            "f": int(first),
            "l": int(last),
            "T": time_ms,
            "m": maker.lower() == "true",
        }
        if self._is_spot:
            event["M"] = True
        return [self._frame(time, "aggTrade", event)]

    def _kline(self, row: Row) -> Iterable[Item]:
        opened, closed = int(row[0]), int(row[6])
        interval = self._period.replace("mo", "M") or interval_of(opened, closed)
        prices = dict(zip("ohlc", map(_plain, row[1:5]), strict=True))
        (volume, quote), (bought, bought_quote) = (row[5], row[7]), row[9:11]
        count = int(row[8])
        start_ms, end_ms = to_us(opened) // 1000, to_us(closed) // 1000
        candle = {
            "t": start_ms,
            "T": end_ms,
            "s": self._symbol,
            "i": interval,
            "f": -1,
            "L": -1,
            "o": prices["o"],
            "c": prices["c"],
            "h": prices["h"],
            "l": prices["l"],
            "v": _plain(volume),
            "n": count,
            "x": True,
            "q": _plain(quote),
            "V": _plain(bought),
            "Q": _plain(bought_quote),
            "B": "0",
        }
        # The exchange sends a candle's last picture once it is over.
        event = {"e": "kline", "E": end_ms + 1, "s": self._symbol, "k": candle}
        return [self._frame(end_ms + 1, f"kline_{interval}", event)]

    def _book_ticker(self, row: Row) -> Iterable[Item]:
        number, bid, bid_quantity, ask, ask_quantity, moment, event_time = row
        time, time_ms = _times(event_time)
        top = {
            "u": int(number),
            "s": self._symbol,
            "b": _plain(bid),
            "B": _plain(bid_quantity),
            "a": _plain(ask),
            "A": _plain(ask_quantity),
        }
        event: dict[str, object] = top
        if not self._is_spot:
            times = {"T": _times(moment)[1], "E": time_ms}
            event = {"e": "bookTicker", **top, **times}
        return [self._frame(time, "bookTicker", event)]

    def _band(self, row: Row) -> Iterable[Item]:
        done: Iterable[Item] = ()
        if self._bands and self._bands[0][0] != row[0]:
            done = self._picture()
        self._bands.append(row)
        return done

    def _picture(self) -> list[Item]:
        bands, self._bands = self._bands, []
        if not bands:
            return []
        moment = datetime.fromisoformat(f"{bands[0][0]}+00:00")
        time_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
        bids = _levels([row for row in bands if row[1].startswith("-")])
        asks = _levels([row for row in bands if not row[1].startswith("-")])
        ids = {"U": time_ms, "u": time_ms, "pu": self._last_id or time_ms - 1}
        self._last_id = time_ms
        event = {
            "e": "depthUpdate",
            "E": time_ms,
            "T": time_ms,
            "s": self._symbol,
            **ids,
            "b": bids,
            "a": asks,
        }
        longer = max(len(bids), len(asks))
        levels = next((n for n in _LEVELS if longer <= n), _LEVELS[-1])
        return [self._frame(time_ms, f"depth{levels}", event)]


def _levels(bands: Sequence[Row]) -> list[list[str]]:
    """Turn sums up to a distance from the price into levels, best first."""
    levels = []
    quantity_before = notional_before = Decimal(0)
    for _, _, depth, notional in sorted(bands, key=lambda row: abs(Decimal(row[1]))):
        quantity = Decimal(depth) - quantity_before
        value = Decimal(notional) - notional_before
        quantity_before, notional_before = Decimal(depth), Decimal(notional)
        if quantity > 0 and value > 0:
            price = (value / quantity).quantize(_MADE_PRICE)
            levels.append([f"{price:f}", f"{quantity:f}"])
    return levels


def _times(text: str) -> tuple[int, int]:
    """Return a time as it is, and in milliseconds."""
    time = int(text)
    return time, to_us(time) // 1000


def _plain(number: str) -> str:
    """Return a number without an exponent, else as it is written."""
    return f"{Decimal(number):f}" if "e" in number.lower() else number


PUBLIC_DATA = Format(
    "public-data", "CSV of Binance's public data", _recognises, PublicDataReader
)
