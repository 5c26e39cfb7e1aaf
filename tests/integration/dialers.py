"""Every way in which bots reach the exchange, as functions from URL to answer.

Each imports its library itself, and skips the test that asks for it without.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import pytest

Dial = Callable[[str], str]
SECONDS = 10


def need(name: str) -> Any:
    """Import a library of the bots'; skip the test if it is not installed."""
    return pytest.importorskip(name, reason=f"{name} is not installed")


def run(work: Coroutine[Any, Any, str], loop_factory: Any = None) -> str:
    async def in_time() -> str:
        async with asyncio.timeout(SECONDS):
            return await work

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(in_time())


def run_on_uvloop(work: Coroutine[Any, Any, str]) -> str:
    try:
        uvloop = need("uvloop")
    except BaseException:
        work.close()
        raise
    return run(work, uvloop.new_event_loop)


# WebSocket: the answer is the first message


async def websockets_asyncio(url: str) -> str:
    from websockets.asyncio.client import connect

    async with connect(url) as client:
        return str(await client.recv())


def websockets_sync(url: str) -> str:
    from websockets.sync.client import connect

    with connect(url) as client:
        return str(client.recv(SECONDS))


def websockets_trio(url: str) -> str:
    trio = need("trio")
    client = need("websockets.trio.client")

    async def dial() -> str:
        with trio.fail_after(SECONDS):
            async with client.connect(url) as connection:
                return str(await connection.recv())

    return str(trio.run(dial))


def websocket_client(url: str) -> str:
    websocket = need("websocket")
    client = websocket.create_connection(url, timeout=SECONDS)
    try:
        return str(client.recv())
    finally:
        client.close()


async def aiohttp_websocket(url: str, resolver: str = "ThreadedResolver") -> str:
    aiohttp = need("aiohttp")
    if resolver == "AsyncResolver":
        need("aiodns")
    connector = aiohttp.TCPConnector(resolver=getattr(aiohttp, resolver)())
    async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
        async with session.ws_connect(url) as client:
            said = str(await client.receive_str())
        # Or uvloop is closed while TLS still says good-bye.
        await connector.close(abort_ssl=True)
    return said


# REST: the answer is the body


def urllib_request(url: str) -> str:
    with urllib.request.urlopen(url, timeout=SECONDS) as response:
        return str(response.read().decode())


def http_client(url: str) -> str:
    parts = urlsplit(url)
    client = http.client.HTTPSConnection(str(parts.hostname), timeout=SECONDS)
    try:
        client.request("GET", parts.path)
        return client.getresponse().read().decode()
    finally:
        client.close()


def requests_get(url: str) -> str:
    return str(need("requests").get(url, timeout=SECONDS).text)


def httpx_get(url: str) -> str:
    return str(need("httpx").get(url).text)


async def httpx_async(url: str) -> str:
    httpx = need("httpx")
    async with httpx.AsyncClient() as client:
        return str((await client.get(url)).text)


async def aiohttp_get(url: str) -> str:
    aiohttp = need("aiohttp")
    async with (
        aiohttp.ClientSession(trust_env=True) as session,
        session.get(url) as response,
    ):
        return str(await response.text())


async def asyncio_streams(url: str) -> str:
    parts = urlsplit(url)
    context = ssl.create_default_context()
    reader, writer = await asyncio.open_connection(parts.hostname, 443, ssl=context)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.hostname}\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2].decode()


WEBSOCKET: dict[str, Dial] = {
    "websockets on asyncio": lambda url: run(websockets_asyncio(url)),
    "websockets on uvloop": lambda url: run_on_uvloop(websockets_asyncio(url)),
    "websockets on trio": websockets_trio,
    "websockets on threads": websockets_sync,
    "websocket-client": websocket_client,
    "aiohttp": lambda url: run(aiohttp_websocket(url)),
    "aiohttp with aiodns": lambda url: run(aiohttp_websocket(url, "AsyncResolver")),
    "aiohttp on uvloop": lambda url: run_on_uvloop(aiohttp_websocket(url)),
}
REST: dict[str, Dial] = {
    "urllib": urllib_request,
    "http.client": http_client,
    "requests": requests_get,
    "httpx": httpx_get,
    "httpx on asyncio": lambda url: run(httpx_async(url)),
    "httpx on uvloop": lambda url: run_on_uvloop(httpx_async(url)),
    "aiohttp": lambda url: run(aiohttp_get(url)),
    "asyncio streams": lambda url: run(asyncio_streams(url)),
    "asyncio streams on uvloop": lambda url: run_on_uvloop(asyncio_streams(url)),
}
