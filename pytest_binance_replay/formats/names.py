"""Stream names for payloads that came without one.

Where payloads of two streams look alike, names that are known to be in the capture
decide, and else the likelier one.

Source:
    Payload fields of each stream from the Binance Spot API docs, "WebSocket Streams",
    and USDⓈ-M Futures docs, "Websocket Market Streams".
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

_PLAIN = frozenset(
    {"trade", "aggTrade", "blockTrade", "avgPrice", "referencePrice", "compositeIndex"}
)
_TICKERS = {"24hrTicker": "ticker", "24hrMiniTicker": "miniTicker"}
_WINDOWS = {f"{window}Ticker": f"ticker_{window}" for window in ("1h", "4h", "1d")}
_DEPTH_SPEEDS_MS = (0, 100, 250, 500, 1000)
_LEVELS = (5, 10, 20)

Event = Mapping[str, Any]


def _symbol(event: Event) -> str:
    return str(event["s"]).lower()


def _kline(event: Event) -> list[str]:
    name = f"{_symbol(event)}@kline_{event['k']['i']}"
    return [name, f"{name}@+08:00"]


def _continuous_kline(event: Event) -> list[str]:
    subject = f"{event['ps']}_{event['ct']}".lower()
    return [f"{subject}@continuousKline_{event['k']['i']}"]


def _mark_price(event: Event) -> list[str]:
    return [f"{_symbol(event)}@markPrice@1s", f"{_symbol(event)}@markPrice"]


def _force_order(event: Event) -> list[str]:
    return [f"{_symbol(event['o'])}@forceOrder", "!forceOrder@arr"]


def _book_ticker(event: Event) -> list[str]:
    return [f"{_symbol(event)}@bookTicker", "!bookTicker"]


_BY_TYPE: Mapping[str, Callable[[Event], list[str]]] = {
    "kline": _kline,
    "continuous_kline": _continuous_kline,
    "markPriceUpdate": _mark_price,
    "forceOrder": _force_order,
    "bookTicker": _book_ticker,
    "assetIndexUpdate": lambda event: [f"{_symbol(event)}@assetIndex"],
    "contractInfo": lambda _: ["!contractInfo"],
    "serverShutdown": lambda _: ["!serverShutdown"],
}
_OF_ALL = {
    "24hrTicker": ["!ticker@arr"],
    "24hrMiniTicker": ["!miniTicker@arr"],
    **{kind: [f"!{name}@arr"] for kind, name in _WINDOWS.items()},
    "markPriceUpdate": ["!markPrice@arr@1s", "!markPrice@arr"],
    "assetIndexUpdate": ["!assetIndex@arr"],
    "forceOrder": ["!forceOrder@arr"],
}


class Namer:
    """Names payloads.

    Args:
        known: Stream names that are known to be in the capture.
        sample: Payloads from its beginning, by which speeds of depth streams are told.
    """

    def __init__(self, known: Sequence[str] = (), sample: Iterable[bytes] = ()) -> None:
        self._known = tuple(known)
        self._gaps_ms = _depth_gaps_ms(sample)

    def name(self, payload: bytes) -> str | None:
        """Return the stream name of a payload; None if nothing tells it."""
        try:
            event = json.loads(payload)
            names = self._names(event)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        found = [name for name in names if name in self._known]
        return next(iter(found or names), None)

    def _names(self, event: Any) -> list[str]:
        if isinstance(event, list):
            return _OF_ALL.get(event[0]["e"], [])
        kind = event.get("e")
        if kind is None:
            return self._names_without_type(event)
        if kind in _PLAIN:
            return [f"{_symbol(event)}@{kind}"]
        if short := _TICKERS.get(kind) or _WINDOWS.get(kind):
            return [f"{_symbol(event)}@{short}"]
        if kind == "depthUpdate":
            return self._depth_names(event)
        if kind.endswith(("EquityUpdate", "CommodityUpdate")):
            return ["tradingSession"]
        return _BY_TYPE[kind](event)

    def _names_without_type(self, event: Event) -> list[str]:
        if {"u", "s", "b", "B", "a", "A"} <= event.keys():
            return _book_ticker(event)
        if "lastUpdateId" not in event:
            return []
        longer = max(len(event["bids"]), len(event["asks"]))
        levels = next((n for n in _LEVELS if longer <= n), 0)
        feature = re.compile(rf"[^@!]+@depth{levels}(?:@100ms)?")
        # The payload has no symbol: only a capture of one such stream tells it.
        fitting = [name for name in self._known if feature.fullmatch(name)]
        return fitting if len(fitting) == 1 else []

    def _depth_names(self, event: Event) -> list[str]:
        symbol = _symbol(event)
        suffixes = ["@depth@100ms", "@depth"]
        gap_ms = self._gaps_ms.get(symbol, min(self._gaps_ms.values(), default=100))
        if "pu" in event:
            suffixes += ["@depth@500ms", "@depth@0ms"]
            suffixes += [f"@depth{n}{s}" for n in _LEVELS for s in ("", "@100ms")]
        speeds = {0: "@depth@0ms", 500: "@depth@500ms", 250: "@depth", 1000: "@depth"}
        nearest = min(_DEPTH_SPEEDS_MS, key=lambda speed: abs(speed - gap_ms))
        likely = speeds.get(nearest, "@depth@100ms")
        if likely in suffixes:
            suffixes.remove(likely)
            suffixes.insert(0, likely)
        return [symbol + suffix for suffix in suffixes]


def _depth_gaps_ms(sample: Iterable[bytes]) -> dict[str, int]:
    """Return the smallest time between two depth events of each symbol."""
    times: dict[str, list[int]] = defaultdict(list)
    for payload in sample:
        for symbol, time_ms in _depth_time(payload):
            times[symbol].append(time_ms)
    return {
        symbol: min(b - a for a, b in pairwise(row))
        for symbol, row in times.items()
        if len(row) > 1
    }


def _depth_time(payload: bytes) -> Iterator[tuple[str, int]]:
    try:
        event = json.loads(payload)
        if event["e"] == "depthUpdate":
            time = int(event["E"])
            yield _symbol(event), time if time < 10**14 else time // 1000
    except (ValueError, LookupError, TypeError):
        return
