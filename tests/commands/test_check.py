"""`binance-replay check`, as a user sees it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.cli import main
from pytest_binance_replay.commands import check
from pytest_binance_replay.tools.inspection import FileCheck
from tests.soundness.sound_cassettes import RECONNECTED, SPOT, USDM, lines_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, lines: list[bytes]) -> str:
    raw = b"\n".join(lines) + b"\n"
    Path(name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return name


def gapped() -> list[bytes]:
    lines = lines_of(SPOT)
    lines[10] = lines[10].replace(b'"t":8', b'"t":10')
    return lines


def noisy(count: int) -> list[bytes]:
    trade = lines_of(SPOT)[4]
    ids = [trade.replace(b'"t":7', b'"t":%d' % (n * 2)) for n in range(count + 1)]
    return [lines_of(SPOT)[0], *ids]


def test_a_sound_cassette_is_said_to_be(capsys: Capture) -> None:
    assert main(["check", write("a.jsonl", lines_of(SPOT))]) == 0
    assert capsys.readouterr().out == "a.jsonl: sound, 21 frames\n"


def test_the_bundled_recording_goes_by_its_name(capsys: Capture) -> None:
    assert main(["check", "demo:spot"]) == 0
    assert capsys.readouterr().out.startswith("demo:spot: sound, ")


def test_a_finding_has_file_and_line(capsys: Capture) -> None:
    assert main(["check", write("a.jsonl.gz", gapped())]) == 1
    assert capsys.readouterr().out == (
        "a.jsonl.gz:11: ltcbtc@trade: trade 10 follows trade 7: 2 trades are missing "
        "[trade-ids]\n"
        "a.jsonl.gz: 1 error, 21 frames\n"
    )


def test_a_note_does_not_make_it_unsound(capsys: Capture) -> None:
    lines = lines_of(USDM)
    lines[7] = lines[7].replace(b'"t":51', b'"t":53')
    assert main(["check", write("a.jsonl", lines)]) == 0
    assert capsys.readouterr().out == (
        "a.jsonl:8: note: ltcusdt@trade: trade 53 follows trade 50: 2 ids are skipped "
        "[trade-ids]\n"
        "a.jsonl: sound, 1 note, 18 frames\n"
    )


def test_findings_of_one_rule_are_cut_off(capsys: Capture) -> None:
    name = write("a.jsonl", noisy(1210))
    assert main(["check", name]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == check.SHOWN + 2
    hidden = "a.jsonl: and 1,205 more errors [trade-ids]; --all shows them"
    assert lines[-2:] == [hidden, "a.jsonl: 1,210 errors, 1,211 frames"]
    assert main(["check", "--all", name]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1211


def test_one_more_finding_is_no_plural(capsys: Capture) -> None:
    main(["check", write("a.jsonl", noisy(6))])
    assert "and 1 more error [trade-ids]" in capsys.readouterr().out


def test_many_files_are_checked_whatever_one_is(capsys: Capture) -> None:
    sound = write("a.jsonl", lines_of(SPOT))
    unsound = write("b.jsonl", gapped())
    text = write("c.txt", [b"hello"])
    assert main(["check", unsound, sound]) == 1
    assert main(["check", sound, text, "d.jsonl", ".", unsound]) == 2
    captured = capsys.readouterr()
    assert captured.out.endswith("b.jsonl: 1 error, 21 frames\n")
    errors = captured.err.splitlines()
    assert errors[0].startswith("c.txt: is not a cassette")
    assert errors[1].startswith("No cassette 'd.jsonl'")
    assert errors[2] == ".: is a directory. Name the cassettes in it: *.jsonl"


def test_an_empty_file_is_no_cassette(capsys: Capture) -> None:
    Path("a.jsonl").touch()
    assert main(["check", "a.jsonl"]) == 2
    assert capsys.readouterr().err.startswith("a.jsonl: is empty.")


def test_a_cut_file_is_found_at_its_last_line(capsys: Capture) -> None:
    lines = lines_of(SPOT)
    Path("a.jsonl").write_bytes(b"\n".join(lines)[:-5])
    assert main(["check", "a.jsonl"]) == 1
    assert "a.jsonl:24: the file ends inside this line [cut]" in capsys.readouterr().out


def test_a_recording_of_ours_without_an_end_is_noted(capsys: Capture) -> None:
    lines = lines_of(SPOT)
    header = lines[0].replace(b'"by hand"', b'"x","recorder":"pytest-binance-replay 1"')
    assert main(["check", write("a.jsonl", [header, *lines[1:-1]])]) == 0
    assert "a.jsonl: note: the recording was not finished" in capsys.readouterr().out


def test_damaged_compressed_data_is_a_finding(capsys: Capture) -> None:
    raw = bytearray(gzip.compress(b"\n".join(noisy(3000))))
    raw[len(raw) // 2] ^= 0xFF
    Path("a.jsonl.gz").write_bytes(raw)
    assert main(["check", "a.jsonl.gz"]) == 1
    assert "damaged gzip data" in capsys.readouterr().out


def report(capsys: Capture, *arguments: str) -> tuple[int, Any]:
    code = main(["check", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_json_has_the_findings_and_what_is_not_shown(capsys: Capture) -> None:
    code, found = report(capsys, write("a.jsonl", noisy(7)))
    (cassette,) = found["cassettes"]
    assert code == 1
    assert cassette.pop("findings")[0] == {
        "rule": "trade-ids",
        "severity": "error",
        "line": 3,
        "stream": "ltcbtc@trade",
        "sentence": "trade 2 follows trade 0: 1 trade is missing",
    }
    assert cassette == {
        "file": "a.jsonl",
        "sound": False,
        "market": "spot",
        "frames": 8,
        "errors": 7,
        "notes": 0,
        "not_shown": [{"rule": "trade-ids", "severity": "error", "findings": 2}],
    }


def test_json_of_a_sound_cassette_says_so(capsys: Capture) -> None:
    code, found = report(capsys, write("a.jsonl", lines_of(USDM)))
    assert (code, found["cassettes"][0]["sound"]) == (0, True)


def test_the_market_can_be_given(capsys: Capture) -> None:
    kline = b'{"t":1,"stream":"a@kline_1s","data":{"e":"kline"}}'
    assert main(["check", "--market", "usdm", write("a.jsonl", [kline])]) == 1
    assert "is a stream of spot, and the cassette is of usdm" in capsys.readouterr().out


def test_the_rules_can_be_listed(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "--rules"])
    assert ended.value.code == 0
    assert "depth-chain    diff depth events follow" in capsys.readouterr().out


def test_help_and_findings_fit_a_terminal(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("check", "info", "diff"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_progress_is_told_in_bytes_of_the_file() -> None:
    name = write("a.jsonl.gz", [*lines_of(SPOT)[:-1], RECONNECTED])
    told: list[int] = []
    assert [f.rule for f in FileCheck(name, progress=told.append)] == ["order"]
    assert told == [Path(name).stat().st_size]


def test_ctrl_c_ends_a_check_in_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileCheck, "__iter__", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["check", write("a.jsonl", lines_of(SPOT))])
    assert (ended.value.code, capsys.readouterr().err) == (130, "Stopped.\n")
