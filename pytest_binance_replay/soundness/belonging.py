"""Whether a payload belongs to its stream: event type, symbol, interval, shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_binance_replay.streams import StreamName, event_kind, is_well_formed

if TYPE_CHECKING:
    from pytest_binance_replay.streams import Market

_SESSIONS = frozenset(
    {
        *("EquityUpdate", "CommodityUpdate"),
        *("KR_EquityUpdate", "HK_EquityUpdate", "CN_EquityUpdate"),
    }
)
_OBJECTS = frozenset({"forceOrder", "bookTicker", "contractInfo", "serverShutdown"})
_NO_TYPE: frozenset[str | None] = frozenset({None})


def name_problem(name: str, market: Market, parsed: StreamName | None) -> str | None:
    """Say why a name is none that the exchange's market sends; None if it is one.

    Args:
        name: The name of a stream.
        market: The cassette's market.
        parsed: The name, taken apart by the tables of that market.
    """
    if parsed is not None:
        return None
    if not is_well_formed(name):
        return f"{name!r} is not a stream name, such as btcusdt@trade"
    other: Market = "usdm" if market == "spot" else "spot"
    if event_kind(name, other) is not None:
        return f"{name!r} is a stream of {other}, and the cassette is of {market}"
    if (lower := name.partition("@")[0].lower()) + name[len(lower) :] != name:
        return f"{name!r} has a symbol in upper case, which the exchange never sends"
    return None


class Belonging:
    """What the payloads of one stream look like.

    Args:
        name: The stream's name, taken apart.
        market: Its market.

    Attributes:
        is_array: Whether each payload is an array of events.
        event: The event type, or `partialDepth`, `rollingTicker`, `tradingSession`
            where it is not one word of the wire.
    """

    def __init__(self, name: StreamName, market: Market) -> None:
        self.event = event_kind(str(name), market) or ""
        self.is_array = name.all_market and not (
            name.kind in _OBJECTS or name.kind == "tradingSession"
        )
        self._name = name
        self._types = self._event_types(market)
        self._subject = name.symbol.upper() if name.symbol else None

    def _event_types(self, market: Market) -> frozenset[str | None]:
        name = self._name
        if self.event == "partialDepth" or (market, name.kind) == (
            "spot",
            "bookTicker",
        ):
            return _NO_TYPE
        if self.event == "tradingSession":
            return _SESSIONS
        if name.window is not None:
            return frozenset({f"{name.window}Ticker"})
        return frozenset({self.event})

    def problem(self, wire: Any) -> str | None:
        """Say what about an event is of another stream; None if nothing is."""
        event = wire.get("e")
        if not isinstance(event, str | None) or event not in self._types:
            said = "no type" if event is None else f"type {event!r}"
            return f"an event of {said}, and the stream sends {self._sent}"
        if self._subject is None or self.event == "partialDepth":
            return None
        subject = self._subject_of(wire)
        if subject != self._subject and str(subject).upper() != self._subject:
            return (
                f"an event of symbol {subject!r}, and the stream's is {self._subject}"
            )
        return self._detail_problem(wire) if "k" in wire else None

    @property
    def _sent(self) -> str:
        if self._types is _NO_TYPE:
            return f"{self.event} without a type"
        return " or ".join(sorted(repr(event) for event in self._types))

    def _subject_of(self, wire: Any) -> object:
        if self.event == "forceOrder":
            return wire["o"].get("s") if isinstance(wire.get("o"), dict) else None
        return wire.get("ps" if self.event == "continuous_kline" else "s")

    def _detail_problem(self, wire: Any) -> str | None:
        candle, name = wire["k"], self._name
        if not isinstance(candle, dict):
            return None
        if candle.get("i") != name.interval:
            found, wanted = candle.get("i"), name.interval
        elif name.contract and str(wire.get("ct")).lower() != name.contract:
            found, wanted = wire.get("ct"), name.contract
        elif name.contract is None and candle.get("s") != wire.get("s"):
            found, wanted = candle.get("s"), self._subject
        else:
            return None
        return f"a candle of {found!r}, and the stream's are of {wanted!r}"

    def shape_problem(self, wire: object) -> str | None:
        """Say that a payload is an array and should not be, or the other way."""
        if isinstance(wire, list) == self.is_array:
            return None
        wanted, found = "an array of events", "one event"
        if not self.is_array:
            wanted, found = "one event", "an array"
        return f"the payload is {found}, and the stream sends {wanted}"
