"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import pytest
from websockets.sync.client import connect

from pytest_binance_replay.cli import main
from pytest_binance_replay.files import read_frames
from tests.test_recordings import RECORDINGS

DEMO = RECORDINGS / "spot.jsonl"
TRADES = [f.payload.decode() for f in read_frames(DEMO) if f.stream == "btcusdt@trade"]
HEADER = '{"cassette":1,"market":"spot","streams":["btcusdt@trade"]}\n'
FRAME = '{"t":1,"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT"}}\n'
GREETING = """\
raw streams       ws://127.0.0.1:PORT/ws
combined streams  ws://127.0.0.1:PORT/stream
simple protocol   ws://127.0.0.1:PORT/stream/
REST              http://127.0.0.1:PORT
Playing demo:spot to whoever subscribes; Ctrl-C stops.
"""
SIGNALS = [signal.SIGINT, signal.SIGTERM]
LIMIT = 30  # seconds that no step here comes near

on_posix = pytest.mark.skipif(
    os.name != "posix", reason="Windows ends a child process without a signal"
)


class Serving:
    """A `binance-replay serve` that runs, and has printed its URLs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.greeting = "".join(islice(_lines(process.stdout), 5))
        found = re.search(r":(\d+)/ws$", self.greeting, re.MULTILINE)
        assert found is not None, process.communicate(timeout=LIMIT)
        self.port = int(found[1])
        self.url = f"ws://127.0.0.1:{self.port}"

    def stop(self, *numbers: int) -> tuple[int, str]:
        """Send signals; return the exit code and what was written on stderr."""
        for number in numbers:
            self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was written on stderr."""
        out, complaints = self.process.communicate(timeout=LIMIT)
        assert out in {"", None}
        return self.process.returncode, complaints


def _lines(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


Serve = Callable[..., Serving]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> Serving:
        command = [sys.executable, "-m", "pytest_binance_replay", "serve"]
        process = subprocess.Popen(
            [*command, "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(process)
        return Serving(process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


# Serving


def test_the_first_lines_are_the_urls(serve: Serve) -> None:
    serving = serve()
    assert serving.greeting.replace(str(serving.port), "PORT") == GREETING


@pytest.mark.slow
def test_an_address_that_means_all_is_shown_as_one_to_connect_to(serve: Serve) -> None:
    serving = serve("--host", "0.0.0.0")
    assert serving.greeting.replace(str(serving.port), "PORT") == GREETING


@pytest.mark.slow
def test_a_raw_client_gets_the_recorded_bytes(serve: Serve) -> None:
    serving = serve("--speed", "50")
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        assert [bot.recv(timeout=LIMIT) for _ in range(3)] == TRADES[:3]


@pytest.mark.slow
def test_a_combined_client_gets_the_envelope(serve: Serve) -> None:
    serving = serve("--speed", "50")
    with connect(f"{serving.url}/stream?streams=btcusdt@trade") as bot:
        envelope = f'{{"stream":"btcusdt@trade","data":{TRADES[0]}}}'
        assert bot.recv(timeout=LIMIT) == envelope


def test_a_simple_client_gets_its_answer_and_readable_events(serve: Serve) -> None:
    serving = serve("--speed", "50")
    with connect(f"{serving.url}/stream/") as bot:
        bot.send('{"action":"subscribe","pair":"BTCUSDT","stream":"trade"}')
        answer = json.loads(bot.recv(timeout=LIMIT))
        assert answer["subscription"] == "BTCUSDT-trade"
        event = json.loads(bot.recv(timeout=LIMIT))
        assert (event["symbol"], event["price"]) == ("BTCUSDT", 97250.0)


@pytest.mark.slow
def test_a_looped_tape_goes_on_with_fresh_ids(serve: Serve) -> None:
    serving = serve("--speed", "50")
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        twice = 2 * len(TRADES)
        trades = [json.loads(bot.recv(timeout=LIMIT)) for _ in range(twice)]
    first = trades[0]["t"]
    assert [trade["t"] for trade in trades] == list(range(first, first + twice))
    assert trades[len(TRADES)]["p"] == trades[0]["p"]
    assert trades[len(TRADES)]["E"] > trades[len(TRADES) - 1]["E"]


@pytest.mark.slow
def test_a_tape_that_closes_sends_its_clients_away(serve: Serve) -> None:
    serving = serve("--speed", "asap", "--at-end", "close")
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        assert list(bot) == TRADES


def test_a_cassette_elsewhere_is_played(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "dip.jsonl").write_text(HEADER + FRAME)
    serving = serve("inner/../dip.jsonl", "--speed", "asap")
    assert "dip.jsonl to whoever" in serving.greeting
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        assert bot.recv(timeout=LIMIT) == '{"e":"trade","s":"BTCUSDT"}'


@pytest.mark.slow
def test_recorded_pace_is_the_default(serve: Serve, tmp_path: Path) -> None:
    late = FRAME.replace('"t":1', '"t":500000').replace("BTCUSDT", "LATE")
    (tmp_path / "slow.jsonl").write_text(HEADER + FRAME + late)
    serving = serve("slow")
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        bot.recv(timeout=LIMIT)
        with pytest.raises(TimeoutError):
            bot.recv(timeout=0.2)
        assert "LATE" in bot.recv(timeout=LIMIT)


# The end


@on_posix
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_cleanly(serve: Serve, number: int) -> None:
    assert serve().stop(number) == (0, "")


@on_posix
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.slow
def test_a_signal_ends_it_while_clients_are_connected(
    serve: Serve, number: int
) -> None:
    serving = serve()
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        bot.recv(timeout=LIMIT)
        assert serving.stop(number) == (0, "")
        list(bot)
        assert bot.close_code == 1001


@on_posix
def test_impatient_signals_end_it_as_cleanly(serve: Serve) -> None:
    serving = serve()
    with connect(f"{serving.url}/ws/btcusdt@trade"):
        assert serving.stop(*SIGNALS, *SIGNALS, signal.SIGINT) == (0, "")


# What goes wrong


def test_a_port_in_use_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 3
    out, complaint = capsys.readouterr()
    assert out == ""
    assert complaint.startswith(f"cannot listen on 127.0.0.1 port {port}: ")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("price,quantity\n", "is not a cassette: its first line begins with"),
        ("", "is empty"),
        ('{"cassette":9}\n', "dip.jsonl:1: "),
        (HEADER.replace(',"streams":["btcusdt@trade"]', "") + "}\n", "dip.jsonl:2: "),
        ('{"cassette":1}\n', "dip.jsonl: neither a header nor the payloads say"),
    ],
    ids=["foreign", "empty", "later version", "damaged", "market unknown"],
)
def test_an_unsound_file_is_told_in_a_line(
    content: str,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "dip.jsonl").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0", "dip.jsonl"]) == 1
    out, told = capsys.readouterr()
    assert (out, told.count("\n")) == ("", 1)
    assert complaint in told


def test_damage_found_while_playing_ends_it(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "dip.jsonl").write_text(HEADER + FRAME + "damage\n" + FRAME)
    serving = serve("dip")
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        list(bot)
    code, told = serving.end()
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith("dip.jsonl:3: not a cassette line: ")


def test_a_cut_off_tail_is_a_warning_told_once(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "dip.jsonl").write_text(HEADER + FRAME * 2 + FRAME[:20])
    serving = serve("dip", "--speed", "50")
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        assert len([bot.recv(timeout=LIMIT) for _ in range(6)]) == 6
    told = next(iter(_lines(serving.process.stderr)))
    assert told.startswith("dip.jsonl: cut short inside line 4; ")
    serving.process.terminate()
    assert "cut short" not in serving.end()[1]


def test_what_clients_ask_in_vain_is_told_once(serve: Serve) -> None:
    serving = serve("--speed", "50")
    with connect(f"{serving.url}/ws/btcusdt@aggTrade"):
        told = next(iter(_lines(serving.process.stderr)))
    assert told.startswith("No cassette has stream 'btcusdt@aggTrade'")
    with connect(f"{serving.url}/ws/btcusdt@aggTrade/ethusdt@aggTrade"):
        second = next(iter(_lines(serving.process.stderr)))
    assert "ethusdt@aggTrade" in second.partition(";")[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nosuch"], "No cassette 'nosuch' in this folder. To record it: binance-"),
        (["demo:nosuch"], "No bundled cassette 'demo:nosuch'; nearest: 'demo:spot'"),
        (["--speed", "0"], "--speed=0: expected 'auto', 'asap' or a number above 0."),
        (["--speed="], "--speed=: expected 'auto', 'asap' or a number above 0."),
        (["--time", "freeze"], "--time=freeze: freezing the clock is not built"),
        (["--start", "manual"], "--start=manual: expected 'auto'"),
        (["--at-end", "fail"], "--at-end=fail: expected 'hold', 'close' or 'loop'."),
        (["--at-end", "stop"], "--at-end=stop: expected 'hold'"),
    ],
)
def test_a_wrong_value_is_told_in_a_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0", *arguments]) == 2
    out, told = capsys.readouterr()
    assert (out, told.count("\n")) == ("", 1)
    assert told.startswith(complaint)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["play"], "argument COMMAND: invalid choice: 'play'"),
        (["serve", "--sped=2"], "unrecognized arguments: --sped=2"),
        (["serve", "--port", "99999"], "argument --port: expected a number from 0"),
        (["serve", "--port", "-1"], "argument --port: expected "),
        (["serve", "--port", "http"], "argument --port: expected a number from 0"),
    ],
)
def test_a_wrong_argument_is_told_in_a_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.endswith("--help.\n")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["init"], "binance-replay init"),
        (["serve", "--strict"], "--strict"),
        (["serve", "--faults=gap"], "--faults"),
    ],
)
def test_what_is_not_built_yet_says_so(
    arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"{what} is not built yet; leave it out.\n"


# Nobody listens


def say_to(redirect: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have a process say something where a shell redirects it."""
    words = "from pytest_binance_replay.commands.console import say; import sys; "
    words += "say(sys.stdout, 'the URLs'); say(sys.stderr, 'what is wrong')"
    return subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -c \"{words}\" {redirect}"],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=LIMIT,
        check=False,
    )


@on_posix
@pytest.mark.parametrize(
    ("redirect", "out", "told"),
    [
        ("", "the URLs\n", "what is wrong\n"),
        (">&-", "", "what is wrong\n"),
        ("2>&-", "the URLs\n", ""),
        (">&- 2>&-", "", ""),
        ("| exec true", "", "what is wrong\n"),
    ],
)
def test_what_nobody_can_read_is_no_error(
    redirect: str, out: str, told: str, tmp_path: Path
) -> None:
    said = say_to(redirect, tmp_path)
    assert (said.returncode, said.stdout, said.stderr) == (0, out, told)


@on_posix
@pytest.mark.slow
def test_a_reader_that_leaves_after_the_first_line_is_no_error(serve: Serve) -> None:
    serving = serve()
    assert serving.process.stdout is not None
    serving.process.stdout.close()
    with connect(f"{serving.url}/ws/btcusdt@trade") as bot:
        assert bot.recv(timeout=LIMIT) == TRADES[0]
    assert serving.stop(signal.SIGTERM) == (0, "")


# Help


def test_without_a_command_the_help_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "play cassettes to whoever connects" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_help_fits_a_terminal_of_80_columns(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 80
    assert not [line for line in lines if "None" in line]


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert re.fullmatch(r"binance-replay \d+\.\d+\.\d+\n", capsys.readouterr().out)
