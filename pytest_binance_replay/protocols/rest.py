"""REST market data: a path and a query in, status and body out.

Recorded answers are given as they were recorded. `ping` and `time` are answered by
the replay itself, for its clock is the tape's; clients ask them of either market's
base, so both bases answer. Whatever else the cassettes do not hold is an error that
says so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_binance_replay.cassette import RestAnswer

JSON_TYPE = "application/json;charset=UTF-8"

_BASES = ("/api/v3/", "/fapi/v1/")
_ORIGIN = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_MARKET = re.compile(r"\A/(?:spot|usdm)(?=/)")
_PRIVATE_PARAMETERS = frozenset({"timestamp", "recvWindow", "signature"})
_SHOWN_ANSWERS = 10


@dataclass(frozen=True, slots=True)
class RestReply:
    """An answer over HTTP.

    Attributes:
        status: HTTP status.
        body: JSON text.
        known: Whether it is the exchange's answer; False where the cassettes hold
            none and the text is ours.
    """

    status: int
    body: bytes
    known: bool = True


RequestKey = tuple[str, tuple[tuple[str, str], ...]]


def request_key(target: str) -> RequestKey:
    """Return what makes two requests the same: path and parameters, in any order.

    Args:
        target: Path and query. An origin in front does not count, nor does a market
            (`/spot`, `/usdm`), nor do the parameters that only a signed request has.
    """
    path, _, query = _ORIGIN.sub("", target.partition("#")[0]).partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    kept = (pair for pair in parameters if pair[0] not in _PRIVATE_PARAMETERS)
    return _MARKET.sub("", path), tuple(sorted(kept))


def plain_request(target: str) -> str:
    """Write a request down the same way however it was asked, and without secrets.

    Example:
        >>> plain_request("/spot/api/v3/depth?symbol=BTCUSDT&limit=5&signature=c0ffee")
        '/api/v3/depth?limit=5&symbol=BTCUSDT'
    """
    path, parameters = request_key(target)
    query = urlencode(parameters, quote_via=quote, safe='[]",:')
    return f"{path}?{query}" if query else path


def newest_answer(
    target: str, recorded: Iterable[RestAnswer], now_us: int
) -> RestAnswer | None:
    """Return the recorded answer that was in force at a time.

    Args:
        target: Path and query.
        recorded: Recorded answers, oldest first.
        now_us: Time at which the tape stands, microseconds.

    Returns:
        The newest answer recorded by then; the first one, if all came later; None if
        the request was never recorded.
    """
    key = request_key(target)
    same = [answer for answer in recorded if request_key(answer.request) == key]
    past = [answer for answer in same if answer.receive_time_us <= now_us]
    return past[-1] if past else next(iter(same), None)


def answer_request(
    target: str,
    recorded: Iterable[RestAnswer],
    now_us: int,
    *,
    time_unit: str | None = None,
) -> RestReply:
    """Answer a GET request.

    Args:
        target: Path and query.
        recorded: Recorded answers of the cassettes, oldest first.
        now_us: Time at which the tape stands, microseconds since the epoch.
        time_unit: The header `X-MBX-TIME-UNIT`; None if it was not sent. It holds for
            `time` on spot; recorded answers stay as they are.

    Source:
        Binance Spot API docs, "General endpoints" and "General API information";
        Binance USDⓈ-M Futures API docs, "Market data".
    """
    path, _ = request_key(target)
    if path in {f"{base}ping" for base in _BASES}:
        return RestReply(200, b"{}")
    if path in {f"{base}time" for base in _BASES}:
        in_us = path.startswith("/api/") and (time_unit or "").upper() == "MICROSECOND"
        return RestReply(200, b'{"serverTime":%d}' % (now_us // (1 if in_us else 1000)))
    answers = list(recorded)
    found = newest_answer(target, answers, now_us)
    if found is not None:
        return RestReply(found.status, found.payload)
    return RestReply(404, _not_recorded(target, answers), known=False)


def _not_recorded(target: str, recorded: Iterable[RestAnswer]) -> bytes:
    """Say what there is instead: answers of the same path first."""
    path, _ = request_key(target)
    have = {plain_request(answer.request) for answer in recorded}
    names = sorted(have, key=lambda name: (name.partition("?")[0] != path, name))
    more = len(names) - _SHOWN_ANSWERS
    shown = ", ".join(names[:_SHOWN_ANSWERS]) + (f" and {more} more" * (more > 0))
    held = f"they have {shown}" if names else "they have no REST answers"
    message = f"No cassette has an answer to {plain_request(target)}; {held}."
    return json.dumps({"code": -1000, "msg": message}, separators=(",", ":")).encode()
