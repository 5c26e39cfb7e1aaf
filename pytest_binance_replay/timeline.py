"""Batches moved in time: a tape that starts now, and one that starts again.

Times and ids inside payloads are moved along, so that a moved stretch is as valid as
the recorded one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_binance_replay.cassette import Batch, Mark
from pytest_binance_replay.editing import IdSpans, shift_times
from pytest_binance_replay.streams import event_kind
from pytest_binance_replay.tape import SEAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_binance_replay.streams import Market

Origin = tuple["Market", str]
"""Market and stream name behind a stream key."""

Spans = dict["Market", IdSpans]

_SECOND_US = 1_000_000
_MS_US = 1000


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

    A round is as long as the recording, rounded up to whole seconds. Books do not
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

    def batches(self) -> Iterator[Batch]:
        """Return round after round; nothing, if a round is empty."""
        spans: Spans = defaultdict(IdSpans)
        first_us = last_us = None
        for batch in self._open_batches():
            if batch.times_us:
                first_us = batch.times_us[0] if first_us is None else first_us
                last_us = batch.times_us[-1]
            self._collect(spans, batch)
            yield batch
        if first_us is None or last_us is None:
            return
        seconds = (last_us - first_us) // _SECOND_US + 1
        yield from self._rounds(spans, seconds * _SECOND_US)

    def _collect(self, spans: Spans, batch: Batch) -> None:
        for key, payload in zip(batch.streams, batch.payloads, strict=True):
            market, stream = self._origin(key)
            kind = event_kind(stream, market)
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
                    mark = Mark(again.times_us[0], SEAM, {"round": number})
                    again.others.insert(0, (0, mark))
                    looped = False
                yield again

    def _again(self, spans: Spans, batch: Batch, number: int, offset_us: int) -> Batch:
        batch = moved(batch, self._origin, offset_us)
        payloads = []
        for key, payload in zip(batch.streams, batch.payloads, strict=True):
            market, stream = self._origin(key)
            kind = event_kind(stream, market)
            if kind is not None:
                payload = spans[market].shift(  # noqa: PLW2901
                    payload, kind=kind, stream=stream, rounds=number
                )
            payloads.append(payload)
        return Batch(batch.times_us, batch.streams, payloads, list(batch.others))
