"""Other people's captures, read as cassette lines: a module for each form.

A form is recognised by what a capture begins with, never by the name of its file.
Payloads are taken out of the capture as they are; where it holds none, they are made
in the exchange's key order and number formats, and the reader notes that for the
header. So it does where receive times are made of event times.
"""

from __future__ import annotations

from pytest_binance_replay.formats.base import (
    FROM_EVENT_TIME,
    UNDATED,
    Clues,
    DocumentReader,
    Format,
    Item,
    LineReader,
    Told,
)
from pytest_binance_replay.formats.cryptofeed import CRYPTOFEED
from pytest_binance_replay.formats.har import HAR
from pytest_binance_replay.formats.lines import LINES, REPRS
from pytest_binance_replay.formats.public_data import PUBLIC_DATA
from pytest_binance_replay.formats.rest import REST
from pytest_binance_replay.formats.simple_log import SIMPLE_LOG
from pytest_binance_replay.formats.stamped import HFTBACKTEST, TARDIS

FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        CRYPTOFEED,
        HFTBACKTEST,
        TARDIS,
        SIMPLE_LOG,
        LINES,
        REPRS,
        REST,
        HAR,
        PUBLIC_DATA,
    )
}
"""All forms by name, in the order in which they are tried."""


def recognise(sample: bytes) -> Format | None:
    """Tell the form of a capture.

    Args:
        sample: What it begins with, decompressed: whole lines, or a part of the first.

    Returns:
        None for a cassette, and for what no form fits.
    """
    body = sample.removeprefix(b"\xef\xbb\xbf").lstrip()
    found = (form for form in FORMATS.values() if form.recognises(body))
    return next(found, None)


__all__ = [
    "FORMATS",
    "FROM_EVENT_TIME",
    "UNDATED",
    "Clues",
    "DocumentReader",
    "Format",
    "Item",
    "LineReader",
    "Told",
    "recognise",
]
