"""What an exchange may be asked without saying who one is: market data, no more.

A recording asks for nothing else, so that no key, signature, listen key or account
data can come into a file.

Source:
    Binance Spot API docs, "Market Data endpoints"; Binance USDⓈ-M Futures API docs,
    "Market Data Endpoints"; both on which requests need an API key or a signature.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from pytest_binance_replay.streams import is_well_formed

_PATH = re.compile(
    r"/api/v[13]/(?:ping|time|exchangeInfo|depth|trades|historicalBlockTrades"
    r"|aggTrades|klines|uiKlines|avgPrice|referencePrice"
    r"|ticker(?:/(?:24hr|tradingDay|price|bookTicker))?)"
    r"|/[fd]api/v[12]/(?:ping|time|exchangeInfo|depth|rpiDepth|trades|aggTrades|klines"
    r"|continuousKlines|indexPriceKlines|markPriceKlines|premiumIndexKlines"
    r"|premiumIndex|fundingRate|fundingInfo|ticker/(?:24hr|price|bookTicker)"
    r"|openInterest|indexInfo|assetIndex|constituents|tradingSchedule)"
    r"|/futures/data/\w+"
)
_PRIVATE_PARAMETERS = frozenset(
    {"signature", "timestamp", "recvwindow", "apikey", "listenkey", "listentoken"}
)
_LISTEN_KEY = re.compile(r"[A-Za-z0-9_-]{40,}")
_NEVER_IN_NAMES = re.compile(r'["\\]')


def is_public_request(target: str) -> bool:
    """Tell whether a GET request asks for market data, and for nothing else.

    Args:
        target: Path and query, without an origin.

    Returns:
        False also for what needs a key, and for paths that are not known.
    """
    path, _, query = target.partition("?")
    names = (name.lower() for name, _ in parse_qsl(query, keep_blank_values=True))
    return _PATH.fullmatch(path) is not None and not _PRIVATE_PARAMETERS & set(names)


def is_public_stream(name: str) -> bool:
    """Tell whether a name can be that of a market stream.

    Returns:
        False for listen keys, with or without something behind an `@`, and for what
        no stream is called.
    """
    if not is_well_formed(name) or _NEVER_IN_NAMES.search(name):
        return False
    return _LISTEN_KEY.fullmatch(name.partition("@")[0]) is None
