"""`binance-replay diff`, as a user sees it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from pytest_binance_replay.cli import main
from tests.commands.test_check import Capture, write
from tests.soundness.sound_cassettes import SPOT, lines_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def old() -> str:
    return write("a.jsonl", lines_of(SPOT))


def changed(line: int, before: bytes, after: bytes, name: str = "b.jsonl") -> str:
    lines = lines_of(SPOT)
    lines[line - 1] = lines[line - 1].replace(before, after)
    return write(name, lines)


def test_other_values_are_no_change(old: str, capsys: Capture) -> None:
    assert main(["diff", old, changed(5, b'"p":"0.0017"', b'"p":"0.0018"')]) == 0
    assert capsys.readouterr().out == "no change in streams, fields or pace\n"


def test_a_new_field_is_a_change(old: str, capsys: Capture) -> None:
    assert main(["diff", old, changed(5, b'"q":"1"', b'"q":"1","X":7')]) == 1
    assert capsys.readouterr().out == (
        "+ trade: X: field is new, integer, in 1 of 2 payloads\n"
    )


def test_json_is_for_programs(old: str, capsys: Capture) -> None:
    assert main(["diff", "--json", old, changed(5, b'"q":"1"', b'"q":1')]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "same": False,
        "changes": [
            {
                "what": "field-type",
                "subject": "trade: q",
                "sentence": "field was decimal, and is integer in 1 of 2 payloads",
                "structural": True,
            }
        ],
    }


def test_what_is_missing_or_damaged_is_said_in_one_line(
    old: str, capsys: Capture
) -> None:
    assert main(["diff", old, "none.jsonl"]) == 2
    assert main(["diff", old, "."]) in {1, 2}
    assert len(capsys.readouterr().err.splitlines()) == 2


# Frame by frame


def test_frames_are_compared_byte_for_byte(old: str, capsys: Capture) -> None:
    new = changed(5, b'"q":"1"', b'"q":"2"')
    assert main(["diff", "--frames", old, new]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["--- a.jsonl", "+++ b.jsonl", "@@ -2,7 +2,7 @@"]
    assert [line[0] for line in lines[3:]] == list("   -+   ")
    assert lines[6][1:].encode() == lines_of(SPOT)[4]


def test_equal_frames_differ_in_nothing(old: str, capsys: Capture) -> None:
    copy = write("b.jsonl.gz", lines_of(SPOT))
    assert main(["diff", "--frames", old, copy]) == 0
    assert capsys.readouterr().out == ""
    assert main(["diff", "--frames", "--json", old, copy]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_spaces_between_members_do_not_count(old: str) -> None:
    lines = [line.replace(b'"stream":', b' "stream" : ') for line in lines_of(SPOT)]
    assert main(["diff", "--frames", old, write("b.jsonl", lines)]) == 0


def every_tenth(letter: bytes) -> str:
    frame = b'{"t":%d,"stream":"a@trade","data":{"p":"%d%b"}}'
    lines = [frame % (n, n, b"" if n % 10 else letter) for n in range(1, 301)]
    return write(f"{letter.decode()}.jsonl", lines)


def test_many_places_are_cut_off(capsys: Capture) -> None:
    names = every_tenth(b"x"), every_tenth(b"y")
    assert main(["diff", "--frames", *names]) == 1
    assert capsys.readouterr().out.endswith(
        "and 10 more places differ: --all shows them\n"
    )
    assert main(["diff", "--frames", "--all", *names]) == 1
    assert capsys.readouterr().out.count("@@ -") == 30
    assert main(["diff", "--frames", "--json", *names]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (len(found["hunks"]), found["hunks_not_shown"]) == (20, 10)
    assert (
        found["hunks"][0]["lines"][3]
        == '-{"t":10,"stream":"a@trade","data":{"p":"10x"}}'
    )


class Terminal(io.StringIO):
    """Where a person looks."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_lines_that_fit(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    main(["diff", "--frames", old, changed(5, b'"q":"1"', b'"q":"2"')])
    assert max(map(len, terminal.getvalue().splitlines())) == 60
