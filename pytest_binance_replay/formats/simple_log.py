"""The ``log.jsonl`` of servers that speak the simple protocol.

A line is an event with the exchange's keys in an order of its own, and with numbers
where the exchange has texts; levels may be objects. There is no stream name and no
receive time, and of what the exchange sends some members are missing. So payloads are
written anew, as the exchange writes them, with what is missing made up.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.formats.base import (
    FROM_EVENT_TIME,
    LATEST_US,
    Clues,
    Format,
    Item,
    Told,
    keep,
    refuse,
    to_us,
)

_EVENT = re.compile(rb'\s*\{\s*"e"\s*:\s*"(?:trade|24hrTicker|depthUpdate)"')
_NUMBERS = re.compile(rb'"[pqcw]"\s*:\s*-?[0-9]|"[ab]"\s*:\s*\[\s*\{')
_TEXTS = re.compile(rb'"[pqcw]"\s*:\s*"|"[ab]"\s*:\s*\[\s*\[')
_SPACED = re.compile(rb'\s*\{"e": ')
_TICKER_KEYS = tuple("pPwxcQbBaAohlvqOCFLn")
_SPOT_TICKER_KEYS = frozenset("xbBaA")
_WHOLE_KEYS = frozenset("OCFLn")


def _recognises(sample: bytes) -> bool:
    if not _EVENT.match(sample):
        return False
    if _NUMBERS.search(sample):
        return True
    return not _TEXTS.search(sample) and _SPACED.match(sample) is not None


def _plain(number: object) -> str:
    """Return a price or quantity as the exchange writes them."""
    text = str(number)
    return f"{Decimal(text):f}" if "e" in text.lower() else text


def _dump(event: Mapping[str, object]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


class SimpleLogReader:
    """Reads a log of the simple protocol."""

    def __init__(self, clues: Clues) -> None:
        told = clues.market or ("spot" if b'"M": true' in clues.sample else "usdm")
        self.told = Told(market=told)
        self.told.notes = {
            "receive_times": FROM_EVENT_TIME,
            "payloads": "written anew from a log; trade ids and pu are counted up",
        }
        self._is_spot = told == "spot"
        self._trades: dict[str, int] = defaultdict(int)
        self._final_ids: dict[str, int] = {}

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line; what is no event is kept as it is."""
        try:
            event = json.loads(line, parse_float=str)
        except (ValueError, RecursionError):
            refuse("it is not JSON")
        try:
            return [self._frame(event)]
        except (LookupError, TypeError, ValueError, ArithmeticError):
            return [keep(self._time_us(event), line.strip())]

    def finish(self) -> Iterable[Item]:
        """Give what was held back, which is nothing."""
        return ()

    def _time_us(self, event: Any) -> int:
        time = event.get("E") if isinstance(event, dict) else None
        time_us = to_us(time) if type(time) is int else 0
        return time_us if 0 < time_us <= LATEST_US else 0

    def _frame(self, event: Mapping[str, Any]) -> Frame:
        makers = {
            "trade": ("trade", self._trade),
            "24hrTicker": ("ticker", self._ticker),
            "depthUpdate": ("depth", self._depth),
        }
        feed, make = makers[event["e"]]
        time_us = self._time_us(event)
        if not time_us:
            raise ValueError(event["E"])
        stream = f"{event['s'].lower()}@{feed}"
        return Frame(time_us, stream, _dump(make(event)))

    def _trade(self, event: Mapping[str, Any]) -> dict[str, object]:
        symbol = event["s"]
        self._trades[symbol] += 1
        trade_id = event.get("t", self._trades[symbol])
        price, quantity = _plain(event["p"]), _plain(event["q"])
        Decimal(price), Decimal(quantity)
        head = {"e": "trade", "E": int(event["E"])}
        time, maker = int(event["T"]), bool(event["m"])
        fill = {"t": trade_id, "p": price, "q": quantity}
        if self._is_spot:
            return {**head, "s": symbol, **fill, "T": time, "m": maker, "M": True}
        return {**head, "T": time, "s": symbol, **fill, "X": "MARKET", "m": maker}

    def _ticker(self, event: Mapping[str, Any]) -> dict[str, object]:
        told = {
            key: int(event[key]) if key in _WHOLE_KEYS else _plain(event[key])
            for key in _TICKER_KEYS
            if event.get(key) is not None
            and (self._is_spot or key not in _SPOT_TICKER_KEYS)
        }
        return {"e": "24hrTicker", "E": int(event["E"]), "s": event["s"], **told}

    def _depth(self, event: Mapping[str, Any]) -> dict[str, object]:
        symbol, first, final = event["s"], int(event["U"]), int(event["u"])
        previous = self._final_ids.get(symbol, first - 1)
        self._final_ids[symbol] = final
        time = int(event["E"])
        ids: dict[str, object] = {"s": symbol, "U": first, "u": final}
        sides = {"b": _levels(event["b"]), "a": _levels(event["a"])}
        if self._is_spot:
            return {"e": "depthUpdate", "E": time, **ids, **sides}
        return {
            "e": "depthUpdate",
            "E": time,
            "T": time,
            **ids,
            "pu": previous,
            **sides,
        }


def _levels(levels: Iterable[Any]) -> list[Sequence[str]]:
    """Read levels that are pairs or objects."""
    return [
        [_plain(level["price"]), _plain(level["quantity"])]
        if isinstance(level, dict)
        else [_plain(level[0]), _plain(level[1])]
        for level in levels
    ]


SIMPLE_LOG = Format(
    "simple-log", "a log.jsonl of the simple protocol", _recognises, SimpleLogReader
)
