"""Stream names: what they say, which are well formed, what comes near one.

Knows names, and of payloads only what tells the two markets apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal

Market = Literal["spot", "usdm"]
"""``spot``, or ``usdm`` for USDⓈ-M futures (which also carry COIN-M symbols)."""

Route = Literal["public", "market"]
"""The two routes of the futures paths that carry market data."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """A stream name, taken apart; ``str()`` puts it together again.

    Attributes:
        symbol: As in the name, lower case; the pair of a continuous contract
            kline; None for a stream of the whole market.
        kind: The word that names the data: ``trade``, ``depth``, ``kline``.
        levels: Levels a side of a partial depth; None for a diff depth.
        interval: Of a kline: ``1m``.
        window: Of a rolling ticker: ``4h``; None for the ticker of 24 hours.
        contract: Of a continuous contract kline: ``perpetual``.
        utc_offset: Where a kline's day begins: ``+08:00``; None for UTC.
        speed: Update speed as in the name; None for the stream's default.
        all_market: Whether one stream carries every symbol.
    """

    symbol: str | None
    kind: str
    _: KW_ONLY
    levels: int | None = None
    interval: str | None = None
    window: str | None = None
    contract: str | None = None
    utc_offset: str | None = None
    speed: str | None = None
    all_market: bool = False

    def __str__(self) -> str:
        parts = [self._subject(), self._feature(), self.utc_offset, self.speed]
        return "@".join(part for part in parts if part)

    def _subject(self) -> str:
        if not self.all_market:
            contract = f"_{self.contract}" if self.contract else ""
            return f"{self.symbol}{contract}"
        prefix = "" if self.kind == "tradingSession" else "!"
        return prefix + _with_detail(self.kind, self.window)

    def _feature(self) -> str:
        if self.all_market:
            return "" if self.kind in _WITHOUT_ARR else "arr"
        kind = f"{self.kind}{self.levels or ''}"
        return _with_detail(kind, self.interval or self.window)


def _with_detail(kind: str, detail: str | None) -> str:
    return f"{kind}_{detail}" if detail else kind


_WITHOUT_ARR = frozenset(
    {"bookTicker", "contractInfo", "serverShutdown", "tradingSession"}
)

_CONTROL = r"\x00-\x1f\x7f-\x9f"
_PART = rf"[^\s{_CONTROL}@/#?&!]+"
_WELL_FORMED = re.compile(rf"!{_PART}(@{_PART})*|{_PART}(@{_PART})+|tradingSession")

_SYMBOL = rf"(?P<symbol>[^\s{_CONTROL}@/!?#&A-Z]+?)"
_LEVELS = r"(?P<levels>5|10|20)"
_MINUTES_UP = "1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M"
_WINDOW = r"(?P<window>1h|4h|1d)"
_CONTRACT = r"(?P<contract>tradifi_perpetual|perpetual|current_quarter|next_quarter)"

# Source: Binance Spot API docs, "WebSocket Streams", and Binance USDⓈ-M Futures docs,
# "Websocket Market Streams"; retired and undocumented names from recordings.
_SPOT_FORMS = (
    rf"{_SYMBOL}@(?P<kind>trade|aggTrade|blockTrade|miniTicker|ticker|bookTicker"
    r"|avgPrice|referencePrice)",
    rf"{_SYMBOL}@(?P<kind>depth){_LEVELS}?(?:@(?P<speed>100ms))?",
    rf"{_SYMBOL}@(?P<kind>kline)_(?P<interval>1s|{_MINUTES_UP})"
    r"(?:@(?P<utc_offset>\+08:00))?",
    rf"{_SYMBOL}@(?P<kind>ticker)_{_WINDOW}",
    r"!(?P<kind>miniTicker|ticker)@arr",
    rf"!(?P<kind>ticker)_{_WINDOW}@arr",
    r"!(?P<kind>bookTicker|serverShutdown)",
)
_USDM_FORMS = (
    rf"{_SYMBOL}@(?P<kind>trade|aggTrade|miniTicker|ticker|bookTicker|forceOrder"
    r"|compositeIndex|assetIndex)",
    rf"{_SYMBOL}@(?P<kind>depth){_LEVELS}?(?:@(?P<speed>100ms|500ms))?",
    rf"{_SYMBOL}@(?P<kind>depth)@(?P<speed>0ms)",
    rf"{_SYMBOL}@(?P<kind>rpiDepth)@(?P<speed>500ms)",
    rf"{_SYMBOL}@(?P<kind>markPrice)(?:@(?P<speed>1s))?",
    rf"{_SYMBOL}@(?P<kind>kline)_(?P<interval>{_MINUTES_UP})",
    rf"{_SYMBOL}_{_CONTRACT}@(?P<kind>continuousKline)"
    rf"_(?P<interval>1s|{_MINUTES_UP})",
    r"!(?P<kind>markPrice)@arr(?:@(?P<speed>1s))?",
    r"!(?P<kind>miniTicker|ticker|forceOrder|assetIndex)@arr",
    r"!(?P<kind>bookTicker|contractInfo)",
    r"(?P<kind>tradingSession)",
)
_FORMS: dict[Market, tuple[re.Pattern[str], ...]] = {
    "spot": tuple(map(re.compile, _SPOT_FORMS)),
    "usdm": tuple(map(re.compile, _USDM_FORMS)),
}


@lru_cache(maxsize=4096)
def parse_stream(name: str, market: Market) -> StreamName | None:
    """Take a stream name apart.

    Args:
        name: A native name, ``btcusdt@depth@100ms``.
        market: Whose table of streams decides.

    Returns:
        The parts, or None if the market never had such a stream: an unknown kind
        or speed, an upper-case symbol, another market's stream.
    """
    for form in _FORMS[market]:
        if match := form.fullmatch(name):
            parts = match.groupdict()
            levels = parts.get("levels")
            return StreamName(
                parts.get("symbol"),
                parts["kind"],
                levels=int(levels) if levels else None,
                interval=parts.get("interval"),
                window=parts.get("window"),
                contract=parts.get("contract"),
                utc_offset=parts.get("utc_offset"),
                speed=parts.get("speed"),
                all_market="symbol" not in parts,
            )
    return None


def is_well_formed(name: str) -> bool:
    """Whether the exchange acknowledges the name; it need not exist.

    What is not well formed gets the error "invalid stream"; what is well formed and
    unknown is acknowledged and stays silent.
    """
    return _WELL_FORMED.fullmatch(name) is not None


_ROUTES: dict[str, Route] = {
    "bookTicker": "public",
    "depth": "public",
    "rpiDepth": "public",
    "trade": "public",
    "aggTrade": "market",
    "assetIndex": "market",
    "compositeIndex": "market",
    "continuousKline": "market",
    "contractInfo": "market",
    "forceOrder": "market",
    "kline": "market",
    "markPrice": "market",
    "miniTicker": "market",
    "ticker": "market",
    "tradingSession": "market",
}
_KIND = re.compile(rf"(?:!|{_PART}@|(?=tradingSession\Z))([A-Za-z]+)")


def route_of(name: str) -> Route | None:
    """Which futures route carries a stream.

    The kind alone decides, so that a name with a wrong speed or an upper-case
    symbol, silent on any route, still has one.

    Returns:
        ``public`` for what changes often, ``market`` for the rest; None for a kind
        that the futures do not have.

    Source:
        Binance USDⓈ-M Futures docs, change log of 2026-03-05; ``trade`` from
        measurements of the live exchange.
    """
    match = _KIND.match(name)
    return _ROUTES.get(match[1]) if match else None


_EVENT_KINDS = {
    "assetIndex": "assetIndexUpdate",
    "continuousKline": "continuous_kline",
    "depth": "depthUpdate",
    "markPrice": "markPriceUpdate",
    "miniTicker": "24hrMiniTicker",
    "rpiDepth": "depthUpdate",
    "ticker": "24hrTicker",
}


def event_kind(name: str, market: Market) -> str | None:
    """What a stream's payloads are.

    Returns:
        The payload's ``e`` where all of them share one, else ``partialDepth`` (spot
        only: the futures send theirs as ``depthUpdate``), ``rollingTicker`` or
        ``tradingSession``; None for a name that the market does not have.
    """
    parsed = parse_stream(name, market)
    if parsed is None:
        return None
    if parsed.levels and market == "spot":
        return "partialDepth"
    if parsed.window:
        return "rollingTicker"
    return _EVENT_KINDS.get(parsed.kind, parsed.kind)


def is_diff_depth(name: str) -> bool:
    """Whether a stream carries the changes that a depth snapshot joins.

    The futures' ``rpiDepth`` does not count: it changes a book of its own, with
    orders in it that the depth snapshot leaves out.
    """
    markets: tuple[Market, ...] = ("spot", "usdm")
    for market in markets:
        if parsed := parse_stream(name, market):
            return parsed.kind == "depth" and parsed.levels is None
    return False


_NEAR_ENOUGH = 0.6  # difflib's own cutoff for a close match


def nearest_streams(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Names that someone who asked for a missing one may have meant.

    The same name in another case comes first, then other streams of the same
    symbol, the same data at another speed before other data, then streams of
    symbols spelled alike.

    Args:
        name: The missing name.
        known: The names there are, in any order.
        limit: How many names at most.

    Returns:
        Names out of ``known``, best first, never ``name`` itself.
    """
    ranked = ((_nearness(name, other), other) for other in set(known) - {name})
    near = [(rank, other) for rank, other in ranked if rank is not None]
    near.sort(key=lambda pair: (*(-part for part in pair[0]), pair[1]))
    return [other for _, other in near[:limit]]


def _nearness(name: str, other: str) -> tuple[float, ...] | None:
    """The greater the nearer, part by part; None for a name too far away."""
    asked, there = name.lower(), other.lower()
    symbol, feature, rest = _three_parts(asked)
    other_symbol, other_feature, other_rest = _three_parts(there)
    if symbol == other_symbol:
        likeness = _likeness(feature, other_feature), _likeness(rest, other_rest)
        return asked == there, True, *likeness
    overall = _likeness(asked, there)
    return (False, False, overall) if overall >= _NEAR_ENOUGH else None


def _three_parts(name: str) -> tuple[str, str, str]:
    if name.startswith("!"):
        name = f"!@{name[1:]}"
    symbol, _, features = name.partition("@")
    feature, _, rest = features.partition("@")
    return symbol, feature, rest


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


_PAYLOAD_KEY = re.compile(rb'"(\w+)"\s*:')
_PAYLOAD_TYPE = re.compile(rb'"e"\s*:\s*"(\w+)"')
_CONTRACT_SYMBOL = re.compile(rb'"s"\s*:\s*"\w+_(?:PERP|\d{6})"')
_FUTURES_KEYS = frozenset({b"pu", b"X", b"nq", b"st", b"ps"})

_Sign = tuple[frozenset[bytes], Market]


def _sign(keys: str, market: Market) -> _Sign:
    return frozenset(key.encode() for key in keys.split()), market


# By event type, with "" for none: the first row whose keys are all there decides. Rows
# that infer a market from what is absent ask for keys that a whole event has, so that
# a payload written by hand, with few of them, is not taken for one.
_SIGNS: dict[bytes, tuple[_Sign, ...]] = {
    b"": (
        _sign("lastUpdateId E", "usdm"),
        _sign("lastUpdateId", "spot"),
        _sign("u b B a A", "spot"),
    ),
    b"trade": (_sign("M", "spot"), _sign("b a", "spot"), _sign("E T t m", "usdm")),
    b"aggTrade": (_sign("M", "spot"), _sign("E T a f l m", "usdm")),
    b"24hrTicker": (
        _sign("x", "spot"),
        _sign("b", "spot"),
        _sign("a", "spot"),
        _sign("E w Q F L n", "usdm"),
    ),
    b"depthUpdate": (_sign("", "spot"),),
    b"bookTicker": (_sign("", "usdm"),),
}
_SPOT_TYPES = (
    b"blockTrade 1hTicker 4hTicker 1dTicker avgPrice referencePrice serverShutdown"
)
_USDM_TYPES = (
    b"continuous_kline markPriceUpdate forceOrder compositeIndex contractInfo"
    b" assetIndexUpdate EquityUpdate CommodityUpdate KR_EquityUpdate HK_EquityUpdate"
    b" CN_EquityUpdate"
)
_SIGNS |= dict.fromkeys(_SPOT_TYPES.split(), (_sign("", "spot"),))
_SIGNS |= dict.fromkeys(_USDM_TYPES.split(), (_sign("", "usdm"),))


def market_of_payload(payload: bytes) -> Market | None:
    """Tell the market by one payload, an object or an array of them.

    Reads keys, not values, and does not check that the text is JSON.

    Returns:
        None where both markets send the like: klines, mini tickers, empty arrays.
    """
    keys = frozenset(_PAYLOAD_KEY.findall(payload))
    if keys & _FUTURES_KEYS or _CONTRACT_SYMBOL.search(payload):
        return "usdm"
    event_type = _PAYLOAD_TYPE.search(payload)
    signs = _SIGNS.get(event_type[1] if event_type else b"", ())
    return next((market for needed, market in signs if needed <= keys), None)
