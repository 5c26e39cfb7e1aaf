"""A bot that is cancelled as its test ends leaves no connection behind."""

from __future__ import annotations

import pytest

_UNRAISABLE = ("-W", "error::pytest.PytestUnraisableExceptionWarning")
TESTS = """
import asyncio
import gc
import pytest
from websockets.asyncio.client import connect

async def listen(url):
    async with connect(f"{url}/ws/btcusdt@trade") as socket:
        async for _ in socket:
            pass

@pytest.mark.parametrize("run", range(5))
@pytest.mark.binance_replay("demo:spot")
@pytest.mark.asyncio
async def test_bot(binance_replay, run):
    bot = asyncio.create_task(listen(binance_replay.ws_url))
    await binance_replay.play(until="1s")
    bot.cancel()

def test_nothing_is_left():
    gc.collect()
"""


def test_the_loop_of_the_test_ends_with_its_connections_closed(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(TESTS)
    strictly = ("-W", "error::ResourceWarning", *_UNRAISABLE, "-p", "no:randomly")
    result = pytester.runpytest_subprocess(*strictly)
    result.assert_outcomes(passed=6)
