from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest

from pytest_binance_replay.errors import ExchangeBlockedError
from pytest_binance_replay.guard import Guard, Redirect
from tests.test_hooks import snapshot

HERE = Redirect(4433, 8000, b"")
VARIABLES = ("NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Whatever a test does, in the end everything is what it was."""
    before = snapshot(), environment()
    yield
    assert (snapshot(), environment()) == before


def environment() -> dict[str, str]:
    """What the process is told about proxies."""
    return {n: v for n, v in os.environ.items() if n.lower().endswith("_proxy")}


def port_of(host: str, port: Any) -> Any:
    """Where a connection lands."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]


# Stopping


@pytest.mark.parametrize(
    ("call", "args"),
    [
        ("getaddrinfo", ("api.binance.com", 443)),
        ("getaddrinfo", (b"API.binance.com", "https")),
        ("create_connection", (("api.binance.com", 9443),)),
        ("gethostbyname", ("api.binance.com",)),
        ("gethostbyname_ex", ("api.binance.com",)),
        ("gethostbyaddr", ("api.binance.com",)),
    ],
)
def test_an_attempt_raises(call: str, args: tuple[Any, ...]) -> None:
    with (
        Guard(test="tests/test_dip.py::test_dip"),
        pytest.raises(ExchangeBlockedError) as caught,
    ):
        getattr(socket, call)(*args)
    assert str(caught.value) == (
        "tests/test_dip.py::test_dip: stopped a connection to api.binance.com, for no "
        "test with a replay reaches the real exchange. Point the bot at "
        "binance_replay.ws_url and binance_replay.rest_url, or pass redirect=True to "
        "let it land on the replay server as it is, or take the binance_replay fixture "
        "off the test."
    )


@pytest.mark.parametrize("call", ["connect", "connect_ex"])
def test_a_socket_that_connects_by_name_raises(call: str) -> None:
    with (
        Guard(),
        socket.socket() as client,
        pytest.raises(ExchangeBlockedError),
    ):
        getattr(client, call)(("stream.binance.com", 9443))


def test_the_running_test_is_named_if_no_other_is() -> None:
    with Guard() as guard, pytest.raises(ExchangeBlockedError):
        socket.gethostbyname("api.binance.com")
    assert str(guard.blocked[0].test).endswith("named_if_no_other_is")


def test_outside_of_pytest_no_test_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.delenv("PYTEST_CURRENT_TEST")
        error = Guard().stop("api.binance.com")
    assert error.test is None
    assert str(error).startswith("stopped a connection to api.binance.com, ")


def test_what_a_client_hides_is_kept_once_for_each_host() -> None:
    with Guard(test="test_dip") as guard:
        for host in ("api.binance.com", "fapi.binance.com", "API.binance.com."):
            with pytest.raises(ExchangeBlockedError):
                socket.getaddrinfo(host, 443)
    assert [error.host for error in guard.blocked] == [
        "api.binance.com",
        "fapi.binance.com",
    ]
    assert all(error.__traceback__ is None for error in guard.blocked)


def test_others_are_reached_as_ever() -> None:
    before = socket.getaddrinfo("localhost", 80), socket.gethostbyname_ex("localhost")
    with Guard(redirect=HERE), socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            assert client.getpeername() == server.getsockname()
        after = (
            socket.getaddrinfo("localhost", 80),
            socket.gethostbyname_ex("localhost"),
        )
    assert after == before


def test_a_proxy_far_away_is_not_given_the_exchange() -> None:
    class FarAway(socket.socket):
        """A socket that was connected elsewhere, as tests cannot."""

        def getpeername(self) -> Any:
            return ("192.0.2.1", 3128)

    context = ssl.create_default_context()
    with Guard(), FarAway() as far, pytest.raises(ExchangeBlockedError):
        context.wrap_socket(far, server_hostname="api.binance.com")
    with Guard(), FarAway() as far:
        context.wrap_socket(far, server_hostname="example.org").close()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_tls_with_this_machine_under_any_name_is_the_tests_own_affair() -> None:
    context = ssl.create_default_context()
    near, other = socket.socketpair()
    with (
        Guard() as guard,
        near,
        other,
        context.wrap_socket(
            near, server_hostname="api.binance.com", do_handshake_on_connect=False
        ) as client,
    ):
        assert client.server_hostname == "api.binance.com"
    with Guard(), context.wrap_socket(socket.socket(), server_hostname="a.binance.us"):
        assert guard.blocked == ()


# Landing


@pytest.mark.parametrize(
    ("asked", "port"),
    [
        *((443, 4433), (9443, 4433), ("https", 4433), (b"443", 4433)),
        *((80, 8000), ("http", 8000), ("80", 8000)),
        *((None, 0), (0, 0), ("0", 0)),
    ],
)
def test_a_port_lands_on_its_like(asked: Any, port: int) -> None:
    with Guard(redirect=HERE):
        assert port_of("api.binance.com", asked) == ("127.0.0.1", port)


def test_an_answer_is_shaped_as_ever() -> None:
    expected = socket.getaddrinfo("127.0.0.1", 4433)
    with Guard(redirect=HERE):
        assert socket.getaddrinfo("stream.binance.com", 9443) == expected


def test_whoever_wants_ipv6_alone_hears_that_there_is_none() -> None:
    with Guard(redirect=HERE), pytest.raises(socket.gaierror):
        socket.getaddrinfo("api.binance.com", 443, socket.AF_INET6)


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_whoever_wants_ipv4_in_ipv6_gets_it() -> None:
    flags = socket.AI_V4MAPPED
    with Guard(redirect=HERE):
        found = socket.getaddrinfo(
            "api.binance.com", 443, socket.AF_INET6, socket.SOCK_STREAM, 0, flags
        )
    assert found[0][4][:2] == ("::ffff:127.0.0.1", 4433)


@pytest.mark.parametrize("lookup", ["gethostbyname_ex", "gethostbyaddr"])
def test_a_lookup_of_all_addresses_gives_ours(lookup: str) -> None:
    with Guard(redirect=HERE):
        found = getattr(socket, lookup)("api.binance.com")
    assert found == ("api.binance.com", [], ["127.0.0.1"])


def test_an_address_outlives_its_guard_as_an_address() -> None:
    with Guard(redirect=HERE):
        landing = socket.gethostbyname("api.binance.com")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect((landing, server.getsockname()[1]))
        assert client.getpeername() == server.getsockname()


# Several at once


def test_the_youngest_that_plays_the_market_wins() -> None:
    spot = Redirect(1, 1, b"", markets=("spot",))
    usdm = Redirect(2, 2, b"", markets=("usdm",))
    with Guard(redirect=usdm), Guard(redirect=HERE), Guard(redirect=spot), Guard():
        assert port_of("fapi.binance.com", 443)[1] == HERE.tls_port
        assert port_of("api.binance.com", 443)[1] == spot.tls_port
        assert port_of("www.binance.com", 443)[1] == spot.tls_port
    with Guard(redirect=usdm), Guard(redirect=spot):
        assert port_of("fapi.binance.com", 443)[1] == usdm.tls_port
        assert port_of("dapi.binance.com", 443)[1] == spot.tls_port


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_guards_end_in_any_order(order: tuple[int, ...]) -> None:
    guards = [Guard(test="0"), Guard(test="1", redirect=HERE), Guard(test="2")]
    for guard in guards:
        guard.install()
    standing = set(range(3))
    for number in order:
        guards[number].remove()
        standing.discard(number)
        if 1 in standing:
            assert port_of("api.binance.com", 443) == ("127.0.0.1", 4433)
        elif standing:
            with pytest.raises(ExchangeBlockedError, match=f"^{max(standing)}: "):
                socket.gethostbyname("api.binance.com")


def test_a_guard_stands_until_it_is_removed_as_often_as_installed() -> None:
    guard = Guard()
    guard.install()
    with guard:
        pass
    with pytest.raises(ExchangeBlockedError):
        socket.gethostbyname("api.binance.com")
    guard.remove()
    guard.remove()


def test_a_guard_goes_when_the_test_fails() -> None:
    with pytest.raises(ZeroDivisionError), Guard():
        raise ZeroDivisionError


def test_guards_come_and_go_on_many_threads() -> None:
    stopped, barrier = [], threading.Barrier(8)

    def come_and_go() -> None:
        barrier.wait()
        for _ in range(100):
            with Guard() as guard:
                try:
                    socket.gethostbyname("api.binance.com")
                except ExchangeBlockedError as error:
                    stopped.append((error, guard))

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stopped) == 800


def test_a_guard_that_cannot_stand_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(dict[str, str]):
        def __setitem__(self, name: str, value: str) -> None:
            raise PermissionError(name)

    with monkeypatch.context() as context:
        context.setattr(os, "environ", Closed())
        with pytest.raises(PermissionError):
            Guard().install()


# Proxies


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ({}, []),
        ({"NO_PROXY": ".corp, db"}, [".corp", "db"]),
        ({"no_proxy": "db,127.0.0.1"}, ["db", "127.0.0.1"]),
        ({"NO_PROXY": "seldom", "no_proxy": "first"}, ["first"]),
    ],
)
def test_no_proxy_is_used_for_the_exchange_and_for_us(
    before: dict[str, str], kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        for name in VARIABLES:
            context.delenv(name, raising=False)
        for name, value in before.items():
            context.setenv(name, value)
        with Guard(), Guard():
            listed = [os.environ[name].split(",") for name in VARIABLES]
        assert {n: os.environ[n] for n in VARIABLES if n in os.environ} == before
    assert listed[0] == listed[1]
    assert listed[0][: len(kept)] == kept
    assert {"127.0.0.1", "localhost", "::1"} <= set(listed[0])
    assert {"binance.com", ".binance.com", ".binancefuture.com"} <= set(listed[0])
    assert len(set(listed[0])) == len(listed[0])


def test_no_proxy_for_anybody_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setenv("no_proxy", "*")
        with Guard():
            assert [os.environ[name] for name in VARIABLES] == ["*", "*"]


def test_a_variable_changed_meanwhile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as context:
        context.delenv("NO_PROXY", raising=False)
        with Guard():
            os.environ["NO_PROXY"] = "changed"
        assert os.environ["NO_PROXY"] == "changed"
        del os.environ["NO_PROXY"]


# Cost and manners


def test_the_guard_imports_nothing_heavy() -> None:
    program = (
        "import sys, socket\n"
        "from pytest_binance_replay.guard import Guard\n"
        "with Guard():\n    pass\n"
        "print(sorted({'aiohttp', 'asyncio', 'ssl', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # looks at all there is
def test_a_blocked_attempt_keeps_nothing_of_the_bot_alive() -> None:
    class Bot:
        pass

    def dial() -> None:
        bots.append(id(bot := Bot()))
        assert bot
        socket.gethostbyname("api.binance.com")

    bots: list[int] = []
    with Guard() as guard:
        with suppress(ExchangeBlockedError):
            dial()
        gc.collect()
        assert not [o for o in gc.get_objects() if isinstance(o, Bot)]
        assert guard.blocked


def test_pytest_socket_and_the_guard_get_on() -> None:
    pytest_socket = pytest.importorskip("pytest_socket", reason="no pytest-socket")
    pytest_socket.disable_socket()
    with Guard():
        pytest_socket._remove_restrictions()  # as after every test
        with Guard(), socket.socket() as client, pytest.raises(ExchangeBlockedError):
            client.connect(("api.binance.com", 443))
    assert socket.socket.connect is pytest_socket._true_connect
    del socket.socket.connect
