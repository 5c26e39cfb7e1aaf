"""Fields and streams that the exchange had only for a time.

What lies outside its time is noted and no fault: changes reach some symbols earlier,
and test nets earlier still.

Source:
    Change logs of the Binance Spot and USDⓈ-M Futures API docs; dates of undocumented
    changes from recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from pytest_binance_replay.streams import Market, StreamName

_FIRST_DAY = date(2017, 7, 1)  # of the exchange; what is older was written by hand
_SLACK = timedelta(days=8)  # changes come over some days


class Era(NamedTuple):
    """When something was there.

    Attributes:
        since: The first day; None if it was always there.
        until: The first day without it; None if it is still there.
    """

    since: date | None = None
    until: date | None = None

    def misses(self, day: date) -> str | None:
        """Say in words how a day lies outside; None if it does not."""
        if self.since is not None and day < self.since - _SLACK:
            return f"which came on {self.since}"
        if self.until is not None and day >= self.until + _SLACK:
            return f"which went on {self.until}"
        return None


_ANY = ""
_PAIR = Era(since=date(2026, 6, 30))
_FIELDS: Mapping[tuple[Market, str, str], Era] = {
    ("spot", "trade", "b"): Era(until=date(2024, 6, 18)),
    ("spot", "trade", "a"): Era(until=date(2024, 6, 18)),
    ("usdm", "aggTrade", "nq"): Era(since=date(2025, 12, 31)),
    ("usdm", "markPriceUpdate", "ap"): Era(since=date(2026, 3, 1)),
    ("usdm", _ANY, "st"): _PAIR,
    ("usdm", _ANY, "ps"): _PAIR,
    ("usdm", "forceOrder", "o.st"): _PAIR,
    ("usdm", "forceOrder", "o.ps"): _PAIR,
}
_THIRD_MEMBER = Era(until=date(2019, 3, 12))
_MICROSECONDS = Era(since=date(2024, 12, 17))

_STREAMS: Mapping[tuple[Market, str], Era] = {
    ("spot", "!bookTicker"): Era(date(2019, 9, 1), date(2022, 12, 7)),
    ("spot", "!ticker"): Era(until=date(2026, 3, 26)),
    ("spot", "bookTicker"): Era(since=date(2019, 9, 1)),
    ("spot", "depth@100ms"): Era(since=date(2019, 9, 1)),
    ("spot", "avgPrice"): Era(since=date(2023, 12, 4)),
    ("spot", "kline@+08:00"): Era(since=date(2024, 5, 30)),
    ("spot", "referencePrice"): Era(since=date(2026, 1, 1)),
    ("spot", "!serverShutdown"): Era(since=date(2026, 5, 8)),
    ("spot", "blockTrade"): Era(since=date(2026, 5, 12)),
    ("usdm", "rpiDepth@500ms"): Era(since=date(2025, 11, 26)),
    ("usdm", "!tradingSession"): Era(since=date(2025, 12, 11)),
}


def day_of(time_us: int) -> date | None:
    """Return the day of a time; None for one that no recording can be of."""
    try:
        day = datetime.fromtimestamp(time_us // 1_000_000, UTC).date()
    except (OverflowError, ValueError, OSError):
        return None
    return day if day >= _FIRST_DAY else None


def stream_out_of_time(name: StreamName, market: Market, day: date) -> str | None:
    """Say that a stream is not of its time; None if it is."""
    kind = f"!{name.kind}" if name.all_market else name.kind
    if name.window is not None:
        return None
    detail = name.speed or name.utc_offset
    key = f"{kind}@{detail}" if detail else kind
    era = _STREAMS.get((market, key), _STREAMS.get((market, kind)))
    missed = era.misses(day) if era else None
    return f"the stream, {missed}, has a frame of {day}" if missed else None


def fields_out_of_time(
    wire: Mapping[str, object], market: Market, event: str, day: date
) -> Iterator[str]:
    """Say which fields of an event are not of its time.

    Args:
        wire: The decoded payload.
        market: Its market; contracts of COIN-M always had pair and type.
        event: Its event type, empty where it has none.
        day: When it was made.
    """
    for path in _paths(wire):
        era = _era(market, event, path)
        missed = era.misses(day) if era is not None else None
        if missed and not (era is _PAIR and _is_coin_margined(wire)):
            yield f"field {path!r}, {missed}, in a payload of {day}"
    yield from _values_out_of_time(wire, market, day)


def _era(market: Market, event: str, path: str) -> Era | None:
    if event == "continuous_kline" and path == "ps":
        return None
    return _FIELDS.get((market, event, path), _FIELDS.get((market, _ANY, path)))


def _paths(wire: Mapping[str, object]) -> Iterator[str]:
    for name, value in wire.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in value)


def _is_coin_margined(wire: Mapping[str, object]) -> bool:
    order = wire.get("o")
    named = order if isinstance(order, dict) else wire
    return "_" in str(named.get("s", ""))


def _values_out_of_time(
    wire: Mapping[str, object], market: Market, day: date
) -> Iterator[str]:
    event_time = wire.get("E")
    if isinstance(event_time, int) and event_time >= 10**14:
        if market == "usdm":
            yield "times in microseconds, which the futures never had"
        elif missed := _MICROSECONDS.misses(day):
            yield f"times in microseconds, {missed}, in a payload of {day}"
    if (missed := _THIRD_MEMBER.misses(day)) and _has_third_members(wire):
        yield f"levels with a third member, {missed}, in a payload of {day}"


def _has_third_members(wire: Mapping[str, object]) -> bool:
    sides = (wire.get(name) for name in ("b", "a", "bids", "asks"))
    return any(
        isinstance(level, list) and len(level) > 2
        for side in sides
        if isinstance(side, list)
        for level in side
    )
