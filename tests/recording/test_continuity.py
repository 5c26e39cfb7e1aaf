from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.recording.continuity import (
    DepthChain,
    Gap,
    UpdateIds,
    update_ids,
)


def spot(first: int, final: int) -> bytes:
    return b'{"e":"depthUpdate","U":%d,"u":%d,"b":[],"a":[]}' % (first, final)


def usdm(first: int, final: int, previous: int) -> bytes:
    ids = (first, final, previous)
    return b'{"e":"depthUpdate","U":%d,"u":%d,"pu":%d,"b":[],"a":[]}' % ids


def snapshot(update_id: int) -> bytes:
    return b'{"lastUpdateId":%d,"bids":[],"asks":[]}' % update_id


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (spot(5, 7), UpdateIds(5, 7, None)),
        (usdm(5, 7, 3), UpdateIds(5, 7, 3)),
        (b'{ "u": 7, "U": 5 }', UpdateIds(5, 7, None)),
        (b'{"pu":3,"u":7,"U":5}', UpdateIds(5, 7, 3)),
        (b'{"U":"5","u":7}', None),
        (b'{"U":5,"u":7,"pu":"3"}', None),
        (b"[1]", None),
        (b"{}", None),
        (b"5", None),
        (b"{", None),
    ],
)
def test_update_ids_are_read_in_any_form(
    payload: bytes, expected: UpdateIds | None
) -> None:
    assert update_ids(payload) == expected


@given(st.binary() | st.from_type(dict[str, int]).map(lambda d: json.dumps(d).encode()))
def test_any_payload_has_ids_or_has_none(payload: bytes) -> None:
    found = update_ids(payload)
    assert found is None or isinstance(found, UpdateIds)


@pytest.mark.parametrize(
    ("first", "second", "gap"),
    [
        (spot(5, 7), spot(8, 9), None),
        (spot(5, 7), spot(10, 11), Gap(7, 10)),
        (spot(5, 7), spot(5, 7), Gap(7, 5)),
        (usdm(5, 7, 3), usdm(20, 29, 7), None),
        (usdm(5, 7, 3), usdm(20, 29, 8), Gap(7, 8)),
        (spot(5, 7), b'{"e":"other"}', None),
    ],
)
def test_a_gap_is_where_the_next_event_does_not_follow(
    first: bytes, second: bytes, gap: Gap | None
) -> None:
    chain = DepthChain()
    assert chain.take(first) is None
    assert chain.take(second) == gap


@pytest.mark.parametrize(
    ("event", "update_id", "verdict"),
    [
        (spot(5, 7), 3, "stale"),
        (spot(5, 7), 4, "joins"),
        (spot(5, 7), 900, "joins"),
        (usdm(5, 7, 3), 4, "stale"),
        (usdm(5, 7, 3), 5, "joins"),
    ],
)
def test_a_snapshot_joins_if_no_event_behind_it_is_missing(
    event: bytes, update_id: int, verdict: str
) -> None:
    chain = DepthChain()
    chain.take(event)
    assert chain.wants_snapshot
    assert chain.offer(snapshot(update_id)) == verdict
    assert chain.wants_snapshot == (verdict == "stale")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"{", b'{"lastUpdateId":"5"}'])
def test_what_is_no_snapshot_is_unreadable(body: bytes) -> None:
    chain = DepthChain()
    chain.take(spot(5, 7))
    assert chain.offer(body) == "unreadable"


def test_a_snapshot_before_any_event_is_stale() -> None:
    chain = DepthChain()
    assert (chain.has_started, chain.wants_snapshot) == (False, False)
    assert chain.offer(snapshot(5)) == "stale"


@pytest.mark.parametrize(
    ("early", "late", "update_id"),
    [(spot(5, 7), spot(8, 9), 7), (usdm(5, 7, 3), usdm(8, 9, 7), 8)],
)
def test_it_is_joined_when_an_event_has_followed_the_snapshot(
    early: bytes, late: bytes, update_id: int
) -> None:
    chain = DepthChain()
    chain.take(early)
    assert chain.offer(snapshot(update_id)) == "joins"
    assert not chain.is_joined
    chain.take(late)
    assert chain.is_joined


def test_a_gap_wants_another_snapshot_even_if_one_was_given_up() -> None:
    chain = DepthChain()
    chain.take(spot(5, 7))
    chain.give_up()
    before = chain.wants_snapshot
    chain.take(spot(9, 9))
    assert (before, chain.wants_snapshot) == (False, True)
    assert chain.offer(snapshot(7)) == "stale"
    assert chain.offer(snapshot(8)) == "joins"
