"""`exchangeInfo`: recorded answers cut to what was asked, and one made from a tape.

Bots load it before anything else and take from it how to spell prices. What no cassette
has of the tape's symbols is made; such an answer has one more member, named `MADE`,
which clients pass over.

Source:
    Binance Spot API docs, "Exchange information"; Binance USDⓈ-M and COIN-M Futures
    API docs, "Exchange Information".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from pytest_binance_replay.errors import RequestRefusedError
from pytest_binance_replay.protocols.query import (
    Parameters,
    error_reply,
    refuse,
    to_body,
    wants_us,
)
from pytest_binance_replay.protocols.rest import (
    RestReply,
    newest_answer,
    plain_request,
    request_key,
)
from pytest_binance_replay.protocols.symbol_info import is_coin_margined, make_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_binance_replay.cassette import RestAnswer
    from pytest_binance_replay.ledger import Survey
    from pytest_binance_replay.protocols.symbol_info import Json
    from pytest_binance_replay.streams import Market

MADE = "pytest-binance-replay"
"""Member that marks an answer with symbols that were not recorded."""

_MADE_HOW = (
    "Symbols made from the tape: tick and step sizes are the finest decimals that "
    "occur, all else are constants."
)

_KNOWN: dict[str, tuple[Market, tuple[str, ...]]] = {
    "/api/v3/exchangeInfo": (
        "spot",
        ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"),
    ),
    "/fapi/v1/exchangeInfo": ("usdm", ()),
    "/dapi/v1/exchangeInfo": ("usdm", ()),
}

# The whole answer

_Limit = tuple[str, str, int, int]
_RATE_LIMITS: Mapping[str, tuple[_Limit, ...]] = {
    "spot": (
        ("REQUEST_WEIGHT", "MINUTE", 1, 6000),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
        ("RAW_REQUESTS", "MINUTE", 5, 300_000),
    ),
    "usdm": (
        ("REQUEST_WEIGHT", "MINUTE", 1, 2400),
        ("ORDERS", "MINUTE", 1, 1200),
        ("ORDERS", "SECOND", 10, 300),
    ),
}
_LIMIT_MEMBERS = ("rateLimitType", "interval", "intervalNum", "limit")


def frame_of_answer(path: str, symbols: Sequence[Json], now: int) -> Json:
    """Return a whole answer of our own.

    Args:
        path: Where it is asked for.
        symbols: Its symbols.
        now: Time of the answer, in the unit asked for.
    """
    market, _ = _KNOWN[path]
    futures_type = {"futuresType": "U_MARGINED"} if path.startswith("/fapi/") else {}
    assets = sorted({s["marginAsset"] for s in symbols}) if futures_type else []
    return {
        "timezone": "UTC",
        "serverTime": now,
        **futures_type,
        "rateLimits": [
            dict(zip(_LIMIT_MEMBERS, limit, strict=True))
            for limit in _RATE_LIMITS[market]
        ],
        "exchangeFilters": [],
        **({"assets": list(map(_asset, assets))} if futures_type else {}),
        "symbols": symbols,
    }


def _asset(name: str) -> Json:
    return {"asset": name, "marginAvailable": True, "autoAssetExchange": "-10000"}


def symbols_made(path: str, survey: Survey) -> list[str]:
    """Return the symbols that an answer can be made of, sorted.

    Args:
        path: Where it is asked for.
        survey: How the tape begins.
    """
    market, _ = _KNOWN[path]
    on_tape = survey.symbols(market) if market in survey.catalogue.streams else set()
    if market == "usdm":
        coin_margined = path.startswith("/dapi/")
        on_tape = {s for s in on_tape if is_coin_margined(s) == coin_margined}
    return sorted(on_tape)


# Recorded ones


@lru_cache(maxsize=2)
def _read(payload: bytes) -> Json | None:
    """Read a recorded answer, once; None if it is no such answer."""
    try:
        body = json.loads(payload)
    except ValueError:
        return None
    listed = body.get("symbols") if isinstance(body, dict) else None
    is_sound = isinstance(listed, list) and all(
        isinstance(item, dict) and isinstance(item.get("symbol"), str)
        for item in listed
    )
    return body if is_sound else None


def _in_force(
    path: str, recorded: Iterable[RestAnswer], now_us: int
) -> list[RestAnswer]:
    """Return the recorded answers of a path in force now, the fullest first."""
    same = [a for a in recorded if request_key(a.request)[0] == path]
    requests = sorted({plain_request(answer.request) for answer in same}, key=len)
    found = (newest_answer(request, same, now_us) for request in requests)
    return [a for a in found if a and a.status == 200 and _read(a.payload)]


def listed_symbols(recorded: Iterable[RestAnswer]) -> frozenset[str]:
    """Return the symbols that recorded answers list, whether on the tape or not."""
    bodies = (
        _read(answer.payload)
        for answer in recorded
        if request_key(answer.request)[0] in _KNOWN
    )
    return frozenset(
        item["symbol"] for body in bodies if body for item in body["symbols"]
    )


# What was asked


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which symbols are asked for; None asks for any."""

    symbols: frozenset[str] | None
    status: str | None
    permissions: frozenset[str] | None
    shows_permission_sets: bool

    @classmethod
    def read(cls, parameters: Parameters) -> _Wanted:
        one, several = parameters.symbol(), parameters.symbols()
        named = several if one is None else [one]
        if named is not None and (
            "permissions" in parameters or "symbolStatus" in parameters
        ):
            refuse(-1128)
        permissions = parameters.text("permissions")
        shows = parameters.choice(
            "showPermissionSets", ("true", "false"), -1130, "showPermissionSets"
        )
        return cls(
            None if named is None else frozenset(named),
            parameters.status(),
            None if permissions is None else _words(permissions),
            shows != "false",
        )

    @property
    def is_everything(self) -> bool:
        return self == _Wanted(None, None, None, shows_permission_sets=True)

    def takes(self, item: Json) -> bool:
        if self.symbols is not None and item["symbol"] not in self.symbols:
            return False
        if self.status is not None and item.get("status") != self.status:
            return False
        return self.permissions is None or not self.permissions.isdisjoint(
            _permissions_of(item)
        )

    def show(self, item: Json) -> Json:
        if self.shows_permission_sets or "permissionSets" not in item:
            return item
        return {**item, "permissionSets": []}


def _words(text: str) -> frozenset[str]:
    """Return one word, or the words of a JSON list."""
    return frozenset(re.findall(r"\w+", text))


def _permissions_of(item: Json) -> Iterator[str]:
    yield from item.get("permissions", ())
    for group in item.get("permissionSets", ()):
        yield from group


def answer_exchange_info(
    target: str,
    survey: Survey,
    recorded: Iterable[RestAnswer],
    *,
    now_us: int,
    time_unit: str | None = None,
) -> RestReply | None:
    """Answer a request for `exchangeInfo`.

    A recorded answer lists what it lists, cut to what is asked for; what it lacks of
    the tape's symbols is made. A market that is not on the tape has no symbols, so
    that clients who load all markets before they start can start.

    Args:
        target: Path and query.
        survey: How the tape begins; it must have seen all it wants to see.
        recorded: Recorded REST answers, oldest first.
        now_us: Time at which the tape stands, microseconds since the epoch.
        time_unit: The header `X-MBX-TIME-UNIT`; None if it was not sent.

    Returns:
        None for any other path.
    """
    path, pairs = request_key(target)
    if path not in _KNOWN:
        return None
    market, known = _KNOWN[path]
    try:
        in_us = wants_us(market, time_unit)
        wanted = _Wanted.read(Parameters(market, pairs, known))
        now = now_us // (1 if in_us else 1000)
        answers = _in_force(path, recorded, now_us)
        make = partial(make_symbol, market=market, survey=survey, now_us=now_us)
        return RestReply(200, _answer(path, survey, answers, wanted, make, now))
    except RequestRefusedError as error:
        return error_reply(error)


def _answer(
    path: str,
    survey: Survey,
    answers: Sequence[RestAnswer],
    wanted: _Wanted,
    make: Callable[[str], Json],
    now: int,
) -> bytes:
    bodies = [body for answer in answers if (body := _read(answer.payload))]
    listed = {
        item["symbol"]: item for body in reversed(bodies) for item in body["symbols"]
    }
    lacking = [name for name in symbols_made(path, survey) if name not in listed]
    if len(bodies) == 1 and not lacking and wanted.is_everything:
        return answers[0].payload
    if wanted.symbols and not wanted.symbols <= {*listed, *lacking}:
        refuse(-1121)
    made = [
        make(name)
        for name in lacking
        if wanted.symbols is None or name in wanted.symbols
    ]
    symbols = [wanted.show(s) for s in [*listed.values(), *made] if wanted.takes(s)]
    body = bodies[0] if bodies else frame_of_answer(path, symbols, now)
    mark = {MADE: _MADE_HOW} if made else {}
    return to_body({**body, "symbols": symbols, **mark})
