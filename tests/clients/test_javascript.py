"""binance, of npm, against `binance-replay serve`: another language, two processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import ladder, said, true_ladder

BOT = Path(__file__).parent / "javascript"


@pytest.fixture(scope="module")
def bot(folder: Path) -> Path:
    """The bot, its library installed; the test is skipped where that cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    home = shutil.copytree(BOT, folder / "javascript")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=home, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"npm could not install the library: {done.stderr[-200:]}")
    return home / "bot.js"


@contextmanager
def serving(recorded: Recorded) -> Iterator[str]:
    """Serve a cassette from a process of its own; yields host and port."""
    name = str(recorded.cassette)
    command = [sys.executable, "-m", "pytest_binance_replay", "serve", name]
    settings = ["--port", "0", "--speed", "auto", "--at-end", "hold"]
    process = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = list(islice(process.stdout, 5))
    try:
        yield printed[3].split("//")[1].strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


def run_bot(
    bot: Path, address: str, recorded: Recorded, streams: set[str], count: int
) -> Any:
    urls = (f"ws://{address}", f"http://{address}")
    asked = (recorded.symbol, ",".join(streams), str(count))
    done = subprocess.run(
        ["node", str(bot), recorded.market, *urls, *asked],
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_trades_and_snapshot(
    open_replay: OpenReplay, demo: Recorded, bot: Path
) -> None:
    here = open_replay(demo, start="manual", speed="asap")
    frames = list(here.frames())
    # Who has the stream of the tape's last frame knows when the tape is at its end.
    streams = {demo.trade_stream, frames[-1].stream}
    count = sum(frame.stream in streams for frame in frames)
    with serving(demo) as address:
        shown = run_bot(bot, address, demo, streams, count)
    events = [e for e in shown["events"] if e["streamName"] == demo.trade_stream]
    for event, trade in zip(events, said(here, demo.trade_stream), strict=True):
        assert event == event | trade  # it adds members of its own
    here.play().wait()
    book = ladder(shown["book"]["bids"], shown["book"]["asks"])
    assert book == tuple(side[:5] for side in true_ladder(here, demo.symbol))
