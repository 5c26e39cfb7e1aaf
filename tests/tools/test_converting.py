"""Captures and cassettes made into one cassette: its header, its order, its lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import End, Frame, Header, Mark, RestAnswer
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteFormatError,
    CassetteLineError,
    MarketsDifferError,
    MarketUnknownError,
    NothingLeftError,
)
from pytest_binance_replay.files import read_lines
from pytest_binance_replay.formats import FORMATS, Clues, Item
from pytest_binance_replay.tools.converting import (
    Conversion,
    merge_by_time,
    open_inputs,
    own_recorder,
    write_items,
)
from pytest_binance_replay.writer import CassetteWriter

STAMP = 1_723_161_253_937_085
SPOT = '{"e":"trade","s":"BTCUSDT","M":true}'
USDM = '{"e":"trade","s":"BTCUSDT","X":"MARKET"}'
KLINE = '{"e":"kline","E":1672515782136,"s":"BTCUSDT"}'


def stamped(time_us: int, payload: str = SPOT, stream: str = "btcusdt@trade") -> str:
    return f'{time_us} {{"stream":"{stream}","data":{payload}}}\n'


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines), "utf-8")
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    lines = (stamped(STAMP), stamped(STAMP + 5, stream="ethusdt@trade"))
    return write(tmp_path / "btcusdt_1.gz", *lines)


def test_the_header_says_what_is_known(capture: Path) -> None:
    conversion = Conversion(open_inputs([capture]))
    survey = conversion.survey()
    assert survey.header == Header(
        market="spot",
        recorded_at="2024-08-08T23:54:13.937085Z",
        streams=("btcusdt@trade", "ethusdt@trade"),
        recorder=own_recorder(),
        extra={"converted_from": ["btcusdt_1.gz"]},
    )
    assert (survey.frames, survey.rest, survey.marks) == (2, 0, 0)
    assert (survey.first_time_us, survey.last_time_us) == (STAMP, STAMP + 5)


def test_what_was_made_up_stands_in_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "lines", f'{{"stream":"a@trade","data":{SPOT}}}\n')
    header = Conversion(open_inputs([path])).survey().header
    assert header.extra["receive_times"] == "from event time"


def test_a_cassette_is_an_input_too(tmp_path: Path, capture: Path) -> None:
    lines = (
        '{"cassette":1,"market":"spot","source":"wss://x","streams":["a@trade"]}\n',
        f'{{"t":{STAMP - 1},"stream":"b@trade","data":{SPOT}}}\n',
        f'{{"t":{STAMP + 1},"mark":"reconnected"}}\n',
        f'{{"end":{STAMP + 9},"frames":1}}\n',
    )
    cassette = write(tmp_path / "dip.jsonl", *lines)
    conversion = Conversion(open_inputs([capture, cassette]))
    header = conversion.survey().header
    items = list(conversion.items())
    assert header.source == "wss://x"
    streams = ("a@trade", "btcusdt@trade", "ethusdt@trade", "b@trade")
    assert header.streams == streams
    assert [item.receive_time_us - STAMP for item in items] == [-1, 0, 1, 5]


@pytest.mark.parametrize(
    ("payloads", "told", "market"),
    [
        ([SPOT, SPOT], None, "spot"),
        ([USDM, KLINE], None, "usdm"),
        ([KLINE, KLINE], "usdm", "usdm"),
        ([SPOT, USDM], "spot", "spot"),
        ([KLINE.replace("2136", "2136000")], None, "spot"),
    ],
)
def test_the_market_is_what_the_user_or_the_payloads_say(
    tmp_path: Path, payloads: list[str], told: str | None, market: str
) -> None:
    paths = [
        write(tmp_path / f"{n}.log", stamped(STAMP, payload))
        for n, payload in enumerate(payloads)
    ]
    clues = Clues(market=told)  # type: ignore[arg-type]
    conversion = Conversion(open_inputs(paths, clues=clues), clues=clues)
    assert conversion.survey().header.market == market


def test_two_markets_make_no_cassette(tmp_path: Path) -> None:
    spot = write(tmp_path / "spot.log", stamped(STAMP))
    usdm = write(tmp_path / "usdm.log", stamped(STAMP, USDM))
    with pytest.raises(MarketsDifferError) as caught:
        Conversion(open_inputs([spot, usdm])).survey()
    assert str(caught.value) == (
        f"{spot} is of spot, {usdm} of usdm, and a cassette has one market. Keep a "
        "cassette for each, and play both: a tape takes several."
    )


def test_an_unknown_market_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", stamped(STAMP, KLINE))
    with pytest.raises(MarketUnknownError):
        Conversion(open_inputs([path])).survey()


def test_a_capture_of_nothing_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", "configuration: {}\n")
    with pytest.raises(NothingLeftError) as caught:
        Conversion(open_inputs([path])).survey()
    assert str(caught.value) == (
        f"{path}: there is no frame in it; nothing was written."
    )


@pytest.mark.parametrize("text", ["hello\n", "\x00\x01", "[1,2]\n"])
def test_what_is_of_no_form_is_an_error_that_lists_them(
    tmp_path: Path, text: str
) -> None:
    path = write(tmp_path / "notes.txt", text)
    with pytest.raises(CassetteFormatError) as caught:
        open_inputs([path])
    assert "neither a cassette nor a capture of a known form" in str(caught.value)
    assert "cryptofeed raw data" in str(caught.value)


def test_a_damaged_cassette_is_called_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", "")
    with pytest.raises(CassetteFormatError, match="is empty"):
        open_inputs([path])
    with pytest.raises(CassetteFormatError, match=r"dip.jsonl:1: not a cassette line"):
        open_inputs([write(path, '{"t":1,"stream":5}\n')])


def test_a_body_takes_symbol_and_time_from_the_capture_beside_it(
    tmp_path: Path, capture: Path
) -> None:
    capture = write(tmp_path / "a.log", stamped(STAMP, USDM))
    body = write(tmp_path / "info.json", '{"lastUpdateId":5,"bids":[],"asks":[]}')
    conversion = Conversion(open_inputs([body, capture]))
    conversion.survey()
    [answer] = [i for i in conversion.items() if isinstance(i, RestAnswer)]
    assert answer.receive_time_us == STAMP
    assert "symbol=BTCUSDT" in answer.request


def test_a_form_that_the_user_names_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", stamped(STAMP))
    inputs = open_inputs([path], form=FORMATS["cryptofeed"])
    with pytest.raises(CassetteFormatError, match="not cryptofeed raw data"):
        Conversion(inputs).survey()


def test_warnings_come_once_though_a_file_is_read_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", stamped(STAMP), "1723161")
    warned: list[BinanceReplayWarning] = []
    conversion = Conversion(open_inputs([path]), warn=warned.append)
    conversion.survey()
    assert len(list(conversion.items())) == 1
    assert len(warned) == 1


def test_progress_ends_at_the_size_of_both_walks(tmp_path: Path) -> None:
    lines = [stamped(STAMP + n) for n in range(9000)]
    path = write(tmp_path / "a.log", *lines)
    told: list[int] = []
    conversion = Conversion(open_inputs([path]), progress=told.append)
    conversion.survey()
    list(conversion.items())
    assert told == sorted(told)
    assert 0 < told[-1] <= conversion.total_bytes == 2 * path.stat().st_size


# Order


TIMES = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=4)


@given(TIMES)
def test_a_merge_keeps_the_order_of_each_origin_and_follows_time(
    times: list[list[int]],
) -> None:
    walks = [
        [Frame(time_us, f"{n}@trade", b"%d" % at) for at, time_us in enumerate(row)]
        for n, row in enumerate(times)
    ]
    merged = list(merge_by_time([iter(walk) for walk in walks]))
    for n, walk in enumerate(walks):
        assert [i for i in merged if i.stream == f"{n}@trade"] == walk  # type: ignore[union-attr]
    if all(row == sorted(row) for row in times):
        keys = [(i.receive_time_us, int(i.stream[0])) for i in merged]  # type: ignore[union-attr]
        assert keys == sorted(keys)


def test_lines_are_written_as_they_are(tmp_path: Path) -> None:
    items: list[Item] = [
        Frame(1, "a@trade", b'{"p":1.10}'),
        Frame(2, "a@trade", b'{"p": 1}'),
        Frame(3, 'a"b@trade', b"[]"),
        Frame(4, 'a"b@trade', b"[1]"),
        RestAnswer(5, "/api/v3/time", 200, b"{}"),
        Mark(6, "reconnected", {"reason": "1006"}),
    ]
    header = Header(market="spot")
    with CassetteWriter(tmp_path / "dip.jsonl", header) as writer:
        write_items(writer, iter(items))
    expected = [header, *items, End(6, 4)]
    assert list(read_lines(tmp_path / "dip.jsonl")) == expected


def test_a_line_that_would_not_read_back_is_not_written(tmp_path: Path) -> None:
    with (
        pytest.raises(CassetteLineError),
        CassetteWriter(tmp_path / "dip.jsonl", Header()) as writer,
    ):
        write_items(writer, [Frame(1, "a@trade", b"nonsense")])
    assert list(tmp_path.iterdir()) == []
