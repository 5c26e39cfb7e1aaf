"""A bot with the exchange's own addresses in it, stopped or led to the replay."""

from __future__ import annotations

from pathlib import Path

import pytest

DIALLING = """
import json, subprocess, sys
import pytest, requests
from websockets.asyncio.client import connect as aconnect
from websockets.sync.client import connect

STREAM = "wss://stream.binance.com:9443/ws/btcusdt@trade"
PING = "https://api.binance.com/api/v3/ping"
"""


@pytest.mark.slow
def test_without_redirect_a_bot_is_stopped_before_anything_is_sent(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile(
        DIALLING
        + """
@pytest.mark.binance_replay("demo:spot")
def test_stopped(binance_replay):
    with pytest.raises(Exception) as streams:
        connect(STREAM)
    with pytest.raises(Exception) as rest:
        requests.get(PING)
    for caught in streams, rest:
        assert "binance.com" in str(caught.value)
        assert "redirect=True" in str(caught.value)
        assert "test_stopped" in str(caught.value)
    assert requests.get(binance_replay.rest_url + "/api/v3/ping").json() == {}
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_with_redirect_it_lands_on_the_replay_by_tls(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytest.importorskip("trustme")
    pytester.makepyfile(
        DIALLING
        + """
@pytest.mark.binance_replay("demo:spot", redirect=True)
def test_plain(binance_replay):
    assert requests.get(PING).json() == {}
    with connect(STREAM) as socket:
        binance_replay.step(stream="btcusdt@trade").wait()
        assert json.loads(socket.recv())["e"] == "trade"

@pytest.mark.asyncio
@pytest.mark.binance_replay("demo:spot", redirect=True)
async def test_async(binance_replay):
    async with aconnect(STREAM) as socket:
        await binance_replay.step(stream="btcusdt@trade")
        assert json.loads(await socket.recv())["e"] == "trade"
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_subprocess_is_led_there_by_its_environment(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytest.importorskip("trustme")
    pytester.makepyfile(
        DIALLING
        + """
BOT = f"import requests; print(requests.get({PING!r}).json())"

@pytest.mark.binance_replay("demo:spot", redirect=True)
def test_subprocess(binance_replay):
    import os
    env = {**os.environ, **binance_replay.env}
    done = subprocess.run(
        [sys.executable, "-c", BOT], env=env, capture_output=True, text=True
    )
    assert done.stdout.strip() == "{}", done.stderr
    assert [request.path for request in binance_replay.requests] == ["/api/v3/ping"]
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.slow
def test_tls_is_served_to_who_trusts_our_authority(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytest.importorskip("trustme")
    pytester.makepyfile(
        DIALLING
        + """
import ssl

@pytest.mark.binance_replay("demo:spot")
def test_tls(binance_replay):
    ca = str(binance_replay.ca)
    assert requests.get(binance_replay.https_url + "/api/v3/ping", verify=ca).ok
    context = ssl.create_default_context(cafile=ca)
    url = binance_replay.wss_url + "/ws/btcusdt@trade"
    with connect(url, ssl=context) as socket:
        binance_replay.step(stream="btcusdt@trade").wait()
        assert json.loads(socket.recv())["e"] == "trade"
    with pytest.raises(ssl.SSLError):
        connect(url, ssl=ssl.create_default_context())
    binance_replay.load([("btcusdt@trade", b"{}")])
    with connect(url, ssl=context) as socket:
        binance_replay.step().wait()
        assert socket.recv() == "{}"
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_road_is_as_it_was_after_the_test(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile(
        """
import os, socket, ssl
import pytest

BEFORE = socket.getaddrinfo, socket.socket.connect, ssl.SSLContext.wrap_socket
PROXY = os.environ.get("NO_PROXY")

@pytest.mark.binance_replay("demo:spot")
def test_guarded(binance_replay):
    assert "127.0.0.1" in os.environ["NO_PROXY"]
    assert socket.getaddrinfo is not BEFORE[0]
    raise ZeroDivisionError

def test_open_again():
    now = socket.getaddrinfo, socket.socket.connect, ssl.SSLContext.wrap_socket
    assert now == BEFORE
    assert os.environ.get("NO_PROXY") == PROXY
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1, failed=1)
