"""Batches moved in time: a tape that starts now, and one that starts again.

Times and ids inside payloads are moved along, so that a moved stretch is as valid as
the recorded one.
"""

from __future__ import annotations

from collections import defaultdict
from math import lcm
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import Batch, Mark
from pytest_binance_replay.editing import shift_times
from pytest_binance_replay.ids import IdSpans
from pytest_binance_replay.streams import event_kind, parse_stream
from pytest_binance_replay.tape import MOVE, SEAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_binance_replay.streams import Market

Origin = tuple["Market", str]
"""Market and stream name behind a stream key."""

_MS_US = 1000
_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
# Weeks and months are longer than any recording that loops.
_CANDLE_US = {
    f"{count}{unit}": count * length_us
    for unit, length_us, counts in (
        ("s", _SECOND_US, (1,)),
        ("m", _MINUTE_US, (1, 3, 5, 15, 30)),
        ("h", 60 * _MINUTE_US, (1, 2, 4, 6, 8, 12)),
        ("d", 1440 * _MINUTE_US, (1, 3)),
    )
    for count in counts
}

Spans = dict["Market", IdSpans]


def rebased(
    batches: Iterable[Batch],
    origin: Callable[[bytes], Origin],
    now_us: Callable[[], int],
) -> Iterator[Batch]:
    """Move everything by one offset, so that the first frame is received now.

    Args:
        batches: What was recorded.
        origin: Names market and stream of a stream key.
        now_us: Reads the test's clock, when the first frame is read.
    """
    offset_us: int | None = None
    for batch in batches:
        if offset_us is None and batch.times_us:
            # Payload times are whole milliseconds, and all must move alike.
            offset_us = (now_us() - batch.times_us[0]) // _MS_US * _MS_US
        yield moved(batch, origin, offset_us or 0)


def moved(batch: Batch, origin: Callable[[bytes], Origin], offset_us: int) -> Batch:
    """Move the times of a batch, in payloads and outside."""
    if not offset_us:
        return batch
    payloads = []
    for key, payload in zip(batch.streams, batch.payloads, strict=True):
        market, stream = origin(key)
        kind = event_kind(stream, market)
        if kind is not None:
            payload = shift_times(payload, kind=kind, offset_us=offset_us)  # noqa: PLW2901
        payloads.append(payload)
    times_us = [time_us + offset_us for time_us in batch.times_us]
    return Batch(times_us, batch.streams, payloads, batch.others)


class Loop:
    """A tape that starts again at its end, with times and ids that go on.

    A round is as long as the recording, rounded up to whole seconds; where candles
    are on the tape, to whole candles, so that they stay on their grid, unless the
    recording is shorter than a candle of more than a minute. Books do not
    loop: the state at the end is not that at the start, so whoever follows one has
    to be sent away between rounds.

    Args:
        open_batches: Starts reading a round.
        origin: Names market and stream of a stream key.
    """

    def __init__(
        self,
        open_batches: Callable[[], Iterable[Batch]],
        origin: Callable[[bytes], Origin],
    ) -> None:
        self._open_batches = open_batches
        self._origin = origin
        self._candles_us: set[int] = set()

    def batches(self) -> Iterator[Batch]:
        """Return round after round; nothing, if a round is empty."""
        spans: Spans = defaultdict(IdSpans)
        firsts_us: dict[bytes, int] = {}
        lasts_us: dict[bytes, int] = {}
        for batch in self._open_batches():
            for key, time_us in zip(batch.streams, batch.times_us, strict=True):
                firsts_us.setdefault(key, time_us)
                lasts_us[key] = time_us
            self._collect(spans, batch)
            yield batch
        if firsts_us:
            length_us = _round_length(firsts_us, lasts_us, self._candles_us)
            yield from self._rounds(spans, length_us)

    def _collect(self, spans: Spans, batch: Batch) -> None:
        for key, payload in zip(batch.streams, batch.payloads, strict=True):
            market, stream = self._origin(key)
            kind = event_kind(stream, market)
            parsed = parse_stream(stream, market)
            if parsed is not None and parsed.interval in _CANDLE_US:
                self._candles_us.add(_CANDLE_US[parsed.interval])
            if kind is not None:
                spans[market].add(payload, kind=kind, stream=stream)

    def _rounds(self, spans: Spans, length_us: int) -> Iterator[Batch]:
        number = 0
        while True:
            number += 1
            looped = True
            for batch in self._open_batches():
                again = self._again(spans, batch, number, number * length_us)
                if looped and again.times_us:
                    move = self._mover(spans, number)
                    mark = Mark(again.times_us[0], SEAM, {"round": number, MOVE: move})
                    again.others.insert(0, (0, mark))
                    looped = False
                yield again

    def _mover(self, spans: Spans, number: int) -> Callable[[bytes, bytes], bytes]:
        def move(key: bytes, snapshot: bytes) -> bytes:
            market, stream = self._origin(key)
            return spans[market].shift(
                snapshot, kind="partialDepth", stream=stream, rounds=number
            )

        return move

    def _again(self, spans: Spans, batch: Batch, number: int, offset_us: int) -> Batch:
        # Ids first: their spans know the first event of a stream by its very bytes.
        payloads = []
        for key, payload in zip(batch.streams, batch.payloads, strict=True):
            market, stream = self._origin(key)
            kind = event_kind(stream, market)
            if kind is not None:
                payload = spans[market].shift(  # noqa: PLW2901
                    payload, kind=kind, stream=stream, rounds=number
                )
            payloads.append(payload)
        again = Batch(batch.times_us, batch.streams, payloads, list(batch.others))
        return moved(again, self._origin, offset_us)


def _round_length(
    firsts_us: Mapping[bytes, int],
    lasts_us: Mapping[bytes, int],
    candles_us: Iterable[int],
) -> int:
    """Return how long a round takes: whole seconds, or whole candles.

    The last candle closes just after the end of its time, so a recording may be a
    second longer than its candles without costing another one, unless the times of
    a stream would go back then.

    Args:
        firsts_us: When each stream's first frame was received.
        lasts_us: When each stream's last frame was received.
        candles_us: How long the candles on the tape are.
    """
    length_us = max(lasts_us.values()) - min(firsts_us.values())
    fitting = [us for us in candles_us if us <= max(length_us, _MINUTE_US)]
    if not fitting:
        return (length_us // _SECOND_US + 1) * _SECOND_US
    longest_us = max(lasts_us[key] - first_us for key, first_us in firsts_us.items())
    least_us = max(length_us - _SECOND_US, longest_us, 1)
    grid_us = lcm(*fitting)
    return -(-least_us // grid_us) * grid_us
