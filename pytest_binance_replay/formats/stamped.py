"""Messages behind a stamp of the time they were received at: hftbacktest and Tardis.

hftbacktest's collectors write nanoseconds, older ones microseconds, and keep the depth
snapshots that they ask for as lines without a stream name. Tardis writes ISO times of
100 ns and makes streams of its own of the snapshots; an empty line is a disconnect.

Source:
    github.com/nkaz001/hftbacktest, ``collector``; docs.tardis.dev, "Downloading raw
    data", and Binance there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pytest_binance_replay.cassette import Frame, Mark, RestAnswer, is_payload
from pytest_binance_replay.formats.base import (
    Clues,
    Format,
    Item,
    Told,
    frame_of,
    keep,
    refuse,
    split_envelope,
)
from pytest_binance_replay.formats.names import Namer

_NUMBER_STAMP = re.compile(rb"([0-9]{16}(?:[0-9]{3})?) (.*)")
_USUAL = re.compile(
    rb'([0-9]{16}(?:[0-9]{3})?) \{"stream":"([!-#%-[\]-~]+?)","data":(\{[^\t\r]*\})\}'
)
_ISO_STAMP = re.compile(
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z (.*)"
)
_NANOSECOND_DIGITS = 19
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SNAPSHOT = re.compile(rb'\{\s*"lastUpdateId"\s*:\s*([0-9]+)')
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"]+)"')
_FINAL_ID = re.compile(rb'"u"\s*:\s*([0-9]+)')
_IN_FILE_NAME = re.compile(
    r"\A([a-z0-9]+(?:_(?:perp|[0-9]{6}))?)(?=[_.-]|\Z)", re.IGNORECASE
)
_LIMITS = (5, 10, 20, 50, 100, 500, 1000, 5000)


def number_stamp(line: bytes) -> tuple[int, bytes] | None:
    """Split off a stamp of nanoseconds or microseconds."""
    found = _NUMBER_STAMP.fullmatch(line)
    if found is None:
        return None
    stamp = int(found[1])
    return (stamp // 1000 if len(found[1]) == _NANOSECOND_DIGITS else stamp), found[2]


def iso_stamp(line: bytes) -> tuple[int, bytes] | None:
    """Split off a stamp as ``2019-06-01T00:00:00.0123456Z``."""
    found = _ISO_STAMP.fullmatch(line)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1].decode()}+00:00")
    except ValueError:
        return None
    fraction_us = int((found[2] or b"").ljust(6, b"0")[:6])
    return (moment - _EPOCH) // timedelta(microseconds=1) + fraction_us, found[3]


def depth_request(body: bytes, symbol: str) -> str:
    """Return the request that a depth snapshot most likely answers."""
    path = "/api/v3/depth"
    if _SYMBOL.search(body):
        path = "/dapi/v1/depth"  # the only one whose answer names its symbol
    elif b'"E"' in body[:200]:
        path = "/fapi/v1/depth"
    longer = _levels_shown(body)
    limit = next((n for n in _LIMITS if longer <= n), _LIMITS[-1])
    return f"{path}?symbol={symbol}&limit={limit}"


def _levels_shown(body: bytes) -> int:
    """Return how many levels the longer side of a snapshot has."""
    try:
        shown = json.loads(body)
        return max(len(shown["bids"]), len(shown["asks"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0


class Snapshots:
    """Finds whose books the depth snapshots show that come without a symbol.

    One that names no symbol is of the symbol whose update ids are nearest; before any
    is known, it is held back.

    Args:
        symbol: The only symbol there is; None if that is not known.
    """

    def __init__(self, symbol: str | None) -> None:
        self._only = symbol
        self._ids: dict[str, int] = {}
        self._held: list[tuple[int, bytes]] = []

    def saw(self, stream: str, payload: bytes) -> list[Item]:
        """Note the ids of a frame; give the snapshots that waited for one."""
        symbol, _, feature = stream.partition("@")
        if feature.startswith("depth") and (found := _FINAL_ID.search(payload)):
            self._ids[symbol.upper()] = int(found[1])
            if self._held:
                return self.rest()
        return []

    def add(self, time_us: int, body: bytes) -> list[Item]:
        """Take a snapshot."""
        self._held.append((time_us, body))
        if self._ids or self._only or _SYMBOL.search(body):
            return self.rest()
        return []

    def rest(self) -> list[Item]:
        """Give what is held back."""
        held, self._held = self._held, []
        return [self._answer(time_us, body) for time_us, body in held]

    def _answer(self, time_us: int, body: bytes) -> Item:
        if (symbol := self._symbol_of(body)) is None:
            return keep(time_us, body)
        return RestAnswer(time_us, depth_request(body, symbol), 200, body)

    def _symbol_of(self, body: bytes) -> str | None:
        if not is_payload(body):
            return None
        if named := _SYMBOL.search(body):
            return named[1].decode()
        found = _SNAPSHOT.match(body)
        if found is None or not self._ids:
            return self._only
        update_id = int(found[1])
        return min(self._ids, key=lambda symbol: abs(self._ids[symbol] - update_id))


class HftbacktestReader:
    """Reads a capture of hftbacktest's collectors."""

    def __init__(self, clues: Clues) -> None:
        self.told = Told()
        in_name = _IN_FILE_NAME.match(clues.name)
        symbol = clues.symbol or (in_name[1].upper() if in_name else None)
        self._snapshots = Snapshots(symbol)
        self._namer = Namer(clues.streams)
        self._names: dict[bytes, str] = {}

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line."""
        found = _USUAL.fullmatch(line)
        # Another member behind the payload begins behind a brace and a comma.
        if found is None or b"}," in found[3] or b"} " in found[3]:
            return self._take_any(line)
        stamp, name, payload = found.groups()
        stream = self._names.get(name) or self._names.setdefault(name, name.decode())
        time_us = int(stamp) // (1000 if len(stamp) == _NANOSECOND_DIGITS else 1)
        if b"@depth" in name:
            return (
                *self._snapshots.saw(stream, payload),
                Frame(time_us, stream, payload),
            )
        return (Frame(time_us, stream, payload),)

    def _take_any(self, line: bytes) -> Iterable[Item]:
        stamped = number_stamp(line.rstrip())
        if stamped is None:
            refuse("it does not begin with a time in nanoseconds or microseconds")
        time_us, text = stamped
        if (found := split_envelope(text)) is not None:
            frame = Frame(time_us, *found)
            if "@depth" in frame.stream:
                return [*self._snapshots.saw(frame.stream, frame.payload), frame]
            return [frame]
        if _SNAPSHOT.match(text):
            return self._snapshots.add(time_us, text)
        return [frame_of(time_us, self._namer.name(text), text)]

    def finish(self) -> Iterable[Item]:
        """Give the snapshots that were held back."""
        return self._snapshots.rest()


_GENERATED = {"depthSnapshot": "depth", "openInterest": "openInterest"}


class TardisReader:
    """Reads a raw download from Tardis."""

    def __init__(self, clues: Clues) -> None:
        self.told = Told()
        self._market = clues.market
        self._last_us = 0

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line."""
        stamped = iso_stamp(line.rstrip())
        if stamped is None:
            refuse("it does not begin with a time as 2019-06-01T00:00:00.0123456Z")
        self._last_us, text = stamped
        if (found := split_envelope(text)) is None:
            return [keep(self._last_us, text)]
        stream, payload = found
        symbol, _, feature = stream.partition("@")
        if feature in _GENERATED and is_payload(payload):
            return [self._answer(symbol.upper(), feature, payload)]
        return [Frame(self._last_us, stream, payload)]

    def _answer(self, symbol: str, feature: str, body: bytes) -> Item:
        if feature == "depthSnapshot":
            return RestAnswer(self._last_us, depth_request(body, symbol), 200, body)
        base = "dapi" if b'"pair"' in body else "fapi"
        request = f"/{base}/v1/openInterest?symbol={symbol}"
        return RestAnswer(self._last_us, request, 200, body)

    def blank(self) -> Iterable[Item]:
        """Read an empty line."""
        if not self._last_us:
            return ()
        return [Mark(self._last_us, "disconnected", {"reason": "said by the capture"})]

    def finish(self) -> Iterable[Item]:
        """Give what was held back, which is nothing."""
        return ()


def _begins(sample: bytes, form: re.Pattern[bytes]) -> bool:
    return form.match(sample.lstrip()) is not None


HFTBACKTEST = Format(
    "hftbacktest",
    "a capture of hftbacktest",
    lambda sample: _begins(sample, re.compile(rb"[0-9]{16}(?:[0-9]{3})? \{")),
    HftbacktestReader,
)
TARDIS = Format(
    "tardis",
    "a raw download from Tardis",
    lambda sample: _begins(sample, re.compile(rb"[0-9]{4}-[0-9]{2}-\S+Z \{")),
    TardisReader,
)
