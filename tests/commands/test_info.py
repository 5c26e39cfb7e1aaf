"""`binance-replay info`, as a user sees it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_binance_replay.cli import main
from pytest_binance_replay.commands import looking
from pytest_binance_replay.tools.sparkline import BLOCKS
from tests.commands.test_check import Capture, write
from tests.soundness.sound_cassettes import SPOT, USDM, lines_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_cassette_is_drawn(capsys: Capture) -> None:
    assert main(["info", write("a.jsonl", lines_of(SPOT))]) == 0
    text = capsys.readouterr().out
    assert text.startswith("a.jsonl\n  market     spot\n")
    assert any(block in text for block in BLOCKS)


def test_several_are_a_table_unless_all_is_wanted(capsys: Capture) -> None:
    names = [write("a.jsonl", lines_of(SPOT)), write("b.jsonl.gz", lines_of(USDM))]
    assert main(["info", *names]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "cassette"
    assert [row.split()[:2] for row in rows] == [
        ["a.jsonl", "spot"],
        ["b.jsonl.gz", "usdm"],
    ]
    assert main(["info", "--all", *names]) == 0
    assert capsys.readouterr().out.count("  frames     ") > 1


def test_json_is_for_programs(capsys: Capture) -> None:
    assert main(["info", "--json", write("a.jsonl", lines_of(SPOT))]) == 0
    (cassette,) = json.loads(capsys.readouterr().out)["cassettes"]
    assert (cassette["file"], cassette["frames"]) == ("a.jsonl", 21)


def test_a_file_that_cannot_be_read_spares_the_others(capsys: Capture) -> None:
    sound = write("a.jsonl", lines_of(SPOT))
    damaged = write("b.jsonl", [*lines_of(SPOT)[:4], b'{"t":', *lines_of(SPOT)[4:]])
    assert main(["info", damaged, sound]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("b.jsonl:5: not a cassette line")
    assert "a.jsonl" in captured.out
    assert main(["info", "none.jsonl", damaged]) == 2
    Path("empty.jsonl").touch()
    assert main(["info", "empty.jsonl"]) == 2


def test_plain_lines_do_not_depend_on_the_file(capsys: Capture) -> None:
    main(["info", "--plain", write("a.jsonl", lines_of(SPOT))])
    plain = capsys.readouterr().out
    assert main(["info", "--plain", write("b.jsonl.gz", lines_of(SPOT))]) == 0
    assert capsys.readouterr().out == plain
    assert "field trade: p: decimal" in plain


def test_a_terminal_without_blocks_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["info", write("a.jsonl", lines_of(SPOT))]) == 0
    assert b"LTCBTC" in raw.getvalue()
    assert b"?" not in raw.getvalue()


def test_what_an_encoding_lacks_is_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    looking.answer("币 µ")
    assert raw.getvalue() == "? µ\n".encode("latin-1")


def test_a_file_that_is_gone_has_no_size(tmp_path: Path) -> None:
    assert looking.size_of(tmp_path / "none") == 0


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.slow
def test_git_diff_shows_what_changed_in_a_compressed_recording() -> None:
    write("a.jsonl.gz", lines_of(SPOT))
    Path(".gitattributes").write_text("*.jsonl* diff=cassette\n", encoding="utf-8")
    textconv = f"{sys.executable} -m pytest_binance_replay info --plain"
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (
        ("init", "-q"),
        ("config", "diff.cassette.textconv", textconv),
        ("add", "-A"),
        (*identity, "commit", "-qm", "a"),
    ):
        subprocess.run(["git", *command], check=True)
    write("a.jsonl.gz", lines_of(SPOT)[:-2])
    done = subprocess.run(["git", "diff"], check=True, capture_output=True, text=True)
    assert {"-frames: 21", "+frames: 20", "-finished: yes"} < {*done.stdout.split("\n")}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk is always full")
def test_what_cannot_be_written_is_no_success() -> None:
    command = [sys.executable, "-m", "pytest_binance_replay", "info", "demo:spot"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == (
        "the output cannot be written: No space left on device. Make room, or send it "
        "elsewhere.\n"
    )
