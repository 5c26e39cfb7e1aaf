"""Slower diff depth made of faster."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from pytest_binance_replay.book import Change
from pytest_binance_replay.derived.making import Gathering, in_microseconds
from pytest_binance_replay.editing import compile_fields, rewrite
from pytest_binance_replay.sides import are_levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_binance_replay.streams import Market

LEVELS = re.compile(
    rb'"(?<!\\")([ba])"(\s*+:\s*+)\[(?:[^\[\]]++|\[(?:[^\[\]]++|\[[^\[\]]*+\])*+\])*+\]'
)
"""Finds the bids and asks of a depth event: key, what is behind it, and the levels."""

_IDS = compile_fields(("U", "pu"))


class Diff(NamedTuple):
    """A diff depth event: what a book needs of it, and its payload."""

    change: Change
    payload: bytes


def read_diff(payload: bytes) -> tuple[Diff, int] | None:
    """Read a diff depth event and its event time in microseconds.

    Returns:
        None for what is no whole event.
    """
    try:
        event = json.loads(payload)
        change = Change(event["U"], event["u"], event.get("pu"), event["b"], event["a"])
        event_time = event["E"]
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None
    ids = [change.first_update_id, change.final_update_id, event_time]
    if change.previous_update_id is not None:
        ids.append(change.previous_update_id)
    if not all(isinstance(number, int) for number in ids):
        return None
    if not (are_levels(change.bids) and are_levels(change.asks)):
        return None
    return Diff(change, payload), in_microseconds(event_time)


def merge_levels(changes: Iterable[Sequence[Sequence[str]]]) -> list[list[str]]:
    """Return the last quantity of each price, lowest price first."""
    spelled: dict[str, Sequence[str]] = {}
    for levels in changes:
        for level in levels:
            # A price that is spelled in two ways counts as it was spelled last.
            spelled.pop(level[0], None)
            spelled[level[0]] = level
    newest = {Decimal(price): list(level) for price, level in spelled.items()}
    return [newest[price] for price in sorted(newest)]


def with_members(
    payload: bytes, ids: Mapping[str, int], sides: Mapping[bytes, object]
) -> bytes:
    """Put other ids and levels into a depth event; the rest stays as it is."""

    def levels(found: re.Match[bytes]) -> bytes:
        text = json.dumps(sides[found[1]], separators=(",", ":"), ensure_ascii=False)
        return b'"%b"%b%b' % (found[1], found[2], text.encode())

    # Ids first: later on the payload may be long.
    changed = rewrite(payload, _IDS, ids.get)
    return LEVELS.sub(levels, changed)


def first_ids(first: Change) -> dict[str, int]:
    """Return the ids at which a merged event begins: those of its first diff."""
    ids = {"U": first.first_update_id}
    if first.previous_update_id is not None:
        ids["pu"] = first.previous_update_id
    return ids


class Diffs(Gathering[Diff]):
    """Gathers diffs; those that do not follow each other by id never together."""

    _last = 0

    def read(self, payload: bytes) -> tuple[Diff, int] | None:
        """Read a diff."""
        return read_diff(payload)

    def follows(self, piece: Diff) -> bool:
        """Return whether it goes on where the last diff ended."""
        before = piece.change.previous_update_id
        if before is None:
            return piece.change.first_update_id == self._last + 1
        return before == self._last

    def note(self, piece: Diff) -> None:
        """Remember where it ends."""
        self._last = piece.change.final_update_id


class MergedDiffs(Diffs):
    """Merges diffs: first `U` and `pu`, last `u`, `E` and `T`, last quantities.

    A gap in the recording stays one.

    Args:
        market: Decides how diffs follow each other and how levels are sorted.
        width_us: How much event time a diff stands for, microseconds.

    Source:
        Binance API docs, "Diff. Depth Stream" of spot and futures, at several speeds.
    """

    def __init__(self, market: Market, width_us: int) -> None:
        super().__init__(width_us)
        self._market = market

    def join(self, pieces: list[Diff]) -> bytes | None:
        """Merge; one diff alone stays as it is."""
        if len(pieces) == 1:
            return pieces[0].payload
        changes = [piece.change for piece in pieces]
        bids = merge_levels(change.bids for change in changes)
        if self._market == "spot":
            bids.reverse()
        sides = {b"b": bids, b"a": merge_levels(change.asks for change in changes)}
        return with_members(pieces[-1].payload, first_ids(changes[0]), sides)
