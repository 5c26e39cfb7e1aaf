"""Raw data as cryptofeed's file callback writes it.

One file of everything, or one for each connection and one for REST; their lines are
alike::

    configuration: {"trades":[...]}
    wss://stream.binance.com:9443/stream?streams=... <-> 1617566590.378895
    wss://stream.binance.com:9443/... <- 1617566590.4: what was sent
    1617566591.326123: what came
    https://api.binance.com/api/v3/depth?symbol=... -> 1617566592.1: the answer

Source:
    github.com/bmoscon/cryptofeed, ``util/async_file.py`` and ``raw_data_collection``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.formats.base import (
    Clues,
    Format,
    Item,
    Told,
    answer_of,
    frame_of,
    market_of_url,
    refuse,
    request_of_url,
    seconds_to_us,
    split_envelope,
)
from pytest_binance_replay.formats.names import Namer

_FIRST = re.compile(
    rb"\s*(?:wss?://\S+ <-> [0-9]|https?://\S+ -> [0-9]|configuration: \{"
    rb"|[0-9]{10}\.[0-9]+: )"
)
_MESSAGE = re.compile(rb"([0-9.]+): (.*)")
_CONNECTED = re.compile(rb"(wss?://\S+) <-> ([0-9.]+)\s*")
_ANSWER = re.compile(rb"(https?://\S+) -> ([0-9.]+): (.*)")
_SENT = re.compile(rb"\S+ <- [0-9.]+: .*")
_HTTP_HEADER = re.compile(rb" header: \{.*\}\Z")


class CryptofeedReader:
    """Reads one file of a cryptofeed capture."""

    def __init__(self, clues: Clues) -> None:
        self.told = Told()
        self._known = clues.streams
        self._namer = Namer(clues.streams)

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line."""
        line = line.rstrip(b"\r")
        if found := _MESSAGE.fullmatch(line):
            return [self._message(seconds_to_us(found[1]), found[2])]
        if found := _ANSWER.fullmatch(line):
            return [self._answer(found[1].decode(errors="replace"), found[2], found[3])]
        if found := _CONNECTED.fullmatch(line):
            self.told.connected(found[1].decode(errors="replace"))
            self._namer = Namer((*self._known, *self.told.streams))
        elif not (_SENT.fullmatch(line) or line.startswith(b"configuration: ")):
            refuse("it is no line that cryptofeed writes")
        return ()

    def _message(self, time_us: int, text: bytes) -> Item:
        if (found := split_envelope(text)) is not None:
            return Frame(time_us, *found)
        return frame_of(time_us, self._namer.name(text), text)

    def _answer(self, url: str, time: bytes, body: bytes) -> Item:
        self.told.market = self.told.market or market_of_url(url)
        body = _HTTP_HEADER.sub(b"", body).strip()
        return answer_of(seconds_to_us(time), request_of_url(url), body)

    def finish(self) -> Iterable[Item]:
        """Give what was held back, which is nothing."""
        return ()


CRYPTOFEED = Format(
    "cryptofeed",
    "cryptofeed raw data",
    lambda sample: _FIRST.match(sample) is not None,
    CryptofeedReader,
)
