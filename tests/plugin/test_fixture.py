"""The fixture in every kind of test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("project")

STRICTLY = ("-W", "error")
WITHOUT_ASYNCIO = ("-p", "no:asyncio", "-W", "ignore::pytest.PytestConfigWarning")


def run(pytester: pytest.Pytester, test: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(test_x=test)
    return pytester.runpytest_inprocess(*STRICTLY, *args)


def test_in_plain_functions_and_classes(pytester: pytest.Pytester) -> None:
    test = """
    import pytest
    from bots import TRADE, plain_bot
    pytestmark = pytest.mark.binance_replay("dip")

    def test_function(binance_replay):
        assert plain_bot(binance_replay) == TRADE

    class TestIt:
        def test_method(self, binance_replay):
            assert plain_bot(binance_replay) == TRADE

        @pytest.mark.parametrize("n", [1, 2])
        def test_parameters(self, binance_replay, n):
            assert plain_bot(binance_replay) == TRADE
    """
    run(pytester, test).assert_outcomes(passed=4)


def test_in_unittest_classes(pytester: pytest.Pytester) -> None:
    test = """
    import unittest
    import pytest
    from bots import TRADE, async_bot, plain_bot

    @pytest.fixture
    def served(request, binance_replay):
        request.instance.replay = binance_replay

    @pytest.mark.binance_replay("dip")
    @pytest.mark.usefixtures("served")
    class PlainTest(unittest.TestCase):
        def test_it(self):
            self.assertEqual(plain_bot(self.replay), TRADE)

        @unittest.skip("later")
        def test_skipped(self): pass

    @pytest.mark.binance_replay("dip")
    @pytest.mark.usefixtures("served")
    class AsyncTest(unittest.IsolatedAsyncioTestCase):
        async def test_it(self):
            self.assertEqual(await async_bot(self.replay), TRADE)
    """
    run(pytester, test, *WITHOUT_ASYNCIO).assert_outcomes(passed=2, skipped=1)


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
def test_in_asyncio_tests_of_every_loop_scope(
    pytester: pytest.Pytester, mode: str, scope: str
) -> None:
    pytest.importorskip("pytest_asyncio")
    test = f"""
    import pytest
    from bots import TRADE, async_bot
    pytestmark = [pytest.mark.binance_replay("dip"),
                  pytest.mark.asyncio(loop_scope="{scope}")]

    async def test_function(binance_replay):
        assert await async_bot(binance_replay) == TRADE

    class TestIt:
        async def test_one(self, binance_replay):
            assert await async_bot(binance_replay) == TRADE

        async def test_other(self, binance_replay):
            assert await async_bot(binance_replay) == TRADE
    """
    pytester.makepyfile(__init__="")
    test = test.replace('loop_scope="class"', "") if scope == "class" else test
    mark = '\n    @pytest.mark.asyncio(loop_scope="class")\n    class'
    test = test.replace("\n    class", mark) if scope == "class" else test
    result = run(pytester, test, f"--asyncio-mode={mode}")
    result.assert_outcomes(passed=3)


def test_in_unmarked_coroutines_under_auto_mode(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    test = """
    import pytest
    from bots import TRADE, async_bot

    @pytest.fixture
    async def bot(binance_replay):
        return await async_bot(binance_replay)

    @pytest.mark.binance_replay("dip")
    async def test_it(bot):
        assert bot == TRADE
    """
    run(pytester, test, "--asyncio-mode=auto").assert_outcomes(passed=1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_anyio_tests(pytester: pytest.Pytester, backend: str) -> None:
    pytest.importorskip("anyio")
    pytest.importorskip(backend)
    test = f"""
    import anyio
    import pytest
    from bots import TRADE, connect

    @pytest.fixture
    def anyio_backend():
        return "{backend}"

    def receive(url):
        with connect(url + "/ws/btcusdt@trade") as socket:
            return socket.recv(timeout=10)

    @pytest.mark.anyio
    @pytest.mark.binance_replay("dip")
    async def test_it(binance_replay):
        got = []

        async def bot():
            got.append(await anyio.to_thread.run_sync(receive, binance_replay.ws_url))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot)
            await binance_replay.play()
            assert await binance_replay.until(lambda: got) == [TRADE]
    """
    run(pytester, test, *WITHOUT_ASYNCIO).assert_outcomes(passed=1)


def test_in_pytest_trio_tests(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_trio")
    test = """
    import pytest
    import trio
    from bots import TRADE, connect

    def receive(url):
        with connect(url + "/ws/btcusdt@trade") as socket:
            return socket.recv(timeout=10)

    @pytest.mark.trio
    @pytest.mark.binance_replay("dip")
    async def test_it(binance_replay):
        got = []

        async def bot():
            got.append(await trio.to_thread.run_sync(receive, binance_replay.ws_url))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bot)
            await binance_replay.play()
            assert await binance_replay.until(lambda: got) == [TRADE]
    """
    run(pytester, test, *WITHOUT_ASYNCIO).assert_outcomes(passed=1)


def test_with_a_bot_in_a_thread(pytester: pytest.Pytester) -> None:
    test = """
    import threading
    import pytest
    from bots import TRADE, connect

    @pytest.mark.binance_replay("dip")
    def test_it(binance_replay):
        got = []

        def bot():
            with connect(binance_replay.ws_url + "/ws/btcusdt@trade") as socket:
                got.extend(socket.recv(timeout=10) for _ in range(2))

        thread = threading.Thread(target=bot)
        thread.start()
        binance_replay.play().wait(10)
        assert binance_replay.until(lambda: len(got) == 2).wait(10)
        thread.join()
        assert got == [TRADE, TRADE]
    """
    run(pytester, test).assert_outcomes(passed=1)


def test_with_a_bot_in_a_subprocess(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        bot="""
        import os
        from websockets.sync.client import connect
        with connect(os.environ["BINANCE_REPLAY_WS_URL"] + "/ws/btcusdt@trade") as bot:
            print(bot.recv(timeout=10))
        """
    )
    test = f"""
    import os
    import subprocess
    import pytest
    from bots import TRADE

    @pytest.mark.binance_replay("dip")
    def test_it(binance_replay):
        bot = subprocess.Popen(
            [{sys.executable!r}, "bot.py"], stdout=subprocess.PIPE, text=True,
            env=os.environ | binance_replay.env)
        binance_replay.wait_for_subscription(timeout=30).wait()
        binance_replay.play().wait(10)
        assert bot.communicate()[0].strip() == TRADE
        assert bot.returncode == 0
    """
    run(pytester, test).assert_outcomes(passed=1)


def test_each_test_has_a_port_and_a_state_of_its_own(pytester: pytest.Pytester) -> None:
    test = """
    import pytest
    from bots import TRADE, plain_bot
    pytestmark = pytest.mark.binance_replay("dip")
    seen = []

    @pytest.mark.parametrize("n", range(3))
    def test_it(binance_replay, n):
        assert binance_replay.position.frames == 0
        assert binance_replay.clients == binance_replay.requests == ()
        assert plain_bot(binance_replay) == TRADE
        assert len(binance_replay.clients) == 1
        seen.append(binance_replay)

    def test_after():
        assert len({id(replay) for replay in seen}) == 3
        assert all(replay.closed for replay in seen)
    """
    run(pytester, test).assert_outcomes(passed=4)


def test_in_fixtures_that_need_it(pytester: pytest.Pytester) -> None:
    test = """
    import pytest
    from bots import TRADE, connect

    @pytest.fixture
    def bot(binance_replay):
        with connect(binance_replay.ws_url + "/ws/btcusdt@trade") as socket:
            yield socket

    @pytest.mark.binance_replay("dip")
    def test_it(bot, binance_replay):
        binance_replay.play().wait(10)
        assert bot.recv(timeout=10) == TRADE

    @pytest.mark.binance_replay("dip")
    def test_with_data_still_due(bot):
        assert bot.recv(timeout=10) == TRADE
    """
    run(pytester, test).assert_outcomes(passed=2)


def test_a_wider_scope_uses_the_factory(pytester: pytest.Pytester) -> None:
    test = """
    import pytest
    from bots import TRADE, plain_bot

    @pytest.fixture(scope="session")
    def whole_session(binance_replay_factory):
        return binance_replay_factory("dip", speed="asap")

    @pytest.fixture(scope="module")
    def whole_module(binance_replay_factory):
        with binance_replay_factory("dip") as replay:
            yield replay

    def test_first(whole_session, whole_module):
        assert plain_bot(whole_session) == TRADE
        assert plain_bot(whole_module) == TRADE

    def test_second(whole_session, whole_module):
        assert whole_session.done and whole_module.done
        assert whole_session.port != whole_module.port
        assert (whole_session.speed, whole_module.speed) == ("asap", "auto")

    @pytest.mark.binance_replay("dip")
    def test_two_servers(binance_replay, binance_replay_factory):
        other = binance_replay_factory("dip")
        assert plain_bot(other) == TRADE
        assert (binance_replay.done, other.done) == (False, True)
    """
    run(pytester, test).assert_outcomes(passed=3)


def test_the_command_line_reaches_the_factory(pytester: pytest.Pytester) -> None:
    test = """
    def test_it(binance_replay_factory):
        assert binance_replay_factory("dip", speed=2, lag="stall").speed == 5
        assert binance_replay_factory("dip", lag="stall")._options.lag == "stall"
    """
    result = run(pytester, test, "--binance-speed=5", "-o", "binance_lag=disconnect")
    result.assert_outcomes(passed=1)


def test_a_fixture_of_wider_scope_cannot_use_it(pytester: pytest.Pytester) -> None:
    test = """
    import pytest

    @pytest.fixture(scope="module")
    def wide(binance_replay): pass

    def test_it(wide): pass
    """
    result = run(pytester, test)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("ScopeMismatch: *binance_replay*")


def test_in_doctests(pytester: pytest.Pytester) -> None:
    (Path(pytester.path) / "README.md").write_text(
        '>>> replay = getfixture("binance_replay_factory")("dip")\n'
        ">>> replay.cassette\n'recordings/dip.jsonl'\n",
        "utf-8",
    )
    result = pytester.runpytest_inprocess("--doctest-glob=*.md", *STRICTLY)
    result.assert_outcomes(passed=1)
