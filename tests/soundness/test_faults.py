"""Each fault that is planted into a sound cassette is found, at its line."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_binance_replay.soundness import RULES, Finding, Soundness
from tests.soundness.sound_cassettes import RECONNECTED, SPOT, USDM, lines_of

CASSETTES = {"spot": SPOT, "usdm": USDM}


def findings_of(lines: list[bytes]) -> list[Finding]:
    check = Soundness()
    _, found = check.feed_block(1, b"\n".join(lines) + b"\n")
    return found + check.finish()


def errors_of(lines: list[bytes]) -> list[tuple[str, int]]:
    found = findings_of(lines)
    return [(f.rule, f.line) for f in found if f.severity == "error"]


class Fault(NamedTuple):
    """Text replaced in one line, and the rule that this breaks.

    The line where it is found is the line itself unless another is named.
    """

    rule: str
    market: str
    line: int
    old: str
    new: str
    at: int | None = None

    def plant(self) -> list[bytes]:
        lines = lines_of(CASSETTES[self.market])
        before = lines[self.line - 1]
        lines[self.line - 1] = before.replace(self.old.encode(), self.new.encode(), 1)
        assert lines[self.line - 1] != before
        return lines


FAULTS = [
    # Lines
    Fault("line", "spot", 5, '"stream":', '"strea":'),
    Fault("line", "spot", 5, "{", ""),
    Fault("line", "spot", 5, '"ltcbtc@trade"', '"ltcbtc@trade'),
    Fault("line", "spot", 5, '"t":1790000000210000', '"t":null'),
    Fault("line", "spot", 5, '{"t":1790000000210000', '{"cassette":1,"a":5'),
    Fault("end", "spot", 24, '"frames":21', '"frames":20'),
    Fault("order", "spot", 5, "1790000000210000", "1790000000190000"),
    Fault("order", "spot", 3, "1790000000150000", "1790000000099999"),
    Fault("order", "spot", 24, "1790000000600000", "1790000000500000"),
    # Payloads
    Fault("json", "spot", 5, '"M":true', '"M":tru'),
    Fault("json", "spot", 5, '"q":"1"', '"q":NaN'),
    Fault("json", "spot", 5, '"M":true}', '"M":true}}'),
    Fault("line", "spot", 3, '"lastUpdateId":103', '"lastUpdateId":'),
    Fault("market", "spot", 5, '"M":true', '"X":"MARKET"'),
    Fault("market", "usdm", 7, '"st":1', '"M":true'),
    Fault("stream", "spot", 5, "ltcbtc@trade", "ltc btc@trade"),
    Fault("stream", "spot", 5, "ltcbtc@trade", "LTCBTC@trade"),
    Fault("stream", "spot", 5, "ltcbtc@trade", "ltcbtc@markPrice"),
    Fault("stream", "spot", 5, "ltcbtc@trade", "ethbtc@trade"),
    Fault("stream", "spot", 5, "ltcbtc@trade", "ltcbtc@aggTrade"),
    Fault("stream", "spot", 5, '"e":"trade"', '"e":["trade"]'),
    Fault("stream", "spot", 5, '"s":"LTCBTC"', '"s":7'),
    Fault("stream", "spot", 6, '{"u":107', '{"e":"bookTicker","u":107'),
    Fault("stream", "spot", 12, "ltcbtc@aggTrade", "!miniTicker@arr"),
    Fault("stream", "spot", 14, '"i":"1m"', '"i":"5m"'),
    Fault("stream", "spot", 14, '"s":"LTCBTC","i"', '"s":"ETHBTC","i"'),
    Fault("stream", "spot", 17, "!miniTicker@arr", "ltcbtc@miniTicker"),
    Fault("stream", "spot", 17, '"e":"24hrMiniTicker"', '"e":"24hrTicker"'),
    Fault("stream", "spot", 22, "1hTicker", "4hTicker"),
    Fault("stream", "usdm", 14, '"s":"LTCUSDT"', '"s":"ETHUSDT"'),
    Fault("stream", "usdm", 14, '"o":{', '"o":0,"p":{'),
    Fault("stream", "usdm", 15, '"ct":"PERPETUAL"', '"ct":"CURRENT_QUARTER"'),
    Fault("stream", "usdm", 15, '"ps":"LTCUSDT"', '"ps":"ETHUSDT"'),
    Fault("stream", "usdm", 19, "EquityUpdate", "equityUpdate"),
    Fault("model", "spot", 5, '"p":"0.0017",', ""),
    Fault("model", "spot", 5, '"p":"0.0017"', '"p":0.0017'),
    Fault("model", "spot", 5, '"p":"0.0017"', '"p":17'),
    Fault("model", "spot", 5, '"p":"0.0017"', '"p":"1e5"'),
    Fault("model", "spot", 5, '"m":false', '"m":0'),
    Fault("model", "spot", 5, '"T":1790000000199', '"T":-1'),
    Fault("model", "spot", 4, '[["0.0015","1.5"]]', '[["0.0015"]]'),
    Fault("model", "spot", 4, '[["0.0015","1.5"]]', '[["0.0015",1.5]]'),
    Fault("model", "spot", 4, '[["0.0015","1.5"]]', '[{"price":"1","quantity":"1"}]'),
    Fault("model", "spot", 14, '"k":{', '"k":7,"j":{'),
    Fault("model", "spot", 14, '"o":"0.0016"', '"o":7'),
    Fault("model", "spot", 18, '[{"e"', '[7,{"e"'),
    Fault("model", "spot", 4, '"E":1790000000190', '"E":null'),
    Fault("model", "usdm", 4, '"pu":1020', '"pu":null'),
    # Series
    Fault("event-time", "spot", 11, '"E":1790000000410', '"E":1790000000199'),
    Fault("event-time", "spot", 18, '"E":1790000000480', '"E":1790000000459'),
    Fault("trade-ids", "spot", 11, '"t":8', '"t":9'),
    Fault("trade-ids", "spot", 11, '"t":8', '"t":7'),
    Fault("trade-ids", "spot", 20, '"t":6', '"t":4'),
    Fault("trade-ids", "usdm", 8, '"t":51', '"t":49'),
    Fault("agg-trade-ids", "spot", 13, '"a":4', '"a":5'),
    Fault("agg-trade-ids", "spot", 13, '"a":4', '"a":3'),
    Fault("agg-trade-ids", "spot", 13, '"f":9,"l":9', '"f":10,"l":10'),
    Fault("agg-trade-ids", "spot", 13, '"l":9', '"l":8'),
    Fault("agg-trade-ids", "usdm", 10, '"f":52', '"f":51'),
    Fault("ticker-ids", "spot", 10, '"u":108', '"u":107'),
    Fault("ticker-ids", "usdm", 17, '"u":1070', '"u":1069'),
    Fault("ticker-ids", "spot", 21, '"lastUpdateId":108', '"lastUpdateId":107'),
    Fault("kline", "spot", 14, '"h":"0.0017"', '"h":"0.0015"'),
    Fault("kline", "spot", 14, '"c":"0.0016"', '"c":"0.0014"'),
    Fault("kline", "spot", 14, '"n":5', '"n":4'),
    Fault("kline", "spot", 15, '"n":0', '"n":1'),
    Fault("kline", "usdm", 11, '"n":50', '"n":56'),
    Fault("kline", "spot", 14, '"x":true', '"x":false', at=15),
    Fault("kline", "spot", 15, '"t":1790000040000', '"t":1789999980000'),
    Fault("kline", "spot", 15, '"t":1790000040000', '"t":1789999920000'),
    # Books
    Fault("update-ids", "spot", 4, '"u":105', '"u":99'),
    Fault("update-ids", "usdm", 4, '"pu":1020', '"pu":1031'),
    Fault("update-ids", "usdm", 4, '"pu":1020,', ""),
    Fault("depth-chain", "spot", 8, '"U":106', '"U":107'),
    Fault("depth-chain", "spot", 8, '"U":106', '"U":105'),
    Fault("depth-chain", "usdm", 5, '"pu":1040', '"pu":1041'),
    Fault("depth-chain", "usdm", 5, '"pu":1040', '"pu":1039'),
    Fault("levels", "spot", 4, '["0.0015","1.5"]', '["0.0015","1"],["0.00150","2"]'),
    Fault("levels", "usdm", 18, '[["86.95","1"]]', "[]"),
    Fault("snapshot", "spot", 3, '"lastUpdateId":103', '"lastUpdateId":89'),
    Fault("snapshot", "usdm", 3, '"lastUpdateId":1034', '"lastUpdateId":1002'),
    Fault("snapshot", "spot", 3, '"bids":[', '"bids":[7,'),
    Fault("snapshot", "spot", 3, '"lastUpdateId"', '"lastUpdate"'),
    Fault("crossed", "spot", 8, '["0.0016","2"]', '["0.0017","2"]'),
    Fault("book-ticker", "spot", 6, '"b":"0.0016"', '"b":"0.0015"'),
    Fault("book-ticker", "spot", 10, '"A":"4"', '"A":"5"'),
    Fault("book-ticker", "usdm", 6, '"a":"87.10"', '"a":"87.00"'),
    Fault("partial-depth", "spot", 7, '"0.0015","1.5"', '"0.0015","1"'),
    Fault("partial-depth", "spot", 21, '["0.0018","4"]', '["0.0017","4"]'),
]


@pytest.mark.parametrize("market", CASSETTES)
def test_a_sound_cassette_has_nothing_to_find(market: str) -> None:
    assert findings_of(lines_of(CASSETTES[market])) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.rule}-{f.line}-{f.new}")
def test_a_planted_fault_is_found_at_its_line(fault: Fault) -> None:
    assert errors_of(fault.plant())[:1] == [(fault.rule, fault.at or fault.line)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.rule}-{f.line}-{f.new}")
def test_line_by_line_finds_what_a_block_does(fault: Fault) -> None:
    check = Soundness()
    lines = enumerate(fault.plant(), 1)
    found = [f for number, raw in lines for f in check.feed_raw(number, raw)]
    assert found + check.finish() == findings_of(fault.plant())


def test_every_rule_about_lines_has_a_planted_fault() -> None:
    noted = {"field", "era", "gap"}
    assert {fault.rule for fault in FAULTS} == RULES.keys() - noted - {"cut"}


def test_a_missing_line_is_found_by_what_it_breaks() -> None:
    lines = lines_of(SPOT)
    del lines[7]
    assert errors_of(lines)[0] == ("depth-chain", 8)


def test_a_repeated_line_is_found() -> None:
    lines = lines_of(SPOT)
    lines.insert(5, lines[4])
    assert errors_of(lines)[0] == ("trade-ids", 6)


def test_two_lines_in_the_wrong_order_are_found() -> None:
    lines = lines_of(SPOT)
    lines[7], lines[8] = lines[8], lines[7]
    assert set(errors_of(lines)) >= {("order", 9), ("depth-chain", 8)}


def test_a_line_behind_the_end_is_found_once() -> None:
    lines = lines_of(SPOT)
    more = [
        lines[4].replace(b'"t":7', b'"t":9'),
        lines[10].replace(b'"t":8', b'"t":10'),
    ]
    later = [line.replace(b"17900000002", b"17900000007") for line in more]
    assert [rule for rule, _ in errors_of(lines + later)].count("end") == 1


def test_blank_lines_count_and_say_nothing() -> None:
    lines = lines_of(SPOT)
    lines[10] = lines[10].replace(b'"t":8', b'"t":9')
    assert errors_of([b"", *lines[:3], b" ", *lines[3:]]) == [("trade-ids", 13)]


# Notes


def notes_of(lines: list[bytes]) -> list[tuple[str, int, str]]:
    found = findings_of(lines)
    assert {f.severity for f in found} <= {"note"}
    return [(f.rule, f.line, f.sentence) for f in found]


def replaced(market: str, line: int, old: str, new: str) -> list[bytes]:
    return Fault("", market, line, old, new).plant()


@pytest.mark.parametrize(
    ("market", "line", "old", "new", "rule"),
    [
        ("usdm", 8, '"t":51', '"t":53', "trade-ids"),
        ("usdm", 10, '"f":52', '"f":53', "agg-trade-ids"),
        ("spot", 5, '"M":true', '"zz":1', "field"),
        ("spot", 14, '"B":"0"', '"B":"0","zz":1', "field"),
        ("spot", 5, '"q":"1"', '"q":"1","b":1,"a":2', "era"),
        ("spot", 4, '"0.0015","1.5"', '"0.0015","1.5",[]', "era"),
        ("usdm", 6, '"E":1790000000300', '"E":1790000000300000', "era"),
        ("spot", 5, "ltcbtc@trade", "ltcbtc@novelty", "stream"),
        ("spot", 6, "ltcbtc@bookTicker", "!bookTicker", "era"),
    ],
)
def test_what_is_only_worth_knowing_is_a_note(
    market: str, line: int, old: str, new: str, rule: str
) -> None:
    lines = replaced(market, line, old, new)
    assert [(r, at) for r, at, _ in notes_of(lines) if r == rule][:1] == [(rule, line)]


def test_an_unknown_field_is_noted_once() -> None:
    lines = lines_of(SPOT)
    for at in (4, 10):
        lines[at] = lines[at].replace(b'"M":true', b'"zz":1,"y%d":1' % (at % 3))
    lines[10] = lines[10].replace(b'"y1":1', b'"zz2":1')
    said = [sentence for _, _, sentence in notes_of(lines)]
    assert said == [f"field {name!r} is not known" for name in ("zz", "y1", "zz2")]


def test_a_time_that_no_recording_has_is_of_no_era() -> None:
    lines = lines_of(SPOT)
    ticker = lines[5].replace(b"1790000000220000", b"5")
    assert notes_of([lines[0], ticker]) == []


def test_a_jump_behind_a_reconnect_is_a_note_that_names_it() -> None:
    lines = lines_of(SPOT)
    lines.insert(3, RECONNECTED)
    lines[4] = lines[4].replace(b'"U":100', b'"U":102')
    notes = notes_of(lines)
    assert notes[0] == (
        "gap",
        5,
        "the event before ended at update 99, this one starts at 102: 2 updates are "
        "missing; the break that line 4 announces explains it",
    )


def test_a_reconnect_explains_only_the_first_jump_of_a_stream() -> None:
    lines = lines_of(SPOT)
    lines.insert(3, RECONNECTED)
    lines[11] = lines[11].replace(b'"t":8', b'"t":9')
    assert errors_of(lines) == [("trade-ids", 12)]


def test_a_reconnect_of_one_stream_explains_no_other() -> None:
    lines = lines_of(SPOT)
    mark = RECONNECTED.replace(b'"reason":"1006"', b'"streams":["ltcbtc@trade"]')
    lines.insert(3, mark)
    lines[4] = lines[4].replace(b'"U":100', b'"U":102')
    assert errors_of(lines)[0] == ("depth-chain", 5)


def test_other_marks_explain_nothing() -> None:
    lines = lines_of(SPOT)
    lines.insert(3, RECONNECTED.replace(b"reconnected", b"remark"))
    lines[4] = lines[4].replace(b'"U":100', b'"U":102')
    assert errors_of(lines)[0] == ("depth-chain", 5)
