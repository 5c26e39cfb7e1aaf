"""Files looked through from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_binance_replay.errors import CassetteFormatError, CassetteNotFoundError
from pytest_binance_replay.tools.inspection import (
    FileCheck,
    check_file,
    overview_of,
    read_batches,
    structure_of,
)
from tests.soundness.sound_cassettes import SPOT, lines_of


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([*lines_of(SPOT), b""]))
    return path


def test_a_check_knows_frames_and_market_when_it_is_done(cassette: Path) -> None:
    check = FileCheck(cassette)
    assert list(check) == []
    assert (check.frames, check.market) == (21, "spot")


def test_findings_come_with_the_numbers_of_their_lines(cassette: Path) -> None:
    frame = lines_of(SPOT)[4]
    lines = [frame.replace(b'"t":7', b'"t":%d' % n) for n in range(2000)]
    del lines[1500]
    cassette.write_bytes(b"\n".join(lines))  # which is several blocks
    assert [(f.rule, f.line) for f in check_file(cassette)] == [("trade-ids", 1501)]


def test_batches_have_the_header_and_all_lines(cassette: Path) -> None:
    told: list[int] = []
    (batch,) = read_batches(cassette, progress=told.append)
    assert (len(batch.times_us), len(batch.others)) == (21, 3)
    assert told == [cassette.stat().st_size]


def test_overview_and_structure_read_the_same_frames(cassette: Path) -> None:
    found = structure_of(cassette)
    assert sum(found.payloads.values()) == overview_of(cassette).frames == 21


@pytest.mark.parametrize(
    "look", [overview_of, structure_of, lambda p: [*check_file(p)]]
)
def test_what_is_no_cassette_is_refused(cassette: Path, look: object) -> None:
    assert callable(look)
    cassette.write_bytes(b"")
    with pytest.raises(CassetteFormatError, match=r"a\.jsonl: is empty\."):
        look(cassette)
    cassette.write_bytes(b"hello\n")
    with pytest.raises(CassetteFormatError, match="is not a cassette"):
        look(cassette)
    cassette.unlink()
    with pytest.raises(CassetteNotFoundError):
        look(cassette)


def test_a_file_with_nothing_but_a_cut_line_is_a_finding(cassette: Path) -> None:
    cassette.write_bytes(b'{"cassette":1')
    assert [(f.rule, f.line) for f in check_file(cassette)] == [("cut", 1)]
    assert overview_of(cassette).frames == 0
