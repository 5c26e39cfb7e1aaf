"""REST market data: a path and a query in, status and body out.

Recorded answers are given as they were recorded. `ping` and `time` need no
recording, and clients ask them of either market's base, so both markets answer both.
Whatever else the cassettes do not hold is an error that says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_binance_replay.cassette import RestAnswer

JSON_TYPE = "application/json;charset=UTF-8"

_BASES = ("/api/v3/", "/fapi/v1/")
_PRIVATE_PARAMETERS = frozenset({"timestamp", "recvWindow", "signature"})


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
        target: Path and query; a market in front (`/spot`, `/usdm`) does not count,
            nor do the parameters that only a signed request has.
    """
    url = urlsplit(target)
    path = url.path
    for market in ("/spot/", "/usdm/"):
        if path.startswith(market):
            path = path[len(market) - 1 :]
    parameters = parse_qsl(url.query, keep_blank_values=True)
    kept = (pair for pair in parameters if pair[0] not in _PRIVATE_PARAMETERS)
    return path, tuple(sorted(kept))


def newest_answer(
    target: str, recorded: Iterable[RestAnswer], now_us: int
) -> RestAnswer | None:
    """Return the recorded answer that was in force at a time.

    Args:
        target: Path and query.
        recorded: Recorded answers, oldest first.
        now_us: Recorded time at which the tape stands, microseconds.

    Returns:
        The newest answer recorded by then; the first one, if all came later; None if
        the request was never recorded.
    """
    key = request_key(target)
    same = [answer for answer in recorded if request_key(answer.request) == key]
    past = [answer for answer in same if answer.receive_time_us <= now_us]
    return past[-1] if past else next(iter(same), None)


def answer_request(
    target: str, recorded: Iterable[RestAnswer], now_us: int
) -> RestReply:
    """Answer a GET request.

    Args:
        target: Path and query.
        recorded: Recorded answers of the cassettes, oldest first.
        now_us: Time at which the tape stands, microseconds since the epoch.

    Source:
        Binance Spot API docs, "General endpoints"; Binance USD-M Futures API docs,
        "Market data".
    """
    found = newest_answer(target, recorded, now_us)
    if found is not None:
        return RestReply(found.status, found.payload)
    path, _ = request_key(target)
    for base in _BASES:
        if path == f"{base}ping":
            return RestReply(200, b"{}")
        if path == f"{base}time":
            return RestReply(200, b'{"serverTime":%d}' % (now_us // 1000))
    return RestReply(404, _not_recorded(target, recorded), known=False)


def _not_recorded(target: str, recorded: Iterable[RestAnswer]) -> bytes:
    have = sorted({answer.request for answer in recorded})
    held = f"they have {', '.join(have)}" if have else "they have no REST answers"
    message = f"No cassette has an answer to {target}; {held}."
    return json.dumps({"code": -1000, "msg": message}, separators=(",", ":")).encode()
