"""Hypothesis strategies of market data: payloads, and whole sessions of a market.

What they draw shrinks to small cases that a person can read. Bounds that leave nothing
to draw raise `InvalidArgument` when something is to be drawn.

Prices and quantities are given as `Decimal`, whole numbers or text such as `"97250.5"`,
never as floats; times in microseconds since the epoch.

Needs the extra `hypothesis`.
"""

from __future__ import annotations

from pytest_binance_replay.errors import MissingExtraError

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    purpose = "pytest_binance_replay.strategies"
    raise MissingExtraError(purpose, "hypothesis") from error

from pytest_binance_replay.session import Fault, FaultKind, Session
from pytest_binance_replay.strategies.faults import faulty_sessions
from pytest_binance_replay.strategies.futures import (
    asset_indexes,
    composite_indexes,
    continuous_klines,
    contract_infos,
    force_orders,
    mark_prices,
    trading_sessions,
)
from pytest_binance_replay.strategies.sessions import sessions
from pytest_binance_replay.strategies.statistics import (
    avg_prices,
    klines,
    mini_tickers,
    reference_prices,
    rolling_tickers,
    tickers,
)
from pytest_binance_replay.strategies.streams import payloads
from pytest_binance_replay.strategies.trading import (
    agg_trades,
    block_trades,
    book_tickers,
    depth_updates,
    partial_depths,
    server_shutdowns,
    trades,
)

__all__ = [
    "Fault",
    "FaultKind",
    "Session",
    "agg_trades",
    "asset_indexes",
    "avg_prices",
    "block_trades",
    "book_tickers",
    "composite_indexes",
    "continuous_klines",
    "contract_infos",
    "depth_updates",
    "faulty_sessions",
    "force_orders",
    "klines",
    "mark_prices",
    "mini_tickers",
    "partial_depths",
    "payloads",
    "reference_prices",
    "rolling_tickers",
    "server_shutdowns",
    "sessions",
    "tickers",
    "trades",
    "trading_sessions",
]
