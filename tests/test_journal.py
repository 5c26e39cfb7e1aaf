from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from pytest_binance_replay.journal import (
    ClientRecord,
    ClientRequest,
    Missing,
    RestRequest,
)

RECORD = ClientRecord(2, "/ws", "raw", subscriptions=("btcusdt@trade",))


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            ClientRecord(1, "/ws/btcusdt", "raw"),
            "client 1 (/ws/btcusdt): no stream; 0 frames sent",
        ),
        (RECORD, "client 2 (/ws): btcusdt@trade; 0 frames sent"),
        (
            replace(RECORD, subscriptions=("a@trade", "b@trade"), sent={"a@trade": 1}),
            "client 2 (/ws): a@trade, b@trade; 1 frame sent",
        ),
        (
            replace(RECORD, sent={"btcusdt@trade": 3, "old@trade": 4}, behind=5),
            "client 2 (/ws): btcusdt@trade; 7 frames sent, 5 behind the tape",
        ),
        (
            replace(RECORD, left_out=2),
            "client 2 (/ws): btcusdt@trade; 0 frames sent, "
            "2 left out as no whole events",
        ),
        (
            replace(RECORD, missed={"btcusdt@trade": 60, "b@trade": 1}),
            "client 2 (/ws): btcusdt@trade; 0 frames sent; subscribed after "
            "60 of btcusdt@trade, 1 of b@trade had gone by",
        ),
        (
            replace(RECORD, connected=False, close_code=1000),
            "client 2 (/ws): btcusdt@trade; 0 frames sent; closed with 1000",
        ),
        (
            replace(RECORD, connected=False, close_code=1008, close_reason="Pong late"),
            "client 2 (/ws): btcusdt@trade; 0 frames sent; "
            "closed with 1008 'Pong late'",
        ),
        (
            replace(RECORD, connected=False, close_code=1006, vanished=True),
            "client 2 (/ws): btcusdt@trade; 0 frames sent; "
            "vanished without a close frame",
        ),
    ],
)
def test_a_record_is_told_in_one_line(record: ClientRecord, text: str) -> None:
    assert str(record) == text


def test_of_many_subscriptions_a_few_are_told() -> None:
    names = tuple(f"s{n}@trade" for n in range(10))
    told = ", ".join(names[:8])
    line = str(replace(RECORD, subscriptions=names))
    assert line == f"client 2 (/ws): {told} and 2 more; 0 frames sent"
    assert "more" not in str(replace(RECORD, subscriptions=names[:8]))


@pytest.mark.parametrize(
    "value",
    [
        RECORD,
        ClientRequest(1, "hello", ("reply",)),
        RestRequest("/api/v3/time", "", 200),
        Missing(1, "btcusdt@trades", "stream", "spot", ("btcusdt@trade",)),
    ],
)
def test_what_clients_did_is_kept_in_frozen_values_that_pickle(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, 3)
