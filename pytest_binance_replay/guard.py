"""No road to the real exchange, or one that leads to the replay server.

While a guard is installed, what this process opens cannot reach the exchange: an
attempt raises before anything is sent, or lands on the replay server. Connections to
other hosts are not touched. Out of reach are connections that were open before, other
processes, and clients that neither resolve nor connect through Python. What records
from the exchange passes.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pytest_binance_replay.errors import ExchangeBlockedError
from pytest_binance_replay.hooks import Hooks, Landing
from pytest_binance_replay.hosts import (
    DOMAINS,
    LOOPBACK_NAMES,
    find_exchange_host,
    is_clear_port,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from types import TracebackType

    from pytest_binance_replay.hosts import ExchangeHost
    from pytest_binance_replay.streams import Market

OWN_THREADS = "binance-replay"
"""How the names of our own threads begin, on which no code under test ever runs."""

# Some clients match a domain's hosts only by the form with the dot, some only by the
# other.
_EXCHANGE_NAMES = tuple(name for d in DOMAINS for name in (d, f".{d}"))


@dataclass(frozen=True, slots=True)
class Redirect:
    """A replay server that takes the exchange's place.

    Attributes:
        tls_port: Its port for TLS, where connections to all ports of the exchange
            land but those in the clear.
        plain_port: Its port in the clear.
        ca_pem: Certificate of the authority to trust, in PEM.
        markets: The markets that it plays; if several servers are redirected to, a
            connection goes to one that plays its market. Empty means any.
        address: Loopback address of both ports.
    """

    tls_port: int
    plain_port: int
    ca_pem: bytes
    markets: tuple[Market, ...] = ()
    address: str = "127.0.0.1"

    def port_for(self, asked: object) -> int:
        """Return our port for one of the exchange's; 0 for none."""
        if not asked or asked in {"0", b"0"}:
            return 0
        return self.plain_port if is_clear_port(asked) else self.tls_port

    def suits(self, host: ExchangeHost) -> bool:
        """Return whether it plays a host's market, as far as that is known."""
        return not self.markets or host.market is None or host.market in self.markets


class Guard:
    """Stands between this process and the exchange while it is installed.

    Guards may be nested, overlap and be removed in any order, from any thread; what
    they replaced is put back when the last is removed. While one of them redirects,
    connections land there, on the youngest that plays the market; else the youngest
    raises.

    A context that the process made and redirected connections verified against keeps
    our authority in its list, for OpenSSL cannot take it out again; its key never
    leaves this process.

    Args:
        test: The test to name in errors; None names the one that pytest runs.
        redirect: Where connections land; None raises instead.
    """

    def __init__(
        self, *, test: str | None = None, redirect: Redirect | None = None
    ) -> None:
        self._test = test
        self._redirect = redirect
        self._blocked: dict[str, ExchangeBlockedError] = {}

    @property
    def redirect(self) -> Redirect | None:
        """Where connections land."""
        return self._redirect

    @property
    def blocked(self) -> tuple[ExchangeBlockedError, ...]:
        """What was stopped, one for each host, in order; also what a client hid."""
        return tuple(self._blocked.values())

    def install(self) -> None:
        """Stand on the road; each call needs a `remove()`."""
        _ROAD.add(self)

    def remove(self) -> None:
        """Leave the road; harmless when not there."""
        _ROAD.drop(self)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def stop(self, host: str) -> ExchangeBlockedError:
        """Note an attempt, and return the error to raise."""
        test = self._test or _running_test()
        # What is raised collects a traceback and all its frames; what is kept must not.
        self._blocked.setdefault(host, ExchangeBlockedError(host, test))
        return ExchangeBlockedError(host, test)


def _running_test() -> str | None:
    """Return what pytest is running, for it says so to all who ask."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0] or None


class _Road:
    """What all guards of this process have in common."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._guards: tuple[Guard, ...] = ()
        self._hooks = Hooks(self)
        self._bypass = _ProxyBypass((*LOOPBACK_NAMES, *_EXCHANGE_NAMES))

    def add(self, guard: Guard) -> None:
        with self._lock:
            try:
                self._hooks.install()
                if not self._guards:
                    self._bypass.set()
            except BaseException:
                self._open_unless_guarded()
                raise
            self._guards += (guard,)

    def drop(self, guard: Guard) -> None:
        with self._lock:
            guards = list(self._guards)
            if guard not in guards:
                return
            guards.remove(guard)
            self._guards = tuple(guards)
            self._open_unless_guarded()

    def _open_unless_guarded(self) -> None:
        if not self._guards:
            self._bypass.restore()
            self._hooks.remove()

    # Asked by the hooks, on any thread

    def turn(self, host: object, port: object) -> tuple[Landing, int] | None:
        if _is_own_thread():
            return None
        name, asked = host, port
        if isinstance(host, Landing):
            name, asked = host.exchange_host, host.asked_port or port
        guards = self._guards
        found = find_exchange_host(name) if guards else None
        if found is None:
            return None
        redirect = _choose(guards, found)
        if redirect is None:
            raise guards[-1].stop(found.name)
        landing = Landing(redirect.address, found.name, asked)
        return landing, redirect.port_for(asked)

    def refuse(self, host: object) -> None:
        guards, found = self._guards, find_exchange_host(host)
        if guards and found and not _is_own_thread():
            raise guards[-1].stop(found.name)

    def vet(self, context: Any, host: object, peer: socket.socket | None) -> None:
        # The exchange behind an address that is not ours: by a proxy that the program
        # was told of, or by an address it knew before.
        if peer is not None and not _is_near(peer):
            self.refuse(host)
        found = find_exchange_host(host)
        redirect = _choose(self._guards, found) if found else None
        if redirect is not None and context.verify_mode and not _is_own_thread():
            context.load_verify_locations(cadata=redirect.ca_pem.decode())


def _is_own_thread() -> bool:
    """Tell whether it is a recording that goes out, to the exchange itself."""
    return threading.current_thread().name.startswith(OWN_THREADS)


def _choose(guards: Iterable[Guard], host: ExchangeHost) -> Redirect | None:
    """Return where a connection lands; None if it must not be made."""
    found = [guard.redirect for guard in guards if guard.redirect is not None]
    suited = [redirect for redirect in found if redirect.suits(host)]
    return next(reversed(suited or found), None)


def _is_near(peer: socket.socket) -> bool:
    """Return whether a socket leads to this machine, or nowhere yet."""
    try:
        address = peer.getpeername()
    except OSError:
        return True
    if not isinstance(address, tuple):
        return True  # The path of a Unix socket.
    host = str(address[0]).removeprefix("::ffff:")
    return host.startswith("127.") or host == "::1"


class _ProxyBypass:
    """Names that no proxy is used for, while it is set.

    A proxy would be given the exchange's name and carry the connection out.

    Args:
        names: The names.
    """

    _VARIABLES = ("NO_PROXY", "no_proxy")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._before: dict[str, str | None] = {}
        self._value = ""

    def set(self) -> None:
        """Add the names to what is there."""
        self._before = {name: os.environ.get(name) for name in self._VARIABLES}
        # Most clients look at the one in lower case first, and then at no other.
        present = (self._before["no_proxy"] or self._before["NO_PROXY"] or "").strip()
        listed = [name.strip() for name in present.split(",") if name.strip()]
        added = [name for name in self._names if name not in listed]
        # An asterisk, which stands for all names, counts only while it is alone.
        self._value = present if "*" in listed else ",".join([*listed, *added])
        for name in self._VARIABLES:
            os.environ[name] = self._value

    def restore(self) -> None:
        """Put back what was there, unless somebody has changed it since."""
        for name, before in self._before.items():
            if os.environ.get(name) != self._value:
                continue
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
        self._before = {}


# One for the process, as is what it stands on.
_ROAD = _Road()
