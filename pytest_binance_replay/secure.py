"""What a replay needs beside its plain port: TLS, and the road that leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_binance_replay.guard import Guard, Redirect
from pytest_binance_replay.proxy import TunnelProxy, proxy_environment
from pytest_binance_replay.server import listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.background import LoopThread
    from pytest_binance_replay.server import ReplayServer
    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.tls import Authority


class SecurePort:
    """A second port, for TLS, opened when somebody asks for it.

    Args:
        thread: Where the server runs.
        host: Address to listen on.
        authority: Returns the authority that vouches for it.
    """

    def __init__(
        self, thread: LoopThread, host: str, authority: Callable[[], Authority]
    ) -> None:
        self.authority = authority()
        self._thread = thread
        self._listener = listen(host, 0)
        self._context = self.authority.server_context()
        self._proxy: TunnelProxy | None = None
        self._proxy_port = 0

    @property
    def port(self) -> int:
        """The port listened on."""
        port: int = self._listener.getsockname()[1]
        return port

    def serve_with(self, server: ReplayServer) -> None:
        """Let a server answer here, too."""
        self._thread.ask(lambda: server.serve_on(self._listener, self._context))

    def guard(self, test: str | None, plain_port: int, market: Market | None) -> Guard:
        """Return a guard that leads connections to the exchange here.

        Args:
            test: The test to name in errors.
            plain_port: Port for connections in the clear.
            market: The only market on the tape; None if there are two.
        """
        redirect = Redirect(
            tls_port=self.port,
            plain_port=plain_port,
            ca_pem=self.authority.ca_pem,
            markets=() if market is None else (market,),
        )
        return Guard(test=test, redirect=redirect)

    def environment(self, plain_port: int) -> dict[str, str]:
        """Return the environment that leads a subprocess here, through a proxy."""
        if self._proxy is None:
            listener = listen("127.0.0.1", 0)
            self._proxy_port = listener.getsockname()[1]
            self._proxy = TunnelProxy(tls_port=self.port, plain_port=plain_port)
            self._thread.call(self._proxy.start(listener))
        url = f"http://127.0.0.1:{self._proxy_port}"
        authority = self.authority
        return proxy_environment(url, authority.ca_path, authority.bundle_path)

    def close(self) -> None:
        """Close the port, and the proxy if there is one."""
        if self._proxy is not None:
            self._thread.call(self._proxy.close())
        self._listener.close()
