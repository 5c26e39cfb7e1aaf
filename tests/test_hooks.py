from __future__ import annotations

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

from pytest_binance_replay.hooks import Hooks, Landing

REPLACED = {
    "_socket": ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"],
    "socket": ["gethostbyname", "gethostbyname_ex", "gethostbyaddr"],
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
    classes = (socket.socket, ssl.SSLContext, ssl.SSLSocket)
    return [*functions, *(dict(vars(kind)) for kind in classes), list(sys.meta_path)]


def test_removed_a_thousand_times_everything_is_what_it_was() -> None:
    before = snapshot()
    hooks = Hooks(Witness())
    for _ in range(1000):
        hooks.install()
        hooks.remove()
    assert snapshot() == before


def test_what_others_replaced_meanwhile_stays_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = socket.gethostbyname
    witness = Witness()
    hooks = Hooks(witness)
    hooks.install()
    theirs = partial(socket.gethostbyname)
    monkeypatch.setattr(socket, "gethostbyname", theirs)
    hooks.remove()
    assert socket.gethostbyname is theirs
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    monkeypatch.setattr(socket, "gethostbyname", original)


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


def test_a_landing_is_an_address() -> None:
    landing = Landing("127.0.0.1", "api.binance.com", 443)
    assert landing == "127.0.0.1"
    assert (landing.exchange_host, landing.asked_port) == ("api.binance.com", 443)


def test_a_copied_landing_is_plain_text() -> None:
    landing = Landing("127.0.0.1", "api.binance.com", 443)
    for made in (copy.copy(landing), pickle.loads(pickle.dumps(landing))):
        assert made == "127.0.0.1"
        assert type(made) is str


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
