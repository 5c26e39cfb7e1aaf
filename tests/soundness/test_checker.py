"""The check as a machine that is fed: any damage is a finding, nothing ends it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Frame, Header, RestAnswer, parse_line
from pytest_binance_replay.soundness import (
    BREAK_MARKS,
    Finding,
    Soundness,
    check_lines,
)
from tests.soundness.sound_cassettes import RECONNECTED, SPOT, USDM, lines_of
from tests.soundness.test_faults import errors_of, findings_of

SNAPSHOT = json.loads(lines_of(SPOT)[2])


def test_parsed_lines_give_what_raw_ones_do() -> None:
    lines = lines_of(SPOT)
    lines[10] = lines[10].replace(b'"t":8', b'"t":9')
    assert list(check_lines(map(parse_line, lines))) == findings_of(lines)


def test_a_finding_says_what_where_and_how_much() -> None:
    lines = lines_of(SPOT)
    lines[10] = lines[10].replace(b'"t":8', b'"t":1_000'.replace(b"_", b""))
    assert findings_of(lines) == [
        Finding(
            "trade-ids",
            "error",
            11,
            "ltcbtc@trade",
            "trade 1000 follows trade 7: 992 trades are missing",
        )
    ]


def test_the_market_is_the_headers_or_else_what_payloads_tell() -> None:
    frame = Frame(1, "ltcbtc@trade", b'{"e":"trade","b":1,"a":2}')
    told, silent = Soundness(), Soundness()
    told.feed(1, Header(market="usdm"))
    silent.feed(1, frame)
    assert (told.market, silent.market) == ("usdm", "spot")
    assert Soundness(market="usdm").market == "usdm"


@pytest.mark.parametrize("text", [SPOT, USDM])
def test_a_cassette_without_a_header_is_checked_by_what_its_payloads_tell(
    text: str,
) -> None:
    lines = lines_of(text)[1:]
    assert errors_of(lines) == []


def test_a_second_header_is_found() -> None:
    lines = lines_of(SPOT)
    found = check_lines(map(parse_line, [*lines[:2], lines[0], *lines[2:-1]]))
    assert [(f.rule, f.line) for f in found] == [("line", 3)]


def test_another_answer_than_a_snapshot_is_checked_for_json_only() -> None:
    lines = lines_of(SPOT)
    for request in ('/api/v3/time","status":200', '/api/v3/depth?x=1","status":400'):
        lines[2] = (
            b'{"t":1790000000150000,"rest":"%b,"data":{"code":1}}' % request.encode()
        )
        assert errors_of(lines) == []


def test_an_answer_whose_body_is_no_json_is_found_however_it_is_fed() -> None:
    broken = RestAnswer(1, "/api/v3/depth", 200, b"{")
    assert [f.rule for f in Soundness().feed(1, broken)] == ["json"]


# Books


def snapshot_at(update_id: int, **changes: object) -> bytes:
    data = {**SNAPSHOT["data"], "lastUpdateId": update_id, **changes}
    return json.dumps({**SNAPSHOT, "data": data}).encode()


def test_a_snapshot_too_old_is_forgiven_if_a_later_one_joins() -> None:
    lines = lines_of(SPOT)
    lines.insert(2, snapshot_at(80))
    assert errors_of(lines) == []


def test_a_snapshot_may_come_before_its_stream_and_long_after() -> None:
    lines = lines_of(SPOT)
    early = [lines[0], lines[2].replace(b"00150000", b"00000000"), lines[1], *lines[3:]]
    late = [*lines[:2], lines[3], *lines[4:-1], snapshot_at(103, t=0)]
    late[-1] = late[-1].replace(b"1790000000150000", b"1790000000590000")
    assert findings_of(early) == []
    assert {f.rule for f in findings_of(late)} <= {"trade-ids"}


def test_a_snapshot_that_nothing_follows_is_noted() -> None:
    lines = lines_of(SPOT)
    lines[2] = snapshot_at(109)
    found = findings_of(lines)
    assert [(f.rule, f.severity, f.line) for f in found] == [("snapshot", "note", 3)]
    assert "newer than all of the stream, which ends at 108" in found[0].sentence


def test_a_book_goes_on_from_a_new_snapshot_behind_a_gap() -> None:
    lines = lines_of(SPOT)
    lines[3] = lines[3].replace(b'"U":100', b'"U":105')
    lines[9] = lines[9].replace(b'"A":"4"', b'"A":"5"')
    bids = [["0.0015", "1.5"], ["0.0010", "5"]]
    again = snapshot_at(105, bids=bids).replace(b"0000150000", b"0000205000")
    lines.insert(4, again)
    assert errors_of(lines) == [("depth-chain", 4), ("book-ticker", 11)]


def test_a_second_snapshot_that_differs_from_the_book_is_found() -> None:
    lines = lines_of(SPOT)
    shown = {"bids": [["0.0016", "2"], ["0.0015", "9"]], "asks": [["0.0018", "4"]]}
    again = snapshot_at(108, **shown).replace(b"1790000000150000", b"1790000000405000")
    lines.insert(9, again)
    assert errors_of(lines)[0] == ("snapshot", 10)


def test_a_second_snapshot_that_agrees_is_nothing_to_find() -> None:
    lines = lines_of(SPOT)
    shown = {"bids": [["0.0016", "2"], ["0.0015", "1.5"]], "asks": [["0.0018", "4"]]}
    for update_id, time in ((108, b"0000405000"), (107, b"0000406000")):
        again = snapshot_at(update_id, **shown).replace(b"0000150000", time)
        lines.insert(9, again)
    lines[9], lines[10] = lines[10], lines[9]
    assert errors_of(lines) == []


def test_a_snapshot_that_comes_too_late_joins_but_makes_no_book() -> None:
    lines = lines_of(SPOT)
    long = b",".join([b'["0.%06d","1"]' % n for n in range(1, 20_000)])
    first = lines[1].replace(b'["0.0010","5"]', long)
    second = first.replace(b'"U":91,"u":99', b'"U":100,"u":105')
    lines[7] = lines[7].replace(b'["0.0016","2"]', b'["0.0019","2"]')
    late = snapshot_at(95).replace(b"0000150000", b"0000205000")
    second = second.replace(b"0000100000", b"0000200000")
    assert errors_of([lines[0], first, second, late, *lines[4:]]) == []


def test_levels_beyond_the_snapshot_are_not_compared() -> None:
    lines = lines_of(SPOT)
    bids = [["0.0016", "2"], ["0.0015", "1.5"]]
    lines[2] = snapshot_at(103, bids=[["0.0015", "1"]], asks=[["0.0017", "3"]])
    lines[6] = lines[6].replace(b'"0.0018","4"', b'"0.0019","4"')
    lines[9] = lines[9].replace(b'"a":"0.0018"', b'"a":"0.0019"')
    assert bids
    assert errors_of(lines) == []


def test_a_crossed_book_is_said_once() -> None:
    lines = lines_of(SPOT)
    lines[7] = lines[7].replace(b'["0.0016","2"]', b'["0.0019","2"]')
    assert errors_of(lines) == [("crossed", 8)]


@pytest.mark.parametrize("name", sorted(BREAK_MARKS))
def test_marks_of_a_break_are_known(name: str) -> None:
    lines = lines_of(SPOT)
    lines.insert(3, RECONNECTED.replace(b"reconnected", name.encode()))
    lines[4] = lines[4].replace(b'"U":100', b'"U":102')
    assert errors_of(lines) == []


# Whatever comes


@st.composite
def damaged(draw: st.DrawFn) -> list[bytes]:
    """A cassette in which a few bytes were overwritten."""
    raw = bytearray("\n".join(draw(st.sampled_from([SPOT, USDM])).split("\n")).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at] = draw(st.sampled_from(b'0129.-"{}[],:aU \n\x00\xff'))
    return bytes(raw).split(b"\n")


@given(damaged())
def test_no_damage_ends_a_check(lines: list[bytes]) -> None:
    check = Soundness()
    found = [f for n, raw in enumerate(lines, 1) for f in check.feed_raw(n, raw)]
    found += check.finish()
    assert all(0 <= f.line <= len(lines) and f.sentence for f in found)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**17) | st.sampled_from(["1.5", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["e", "s", "k", "o", "b", "U"]), inner)
    ),
    max_leaves=6,
)
FRAMES = [line for text in (SPOT, USDM) for line in lines_of(text) if b"stream" in line]
EVENTS = [line for line in FRAMES if not line.startswith(b'{"cassette"')]


@given(st.sampled_from(EVENTS), st.data(), VALUES)
def test_no_value_in_a_payload_ends_a_check(
    line: bytes, data: st.DataObject, value: object
) -> None:
    frame = json.loads(line)
    payload = frame["data"]
    if isinstance(payload, dict):
        payload[data.draw(st.sampled_from(sorted(payload)))] = value
    else:
        payload.append(value)
    check = Soundness()
    raw = json.dumps(frame).encode()
    found = check.feed_raw(1, raw) + check.feed_raw(2, raw) + check.finish()
    assert all(f.sentence for f in found)
