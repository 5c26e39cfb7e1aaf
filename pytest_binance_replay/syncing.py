"""Clients that follow a book and may still ask for its snapshot.

A local order book needs a snapshot that joins the stream while the tape still has
frames to come. A tape that skips recorded gaps therefore stops behind the first diff
of a book for a moment, until the snapshot has been answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_binance_replay.client import Client
    from pytest_binance_replay.streams import Market

MOMENT_US = 500_000
"""How long a tape waits for a client to have its snapshot, microseconds."""


@dataclass(slots=True)
class _Wait:
    client: Client
    key: bytes
    market: Market
    symbol: str
    until_us: int | None = None


class Syncing:
    """Who has subscribed to a book's diffs and had no snapshot since."""

    def __init__(self) -> None:
        self._waits: list[_Wait] = []
        self._early: set[tuple[Market, str]] = set()

    def add(self, client: Client, key: bytes, symbol: str) -> None:
        """Note a subscription to diff depth.

        Args:
            client: Whose.
            key: Stream key of the diffs.
            symbol: Upper case.
        """
        asked_before = (client.market, symbol) in self._early
        self._early.discard((client.market, symbol))
        if not asked_before:
            self._waits.append(_Wait(client, key, client.market, symbol))

    def keep(self, client: Client, keys: Iterable[bytes]) -> None:
        """Forget what a client is no longer subscribed to."""
        left = set(keys)
        self._waits = [
            w for w in self._waits if w.client is not client or w.key in left
        ]

    def newest(self, market: Market, symbol: str) -> Client | None:
        """Return the newest subscriber that has had no snapshot; None if all have."""
        found = [w for w in self._waits if (w.market, w.symbol) == (market, symbol)]
        return found[-1].client if found else None

    def note_answered(self, market: Market, symbol: str) -> None:
        """Note that a snapshot was given to the newest subscriber.

        If nobody waits for one, it is taken for that of a client yet to subscribe.
        """
        for wait in reversed(self._waits):
            if (wait.market, wait.symbol) == (market, symbol):
                self._waits.remove(wait)
                return
        self._early.add((market, symbol))

    # For a tape that waits

    def stop_in(self, keys: Sequence[bytes], start: int, stop: int) -> int:
        """Return where to stop in a block, so that a first diff is the last frame."""
        wanted = {wait.key for wait in self._waits if wait.until_us is None}
        if not wanted:
            return stop
        firsts = (n + 1 for n in range(start, stop) if keys[n] in wanted)
        return next(firsts, stop)

    def note_released(self, keys: Sequence[bytes], now_us: int) -> None:
        """Begin to wait for whoever has just had a first diff."""
        for wait in self._waits:
            if wait.until_us is None and wait.key in keys:
                wait.until_us = now_us + MOMENT_US

    def wait_until_us(self, now_us: int) -> int | None:
        """Return until when to wait, on the clock; None if there is nothing to do.

        A client that has let its moment pass is not given one for each of its other
        books, too: it asks for none, or joins without.
        """
        ends = [(w.until_us, w.client) for w in self._waits if w.until_us is not None]
        patient = [client for until_us, client in ends if until_us <= now_us]
        for wait in self._waits:
            if wait.until_us is None and wait.client in patient:
                wait.until_us = now_us
        latest = max((until_us for until_us, _ in ends), default=now_us)
        return latest if latest > now_us else None
