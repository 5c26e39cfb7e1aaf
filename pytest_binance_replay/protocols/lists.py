"""Trades and candles over REST, as lists of what the tape has shown.

Source:
    Binance Spot API docs, "Market Data endpoints"; Binance USDⓈ-M Futures API docs,
    "Market Data". That the quote quantity of a trade is cut, not rounded, to its
    decimals was seen in recorded answers of spot.
"""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_binance_replay.ledger import kept_of
from pytest_binance_replay.protocols.query import not_on_tape, refuse, to_us
from pytest_binance_replay.protocols.shown import (
    mandatory,
    members,
    project,
    stream_name,
)
from pytest_binance_replay.protocols.symbol_info import is_coin_margined, pair_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.ledger import ShelfKey
    from pytest_binance_replay.protocols.shown import Asked, Event

_TWO_DAYS_US = 2 * 86_400_000_000
_HOUR_MS = 3_600_000
_MS_US = 1000
_RPI_SHOWN_SINCE_MS = 1_763_424_000_000
"""2025-11-18: since then futures trades say whether they are retail improvements."""

_INTERVALS = (
    *("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h"),
    *("1d", "3d", "1w", "1M"),
)
_CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL")
_ZONE = re.compile(r"([+-]?)(\d{1,2})(?::([0-5]\d))?", re.ASCII)
_WESTERNMOST, _EASTERNMOST = -12 * 60, 14 * 60
_ZONES = {0: "", 8 * 60: "@+08:00"}
"""Where days of kline streams begin, in minutes, and what their names say of it."""

_AGG_TRADE = members("a p q nq? f l T m M?")


def trades(asked: Asked) -> list[Any]:
    """List trades, from the trade stream."""
    return _listed_trades(asked, "trade")


def block_trades(asked: Asked) -> list[Any]:
    """List block trades, from their stream."""
    return _listed_trades(asked, "blockTrade")


def _listed_trades(asked: Asked, kind: str) -> list[Any]:
    bounds, symbol = _Bounds.read(asked), asked.symbol()
    if is_coin_margined(symbol):
        reason = "their worth depends on the contract size, which no stream carries"
        not_on_tape(f"Trades of {symbol} cannot be listed: {reason}.")
    key = asked.key(kind, symbol)
    if bounds.take_newest:
        return asked.last(key, bounds.limit, lambda event: _trade(asked, event))
    shown = asked.all(key, lambda event: _trade(asked, event))
    rows = [row for row in shown if row is not None]
    return _pick(asked, key, bounds, rows, itemgetter("time"), itemgetter("id"))


def _trade(asked: Asked, event: Event) -> Event | None:
    """Return a trade; None for what counts as none, as an insurance fund's."""
    if not is_market_trade(event):
        return None
    row = {
        "id": event["t"],
        "price": event["p"],
        "qty": event["q"],
        "quoteQty": _worth(asked, event["p"], event["q"]),
        "time": asked.stamp(event["T"]),
        "isBuyerMaker": event["m"],
    }
    if asked.market == "usdm":
        shows = event["T"] >= _RPI_SHOWN_SINCE_MS
        return {**row, "isRPITrade": event.get("X") == "RPI"} if shows else row
    return row if event.get("e") == "blockTrade" else {**row, "isBestMatch": True}


def is_market_trade(event: Event) -> bool:
    """Return whether a trade was one of the order book."""
    return event.get("X", "MARKET") in {"MARKET", "RPI"}


def _worth(asked: Asked, price: str, quantity: str) -> str:
    """Return price times quantity with as many decimals as the exchange gives."""
    decimals = 8 if asked.market == "spot" else len(price.partition(".")[2])
    worth = Decimal(price) * Decimal(quantity)
    return f"{worth.quantize(_grain(decimals), ROUND_DOWN):f}"


@lru_cache(maxsize=32)
def _grain(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def agg_trades(asked: Asked) -> list[Any]:
    """List aggregated trades, from their stream."""
    bounds = _Bounds.read(asked)
    _check_window(asked, bounds)
    key = asked.key("aggTrade", asked.symbol())
    if bounds.take_newest:
        return asked.last(
            key, bounds.limit, lambda event: project(asked, event, _AGG_TRADE)
        )
    rows = asked.all(key, lambda event: project(asked, event, _AGG_TRADE))
    return _pick(asked, key, bounds, rows, itemgetter("T"), itemgetter("a"))


def _check_window(asked: Asked, bounds: _Bounds) -> None:
    """Check which aggregated trades may be asked for."""
    from_id, start_us, end_us, _ = bounds
    if asked.market == "spot":
        if from_id is not None and (start_us, end_us) != (None, None):
            refuse(-1128)
        return
    if start_us is None:
        return
    if end_us is not None and (end_us - start_us) // _MS_US > _HOUR_MS:
        refuse(-1127, 1)
    if start_us < asked.now_us - _TWO_DAYS_US:
        refuse(-4166)


def candles(asked: Asked) -> list[Any]:
    """List candles, from the kline stream of the very interval."""
    bounds, interval, zone = _Bounds.read(asked), _interval(asked), _zone(asked)
    key = asked.key("kline", asked.symbol(), interval + zone)
    return _listed_candles(asked, key, bounds)


def continuous_candles(asked: Asked) -> list[Any]:
    """List candles of a continuous contract, from their stream."""
    bounds, interval = _Bounds.read(asked), _interval(asked)
    pair = mandatory(asked.parameters.symbol("pair"))
    contract = mandatory(
        asked.parameters.choice("contractType", _CONTRACTS, -1130, "contractType")
    )
    key = asked.key("continuousKline", pair, f"{contract.lower()}_{interval}")
    pairs = map(pair_of, asked.known.symbols(asked.market))
    if not asked.known.carries(key) and pair not in pairs:
        refuse(-1121)
    return _listed_candles(asked, key, bounds)


def _listed_candles(asked: Asked, key: ShelfKey, bounds: _Bounds) -> list[Any]:
    rows = asked.all(key, lambda event: _candle(asked, event["k"]))
    rows.sort(key=itemgetter(0))
    return _pick(asked, key, bounds, rows, itemgetter(0))


def _interval(asked: Asked) -> str:
    intervals = ("1s", *_INTERVALS) if asked.market == "spot" else _INTERVALS
    return mandatory(asked.parameters.choice("interval", intervals, -1120))


def _zone(asked: Asked) -> str:
    """Return where days begin, as kline streams say it."""
    sent = asked.parameters.text("timeZone") or "0"
    found = _ZONE.fullmatch(sent)
    minutes = (
        int(f"{found[1]}{int(found[2]) * 60 + int(found[3] or 0)}") if found else None
    )
    if minutes is None or not _WESTERNMOST <= minutes <= _EASTERNMOST:
        refuse(-1130, "timeZone")
    if minutes not in _ZONES:
        not_on_tape(f"No stream has candles whose day begins at {sent!r}.")
    return _ZONES[minutes]


def _candle(asked: Asked, k: Event) -> list[Any]:
    return [
        asked.stamp(k["t"]),
        *(k["o"], k["h"], k["l"], k["c"], k["v"]),
        asked.end_stamp(k["T"]),
        *(k["q"], k["n"], k["V"], k["Q"], k["B"]),
    ]


class _Bounds(NamedTuple):
    """Which rows of a list are asked for.

    Attributes:
        from_id: Number of the first one; None if it was not sent.
        start_us: Time of the first one, microseconds; None if it was not sent.
        end_us: Time of the last one, microseconds; None if it was not sent.
        limit: How many at most: with a start the oldest from there on, else the newest.
    """

    from_id: int | None
    start_us: int | None
    end_us: int | None
    limit: int

    @classmethod
    def read(cls, asked: Asked) -> _Bounds:
        return cls(
            asked.parameters.integer("fromId"),
            asked.parameters.time_us("startTime"),
            asked.parameters.time_us("endTime", end=True),
            asked.parameters.limit(*asked.limits),
        )

    @property
    def has_start(self) -> bool:
        return self.from_id is not None or self.start_us is not None

    @property
    def take_newest(self) -> bool:
        """Return whether nothing but their number is said."""
        return not self.has_start and self.end_us is None

    def start_by(self, number: int, time_us: int) -> bool:
        """Return whether they start with a row, or with an earlier one."""
        return (self.from_id is None or self.from_id <= number) and (
            self.start_us is None or self.start_us <= time_us
        )

    def take(self, number: int, time_us: int) -> bool:
        """Return whether they take a row, as far as the limit lets them."""
        has_ended = self.end_us is not None and self.end_us < time_us
        return self.start_by(number, time_us) and not has_ended


def _no_number(row: Any) -> int:
    """Return the number of rows that have none."""
    return 0


def _pick(
    asked: Asked,
    key: ShelfKey,
    bounds: _Bounds,
    rows: list[Any],
    time_of: Callable[[Any], int],
    number_of: Callable[[Any], int] = _no_number,
) -> list[Any]:
    """Return the rows that are asked for.

    Args:
        asked: The request.
        key: What they are.
        bounds: Which of them are asked for.
        rows: What there is, oldest first.
        time_of: Reads a row's time.
        number_of: Reads a row's number.

    Raises:
        NotOnTapeError: If rows are asked for that are no longer kept.
    """
    places = [(number_of(row), to_us(time_of(row))) for row in rows]
    pairs = zip(places, rows, strict=True)
    found = [row for place, row in pairs if bounds.take(*place)]
    if bounds.has_start:
        lacks = any(bounds.start_by(n - 1, time_us - 1) for n, time_us in places[:1])
    else:
        lacks = bounds.end_us is not None and len(found) < bounds.limit
    if lacks and asked.has_lost(key):
        not_on_tape(
            f"Of {stream_name(key)} only the newest {kept_of(key)} are kept, and "
            "older ones are asked for."
        )
    return found[: bounds.limit] if bounds.has_start else found[-bounds.limit :]
