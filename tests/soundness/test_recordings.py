"""What the check says of real recordings is what their continuity notes say."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.cassette import Frame, Line, RestAnswer, parse_line
from pytest_binance_replay.soundness import check_lines
from pytest_binance_replay.tools.inspection import check_file
from tests.test_recordings import RECORDINGS

JOINED = (
    *("cryptofeed-spot-20210404", "cryptofeed-spot-20210417"),
    *("cryptofeed-spot-20211012", "jayhere1-spot-20260704"),
)
LARGE = (
    *("hftbacktest-coinm-20240808", "hftbacktest-spot-20240808"),
    *("hftbacktest-usdm-20230404", "hftbacktest-usdm-20240808"),
)
WITHOUT_SNAPSHOT = ("lasota-spot-20240903", "tomsep-spot-ticker-arr-20190928")
NOT_JOINED = ("polysim-spot-20260718", "polysim-usdm-20260718")


def read(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    lines = gzip.decompress(raw) if path.suffix == ".gz" else raw
    yield from lines.splitlines()


def snapshots_of(folder: Path) -> list[tuple[int, RestAnswer]]:
    index = folder / "rest" / "index.json"
    entries: list[Any] = json.loads(index.read_bytes()) if index.exists() else []
    found = []
    for entry in entries:
        if "/depth?" in entry["url"]:
            body = (folder / "rest" / entry["file"]).read_bytes().strip()
            request = "/" + entry["url"].split("/", 3)[3].partition(" ")[0]
            time_us = entry["t"] or 0
            found.append((time_us, RestAnswer(time_us, request, 200, body)))
    return sorted(found, key=lambda pair: pair[0])


def session(shared_data: Path, name: str, frames: int | None = None) -> Iterator[Line]:
    """A recording with its snapshots where they were received, or else in front."""
    folder = shared_data / name
    (path,) = folder.glob("session.jsonl*")
    snapshots = snapshots_of(folder)
    for raw in islice(read(path), frames):
        line = parse_line(raw)
        assert isinstance(line, Frame)
        while snapshots and snapshots[0][0] <= line.receive_time_us:
            yield snapshots.pop(0)[1]
        yield line


@pytest.mark.parametrize(
    "path", sorted(RECORDINGS.glob("*.jsonl*")), ids=lambda p: p.name
)
def test_a_bundled_recording_is_sound(path: Path) -> None:
    assert list(check_file(path)) == []


@pytest.mark.parametrize("name", JOINED + WITHOUT_SNAPSHOT)
def test_a_recording_without_breaks_has_nothing_to_find(
    shared_data: Path, name: str
) -> None:
    assert list(check_lines(session(shared_data, name))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_recording_has_nothing_to_find(shared_data: Path, name: str) -> None:
    assert list(check_lines(session(shared_data, name, 20_000))) == []


@pytest.mark.parametrize("name", NOT_JOINED)
def test_a_snapshot_too_old_for_its_stream_is_found(
    shared_data: Path, name: str
) -> None:
    found = list(check_lines(session(shared_data, name)))
    errors = [f for f in found if f.severity == "error"]
    assert [(f.rule, f.line) for f in errors] == [("snapshot", 1)]
    assert "does not join" in errors[0].sentence


def test_trade_ids_that_futures_aggregates_skip_are_noted(shared_data: Path) -> None:
    path = shared_data / "polysim-usdm-20260718" / "session.jsonl.gz"
    found = [(f.rule, f.severity, f.line) for f in check_file(path)]
    note = ("agg-trade-ids", "note")
    assert found == [(*note, 217), (*note, 662)]


def test_microseconds_are_told_by_the_payload(shared_data: Path) -> None:
    folder = shared_data / "polysim-spot-20260718"
    path = folder / "session_timeunit_microsecond.jsonl"
    assert list(check_file(path)) == []


def depth_lines(lines: list[Line]) -> list[int]:
    return [
        number
        for number, line in enumerate(lines)
        if isinstance(line, Frame) and line.stream == "btcusdt@depth@100ms"
    ]


@pytest.mark.parametrize("missing", [0, 20, 400])
def test_an_event_taken_out_of_a_recording_leaves_a_gap_there(
    shared_data: Path, missing: int
) -> None:
    lines = list(session(shared_data, "cryptofeed-spot-20210404"))
    places = depth_lines(lines)
    del lines[places[missing]]
    found = list(check_lines(lines))
    # The first event of a stream is missed by nobody.
    wanted = [("depth-chain", places[missing + 1])] if missing else []
    assert [(f.rule, f.line) for f in found] == wanted


def test_a_quantity_changed_in_an_event_shows_in_the_book_ticker(
    shared_data: Path,
) -> None:
    lines = list(session(shared_data, "cryptofeed-spot-20210417"))
    shown = {
        (wire["u"], wire["b"], wire["B"])
        for line in lines
        if isinstance(line, Frame) and line.stream == "veteth@bookTicker"
        for wire in [json.loads(line.payload)]
    }
    at, event, bid = next(
        (n, line, wire["b"][0])
        for n, line in enumerate(lines)
        if isinstance(line, Frame) and line.stream == "veteth@depth@100ms" and n > 400
        for wire in [json.loads(line.payload)]
        if wire["b"] and (wire["u"], *wire["b"][0]) in shown
    )
    changed = event.payload.replace(bid[1].encode(), b"0.10000000", 1)
    lines[at] = Frame(event.receive_time_us, event.stream, changed)
    found = list(check_lines(lines))
    assert {f.rule for f in found} == {"book-ticker"}
    assert abs(found[0].line - at) < 20
