"""What it means when an upstream refuses, closes or stays away, and what to do."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from websockets.exceptions import InvalidStatus, InvalidURI

from pytest_binance_replay.errors import ConnectionLostError, UpstreamError
from pytest_binance_replay.recording.capture import clean_origin

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed

    from pytest_binance_replay.errors import ReplayError

_FORBIDDEN, _TEAPOT, _TOO_MANY, _UNAVAILABLE_THERE = 403, 418, 429, 451
_SERVER_ERRORS = range(500, 600)
_ABNORMAL = "1006"
_SHOWN_CHARACTERS = 200
_LEFT_ALONE_SECONDS = 60.0  # where it does not say for how long


def refused_subscription(url: str, words: str) -> UpstreamError:
    """Explain an error in place of an acknowledgement."""
    return UpstreamError(
        f"{clean_origin(url)} refuses the subscription: {words.rstrip('.')}. Check the "
        "names of the streams, and --market."
    )


def close_reason(error: ConnectionClosed) -> str:
    """Return the code of the side that closed first, and its words."""
    close = error.rcvd or error.sent
    if error.rcvd is not None and error.sent is not None and not error.rcvd_then_sent:
        close = error.sent
    if close is None:
        return _ABNORMAL
    return f"{close.code} {close.reason}".strip()


def explained(error: Exception, url: str) -> ReplayError:
    """Tell failures to connect that may pass from those that do not."""
    origin = clean_origin(url)
    if isinstance(error, InvalidStatus):
        headers = error.response.headers
        return _explained_status(
            error.response.status_code, headers.get("Retry-After"), origin
        )
    if isinstance(error, InvalidURI):
        return UpstreamError(f"{url!r} is no address of a websocket. Correct it.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(error, origin)
    return ConnectionLostError(words_of(error))


def untrusted(error: ssl.SSLCertVerificationError, origin: str) -> UpstreamError:
    """Explain a certificate that cannot be verified."""
    why = error.verify_message or words_of(error)
    return UpstreamError(
        f"{origin} shows a certificate that is not trusted here: {why}. Install the "
        "authority of your proxy, if you are behind one, or name it in SSL_CERT_FILE."
    )


def words_of(error: BaseException) -> str:
    """Return what an error says, in one line without a full stop."""
    # Some have no words, some have several lines of them, and asyncio has its own.
    if isinstance(error, ConnectionError) and error.errno is not None:
        return os.strerror(error.errno)
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def _explained_status(status: int, retry_after: str | None, origin: str) -> ReplayError:
    """Explain an HTTP status other than the one wanted.

    Source:
        Binance Spot API docs, "HTTP Return Codes" and "Limits": 429 is a limit broken,
        418 a ban for going on, 403 the firewall's, and both name `Retry-After`.
    """
    if status in {_TEAPOT, _TOO_MANY}:
        known = retry_after is not None and retry_after.strip().isdecimal()
        seconds = float(retry_after or 0) if known else _LEFT_ALONE_SECONDS
        return ConnectionLostError(f"HTTP {status}, too many requests", seconds)
    if status in _SERVER_ERRORS:
        return ConnectionLostError(f"HTTP {status}")
    return UpstreamError(f"{origin} answers HTTP {status}{_ADVICE.get(status, _OTHER)}")


_OTHER = ". Check the upstream's address, and --market."
_ADVICE = {
    _UNAVAILABLE_THERE: (
        ": it does not serve the place you connect from. Spot market data has hosts "
        "without that limit, wss://data-stream.binance.vision and "
        "https://data-api.binance.vision; or name another with --upstream."
    ),
    _FORBIDDEN: (
        ": its firewall refuses this machine. Wait some minutes, or record from "
        "another address."
    ),
}


def explained_refusal(
    status: int, retry_after: str | None, body: bytes, url: str
) -> ReplayError:
    """Explain an answer over REST that is none.

    Args:
        status: HTTP status.
        retry_after: The header of that name.
        body: What came with it, in part.
        url: What was asked.
    """
    origin = clean_origin(url)
    error = _explained_status(status, retry_after, origin)
    if status in _ADVICE or not isinstance(error, UpstreamError):
        return error
    words = " ".join(body.decode(errors="replace").split())[:_SHOWN_CHARACTERS]
    target = url.removeprefix(origin)
    return UpstreamError(f"{target} is answered with HTTP {status}: {words}")
