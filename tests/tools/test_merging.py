"""Several cassettes as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_binance_replay.cassette import Frame, Header, Line, Mark
from pytest_binance_replay.errors import (
    MarketsDifferError,
    MarketUnknownError,
    NothingLeftError,
)
from pytest_binance_replay.files import read_frames, read_lines
from pytest_binance_replay.tools.converting import write_items
from pytest_binance_replay.tools.cutting import Span
from pytest_binance_replay.tools.inspection import check_file
from pytest_binance_replay.tools.merging import Merge
from pytest_binance_replay.writer import CassetteWriter
from tests.test_recordings import RECORDINGS
from tests.tools.test_cutting import cut

DEMO = RECORDINGS / "spot.jsonl"
HEAD = '{"cassette":1,"market":"spot","source":"wss://x","streams":["a@trade"]}\n'
FRAME = '{{"t":{},"stream":"{}@trade","data":{{"M":true,"e":"trade"}}}}\n'


def write(path: Path, *frames: tuple[int, str], head: str = HEAD) -> Path:
    path.write_text(head + "".join(FRAME.format(*frame) for frame in frames), "utf-8")
    return path


def merge(target: Path, *paths: Path, **shifts: int) -> list[Line]:
    merged = Merge(paths, shifts_us={int(n[1:]): us for n, us in shifts.items()})
    with CassetteWriter(target, merged.header) as writer:
        write_items(writer, merged.items())
    return list(read_lines(target))


def order(lines: list[Line]) -> list[tuple[int, str]]:
    return [
        (line.receive_time_us, line.stream) for line in lines if isinstance(line, Frame)
    ]


def test_frames_follow_each_other_by_receive_time(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", (1, "a"), (5, "a"))
    two = write(tmp_path / "two.jsonl", (1, "b"), (3, "b"))
    lines = merge(tmp_path / "both.jsonl", one, two)
    assert order(lines) == [
        (1, "a@trade"),
        (1, "b@trade"),
        (3, "b@trade"),
        (5, "a@trade"),
    ]
    lines = merge(tmp_path / "both.jsonl", two, one)
    assert order(lines)[:2] == [(1, "b@trade"), (1, "a@trade")]


def test_a_shift_moves_receive_times_only(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", (10, "a"))
    two = write(tmp_path / "two.jsonl", (1, "b"), (3, "b"))
    lines = merge(tmp_path / "both.jsonl", one, two, s1=8)
    assert order(lines) == [(9, "b@trade"), (10, "a@trade"), (11, "b@trade")]
    lines = merge(tmp_path / "both.jsonl", one, two, s1=-2)
    assert order(lines)[:2] == [(0, "b@trade"), (1, "b@trade")]


def test_the_header_speaks_for_all(tmp_path: Path) -> None:
    other = '{"cassette":1,"source":"wss://y","streams":["c@trade"],"test":"t","x":1}\n'
    one = write(tmp_path / "one.jsonl", (2_000_000, "a"))
    two = write(tmp_path / "two.jsonl", (1_000_000, "b"), head=other)
    header = merge(tmp_path / "both.jsonl", one, two)[0]
    assert isinstance(header, Header)
    assert header.streams == ("a@trade", "c@trade", "b@trade")
    assert (header.market, header.source) == ("spot", "wss://x, wss://y")
    assert header.recorded_at == "1970-01-01T00:00:01Z"
    assert header.extra == {"x": 1, "merged_from": ["one.jsonl", "two.jsonl"]}
    assert header.test is None


def test_marks_and_answers_keep_their_places(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", (1, "a"))
    with one.open("a") as file:
        file.write('{"t":2,"mark":"reconnected"}\n{"end":9,"frames":1}\n')
    two = write(tmp_path / "two.jsonl", (3, "b"))
    lines = merge(tmp_path / "both.jsonl", one, two)
    assert [type(line).__name__ for line in lines] == [
        *("Header", "Frame", "Mark", "Frame", "End"),
    ]
    assert isinstance(lines[2], Mark)


def test_parts_of_a_cassette_merge_to_the_whole(tmp_path: Path) -> None:
    even = tmp_path / "even.jsonl"
    odd = tmp_path / "odd.jsonl"
    cut(DEMO, even, Span(), wanted=lambda name: "btcusdt" in name)
    cut(DEMO, odd, Span(), wanted=lambda name: "btcusdt" not in name)
    merge(tmp_path / "both.jsonl", even, odd)

    def key(frame: Frame) -> tuple[int, str, bytes]:
        return frame.receive_time_us, frame.stream, frame.payload

    merged = sorted(read_frames(tmp_path / "both.jsonl"), key=key)
    assert merged == sorted(read_frames(DEMO), key=key)
    assert [
        f for f in check_file(tmp_path / "both.jsonl") if f.severity == "error"
    ] == []


def test_streams_that_come_twice_at_once_are_named(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", (1, "a"), (5, "b"))
    two = write(tmp_path / "two.jsonl", (3, "b"), (4, "c"))
    empty = write(tmp_path / "empty.jsonl")
    assert Merge([one, two, empty]).doubles() == [("b@trade", str(one), str(two))]
    assert Merge([one, two], shifts_us={1: 100}).doubles() == []


def test_two_markets_are_not_merged(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", (1, "a"))
    two = write(tmp_path / "two.jsonl", (1, "a"), head=HEAD.replace("spot", "usdm"))
    with pytest.raises(MarketsDifferError):
        Merge([one, two])


def test_cassettes_of_no_known_market_are_not_merged(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text('{"t":1,"stream":"a@x","data":{}}\n', "utf-8")
    with pytest.raises(MarketUnknownError):
        Merge([path])


def test_cassettes_without_frames_are_not_merged(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl")
    with pytest.raises(NothingLeftError, match="there is no frame in them"):
        Merge([one, one])
