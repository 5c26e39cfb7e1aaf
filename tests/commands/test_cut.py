"""`binance-replay cut`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.cli import main
from pytest_binance_replay.files import read_frames
from tests.test_recordings import RECORDINGS

DEMO = RECORDINGS / "spot.jsonl"
FRAMES = list(read_frames(DEMO))
START_US, END_US = FRAMES[0].receive_time_us, FRAMES[-1].receive_time_us


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cut(*arguments: str) -> list[Frame]:
    assert main(["cut", str(DEMO), "-o", "part.jsonl", *arguments]) == 0
    return list(read_frames("part.jsonl"))


def between(first_us: int, stop_us: int) -> list[Frame]:
    return [frame for frame in FRAMES if first_us <= frame.receive_time_us < stop_us]


@pytest.mark.parametrize(
    ("arguments", "first_us", "stop_us"),
    [
        (["--from", "+10s"], START_US + 10_000_000, END_US + 1),
        (["--to", "10"], START_US, START_US + 10_000_000),
        (["--from", "500ms", "--to=-10s"], START_US + 500_000, END_US - 10_000_000),
        (["--from", "2026-11-20T10:00:30Z"], 1_795_168_830_000_000, END_US + 1),
        (["--to", "2026-11-20 10:00:30"], START_US, 1_795_168_830_000_000),
        (["--to", "2026-11-20T11:00:30+01:00"], START_US, 1_795_168_830_000_000),
    ],
)
def test_times_are_absolute_or_from_either_end(
    arguments: list[str], first_us: int, stop_us: int
) -> None:
    assert cut(*arguments) == between(first_us, stop_us)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:20", FRAMES[10:20]),
        ("700:", FRAMES[700:]),
        (":5", FRAMES[:5]),
        (":", FRAMES),
    ],
)
def test_frames_are_counted_as_python_counts(text: str, expected: list[Frame]) -> None:
    assert cut("--frames", text) == expected


def test_streams_and_symbols_choose_together() -> None:
    wanted = [f for f in FRAMES if f.stream in {"btcusdt@trade", "btcusdt@ticker"}]
    assert cut(
        "--stream", "*@trade", "--stream", "*@ticker", "--symbol", "BTCUSDT"
    ) == (wanted)
    assert cut("--stream", "btcusdt@trade") == [
        f for f in FRAMES if f.stream == "btcusdt@trade"
    ]


def test_the_result_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    cut("--frames", "300:400")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"part.jsonl: 100 of {len(FRAMES)} frames, ")
    assert second == "depth snapshots: 3 made at its start, 0 kept"


def test_a_program_reads_the_result_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    cut("--frames", "300:400", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["frames"]) == ("part.jsonl", 100)
    assert told["of_frames"] == len(FRAMES)
    assert told["first_time_us"] == FRAMES[300].receive_time_us
    assert sum(told["streams"].values()) == 100
    assert len(told["snapshots_made"]) == 3
    assert told["snapshots_kept"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "soon"], "--from=soon: expected a length of time from the start, "),
        (["--frames", "5"], "--frames=5: expected A:B, as 100:2000, 100: or :2000."),
        (["--frames", "5:3"], "--frames=5:3: expected the second above the first."),
        (["--from", "+2h"], f"{DEMO}: no frame lies in the cut: it has "),
        (["--stream", "btcusd@*"], f"--stream=btcusd@*: no stream of {DEMO} fits; "),
        (
            ["--symbol", "XRP"],
            f"--symbol=XRP: no stream of {DEMO} is of it; there are ",
        ),
        (["-o", "x/y.txt"], "'x/y.txt' is no name for a cassette."),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cut", str(DEMO), "-o", "part.jsonl", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert not Path("part.jsonl").exists()


def test_a_damaged_cassette_is_unsound(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.jsonl").write_text('{"cassette":1,"market":"spot"}\ngibberish\n{}\n')
    assert main(["cut", "bad.jsonl", "-o", "part.jsonl"]) == 1
    assert capsys.readouterr().err.startswith("bad.jsonl:2: not a cassette line: ")
