"""A stream of every kind that either market has."""

from __future__ import annotations

from pytest_binance_replay.streams import Market

_SPOT = """
    btcusdt@trade btcusdt@aggTrade btcusdt@blockTrade btcusdt@kline_1s btcusdt@kline_1M
    btcusdt@kline_1w@+08:00 btcusdt@miniTicker btcusdt@ticker btcusdt@ticker_4h
    btcusdt@bookTicker btcusdt@avgPrice btcusdt@referencePrice btcusdt@depth5
    btcusdt@depth20@100ms btcusdt@depth btcusdt@depth@100ms !miniTicker@arr !ticker@arr
    !ticker_1h@arr !bookTicker !serverShutdown
"""
_USDM = """
    btcusdt@trade btcusdt@aggTrade btcusdt@markPrice btcusdt@markPrice@1s
    btcusdt@kline_3m btcusdt_perpetual@continuousKline_1s btcusdt@miniTicker
    btcusdt@ticker btcusdt@bookTicker btcusdt@forceOrder btcusdt@depth10@500ms
    btcusdt@depth@0ms btcusdt@rpiDepth@500ms defiusdt@compositeIndex adausd@assetIndex
    !markPrice@arr@1s !miniTicker@arr !ticker@arr !bookTicker !forceOrder@arr
    !contractInfo !assetIndex@arr tradingSession
"""

STREAMS: list[tuple[Market, str]] = [
    *(("spot", name) for name in _SPOT.split()),
    *(("usdm", name) for name in _USDM.split()),
]
