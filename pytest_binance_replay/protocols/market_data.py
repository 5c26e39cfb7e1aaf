"""Market data over REST, computed from what a tape has shown so far.

Numbers are the texts of the payloads. Only what is in a payload is answered: a list is
what the tape has shown, and may be empty; where a symbol has one answer, a price say,
and the tape has not shown it yet, the first one to come is given. What no stream of the
tape carries is not answered at all.

Source:
    Binance Spot API docs, "Market Data endpoints"; Binance USDⓈ-M Futures API docs,
    "Market Data".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_binance_replay.errors import NotOnTapeError, RequestRefusedError
from pytest_binance_replay.protocols import lists, tickers
from pytest_binance_replay.protocols.query import (
    NotOnTape,
    Parameters,
    error_reply,
    to_body,
    wants_us,
)
from pytest_binance_replay.protocols.rest import RestReply, request_key
from pytest_binance_replay.protocols.shown import Asked

if TYPE_CHECKING:
    from pytest_binance_replay.books import Answer
    from pytest_binance_replay.protocols.shown import Known, Top
    from pytest_binance_replay.streams import Market


class _Path(NamedTuple):
    """A path that can be computed.

    Attributes:
        answer: Computes it.
        known: Parameters that it takes.
        mandatory: Those of them that must be there.
        limits: How many items it gives if nobody says, and at most.
    """

    answer: Callable[[Asked], Any]
    known: tuple[str, ...]
    mandatory: tuple[str, ...] = ()
    limits: tuple[int, int] = (500, 1000)


_S = ("symbol",)
_SOME = ("symbol", "symbols", "symbolStatus")
_BOUNDS = ("startTime", "endTime", "limit")
_CANDLES = _Path(
    lists.candles,
    ("symbol", "interval", *_BOUNDS, "timeZone"),
    ("symbol", "interval"),
)
_PATHS: Mapping[str, tuple[Market, _Path]] = {
    **{
        f"/api/v3/{name}": ("spot", path)
        for name, path in {
            "aggTrades": _Path(lists.agg_trades, ("symbol", "fromId", *_BOUNDS), _S),
            "avgPrice": _Path(tickers.average_price, _S, _S),
            "historicalBlockTrades": _Path(
                lists.block_trades, ("symbol", "fromId", "limit"), _S
            ),
            "historicalTrades": _Path(lists.trades, ("symbol", "fromId", "limit"), _S),
            "klines": _CANDLES,
            "referencePrice": _Path(tickers.reference_price, _S, _S),
            "ticker": _Path(tickers.window_ticker, (*_SOME, "windowSize", "type")),
            "ticker/24hr": _Path(tickers.day_ticker, (*_SOME, "type")),
            "ticker/bookTicker": _Path(tickers.book_ticker, _SOME),
            "ticker/price": _Path(tickers.last_price, _SOME),
            "trades": _Path(lists.trades, ("symbol", "limit"), _S),
            "uiKlines": _CANDLES,
        }.items()
    },
    **{
        f"/fapi/{name}": ("usdm", path)
        for name, path in {
            "v1/aggTrades": _Path(lists.agg_trades, ("symbol", "fromId", *_BOUNDS), _S),
            "v1/continuousKlines": _Path(
                lists.continuous_candles,
                ("pair", "contractType", "interval", *_BOUNDS),
                ("pair", "contractType", "interval"),
                (500, 1500),
            ),
            "v1/historicalTrades": _Path(
                lists.trades, ("symbol", "fromId", "limit"), _S, (100, 500)
            ),
            "v1/klines": _Path(
                lists.candles,
                ("symbol", "interval", *_BOUNDS),
                ("symbol", "interval"),
                (500, 1500),
            ),
            "v1/premiumIndex": _Path(tickers.mark_price, _S),
            "v1/ticker/24hr": _Path(tickers.day_ticker, _S),
            "v1/ticker/bookTicker": _Path(tickers.book_ticker, _S),
            "v1/ticker/price": _Path(tickers.last_price, _S),
            "v1/trades": _Path(lists.trades, ("symbol", "limit"), _S),
            "v2/ticker/price": _Path(tickers.last_price, _S),
        }.items()
    },
}


def _no_top(market: Market, symbol: str) -> Answer | None:
    """Return nothing, for servers that keep no books."""


def answer_market_data(
    target: str,
    known: Known,
    *,
    now_us: int,
    time_unit: str | None = None,
    top: Top = _no_top,
) -> RestReply | NotOnTape | None:
    """Answer a request from what the tape has shown.

    Args:
        target: Path and query.
        known: What is known of the exchange: the ledger must stand at the tape's
            position, and the survey must have seen all it wants to see.
        now_us: Time at which the tape stands, microseconds since the epoch.
        time_unit: The header `X-MBX-TIME-UNIT`; None if it was not sent.
        top: Returns a symbol's book at the tape's position, of one level or more; it
            is asked for book tickers that no stream carries.

    Returns:
        The answer, or the exchange's error; a `NotOnTape` where the exchange would
        have answered; None for a path that is never computed.
    """
    path, pairs = request_key(target)
    if path not in _PATHS:
        return None
    market, entry = _PATHS[path]
    try:
        in_us = wants_us(market, time_unit)
        parameters = Parameters(market, pairs, entry.known, entry.mandatory)
        known.check_market(market)
        asked = Asked(known, market, parameters, entry.limits, now_us, in_us, top)
        return RestReply(200, to_body(entry.answer(asked)))
    except RequestRefusedError as error:
        return error_reply(error)
    except NotOnTapeError as error:
        return NotOnTape(error.reason)
