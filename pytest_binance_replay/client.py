"""A client: one connection, what it sees of the tape and what it did."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_binance_replay.journal import ClientRecord, ClientRequest
from pytest_binance_replay.pacing import BURST_FRAMES, Bucket
from pytest_binance_replay.protocols.address import Dialect
from pytest_binance_replay.wire import Form, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_binance_replay.catalogue import Catalogue
    from pytest_binance_replay.protocols.address import Address
    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.wire import Block

Keys = tuple[bytes, ...]
"""The stream keys that feed a subscription; none if nothing may."""

_KEPT_REQUESTS = 10_000
_BURST_US = 100_000
_COUNTED_TOGETHER = 64


class Client:
    """One connection, as the hub sees it.

    Args:
        number: From 1, in the order of connecting.
        address: What it connected to.
        market: The market it gets.
        prefix: Part of this market's stream keys before the stream name.
        path: Path and query as asked.

    Attributes:
        dialect: What it speaks.
        combined: Whether its native events are wrapped.
        names: What it is subscribed to, in order, in its own words, and what feeds it.
        view: What it sees of the tape.
        cursor: Number of the next frame of the tape that it has not passed.
        stop_at: Number of the frame before which it is to be sent away.
        bucket: Its right to frames at the auto pace.
        missed: For each name that it ever subscribed to, how many frames had gone by.
    """

    def __init__(
        self, number: int, address: Address, market: Market, prefix: bytes, path: str
    ) -> None:
        self.number = number
        self.path = path
        self.address = address
        self.market = market
        self.dialect = address.dialect
        self.combined = address.combined
        self.names: dict[str, Keys] = {}
        self.view = View(market, prefix=prefix)
        self.cursor = 0
        self.stop_at: int | None = None
        self.bucket = Bucket()
        self.requests: deque[ClientRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.missed: dict[str, int] = {}
        self.left_out = 0
        self.pongs = 0
        self.connected = True
        self.close_code: int | None = None
        self.close_reason = ""
        self.vanished = False
        self.burst = 0
        self._sent: Counter[bytes] = Counter()
        self._just_sent: deque[tuple[int, Counter[bytes]]] = deque()

    @property
    def form(self) -> Form:
        """How it is sent its events."""
        if self.dialect is Dialect.SIMPLE:
            return Form.SIMPLE
        return Form.COMBINED if self.combined else Form.RAW

    def refresh(self) -> None:
        """Rebuild the view after a change of subscriptions or wrapping."""
        view = replace(
            self.view,
            keys=frozenset(key for keys in self.names.values() for key in keys),
            form=self.form,
            # Futures streams have no such choice.
            microseconds=self.address.microseconds if self.market == "spot" else None,
        )
        self.view = _the_one_like(view)

    def note_passed(self, block: Block, start: int, stop: int, now_us: int) -> None:
        """Remember what was handed to its socket, and what its form cannot show.

        Args:
            block: The block.
            start: First frame passed, counted from the start of the block.
            stop: Frame after the last.
            now_us: When, on the clock.
        """
        wire = block.wire(self.view)
        if self.view.form is Form.SIMPLE:
            self.left_out += wire.left_out(start, stop)
        if counts := wire.count(start, stop):
            self._just_sent.append((now_us, counts))
            # Many at a time: a count is seldom in the processor's cache.
            if len(self._just_sent) % _COUNTED_TOGETHER == 0:
                self._count_before(now_us - _BURST_US)

    @property
    def sent(self) -> Counter[bytes]:
        """How many frames of each stream were handed to its socket."""
        return sum((counts for _, counts in self._just_sent), Counter(self._sent))

    def recent_burst(self, now_us: int) -> int:
        """Return how many frames it was sent at once just now; 0 if not many."""
        self._count_before(now_us - _BURST_US)
        frames = sum(counts.total() for _, counts in self._just_sent)
        return frames if frames >= BURST_FRAMES else 0

    def _count_before(self, time_us: int) -> None:
        """Add up what was sent before a time."""
        sent = self._sent
        while self._just_sent and self._just_sent[0][0] < time_us:
            _, counts = self._just_sent.popleft()
            for key, count in counts.items():  # half the time of `update`
                sent[key] += count

    def record(self, catalogue: Catalogue, released: int) -> ClientRecord:
        """Return what there is to know about it now.

        Args:
            catalogue: Names its stream keys.
            released: Number of the frame after the last that the tape has released.
        """
        is_listening = self.connected and self.view.keys
        return ClientRecord(
            number=self.number,
            path=self.path,
            protocol=self.form.value,
            subscriptions=tuple(self.names),
            requests=tuple(self.requests),
            sent=_by_name(self.sent, catalogue),
            missed={name: count for name, count in self.missed.items() if count},
            left_out=self.left_out,
            behind=max(released - self.cursor, 0) if is_listening else 0,
            pongs=self.pongs,
            connected=self.connected,
            close_code=self.close_code,
            close_reason=self.close_reason,
            vanished=self.vanished,
            burst=self.burst,
        )


@lru_cache(maxsize=1024)
def _the_one_like(view: View) -> View:
    """Return one view for all clients that see the same, which is found faster."""
    return view


def _by_name(counts: Mapping[bytes, int], catalogue: Catalogue) -> dict[str, int]:
    return {catalogue.name(key): count for key, count in counts.items()}
