"""What works in a project that installs us and nothing optional.

The tox environment "minimal" runs this file on the wheel and its hard dependencies.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow  # it has an environment of its own

TRADE = '{"e":"trade","E":1795168800003,"s":"BTCUSDT","p":"1.10","q":"2","M":true}'
CASSETTE = f"""\
{{"cassette":1,"market":"spot"}}
{{"t":1795168800003123,"stream":"btcusdt@trade","data":{TRADE}}}
"""
STRICT = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
PLAIN_TEST = f"""
import pytest
from websockets.sync.client import connect

@pytest.mark.binance_replay("dip")
def test_the_bot_gets_the_trade(binance_replay):
    with connect(binance_replay.ws_url + "/ws/btcusdt@trade") as bot:
        binance_replay.play().wait(5)
        assert bot.recv(timeout=5) == {TRADE!r}
"""
ASYNC_TEST = f"""
import pytest
from websockets.asyncio.client import connect

@pytest.mark.asyncio
@pytest.mark.binance_replay("dip")
async def test_the_bot_gets_the_trade(binance_replay):
    async with connect(binance_replay.ws_url + "/ws/btcusdt@trade") as bot:
        await binance_replay.play()
        assert await bot.recv() == {TRADE!r}
"""


@pytest.mark.parametrize("bot_test", [PLAIN_TEST, ASYNC_TEST], ids=["plain", "async"])
def test_a_first_test_passes(pytester: pytest.Pytester, bot_test: str) -> None:
    recordings = pytester.mkdir("recordings")
    (recordings / "dip.jsonl").write_text(CASSETTE, "utf-8")
    pytester.makeini(STRICT)
    pytester.makepyfile(bot_test)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_project_that_never_asks_for_us_is_left_alone(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini(STRICT)
    pytester.makepyfile("def test_of_something_else(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
