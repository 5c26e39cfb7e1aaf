"""The exchange played to a bot that is learned from: what goes through, what not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_binance_replay.errors import ExchangeBlockedError
from pytest_binance_replay.files import CassetteReader, summarise
from pytest_binance_replay.guard import _ROAD, OWN_THREADS, Guard
from pytest_binance_replay.replay import BinanceReplay
from tests.plugin.recording import BTC, ETH, asked_of, cassettes

pytestmark = pytest.mark.slow

Record = Callable[..., pytest.RunResult]

ASK = """
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from bots import plain_bot

def ask(url, method="GET"):
    headers = {"X-MBX-APIKEY": "secret-key"}
    try:
        with urlopen(Request(url, method=method, headers=headers)) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)
"""
ORDERS = f"""
{ASK}
SIGNED = "symbol=BTCUSDT&timestamp=1&signature=c0ffee"

def test_it(binance_replay):
    url = f"{{binance_replay.rest_url}}/api/v3"
    answers = [
        ask(f"{{url}}/order?{{SIGNED}}", "POST"),
        ask(f"{{url}}/account?{{SIGNED}}"),
        ask(f"{{url}}/klines?interval=1m&{{SIGNED}}"),
    ]
    if not binance_replay.cassette:  # live
        assert [(code, body["code"]) for code, body in answers] == [(401, -2015)] * 3
    plain_bot(binance_replay, "btcusdt@trade/" + "a" * 60)
"""


def test_orders_signatures_and_accounts_never_go_through(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(test_x=ORDERS)
    result = record("--binance-record-mode=all")
    asked = asked_of(upstream)
    assert set(asked) == {"/api/v3/exchangeInfo"}
    assert [client.subscriptions for client in upstream.clients] == [(BTC,)]
    result.stdout.fnmatch_lines(
        "No cassette has an answer to '/api/v3/order?symbol=BTCUSDT'. POST is not *"
    )
    for name in cassettes(project):
        text = (project / "recordings" / name).read_text("utf-8")
        assert "c0ffee" not in text
        assert "secret" not in text
        assert "aaaaaaaaaa" not in text


def test_answers_of_the_exchange_are_passed_on_and_recorded(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(
        test_x=f"""{ASK}
def test_it(binance_replay):
    url = f"{{binance_replay.rest_url}}/api/v3"
    assert ask(f"{{url}}/ping") == (200, {{}})
    assert ask(f"{{url}}/exchangeInfo?symbol=ETHUSDT")[0] == 200
    plain_bot(binance_replay)
"""
    )
    record("--record-binance").assert_outcomes(passed=1)
    rest = summarise(project / "recordings/test_x/test_it.jsonl").rest
    requests = {answer.request for answer in rest}
    assert requests == {
        "/api/v3/exchangeInfo?symbol=BTCUSDT",
        "/api/v3/exchangeInfo?symbol=ETHUSDT",
    }
    assert "/api/v3/ping" in asked_of(upstream)


def test_an_exchange_that_cannot_be_asked_is_told_to_bot_and_test(
    pytester: pytest.Pytester, project: Path, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(
        test_x=f"""{ASK}
def test_it(binance_replay):
    status, _ = ask(f"{{binance_replay.rest_url}}/api/v3/ping")
    assert status == (200 if binance_replay.cassette else 502)
    plain_bot(binance_replay)
"""
    )
    result = pytester.runpytest_inprocess(
        "--binance-record-mode=all",
        f"--binance-upstream={upstream.ws_url},http://127.0.0.1:9",
        "--binance-record-for=0.1",
    )
    result.assert_outcomes(passed=1)
    assert cassettes(project) == ["dip.jsonl", "test_x/test_it.jsonl"]


def test_subscriptions_of_all_kinds_are_learned(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makepyfile(
        test_x="""
        import json
        from websockets.sync.client import connect

        def get(socket):
            return socket.recv(timeout=5)

        def test_it(binance_replay):
            params = {"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 1}
            with (
                connect(binance_replay.url, max_queue=None) as simple,
                connect(f"{binance_replay.ws_url}/stream", max_queue=None) as socket,
            ):
                ask = {"action": "subscribe", "pair": "BTCUSDT", "stream": "trade"}
                simple.send(json.dumps(ask))
                assert json.loads(get(simple))["result"] is True
                socket.send(json.dumps(params))
                binance_replay.play().wait(20)
                assert json.loads(get(socket))["id"] == 1
                assert json.loads(get(simple))["event"] == "trade"
                assert json.loads(get(socket))["stream"] == "ethusdt@trade"
        """
    )
    record("--record-binance").assert_outcomes(passed=1)
    path = project / "recordings/test_x/test_it.jsonl"
    assert set(CassetteReader(path).header.streams or ()) == {BTC, ETH}


def test_a_bot_with_the_addresses_of_the_exchange_is_learned_from(
    pytester: pytest.Pytester, project: Path, upstream: BinanceReplay
) -> None:
    pytest.importorskip("trustme")
    pytester.makepyfile(
        test_x="""
        import pytest
        from websockets.sync.client import connect

        @pytest.mark.binance_replay(redirect=True)
        def test_it(binance_replay):
            url = "wss://stream.binance.com:9443/ws/btcusdt@trade"
            with connect(url, max_queue=None) as socket:
                binance_replay.play().wait(20)
                assert '"BTCUSDT"' in socket.recv(timeout=5)
        """
    )
    result = pytester.runpytest_subprocess(
        "--record-binance",
        f"--binance-upstream={upstream.ws_url}",
        "--binance-record-for=0.1",
        timeout=120,
    )
    result.assert_outcomes(passed=1)
    path = project / "recordings/test_x/test_it.jsonl"
    assert CassetteReader(path).header.streams == (BTC,)


def test_the_guard_lets_pass_what_records_and_nobody_else() -> None:
    found: list[object] = []

    def ask() -> None:
        found.append(_ROAD.turn("stream.binance.com", 9443))
        _ROAD.refuse("stream.binance.com")

    with Guard(test="test_x.py::test_it"):
        thread = threading.Thread(target=ask, name=f"{OWN_THREADS}-rest")
        thread.start()
        thread.join()
        with pytest.raises(ExchangeBlockedError):
            ask()
    assert found == [None]
