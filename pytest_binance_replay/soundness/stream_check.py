"""One stream of a cassette: each of its payloads, by all rules that concern it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pytest_binance_replay.errors import EventError
from pytest_binance_replay.events.base import read_json
from pytest_binance_replay.soundness.belonging import Belonging, name_problem
from pytest_binance_replay.soundness.depth import DiffChain, Shown
from pytest_binance_replay.soundness.eras import day_of, stream_out_of_time
from pytest_binance_replay.soundness.models import ModelCheck
from pytest_binance_replay.soundness.series import (
    AggTradeIds,
    BlockTradeIds,
    BookTickerIds,
    Candles,
    EventTimes,
    PartialDepthIds,
    TradeIds,
)
from pytest_binance_replay.streams import parse_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.soundness.depth import Snapshot
    from pytest_binance_replay.soundness.findings import Findings
    from pytest_binance_replay.soundness.series import Series
    from pytest_binance_replay.streams import Market

_FIRST_MICROSECONDS = 10**14
_KEPT_SNAPSHOTS = 4


class Chains:
    """The diff depth streams of each symbol, and the snapshots that they join."""

    def __init__(self) -> None:
        self._of_symbol: dict[str, list[DiffChain]] = {}
        self._snapshots: dict[str, deque[Snapshot]] = {}

    def add(self, symbol: str, chain: DiffChain, findings: Findings) -> None:
        """Add a stream; snapshots may have come before it."""
        self._of_symbol.setdefault(symbol, []).append(chain)
        for snapshot in self._snapshots.get(symbol, ()):
            chain.snapshot(snapshot, findings)

    def add_snapshot(self, symbol: str, snapshot: Snapshot, findings: Findings) -> None:
        """Add a snapshot, for the streams there are and those to come."""
        kept = self._snapshots.setdefault(symbol, deque(maxlen=_KEPT_SNAPSHOTS))
        kept.append(snapshot)
        for chain in self.of(symbol):
            chain.snapshot(snapshot, findings)

    def of(self, symbol: str) -> list[DiffChain]:
        """Return the streams of a symbol."""
        return self._of_symbol.get(symbol, [])

    def all(self) -> list[DiffChain]:
        """Return every stream."""
        return [chain for chains in self._of_symbol.values() for chain in chains]


class StreamCheck:
    """One stream.

    Args:
        name: Its name.
        market: The cassette's market.
        chains: Where its diff depth is put, and where others find it.
        told: What was noted about fields before.
        findings: Told what snapshots that came before it show.

    Attributes:
        name: Its name.
        breaks: How many of the breaks that were announced it has seen.
    """

    def __init__(
        self,
        name: str,
        market: Market,
        chains: Chains,
        told: set[str],
        findings: Findings,
    ) -> None:
        self.breaks = 0
        self.name = name
        self._market = market
        self._chains = chains
        self._parsed = parse_stream(name, market)
        self._belonging = Belonging(self._parsed, market) if self._parsed else None
        self._models = ModelCheck(name, market, told)
        self._series: dict[str, list[Series]] = {}
        self._is_all_market = self._parsed is not None and self._parsed.all_market
        self._looks = self._further_look(findings)
        self._first = True

    def _further_look(
        self, findings: Findings
    ) -> Callable[[Any, bytes, Findings], None] | None:
        """Return what looks at the book, for streams that show some of it."""
        name = self._parsed
        if name is None or name.kind not in {"depth", "rpiDepth", "bookTicker"}:
            return None
        if name.kind == "bookTicker":
            return self._look_at_ticker
        if name.levels:
            return self._look_at_partial if self._market == "spot" else None
        symbol = (name.symbol or "").upper()
        chain = DiffChain(self.name, symbol, self._market)
        if name.kind == "depth":  # the other has a book of its own, never shown
            self._chains.add(symbol, chain, findings)
        return chain.take

    # A payload

    def take(self, time_us: int, payload: bytes, findings: Findings) -> None:
        """Look at the next payload."""
        if self._first:
            self._first = False
            self._look_at_name(time_us, findings)
        try:
            wire = read_json(payload, self.name)
        except EventError as error:
            findings.error("json", f"the payload is {error.problem}")
            return
        if self._belonging is None:
            return
        if problem := self._problem(wire):
            findings.error("stream", problem)
            return
        made_at_us = _made_at_us(wire, time_us)
        if self._models.accepts(payload, wire, made_at_us, findings):
            for event in wire if isinstance(wire, list) else (wire,):
                self._follow(event, payload, findings)

    def _look_at_name(self, time_us: int, findings: Findings) -> None:
        problem = name_problem(self.name, self._market, self._parsed)
        day = day_of(time_us)
        if problem:
            findings.error("stream", problem)
        elif self._parsed is None:
            sentence = (
                f"no stream of {self._market} that is known: only its JSON counts"
            )
            findings.note("stream", sentence)
        elif day and (missed := stream_out_of_time(self._parsed, self._market, day)):
            findings.note("era", missed)

    def _problem(self, wire: object) -> str | None:
        assert self._belonging is not None
        if problem := self._belonging.shape_problem(wire):
            return problem
        if isinstance(wire, dict):
            return self._belonging.problem(wire)
        for event in wire if isinstance(wire, list) else ():
            if isinstance(event, dict) and (problem := self._belonging.problem(event)):
                return problem
        return None

    # An event

    def _follow(self, wire: Any, payload: bytes, findings: Findings) -> None:
        symbol = wire.get("s", "") if self._is_all_market else ""
        series = self._series.get(symbol)
        if series is None:
            series = self._series[symbol] = list(self._new_series(wire))
        for look in series:
            look(wire, findings)
        if self._looks is not None:
            self._looks(wire, payload, findings)

    def _new_series(self, wire: Any) -> list[Series]:
        series: list[Series] = [EventTimes()] if "E" in wire else []
        name = self._parsed
        assert name is not None
        match name.kind:
            case "trade":
                series.append(TradeIds(self._market))
            case "blockTrade":
                series.append(BlockTradeIds())
            case "aggTrade":
                series.append(AggTradeIds(self._market))
            case "bookTicker":
                series.append(BookTickerIds(strictly=not self._is_all_market))
            case "kline" | "continuousKline":
                counts = name.kind == "kline"
                series.append(Candles(self._market, counts_trades=counts))
            case "depth" if name.levels:
                series.append(PartialDepthIds())
        return series

    def _look_at_ticker(self, wire: Any, _: bytes, findings: Findings) -> None:
        chains = self._chains.of(wire["s"])
        if not chains:
            return
        bids, asks = ((wire["b"], wire["B"]),), ((wire["a"], wire["A"]),)
        shown = Shown(findings.line, self.name, "book-ticker", bids, asks)
        for chain in chains:
            chain.show(wire["u"], shown, findings)

    def _look_at_partial(self, wire: Any, _: bytes, findings: Findings) -> None:
        bids, asks = wire.get("bids", wire.get("b")), wire.get("asks", wire.get("a"))
        assert self._parsed is not None
        shown = Shown(findings.line, self.name, "partial-depth", bids, asks)
        for chain in self._chains.of((self._parsed.symbol or "").upper()):
            chain.show(wire["lastUpdateId"], shown, findings)


def _made_at_us(wire: object, receive_time_us: int) -> int:
    """Return the event time; where there is none, the receive time."""
    first = wire[0] if isinstance(wire, list) and wire else wire
    time = first.get("E") if isinstance(first, dict) else None
    if not isinstance(time, int):
        return receive_time_us
    return time if time >= _FIRST_MICROSECONDS else time * 1000
