"""Places in a cassette: read from there, it says what it says read from its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay import files, places
from pytest_binance_replay.cassette import Batch, Frame, Header
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.errors import BinanceReplayWarning, FrameCountWarning
from pytest_binance_replay.files import CassetteReader
from pytest_binance_replay.library import CassetteSource, Library, SessionSource
from pytest_binance_replay.places import START, Place, Places
from pytest_binance_replay.spill import SpillFile
from pytest_binance_replay.tape import Tape
from pytest_binance_replay.writer import CassetteWriter
from tests.test_files import PACK

Find = Callable[[Places], Place]

HEAD = b'{"cassette":1,"market":"spot","streams":["btcusdt@trade"]}\n'
FRAME = b'{"t":%d,"stream":"btcusdt@trade","data":{"n":%d}}\n'
OTHERS = (
    b'{"t":%d,"rest":"/api/v3/depth?symbol=BTCUSDT","status":200,"data":{}}\n',
    b'{"t":%d,"mark":"reconnected"}\n',
    b"\n",
)
SECOND_US = 1_000_000
PACKINGS = [name for name in PACK if name != "zstd skippable"]


@pytest.fixture(autouse=True)
def close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files have places, too, and nobody waits until they count as settled."""
    now_us = wall_us()
    monkeypatch.setattr(places, "APART_BYTES", 1)
    monkeypatch.setattr(files, "wall_us", lambda: now_us + 60 * SECOND_US)


def ignore(_: BinanceReplayWarning) -> None:
    """Nobody is told."""


def make(path: Path, times_us: list[int], packing: str = "plain") -> Path:
    """A cassette of frames at some times, with lines of other kinds between them."""
    lines = [HEAD]
    for number, time_us in enumerate(times_us):
        lines.append(FRAME % (time_us, number))
        other = OTHERS[number % 7] if number % 7 < len(OTHERS) else b""
        lines.append(other.replace(b"%d", b"%d" % time_us))
    path.write_bytes(PACK[packing](b"".join(lines)))
    return path


def source_of(path: Path) -> CassetteSource:
    return CassetteSource(path, path.name, warn=ignore)


def known(path: Path, block_bytes: int = 50) -> list[Place]:
    """Read a file once, and return the places in it."""
    for _ in CassetteReader(path, warn=ignore, block_bytes=block_bytes).batches():
        pass
    found: list[Place] = []

    def see(those: Places) -> Place:
        found.extend(those._known)
        return START

    CassetteReader(path).batches_near(see)
    return found


def chosen(place: Place) -> Find:
    return lambda _: place


def rows(batches: Iterator[Batch]) -> list[tuple[int, bytes, bytes]]:
    return [
        row
        for batch in batches
        for row in zip(batch.times_us, batch.streams, batch.payloads, strict=True)
    ]


# What is known


def test_places_are_noted_well_apart_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "APART_BYTES", 100)
    those = Places()
    for offset in (50, 100, 150, 199, 200, 120, 300):
        those.note(Place(offset, offset, offset, offset))
    assert [place.offset for place in those._known] == [0, 100, 200, 300]


@pytest.mark.parametrize(
    ("find", "offset"),
    [
        (lambda those: those.before_frame(0), 0),
        (lambda those: those.before_frame(9), 0),
        (lambda those: those.before_frame(10), 100),
        (lambda those: those.before_frame(99), 200),
        (lambda those: those.before_time(0), 0),
        (lambda those: those.before_time(1000), 0),  # one of before may be as late
        (lambda those: those.before_time(1001), 100),
        (lambda those: those.before_time(9999), 200),
    ],
)
def test_the_last_place_that_leaves_out_nothing_wanted(find: Find, offset: int) -> None:
    those = Places()
    those.note(Place(100, 11, 10, 1000))
    those.note(Place(200, 21, 20, 2000))
    assert find(those).offset == offset


# Reading from a place


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("block_bytes", [1, 50, 1000])
def test_from_every_place_follows_what_follows_there(
    tmp_path: Path, packing: str, block_bytes: int
) -> None:
    times_us = [*range(10, 60), 40, 41, *range(60, 90)]  # once they go back
    path = make(tmp_path / "dip", times_us, packing)
    whole = rows(CassetteReader(path, warn=ignore).batches())
    found = known(path, block_bytes)
    reader = CassetteReader(path, warn=ignore)
    for place in found:
        _, batches = reader.batches_near(chosen(place))
        assert rows(batches) == whole[place.frames :]
    in_many_members = packing in {"gzip members", "zstd frames"}
    assert (len(found) > 4) == (packing == "plain" or in_many_members)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_cassettes_that_we_write_have_places_all_over(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"dip{suffix}"
    payload = b'{"n":"%b"}' % bytes(range(97, 123))
    with CassetteWriter(path, Header(market="spot")) as writer:
        for time_us in range(60_000):
            writer.write_raw_frame(time_us, b"btcusdt@trade", payload)
    found = known(path, files.BLOCK_BYTES)
    assert len(found) >= 4
    assert found[-1].frames > 40_000
    _, batches = CassetteReader(path).batches_near(chosen(found[-1]))
    times_us = [time_us for batch in batches for time_us in batch.times_us]
    assert times_us == list(range(found[-1].frames, 60_000))


def test_problems_are_told_of_with_lines_and_counts_of_the_whole_file(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "dip", list(range(50)))
    raw = path.read_bytes()
    path.write_bytes(raw + b'{"end":50,"frames":7}\n')
    told: list[list[BinanceReplayWarning]] = []
    for find in (lambda _: START, lambda those: those.before_frame(40)):
        told.append([])
        reader = CassetteReader(path, warn=told[-1].append, block_bytes=50)
        rows(reader.batches_near(find)[1])
    whole, rest = told
    assert [str(problem) for problem in whole] == [str(problem) for problem in rest]
    assert isinstance(whole[-1], FrameCountWarning)


def test_another_file_of_the_same_name_has_places_of_its_own(tmp_path: Path) -> None:
    path = make(tmp_path / "dip", list(range(50)))
    assert len(known(path)) > 2
    other = make(tmp_path / "other", list(range(100, 150)))
    other.replace(path)
    place, batches = CassetteReader(path).batches_near(lambda p: p.before_frame(40))
    assert place == START
    assert rows(batches)[0][0] == 100


def test_a_file_that_may_yet_change_unseen_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "dip", list(range(50)))
    changed_us = path.stat().st_mtime_ns // 1000
    monkeypatch.setattr(files, "wall_us", lambda: changed_us + SECOND_US)
    assert known(path) == [START]


# A tape


def tape_of(library: Library) -> Tape:
    return Tape(library.batches, SpillFile(), open_near=library.batches_near)


@given(
    st.lists(st.integers(0, 50), max_size=60),
    st.lists(st.tuples(st.booleans(), st.integers(0, 70)), max_size=6),
)
def test_a_tape_is_wound_to_the_same_place_as_if_read_from_its_start(
    tmp_path_factory: pytest.TempPathFactory,
    times_us: list[int],
    seeks: list[tuple[bool, int]],
) -> None:
    path = make(tmp_path_factory.mktemp("tape") / "dip", times_us)
    known(path)
    library = Library([source_of(path)])
    plain, near = Tape(library.batches, SpillFile()), tape_of(library)
    for by_time, target in seeks:
        for tape in (plain, near):
            (tape.seek_time if by_time else tape.seek_frame)(target)
        assert near.position == plain.position
        assert (near.time_us, near.start_us) == (plain.time_us, plain.start_us)
        assert frames_of(near) == frames_of(plain)


def frames_of(tape: Tape) -> list[tuple[int, bytes]]:
    """Release what follows, and return its numbers and payloads."""
    found: list[tuple[int, bytes]] = []
    while (head := tape.head()) is not None:
        block, index = head
        numbers = range(block.first + index, block.end)
        found += zip(numbers, block.payloads[index:], strict=True)
        tape.release(block.end)
    return found


def test_a_tape_of_one_cassette_is_wound_without_reading_what_lies_before(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "dip", list(range(200)))
    known(path)
    library = Library([source_of(path)])
    place, batches = library.batches_near(lambda those: those.before_frame(150))
    assert 140 < place.frames <= 150
    assert rows(batches)[0][0] == place.frames


@pytest.mark.parametrize(
    "library",
    [
        lambda source: Library([source, source]),
        lambda source: Library([SessionSource(list(frames_in(source)))]),
        lambda source: opened(source, loop=True, now_us=None),
        lambda source: opened(source, loop=False, now_us=lambda: 10**15),
    ],
    ids=["several", "in memory", "looped", "moved"],
)
def test_any_other_tape_is_read_from_its_start(
    tmp_path: Path, library: Callable[[CassetteSource], Library]
) -> None:
    path = make(tmp_path / "dip", list(range(50)))
    known(path)
    place, batches = library(source_of(path)).batches_near(lambda p: p.before_frame(40))
    assert place == START
    assert next(batches).payloads[0] == b'{"n":0}'


def frames_in(source: CassetteSource) -> Iterator[Frame]:
    for time_us, key, payload in rows(source.batches()):
        yield Frame(time_us, key.decode(), payload)


def opened(
    source: CassetteSource, *, loop: bool, now_us: Callable[[], int] | None
) -> Library:
    library = Library([source])
    library.opener(loop=loop, now_us=now_us)
    return library
