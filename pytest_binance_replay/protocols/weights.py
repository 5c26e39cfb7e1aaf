"""What REST requests weigh, and how much of their weight a minute has used.

Source:
    Binance Spot API docs, "Market Data endpoints" and "LIMITS"; Binance USDⓈ-M
    Futures API docs, "Market Data". That the count falls to 0 with the minute, that
    refused requests count, and that futures depth without a limit weighs 1, were
    measured.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_binance_replay.protocols.rest import request_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_binance_replay.streams import Market

_DIGITS = re.compile("[0-9]{1,20}")
_MINUTE_US = 60_000_000
_MANY_SYMBOLS = 20
_VERY_MANY_SYMBOLS = 100
_WINDOW_WEIGHT = 4
_MOST_WINDOW_WEIGHT = 200

_FIXED = {
    "/api/v3/aggTrades": 4,
    "/api/v3/avgPrice": 2,
    "/api/v3/exchangeInfo": 20,
    "/api/v3/historicalBlockTrades": 25,
    "/api/v3/historicalTrades": 25,
    "/api/v3/klines": 2,
    "/api/v3/referencePrice": 2,
    "/api/v3/trades": 25,
    "/api/v3/uiKlines": 2,
    "/fapi/v1/aggTrades": 20,
    "/fapi/v1/constituents": 2,
    # These two have a limit of their own.
    "/fapi/v1/fundingInfo": 0,
    "/fapi/v1/fundingRate": 0,
    "/fapi/v1/historicalTrades": 200,
    "/fapi/v1/rpiDepth": 20,
    "/fapi/v1/tradingSchedule": 5,
    "/fapi/v1/trades": 5,
}
_ONE_OR_ALL = {
    "/api/v3/ticker/bookTicker": (2, 4),
    "/api/v3/ticker/price": (2, 4),
    "/fapi/v1/assetIndex": (1, 10),
    "/fapi/v1/premiumIndex": (1, 10),
    "/fapi/v1/ticker/24hr": (1, 40),
    "/fapi/v1/ticker/bookTicker": (2, 5),
    "/fapi/v1/ticker/price": (1, 2),
    "/fapi/v2/ticker/price": (1, 2),
}
# Weights by `limit`: the greatest limit of each, then its weight. Without a limit its
# default counts; a greater one weighs as much as the greatest.
_Steps = tuple[tuple[int, int], ...]
_SPOT_DEPTH: _Steps = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_USDM_DEPTH: _Steps = ((0, 1), (50, 2), (100, 5), (500, 10), (1000, 20))
_USDM_KLINES: _Steps = ((99, 1), (499, 2), (1000, 5), (1500, 10))
_BY_LIMIT: dict[str, tuple[int, _Steps]] = {
    "/api/v3/depth": (100, _SPOT_DEPTH),
    "/dapi/v1/depth": (0, _USDM_DEPTH),
    "/fapi/v1/depth": (0, _USDM_DEPTH),
    **dict.fromkeys(
        (
            "/fapi/v1/continuousKlines",
            "/fapi/v1/indexPriceKlines",
            "/fapi/v1/klines",
            "/fapi/v1/markPriceKlines",
            "/fapi/v1/premiumIndexKlines",
        ),
        (500, _USDM_KLINES),
    ),
}


def weight_of(target: str) -> int:
    """Return what a request weighs.

    Args:
        target: Path and query; a mistake in the query does not matter.

    Returns:
        1 for a path that is not in the tables.

    Example:
        >>> weight_of("/api/v3/depth?symbol=LTCBTC&limit=1000")
        50
    """
    path, pairs = request_key(target)
    values = dict(pairs)
    if path in _BY_LIMIT:
        return _by_limit(values, *_BY_LIMIT[path])
    if path in _ONE_OR_ALL:
        one, every = _ONE_OR_ALL[path]
        return one if values.get("symbol") else every
    if path == "/api/v3/ticker/24hr":
        return _day_tickers(_count_symbols(values))
    if path in {"/api/v3/ticker", "/api/v3/ticker/tradingDay"}:
        count = max(_count_symbols(values), 1)
        return min(_WINDOW_WEIGHT * count, _MOST_WINDOW_WEIGHT)
    return _FIXED.get(path, 1)


def _by_limit(values: Mapping[str, str], default: int, steps: _Steps) -> int:
    sent = _DIGITS.fullmatch(values.get("limit", ""))
    limit = int(sent[0]) if sent else default
    return next((weight for most, weight in steps if limit <= most), steps[-1][1])


def _day_tickers(count: int) -> int:
    if count == 0 or count > _VERY_MANY_SYMBOLS:
        return 80
    return 40 if count > _MANY_SYMBOLS else 2


def _count_symbols(values: Mapping[str, str]) -> int:
    """Count the symbols that a request names; 0 for none."""
    if values.get("symbol"):
        return 1
    try:
        symbols = json.loads(values.get("symbols", ""))
    except ValueError:
        return 0
    return len(symbols) if isinstance(symbols, list) else 0


class UsedWeight:
    """How much weight was used in the present minute, by market.

    Example:
        >>> UsedWeight().add("/fapi/v1/premiumIndex", 1_790_000_000_000_000)
        {'x-mbx-used-weight-1m': '10'}
    """

    def __init__(self) -> None:
        self._minutes: dict[Market, int] = {}
        self._used: dict[Market, int] = {}

    def add(self, target: str, now_us: int) -> dict[str, str]:
        """Count a request, answered or refused.

        Args:
            target: Path and query.
            now_us: Microseconds since the epoch, UTC; the count starts anew in every
                minute of the clock.

        Returns:
            The headers of its answer.
        """
        path, _ = request_key(target)
        market: Market = "spot" if path.startswith("/api/") else "usdm"
        minute = now_us // _MINUTE_US
        if self._minutes.get(market) != minute:
            self._minutes[market], self._used[market] = minute, 0
        self._used[market] += weight_of(target)
        used = str(self._used[market])
        in_minute = {"x-mbx-used-weight-1m": used}
        return (
            {"x-mbx-used-weight": used, **in_minute} if market == "spot" else in_minute
        )
