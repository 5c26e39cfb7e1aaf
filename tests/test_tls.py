from __future__ import annotations

import ssl
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_binance_replay.errors import MissingExtraError
from pytest_binance_replay.hosts import CERTIFICATE_NAMES
from pytest_binance_replay.tls import Authority

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

needs_trustme = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("trustme") is None,
    reason="trustme, of the extra tls, is not installed",
)


@pytest.fixture(autouse=True)
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files that a test can look through."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Do a handshake in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname=host)
    waiting = [theirs, ours]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)


def test_without_trustme_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(MissingExtraError) as caught:
        Authority()
    assert str(caught.value) == (
        "TLS on the replay server needs a package that is not installed: "
        'pip install "pytest-binance-replay[tls]"'
    )


@needs_trustme
@pytest.mark.parametrize(
    "host",
    [
        *(name.replace("*", "any") for name in CERTIFICATE_NAMES),
        *("stream.binance.com", "ws-api.testnet.binance.vision"),
    ],
)
def test_who_trusts_the_authority_trusts_the_server(host: str) -> None:
    authority = Authority()
    client = ssl.create_default_context(cadata=authority.ca_pem.decode())
    shake_hands(authority.server_context(), client, host)


@needs_trustme
def test_the_strictest_of_clients_is_content() -> None:
    authority = Authority()
    client = ssl.create_default_context(cadata=authority.ca_pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    shake_hands(authority.server_context(), client, "fstream.binance.com")


@needs_trustme
def test_nothing_follows_the_handshake() -> None:
    assert Authority().server_context().num_tickets == 0


@needs_trustme
def test_it_passes_for_nobody_else() -> None:
    authority = Authority()
    client = ssl.create_default_context(cadata=authority.ca_pem.decode())
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(authority.server_context(), client, "example.org")


@needs_trustme
def test_who_trusts_another_authority_does_not_trust_the_server() -> None:
    client = ssl.create_default_context(cadata=Authority().ca_pem.decode())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(Authority().server_context(), client, "api.binance.com")


@needs_trustme
def test_no_private_key_is_left_on_disk(own_tmp: Path) -> None:
    with Authority() as authority:
        authority.server_context()
        assert not list(own_tmp.iterdir())
        assert authority.ca_path.read_bytes() == authority.ca_pem
        assert authority.bundle_path.exists()
        files = [path for path in own_tmp.rglob("*") if path.is_file()]
        assert {file.name for file in files} == {"ca.pem", "bundle.pem"}
        assert not [f for f in files if b"PRIVATE KEY" in f.read_bytes()]
    assert not list(own_tmp.iterdir())


@needs_trustme
def test_closing_twice_is_harmless_and_files_come_back_when_wanted() -> None:
    authority = Authority()
    authority.close()
    first = authority.ca_path
    authority.close()
    authority.close()
    assert not first.exists()
    assert authority.ca_path.read_bytes() == authority.ca_pem
    authority.close()


@needs_trustme
@pytest.mark.parametrize("variable", VARIABLES)
def test_the_bundle_has_what_the_environment_trusts(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority()
    corporate = tmp_path / "corporate.pem"
    corporate.write_bytes(other.ca_pem)
    monkeypatch.setenv(variable, str(corporate))
    with Authority() as authority:
        assert authority.bundle_path.read_bytes() == other.ca_pem + authority.ca_pem
        client = ssl.create_default_context(cafile=str(authority.bundle_path))
        shake_hands(authority.server_context(), client, "api.binance.com")
        shake_hands(other.server_context(), client, "api.binance.com")


@needs_trustme
def test_the_bundle_has_what_certifi_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    certifi = pytest.importorskip("certifi", reason="certifi is not installed")
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    with Authority() as authority:
        bundle = authority.bundle_path.read_bytes()
    assert bundle.startswith(Path(certifi.where()).read_bytes().rstrip())
    assert bundle.endswith(authority.ca_pem)


@needs_trustme
def test_the_bundle_has_what_the_system_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "certifi", None)
    system = ssl.get_default_verify_paths().cafile
    with Authority() as authority:
        bundle = authority.bundle_path.read_bytes()
    before = Path(system).read_bytes().rstrip() + b"\n" if system else b""
    assert bundle == before + authority.ca_pem


@needs_trustme
def test_the_bundle_is_never_without_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "certifi", None)
    nothing = ssl.get_default_verify_paths()._replace(cafile="")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    with Authority() as authority:
        assert authority.bundle_path.read_bytes() == authority.ca_pem
