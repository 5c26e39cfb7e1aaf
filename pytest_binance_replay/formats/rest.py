"""The body of one REST answer, saved to a file: depth, exchangeInfo or klines.

It says neither when it was received nor what was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pytest_binance_replay.cassette import RestAnswer, is_payload
from pytest_binance_replay.formats.base import (
    FROM_EVENT_TIME,
    UNDATED,
    Clues,
    Format,
    Item,
    Told,
    event_time_us,
    refuse,
)
from pytest_binance_replay.formats.stamped import depth_request

_DEPTH = re.compile(rb'\s*\{\s*"lastUpdateId"\s*:')
_EXCHANGE_INFO = re.compile(
    rb'\s*\{\s*"(?:timezone|rateLimits|exchangeFilters|symbols|assets)"\s*:'
)
_KLINES = re.compile(rb'\s*\[\s*\[\s*[0-9]{13,16}\s*,\s*"')
_INTERVALS_MS = {
    1000: "1s", 60_000: "1m", 180_000: "3m", 300_000: "5m", 900_000: "15m",
    1_800_000: "30m", 3_600_000: "1h", 7_200_000: "2h", 14_400_000: "4h",
    21_600_000: "6h", 28_800_000: "8h", 43_200_000: "12h", 86_400_000: "1d",
    259_200_000: "3d", 604_800_000: "1w",
}  # fmt: skip


def interval_of(open_time: int, close_time: int) -> str:
    """Return the interval of a candle by its first and last instant."""
    unit = 1000 if open_time >= 10**14 else 1
    return _INTERVALS_MS.get((close_time + 1 - open_time) // unit, "1M")


def _recognises(sample: bytes) -> bool:
    return any(form.match(sample) for form in (_DEPTH, _EXCHANGE_INFO, _KLINES))


class BodyReader:
    """Reads one REST body."""

    def __init__(self, clues: Clues) -> None:
        self.told = Told(notes={"receive_times": FROM_EVENT_TIME})
        self._clues = clues

    def read(self, open_chunks: Callable[[], Iterator[bytes]]) -> Iterator[Item]:
        """Read the body."""
        body = b"".join(open_chunks()).strip()
        if not is_payload(body):
            body = _compact(body)
        yield RestAnswer(self._time_us(body), self._request(body), 200, body)

    def _time_us(self, body: bytes) -> int:
        return event_time_us(body[:200]) if _DEPTH.match(body) else UNDATED

    def _request(self, body: bytes) -> str:
        base = "/fapi/v1" if self._clues.market == "usdm" else "/api/v3"
        if _EXCHANGE_INFO.match(body):
            return f"{base}/exchangeInfo"
        symbol = self._clues.symbol
        if symbol is None:
            refuse("it does not say its symbol; name it with --symbol")
        if _DEPTH.match(body):
            return depth_request(body, symbol)
        try:
            rows: list[Any] = json.loads(body)
            interval = interval_of(rows[0][0], rows[0][6])
        except (ValueError, LookupError, TypeError):
            refuse("it is no list of candles")
        limit = len(rows)
        return f"{base}/klines?symbol={symbol}&interval={interval}&limit={limit}"


def _compact(body: bytes) -> bytes:
    """Put a body that fills several lines on one, leaving all else as it is."""
    text = re.sub(rb"[ \t\r]*\n[ \t\r]*", b"", body)  # a text holds no line end
    if not is_payload(text):
        refuse("it is not JSON")
    return text


REST = Format("rest", "the body of a REST answer", _recognises, BodyReader)
