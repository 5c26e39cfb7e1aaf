"""ccxt.pro: trades, tickers, tops and books of both markets, in its unified form.

Spot's address must hold `/stream`: by that ccxt tells spot from futures, and else it
waits for ever for what has come. It turns prices into floats.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import (
    Ladder,
    is_part_of,
    ladder,
    moments,
    number,
    prices,
    said,
    true_ladder,
    until_equal,
)
from tests.integration.dialers import need

pytestmark = pytest.mark.asyncio


def spot_urls(binance_replay: BinanceReplay) -> dict[str, Any]:
    return {
        "public": f"{binance_replay.rest_url}/api/v3",
        "ws": {"spot": f"{binance_replay.ws_url}/stream"},
    }


def usdm_urls(binance_replay: BinanceReplay) -> dict[str, Any]:
    return {
        "fapiPublic": f"{binance_replay.rest_url}/fapi/v1",
        "ws": {"linear": f"{binance_replay.ws_url}/ws"},
    }


@asynccontextmanager
async def open_exchange(
    replay: BinanceReplay, recorded: Recorded, *, redirect: bool = False
) -> AsyncIterator[Any]:
    ccxt = need("ccxt.pro")
    options: dict[str, Any] = {"watchTrades": {"name": recorded.trades}}
    if redirect:
        # As it comes, it asks for the symbols of all markets, and serves them all.
        exchange = ccxt.binance({"options": options})
    elif recorded.market == "spot":
        options["fetchMarkets"] = {"types": ["spot"]}
        exchange = ccxt.binance(
            {"options": options, "urls": {"api": spot_urls(replay)}}
        )
    else:
        urls = {"api": usdm_urls(replay)}
        exchange = ccxt.binanceusdm({"options": options, "urls": urls})
    try:
        yield exchange
    finally:
        await exchange.close()


def unified(recorded: Recorded) -> str:
    base, quote = recorded.pair
    return f"{base}/{quote}" + (f":{quote}" if recorded.market == "usdm" else "")


@asynccontextmanager
async def watching(
    method: Callable[[str], Any], symbol: str
) -> AsyncIterator[list[Any]]:
    """Everything that a method returns, over and over."""
    seen: list[Any] = []

    async def watch() -> None:
        while True:
            seen.append(await method(symbol))

    task = asyncio.create_task(watch())
    yield seen
    if task.done():
        task.result()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_trades(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    replay = open_replay(recorded, redirect=redirect)
    wanted = prices(replay, recorded.trade_stream)
    async with open_exchange(replay, recorded, redirect=redirect) as exchange:
        exchange.newUpdates = True
        async with watching(exchange.watch_trades, unified(recorded)) as batches:
            await replay.play()
            await replay.until(lambda: sum(map(len, batches)) >= len(wanted))
        assert [number(t["price"]) for batch in batches for t in batch] == wanted


async def test_book(
    open_replay: OpenReplay, recorded: Recorded, *, redirect: bool
) -> None:
    replay = open_replay(recorded, redirect=redirect)
    async with open_exchange(replay, recorded, redirect=redirect) as exchange:
        symbol = unified(recorded)
        async with watching(exchange.watch_order_book, symbol) as books:
            for moment in moments(replay):
                await replay.play(until=moment)
                await until_equal(
                    replay,
                    lambda: _ladder_of(books),
                    true_ladder(replay, recorded.symbol),
                )


def _ladder_of(books: list[Any]) -> Ladder:
    return ladder(books[-1]["bids"], books[-1]["asks"]) if books else ([], [])


async def test_ticker_and_top(open_replay: OpenReplay, demo: Recorded) -> None:
    replay = open_replay(demo)
    wanted = [number(ticker["c"]) for ticker in said(replay, demo.stream("ticker"))]
    tops_wanted = [
        [number(float(top[name])) for name in "bBaA"]
        for top in said(replay, demo.stream("bookTicker"))
    ]
    async with open_exchange(replay, demo) as exchange:
        symbol = unified(demo)
        async with (
            watching(exchange.watch_ticker, symbol) as tickers,
            watching(lambda name: exchange.watch_bids_asks([name]), symbol) as tops,
        ):
            await replay.play()
            await replay.until(lambda: tickers and tops)
            # It keeps what came while nobody was waiting for it.
            await replay.until(lambda: _last(exchange, symbol) == wanted[-1])
            await replay.until(
                lambda: _top(exchange.bidsasks[symbol]) == tops_wanted[-1]
            )
    assert is_part_of([number(ticker["last"]) for ticker in tickers], wanted)
    assert is_part_of([_top(top[symbol]) for top in tops], tops_wanted)


def _last(exchange: Any, symbol: str) -> Any:
    return number(exchange.tickers[symbol]["last"])


def _top(shown: dict[str, Any]) -> list[Any]:
    names = ("bid", "bidVolume", "ask", "askVolume")
    return [number(shown[name]) for name in names]
