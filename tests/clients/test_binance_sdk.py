"""Binance's SDKs: binance-sdk-spot, binance-sdk-derivatives-trading-usds-futures.

Each is configured with its addresses; the futures one connects to three routes at once.
They keep no book and turn every event into a model of theirs, whose types are strict.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import (
    follow,
    moments,
    number,
    prices,
    said,
    true_ladder,
    until_equal,
)
from tests.integration.dialers import need

pytestmark = pytest.mark.asyncio


def configured(binance_replay: BinanceReplay) -> dict[str, Any]:
    """The settings of both of them."""
    need("binance_common")
    from binance_common.configuration import (
        ConfigurationRestAPI,
        ConfigurationWebSocketStreams,
    )

    return {
        "config_rest_api": ConfigurationRestAPI(base_path=binance_replay.rest_url),
        "config_ws_streams": ConfigurationWebSocketStreams(
            stream_url=binance_replay.ws_url
        ),
    }


def make_client(replay: BinanceReplay, recorded: Recorded, *, redirect: bool) -> Any:
    settings = {} if redirect else configured(replay)
    if recorded.market == "spot":
        return need("binance_sdk_spot").Spot(**settings)
    name = "binance_sdk_derivatives_trading_usds_futures"
    return need(name).DerivativesTradingUsdsFutures(**settings)


@asynccontextmanager
async def connected(client: Any) -> AsyncIterator[Any]:
    connection = await client.websocket_streams.create_connection()
    try:
        yield connection
    finally:
        await connection.close_connection(close_session=True)


# What each market calls them
TRADES = {
    ("spot", "trade"): "trade",
    ("spot", "aggTrade"): "agg_trade",
    ("usdm", "aggTrade"): "aggregate_trade_streams",
}
SNAPSHOTS = {"spot": "depth", "usdm": "order_book"}
DIFFS = {"spot": "diff_book_depth", "usdm": "diff_book_depth_streams"}
TICKERS = {"spot": "ticker", "usdm": "individual_symbol_ticker_streams"}
TOPS = {"spot": "book_ticker", "usdm": "individual_symbol_book_ticker_streams"}


def snapshot_of(client: Any, recorded: Recorded) -> dict[str, Any]:
    """The book's snapshot, asked for through the SDK."""
    method = getattr(client.rest_api, SNAPSHOTS[recorded.market])
    body = method(symbol=recorded.symbol, limit=1000).data()
    return {
        "lastUpdateId": body.last_update_id,
        "bids": body.bids,
        "asks": body.asks,
    }


@pytest.mark.parametrize("name", ["spot", "usdm", "spot_of_2021"])
async def test_trades_and_book(
    open_replay: OpenReplay,
    request: pytest.FixtureRequest,
    name: str,
    *,
    redirect: bool,
) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    streams = [recorded.trade_stream, recorded.diff_stream]
    replay = open_replay(recorded, redirect=redirect, start_after=streams)
    client = make_client(replay, recorded, redirect=redirect)
    symbol, market = recorded.symbol.lower(), recorded.market
    trades: list[Any] = []
    diffs: list[Any] = []
    async with connected(client) as connection:
        events = await getattr(connection, TRADES[market, recorded.trades])(symbol)
        events.on("message", trades.append)
        method = getattr(connection, DIFFS[market])
        events = await method(symbol, update_speed="100ms")
        events.on("message", diffs.append)
        snapshot = snapshot_of(client, recorded)
        for moment in moments(replay):
            await replay.play(until=moment)
            await until_equal(
                replay,
                lambda: follow(market, snapshot, map(_members, diffs)),
                true_ladder(replay, recorded.symbol),
            )
        wanted = prices(replay, recorded.trade_stream)
        await replay.until(lambda: len(trades) == len(wanted))
    assert [number(trade.p) for trade in trades] == wanted


def _members(event: Any) -> dict[str, Any]:
    members: dict[str, Any] = event.to_dict()
    return members


async def test_tickers(open_replay: OpenReplay, demo: Recorded) -> None:
    streams = [demo.stream(kind) for kind in ("ticker", "bookTicker")]
    replay = open_replay(demo, start_after=streams)
    client = make_client(replay, demo, redirect=False)
    seen: dict[str, list[Any]] = {stream: [] for stream in streams}
    async with connected(client) as connection:
        for kinds, stream in zip((TICKERS, TOPS), streams, strict=True):
            events = await getattr(connection, kinds[demo.market])(demo.symbol.lower())
            events.on("message", seen[stream].append)
        await replay.play()
        wanted = {stream: said(replay, stream) for stream in streams}
        await replay.until(lambda: _counts(seen) == _counts(wanted))
    for stream in streams:
        assert [_members(event) for event in seen[stream]] == wanted[stream]


def _counts(lists: dict[str, list[Any]]) -> dict[str, int]:
    return {name: len(held) for name, held in lists.items()}
