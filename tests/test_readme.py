"""The README is true: what it shows runs, and what it lists is what there is."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_binance_replay import BinanceReplay, ReplayFactory
from pytest_binance_replay.cassette import Header
from pytest_binance_replay.cli import COMMANDS, main
from pytest_binance_replay.options import SETTINGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FIRST_TEST = "test_dip.py"
INSTALL = "python -m pip install -q . && "
TEST_COMMAND = "python -m pip install tox && python -m tox"
# For the plugin and the command line, not for tests.
OTHERS = ("cassette_dir", "unused", "record_mode", "record_in_ci", "upstream")
HOUSEKEEPING = {
    *("close", "closed", "complaints", "describe"),
    *("problems", "take_warnings", "test_is_over"),
}


class Block(NamedTuple):
    """A fenced piece of the README.

    Attributes:
        language: What the fence says it is.
        path: The file it is shown as: the last name before it.
        text: What is in it.
    """

    language: str
    path: str
    text: str


def blocks() -> Iterator[Block]:
    for found in re.finditer(
        r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
    ):
        named = re.search(r"`([\w./]+)`:\n\n\Z", README[: found.start()])
        path = named[1] if named else FIRST_TEST
        yield Block(found[1], path, found[2])


BLOCKS = list(blocks())
FILES = {
    block.path: block.text
    for block in BLOCKS
    if block.language in {"python", "jsonl", "ini"}
}
TESTS = [path for path in FILES if path.startswith("test_")]
CONSOLES = [block.text for block in BLOCKS if block.language == "console"]


def rows(heading: str) -> list[str]:
    """Return the rows of the table whose first heading this is."""
    table = README.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0]
    return table.splitlines()[2:]


def code_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def first_cell(row: str) -> str:
    return row.partition(" | ")[0]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project made of all files that the README shows."""
    for path, text in FILES.items():
        file = pytester.path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    return pytester


def skip_without_imports(source: str) -> None:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            for module in [name] if name else [alias.name for alias in node.names]:
                if module != "bot":
                    pytest.importorskip(module)


# What it shows


def test_every_block_is_known() -> None:
    assert {block.language for block in BLOCKS} == {"python", "jsonl", "ini", "console"}
    assert FIRST_TEST in TESTS
    assert len(TESTS) + 3 == len(FILES)  # bot.py, pytest.ini and a cassette


@pytest.mark.parametrize("path", TESTS)
def test_a_test_that_is_shown_does_what_it_says(
    path: str, project: pytest.Pytester
) -> None:
    skip_without_imports(FILES[path])
    result = project.runpytest_inprocess("-p", "no:randomly", path)
    shown = FILES[path].count("def test_")
    assert result.parseoutcomes() == (
        {"passed": 1, "errors": 1} if path == "test_typo.py" else {"passed": shown}
    )


def as_pattern(shown: str) -> str:
    """Return a pattern for output; three dots stand for anything."""
    return re.escape(untimed(shown)).replace(re.escape("..."), ".*")


def untimed(output: str) -> str:
    return re.sub(r"\d+\.\d+s", "0s", re.sub(r":\d{4,5}\b", ":PORT", output))


@pytest.mark.parametrize("console", [c for c in CONSOLES if c.startswith("$ pytest ")])
@pytest.mark.slow
def test_pytest_prints_what_is_shown(console: str, project: pytest.Pytester) -> None:
    command, _, shown = console.partition("\n")
    result = project.runpytest_subprocess(*command.split()[2:])
    assert re.fullmatch(as_pattern(shown), untimed(f"{result.stdout}\n"), re.DOTALL)


def test_the_server_prints_what_is_shown(tmp_path: Path) -> None:
    command, _, shown = CONSOLES[1].partition("\n")
    assert command == f"$ {INSTALL}binance-replay serve"
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_binance_replay", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    printed = "".join(islice(process.stdout, shown.count("\n")))
    process.terminate()
    process.communicate(timeout=30)
    assert untimed(printed) == untimed(shown)


def test_every_command_that_is_shown_is_tested() -> None:
    commands = [line for console in CONSOLES for line in console.splitlines()]
    assert [line for line in commands if line.startswith("$")] == [
        f"$ pytest -q {FIRST_TEST}",
        f"$ {INSTALL}binance-replay serve",
        "$ pytest -q test_typo.py",
    ]


def test_the_bot_is_the_one_of_the_examples() -> None:
    example = (ROOT / "tests" / "examples" / "bot.py").read_text("utf-8")
    code = [line for line in example.splitlines() if line.strip()]
    shown = [line for line in FILES["bot.py"].splitlines() if line.strip()]
    assert code[2:] == shown


def test_the_test_command_is_the_one_of_continuous_integration() -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert f"`{TEST_COMMAND}`" in README
    assert "-m pip install --quiet tox\n" in run
    assert "python -m tox " in run


# What it lists


def test_members_are_those_that_there_are() -> None:
    cells = " ".join(map(first_cell, rows("`binance_replay.…`")))
    listed = [re.match(r"\w+", code)[0] for code in code_in(cells)]  # type: ignore[index]
    there = {name for name in dir(BinanceReplay) if not name.startswith("_")}
    assert sorted(listed) == sorted(there - HOUSEKEEPING)
    assert there >= HOUSEKEEPING


def test_settings_are_those_that_there_are() -> None:
    listed = [code_in(first_cell(row))[0] for row in rows("setting")]
    assert listed == list(SETTINGS)


def test_defaults_are_the_first_values() -> None:
    for row in rows("setting"):
        name = code_in(row)[0]
        default = SETTINGS[name].default
        first = row.split(" | ")[1].split(", ")[0].strip("`")
        assert not default or first == default, name


def test_commands_are_those_that_there_are() -> None:
    cells = " ".join(map(first_cell, rows("command line")))
    assert sorted(re.findall(r"`binance-replay (\w+)", cells)) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_those_of_the_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    there = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    (row,) = [r for r in rows("command line") if f"`binance-replay {command}" in r]
    named = set(re.findall(r"`(--[a-z-]+)`", row))
    shown = re.findall(rf"binance-replay {command} ([^`\n]*)", README)
    assert named | set(re.findall(r"--[a-z-]+", " ".join(shown))) <= there


def squeezed(code: str) -> str:
    """Return code without what a formatter decides: blanks, and commas at an end."""
    return re.sub(r",(?=[)\]}])", "", re.sub(r"\s", "", code))


def test_clients_are_pointed_here_as_their_tests_do() -> None:
    files = (ROOT / "tests" / "clients").rglob("*.[jp][sy]")
    run = "".join(squeezed(path.read_text("utf-8")) for path in files)
    lines = [
        code
        for row in rows("client")
        for code in code_in(row)
        if "binance_replay." in code or code.startswith(("new ", "{", "options["))
    ]
    assert len(lines) > 10
    assert [code for code in lines if squeezed(code) not in run] == []


def test_header_members_are_those_that_there_are() -> None:
    header = README.split("the header, may tell ", 1)[1].partition(";")[0]
    there = {field.name for field in fields(Header)} - {"version", "extra"}
    assert {name for name in there if re.search(rf"[`\"]{name}[`\"]", header)} == there


def test_names_in_the_text_are_names_of_ours() -> None:
    ours = {f"binance_{name}" for name in (*SETTINGS, *OTHERS)}
    options = {f"--{name}".replace("_", "-") for name in ours}
    marks = {"binance_replay", "binance_replay_factory", "pytest_binance_replay"}
    assert set(re.findall(r"\b\w*binance_\w+", README)) <= ours | marks
    assert set(re.findall(r"--binance-[a-z-]+", README)) <= options


def test_environment_names_are_those_that_are_set(tmp_path: Path) -> None:
    factory = ReplayFactory(tmp_path)
    named = set(re.findall(r"BINANCE_REPLAY_\w+", README))
    assert named <= factory().env.keys()
    factory.close()


# Its form


def test_a_complete_test_ends_by_line_15() -> None:
    lines = README.splitlines()
    start, end = lines.index("```python"), lines.index("```")
    assert "assert" in lines[end - 1]
    assert start < end <= 15  # counted from 0: the test's last line is 15 or above


def test_it_is_short_enough_to_be_read() -> None:
    assert README.count("\n") < 300
    assert README.count("![") <= 4


def test_paths_in_the_text_are_there() -> None:
    for path in ("tests/examples", "recordings/SOURCES.md"):
        assert f"`{path}`" in README
        assert (ROOT / path).exists()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
