"""Prices and statistics over REST: one answer a symbol, for one, some or all of them.

Where the tape has not shown a symbol's yet, the first one to come stands for it.

Source:
    Binance Spot API docs, "Market Data endpoints"; Binance USDⓈ-M Futures API docs,
    "Market Data".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_binance_replay.protocols.depth import change_ms
from pytest_binance_replay.protocols.lists import is_market_trade
from pytest_binance_replay.protocols.query import not_on_tape, refuse, to_us
from pytest_binance_replay.protocols.shown import (
    Asked,
    Event,
    Member,
    converted,
    members,
    project,
)

if TYPE_CHECKING:
    from pytest_binance_replay.ledger import ShelfKey, Shelves

_WINDOW_SIZES = frozenset(
    [
        *(f"{n}m" for n in range(1, 60)),
        *(f"{n}h" for n in range(1, 24)),
        *(f"{n}d" for n in range(1, 8)),
    ]
)
_MINUTES = {"m": 1, "h": 60}

_WINDOW = (
    "symbol=s priceChange=p priceChangePercent=P weightedAvgPrice=w {before} "
    "{middle} openPrice=o highPrice=h lowPrice=l {after} volume=v quoteVolume=q "
    "openTime=O closeTime=C firstId=F lastId=L count=n"
)
_BEST = "bidPrice=b bidQty=B askPrice=a askQty=A"
_DAY = {
    "spot": members(
        _WINDOW.format(
            before="prevClosePrice=x", middle=f"lastPrice=c lastQty=Q {_BEST}", after=""
        )
    ),
    "usdm": members(
        _WINDOW.format(before="", middle="lastPrice=c lastQty=Q", after="")
    ),
}
_ROLLING = members(_WINDOW.format(before="", middle="", after="lastPrice=c"))
_MINI = members(
    "symbol=s openPrice=o highPrice=h lowPrice=l lastPrice=c volume=v quoteVolume=q "
    "openTime=O closeTime=C firstId=F lastId=L count=n"
)
_BOOK_TICKER = {
    "spot": members(f"symbol=s {_BEST}"),
    "usdm": members(f"symbol=s {_BEST} time=T? lastUpdateId=u"),
}
_MARK_PRICE = members(
    "symbol=s markPrice=p indexPrice=i? estimatedSettlePrice=P? lastFundingRate=r "
    "nextFundingTime=T time=E"
)


def _each(
    asked: Asked,
    make: Callable[[str], Any],
    keys_of: Callable[[str], Sequence[ShelfKey]],
) -> Any:
    """Answer for one symbol, for a list of them, or for all.

    Args:
        asked: The request.
        make: Makes the answer for a symbol; None if the tape has none.
        keys_of: What a symbol's answer is made from.

    Raises:
        NotOnTapeError: If the tape lacks what is asked for.
    """

    def must_make(symbol: str) -> Any:
        if (made := make(asked.checked(symbol))) is None:
            not_on_tape(asked.known.lacks(keys_of(symbol)))
        return made

    one, several = asked.parameters.symbol(), asked.parameters.symbols()
    status = asked.parameters.status()
    if status not in {None, "TRADING"}:
        not_on_tape(f"No stream says which symbols have the status {status}.")
    if one is not None:
        return must_make(one)
    if several is not None:
        return [must_make(symbol) for symbol in several]
    everything = [make(symbol) for symbol in sorted(asked.known.symbols(asked.market))]
    made = [row for row in everything if row is not None]
    if not made:
        not_on_tape(asked.known.lacks(keys_of("")))
    return made


def _each_from(asked: Asked, kind: str, detail: str, wanted: tuple[Member, ...]) -> Any:
    """Answer from one kind of event."""

    def key_of(symbol: str) -> ShelfKey:
        return asked.key(kind, symbol, detail)

    return _each(
        asked,
        lambda symbol: asked.newest(
            key_of(symbol), lambda event: project(asked, event, wanted)
        ),
        lambda symbol: [key_of(symbol)],
    )


def day_ticker(asked: Asked) -> Any:
    """Answer with the statistics of 24 hours, from the ticker streams."""
    return _each_from(asked, "ticker", "", _members_of_type(asked, _DAY[asked.market]))


def window_ticker(asked: Asked) -> Any:
    """Answer with the statistics of a window, from its own ticker streams."""
    if "symbol" not in asked.parameters and "symbols" not in asked.parameters:
        refuse(-1102, "symbol")
    size = asked.parameters.text("windowSize") or "1d"
    if size not in _WINDOW_SIZES:
        refuse(-1130, "windowSize")
    return _each_from(asked, "ticker", size, _members_of_type(asked, _ROLLING))


def _members_of_type(asked: Asked, full: tuple[Member, ...]) -> tuple[Member, ...]:
    kind = asked.parameters.choice("type", ("FULL", "MINI"), -1139)
    return _MINI if kind == "MINI" else full


def mark_price(asked: Asked) -> Any:
    """Answer with mark price and funding rate, from the mark price streams."""
    return _each_from(asked, "markPrice", "", _MARK_PRICE)


def book_ticker(asked: Asked) -> Any:
    """Answer with the best levels: of the book ticker, the ticker, or the book."""
    wanted = _BOOK_TICKER[asked.market]
    kinds = ("bookTicker", "ticker") if asked.market == "spot" else ("bookTicker",)

    def keys_of(symbol: str) -> list[ShelfKey]:
        return [asked.key(kind, symbol) for kind in kinds]

    def make(symbol: str) -> Event | None:
        for key in keys_of(symbol):
            row = asked.newest(key, lambda event: project(asked, event, wanted))
            if row is not None:
                return row
        return _top_of_book(asked, symbol)

    return _each(asked, make, keys_of)


def _top_of_book(asked: Asked, symbol: str) -> Event | None:
    answer = asked.top(asked.market, symbol)
    if answer is None or not answer.bids or not answer.asks:
        return None
    (bid, bid_quantity), (ask, ask_quantity) = answer.bids[0], answer.asks[0]
    row = {
        "symbol": symbol,
        "bidPrice": bid,
        "bidQty": bid_quantity,
        "askPrice": ask,
        "askQty": ask_quantity,
    }
    if asked.market == "spot":
        return row
    changed_ms = change_ms(asked.known.ledger, asked.market, symbol)
    return {**row, "time": asked.now_us // 1000 if changed_ms is None else changed_ms}


class _Price(NamedTuple):
    """A price, and when it was the last one."""

    time_us: int
    text: str


_PRICES: Mapping[str, Callable[[Event], _Price | None]] = {
    "trade": lambda e: _Price(to_us(e["T"]), e["p"]) if is_market_trade(e) else None,
    "aggTrade": lambda e: _Price(to_us(e["T"]), e["p"]),
    "ticker": lambda e: _Price(to_us(e["E"]), e["c"]),
    "miniTicker": lambda e: _Price(to_us(e["E"]), e["c"]),
    "kline": lambda e: _Price(to_us(e["E"]), e["k"]["c"]),
}


def last_price(asked: Asked) -> Any:
    """Answer with the price of the newest event that has one."""

    def make(symbol: str) -> Event | None:
        shown = _prices(asked, asked.known.ledger.shelves, symbol, newest=True)
        coming = _prices(asked, asked.known.survey.shelves, symbol, newest=False)
        if not shown and not coming:
            return None
        price = max(shown) if shown else min(coming)
        row = {"symbol": symbol, "price": price.text}
        return row if asked.market == "spot" else {**row, "time": price.time_us // 1000}

    return _each(
        asked, make, lambda symbol: [asked.key(kind, symbol) for kind in _PRICES]
    )


def _prices(
    asked: Asked, shelves: Shelves, symbol: str, *, newest: bool
) -> list[_Price]:
    """Return one price of each stream, its newest or its oldest."""
    found = []
    for kind, read in _PRICES.items():
        for key in shelves.of_symbol(asked.market, kind, symbol):
            payloads = shelves.all(key)
            ordered = reversed(payloads) if newest else iter(payloads)
            prices = (converted(key, payload, read) for payload in ordered)
            found.append(next(filter(None, prices), None))
    return [price for price in found if price is not None]


def average_price(asked: Asked) -> Any:
    """Answer with the average price, from its stream."""

    def read(event: Event) -> Event:
        length, unit = int(event["i"][:-1]), event["i"][-1]
        return {
            "mins": length * _MINUTES[unit],
            "price": event["w"],
            "closeTime": asked.stamp(event["T"]),
        }

    return _one(asked, "avgPrice", read)


def reference_price(asked: Asked) -> Any:
    """Answer with the reference price, from its stream."""

    def read(event: Event) -> Event:
        return {
            "symbol": event["s"],
            "referencePrice": event["r"],
            "timestamp": asked.stamp(event["t"]),
        }

    row = _one(asked, "referencePrice", read)
    if row["referencePrice"] is None:
        refuse(-2043)
    return row


def _one(asked: Asked, kind: str, read: Callable[[Event], Event]) -> Any:
    key = asked.key(kind, asked.symbol())
    if (row := asked.newest(key, read)) is None:
        not_on_tape(asked.known.lacks([key]))
    return row
