"""Who waits for a book's snapshot, and how long a tape waits for them."""

from __future__ import annotations

import pytest

from pytest_binance_replay.client import Client
from pytest_binance_replay.protocols.address import Address, parse_address
from pytest_binance_replay.syncing import MOMENT_US, Syncing

DEPTH = b"btcusdt@depth"
OTHER = b"ethusdt@depth"


def client(number: int = 1) -> Client:
    """Return a client of the spot market."""
    address = parse_address("/ws")
    assert isinstance(address, Address)
    return Client(number, address, "spot", b"", "/ws")


@pytest.fixture
def syncing() -> Syncing:
    """Return a record of nobody."""
    return Syncing()


def test_newest_subscriber_without_a_snapshot_is_answered_first(
    syncing: Syncing,
) -> None:
    first, second = client(1), client(2)
    syncing.add(first, DEPTH, "BTCUSDT")
    syncing.add(second, DEPTH, "BTCUSDT")
    assert syncing.newest("spot", "BTCUSDT") is second
    syncing.note_answered("spot", "BTCUSDT")
    assert syncing.newest("spot", "BTCUSDT") is first
    syncing.note_answered("spot", "BTCUSDT")
    assert syncing.newest("spot", "BTCUSDT") is None


def test_other_symbols_and_markets_do_not_count(syncing: Syncing) -> None:
    syncing.add(client(), DEPTH, "BTCUSDT")
    assert syncing.newest("spot", "ETHUSDT") is None
    assert syncing.newest("usdm", "BTCUSDT") is None


def test_who_unsubscribes_or_leaves_is_forgotten(syncing: Syncing) -> None:
    follower = client()
    syncing.add(follower, DEPTH, "BTCUSDT")
    syncing.add(follower, OTHER, "ETHUSDT")
    syncing.keep(follower, [OTHER])
    assert syncing.newest("spot", "BTCUSDT") is None
    assert syncing.newest("spot", "ETHUSDT") is follower


def test_snapshot_asked_for_before_subscribing_counts_for_the_next_subscriber(
    syncing: Syncing,
) -> None:
    syncing.note_answered("spot", "BTCUSDT")
    syncing.add(client(1), DEPTH, "BTCUSDT")
    assert syncing.newest("spot", "BTCUSDT") is None
    syncing.add(client(2), DEPTH, "BTCUSDT")
    assert syncing.newest("spot", "BTCUSDT") is not None


def test_tape_stops_right_behind_the_first_diff(syncing: Syncing) -> None:
    keys = [b"btcusdt@trade", DEPTH, DEPTH, b"btcusdt@trade"]
    assert syncing.stop_in(keys, 0, 4) == 4
    syncing.add(client(), DEPTH, "BTCUSDT")
    assert syncing.stop_in(keys, 0, 4) == 2
    assert syncing.stop_in(keys, 3, 4) == 4


def test_tape_waits_from_the_first_diff_until_the_answer(syncing: Syncing) -> None:
    syncing.add(client(), DEPTH, "BTCUSDT")
    assert syncing.wait_until_us(10) is None
    syncing.note_released([b"btcusdt@trade"], 10)
    assert syncing.wait_until_us(10) is None
    syncing.note_released([DEPTH], 20)
    assert syncing.wait_until_us(30) == 20 + MOMENT_US
    syncing.note_answered("spot", "BTCUSDT")
    assert syncing.wait_until_us(30) is None


def test_tape_waits_no_longer_than_a_moment(syncing: Syncing) -> None:
    syncing.add(client(), DEPTH, "BTCUSDT")
    syncing.note_released([DEPTH], 0)
    assert syncing.wait_until_us(MOMENT_US) is None
    assert syncing.stop_in([DEPTH, DEPTH], 0, 2) == 2
    assert syncing.newest("spot", "BTCUSDT") is not None
