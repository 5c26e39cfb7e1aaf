from __future__ import annotations

import gzip
import os
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import (
    Batch,
    End,
    Frame,
    Header,
    Line,
    format_line,
    parse_line,
)
from pytest_binance_replay.compression import SUFFIXES, compressor_for
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteFormatError,
    CassetteNotFoundError,
    CutShortWarning,
    FrameCountWarning,
    MissingExtraError,
    OutOfOrderWarning,
    UnfinishedRecordingWarning,
)
from pytest_binance_replay.files import (
    BLOCK_BYTES,
    CassetteReader,
    read_frames,
    read_lines,
    summarise,
)
from pytest_binance_replay.writer import CassetteWriter
from tests.sample_lines import (
    HEADER,
    LINES,
    OURS,
    RECONNECT,
    SNAPSHOT,
    read,
    text_of,
    trade,
    write,
)

RESTORE = "Restore it from git, or cut it out."
FORM = (
    "A cassette is UTF-8 text with one JSON object a line, such as "
    '{"t":1795168800003123,"stream":"btcusdt@trade","data":{}}'
)


def batches_of(path: Path) -> list[Batch]:
    return list(CassetteReader(path).batches())


def times_of(path: Path, problems: list[BinanceReplayWarning]) -> list[int]:
    reader = CassetteReader(path, warn=problems.append, block_bytes=64)
    return [time_us for batch in reader.batches() for time_us in batch.times_us]


# Reading


def zstd(raw: bytes) -> bytes:
    return compressor_for(Path("dip.jsonl.zst"))(raw)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": lambda raw: b"".join(
        gzip.compress(line, mtime=0) for line in raw.splitlines(keepends=True)
    ),
    "zero padding": lambda raw: gzip.compress(raw, mtime=0) + bytes(20_000),
    "zstd": zstd,
    "zstd frames": lambda raw: b"".join(map(zstd, raw.splitlines(keepends=True))),
    "zstd skippable": lambda raw: b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd(raw),
}


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("block_bytes", [1, 50, BLOCK_BYTES])
def test_a_cassette_is_read_by_its_content_not_its_name(
    tmp_path: Path, packing: str, block_bytes: int
) -> None:
    path = write(tmp_path / "any.name", PACK[packing](text_of(LINES)))
    assert read(path, block_bytes=block_bytes) == (LINES, [])


@pytest.mark.parametrize(
    "raw",
    [
        text_of(LINES).rstrip(b"\n"),
        text_of(LINES).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + text_of(LINES),
        b"\n  \n" + text_of(LINES).replace(b"\n", b"\n\n"),
        text_of(LINES) + b"  ",
        text_of(LINES) + b"\n\n \n",
    ],
    ids=["no last line end", "crlf", "utf-8 mark", "blank lines", "blank end", "end"],
)
@pytest.mark.parametrize("block_bytes", [1, BLOCK_BYTES])
def test_how_an_editor_saves_text_makes_no_difference(
    tmp_path: Path, raw: bytes, block_bytes: int
) -> None:
    path = write(tmp_path / "dip.jsonl", raw)
    assert read(path, block_bytes=block_bytes) == (LINES, [])


@pytest.mark.parametrize("block_bytes", [1, BLOCK_BYTES])
def test_one_line_below_blank_ones_is_read_or_cut_as_any(
    tmp_path: Path, block_bytes: int
) -> None:
    path = write(tmp_path / "dip.jsonl", b"\n \n" + format_line(HEADER).rstrip())
    assert read(path, block_bytes=block_bytes) == ([HEADER], [])
    write(path, path.read_bytes()[:-1])
    reading = read(path, block_bytes=block_bytes)
    assert reading.lines == []
    assert [problem.args for problem in reading.problems] == [(str(path), 3)]


def test_a_batch_tells_where_the_other_lines_stand(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(LINES))
    assert batches_of(path) == [
        Batch(
            [1_000_001, 1_000_002, 1_000_003],
            [b"btcusdt@trade"] * 3,
            [trade(1).payload, trade(2).payload, trade(3).payload],
            [(1, SNAPSHOT), (2, RECONNECT)],
        )
    ]


def test_a_file_without_a_header_has_an_open_one(tmp_path: Path) -> None:
    reader = CassetteReader(write(tmp_path / "dip.jsonl", text_of(LINES[1:])))
    assert (reader.has_header, reader.header) == (False, Header())
    assert list(reader.lines()) == LINES[1:]


def test_the_header_of_an_unchanged_file_is_read_once() -> None:
    demo = Path(__file__).parents[1] / "recordings" / "spot.jsonl"
    assert CassetteReader(demo).header is CassetteReader(demo).header


def test_a_file_changed_a_moment_ago_has_no_old_header(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    for market in ("spot", "usdm", "spot"):
        write(path, b'{"cassette":1,"market":"%b"}\n' % market.encode())
        os.utime(path, ns=(1, 1))
        assert CassetteReader(path).header.market == market


def test_a_header_alone_is_a_cassette_of_no_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", format_line(HEADER))
    with CassetteReader(path) as reader:
        assert (reader.has_header, reader.header) == (True, HEADER)
        assert list(reader.batches()) == []
    assert summarise(path).first_time_us is None


def test_every_pass_starts_anew_and_on_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(LINES))
    with CassetteReader(path, block_bytes=64) as reader:
        first, second = reader.batches(), reader.batches()
        assert next(first) == next(second)
        assert list(first) == list(second)


def test_closing_a_reader_ends_what_it_has_open(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(LINES))
    with CassetteReader(path, block_bytes=64) as reader:
        batches, lines = reader.batches(), reader.lines()
        next(batches)
        next(lines)
    assert list(batches) == []
    assert list(lines) == []


def test_frames_come_in_the_order_of_the_file_with_their_own_times(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "dip.jsonl", text_of([trade(2), SNAPSHOT, trade(1)]))
    assert list(read_frames(path)) == [trade(2), trade(1)]
    assert list(read_lines(path)) == [trade(2), SNAPSHOT, trade(1)]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12), st.sampled_from([b"", b"\n"])
)
def test_times_never_go_back_and_the_first_that_would_is_named(
    tmp_path_factory: pytest.TempPathFactory, times_us: list[int], blank: bytes
) -> None:
    lines = [format_line(Frame(time_us, "a@trade", b"{}")) for time_us in times_us]
    path = tmp_path_factory.mktemp("order") / "dip.jsonl"
    write(path, blank + b'{"cassette":1}\n' + blank.join(lines))
    latest_us = list(accumulate(times_us, max))
    back = [
        (number, before_us - time_us)
        for number, (before_us, time_us) in enumerate(
            zip(latest_us, times_us[1:], strict=False), 2
        )
        if time_us < before_us
    ]
    problems: list[BinanceReplayWarning] = []
    assert times_of(path, problems) == latest_us
    expected = [
        (str(path), number * (1 + len(blank)) + 1, back_us) for number, back_us in back
    ]
    assert [problem.args for problem in problems] == expected[:1]


def test_times_that_go_back_are_warned_of_in_every_pass(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of([trade(9), trade(2), trade(3)]))
    problems: list[BinanceReplayWarning] = []
    reader = CassetteReader(path, warn=problems.append)
    for _ in range(2):
        list(reader.batches())
    assert [type(problem) for problem in problems] == [OutOfOrderWarning] * 2
    assert str(problems[0]) == (
        f"{path}:2: received 7e-06 s before an earlier line; played in file order, "
        "without a wait. Sort the lines by 't' if the recorder wrote them out of order."
    )


def test_warnings_go_to_python_unless_told_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of([trade(2), trade(1)]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches_of(path)
    assert [item.category for item in caught] == [OutOfOrderWarning]


# Cut short


def whole_lines(raw: bytes) -> list[Line]:
    return [parse_line(line) for line in raw.split(b"\n") if line]


@given(st.data(), st.sampled_from([1, 30, BLOCK_BYTES]))
def test_a_cut_cassette_gives_its_whole_lines_and_a_warning(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, block_bytes: int
) -> None:
    raw = text_of(LINES)
    length = data.draw(st.integers(1, len(raw)))
    zeros = data.draw(st.sampled_from([0, 3]))
    path = tmp_path_factory.mktemp("cut") / "dip.jsonl"
    write(path, raw[:length] + bytes(zeros))
    is_sound = b"\n" in raw[length - 1 : length + 1] and not zeros
    kept = length if is_sound else raw.rfind(b"\n", 0, length) + 1
    expected = whole_lines(raw[:kept])
    problem = CutShortWarning(str(path), len(expected) + 1)
    problems = [] if is_sound else [problem.args]
    reading = read(path, block_bytes=block_bytes)
    assert reading.lines == expected
    assert [problem.args for problem in reading.problems] == problems


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@given(data=st.data())
def test_a_cut_compressed_cassette_gives_its_whole_lines_and_a_warning(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, packing: str
) -> None:
    members = [text_of(LINES[:2]), text_of(LINES[2:3]), text_of(LINES[3:])]
    packed = [PACK[packing](member) for member in members]
    ends = dict(zip(accumulate(map(len, packed)), [2, 3, len(LINES)], strict=True))
    raw = b"".join(packed)
    length = data.draw(st.integers(1, len(raw)))
    path = write(tmp_path_factory.mktemp("cut") / "dip", raw[:length])
    reading = read(path)
    sure = max((lines for end, lines in ends.items() if end <= length), default=0)
    assert reading.lines == LINES[: len(reading.lines)]
    assert sure <= len(reading.lines)
    problem = CutShortWarning(str(path), len(reading.lines) + 1).args
    expected = [] if length in ends else [problem]
    assert [problem.args for problem in reading.problems] == expected


def test_a_compressed_cassette_gives_each_line_decompressed_before_the_cut(
    tmp_path: Path,
) -> None:
    lines: list[Line] = [trade(number) for number in range(2000)]
    raw = gzip.compress(text_of(lines), mtime=0)
    path = write(tmp_path / "dip.jsonl.gz", raw[: len(raw) // 2])
    assert 800 < len(read(path).lines) < 1200


def test_a_cut_is_told_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(LINES)[:-9])
    with pytest.warns(CutShortWarning) as caught:
        assert list(read_frames(path)) == [trade(1), trade(2)]
    assert str(caught[0].message) == (
        f"{path}: cut short inside line 6; playing the 5 whole lines before it."
    )


@pytest.mark.parametrize(
    "cut", [b'{"cassette":1,"mar', gzip.compress(b"{}", mtime=0)[:7]]
)
def test_a_file_cut_in_its_first_line_has_no_frames(tmp_path: Path, cut: bytes) -> None:
    path = write(tmp_path / "dip.jsonl", cut)
    reader = CassetteReader(path)
    assert not reader.has_header
    with pytest.warns(CutShortWarning, match="cut short inside line 1;"):
        assert list(reader.batches()) == []


# The end line


@pytest.mark.parametrize(
    "lines",
    [
        [HEADER, trade(1)],
        [OURS, trade(1), End(1, 1)],
        [OURS, trade(1), End(1, 1), RECONNECT],
        [trade(1), End(1, 1), trade(2), End(2, 2)],
    ],
)
def test_a_finished_or_hand_made_cassette_warns_of_nothing(
    tmp_path: Path, lines: list[Line]
) -> None:
    assert read(write(tmp_path / "dip.jsonl", text_of(lines))) == (lines, [])


def test_a_recording_of_ours_without_an_end_was_not_finished(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of([OURS, trade(1), RECONNECT]))
    with pytest.warns(UnfinishedRecordingWarning) as caught:
        batches_of(path)
    assert str(caught[0].message) == (
        f"{path}: the recording was not finished, for it has no 'end' line; playing "
        "all 1 frames. If you shortened it by hand, add: "
        '{"end":1000001,"frames":1}'
    )


def test_frames_taken_out_by_hand_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of([trade(1), trade(2), End(9, 3)]))
    with pytest.warns(FrameCountWarning) as caught:
        batches_of(path)
    assert str(caught[0].message) == (
        f"{path}: its 'end' line says 3 frames, and it has 2. If you changed it by "
        "hand, write 2 there; else restore it from git."
    )


# What cannot be read


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty. Restore it from git, or record it: pytest --record-binance"),
        (
            b" \n\n",
            "is empty. Restore it from git, or record it: pytest --record-binance",
        ),
        (
            gzip.compress(b"", mtime=0),
            "is empty. Restore it from git, or record it: pytest --record-binance",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0", f"is not a cassette: it is binary data. {FORM}"),
        (
            '\ufeff{"cassette":1}\n'.encode("utf-16-le"),
            f"is not a cassette: it is UTF-16 text. {FORM}",
        ),
        (b'\n[{"t":1}]\n', f"is not a cassette: it is a JSON array. {FORM}"),
        (
            "interactions:\r\n- é: 1\n".encode(),
            f"is not a cassette: its first line begins with 'interactions:'. {FORM}",
        ),
        (
            b"nonsense",
            f"is not a cassette: its first line begins with 'nonsense'. {FORM}",
        ),
    ],
)
def test_a_file_that_is_no_cassette_says_what_it_is(
    tmp_path: Path, raw: bytes, message: str
) -> None:
    path = write(tmp_path / "dip.jsonl", raw)
    with pytest.raises(CassetteFormatError) as caught:
        CassetteReader(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_directory_is_not_a_cassette(tmp_path: Path) -> None:
    with pytest.raises(CassetteFormatError) as caught:
        CassetteReader(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a directory. Name a cassette in it."


def test_a_file_the_system_will_not_open_says_why(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(CassetteFormatError) as caught:
        CassetteReader(path)
    assert str(caught.value) == (
        f"{path}: cannot be read: File name too long. Check its permissions."
    )


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "dip.jsonl.gz", b"")
    write(tmp_path / "notes.txt", b"")
    with pytest.raises(CassetteNotFoundError) as caught:
        CassetteReader(tmp_path / "dip.jsonl")
    assert str(caught.value) == (
        f"No cassette 'dip.jsonl' in {tmp_path}; nearest: 'dip.jsonl.gz'. "
        "To record it: pytest --record-binance"
    )
    with pytest.raises(FileNotFoundError):
        CassetteReader(tmp_path / "none" / "dip.jsonl")


@pytest.mark.parametrize("blank_lines", [0, 3])
def test_a_broken_first_line_is_found_at_once(tmp_path: Path, blank_lines: int) -> None:
    path = write(tmp_path / "dip.jsonl", b"\n" * blank_lines + b'{"foo":1}\n')
    with pytest.raises(CassetteFormatError) as caught:
        CassetteReader(path)
    assert str(caught.value) == (
        f"{path}:{blank_lines + 1}: not a cassette line: it has none of 'stream', "
        f"'rest', 'mark', 'end' and 'cassette'. {RESTORE}"
    )


@pytest.mark.parametrize("tail", [b"\n", b""])
def test_a_broken_line_is_found_when_it_is_reached(tmp_path: Path, tail: bytes) -> None:
    raw = text_of(LINES) + b'{"t":1 "stream":2}' + tail
    reader = CassetteReader(write(tmp_path / "dip.jsonl", raw + tail and raw + b"\n"))
    with pytest.raises(CassetteFormatError) as caught:
        list(reader.batches())
    assert str(caught.value) == (
        f"{reader.path}:7: not a cassette line: Expecting ',' delimiter at column 8. "
        f"{RESTORE}"
    )


def test_a_whole_last_line_that_is_wrong_is_no_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(LINES) + b'{"foo":1}')
    with pytest.raises(CassetteFormatError, match=r"jsonl:7: not a cassette line"):
        batches_of(path)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_damaged_compressed_data_is_an_error_behind_the_whole_lines(
    tmp_path: Path, packing: str
) -> None:
    damaged = bytearray(PACK[packing](text_of(LINES[3:])))
    damaged[-3] ^= 0xFF  # inside the checksum
    raw = PACK[packing](text_of(LINES[:3])) + damaged
    lines = CassetteReader(write(tmp_path / "dip", raw)).lines()
    assert [next(lines) for _ in range(3)] == LINES[:3]
    with pytest.raises(CassetteFormatError) as caught:
        next(lines)
    assert (caught.value.line, caught.value.advice) == (
        4,
        "Restore it from git, or record it again.",
    )
    assert caught.value.problem.startswith(
        f"damaged {packing} data from about this line on: "
    )


def test_what_follows_gzip_data_and_is_none_is_damage(tmp_path: Path) -> None:
    raw = gzip.compress(text_of(LINES), mtime=0) + b"\0\0garbage"
    path = write(tmp_path / "dip.jsonl.gz", raw)
    with pytest.raises(CassetteFormatError, match=r"gz:7: damaged gzip data"):
        batches_of(path)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(format_line(HEADER) + b'{"t":1,"stream":"')
        for _ in range(65):
            file.write(b"x" * 1024 * 1024)
    with pytest.raises(CassetteFormatError) as caught:
        batches_of(path)
    assert str(caught.value) == f"{path}:2: a line of more than 64 MiB. {FORM}"


def test_zstd_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "dip", PACK["zstd"](text_of(LINES)))
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError) as caught:
        CassetteReader(path)
    assert str(caught.value) == (
        "A zstd cassette needs a package that is not installed: "
        'pip install "pytest-binance-replay[zstd]"'
    )


def peak_bytes(path: Path, frames: int) -> int:
    with CassetteWriter(path, HEADER) as writer:
        for number in range(frames):
            writer.write_raw_frame(number, b"btcusdt@trade", trade(number).payload)
    tracemalloc.start()
    try:
        read_frames = sum(
            len(batch.times_us) for batch in CassetteReader(path).batches()
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read_frames == frames
    return peak


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.slow
def test_a_cassette_is_read_in_constant_memory(tmp_path: Path, suffix: str) -> None:
    short = peak_bytes(tmp_path / f"short{suffix}", 20_000)
    long = peak_bytes(tmp_path / f"long{suffix}", 80_000)
    assert long < short * 1.25
    assert long < 4_000_000  # of 8 MB


@pytest.mark.slow
def test_real_recordings_read_whole(shared_sessions: list[Path]) -> None:
    for path in shared_sessions:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read()
        expected = [parse_line(line) for line in raw.splitlines()[:500]]
        reading = read_some(path, 500)
        assert reading == expected
        assert summarise(path).frames == raw.count(b"\n")


def read_some(path: Path, number: int) -> list[Line]:
    with CassetteReader(path) as reader:
        return [line for line, _ in zip(reader.lines(), range(number), strict=False)]


# Summary


def test_a_summary_counts_what_is_there(tmp_path: Path) -> None:
    depth = trade(5, stream="btcusdt@depth")
    lines = [*LINES, depth, trade(4), End(9, 5)]
    path = write(tmp_path / "dip.jsonl", text_of(lines))
    summary = summarise(path)
    assert summary.header == HEADER
    assert summary.streams == {"btcusdt@trade": 4, "btcusdt@depth": 1}
    assert list(summary.streams) == ["btcusdt@trade", "btcusdt@depth"]
    assert (summary.frames, summary.marks) == (5, 1)
    assert (summary.first_time_us, summary.last_time_us) == (1_000_001, 1_000_005)
    assert summary.rest == (SNAPSHOT,)
    assert [type(problem) for problem in summary.problems] == [OutOfOrderWarning]


@pytest.mark.parametrize(
    ("lines", "market"),
    [
        ([Header(market="usdm"), trade(1)], "usdm"),
        ([trade(1)], "spot"),
        ([Frame(1, "a@kline_1m", b'{"e":"kline"}'), trade(1)], "spot"),
        ([Frame(1, "a@markPrice", b'{"e":"markPriceUpdate"}')], "usdm"),
        ([Frame(1, "a@kline_1m", b'{"e":"kline"}')], None),
        ([RECONNECT], None),
    ],
)
def test_the_market_is_the_headers_or_told_by_the_payloads(
    tmp_path: Path, lines: list[Line], market: str | None
) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(lines))
    assert summarise(path).market == market


def test_a_summary_is_made_anew_only_when_the_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", text_of(LINES))
    summary = summarise(path)
    assert summarise(str(path)) is summary
    write(path, text_of(LINES[:-1]))
    assert summarise(path).frames == summary.frames - 1


def test_frames_before_a_broken_line_are_given_though_they_share_its_block(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dip.jsonl"
    good = b'{"t":%d,"stream":"a@trade","data":{"p":"1"}}\n'
    path.write_bytes(good % 1 + good % 2 + b"{broken\n" + good % 3)
    with CassetteReader(path) as reader:
        batches = reader.batches()
        assert next(batches).times_us == [1, 2]
        with pytest.raises(CassetteFormatError) as caught:
            next(batches)
    assert caught.value.line == 3
