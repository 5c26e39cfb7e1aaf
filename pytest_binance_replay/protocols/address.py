"""Who speaks what: the target of a WebSocket handshake, and a client's first words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal
from urllib.parse import unquote

from pytest_binance_replay.errors import JsonTextError
from pytest_binance_replay.protocols.json_text import parse_json
from pytest_binance_replay.streams import Market, is_well_formed

Route = Literal["public", "market", "private"]

_ORIGIN = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_MARKETS: dict[str, Market] = {"spot": "spot", "usdm": "usdm"}
_ROUTES: dict[str, Route] = {
    "public": "public",
    "market": "market",
    "private": "private",
}
_TIME_UNITS = {
    "MILLISECOND": False,
    "millisecond": False,
    "MICROSECOND": True,
    "microsecond": True,
}


class Dialect(Enum):
    """What a client speaks.

    `/stream` is the address of two protocols: there a client stays `UNDECIDED` until
    its first text, see `decide_dialect`.
    """

    BINANCE = "binance"
    SIMPLE = "simple"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Address:
    """What a client asked for by the address it connected to.

    Attributes:
        dialect: What it speaks, as far as the address tells.
        market: The market that the address names, by `/spot` or `/usdm` in front or by
            a futures route; None leaves it to the tape.
        route: The futures route; None on the paths that have none.
        combined: Whether events are wrapped at first, `{"stream":…,"data":…}`.
        streams: Stream names, decoded, in the order asked for, each once.
        microseconds: Whether times are asked for in microseconds or, false, in
            milliseconds; None if no unit is asked for. A futures market has no such
            choice: None where the address names it; where the tape decides the market
            and it is futures, to be ignored.
        path: The path as asked, without the query, still percent-encoded.
    """

    dialect: Dialect
    market: Market | None
    route: Route | None
    combined: bool
    streams: tuple[str, ...]
    microseconds: bool | None
    path: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that ends a handshake.

    Attributes:
        status: HTTP status.
        body: Text of the answer.
    """

    status: int
    body: str


_NO_SUCH_PATH = Refusal(404, "Invalid request path")
_BAD_TIME_UNIT = Refusal(
    400,
    '{"code":-1194,"msg":"Invalid value for time unit; '
    'expected either MICROSECOND or MILLISECOND."}',
)
_NOT_UTF_8 = Refusal(400, "Invalid request path: not UTF-8")


def parse_address(target: str) -> Address | Refusal:
    """Read the target of a handshake: `/stream?streams=btcusdt@trade`.

    Tolerant where clients differ: empty names and trailing slashes count for nothing,
    neither do path segments that cannot be stream names (clients number their
    connections that way: `/ws/0`, `/stream/3`), nor query members of no meaning;
    a second `?` parts members as `&` does. Streams in the query of `/ws` are not
    supported, as on the exchange: the connection has none yet.

    Args:
        target: As the request line has it, with or without the origin in front; bytes
            that are not ASCII either decoded or as surrogate escapes.

    Returns:
        The address; or the refusal of a path that is none of the exchange's (404), of
        a malformed stream name or an unknown time unit (400).

    Source:
        Binance Spot API docs, "WebSocket Streams", general information; Binance
        USDⓈ-M Futures docs, "Connect", for the routes. The text of the 404 was
        measured; the exchange refuses names listed with commas, in words unknown.
    """
    try:
        return _parse(target.encode("utf-8", "surrogateescape").decode())
    except UnicodeError:
        return _NOT_UTF_8


def decide_dialect(address: Address, first_text: str) -> Dialect:
    """Decide what a client speaks by the first text it sends.

    Args:
        address: What it connected to.
        first_text: Any text.

    Returns:
        What the address says, if it does. Else the simple protocol for an object with
        the member `action`, the native one for an object with `method`; for any other
        text the one whose error it gets: the simple one's if the path asked for ends
        with a slash. Never `UNDECIDED`.
    """
    if address.dialect is not Dialect.UNDECIDED:
        return address.dialect
    members = _members_of(first_text)
    if "action" in members:
        return Dialect.SIMPLE
    if "method" in members:
        return Dialect.BINANCE
    is_simple = unquote(address.path).endswith("/")
    return Dialect.SIMPLE if is_simple else Dialect.BINANCE


def _members_of(text: str) -> set[str]:
    try:
        value = parse_json(text)
    except JsonTextError:
        return set()
    return set(value) if isinstance(value, dict) else set()


def _parse(target: str) -> Address | Refusal:
    path, members = _split(target)
    market, route, segments = _strip_prefixes(path)
    listed = members.get("streams")
    match segments:
        case ["ws", *tail]:
            names = [name for name in tail if _can_be_stream(name)]
        case ["stream", *tail] if not any(map(_belongs_elsewhere, tail)):
            names = [name for names in listed or [] for name in names.split("/")]
        case _:
            return _NO_SUCH_PATH
    combined = segments[0] == "stream"
    is_shared = combined and not tail and route is None and listed is None
    units = [] if market == "usdm" else members.get("timeUnit", [])
    streams = tuple(dict.fromkeys(filter(None, names)))
    return _refusal(streams, units) or Address(
        dialect=Dialect.UNDECIDED if is_shared else Dialect.BINANCE,
        market=market,
        route=route,
        combined=combined,
        streams=streams,
        microseconds=_TIME_UNITS[units[-1]] if units else None,
        path=path,
    )


def _split(target: str) -> tuple[str, dict[str, list[str]]]:
    """Split into the path as asked and the query's members, decoded."""
    without_origin = _ORIGIN.sub("", target.partition("#")[0])
    path, _, query = without_origin.partition("?")
    members: dict[str, list[str]] = {}
    for member in re.split("[&?]", query):
        name, _, value = member.partition("=")
        members.setdefault(_decode(name), []).append(_decode(value))
    return path, members


def _strip_prefixes(path: str) -> tuple[Market | None, Route | None, list[str]]:
    """Take market and route off the front of a path, and leave its segments."""
    if not path.startswith("/"):
        return None, None, []
    segments = [segment for segment in _decode(path).split("/") if segment]
    market = _MARKETS.get(segments[0]) if segments else None
    rest = segments[1:] if market else segments
    route = _ROUTES.get(rest[0]) if rest and market != "spot" else None
    return ("usdm", route, rest[1:]) if route else (market, None, rest)


def _decode(text: str) -> str:
    return unquote(text, errors="strict")


def _can_be_stream(segment: str) -> bool:
    return "@" in segment or segment.startswith("!") or segment == "tradingSession"


def _belongs_elsewhere(segment: str) -> bool:
    """Whether a segment behind /stream makes the path a wrong one, not a number."""
    return segment == "ws" or _can_be_stream(segment)


def _refusal(streams: tuple[str, ...], time_units: list[str]) -> Refusal | None:
    if any(unit not in _TIME_UNITS for unit in time_units):
        return _BAD_TIME_UNIT
    for name in streams:
        if "," in name or not is_well_formed(name):
            return Refusal(
                400,
                f"Malformed stream name {name!r}: "
                "name streams like 'btcusdt@trade', parted by '/'",
            )
    return None
