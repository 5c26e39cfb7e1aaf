"""Captures on disk: how they are packed, what is cut or damaged, and playing them."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from pytest_binance_replay import foreign
from pytest_binance_replay.cassette import Frame, Header, Mark
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteFormatError,
    CassetteNotFoundError,
    CutShortWarning,
)
from pytest_binance_replay.factory import ReplayFactory
from pytest_binance_replay.files import CassetteReader, read_frames, summarise
from pytest_binance_replay.foreign import iso_time, open_foreign
from pytest_binance_replay.formats import FORMATS, Clues

STAMP = 1_723_161_253_937_085
LINE = '%d {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","n":%d}}\n'
LINES = "".join(LINE % (STAMP + n, n) for n in range(5000))
EVENTS = '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d}}\n'
BARE = '{"stream":"btcusdt@bookTicker","data":{"u":1}}\n'


def plain(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def gzipped(path: Path, text: str) -> None:
    middle = len(text) // 2
    members = (text[:middle].encode(), text[middle:].encode())
    path.write_bytes(b"".join(map(gzip.compress, members)))


def zstd(path: Path, text: str) -> None:
    zstandard = pytest.importorskip("zstandard")
    path.write_bytes(zstandard.compress(text.encode()))


def zipped(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder") if hasattr(archive, "mkdir") else None
        archive.writestr("README", "hello")
        archive.writestr("folder/capture.txt", text)


@pytest.mark.parametrize("pack", [plain, gzipped, zstd, zipped])
def test_a_capture_is_read_however_it_is_packed(
    tmp_path: Path, pack: Callable[[Path, str], None]
) -> None:
    pack(tmp_path / "capture", LINES)
    [capture] = open_foreign(tmp_path / "capture")
    items = list(capture.items())
    assert capture.form is FORMATS["hftbacktest"]
    assert [item.receive_time_us - STAMP for item in items] == list(range(5000))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n\r\n", "\n\0\0\0"])
def test_the_end_of_a_file_makes_no_difference(tmp_path: Path, ending: str) -> None:
    plain(tmp_path / "capture", LINES[:-1] + ending)
    [capture] = open_foreign(tmp_path / "capture")
    assert sum(1 for _ in capture.items()) == 5000


def test_a_capture_cut_short_gives_its_whole_lines(tmp_path: Path) -> None:
    plain(tmp_path / "capture", f"{LINE % (STAMP, 1)}17231612")
    [capture] = open_foreign(tmp_path / "capture", label="log")
    warned: list[BinanceReplayWarning] = []
    assert len(list(capture.items(warn=warned.append))) == 1
    assert [str(warning) for warning in warned] == [str(CutShortWarning("log", 2))]


def test_a_wrong_line_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    plain(path, f"{LINE % (STAMP, 1)}\ngibberish\n{LINE % (STAMP, 1)}")
    [capture] = open_foreign(path, label="log")
    with pytest.raises(CassetteFormatError) as caught:
        list(capture.items())
    assert str(caught.value) == (
        "log:3: not a capture of hftbacktest: it does not begin with a time in "
        "nanoseconds or microseconds. Cut the line out, or name another form with "
        "--from."
    )


def test_a_wrong_document_is_an_error(tmp_path: Path) -> None:
    plain(tmp_path / "capture.har", '{"log":{"entries":[')
    [capture] = open_foreign(tmp_path / "capture.har")
    with pytest.raises(CassetteFormatError, match="not an HTTP archive"):
        list(capture.items())


def test_damaged_gzip_data_is_an_error(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(LINES.encode()))
    raw[-6] ^= 0xFF  # in the checksum
    (tmp_path / "capture.gz").write_bytes(raw)
    [capture] = open_foreign(tmp_path / "capture.gz")
    with pytest.raises(CassetteFormatError, match="damaged gzip data"):
        list(capture.items())


@pytest.mark.parametrize("raw", [b"PK\x03\x04", b"PK\x03\x04" + bytes(50)])
def test_a_damaged_zip_is_an_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "capture.zip").write_bytes(raw)
    with pytest.raises(CassetteFormatError, match="damaged zip data"):
        open_foreign(tmp_path / "capture.zip")


def test_a_zip_damaged_inside_is_an_error(tmp_path: Path) -> None:
    zipped(tmp_path / "capture.zip", LINES * 3)
    raw = bytearray((tmp_path / "capture.zip").read_bytes())
    raw[-1000] ^= 0xFF
    (tmp_path / "capture.zip").write_bytes(raw)
    with pytest.raises(CassetteFormatError, match=r"damaged zip data|not a capture"):
        list(open_foreign(tmp_path / "capture.zip")[0].items())


def test_a_zip_of_nothing_known_is_an_error(tmp_path: Path) -> None:
    zipped(tmp_path / "capture.zip", "hello")
    with pytest.raises(CassetteFormatError, match="nothing in it is a capture"):
        open_foreign(tmp_path / "capture.zip")


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_line_without_end_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    monkeypatch.setattr(foreign, "MAX_LINE_BYTES", 100_000)
    plain(tmp_path / "capture", LINE % (STAMP, 1) + "x" * 100_001 * pieces)
    [capture] = open_foreign(tmp_path / "capture")
    with pytest.raises(CassetteFormatError, match="a line of more than"):
        list(capture.items())


def test_a_form_that_is_named_is_not_guessed(tmp_path: Path) -> None:
    plain(tmp_path / "capture", "17 nothing that is known")
    assert open_foreign(tmp_path / "capture") == []
    [capture] = open_foreign(tmp_path / "capture", form=FORMATS["tardis"])
    assert capture.form.name == "tardis"


def test_a_cassette_is_no_capture(tmp_path: Path) -> None:
    plain(tmp_path / "dip.jsonl", '{"cassette":1}\n')
    assert open_foreign(tmp_path / "dip.jsonl") == []


def test_a_file_that_is_not_there_is_said_to_be() -> None:
    with pytest.raises(CassetteNotFoundError):
        open_foreign(Path("nowhere.log"))


# Times that are made up


def times(tmp_path: Path, text: str, default_us: int = 0) -> list[int]:
    plain(tmp_path / "lines", text)
    [capture] = open_foreign(tmp_path / "lines")
    return [item.receive_time_us for item in capture.items(default_us=default_us)]


def test_what_has_no_time_has_that_of_the_line_before_or_of_the_first(
    tmp_path: Path,
) -> None:
    first, second = 1_672_515_782_136, 1_672_515_782_137
    text = BARE + BARE + EVENTS % first + BARE + EVENTS % second
    assert times(tmp_path, text) == [first * 1000] * 4 + [second * 1000]


def test_times_made_of_event_times_do_not_go_back(tmp_path: Path) -> None:
    first = 1_672_515_782_136
    text = EVENTS % first + EVENTS % (first - 50) + EVENTS % (first + 1)
    assert times(tmp_path, text) == [first * 1000] * 2 + [first * 1000 + 1000]


def test_a_file_without_any_time_has_the_one_it_is_given(tmp_path: Path) -> None:
    assert times(tmp_path, BARE * 3, default_us=7) == [7, 7, 7]
    assert set(times(tmp_path, BARE * 10_050)) == {0}


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (1_795_168_800_000_000, "2026-11-20T10:00:00Z"),
        (1_795_168_800_000_100, "2026-11-20T10:00:00.0001Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-5, "1970-01-01T00:00:00Z"),
        (10**30, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written_as_short_as_it_is_exact(time_us: int, text: str) -> None:
    assert iso_time(time_us) == text


# Captures in place of cassettes


SIMPLE_LOG = (
    '{"e": "trade", "E": 1672515782136, "s": "BTCUSDT", "p": 1.5, "q": 2.0, '
    '"T": 1672515782130, "m": false, "M": null}\n'
)


def test_a_capture_is_read_as_the_cassette_it_would_make(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    plain(path, SIMPLE_LOG * 3000)
    reader = CassetteReader(path)
    assert reader.header == Header(
        market="usdm",
        recorded_at="2022-12-31T19:43:02.136Z",
        extra={
            "receive_times": "from event time",
            "payloads": "written anew from a log; trade ids and pu are counted up",
        },
    )
    frames = [line for line in reader.lines() if isinstance(line, Frame)]
    assert len(frames) == 3000
    assert frames[-1].payload.startswith(b'{"e":"trade","E":1672515782136,')
    assert summarise(path).streams == {"btcusdt@trade": 3000}


def test_a_capture_of_odd_stream_names_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    plain(path, '{"stream":"a\\"b@trade","data":{}}\n{"result":null}\n')
    lines = list(CassetteReader(path).lines())
    assert [type(line) for line in lines] == [Header, Frame, Mark]
    assert next(read_frames(path)).stream == 'a"b@trade'


def test_an_odd_capture_warns_whoever_reads_it(tmp_path: Path) -> None:
    plain(tmp_path / "capture", f"{LINE % (STAMP, 1)}17231612")
    with pytest.warns(CutShortWarning):
        list(CassetteReader(tmp_path / "capture").batches())


def test_a_zip_is_read_as_one_cassette(tmp_path: Path) -> None:
    zipped(tmp_path / "capture.zip", LINES)
    assert sum(1 for _ in read_frames(tmp_path / "capture.zip")) == 5000


def test_clues_decide_where_a_capture_does_not_say(tmp_path: Path) -> None:
    plain(tmp_path / "log.jsonl", SIMPLE_LOG)
    [capture] = open_foreign(tmp_path / "log.jsonl", clues=Clues(market="spot"))
    [item] = capture.items()
    assert isinstance(item, Frame)
    assert item.payload.endswith(b'"M":true}')


def test_a_log_of_the_simple_protocol_is_played_as_it_is(tmp_path: Path) -> None:
    plain(tmp_path / "log.jsonl", SIMPLE_LOG * 2)
    factory = ReplayFactory(tmp_path, guarded=False)
    try:
        replay = factory("log")
        with connect(f"{replay.ws_url}/ws/btcusdt@trade") as raw:
            replay.play().wait(10)
            received = raw.recv(timeout=10)
        assert json.loads(received)["t"] == 1
        assert [frame.stream for frame in replay.frames()] == ["btcusdt@trade"] * 2
    finally:
        factory.close()
