"""Where candles begin and end.

Source:
    Binance Spot API docs, "Kline/Candlestick Streams": weeks begin on Monday, and
    with an offset of time the days do at another hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pytest_binance_replay.market.payloads import Period

_SECOND_US = 1_000_000
_UNITS_US = {
    "s": _SECOND_US,
    "m": 60 * _SECOND_US,
    "h": 3_600 * _SECOND_US,
    "d": 86_400 * _SECOND_US,
    "w": 7 * 86_400 * _SECOND_US,
}
_MONDAY_US = 4 * 86_400 * _SECOND_US  # the epoch was a Thursday
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHIFTED_US = 8 * 3_600 * _SECOND_US
_SHORTEST_SHIFTED_US = 6 * 3_600 * _SECOND_US


def period_at(interval: str, now_us: int, *, shifted: bool = False) -> Period:
    """Return the candle of a moment.

    Args:
        interval: As the exchange names it: `1m`, `4h`, `1M`.
        now_us: Microseconds since the epoch.
        shifted: Whether days begin where it is UTC+8.

    Example:
        >>> period_at("1m", 90_000_000)
        Period(name='1m', start_us=60000000, end_us=119999000)
    """
    length_us = int(interval[:-1]) * _UNITS_US.get(interval[-1], 0)
    is_long = not length_us or length_us >= _SHORTEST_SHIFTED_US
    shift_us = _SHIFTED_US if shifted and is_long else 0
    if not length_us:
        start_us, end_us = _month(now_us + shift_us)
        return Period(interval, start_us - shift_us, end_us - shift_us - 1000)
    origin_us = _MONDAY_US if interval[-1] == "w" else 0
    start_us = now_us - (now_us + shift_us - origin_us) % length_us
    return Period(interval, start_us, start_us + length_us - 1000)


def _month(now_us: int) -> tuple[int, int]:
    now = _EPOCH + timedelta(microseconds=now_us)
    first = datetime(now.year, now.month, 1, tzinfo=UTC)
    later = first + timedelta(days=31)
    following = datetime(later.year, later.month, 1, tzinfo=UTC)
    microsecond = timedelta(microseconds=1)
    return (first - _EPOCH) // microsecond, (following - _EPOCH) // microsecond
