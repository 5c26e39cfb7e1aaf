"""`binance-replay convert`, as a user runs it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from pytest_binance_replay.cli import main
from pytest_binance_replay.commands import convert, cut, merge, progress, unused
from pytest_binance_replay.commands.progress import Progress
from pytest_binance_replay.files import read_frames
from tests.test_recordings import RECORDINGS

DEMO = RECORDINGS / "spot.jsonl"
STAMP = 1_723_161_253_937_085
TRADE = '{"e":"trade","s":"BTCUSDT","p":"1.10","M":true}'
LINE = f'{STAMP} {{"stream":"btcusdt@trade","data":{TRADE}}}\n'
BARE = '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1672515782136}}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write(name: str, text: str) -> str:
    Path(name).write_text(text, "utf-8")
    return name


def test_a_capture_becomes_a_cassette(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", write("a.log", LINE * 2), "-o", "a.jsonl"]) == 0
    assert capsys.readouterr().out == (
        f"a.jsonl: 2 frames, {os.path.getsize('a.jsonl')} B\n"  # noqa: PTH202
        "1 stream of spot, 0 REST answers, 0 marks\n"
    )
    assert [frame.payload for frame in read_frames("a.jsonl")] == [TRADE.encode()] * 2


def test_what_was_made_up_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["convert", write("a.txt", BARE), "-o", "a.jsonl", "--market", "usdm"]
    assert main(arguments) == 0
    assert "receive times: from event time\n" in capsys.readouterr().out


def test_a_program_reads_the_result_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", write("a.log", LINE), "-o", "a.jsonl.gz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": {"a.jsonl.gz": 1},
        "market": "spot",
        "frames": 1,
        "streams": {"btcusdt@trade": 1},
        "rest": 0,
        "marks": 0,
        "first_time_us": STAMP,
        "last_time_us": STAMP,
        "made_up": {},
    }


@pytest.mark.parametrize(
    "more",
    [["-o", "a.csv"], ["-o", "a", "--to", "csv"], ["-o", "a.CSV", "--to", "csv"]],
)
def test_tables_are_written_by_suffix_or_by_name(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", write("a.log", LINE), *more]) == 0
    assert ".others.csv: 1 row, " in capsys.readouterr().out
    assert len(list(Path().glob("*.csv"))) == 1


def test_a_cassette_can_be_compressed(folder: Path) -> None:
    assert main(["convert", str(DEMO), "-o", "demo.jsonl.gz"]) == 0
    assert list(read_frames("demo.jsonl.gz")) == list(read_frames(DEMO))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no.log", "-o", "a.jsonl"], 2, "No cassette 'no.log' in "),
        (["notes.txt", "-o", "a.jsonl"], 1, "notes.txt: is neither a cassette nor a"),
        (["a.log", "-o", "a.txt"], 2, "'a.txt' is no name for a cassette. Let it end"),
        (
            ["a.log", "-o", "a.jsonl", "--from", "x"],
            2,
            "--from=x: expected cryptofeed,",
        ),
        (
            ["kline.txt", "-o", "a.jsonl"],
            2,
            "kline.txt: nothing in it says which market this is; add --market spot or",
        ),
        (
            ["usdm.log", "a.log", "-o", "a.jsonl"],
            2,
            "usdm.log is of usdm, a.log of spot, and a cassette has one market. ",
        ),
        (["a.log", "-o", "a.log/x.jsonl"], 2, "-o a.log/x.jsonl: cannot be written: "),
        (["bad.log", "-o", "a.jsonl"], 1, "bad.log:2: not a capture of hftbacktest: "),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.log", LINE)
    write("usdm.log", LINE.replace('"M":true', '"X":"MARKET"'))
    write("kline.txt", BARE)
    write("notes.txt", "hello\n")
    write("bad.log", f"{LINE}\ngibberish\n".replace("\n\n", "\n"))
    assert main(["convert", *arguments]) == code
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert not Path("a.jsonl").exists()


def test_a_capture_cut_short_is_converted_with_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["convert", write("a.log", f"{LINE}1723"), "-o", "a.jsonl"]) == 0
    assert capsys.readouterr().err.startswith("a.log: cut short inside line 2; ")


def test_what_the_user_stops_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_self: object, _done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__call__", stop)
    with pytest.raises(SystemExit) as caught:
        main(["convert", write("a.log", LINE), "-o", "a.jsonl"])
    assert caught.value.code == 130
    assert capsys.readouterr().err == "Stopped; a.jsonl is as it was.\n"
    assert [path.name for path in Path().iterdir()] == ["a.log"]


@pytest.mark.parametrize("command", [convert, cut, merge, unused])
def test_the_help_fits_a_terminal(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    name = getattr(command, "__name__", "").rpartition(".")[2]
    with pytest.raises(SystemExit):
        main([name, "--help"])
    out = capsys.readouterr().out
    assert "Exit codes: 0" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(progress, "monotonic_seconds", lambda: next(now))
    terminal = Terminal()
    with Progress("converting", 200, terminal) as shown:
        shown(1)
        shown(100)
        shown(500)
    assert terminal.getvalue() == (
        "\rconverting: 0 %\rconverting: 50 %\rconverting: 100 %\r                 \r"
    )


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_progress_says_nothing_elsewhere_or_too_often(stream: io.StringIO) -> None:
    with Progress("converting", 0, stream) as shown:
        shown(100)
    assert stream.getvalue() == ""
