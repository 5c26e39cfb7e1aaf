"""What a tape holds: its markets, their streams, and who may hear them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_binance_replay.streams import route_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_binance_replay.streams import Market

Routes = Literal["live", "any"]
"""`live`: futures paths keep streams of another route silent; `any`: they do not."""


@dataclass(slots=True)
class Catalogue:
    """What a tape holds.

    Attributes:
        streams: Stream names of each market on the tape; a frame that a test pushes
            adds to them.
        routes: How the markets treat their routes; `live` for one that is not named.
        recorded: What `streams` held in the beginning, when nothing had been pushed.
    """

    streams: dict[Market, set[str]]
    routes: Mapping[Market, Routes] = field(default_factory=dict)
    recorded: Mapping[Market, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        """Remember what is on the tape before any frame is pushed."""
        held = self.streams.items()
        self.recorded = {market: frozenset(names) for market, names in held}

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets on the tape, that of the first cassette first."""
        return tuple(self.streams)

    def prefix(self, market: Market) -> bytes:
        """Return what stands before a stream name in this market's stream keys."""
        return b"" if len(self.streams) == 1 else market.encode() + b"/"

    def origin(self, key: bytes) -> tuple[Market, str]:
        """Return market and stream name behind a stream key."""
        for market in self.markets:
            prefix = self.prefix(market)
            if key.startswith(prefix):
                return market, key[len(prefix) :].decode()
        raise KeyError(key)

    def name(self, key: bytes) -> str:
        """Return the stream name in a stream key."""
        return self.origin(key)[1]

    def keeps_silent(self, market: Market, name: str, route: str | None) -> bool:
        """Tell whether a path acknowledges a stream and never sends it.

        Args:
            market: Market of the client.
            name: Stream name.
            route: Route of the client's path; None for the old paths, which act as
                `public`.

        Source:
            Binance USDⓈ-M Futures docs, change log of 2026-03-05; that there is no
            error was measured.
        """
        if market == "spot" or self.routes.get(market) == "any":
            return False
        carrier = route_of(name)
        return carrier is not None and carrier != (route or "public")
