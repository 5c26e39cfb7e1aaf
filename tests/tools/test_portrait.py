"""What is in a cassette, as a terminal shows it."""

from __future__ import annotations

import json

import pytest

from pytest_binance_replay.cassette import parse_block
from pytest_binance_replay.tools.portrait import (
    WIDTH,
    Sitter,
    as_json,
    plain,
    portrait,
    size_text,
    span_text,
    table,
    time_text,
)
from pytest_binance_replay.tools.sparkline import BLOCKS
from pytest_binance_replay.tools.structure import StructureReader
from tests.soundness.sound_cassettes import RECONNECTED, SPOT, USDM, lines_of
from tests.tools.test_overview import overview

PORTRAIT = """\
a.jsonl
  market     usdm
  source     by hand
  time       2026-09-21 14:13:20.100 to 14:13:20.450 UTC, 0.35 s
  frames     18 in 13 streams, 51.4 a second, 5.00 kB
  snapshots  LTCUSDT at 1034

  stream                           frames  a second   first price    last price
  !bookTicker                           2      5.71             -             -
  !contractInfo                         1      2.86             -             -
  ltcusdt@aggTrade                      2      5.71            87            87
"""


TABLE = """\
cassette                   market       frames streams     length  gaps     size
a.jsonl                      spot           21      11     0.44 s     0  5.00 kB
recordings/a-very-long-folder/with-a-long-name.jsonl
                                -            2       2     0.00 s     0  5.00 kB"""


def sitter(lines: list[bytes], name: str = "a.jsonl") -> Sitter:
    return Sitter(name, 5000, overview(lines))


def test_a_portrait_says_what_is_there() -> None:
    text = portrait(sitter(lines_of(USDM)))
    assert text.startswith(PORTRAIT)
    ids = ["ltcusdt@depth@100ms", "1010", "1060", "0", "0"]
    assert ids in [line.split() for line in text.splitlines()]
    assert [line[:17] for line in text.splitlines()[-3:]] == [
        "  LTCUSDT        ",
        "  LTCUSDT_PERPET ",
        "  frames         ",
    ]


@pytest.mark.parametrize("text", [SPOT, USDM])
@pytest.mark.parametrize("blocks", [True, False])
def test_a_portrait_fits_a_terminal(text: str, *, blocks: bool) -> None:
    drawn = portrait(sitter(lines_of(text)), blocks=blocks)
    assert max(map(len, drawn.splitlines())) <= WIDTH
    assert drawn.isascii() is not blocks
    assert any(block in drawn for block in BLOCKS) is blocks


def test_what_a_header_says_is_shown() -> None:
    header = (
        b'{"cassette":1,"source":"synthetic:x seed=9","recorded_at":"2026-01-01",'
        b'"recorder":"me","test":"tests/a.py::b","streams":["a@trade","b@trade"]}'
    )
    rest = b'{"t":1,"rest":"/api/v3/time","status":200,"data":{}}'
    text = portrait(sitter([header, rest, RECONNECTED]))
    assert text.splitlines() == [
        "a.jsonl",
        "  market     unknown: nothing in it tells",
        "  source     synthetic:x seed=9",
        "  recorded   2026-01-01, by me, for tests/a.py::b",
        "  frames     0 in 0 streams, 5.00 kB",
        "  REST       /api/v3/time 1",
        "  marks      reconnected 1",
        "  silent     a@trade, b@trade: asked for, and sent nothing",
    ]


def many(count: int) -> list[bytes]:
    frame = b'{"t":%d,"stream":"s%03d@trade","data":{"e":"trade","t":1,"p":"%d"}}'
    return [frame % (n, n, n) for n in range(count)]


def test_of_many_streams_the_busiest_are_listed() -> None:
    lines = [*many(35), many(34)[33], many(34)[33]]
    text = portrait(sitter(lines))
    assert "  and 5 more streams with 5 frames: --all lists them" in text
    assert "s033@trade" in text
    assert "--all" not in portrait(sitter(lines), everything=True)


def test_long_names_have_a_line_of_their_own() -> None:
    name = "x" * 40
    line = f'{{"t":1,"stream":"{name}@trade","data":{{"p":"1","M":true}}}}'.encode()
    lines = portrait(sitter([line])).splitlines()
    at = lines.index(f"  {name}@trade")
    assert lines[at + 1].split() == ["1", "-", "1", "1"]


def test_the_price_is_of_the_stream_that_has_most_of_it() -> None:
    top = b'{"u":1,"b":"7","B":"1","a":"8","A":"1"}'
    ticker = b'{"t":%%d,"stream":"a@bookTicker","data":%b}' % top
    trade = b'{"t":500,"stream":"a@trade","data":{"e":"trade","p":"3","M":true}}'
    kline = b'{"t":500,"stream":"a@novelty","data":{"p":"1"}}'
    often = [ticker % n for n in range(0, 1000, 10)]
    assert "7 to 7" in portrait(sitter([*often[:50], trade, kline, *often[50:]]))
    assert "3 to 3" in portrait(sitter([often[0], trade]))


def test_several_cassettes_are_a_table() -> None:
    long = "recordings/a-very-long-folder/with-a-long-name.jsonl"
    sitters = [sitter(lines_of(SPOT)), sitter(many(2), long)]
    assert table(sitters) == TABLE
    assert max(map(len, table(sitters).splitlines())) == WIDTH


def plain_text(lines: list[bytes]) -> str:
    reader = StructureReader()
    raw = b"\n".join(lines)
    reader.add_batch(parse_block(raw, first_line=1, trusted=False))
    return plain(overview(lines), reader.structure())


def test_plain_lines_say_streams_and_fields_and_nothing_of_the_file() -> None:
    lines = lines_of(SPOT)
    lines[10] = lines[10].replace(b'"t":8', b'"t":10').replace(b'"M":true', b'"N":1')
    text = plain_text([*lines[:4], RECONNECTED, *lines[4:-1]])
    assert text.splitlines()[:4] == [
        "market: spot",
        "source: by hand",
        "time: 2026-09-21 14:13:20.100 to 14:13:20.540 UTC, 0.44 s",
        "frames: 21",
    ]
    assert (
        "stream ltcbtc@trade: 2 frames, 4.55 a second, price 0.0017 to 0.0016, "
        "ids 7 to 10, 1 gap, 2 ids missing"
    ) in text
    assert "field trade: M: boolean, not in all" in text
    assert "field trade: p: decimal\n" in text
    assert text.endswith(
        "snapshot LTCBTC: update 103\nmark reconnected 1\nfinished: no end line"
    )


def test_plain_lines_of_an_empty_cassette_are_few() -> None:
    assert plain_text([b'{"cassette":1,"mood":"good"}']).splitlines() == [
        "mood: good",
        "frames: 0",
        "finished: no end line",
    ]


def test_json_has_texts_for_prices() -> None:
    found = json.loads(json.dumps(as_json(sitter(lines_of(SPOT)))))
    assert found["streams"]["ltcbtc@trade"] == {
        "kind": "trade",
        "frames": 2,
        "frames_per_second": 4.545455,
        "first_price": "0.0017",
        "last_price": "0.0016",
        "first_id": 7,
        "last_id": 8,
        "gaps": 0,
        "missing_ids": 0,
    }
    assert found["snapshots"] == [{"symbol": "LTCBTC", "update_id": 103}]
    assert as_json(sitter([lines_of(SPOT)[0]]))["frames_per_second"] is None


@pytest.mark.parametrize(
    ("size", "text"),
    [(7, "7 B"), (1000, "1.00 kB"), (217_400, "217 kB"), (1_240_000_000, "1.24 GB")],
)
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("span_us", "text"),
    [
        (0, "0.00 s"),
        (250_000, "0.25 s"),
        (59_900_000, "59.9 s"),
        (247_000_000, "4 min 7 s"),
        (7_500_000_000, "2 h 5 min"),
        (273_600_000_000, "3 d 4 h"),
    ],
)
def test_spans_are_written_for_people(span_us: int, text: str) -> None:
    assert span_text(span_us) == text


def test_a_time_that_no_calendar_has_is_a_number() -> None:
    assert time_text(10**18) == "1000000000000000000 µs"
