"""The exchange's hosts: which market and which service a name stands for."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_binance_replay.streams import Market

DOMAINS = ("binance.com", "binance.vision", "binancefuture.com", "binance.us")
"""All hosts below these names belong to the exchange."""

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
"""This machine, as `NO_PROXY` and certificates name it."""

CERTIFICATE_NAMES = (
    *LOOPBACK_NAMES,
    *(name for domain in DOMAINS for name in (domain, f"*.{domain}")),
    # A wildcard stands for one label only.
    *(f"*.testnet.{domain}" for domain in DOMAINS),
)
"""What a certificate names that is to pass for the exchange's, and for our own."""


class Upstream(NamedTuple):
    """Where a recording is taken from.

    Attributes:
        ws_url: Base of its websockets, `wss://data-stream.binance.vision`, to which
            `/stream` and the futures routes are added.
        rest_url: Base of its REST calls, `https://data-api.binance.vision`.
    """

    ws_url: str
    rest_url: str


UPSTREAMS: Mapping[Market, Upstream] = MappingProxyType(
    {
        "spot": Upstream(
            "wss://data-stream.binance.vision", "https://data-api.binance.vision"
        ),
        "usdm": Upstream("wss://fstream.binance.com", "https://fapi.binance.com"),
    }
)
"""The exchange itself: of spot, the hosts for market data, which want no key.

Source:
    Binance Spot API docs, "Market Data Only URLs"; Binance USDⓈ-M Futures API docs,
    base endpoints.
"""

# Where a host of streams and that of its REST calls are not called alike.
_REST_HOSTS = {
    "stream.binance.com": "api.binance.com",
    "stream.binance.us": "api.binance.us",
    "stream.testnet.binance.vision": "testnet.binance.vision",
    "data-stream.binance.vision": "data-api.binance.vision",
    "fstream.binance.com": "fapi.binance.com",
    "demo-fstream.binance.com": "demo-fapi.binance.com",
    "stream.binancefuture.com": "testnet.binancefuture.com",
    "fstream.binancefuture.com": "testnet.binancefuture.com",
}

_SERVICE = re.compile(r"(?:\A|-)(ws-)?([fd]?)(stream|api)\d*(?:-|\Z)")
_CLEAR_PORTS = {"80", "8080", "http"}


class ExchangeHost(NamedTuple):
    """A host of the exchange.

    Attributes:
        name: Its name in lower case, without a final dot.
        market: The market it serves; None if the name does not tell.
        service: What it offers; None if the name does not tell.
    """

    name: str
    market: Literal["spot", "usdm", "coinm"] | None
    service: Literal["streams", "REST", "websocket API"] | None


def find_exchange_host(host: object) -> ExchangeHost | None:
    """Look a host up by its name.

    Args:
        host: A name as a program gives it to a resolver: text or bytes, in any case,
            with or without a final dot.

    Returns:
        The exchange's host; None for anybody else's, for numeric addresses and for
        what is no name at all.

    Source:
        Binance API docs, base endpoints of Spot, USDⓈ-M and COIN-M Futures and of
        their test networks.
    """
    name = _plain_name(host)
    for domain in DOMAINS:
        if name == domain:
            return ExchangeHost(name, None, None)
        if name.endswith(f".{domain}"):
            first_label = name.partition(".")[0]
            return _classify(name, first_label, domain)
    return None


def _plain_name(host: object) -> str:
    if isinstance(host, bytes | bytearray):
        host = host.decode("utf-8", "replace")
    if not isinstance(host, str):
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return ""
    return host.lower().removesuffix(".")


def _classify(name: str, label: str, domain: str) -> ExchangeHost:
    is_futures = domain == "binancefuture.com"
    if label == "testnet":
        return ExchangeHost(name, "usdm" if is_futures else "spot", "REST")
    found = _SERVICE.search(label)
    if found is None:
        return ExchangeHost(name, None, None)
    over_websocket, letter, service = found.groups()
    market: Literal["spot", "usdm", "coinm"] = "usdm" if is_futures else "spot"
    if letter:
        market = "usdm" if letter == "f" else "coinm"
    if service == "stream":
        return ExchangeHost(name, market, "streams")
    return ExchangeHost(name, market, "websocket API" if over_websocket else "REST")


def market_of_host(header: str | None) -> Market | None:
    """Return the market that a client means by the host it dialled.

    Args:
        header: Its `Host` header or the name it gave for TLS, with or without a port.

    Returns:
        The market; None if the host is not the exchange's, as with all clients that
        know our address, or does not tell, or is COIN-M's.
    """
    host = find_exchange_host((header or "").partition(":")[0])
    if host is None or host.market == "coinm":
        return None
    return host.market


def parse_upstream(text: str) -> Upstream:
    """Read where to record from: `WS_URL` or `WS_URL,REST_URL`.

    Without the second, REST calls go to the host that the exchange has beside that of
    the first, or else to the same host and port.

    Raises:
        ValueError: If these are no addresses.
    """
    ws_text, comma, rest_text = text.strip().partition(",")
    ws_url = _checked_url(ws_text, ("ws", "wss"))
    if comma:
        return Upstream(ws_url, _checked_url(rest_text, ("http", "https")))
    scheme, _, rest = ws_url.partition("://")
    authority = rest.partition("/")[0]
    host = authority.rpartition("@")[2].partition(":")[0].lower()
    beside = _REST_HOSTS.get(host, authority)
    return Upstream(ws_url, f"{'https' if scheme == 'wss' else 'http'}://{beside}")


def _checked_url(text: str, schemes: tuple[str, ...]) -> str:
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    is_sound = parts.hostname and parts.port != 0  # A port that is none raises here.
    if parts.scheme not in schemes or not is_sound or parts.query or parts.fragment:
        raise ValueError(text)
    return url


def is_clear_port(port: object) -> bool:
    """Return whether the exchange's port speaks HTTP in the clear, not TLS.

    Args:
        port: A number, or a number or a service as text or bytes.
    """
    text = port.decode("ascii", "replace") if isinstance(port, bytes) else str(port)
    return text in _CLEAR_PORTS
