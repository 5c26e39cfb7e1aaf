from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from pytest_binance_replay.cassette import End, Frame, Header, Mark, RestAnswer
from pytest_binance_replay.compression import compression_of
from pytest_binance_replay.errors import CassetteLineError, CassetteNameError
from pytest_binance_replay.writer import CassetteWriter
from tests.sample_lines import (
    HEADER,
    OURS,
    RECONNECT,
    SNAPSHOT,
    read,
    text_of,
    trade,
    write,
)

WRITTEN: list[Frame | RestAnswer | Mark] = [trade(1), SNAPSHOT, trade(2), RECONNECT]


def record(path: Path) -> Path:
    with CassetteWriter(path, OURS) as writer:
        for line in WRITTEN:
            writer.write(line)
    return path


@pytest.mark.parametrize(
    ("suffix", "magic"),
    [(".jsonl", b'{"ca'), (".jsonl.gz", b"\x1f\x8b"), (".jsonl.zst", b"\x28\xb5")],
)
def test_what_is_written_reads_back_with_an_end(
    tmp_path: Path, suffix: str, magic: bytes
) -> None:
    path = record(tmp_path / "new" / f"dip{suffix}")
    assert path.read_bytes().startswith(magic)
    assert read(path) == ([OURS, *WRITTEN, End(1_000_002, 2)], [])
    again = record(tmp_path / f"again{suffix}")
    assert again.read_bytes() == path.read_bytes()
    assert list_files(tmp_path) == [f"again{suffix}", f"new/dip{suffix}"]


def list_files(directory: Path) -> list[str]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(path.relative_to(directory).as_posix() for path in found)


def test_gzip_is_as_the_standard_says_and_has_no_time(tmp_path: Path) -> None:
    path = record(tmp_path / "dip.jsonl.gz")
    text = text_of([OURS, *WRITTEN, End(1_000_002, 2)])
    assert gzip.decompress(path.read_bytes()) == text
    assert path.read_bytes()[3:10] == bytes(6) + b"\xff"


def test_raw_frames_are_written_as_any_frame(tmp_path: Path) -> None:
    with CassetteWriter(tmp_path / "dip.jsonl", HEADER) as writer:
        writer.write_raw_frame(5, "币usdt@trade".encode(), b'{"p": 1.10}')
        assert (writer.frames, writer.last_time_us) == (1, 5)
        with pytest.raises(CassetteLineError, match="payload is more than one line"):
            writer.write_raw_frame(6, b"a@trade", b"{\n}")
        writer.commit(end_time_us=7)
    frame = Frame(5, "币usdt@trade", b'{"p": 1.10}')
    expected = text_of([HEADER, frame, End(7, 1)])
    assert (tmp_path / "dip.jsonl").read_bytes() == expected


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_a_long_recording_is_cut_into_independent_members(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"dip{suffix}"
    with CassetteWriter(path, HEADER) as writer:
        for number in range(25_000):
            writer.write_raw_frame(number, b"a@trade", trade(number).payload)
    raw = path.read_bytes()
    compression = compression_of(raw[:4])
    assert compression
    members = []
    while raw:
        decompressor = compression.decompressor()
        members.append(decompressor.decompress(raw))
        raw = decompressor.unused_data
    assert len(members) == 3
    assert all(member.endswith(b"}\n") for member in members)
    assert len(b"".join(members).splitlines()) == 25_002


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", b"old")
    writer = CassetteWriter(path, HEADER)
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list_files(tmp_path) == ["dip.jsonl"]


def test_a_discarded_cassette_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", b"old")
    with CassetteWriter(path, HEADER) as writer:
        writer.write(trade(1))
        assert path.read_bytes() == b"old"
        writer.discard()
    assert path.read_bytes() == b"old"
    assert list_files(tmp_path) == ["dip.jsonl"]


def test_discarding_what_is_in_place_does_nothing(tmp_path: Path) -> None:
    with CassetteWriter(tmp_path / "dip.jsonl", HEADER) as writer:
        writer.commit()
        writer.discard()
    assert read(tmp_path / "dip.jsonl") == ([HEADER, End(0, 0)], [])


def test_a_cassette_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "dip.jsonl" / "in the way").mkdir(parents=True)
    writer = CassetteWriter(tmp_path / "dip.jsonl", HEADER)
    with pytest.raises(OSError, match="dip"):
        writer.commit()
    assert list_files(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_new_cassette_keeps_the_mode_and_the_link_of_the_old(tmp_path: Path) -> None:
    old = write(tmp_path / "old.jsonl", b"old")
    old.chmod(0o640)
    link = tmp_path / "dip.jsonl"
    link.symlink_to(old)
    record(link)
    assert link.is_symlink()
    assert old.stat().st_mode & 0o777 == 0o640
    assert read(old).lines[1:-1] == WRITTEN


def test_a_name_that_is_no_cassettes_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(CassetteNameError) as caught:
        CassetteWriter(tmp_path / "dip.txt", HEADER)
    assert str(caught.value) == (
        f"'{tmp_path}/dip.txt' is no name for a cassette. "
        "Let it end in .jsonl, .jsonl.gz, .jsonl.zst."
    )
    with pytest.raises(CassetteLineError):
        CassetteWriter(tmp_path / "dip.jsonl", Header(version=2))
    assert list_files(tmp_path) == []


def test_what_was_flushed_is_on_the_disk(tmp_path: Path) -> None:
    with CassetteWriter(tmp_path / "dip.jsonl", HEADER) as writer:
        writer.write(trade(1))
        size = writer.flush()
        (part,) = tmp_path.iterdir()
        assert part.read_bytes() == text_of([HEADER, trade(1)])
        assert writer.flush() == size == part.stat().st_size
        writer.discard()


def test_what_is_kept_goes_elsewhere_with_an_end(tmp_path: Path) -> None:
    path = write(tmp_path / "dip.jsonl", b"old")
    writer = CassetteWriter(path, HEADER)
    writer.write(trade(1))
    writer.keep_as(tmp_path / "dip.rejected.jsonl")
    assert path.read_bytes() == b"old"
    end = End(trade(1).receive_time_us, 1)
    assert read(tmp_path / "dip.rejected.jsonl") == ([HEADER, trade(1), end], [])
    assert list_files(tmp_path) == ["dip.jsonl", "dip.rejected.jsonl"]


def test_what_cannot_be_kept_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "in the way" / "of it").mkdir(parents=True)
    writer = CassetteWriter(tmp_path / "dip.jsonl", HEADER)
    with pytest.raises(OSError, match="in the way"):
        writer.keep_as(tmp_path / "in the way")
    assert list_files(tmp_path) == []
