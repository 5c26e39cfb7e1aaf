"""Lines that collectors write: messages of combined streams, or bare payloads.

A line may begin with its number and a colon, as ``grep -n`` writes it. No line says
when it was received, so its event time has to stand in.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.formats.base import (
    FROM_EVENT_TIME,
    Clues,
    Format,
    Item,
    Told,
    event_time_us,
    frame_of,
    refuse,
    split_envelope,
)
from pytest_binance_replay.formats.names import Namer

_NUMBER = re.compile(rb"[0-9]{1,9}: ?")
_FIRST = re.compile(
    rb'\s*(?:[0-9]{1,9}: ?)?(?:\{\s*"(?:stream|data|e|u)"\s*:|\[\s*\{\s*"e"\s*:)'
)
_REPRS = re.compile(rb"\s*\{\s*'(?:stream|data)'\s*:")


def _told() -> Told:
    return Told(notes={"receive_times": FROM_EVENT_TIME})


def without_number(line: bytes) -> bytes:
    """Return a line without the number it may begin with."""
    found = _NUMBER.match(line)
    return (line[found.end() :] if found else line).strip()


class MessageReader:
    """Reads ``{"stream":...,"data":...}`` lines, and bare payloads."""

    def __init__(self, clues: Clues) -> None:
        self.told = _told()
        sample = map(without_number, clues.sample.splitlines())
        self._namer = Namer(clues.streams, sample)

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line."""
        text = without_number(line)
        if (found := split_envelope(text)) is not None:
            stream, payload = found
            return [Frame(event_time_us(payload), stream, payload)]
        if not text.startswith((b"{", b"[")):
            refuse("it is no message of a stream")
        self.told.notes["stream_names"] = "from the payloads, where they came without"
        return [frame_of(event_time_us(text), self._namer.name(text), text)]

    def finish(self) -> Iterable[Item]:
        """Give what was held back, which is nothing."""
        return ()


class ReprReader:
    """Reads messages of combined streams as Python writes them: ``{'stream': ...}``."""

    def __init__(self, _: Clues) -> None:
        self.told = _told()
        self.told.notes["payloads"] = "written anew from Python literals"

    def take(self, line: bytes) -> Iterable[Item]:
        """Read the next line."""
        try:
            message = ast.literal_eval(line.decode().strip())
            stream, data = message["stream"], message["data"]
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        except (ValueError, SyntaxError, LookupError, TypeError):
            refuse("it is no message of a combined stream as Python writes it")
        except (RecursionError, MemoryError):
            refuse("its values are nested too deeply")
        payload = text.encode()
        return [frame_of(event_time_us(payload), str(stream), payload)]

    def finish(self) -> Iterable[Item]:
        """Give what was held back, which is nothing."""
        return ()


LINES = Format(
    "lines",
    'lines of {"stream":...,"data":...} or bare payloads',
    lambda sample: _FIRST.match(sample) is not None,
    MessageReader,
)
REPRS = Format(
    "python",
    "messages as Python prints them",
    lambda sample: _REPRS.match(sample) is not None,
    ReprReader,
)
