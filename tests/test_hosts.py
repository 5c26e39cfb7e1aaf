from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.hosts import (
    CERTIFICATE_NAMES,
    DOMAINS,
    UPSTREAMS,
    Upstream,
    find_exchange_host,
    is_clear_port,
    market_of_host,
    parse_upstream,
)

HOSTS = {
    "stream.binance.com": ("spot", "streams"),
    "data-stream.binance.vision": ("spot", "streams"),
    "stream.testnet.binance.vision": ("spot", "streams"),
    "demo-stream.binance.com": ("spot", "streams"),
    "api.binance.com": ("spot", "REST"),
    "api-gcp.binance.com": ("spot", "REST"),
    "api1.binance.com": ("spot", "REST"),
    "api4.binance.com": ("spot", "REST"),
    "data-api.binance.vision": ("spot", "REST"),
    "testnet.binance.vision": ("spot", "REST"),
    "api.binance.us": ("spot", "REST"),
    "ws-api.binance.com": ("spot", "websocket API"),
    "ws-api.testnet.binance.vision": ("spot", "websocket API"),
    "fstream.binance.com": ("usdm", "streams"),
    "fstream-auth.binance.com": ("usdm", "streams"),
    "fstream-mm.binance.com": ("usdm", "streams"),
    "demo-fstream.binance.com": ("usdm", "streams"),
    "stream.binancefuture.com": ("usdm", "streams"),
    "fstream.binancefuture.com": ("usdm", "streams"),
    "fapi.binance.com": ("usdm", "REST"),
    "demo-fapi.binance.com": ("usdm", "REST"),
    "testnet.binancefuture.com": ("usdm", "REST"),
    "ws-fapi.binance.com": ("usdm", "websocket API"),
    "dstream.binance.com": ("coinm", "streams"),
    "dstream.binancefuture.com": ("coinm", "streams"),
    "dapi.binance.com": ("coinm", "REST"),
    "ws-dapi.binance.com": ("coinm", "websocket API"),
    "eapi.binance.com": (None, None),
    "data.binance.vision": (None, None),
    "www.binance.com": (None, None),
    "binance.com": (None, None),
}


@pytest.mark.parametrize(("name", "expected"), HOSTS.items())
def test_a_host_tells_market_and_service(
    name: str, expected: tuple[str | None, str | None]
) -> None:
    found = find_exchange_host(name)
    assert found is not None
    assert found == (name, *expected)


@pytest.mark.parametrize(
    "host",
    [
        "API.Binance.COM",
        "api.binance.com.",
        b"api.binance.com",
        bytearray(b"api.binance.com"),
        "\N{FULLWIDTH LATIN SMALL LETTER A}pi\N{FULLWIDTH FULL STOP}binance.com",
    ],
)
def test_a_host_is_known_however_it_is_written(host: object) -> None:
    found = find_exchange_host(host)
    assert found is not None
    assert found.name == "api.binance.com"


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", 7, b"\xff", "ü" * 70),
        *("localhost", "127.0.0.1", "::1", "example.org"),
        *("notbinance.com", "binance.com.example.org", "api.binance.community"),
    ],
)
def test_others_hosts_are_not_the_exchanges(host: object) -> None:
    assert find_exchange_host(host) is None


@given(st.text() | st.binary())
def test_any_name_is_somebodys(host: object) -> None:
    found = find_exchange_host(host)
    assert found is None or found.name.endswith(DOMAINS)


@pytest.mark.parametrize(
    ("header", "market"),
    [
        ("fstream.binance.com", "usdm"),
        ("stream.binance.com:9443", "spot"),
        ("dstream.binance.com", None),
        ("www.binance.com", None),
        ("127.0.0.1:4321", None),
        ("[::1]:4321", None),
        (None, None),
    ],
)
def test_the_header_tells_the_market(header: str | None, market: str | None) -> None:
    assert market_of_host(header) == market


@pytest.mark.parametrize("port", [80, "80", b"80", "http", 8080])
def test_a_port_in_the_clear(port: object) -> None:
    assert is_clear_port(port)


@pytest.mark.parametrize("port", [443, 9443, "https", b"443", None, b"\xff"])
def test_any_other_port_is_for_tls(port: object) -> None:
    assert not is_clear_port(port)


@pytest.mark.parametrize("name", HOSTS)
def test_the_certificate_names_every_host(name: str) -> None:
    wildcard = f"*.{name.partition('.')[2]}"
    assert name in CERTIFICATE_NAMES or wildcard in CERTIFICATE_NAMES


@pytest.mark.parametrize(
    ("text", "ws_url", "rest_url"),
    [
        *((upstream.ws_url, *upstream) for upstream in UPSTREAMS.values()),
        (
            "wss://stream.binance.com:9443/",
            "wss://stream.binance.com:9443",
            "https://api.binance.com",
        ),
        ("ws://127.0.0.1:9443", "ws://127.0.0.1:9443", "http://127.0.0.1:9443"),
        ("wss://[::1]:9/stream", "wss://[::1]:9/stream", "https://[::1]:9"),
        (" wss://a , https://b:1/base/ ", "wss://a", "https://b:1/base"),
    ],
)
def test_an_upstream_is_one_address_or_two(
    text: str, ws_url: str, rest_url: str
) -> None:
    assert parse_upstream(text) == Upstream(ws_url, rest_url)


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "https://a", "wss://", "wss://a,", "wss://a,wss://b", "a.com"),
        *("wss://a?listenKey=x", "wss://a#b", "wss://a:port", "wss://a:0", "wss://[a"),
    ],
)
def test_what_is_no_address_is_no_upstream(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whose words nobody sees
        parse_upstream(text)


@given(st.text())
def test_any_text_is_an_upstream_or_is_not(text: str) -> None:
    with suppress(ValueError):
        assert parse_upstream(text).ws_url.startswith(("ws:", "wss:"))
