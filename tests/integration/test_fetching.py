"""REST answers of an upstream, good and bad."""

from __future__ import annotations

import asyncio
import socket
import ssl
from random import Random

import pytest

from pytest_binance_replay.errors import ConnectionLostError, UpstreamError
from pytest_binance_replay.recording.fetching import Fetcher, get
from pytest_binance_replay.tls import Authority
from tests.integration.hostile import SHORT, Answer, Hostile, ok, refusal, silent

PATH = "/api/v3/depth"
TARGET = f"{PATH}?symbol=BTCUSDT"


def fetcher_of(hostile: Hostile, trust: ssl.SSLContext | None = None) -> Fetcher:
    return Fetcher(
        hostile.upstream.rest_url, trust=trust, patience=SHORT, random=Random(1)
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "before",
    [
        [],
        [refusal(503), refusal(500)],
        [refusal(429, Retry_After="0"), refusal(418, Retry_After="0")],
        [ok("<html>"), ok("{"), ok('{"a":\n1}')],
    ],
)
async def test_it_asks_until_there_is_an_answer(before: list[Answer]) -> None:
    rest = {PATH: [*before, ok(' {"p": 1.10} ')]}
    async with Hostile(silent, rest=rest) as hostile:
        fetcher = fetcher_of(hostile)
        assert await fetcher.fetch(TARGET) == b'{"p": 1.10}'
    assert hostile.requests == [TARGET] * (len(before) + 1)
    assert fetcher.problems == {}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            refusal(400, b'{"code":-1121,\n"msg":"Invalid symbol."}'),
            '/api/v3/depth?symbol=BTCUSDT is answered with HTTP 400: {"code":-1121, '
            '"msg":"Invalid symbol."}',
        ),
        (
            refusal(451, b"no"),
            "ORIGIN answers HTTP 451: it does not serve the place you connect from. "
            "Spot market data has hosts without that limit, "
            "wss://data-stream.binance.vision and https://data-api.binance.vision; or "
            "name another with --upstream.",
        ),
        (
            refusal(302, b"", Location="http://127.0.0.1:1/"),
            "/api/v3/depth?symbol=BTCUSDT is answered with HTTP 302: ",
        ),
    ],
)
async def test_a_refusal_for_good_is_kept_in_words(
    answer: Answer, problem: str
) -> None:
    async with Hostile(silent, rest={PATH: [answer]}) as hostile:
        fetcher = fetcher_of(hostile)
        assert await fetcher.fetch(TARGET) is None
    found = fetcher.problems[TARGET].replace(hostile.upstream.rest_url, "ORIGIN")
    assert found == problem


@pytest.mark.asyncio
async def test_a_request_goes_out_as_a_url_may_be() -> None:
    path = "/api/v3/exchangeInfo"
    async with Hostile(silent, rest={path: [ok("{}")]}) as hostile:
        await fetcher_of(hostile).fetch(f'{path}?symbols=["BTCUSDT","%E5%B8%81"]')
    assert hostile.requests == [f"{path}?symbols=%5B%22BTCUSDT%22,%22%E5%B8%81%22%5D"]


@pytest.mark.asyncio
async def test_many_requests_are_spread() -> None:
    async with Hostile(silent, rest={PATH: [ok("{}")]}) as hostile:
        fetcher = fetcher_of(hostile)
        fetcher._asked = 20
        start = asyncio.get_running_loop().time()
        await fetcher.fetch(PATH)
        assert asyncio.get_running_loop().time() - start >= 0.49


@pytest.mark.asyncio
async def test_a_certificate_is_verified() -> None:
    with Authority() as authority:
        trust = ssl.create_default_context(cadata=authority.ca_pem.decode())
        tls = authority.server_context()
        async with Hostile(silent, rest={PATH: [ok("{}")]}, tls=tls) as hostile:
            assert await fetcher_of(hostile, trust).fetch(PATH) == b"{}"
            with pytest.raises(UpstreamError, match="a certificate that is not trust"):
                await get(f"{hostile.upstream.rest_url}/", trust=None, seconds=5)


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://127.0.0.1:x/"])
async def test_what_cannot_be_reached_is_an_error(url: str) -> None:
    with pytest.raises(ConnectionLostError):
        await get(url, trust=None, seconds=5)


@pytest.mark.asyncio
async def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLostError):
            await get(f"http://127.0.0.1:{port}/", trust=None, seconds=5)


@pytest.mark.asyncio
async def test_a_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        body = await get("http://api.example.com/x", trust=None, seconds=5)
    assert (body, asked) == (b"{}", [b"GET http://api.example.com/x HTTP/1.1\r\n"])


@pytest.mark.asyncio
async def test_nobody_has_to_wait_for_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        asking = asyncio.create_task(get(url, trust=None, seconds=0.1))
        await asyncio.wait([asking], timeout=0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(ConnectionLostError, match="timed out"):
            await get(url, trust=None, seconds=0.2)
