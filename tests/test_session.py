"""A session as a value: parsed, printed, saved, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.vendor.pretty import pretty

from pytest_binance_replay.cassette import End, Frame, Header, Mark
from pytest_binance_replay.errors import CassetteFormatError, NoBookError
from pytest_binance_replay.events import Trade
from pytest_binance_replay.market import Place, Take, find_instrument, play_actions
from pytest_binance_replay.session import Fault, Session
from pytest_binance_replay.strategies import faulty_sessions

TRADE = (
    b'{"e":"trade","E":7,"s":"BTCUSDT","t":1,"p":"1","q":"2","T":7,"m":true,"M":true}'
)
FRAME = Frame(7000, "btcusdt@trade", TRADE)
ACTIONS = [
    Place(symbol="BTCUSDT", side="bid"),
    Take(symbol="BTCUSDT", side="ask", quantity=12, after_us=100_000),
]


def made(**wishes: Any) -> Session:
    """A session of one small market."""
    instruments = [find_instrument("BTCUSDT", wishes.pop("market", "spot"))]
    return Session(play_actions(ACTIONS, instruments=instruments, **wishes))


@given(session=faulty_sessions())
def test_a_session_reads_back_as_it_prints(session: Session) -> None:
    assert Session.parse(str(session)) == session
    assert eval(repr(session), {"Session": Session}) == session
    assert hash(Session.parse(str(session))) == hash(session)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_session_is_saved_as_a_cassette(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"new/{suffix}"
    session = made()
    session.save(path)
    assert Session.read(path) == session
    assert Session.read(path).header == session.header


def test_a_session_prints_as_a_finished_cassette() -> None:
    printed = str(Session([Header(market="spot"), FRAME]))
    assert printed.splitlines() == [
        '{"cassette":1,"market":"spot"}',
        f'{{"t":7000,"stream":"btcusdt@trade","data":{TRADE.decode()}}}',
        '{"end":7000,"frames":1}',
    ]


def test_a_session_shows_itself_as_code_of_a_line_each() -> None:
    shown = repr(Session([FRAME])).splitlines()
    assert shown[0] == "Session.parse("
    assert shown[1].startswith('    \'{"cassette":1,"market":"spot"')
    assert shown[-1] == ")"
    assert len(shown) == 4


def test_a_line_that_is_none_is_named() -> None:
    with pytest.raises(
        CassetteFormatError, match=r"the session:2: not a cassette line"
    ):
        Session.parse('{"cassette":1}', "what")


def test_a_session_knows_market_and_streams_without_a_header() -> None:
    session = Session([FRAME, End(7000, 1)])
    assert session.market == "spot"
    assert session.streams == ("btcusdt@trade",)
    assert Session([]).market == "spot"


def test_a_session_gives_frames_and_events_of_a_stream() -> None:
    session = Session([FRAME, Frame(8000, "!miniTicker@arr", b"[]")])
    assert session.frames("btcusdt@trade") == [FRAME]
    [event] = session.events()
    assert isinstance(event, Trade)


def test_a_session_gives_its_events_array_by_array() -> None:
    trade = json.loads(TRADE)
    del trade["e"]
    session = Session([Frame(1, "btcusdt@trade", json.dumps([trade, trade]).encode())])
    assert len(session.events()) == 2


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_the_book_at_the_end_is_that_of_the_market(market: str) -> None:
    book = made(market=market, streams=["depth@100ms"]).book("BTCUSDT")
    best = book.best_ask
    assert best is not None
    expected = {"spot": ("97250.02", "0.00008"), "usdm": ("97245.2", "0.008")}
    assert (f"{best.price.normalize():f}", f"{best.quantity.normalize():f}") == (
        expected[market]
    )


def test_the_book_is_the_snapshot_where_nothing_joins_it() -> None:
    whole = made(streams=["depth@100ms"])
    alone = Session(line for line in whole if not isinstance(line, Frame))
    last_update_id = json.loads(whole.rest[0].payload)["lastUpdateId"]
    assert alone.book("BTCUSDT").update_id == last_update_id


def test_a_book_takes_a_snapshot() -> None:
    with pytest.raises(NoBookError, match="BTCUSDT"):
        made(ask_depth=False, ask_exchange_info=True).book("BTCUSDT")


def test_a_fault_is_a_mark_and_reads_back() -> None:
    fault = Fault("gap", "btcusdt@trade", 2, 7000)
    everywhere = Fault("reconnect", None, 3, 8000)
    other = Mark(9000, "fault", {"kind": "coffee"})
    session = Session([FRAME, fault.mark(), everywhere.mark(), other])
    assert session.faults == (fault, everywhere)


def test_sessions_are_equal_by_what_is_played() -> None:
    assert Session([FRAME]) == Session([Header(source="somewhere"), FRAME, End(9, 9)])
    assert Session([FRAME]) != Session([])
    assert Session([FRAME]) != [FRAME]


def test_a_session_prints_itself_inside_of_others() -> None:
    assert pretty([Session([])]) == (
        '[Session.parse(\n     \'{"cassette":1,"market":"spot"}\',\n )]'
    )
