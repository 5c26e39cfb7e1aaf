"""Sessions with something wrong in them: it is named, and a client can tell."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.soundness import check_lines
from pytest_binance_replay.strategies import FaultKind, Session, faulty_sessions
from pytest_binance_replay.streams import Market

FEW = settings(max_examples=8)
FIRST = settings(phases=[Phase.generate], database=None)
STREAMS = ("trade", "depth@100ms", "bookTicker")


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("kind", ["gap", "duplicate", "reorder", "reconnect"])
@FEW
@given(data=st.data())
def test_a_fault_is_named_and_can_be_told(
    kind: FaultKind, market: Market, data: st.DataObject
) -> None:
    strategy = faulty_sessions(kinds=[kind], market=market, streams=STREAMS)
    session = data.draw(strategy)
    [fault] = session.faults
    assert fault.kind == kind
    assert fault.stream in {None, "btcusdt@trade", "btcusdt@depth@100ms"}
    found = [finding for finding in check_lines(session) if finding.rule != "cut"]
    assert found
    assert session.book("BTCUSDT").update_id


@settings(max_examples=8)
@given(
    session=faulty_sessions(
        min_faults=2, max_faults=3, symbols=["AUSDT", "BUSDT"], streams=STREAMS
    )
)
def test_faults_do_not_overlap(session: Session) -> None:
    times_us = [fault.receive_time_us for fault in session.faults]
    assert len(times_us) in {2, 3}
    assert times_us == sorted(times_us)
    for symbol in ("AUSDT", "BUSDT"):
        assert session.book(symbol).update_id


@FEW
@given(session=faulty_sessions(kinds=["gap"], streams=["bookTicker"]))
def test_a_stream_without_numbers_can_have_faults(session: Session) -> None:
    assert session.faults[0].stream == "btcusdt@bookTicker"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kinds": []}, "some of gap, duplicate, reorder, reconnect"),
    ({"kinds": ["coffee"]}, "some of gap"),
    ({"min_faults": 0}, "1 or more"),
    ({"min_faults": 3, "max_faults": 2}, "max_faults=2 < min_faults=3"),
    ({"streams": []}, "they tell too little for the faults"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_arguments_that_leave_nothing_are_refused_when_drawn(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        find(faulty_sessions(**arguments), lambda _: True, settings=FIRST)
