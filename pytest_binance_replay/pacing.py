"""Paces: which frames may be released now, and when to ask again.

A pace is asked with the time and answers with a plan; it waits for nothing and
releases nothing itself, so that it can be tested with plain numbers.

Three paces exist. *As fast as possible* releases whole blocks. *Scaled* keeps the
recorded gaps, divided by a speed, against absolute deadlines: a late turn releases
what was missed, so that lateness never adds up. *Auto* skips the recorded gaps, but
gives each client no more than a burst and then a steady rate, because clients with
bounded queues die of more; where the recording itself was faster, it keeps the
recorded pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_binance_replay.tape import due_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_binance_replay.wire import Block

BURST_FRAMES = 50
FRAMES_PER_SECOND = 500
RECONNECT_US = 5_000_000
"""How long the auto pace keeps recorded gaps for a client that was cut off."""

_INTERVAL_US = 1_000_000 // FRAMES_PER_SECOND
_CATCH_UP_US = 50_000


class Plan(NamedTuple):
    """What a pace allows.

    Attributes:
        upto: Number of the frame after the last that may be released now.
        again_us: When the next one may be, on the clock; None if it may be at once.
    """

    upto: int
    again_us: int | None


class Bucket:
    """A client's right to frames: a burst at once, then a steady rate.

    Source:
        ITU-T I.371, generic cell rate algorithm, virtual scheduling.
    """

    __slots__ = ("_full_us",)

    def __init__(self) -> None:
        self._full_us = 0

    def ready_us(self) -> int:
        """Return when the client may be given another frame, on the clock."""
        return self._full_us - (BURST_FRAMES - 1) * _INTERVAL_US

    def take(self, now_us: int) -> None:
        """Count one frame given to the client."""
        self._full_us = max(self._full_us, now_us) + _INTERVAL_US


@dataclass(slots=True)
class Audience:
    """Who listens to a tape, as far as the auto pace cares.

    Attributes:
        takers: The stream keys and the bucket of each client with a subscription.
        cut_off_us: When the last of them lost its connection, on the clock, if
            nobody listens since; None otherwise.
    """

    takers: Sequence[tuple[frozenset[bytes], Bucket]] = ()
    cut_off_us: int | None = None


class Pace(Protocol):
    """When frames are due."""

    def anchor(self, now_us: int, due_us: int) -> None:
        """Start, or start again: the tape stands at a due time now."""

    def due_now(self, now_us: int) -> int | None:
        """Return the due time that the tape has reached; None if it keeps none."""

    def plan(
        self, block: Block, index: int, stop: int, now_us: int, audience: Audience
    ) -> Plan:
        """Say which frames from a place in a block on may be released.

        Args:
            block: The block that holds the next frame.
            index: Place of the next frame in it.
            stop: Place in it at which to stop in any case.
            now_us: The time on the clock, microseconds.
            audience: Who listens.
        """


class FastPace:
    """As fast as sockets take it."""

    def anchor(self, now_us: int, due_us: int) -> None:
        """Do nothing: there are no deadlines."""

    def due_now(self, now_us: int) -> int | None:
        """Return None: there are no deadlines."""
        return None

    def plan(
        self,
        block: Block,
        index: int,
        stop: int,
        now_us: int,
        audience: Audience,
    ) -> Plan:
        """Allow all."""
        return Plan(block.first + stop, None)


class ScaledPace:
    """The recorded gaps, divided by a speed.

    Args:
        speed: Times the recorded pace, finite and above 0.
    """

    def __init__(self, speed: float) -> None:
        # Whole numbers, since rounding could name a deadline that is not one yet.
        self._due, self._per_us = speed.as_integer_ratio()
        self._now_us = 0
        self._due_us = 0

    def anchor(self, now_us: int, due_us: int) -> None:
        """Tie a due time to the clock; all deadlines count from here."""
        self._now_us = now_us
        self._due_us = due_us

    def due_now(self, now_us: int) -> int:
        """Return the due time reached by now."""
        return self._due_us + (now_us - self._now_us) * self._due // self._per_us

    def plan(
        self,
        block: Block,
        index: int,
        stop: int,
        now_us: int,
        audience: Audience,
    ) -> Plan:
        """Allow what is due, and name the absolute deadline of the next frame."""
        upto = due_before(block, self.due_now(now_us))
        upto = min(max(upto, block.first + index), block.first + stop)
        if upto == block.first + stop:
            return Plan(upto, None)
        due_us = block.due_us[upto - block.first] - self._due_us
        return Plan(upto, self._now_us - -due_us * self._per_us // self._due)


class AutoPace:
    """No recorded gaps, but no more than clients with bounded queues live through."""

    def __init__(self) -> None:
        self._now_us = 0
        self._due_us = 0

    def anchor(self, now_us: int, due_us: int) -> None:
        """Count recorded gaps from here."""
        self._now_us = now_us
        self._due_us = due_us

    def due_now(self, now_us: int) -> int | None:
        """Return None: recorded gaps are skipped."""
        return None

    def plan(
        self, block: Block, index: int, stop: int, now_us: int, audience: Audience
    ) -> Plan:
        """Allow frames while each of their takers has a right to one more."""
        for at in range(index, stop):
            takers = [b for keys, b in audience.takers if block.keys[at] in keys]
            recorded_us = self._now_us + block.due_us[at] - self._due_us
            when_us = min(self._ready_us(takers, now_us, audience), recorded_us)
            if when_us > now_us:
                return Plan(block.first + at, when_us)
            # A right that was not used in time does not let the recorded pace run
            # ahead; a turn that comes late is made up for, if it is not too late.
            ideal_us = max(when_us, self._now_us, now_us - _CATCH_UP_US)
            self.anchor(ideal_us, block.due_us[at])
            for bucket in takers:
                bucket.take(now_us)
        return Plan(block.first + stop, None)

    @staticmethod
    def _ready_us(takers: list[Bucket], now_us: int, audience: Audience) -> int:
        if audience.cut_off_us is not None:
            return max(now_us, audience.cut_off_us + RECONNECT_US)
        return max((bucket.ready_us() for bucket in takers), default=now_us)
