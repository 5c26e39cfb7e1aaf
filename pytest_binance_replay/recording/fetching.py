"""REST answers of an upstream: asked on a thread, again where that may help.

Certificates are verified, and proxies of the environment are used, as clients do.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import urllib.error
import urllib.request
from concurrent.futures import Future
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_binance_replay.cassette import is_payload
from pytest_binance_replay.clock import RealClock
from pytest_binance_replay.errors import ConnectionLostError, UpstreamError
from pytest_binance_replay.recording.capture import clean_origin, delays
from pytest_binance_replay.recording.refusals import (
    explained_refusal,
    untrusted,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from pytest_binance_replay.recording.upstream import Patience

_MOST_BYTES = 64 * 1024 * 1024
_REFUSAL_BYTES = 4096
_FREE_REQUESTS = 20  # before they are spread, to stay below the exchange's limits
_SPREAD_SECONDS = 0.5


class Fetcher:
    """Asks an upstream for REST answers.

    Args:
        rest_url: Base of its REST calls.
        trust: Authorities to verify with; None takes the system's.
        patience: How long to wait for what.
        random: Where the chance in delays comes from.

    Attributes:
        problems: Requests without an answer so far, and why, as sentences.
    """

    def __init__(
        self,
        rest_url: str,
        *,
        trust: ssl.SSLContext | None,
        patience: Patience,
        random: Random,
    ) -> None:
        self._base = rest_url.rstrip("/")
        self._trust = trust
        self._patience = patience
        self._random = random
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._clock = RealClock(loop)
        self._asked = 0
        self._free_seconds = loop.time()
        self.problems: dict[str, str] = {}

    def pauses(self) -> Iterator[float]:
        """Return how long to wait before each further attempt, in seconds."""
        first, most = self._patience.first_delay, self._patience.most_delay
        return delays(self._random, first=first, most=most)

    async def fetch(self, request: str) -> bytes | None:
        """Ask until there is an answer.

        Args:
            request: Path and query.

        Returns:
            The body, one line of JSON; None if the upstream refuses for good.
        """
        url = self._base + quote(request, safe="/?&=,:%")
        pauses = self.pauses()
        while True:
            await self._take_turn()
            pause = next(pauses)
            try:
                body = await get(url, trust=self._trust, seconds=self._patience.request)
            except ConnectionLostError as error:
                self.problems[request] = f"{request} has no answer: {error.reason}."
                pause = max(pause, error.retry_seconds or 0)
            except UpstreamError as error:
                self.problems[request] = str(error)
                return None
            else:
                if is_payload(body.strip()):
                    self.problems.pop(request, None)
                    return body.strip()
                problem = f"{request} is answered with what is not one line of JSON."
                self.problems[request] = problem
            await self._clock.sleep_until(self._now() + pause)

    async def _take_turn(self) -> None:
        """Spread requests when they are many."""
        self._asked += 1
        if self._asked > _FREE_REQUESTS:
            self._free_seconds = max(self._free_seconds, self._now()) + _SPREAD_SECONDS
            await self._clock.sleep_until(self._free_seconds)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: market data is where it was asked for."""


def _get(url: str, trust: ssl.SSLContext | None, seconds: float) -> bytes:
    """Ask by blocking.

    Raises:
        ConnectionLostError: If asking again may help.
        UpstreamError: If it does not.
    """
    context = trust or ssl.create_default_context()
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), _NoRedirect()
    )
    try:
        with opener.open(url, timeout=seconds) as answer:
            body: bytes = answer.read(_MOST_BYTES)
            left: int | None = answer.length
    except urllib.error.HTTPError as error:
        with error:
            status, retry = error.code, error.headers.get("Retry-After")
            refusal = error.read(_REFUSAL_BYTES)
        raise explained_refusal(status, retry, refusal, url) from None
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise untrusted(reason, clean_origin(url)) from None
        words = words_of(reason) if isinstance(reason, Exception) else str(reason)
        raise ConnectionLostError(words) from None
    except (OSError, HTTPException, ValueError) as error:
        raise ConnectionLostError(words_of(error)) from None
    if left:
        reason = f"the answer broke off, {left} bytes before its end"
        raise ConnectionLostError(reason)
    return body


async def get(url: str, *, trust: ssl.SSLContext | None, seconds: float) -> bytes:
    """Ask for something over REST, on a thread that nobody has to wait for.

    Args:
        url: What to ask for.
        trust: Authorities to verify with; None takes the system's.
        seconds: How long to wait for anything.

    Returns:
        The body of an answer with status 200.

    Raises:
        ConnectionLostError: If there is none, and asking again may help.
        UpstreamError: If that is of no use.
    """
    answer: Future[bytes] = Future()
    # So that it cannot be cancelled: whoever does is not waiting any more.
    answer.set_running_or_notify_cancel()

    def ask() -> None:
        try:
            answer.set_result(_get(url, trust, seconds))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            answer.set_exception(error)

    threading.Thread(target=ask, name="binance-replay-rest", daemon=True).start()
    return await asyncio.wrap_future(answer)
