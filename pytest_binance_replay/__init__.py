"""Recorded Binance market data, replayed to the trading bot under test.

Everything public is here, and nothing of it is imported before it is used: pytest
loads this package in every project that has it installed. There is no `__dir__`, for
freezegun asks every module for all that its `dir()` names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_binance_replay.background import Handle
    from pytest_binance_replay.book import OrderBook
    from pytest_binance_replay.cassette import Frame
    from pytest_binance_replay.errors import (
        BinanceReplayWarning,
        CassetteFormatError,
        CassetteNotFoundError,
        ClientVanishedError,
        CutShortWarning,
        EventError,
        ExchangeBlockedError,
        MissingDataError,
        NoBookError,
        OptionError,
        OutOfOrderWarning,
        ReplayError,
        TapeEndedError,
        WaitTimeoutError,
    )
    from pytest_binance_replay.events import parse_event
    from pytest_binance_replay.factory import ReplayFactory
    from pytest_binance_replay.journal import (
        ClientRecord,
        ClientRequest,
        Missing,
        RestRequest,
    )
    from pytest_binance_replay.replay import BinanceReplay
    from pytest_binance_replay.tape import Position

__all__ = [
    "BinanceReplay",
    "BinanceReplayWarning",
    "CassetteFormatError",
    "CassetteNotFoundError",
    "ClientRecord",
    "ClientRequest",
    "ClientVanishedError",
    "CutShortWarning",
    "EventError",
    "ExchangeBlockedError",
    "Frame",
    "Handle",
    "Missing",
    "MissingDataError",
    "NoBookError",
    "OptionError",
    "OrderBook",
    "OutOfOrderWarning",
    "Position",
    "ReplayError",
    "ReplayFactory",
    "RestRequest",
    "TapeEndedError",
    "WaitTimeoutError",
    "parse_event",
]

_MODULES = {
    "BinanceReplay": "replay",
    "ClientRecord": "journal",
    "ClientRequest": "journal",
    "Frame": "cassette",
    "Handle": "background",
    "Missing": "journal",
    "OrderBook": "book",
    "Position": "tape",
    "ReplayFactory": "factory",
    "RestRequest": "journal",
    "parse_event": "events",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
    return getattr(module, name)
