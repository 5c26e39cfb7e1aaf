"""Where Python programs look hosts up and open connections, and how to step between.

Nearly all clients, on threads, asyncio or trio, come by the standard library's
`socket` and `ssl`. What has a resolver or TLS of its own in C needs hooks of its own:
uvloop, aiodns and aiofastnet, hooked when they are imported, be it later.

Hooks stay harmless once removed: one that somebody kept asks the same questions, and
nobody stands on the road any more.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import sys
import threading
from importlib.abc import Loader
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_ABSENT = object()


class Landing(str):
    """The loopback address that a host of the exchange was resolved to.

    Some clients take the address of an answer and forget its port. When one connects
    to this, it is known where it wanted to go.

    Args:
        address: The address itself.
        exchange_host: The name that was looked up.
        asked_port: The port that was asked for; None if none was.
    """

    __slots__ = ("asked_port", "exchange_host")

    exchange_host: str
    asked_port: object

    def __new__(cls, address: str, exchange_host: str, asked_port: object) -> Landing:
        """Make one; text itself is made here, not in `__init__`."""
        landing = super().__new__(cls, address)
        landing.exchange_host = exchange_host
        landing.asked_port = asked_port
        return landing

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """In a copy for elsewhere it is an address like others."""
        return str, (str(self),)


class Road(Protocol):
    """Who is asked before a connection goes out."""

    def turn(self, host: object, port: object) -> tuple[Landing, int] | None:
        """Say where a connection to a host goes instead; None lets it pass.

        The port is 0 where none was asked for.
        """

    def refuse(self, host: object) -> None:
        """Raise if a host must not be asked about at all."""

    def vet(self, context: Any, host: object, peer: socket.socket | None) -> None:
        """Raise, or prepare an `ssl.SSLContext`, before TLS begins with a host.

        The peer is None where it is not known.
        """


# Each takes what it replaces and whom to ask, and returns the replacement.


def _getaddrinfo(original: Any, road: Road) -> Any:
    def getaddrinfo(
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name that callers know
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        # Who asks for numbers only, asks nobody else.
        is_question = not flags & socket.AI_NUMERICHOST
        turned = road.turn(host, port) if is_question else None
        if turned is None:
            return original(host, port, family, type, proto, flags)
        landing, port = turned
        # Where there is no network at all, AI_ADDRCONFIG rules loopback out.
        flags &= ~socket.AI_ADDRCONFIG
        found = original(str(landing), port, family, type, proto, flags)
        return [(*info[:4], _put(landing, info[4])) for info in found]

    return getaddrinfo


def _put(landing: Landing, address: tuple[Any, ...]) -> tuple[Any, ...]:
    return (landing, *address[1:]) if address[0] == landing else address


def _gethostbyname(original: Any, road: Road) -> Any:
    def gethostbyname(name: Any) -> Any:
        turned = road.turn(name, None)
        return original(name) if turned is None else turned[0]

    return gethostbyname


def _gethostbyname_ex(original: Any, road: Road) -> Any:
    def gethostbyname_ex(name: Any) -> Any:
        turned = road.turn(name, None)
        return original(name) if turned is None else (name, [], [turned[0]])

    return gethostbyname_ex


def _connect(original: Any, road: Road) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and len(address) > 1:
            turned = road.turn(address[0], address[1])
            if turned is not None:
                address = (str(turned[0]), turned[1], *address[2:])
        return original(self, address)

    return connect


def _wrap_socket(original: Any, road: Road) -> Any:
    def wrap_socket(self: Any, sock: Any, *args: Any, **settings: Any) -> Any:
        road.vet(self, _argument(args, settings, 3, "server_hostname"), sock)
        return original(self, sock, *args, **settings)

    return wrap_socket


def _wrap_bio(original: Any, road: Road) -> Any:
    def wrap_bio(self: Any, *args: Any, **settings: Any) -> Any:
        road.vet(self, _argument(args, settings, 3, "server_hostname"), None)
        return original(self, *args, **settings)

    return wrap_bio


def _argument(
    args: tuple[Any, ...], settings: dict[str, Any], place: int, name: str
) -> Any:
    return args[place] if len(args) > place else settings.get(name)


def _create_connection(original: Any, road: Road) -> Any:
    async def create_connection(
        self: Any, factory: Any, host: Any = None, port: Any = None, **settings: Any
    ) -> Any:
        turned = road.turn(host, port)
        if turned is not None:
            # The name for TLS is the host's, unless one was given.
            if settings.get("ssl") and settings.get("server_hostname") is None:
                settings["server_hostname"] = turned[0].exchange_host
            host, port = str(turned[0]), turned[1]
        return await original(self, factory, host, port, **settings)

    return create_connection


def _fast_connection(original: Any, road: Road) -> Any:
    async def create_connection(
        loop: Any, factory: Any, host: Any = None, port: Any = None, **settings: Any
    ) -> Any:
        # It resolves and connects as others do, but hands the context to OpenSSL past
        # its methods.
        if settings.get("ssl"):
            name = settings.get("server_hostname")
            name = host if name is None else name
            if settings["ssl"] is True:
                settings["ssl"] = _usual_context(name)
            road.vet(settings["ssl"], name, None)
        return await original(loop, factory, host, port, **settings)

    return create_connection


def _usual_context(name: str) -> Any:
    """Return the `ssl.SSLContext` that `True` stands for."""
    import ssl  # noqa: PLC0415 - whoever asks for TLS has it; others are spared it

    context = ssl.create_default_context()
    context.check_hostname = bool(name)
    return context


def _loop_getaddrinfo(original: Any, road: Road) -> Any:
    async def getaddrinfo(self: Any, host: Any, port: Any, **settings: Any) -> Any:
        turned = road.turn(host, port)
        if turned is None:
            return await original(self, host, port, **settings)
        found = await original(self, str(turned[0]), turned[1], **settings)
        return [(*info[:4], _put(turned[0], info[4])) for info in found]

    return getaddrinfo


def _dns_getaddrinfo(original: Any, road: Road) -> Any:
    def getaddrinfo(
        self: Any, host: Any, family: int = 0, port: Any = None, **settings: Any
    ) -> Any:
        turned = road.turn(host, port)
        if turned is not None:
            host, port = str(turned[0]), turned[1]
        return original(self, host, family=family, port=port, **settings)

    return getaddrinfo


def _dns_gethostbyname(original: Any, road: Road) -> Any:
    def gethostbyname(self: Any, host: Any, *args: Any, **settings: Any) -> Any:
        turned = road.turn(host, None)
        name = host if turned is None else str(turned[0])
        return original(self, name, *args, **settings)

    return gethostbyname


def _dns_query(original: Any, road: Road) -> Any:
    def query(self: Any, host: Any, *args: Any, **settings: Any) -> Any:
        road.refuse(host)
        return original(self, host, *args, **settings)

    return query


class _Target(NamedTuple):
    """Something to be replaced, if it is there.

    Attributes:
        owner: Name of the class that has it; empty for the module itself.
        name: Its name.
        make: Makes the replacement.
    """

    owner: str
    name: str
    make: Callable[[Any, Road], Any]


class _Made(NamedTuple):
    """A hook, kept for the next time: one is made for every test.

    Attributes:
        original: What it asks for those whom it lets pass.
        replacement: The hook.
    """

    original: object
    replacement: object


_LOOKUPS = (
    _Target("", "gethostbyname", _gethostbyname),
    _Target("", "gethostbyname_ex", _gethostbyname_ex),
    _Target("", "gethostbyaddr", _gethostbyname_ex),
)
# Under `socket` lies `_socket`, and who imported getaddrinfo by its name long ago comes
# by there as well.
_STANDARD: dict[str, tuple[_Target, ...]] = {
    "_socket": (_Target("", "getaddrinfo", _getaddrinfo), *_LOOKUPS),
    "socket": _LOOKUPS,
}
_LATER: dict[str, tuple[_Target, ...]] = {
    "ssl": (
        _Target("SSLContext", "wrap_socket", _wrap_socket),
        _Target("SSLContext", "wrap_bio", _wrap_bio),
    ),
    "uvloop": (
        _Target("Loop", "create_connection", _create_connection),
        _Target("Loop", "getaddrinfo", _loop_getaddrinfo),
    ),
    "aiofastnet": (_Target("", "create_connection", _fast_connection),),
    "aiodns": (
        _Target("DNSResolver", "getaddrinfo", _dns_getaddrinfo),
        _Target("DNSResolver", "gethostbyname", _dns_gethostbyname),
        _Target("DNSResolver", "query", _dns_query),
        _Target("DNSResolver", "query_dns", _dns_query),
    ),
}


def _socket_class() -> type:
    """Return Python's own class, also while pytest-socket shows another.

    Where gevent has put one of its own in its place, that one is what all use.
    """
    kinds = socket.socket.__mro__
    return next((kind for kind in kinds if kind.__module__ == "socket"), kinds[0])


class Hooks:
    """Everything replaced in this process; installed and removed as one.

    Args:
        road: Who is asked.
    """

    def __init__(self, road: Road) -> None:
        self._road = road
        self._lock = threading.RLock()
        # What owners had by a name themselves, if anything, before it was replaced.
        self._before: dict[tuple[Any, str], object] = {}
        self._made: dict[tuple[Any, str], _Made] = {}
        self._is_installed = False

    def install(self) -> None:
        """Replace what is imported, and be there when the rest of it is.

        Called again, it renews what somebody else has put back since: pytest-socket
        does so after every test.
        """
        with self._lock:
            self._is_installed = True
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
            kind = _socket_class()
            self._replace(kind, "connect", _connect)
            self._replace(kind, "connect_ex", _connect)
            for module, targets in (*_STANDARD.items(), *_LATER.items()):
                if module in sys.modules:
                    self._hook(sys.modules[module], targets)

    def remove(self) -> None:
        """Put back what was there, except where somebody else has replaced it since."""
        with self._lock:
            self._is_installed = False
            with contextlib.suppress(ValueError):
                sys.meta_path.remove(self)
            for (owner, name), before in self._before.items():
                if vars(owner).get(name) is not self._made[owner, name].replacement:
                    continue
                if before is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)
            self._before.clear()

    def _hook(self, module: ModuleType, targets: Sequence[_Target]) -> None:
        for target in targets:
            owner = getattr(module, target.owner, None) if target.owner else module
            if hasattr(owner, target.name):
                self._replace(owner, target.name, target.make)

    def _replace(self, owner: Any, name: str, make: Callable[[Any, Road], Any]) -> None:
        target = owner, name
        made = self._made.get(target)
        before = vars(owner).get(name, _ABSENT)
        if made is not None and target in self._before and before is made.replacement:
            return
        original = getattr(owner, name)
        if made is None or made.original is not original:
            hook = functools.update_wrapper(make(original, self._road), original)
            made = self._made[target] = _Made(original, hook)
        self._before[target] = before
        setattr(owner, name, made.replacement)

    # Imports to come

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a module that is to be hooked as soon as it is imported.

        One question of a dictionary for every module imported; anything else than
        those few is left to the finders behind this one.
        """
        if name not in _LATER:
            return None
        finders = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in finders)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _HookingLoader(spec, spec.loader, self._hook_late)
        return spec

    def _hook_late(self, module: ModuleType) -> None:
        with self._lock:
            if self._is_installed:
                self._hook(module, _LATER[module.__name__])


class _HookingLoader(Loader):
    """Loads a module as its own loader does, then has it hooked."""

    def __init__(
        self, spec: ModuleSpec, loader: Loader, hook: Callable[[ModuleType], None]
    ) -> None:
        self._spec = spec
        self._loader = loader
        self._hook = hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; from here on only its own loader is seen of us two."""
        self._spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._hook(module)
