"""Depth snapshots over REST: what is asked for, and the body of the answer.

The book itself is computed elsewhere; between the two, the server decides at which
place of the tape it is wanted.

Source:
    Binance Spot API docs, "Order book"; Binance USDⓈ-M and COIN-M Futures API docs,
    "Order Book".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_binance_replay.errors import NotOnTapeError, RequestRefusedError
from pytest_binance_replay.ledger import ShelfKey
from pytest_binance_replay.protocols.query import (
    NotOnTape,
    Parameters,
    error_reply,
    refuse,
    to_body,
    to_us,
    wants_us,
)
from pytest_binance_replay.protocols.rest import RestReply, request_key
from pytest_binance_replay.protocols.shown import converted, mandatory
from pytest_binance_replay.protocols.symbol_info import pair_of

if TYPE_CHECKING:
    from pytest_binance_replay.books import Answer
    from pytest_binance_replay.ledger import Ledger
    from pytest_binance_replay.protocols.shown import Known
    from pytest_binance_replay.streams import Market

_MARKETS: dict[str, Market] = {
    "/api/v3/depth": "spot",
    "/fapi/v1/depth": "usdm",
    "/dapi/v1/depth": "usdm",
}
_TAKES: dict[Market, tuple[str, ...]] = {
    "spot": ("symbol", "limit", "symbolStatus"),
    "usdm": ("symbol", "limit"),
}
_SPOT_LIMITS = (100, 5000)
_USDM_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
_USDM_LIMIT = 500


@dataclass(frozen=True, slots=True)
class DepthQuery:
    """A depth snapshot that is asked for.

    Attributes:
        market: Its market; COIN-M counts as `usdm`.
        symbol: Upper case.
        limit: How many levels of each side at most.
        names_symbol: Whether the answer names symbol and pair, as that of COIN-M does.
    """

    market: Market
    symbol: str
    limit: int
    names_symbol: bool = False


def read_depth_query(
    target: str, known: Known, *, time_unit: str | None = None
) -> DepthQuery | RestReply | NotOnTape | None:
    """Read a request for a depth snapshot.

    Args:
        target: Path and query.
        known: What is known of the exchange.
        time_unit: The header `X-MBX-TIME-UNIT`; None if it was not sent.

    Returns:
        What is asked for; the exchange's error; a `NotOnTape` if the exchange has such
        a symbol and the tape has not; None for any other path.
    """
    path, pairs = request_key(target)
    if path not in _MARKETS:
        return None
    market = _MARKETS[path]
    try:
        wants_us(market, time_unit)
        parameters = Parameters(market, pairs, _TAKES[market], ("symbol",))
        symbol, limit = mandatory(parameters.symbol()), _limit(parameters)
        parameters.status()
        known.check_market(market)
        known.check_symbol(market, symbol)
    except RequestRefusedError as error:
        return error_reply(error)
    except NotOnTapeError as error:
        return NotOnTape(error.reason)
    return DepthQuery(market, symbol, limit, path.startswith("/dapi/"))


def _limit(parameters: Parameters) -> int:
    if parameters.market == "spot":
        return parameters.limit(*_SPOT_LIMITS)
    limit = parameters.integer("limit")
    if limit is not None and limit not in _USDM_LIMITS:
        refuse(-4021, limit)
    return _USDM_LIMIT if limit is None else limit


def depth_reply(
    query: DepthQuery, answer: Answer | None, ledger: Ledger, *, now_us: int
) -> RestReply | NotOnTape:
    """Write the body of a depth snapshot.

    Args:
        query: What was asked for.
        answer: The book, of as many levels as were asked for; None if the recording
            does not allow one.
        ledger: Knows when the book last changed, if it stands where the answer does.
        now_us: Time at which the tape stands, microseconds since the epoch.
    """
    if answer is None:
        return NotOnTape(
            f"The book of {query.symbol} is not known here: that takes its diff depth "
            "stream and a depth snapshot, recorded, that joins it, or partial depth."
        )
    if answer.recorded is not None:
        return RestReply(200, _cut(answer.recorded, query.limit))
    levels = {"bids": answer.bids, "asks": answer.asks}
    times = _times(query, ledger, now_us) if query.market == "usdm" else {}
    names = {"symbol": query.symbol, "pair": pair_of(query.symbol)}
    body = {
        "lastUpdateId": answer.update_id,
        **times,
        **(names if query.names_symbol else {}),
        **levels,
    }
    return RestReply(200, to_body(body))


def _cut(recorded: bytes, limit: int) -> bytes:
    """Return a recorded snapshot with no more levels than were asked for."""
    body = json.loads(recorded)
    sides = {side: body[side][:limit] for side in ("bids", "asks")}
    if all(sides[side] == body[side] for side in sides):
        return recorded
    return to_body({**body, **sides})


def _times(query: DepthQuery, ledger: Ledger, now_us: int) -> dict[str, int]:
    """Return when the answer is made, and when the book changed, in milliseconds."""
    now_ms = now_us // 1000
    changed_ms = change_ms(ledger, query.market, query.symbol)
    return {"E": now_ms, "T": now_ms if changed_ms is None else changed_ms}


def change_ms(ledger: Ledger, market: Market, symbol: str) -> int | None:
    """Return when a symbol's book last changed, in milliseconds; None if unknown."""
    key = ShelfKey(market, "depth", symbol)
    payloads = ledger.shelves.all(key)
    times = (converted(key, p, lambda event: event.get("T")) for p in payloads)
    return next((to_us(time) // 1000 for time in times if time is not None), None)
