"""`binance-replay record`, run as a user runs it, against our own server."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_binance_replay.cli import main
from pytest_binance_replay.commands import record
from pytest_binance_replay.factory import ReplayFactory
from pytest_binance_replay.files import CassetteReader, read_frames
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.hostile import Hostile, Seat, ok
from tests.integration.recording import TRADES, payloads, trade
from tests.test_recordings import RECORDINGS

DEMO = RECORDINGS / "spot.jsonl"
LIMIT = 30  # seconds that no step here comes near
COMMAND = [sys.executable, "-m", "pytest_binance_replay", "record"]

on_posix = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture
def replay() -> Iterator[BinanceReplay]:
    factory = ReplayFactory(Path(), guarded=False)
    yield factory(DEMO, speed=20)
    factory.close()


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_streams_are_recorded_for_a_time(
    replay: BinanceReplay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dip.jsonl"
    arguments = ["record", TRADES, "--for", "300ms", "-o", str(path)]
    assert main([*arguments, "--upstream", replay.ws_url]) == 0
    out, err = capsys.readouterr()
    found = payloads(path)
    recorded = [f.payload for f in read_frames(DEMO) if f.stream == TRADES]
    assert found == recorded[: len(found)]
    start = re.escape(f"{path}: {len(found)} frame")
    assert re.fullmatch(rf"{start}s? of 1 stream in \d\.\d s, \d+\.\d kB\n", out)
    assert err == ""


def test_a_program_may_read_the_result(
    replay: BinanceReplay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dip.jsonl.gz"
    arguments = [TRADES, "btcusdt@trades", "--for=200ms", "--json", "-o", str(path)]
    assert main(["record", *arguments, "--upstream", replay.ws_url]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["path"] == str(path)
    assert result["streams"] == {TRADES: result["frames"], "btcusdt@trades": 0}
    assert result["size_bytes"] == path.stat().st_size
    assert err.splitlines() == [
        "'btcusdt@trades' is no stream of spot that is known; it may stay silent. Did "
        "you mean 'btcusdt@trade'?",
        "Nothing came of btcusdt@trades.",
    ]


def test_a_number_of_messages_ends_it(replay: BinanceReplay, tmp_path: Path) -> None:
    path = tmp_path / "dip.jsonl"
    arguments = ["record", TRADES, "--min-messages", "5", "-o", str(path)]
    assert main([*arguments, "--upstream", replay.ws_url]) == 0
    assert len(payloads(path)) >= 5


def test_a_file_gets_a_name_if_nobody_gave_one(
    replay: BinanceReplay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    upstream = f"{replay.ws_url},{replay.rest_url}"
    for names, start in (([TRADES], "btcusdt"), ([TRADES, "ethusdt@trade"], "spot")):
        main(["record", *names, "--for", "100ms", "--upstream", upstream])
        (path,) = (tmp_path / "recordings").glob(f"{start}-*.jsonl")
        assert re.fullmatch(rf"{start}-\d{{8}}-\d{{6}}\.jsonl", path.name)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: STREAM"),
        ([TRADES, "--for", "soon"], "expected a length of time such as 60s, 5m or 1h"),
        ([TRADES, "--for", "0"], "expected a length of time such as 60s, 5m or 1h"),
        ([TRADES, "--min-messages", "-1"], "expected a number of messages, not '-1'"),
        ([TRADES, "--market", "coinm"], "invalid choice: 'coinm'"),
        (
            [TRADES, "--upstream", "https://x"],
            r"expected wss://HOST\[:PORT\], and maybe ,https://HOST\[:PORT\] behind it",
        ),
    ],
)
def test_wrong_arguments_are_explained_in_one_line(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["record", *arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(sentence, line)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["BTCUSDT@trade"],
            "'BTCUSDT@trade' stays silent on the exchange, where symbols of streams "
            "are lower case. Take btcusdt@trade.\n",
        ),
        (
            [TRADES, "-o", "dip.txt"],
            "'dip.txt' is no name for a cassette. Let it end in .jsonl, .jsonl.gz, "
            ".jsonl.zst.\n",
        ),
    ],
)
def test_what_cannot_be_recorded_is_wrong_usage(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", *arguments]) == 2
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        ([TRADES], "wss://data-stream.binance.vision"),
        (["btcusdt@markPrice"], "wss://fstream.binance.com"),
        ([TRADES, "--market", "usdm"], "wss://fstream.binance.com"),
        (
            [TRADES, "--upstream", "wss://fstream.binance.com"],
            "wss://fstream.binance.com",
        ),
    ],
)
def test_the_market_decides_which_host_is_asked(
    arguments: list[str], host: str
) -> None:
    parser = argparse.ArgumentParser()
    record.add_arguments(parser)
    recorder = record._recorder(parser.parse_args(arguments))
    assert recorder._upstream.ws_url == host
    assert recorder._plan.market == ("usdm" if "fstream" in host else "spot")


# Endings


class Recording:
    """A `binance-replay record` that runs."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def end(self) -> tuple[int, str, str]:
        """Wait for the end; return the exit code, and what was written."""
        loop = asyncio.get_running_loop()
        out, err = await loop.run_in_executor(None, self.process.communicate)
        return self.process.returncode, out, err


async def trades_and_then(
    seat: Seat, act: Callable[[], object], *, count: int = 3
) -> None:
    await seat.acknowledge()
    await seat.send(TRADES, *map(trade, range(count)))
    await (await seat.connection.ping())
    act()
    await seat.hold()


@on_posix
@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_finishes_the_file_properly(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "dip.jsonl"
    running: list[Recording] = []

    async def script(seat: Seat) -> None:
        await trades_and_then(seat, lambda: running[0].process.send_signal(number))

    rest = {"/api/v3/exchangeInfo": [ok("{}")]}
    async with Hostile(script, rest=rest) as hostile:
        arguments = [TRADES, "-o", str(path), "--upstream", hostile.upstream.ws_url]
        running.append(Recording(*arguments))
        code, out, err = await running[0].end()
    assert (code, err) == (0, "")
    assert out.startswith(f"{path}: 3 frames of 1 stream in ")
    assert payloads(path) == [trade(0), trade(1), trade(2)]


@pytest.mark.asyncio
async def test_a_network_that_fails_is_code_3(tmp_path: Path) -> None:
    async def refuse(seat: Seat) -> None:
        await seat.hear()
        await seat.say('{"error":{"code":2,"msg":"no"},"id":1}')
        await seat.hold()

    async with Hostile(refuse) as hostile:
        arguments = ["-o", str(tmp_path / "dip.jsonl"), "--for=1s", "--upstream"]
        running = Recording(TRADES, *arguments, hostile.upstream.ws_url)
        code, out, err = await running.end()
    assert (code, out) == (3, "")
    assert err == (
        f"{hostile.upstream.ws_url} refuses the subscription: no. Check the names of "
        "the streams, and --market.\n"
    )


@on_posix
@pytest.mark.asyncio
async def test_a_disk_that_is_full_leaves_the_old_file_and_what_fitted(
    tmp_path: Path,
) -> None:
    """The system lets the process make no file above 4096 bytes."""
    path = tmp_path / "dip.jsonl"
    path.write_bytes(b"old")
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
        "; from pytest_binance_replay.cli import main; sys.exit(main(sys.argv[1:]))"
    )

    async def script(seat: Seat) -> None:
        await trades_and_then(seat, lambda: None, count=200)

    async with Hostile(script) as hostile:
        arguments = [TRADES, "-o", str(path), "--upstream", hostile.upstream.ws_url]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-B", "-c", program, "record", *arguments),
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    kept = tmp_path / "dip.rejected.jsonl"
    assert process.returncode == 1
    assert err.decode() == (
        f"{path} cannot be written: File too large. Make room, or name another. What "
        f"was captured is in {kept}; rename it to use it.\n"
    )
    assert path.read_bytes() == b"old"
    lines = CassetteReader(kept, warn=lambda _: None).lines()
    found = [getattr(line, "payload", None) for line in lines][1:]
    assert found == [trade(number) for number in range(len(found))]
    assert len(found) > 20


@on_posix
def test_a_terminal_shows_the_progress(replay: BinanceReplay, tmp_path: Path) -> None:
    import pty

    path = tmp_path / "dip.jsonl"
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, TRADES, "--for=600ms", "-o", path, "--upstream", replay.ws_url],
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=LIMIT,
        check=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "20"},
    )
    os.close(theirs)
    shown = re.sub(r"\x1b\[\d*[A-Za-z]", "", os.read(ours, 65536).decode())
    os.close(ours)
    assert f"Recording {path}" in shown
    assert re.search(r"btcusdt@trade .* +\d+ +\d+\.\d/s", shown)
    assert re.search(r"0:00 of 0:00 · \d+ frames", shown)
    assert done.stdout.startswith(str(path).encode())
