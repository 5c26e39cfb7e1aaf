"""Certificates for the replay server: an authority of its own, made on the spot."""

from __future__ import annotations

import os
import ssl
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from pytest_binance_replay.errors import MissingExtraError
from pytest_binance_replay.hosts import CERTIFICATE_NAMES

if TYPE_CHECKING:
    from types import TracebackType

_ROOTS_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Authority:
    """A certificate authority, and one certificate that passes for the exchange's.

    Making one takes some milliseconds: one does for all servers of a process. Its
    private key exists in memory only; the server's is a file for as long as it takes
    to read it. The certificate is valid for 127.0.0.1, ::1, localhost and the
    exchange's hosts.

    Raises:
        MissingExtraError: If trustme is not installed.
    """

    def __init__(self) -> None:
        try:
            import trustme  # noqa: PLC0415 - of an extra, and heavy
        except ImportError as error:
            purpose = "TLS on the replay server"
            raise MissingExtraError(purpose, "tls") from error
        authority = trustme.CA(organization_name="pytest-binance-replay")
        self._certificate = authority.issue_cert(*CERTIFICATE_NAMES)
        self._ca_pem = authority.cert_pem.bytes()

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate in PEM, for clients to trust."""
        return self._ca_pem

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server that speaks HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        # A ticket arrives behind the handshake. Of a client that reads on one thread
        # and writes on another, as websockets' does, the first write may then wait for
        # ever: seen once in some hundred connections.
        context.num_tickets = 0
        return context

    @cached_property
    def _directory(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="binance-replay-")

    @cached_property
    def ca_path(self) -> Path:
        """A file with the authority's certificate; there until `close()`."""
        path = Path(self._directory.name) / "ca.pem"
        path.write_bytes(self._ca_pem)
        return path

    @cached_property
    def bundle_path(self) -> Path:
        """A file with the usual authorities and this one; there until `close()`.

        For settings that take the place of a program's own list. The usual ones are
        those that the environment names, else certifi's, else the system's.
        """
        path = Path(self._directory.name) / "bundle.pem"
        usual = _find_roots()
        before = b"" if usual is None else usual.read_bytes().rstrip() + b"\n"
        path.write_bytes(before + self._ca_pem)
        return path

    def close(self) -> None:
        """Remove the files; harmless when done already."""
        if "_directory" in vars(self):
            self._directory.cleanup()
            for name in ("_directory", "ca_path", "bundle_path"):
                vars(self).pop(name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _find_roots() -> Path | None:
    """Return the file of authorities that programs trust here, if there is one."""
    named = [os.environ.get(name) for name in _ROOTS_VARIABLES]
    system = ssl.get_default_verify_paths()
    candidates = [*named, _certifi_file(), system.cafile]
    paths = (Path(candidate) for candidate in candidates if candidate)
    return next((path for path in paths if path.is_file()), None)


def _certifi_file() -> str | None:
    try:
        import certifi  # noqa: PLC0415 - may not be installed
    except ImportError:
        return None
    return certifi.where()
