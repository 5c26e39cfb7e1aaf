"""`binance-replay merge`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_binance_replay.cli import main
from pytest_binance_replay.files import read_frames

HEAD = '{"cassette":1,"market":"spot"}\n'
FRAME = '{{"t":{},"stream":"{}@trade","data":{{"M":true}}}}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(HEAD + FRAME.format(5_000_000, "a"))
    Path("b.jsonl").write_text(HEAD + FRAME.format(4_000_000, "b"))
    Path("usdm.jsonl").write_text(HEAD.replace("spot", "usdm"))


def times(path: str = "both.jsonl") -> list[tuple[int, str]]:
    return [(frame.receive_time_us, frame.stream) for frame in read_frames(path)]


def test_cassettes_become_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "a.jsonl", "b.jsonl", "-o", "both.jsonl"]) == 0
    assert times() == [(4_000_000, "b@trade"), (5_000_000, "a@trade")]
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("both.jsonl: 2 frames, 2 streams, ")
    assert rows == ["  a.jsonl: 1 frame", "  b.jsonl: 1 frame"]


@pytest.mark.parametrize(
    ("shift", "time_us"),
    [("b.jsonl=+2s", 6_000_000), ("b=-250ms", 3_750_000), ("b.jsonl=1", 5_000_000)],
)
def test_one_of_them_can_be_moved(shift: str, time_us: int) -> None:
    arguments = ["merge", "a.jsonl", "b.jsonl", "-o", "both.jsonl", "--shift", shift]
    assert main(arguments) == 0
    assert (time_us, "b@trade") in times()


def test_a_program_reads_the_result_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["merge", "a.jsonl", "a.jsonl", "-o", "both.jsonl", "--json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told == {
        "path": "both.jsonl",
        "market": "spot",
        "frames": 2,
        "streams": ["a@trade"],
        "parts": [{"path": "a.jsonl", "frames": 1, "shift_us": 0}] * 2,
        "doubled": [["a@trade", "a.jsonl", "a.jsonl"]],
    }
    assert captured.err == (
        "a.jsonl and a.jsonl both have a@trade at the same time: both are kept.\n"
    )


def test_a_move_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    main(["merge", "a.jsonl", "b.jsonl", "-o", "both.jsonl", "--shift", "b=-250ms"])
    assert "  b.jsonl: 1 frame, moved by -0.25 s\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl", "usdm.jsonl"], "a.jsonl is of spot, usdm.jsonl of usdm, and a"),
        (
            ["a.jsonl", "--shift", "2s"],
            "--shift=2s: expected FILE=TIME, as b.jsonl=+2s",
        ),
        (
            ["a.jsonl", "--shift", "c=2s"],
            "--shift=c=2s: expected one of a.jsonl before",
        ),
        (
            ["a.jsonl", "--shift", "a=x"],
            "--shift=a=x: expected a time as +2s or -250ms",
        ),
        (["c.jsonl"], "No cassette 'c.jsonl' in "),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", *arguments, "-o", "both.jsonl"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert not Path("both.jsonl").exists()
