from __future__ import annotations

import _socket
import asyncio
import contextlib
import copy
import importlib
import pickle
import socket
import ssl
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from pytest_binance_replay.hooks import (
    Hooks,
    Landing,
    _create_connection,
    _dns_getaddrinfo,
    _dns_gethostbyname,
    _dns_query,
    _fast_connection,
    _loop_getaddrinfo,
)

REPLACED = {
    "_socket": ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"],
    "socket": ["gethostbyname", "gethostbyname_ex", "gethostbyaddr"],
}
METHODS: dict[type, list[str]] = {
    socket.socket: ["connect", "connect_ex"],
    ssl.SSLContext: ["wrap_socket", "wrap_bio"],
}


class Witness:
    """Lets everything pass, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def turn(self, host: object, port: object) -> tuple[Landing, int] | None:
        self.asked.append((host, port))
        return None

    def refuse(self, host: object) -> None:
        self.asked.append((host,))

    def vet(self, context: Any, host: object, peer: socket.socket | None) -> None:
        self.asked.append((host, peer))


def snapshot() -> list[object]:
    """Everything that hooks replace, as it is now."""
    modules = {name: importlib.import_module(name) for name in REPLACED}
    functions = [getattr(modules[m], n) for m, names in REPLACED.items() for n in names]
    methods = [getattr(kind, name) for kind, names in METHODS.items() for name in names]
    finders = [finder for finder in sys.meta_path if isinstance(finder, Hooks)]
    return [*functions, *methods, *finders]


class Vetter(Witness):
    """Remembers which context was for whom."""

    def __init__(self) -> None:
        super().__init__()
        self.vetted: list[tuple[object, object]] = []

    def vet(self, context: Any, host: object, peer: socket.socket | None) -> None:
        self.vetted.append((context, host))


class Turner(Witness):
    """Sends everybody to one port."""

    def turn(self, host: object, port: object) -> tuple[Landing, int] | None:
        super().turn(host, port)
        return Landing("127.0.0.1", str(host), port), 4433


def test_removed_a_thousand_times_everything_is_what_it_was() -> None:
    before = snapshot()
    hooks = Hooks(Witness())
    for _ in range(1000):
        hooks.install()
        hooks.remove()
    assert snapshot() == before


def test_what_others_replaced_meanwhile_stays_theirs() -> None:
    original = socket.gethostbyname
    hooks = Hooks(Witness())
    hooks.install()
    theirs = socket.gethostbyname = partial(socket.gethostbyname)
    hooks.remove()
    seen, socket.gethostbyname = socket.gethostbyname, original
    assert seen is theirs
    assert theirs("127.0.0.1") == "127.0.0.1"


def test_what_others_put_back_meanwhile_is_hooked_again() -> None:
    before, original = snapshot(), socket.gethostbyname
    witness = Witness()
    hooks = Hooks(witness)
    for _ in range(3):
        hooks.install()
        socket.gethostbyname("127.0.0.1")
        socket.gethostbyname = original
    hooks.install()
    hooks.remove()
    assert len(witness.asked) == 3
    assert snapshot() == before


def test_a_name_taken_long_ago_is_asked_about_too() -> None:
    from socket import getaddrinfo

    witness = Witness()
    hooks = Hooks(witness)
    hooks.install()
    found = getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    hooks.remove()
    assert witness.asked == [("127.0.0.1", 80)]
    assert found == getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


def test_a_question_about_numbers_is_nobodys_business() -> None:
    witness = Witness()
    hooks = Hooks(witness)
    hooks.install()
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("api.binance.com", 80, flags=socket.AI_NUMERICHOST)
    hooks.remove()
    assert not witness.asked


@pytest.mark.parametrize("keywords", [True, False])
def test_tls_is_asked_about_however_it_is_called(keywords: bool) -> None:
    witness, context = Witness(), ssl.create_default_context()
    hooks, bio = Hooks(witness), ssl.MemoryBIO
    hooks.install()
    if keywords:
        context.wrap_bio(bio(), bio(), server_hostname="example.org")
    else:
        context.wrap_bio(bio(), bio(), False, "example.org")
    hooks.remove()
    assert witness.asked == [("example.org", None)]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_the_path_of_a_unix_socket_is_no_host() -> None:
    witness = Witness()
    hooks = Hooks(witness)
    hooks.install()
    with socket.socket(socket.AF_UNIX) as client:
        code = client.connect_ex("/no/such/socket")
    hooks.remove()
    assert code != 0
    assert not witness.asked


def test_a_socket_class_of_somebody_elses_is_hooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Theirs(_socket.socket):
        """As that of gevent, which is not derived from Python's own."""

    monkeypatch.setattr(socket, "socket", Theirs)
    witness = Witness()
    hooks = Hooks(witness)
    hooks.install()
    with contextlib.closing(Theirs()) as client:
        client.connect_ex(("127.0.0.1", 1))
    hooks.remove()
    assert witness.asked == [("127.0.0.1", 1)]
    assert not {"connect", "connect_ex"} & set(vars(Theirs))


def test_a_landing_is_an_address() -> None:
    landing = Landing("127.0.0.1", "api.binance.com", 443)
    assert landing == "127.0.0.1"
    assert (landing.exchange_host, landing.asked_port) == ("api.binance.com", 443)


def test_a_copied_landing_is_plain_text() -> None:
    landing = Landing("127.0.0.1", "api.binance.com", 443)
    for made in (copy.copy(landing), pickle.loads(pickle.dumps(landing))):
        assert made == "127.0.0.1"
        assert type(made) is str


# uvloop, aiodns and aiofastnet, without them


def echo(*args: Any, **settings: Any) -> Any:
    return args[1:], settings


async def async_echo(*args: Any, **settings: Any) -> Any:
    return args[1:], settings


NAMED = {"server_hostname": "api.binance.com"}


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({}, {}),
        ({"ssl": True}, {"ssl": True, **NAMED}),
        ({"ssl": True, "server_hostname": None}, {"ssl": True, **NAMED}),
        ({"ssl": True, "server_hostname": "x"}, {"ssl": True, "server_hostname": "x"}),
    ],
)
def test_a_loops_connection_keeps_the_name_for_tls(
    given: dict[str, Any], passed: dict[str, Any]
) -> None:
    connect = _create_connection(async_echo, Turner())
    done = asyncio.run(connect(None, "factory", "api.binance.com", 443, **given))
    assert done == (("factory", "127.0.0.1", 4433), passed)


def test_a_loops_connection_to_others_is_passed_on() -> None:
    connect = _create_connection(async_echo, Witness())
    done = asyncio.run(connect(None, "factory", "x", 443, ssl=True))
    assert done == (("factory", "x", 443), {"ssl": True})


@pytest.mark.parametrize(
    ("given", "name"),
    [({}, "host"), ({"server_hostname": None}, "host"), (NAMED, "api.binance.com")],
)
@pytest.mark.parametrize("context", [True, ssl.create_default_context()])
def test_tls_past_the_contexts_methods_is_asked_about(
    given: dict[str, Any], name: str, context: Any
) -> None:
    road = Vetter()
    connect = _fast_connection(async_echo, road)
    call = connect("loop", "factory", "host", 443, ssl=context, **given)
    (*args, host, port), settings = asyncio.run(call)
    assert (args, host, port) == (["factory"], "host", 443)
    assert road.vetted == [(settings["ssl"], name)]
    assert isinstance(settings["ssl"], ssl.SSLContext)
    assert context in {True, settings["ssl"]}


def test_the_context_made_for_no_name_checks_none() -> None:
    connect = _fast_connection(async_echo, Witness())
    call = connect("loop", "factory", "x", 443, ssl=True, server_hostname="")
    _, settings = asyncio.run(call)
    assert not settings["ssl"].check_hostname


def test_a_connection_in_the_clear_is_not_asked_about() -> None:
    witness = Witness()
    connect = _fast_connection(async_echo, witness)
    done = asyncio.run(connect("loop", "factory", "x", 80))
    assert done == (("factory", "x", 80), {})
    assert not witness.asked


def test_a_loops_lookup_gives_a_landing() -> None:
    async def resolve(*args: Any) -> Any:
        return [(2, 1, 6, "", args[1:])]

    lookup = _loop_getaddrinfo(resolve, Turner())
    found = asyncio.run(lookup(None, "api.binance.com", 443))
    assert found == [(2, 1, 6, "", ("127.0.0.1", 4433))]
    assert found[0][4][0].exchange_host == "api.binance.com"


def test_a_loops_lookup_of_others_is_passed_on() -> None:
    lookup = _loop_getaddrinfo(async_echo, Witness())
    assert asyncio.run(lookup(None, "x", 443, type=1)) == (("x", 443), {"type": 1})


@pytest.mark.parametrize(
    ("road", "expected"), [(Witness(), ("x", 443)), (Turner(), ("127.0.0.1", 4433))]
)
def test_another_resolver_is_given_the_address(
    road: Witness, expected: tuple[str, int]
) -> None:
    host, port = expected
    lookup = _dns_getaddrinfo(echo, road)
    assert lookup(None, "x", port=443) == ((host,), {"family": 0, "port": port})
    assert _dns_gethostbyname(echo, road)(None, "x", 2) == ((host, 2), {})


def test_another_resolver_is_asked_for_records_of_others() -> None:
    witness = Witness()
    assert _dns_query(echo, witness)(None, "x", "A") == (("x", "A"), {})
    assert witness.asked == [("x",)]


# Imports to come

LATE_TLS = """
import sys
from pytest_binance_replay.hooks import Hooks
assert not {"asyncio", "ssl", "aiohttp", "uvloop", "aiodns"} & set(sys.modules)

class Road:
    def turn(self, host, port): return None
    def refuse(self, host): pass
    def vet(self, context, host, peer): print("asked about", host)

hooks = Hooks(Road())
hooks.install()
import ssl
context = ssl.create_default_context()
context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.org")
assert ssl.__spec__.loader is ssl.__loader__
assert type(ssl.__loader__).__name__ == "SourceFileLoader"
hooked = ssl.SSLContext.wrap_bio
hooks.remove()
assert ssl.SSLContext.wrap_bio is hooked.__wrapped__
assert hooks not in sys.meta_path
"""


def test_a_module_imported_later_is_hooked_then() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE_TLS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "asked about example.org\n"


def test_hooks_can_go_when_the_finders_were_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = snapshot()
    hooks = Hooks(Witness())
    hooks.install()
    others = [finder for finder in sys.meta_path if finder is not hooks]
    monkeypatch.setattr(sys, "meta_path", others)
    hooks.remove()
    assert sys.meta_path is others
    monkeypatch.undo()
    hooks.remove()
    assert snapshot() == before


def test_a_module_that_is_barred_is_no_hindrance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiodns", None)
    hooks = Hooks(Witness())
    hooks.install()
    hooks.remove()


def test_a_module_that_is_not_there_is_not_found() -> None:
    hooks = Hooks(Witness())
    hooks.install()
    assert hooks.find_spec("uvloop", ["/no/such/folder"]) is None
    assert hooks.find_spec("json") is None
    hooks.remove()


INTERRUPTED = """
import sys
from importlib.util import module_from_spec
from pytest_binance_replay.hooks import Hooks
hooks = Hooks(None)
hooks.install()
spec = hooks.find_spec("ssl")
hooks.remove()
ssl = sys.modules["ssl"] = module_from_spec(spec)
spec.loader.exec_module(ssl)
assert ssl.SSLContext.wrap_bio.__module__ == "ssl"
assert not hasattr(ssl.SSLContext.wrap_bio, "__wrapped__")
"""


def test_an_import_that_ends_after_the_hooks_is_left_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
