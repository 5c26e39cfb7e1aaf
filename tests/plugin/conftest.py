"""A small project that uses the plugin, for pytester to run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# What pytester's runs in this process import, it forgets; this is imported only once.
import pytest_binance_replay.recording.report  # noqa: F401
from pytest_binance_replay.errors import MissingExtraError
from pytest_binance_replay.factory import ReplayFactory
from pytest_binance_replay.replay import BinanceReplay
from pytest_binance_replay.tls import Authority
from tests.plugin.recording import market

# pytester forgets what a run in this process imported, and cryptography, which is
# partly compiled, does not survive being imported again.
with contextlib.suppress(MissingExtraError):
    Authority().close()

TRADE = '{"e":"trade","E":1795168800003,"s":"BTCUSDT","p":"1.10","q":"2","M":true}'
HEADER = '{"cassette":1,"market":"spot"}\n'
FRAME = '{{"t":{t},"stream":"btcusdt@trade","data":{data}}}\n'
INI = """
[pytest]
addopts = -p no:randomly -p no:cacheprovider
filterwarnings = default
asyncio_default_fixture_loop_scope = function
"""
BOT = f"""
import asyncio
from websockets.asyncio.client import connect as aconnect
from websockets.sync.client import connect

TRADE = {TRADE!r}

def plain_bot(replay, stream="btcusdt@trade"):
    '''Gets the first frame of a stream.'''
    with connect(f"{{replay.ws_url}}/ws/{{stream}}", max_queue=None) as socket:
        replay.play().wait(10)
        return socket.recv(timeout=10)

async def async_bot(replay, stream="btcusdt@trade"):
    async with aconnect(f"{{replay.ws_url}}/ws/{{stream}}") as socket:
        await replay.play()
        return await socket.recv()

def greedy_bot(replay, *streams):
    '''Asks for streams and gets nothing.'''
    with connect(f"{{replay.ws_url}}/ws/{{'/'.join(streams)}}"):
        replay.wait_for_subscription().wait(10)

def rude_bot(replay):
    '''Goes away without a close frame, with frames still due.'''
    with connect(f"{{replay.ws_url}}/ws/btcusdt@trade") as socket:
        replay.wait_for_subscription().wait(10)
        socket.socket.shutdown(2)
    replay.until(lambda: not replay.clients[0].connected).wait(10)
"""


def cassette_text(frames: int = 2, header: str = HEADER) -> str:
    """A cassette of trades, a millisecond apart."""
    times = range(1795168800003123, 1795168800003123 + frames * 1000, 1000)
    return header + "".join(FRAME.format(t=t, data=TRADE) for t in times)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project with a bot, a configuration file and a cassette."""
    for variable in ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    pytester.makeini(INI)
    pytester.makepyfile(bots=BOT)
    pytester.syspathinsert()
    pytester.mkdir("recordings")
    (pytester.path / "recordings/dip.jsonl").write_text(cassette_text(), "utf-8")
    return pytester.path


@pytest.fixture
def add_cassette(project: Path) -> object:
    """Adds a cassette to the project by name, and returns its path."""

    def add(name: str, text: str | bytes | None = None) -> Path:
        path = project / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = cassette_text() if text is None else text
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return add


@pytest.fixture
def upstream() -> Iterator[BinanceReplay]:
    """An exchange to record from, with trades of two symbols."""
    factory = ReplayFactory(Path(), guarded=False)
    replay = factory(None, speed=1, start="manual")
    replay.load(market())
    replay.play()
    yield replay
    factory.close()


Record = Callable[..., pytest.RunResult]


@pytest.fixture
def record(pytester: pytest.Pytester, project: Path, upstream: BinanceReplay) -> Record:
    """Runs the project's tests with the exchange at hand, for a moment of it."""

    def run(*args: str, seconds: float = 0.1, **settings: Any) -> pytest.RunResult:
        return pytester.runpytest_inprocess(
            f"--binance-upstream={upstream.ws_url}",
            f"--binance-record-for={seconds}",
            *args,
            **settings,
        )

    return run
