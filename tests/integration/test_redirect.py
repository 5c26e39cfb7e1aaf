"""Bots with the exchange's addresses built in: stopped, or landed with us."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.errors import ExchangeBlockedError
from pytest_binance_replay.guard import Guard
from pytest_binance_replay.proxy import TunnelProxy, proxy_environment
from pytest_binance_replay.tls import Authority
from tests.integration.dialers import (
    REST,
    WEBSOCKET,
    Dial,
    need,
    requests_get,
    run,
    run_on_uvloop,
    websockets_asyncio,
    websockets_sync,
)
from tests.integration.landing import LandingPlace

pytest.importorskip("trustme", reason="trustme, of the extra tls, is not installed")

# A client whose dial failed may leave its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

STREAM = "wss://stream.binance.com:9443/ws/btcusdt@trade"
PING = "https://api.binance.com/api/v3/ping"
DIALS = [
    *(
        pytest.param(dial, STREAM, id=f"{name}, streams")
        for name, dial in WEBSOCKET.items()
    ),
    *(pytest.param(dial, PING, id=f"{name}, REST") for name, dial in REST.items()),
]


@pytest.fixture(scope="module", autouse=True)
def _only_our_own() -> Iterator[None]:
    """What other tests have in memory is not walked through after each of these."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _collected(_only_our_own: None) -> Iterator[None]:
    """What a client leaves is collected while it is known whose it is."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture
def place(thread: LoopThread, authority: Authority) -> Iterator[LandingPlace]:
    place = LandingPlace(thread, authority)
    yield place
    place.close()


@pytest.fixture
def stranger(thread: LoopThread) -> Iterator[LandingPlace]:
    """A server of an authority that no context has ever been told of."""
    place = LandingPlace(thread, Authority())
    yield place
    place.close()


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A proxy, set for everything, that nobody may come to."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name.swapcase(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, url)
        # The first `urlopen` of a process keeps the proxies that it found.
        monkeypatch.setattr(urllib.request, "_opener", None)
        yield proxy
        assert not [line for line in _said_to(proxy) if b"binance" in line]


def _said_to(listener: socket.socket) -> Iterator[bytes]:
    """What each said who came: it may be a client of another process's last server."""
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            visitor, _ = listener.accept()
            with visitor, contextlib.suppress(OSError):
                visitor.settimeout(1)
                yield visitor.recv(4096)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and everything it was raised because of, or holds."""
    while error is not None:
        yield error
        for inner in getattr(error, "exceptions", ()):
            yield from causes(inner)
        reason = getattr(error, "reason", None)
        if isinstance(reason, BaseException):
            yield from causes(reason)
        error = error.__cause__ or error.__context__


def found_in(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes(error))


_OUTWARD = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto")
_went_out: list[str] = []


def _note_what_goes_out(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: remember who was asked about, or connected to."""
    if event.startswith(_OUTWARD):
        _went_out.append(f"{event} {arguments}")


sys.addaudithook(_note_what_goes_out)


@pytest.fixture
def went_out() -> list[str]:
    """What has left Python for the exchange during the test, lookups included."""
    _went_out.clear()
    return _went_out


@pytest.mark.parametrize(("dial", "url"), DIALS)
def test_a_bot_is_stopped(dial: Dial, url: str, went_out: list[str]) -> None:
    with Guard(test="test_dip") as guard, pytest.raises(Exception) as caught:  # noqa: PT011
        dial(url)
    assert found_in(caught.value, ExchangeBlockedError)
    host = url.split("/")[2].partition(":")[0]
    assert [(error.host, error.test) for error in guard.blocked] == [(host, "test_dip")]
    # trio asks first whether the name is a number, which goes to nobody.
    asked = int(dial is WEBSOCKET["websockets on trio"])
    assert len([said for said in went_out if host in said]) == asked


THREADED = [
    pytest.param(WEBSOCKET["websockets on threads"], STREAM, id="websockets"),
    pytest.param(WEBSOCKET["websocket-client"], STREAM, id="websocket-client"),
    pytest.param(WEBSOCKET["aiohttp on uvloop"], STREAM, id="aiohttp on uvloop"),
    pytest.param(REST["requests"], PING, id="requests"),
]


@pytest.mark.parametrize(("dial", "url"), THREADED)
def test_a_bot_on_a_thread_older_than_the_guard_is_stopped(
    dial: Dial, url: str, went_out: list[str]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threading.get_ident).result()
        with Guard() as guard:
            error = pool.submit(dial, url).exception()
    assert error is not None
    assert found_in(error, ExchangeBlockedError)
    host = url.split("/")[2].partition(":")[0]
    assert [stopped.host for stopped in guard.blocked] == [host]
    assert not any("binance.com" in said for said in went_out)


def test_the_hook_would_hear_what_goes_out(went_out: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    assert any(s.startswith("socket.getaddrinfo ('localhost'") for s in went_out)
    assert any(s.startswith("socket.connect ") for s in went_out)


@pytest.mark.usefixtures("no_way_out")
@pytest.mark.parametrize(("dial", "url"), DIALS)
def test_a_bot_is_stopped_before_any_proxy(dial: Dial, url: str) -> None:
    with Guard(), pytest.raises(Exception) as caught:  # noqa: PT011
        dial(url)
    assert found_in(caught.value, ExchangeBlockedError)


@pytest.mark.parametrize(("dial", "url"), DIALS)
def test_a_bot_lands_with_us(dial: Dial, url: str, place: LandingPlace) -> None:
    _, _, host, path = url.split("/", 3)
    with Guard(redirect=place.redirect()) as guard:
        assert json.loads(dial(url)) == [host, f"/{path}", True]
    assert guard.blocked == ()


@pytest.mark.usefixtures("no_way_out")
@pytest.mark.parametrize(("dial", "url"), DIALS)
@pytest.mark.slow
def test_a_bot_lands_with_us_whatever_proxy_is_set(
    dial: Dial, url: str, place: LandingPlace
) -> None:
    with Guard(redirect=place.redirect()):
        assert json.loads(dial(url))[2] is True


@pytest.mark.parametrize(("dial", "url"), DIALS)
@pytest.mark.slow
def test_a_bot_does_not_trust_somebody_else(
    dial: Dial, url: str, stranger: LandingPlace, authority: Authority
) -> None:
    redirect = stranger.redirect(ca_pem=authority.ca_pem)
    with Guard(redirect=redirect), pytest.raises(Exception) as caught:  # noqa: PT011
        dial(url)
    text = " ".join(map(str, causes(caught.value)))
    assert found_in(caught.value, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in text


@pytest.mark.parametrize(
    "url",
    [
        "wss://stream.binance.com:443/ws",
        "wss://data-stream.binance.vision/ws",
        "wss://stream.testnet.binance.vision/ws",
        "wss://ws-api.testnet.binance.vision/ws-api/v3",
        "wss://fstream.binance.com/market/stream",
        "wss://stream.binancefuture.com/ws",
        "wss://dstream.binance.com/ws",
        "wss://STREAM.binance.us:9443/ws",
    ],
)
def test_the_certificate_is_good_for_every_host(url: str, place: LandingPlace) -> None:
    with Guard(redirect=place.redirect()):
        assert json.loads(websockets_sync(url))[2] is True


def test_a_port_in_the_clear_lands_in_the_clear(place: LandingPlace) -> None:
    url = "http://api.binance.com/api/v3/ping"
    with (
        Guard(redirect=place.redirect()),
        urllib.request.urlopen(url, timeout=5) as response,
    ):
        assert json.load(response) == ["api.binance.com", "/api/v3/ping", False]


def test_a_context_made_long_before_is_served(place: LandingPlace) -> None:
    requests = need("requests")
    with requests.Session() as session, Guard(redirect=place.redirect()):
        assert session.get(PING, timeout=5).json()[2] is True


def test_who_verifies_nothing_is_served(place: LandingPlace) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        Guard(redirect=place.redirect()),
        urllib.request.urlopen(PING, timeout=5, context=context) as response,
    ):
        assert json.load(response)[2] is True
    assert context.get_ca_certs() == []


def test_each_market_lands_where_it_is_played(
    thread: LoopThread, authority: Authority
) -> None:
    spot, usdm = LandingPlace(thread, authority), LandingPlace(thread, authority)
    with (
        Guard(redirect=usdm.redirect(markets=("usdm",))),
        Guard(redirect=spot.redirect(markets=("spot",))),
        Guard(),
    ):
        for host, place in (("fapi", usdm), ("api", spot), ("dapi", spot)):
            with socket.create_connection((f"{host}.binance.com", 443)) as client:
                assert client.getpeername() == ("127.0.0.1", place.tls_port)
    spot.close()
    usdm.close()


@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_a_socket_connects_by_name(connect: str, place: LandingPlace) -> None:
    with Guard(redirect=place.redirect()), socket.socket() as client:
        getattr(client, connect)(("api.binance.com", 443))
        assert client.getpeername() == ("127.0.0.1", place.tls_port)


@pytest.mark.parametrize("lookup", ["gethostbyname", "gethostbyname_ex"])
def test_who_looks_up_the_address_first_lands(lookup: str, place: LandingPlace) -> None:
    with Guard(redirect=place.redirect()), socket.socket() as client:
        found = getattr(socket, lookup)("api.binance.com")
        address = found if lookup == "gethostbyname" else found[2][0]
        client.connect((address, 9443))
        assert client.getpeername() == ("127.0.0.1", place.tls_port)


async def _connect_on_loop(address: Any) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(*address, type=socket.SOCK_STREAM)
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, found[0][4])
        return str(client.getpeername()[1])


@pytest.mark.parametrize("runner", [run, run_on_uvloop])
def test_a_loop_looks_up_and_connects(runner: Any, place: LandingPlace) -> None:
    with Guard(redirect=place.redirect()):
        port = runner(_connect_on_loop(("api.binance.com", 443)))
    assert port == str(place.tls_port)


@pytest.mark.parametrize("runner", [run, run_on_uvloop])
def test_a_loop_reaches_others_as_ever(runner: Any, place: LandingPlace) -> None:
    with Guard():
        port = runner(_connect_on_loop(("127.0.0.1", place.plain_port)))
        said = runner(websockets_asyncio(f"ws://127.0.0.1:{place.plain_port}/ws"))
    assert port == str(place.plain_port)
    assert json.loads(said) == [f"127.0.0.1:{place.plain_port}", "/ws", False]


def test_an_address_kept_from_another_replay_finds_the_present_one(
    place: LandingPlace,
) -> None:
    gone = place.redirect()
    with Guard(redirect=type(gone)(9, 9, b"")):
        kept = socket.getaddrinfo("api.binance.com", 443)[0][4]
    with Guard(redirect=gone), socket.socket() as client:
        client.connect(kept)
        assert client.getpeername() == ("127.0.0.1", place.tls_port)
    with Guard(), socket.socket() as client, pytest.raises(ExchangeBlockedError):
        client.connect(kept)


async def _resolve_with_aiodns(call: str, *args: Any) -> str:
    async with need("aiodns").DNSResolver() as resolver:
        found = await getattr(resolver, call)(*args)
    return str(
        [n.addr[0].decode() for n in found.nodes]
        if call == "getaddrinfo"
        else found.addresses
    )


@pytest.mark.parametrize(
    ("call", "args"),
    [("getaddrinfo", ()), ("gethostbyname", (socket.AF_INET,))],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_aiodns_lands(call: str, args: tuple[Any, ...], place: LandingPlace) -> None:
    with Guard(redirect=place.redirect()):
        found = run(_resolve_with_aiodns(call, "api.binance.com", *args))
    assert set(json.loads(found.replace("'", '"'))) == {"127.0.0.1"}


@pytest.mark.parametrize("call", ["query", "query_dns", "gethostbyname"])
def test_aiodns_asks_nobody(call: str) -> None:
    if not hasattr(need("aiodns").DNSResolver, call):
        pytest.skip(f"this version of aiodns has no {call}")
    with Guard(), pytest.raises(ExchangeBlockedError):
        run(_resolve_with_aiodns(call, "api.binance.com", "A"))


LATE = """
import asyncio, socket, sys
from pytest_binance_replay.guard import Guard
guard = Guard(test="late")
guard.install()
assert {name!r} not in sys.modules
import {name}
{action}
assert [error.host for error in guard.blocked] == ["api.binance.com"], guard.blocked
assert type({name}.__loader__).__name__ != "_HookingLoader"
assert {name}.__spec__.loader is {name}.__loader__
hooked = {owner}
guard.remove()
assert {owner} is not hooked
"""
ON_UVLOOP = """
async def dial():
    await asyncio.open_connection("api.binance.com", 443)
try:
    uvloop.run(dial())
except Exception as error:
    print(error)
"""
BY_AIODNS = """
async def dial():
    aiodns.DNSResolver().getaddrinfo("api.binance.com", port=443)
try:
    asyncio.run(dial())
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "action", "owner"),
    [
        ("uvloop", ON_UVLOOP, "uvloop.Loop.create_connection"),
        ("aiodns", BY_AIODNS, "aiodns.DNSResolver.getaddrinfo"),
    ],
)
def test_what_is_imported_under_the_guard_is_stopped(
    name: str, action: str, owner: str
) -> None:
    need(name)
    program = LATE.format(name=name, action=action, owner=owner)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("late: stopped a connection to api.binance.com")


# A proxy that the program was told of, and connections through it


class Carrier:
    """A proxy that carries everything to one place, as a company's would."""

    def __init__(self, thread: LoopThread, place: LandingPlace) -> None:
        self._thread = thread
        self._proxy = TunnelProxy(tls_port=place.tls_port, plain_port=place.plain_port)
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.call(self._proxy.start(listener))

    @property
    def refused(self) -> tuple[str, ...]:
        return self._proxy.refused

    def close(self) -> None:
        self._thread.call(self._proxy.close())


@pytest.fixture
def carrier(thread: LoopThread, place: LandingPlace) -> Iterator[Carrier]:
    carrier = Carrier(thread, place)
    yield carrier
    carrier.close()


BOT = """
import json, sys, urllib.request
from websockets.sync.client import connect
with connect("wss://fstream.binance.com/market/ws/btcusdt@aggTrade") as client:
    print(client.recv())
for url in sys.argv[1:]:
    with urllib.request.urlopen(url, timeout=5) as response:
        print(response.read().decode())
try:
    urllib.request.urlopen("https://example.org/", timeout=5)
except OSError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.skipif(
    int(version("websockets").partition(".")[0]) < 15,
    reason="websockets before 15 takes no proxy from the environment",
)
def test_a_bot_in_a_subprocess_lands_by_its_environment(
    place: LandingPlace, carrier: Carrier, authority: Authority
) -> None:
    env = proxy_environment(carrier.url, authority.ca_path, authority.bundle_path)
    here = f"127.0.0.1:{place.plain_port}"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            BOT,
            PING,
            "http://api.binance.com/x",
            f"http://{here}/y",
        ],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        ["fstream.binance.com", "/market/ws/btcusdt@aggTrade", True],
        ["api.binance.com", "/api/v3/ping", True],
        ["api.binance.com", "http://api.binance.com/x", False],
        [here, "/y", False],
        "<urlopen error Tunnel connection failed: 403 Forbidden>",
    ]
    assert carrier.refused == ("example.org:443",)


def test_a_client_of_requests_lands_by_its_environment(
    carrier: Carrier, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = proxy_environment(carrier.url, authority.ca_path, authority.bundle_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert json.loads(requests_get(PING)) == ["api.binance.com", "/api/v3/ping", True]


def test_node_would_be_told(authority: Authority) -> None:
    env = proxy_environment(
        "http://127.0.0.1:9", authority.ca_path, authority.bundle_path
    )
    assert env["NODE_EXTRA_CA_CERTS"] == str(authority.ca_path)
    assert Path(env["SSL_CERT_FILE"]).read_bytes().endswith(authority.ca_pem)
