"""What tests of recording share: an exchange to record from, and a run of pytest."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.replay import BinanceReplay

START_US = 1_795_168_800_000_000
BTC, ETH = "btcusdt@trade", "ethusdt@trade"
TRADE = (
    '{{"e":"trade","E":{ms},"s":"{symbol}","t":{number},"p":"1.10","q":"2","T":{ms},'
    '"m":false,"M":true}}'
)


@cache
def market(frames: int = 3_000) -> tuple[Frame, ...]:
    """Two symbols in turn, a trade of one every ten milliseconds."""
    return tuple(_trade(number) for number in range(frames))


def _trade(number: int) -> Frame:
    time_us = START_US + number * 10_000
    stream = (BTC, ETH)[number % 2]
    symbol = stream.partition("@")[0].upper()
    text = TRADE.format(ms=time_us // 1000, symbol=symbol, number=number // 2)
    return Frame(time_us, stream, text.encode())


def asked_of(upstream: BinanceReplay) -> list[str]:
    """The paths that were asked of an upstream over HTTP."""
    return [request.path for request in upstream.requests if hasattr(request, "path")]


def cassettes(project: Path) -> list[str]:
    """The files in the project's folder of cassettes, hidden ones too."""
    folder = project / "recordings"
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(map(str, found))
