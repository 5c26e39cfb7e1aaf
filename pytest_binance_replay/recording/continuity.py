"""Whether a recording's depth streams are without gaps, and joined by a snapshot.

Source:
    Binance Spot and USDⓈ-M Futures API docs, "How to manage a local order book
    correctly".
"""

from __future__ import annotations

import json
import re
from typing import Literal, NamedTuple

_IDS = re.compile(rb'"U":(\d+),"u":(\d+),(?:"pu":(\d+),)?"b":')


class UpdateIds(NamedTuple):
    """The update ids of one diff depth event.

    Attributes:
        first: `U`.
        final: `u`.
        previous: `pu`; None on spot.
    """

    first: int
    final: int
    previous: int | None


class Gap(NamedTuple):
    """Events that never came.

    Attributes:
        after: The last update before them.
        upto: The update that the event behind them builds on or brings first.
    """

    after: int
    upto: int


def update_ids(payload: bytes) -> UpdateIds | None:
    """Read the update ids of a diff depth payload; None if it is none."""
    if found := _IDS.search(payload):
        first, final, previous = found.groups()
        return UpdateIds(int(first), int(final), int(previous) if previous else None)
    try:
        event = json.loads(payload)
        ids = UpdateIds(event["U"], event["u"], event.get("pu"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    is_sound = all(isinstance(number, int) for number in ids[:2])
    return ids if is_sound and isinstance(ids.previous, int | None) else None


class DepthChain:
    """Follows one diff depth stream, and tells whether a snapshot joins it.

    Attributes:
        is_given_up: Whether no snapshot is wanted until there is another gap.
    """

    def __init__(self) -> None:
        self._start: UpdateIds | None = None
        self._last: UpdateIds | None = None
        self._snapshot_id: int | None = None
        self.is_given_up = False

    @property
    def has_started(self) -> bool:
        """Whether an event has come."""
        return self._start is not None

    @property
    def wants_snapshot(self) -> bool:
        """Whether events have come that no snapshot is going to join."""
        return self.has_started and self._snapshot_id is None and not self.is_given_up

    def give_up(self) -> None:
        """Want no more snapshot until there is another gap."""
        self.is_given_up = True

    @property
    def is_joined(self) -> bool:
        """Whether an event has come that follows a snapshot."""
        last, snapshot_id = self._last, self._snapshot_id
        if last is None or snapshot_id is None:
            return False
        return last.final >= snapshot_id + (last.previous is None)

    def take(self, payload: bytes) -> Gap | None:
        """Follow the stream by one event.

        Returns:
            What is missing between the event before and this one; None if nothing is,
            and for what is no diff depth event.
        """
        ids = update_ids(payload)
        if ids is None:
            return None
        last, self._last = self._last, ids
        if last is None:
            self._start = ids
            return None
        if _follows(ids, last):
            return None
        self._start, self._snapshot_id, self.is_given_up = ids, None, False
        builds_on = ids.first if ids.previous is None else ids.previous
        return Gap(last.final, builds_on)

    def offer(self, payload: bytes) -> Literal["joins", "stale", "unreadable"]:
        """Take a depth snapshot.

        Args:
            payload: The answer of REST.

        Returns:
            `stale` if it is older than the first event it would have to join.
        """
        try:
            update_id = json.loads(payload)["lastUpdateId"]
        except (ValueError, KeyError, TypeError):
            return "unreadable"
        if not isinstance(update_id, int):
            return "unreadable"
        if self._start is None or update_id < _reach(self._start):
            return "stale"
        self._snapshot_id = update_id
        return "joins"


def _follows(ids: UpdateIds, last: UpdateIds) -> bool:
    if ids.previous is None:
        return ids.first == last.final + 1
    return ids.previous == last.final


def _reach(start: UpdateIds) -> int:
    """Return the oldest update a snapshot may be at, to be followed by an event."""
    return start.first - 1 if start.previous is None else start.first
