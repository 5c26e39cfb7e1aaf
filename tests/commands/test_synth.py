"""`binance-replay synth`, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_binance_replay.cassette import End, Header
from pytest_binance_replay.cli import main
from pytest_binance_replay.files import read_lines
from pytest_binance_replay.tools.inspection import check_file


@pytest.mark.parametrize("name", ["dip.jsonl", "dip.jsonl.gz"])
def test_it_writes_a_sound_cassette(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / name
    arguments = ["--seed", "7", "--for", "5s", "--symbols", "btcusdt,ETHUSDT"]
    assert main(["synth", *arguments, "-o", str(target)]) == 0
    header, *_, end = read_lines(target)
    assert isinstance(header, Header)
    assert isinstance(end, End)
    assert header.source == "synthetic:pytest_binance_replay.market seed=7"
    assert list(check_file(target)) == []
    assert f"{target}: {end.frames:,} frames, " in capsys.readouterr().out


def test_it_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "calm.jsonl"
    arguments = ["--market", "usdm", "--streams", "aggTrade,!markPrice@arr", "--json"]
    assert main(["synth", *arguments, "--for", "4s", "-o", str(target)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["file"] == str(target)
    assert printed["bytes"] == target.stat().st_size
    assert printed["frames"] > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "clam"], "no scenario 'clam'; did you mean 'calm'?"),
        (["--for", "soon"], "'soon': expected a length of time above 0"),
        (["--symbols", "NOSUCH"], "symbols='NOSUCH': expected some of BTCUSDT"),
        (["--symbols", ""], "symbols=[]: expected one or more, each once."),
        (["--streams", "trades"], "streams='trades': no stream that can be generated"),
        (["--cross", "BTCUSDT"], "--cross=BTCUSDT: expected a form like BTCUSDT=9"),
        (["--cross", "BTCUSDT=1.2.3@5s"], "expected a price, not '1.2.3'"),
        (["--seed", "-1"], "seed=-1: expected 0 or more"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "never.jsonl"
    assert main(["synth", *arguments, "-o", str(target)]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1
    assert not target.exists()


def test_what_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "x.jsonl"
    assert main(["synth", "--for", "1s", "-o", str(target)]) == 2
    assert "cannot be written" in capsys.readouterr().err
