"""Tapes of a few payloads, and what a REST server knows of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_binance_replay.cassette import Batch
from pytest_binance_replay.catalogue import Catalogue
from pytest_binance_replay.files import CassetteReader
from pytest_binance_replay.ledger import Ledger, Survey
from pytest_binance_replay.protocols.market_data import answer_market_data
from pytest_binance_replay.protocols.query import NotOnTape
from pytest_binance_replay.protocols.shown import Known, Top
from pytest_binance_replay.streams import Market

NOW_US = 1_790_000_010_000_000
Shown = tuple[str, dict[str, Any] | list[Any] | bytes]
"""Stream name, and a payload or what it says."""


def payload_of(said: dict[str, Any] | list[Any] | bytes) -> bytes:
    """A payload as the exchange writes it."""
    if isinstance(said, bytes):
        return said
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


class RestTape:
    """Frames in memory, and the readers that answers are made from."""

    def __init__(
        self,
        frames: Iterable[Shown] = (),
        market: Market = "spot",
        *,
        streams: Collection[str] = (),
        batch_frames: int = 3,
    ) -> None:
        held = [(name.encode(), payload_of(said)) for name, said in frames]
        names = {key.decode() for key, _ in held}
        self.catalogue = Catalogue({market: names | set(streams)})
        self.batches = [
            Batch([0] * len(part), [k for k, _ in part], [p for _, p in part], [])
            for first in range(0, len(held), batch_frames)
            if (part := held[first : first + batch_frames])
        ]
        self.length = len(held)
        self.opened = 0

    def read(self) -> Iterator[Batch]:
        """Start reading from the first frame."""
        self.opened += 1
        return iter(self.batches)

    def ledger(self, number: int | None = None) -> Ledger:
        """A ledger before a frame, or at the end."""
        ledger = Ledger(self.read, self.catalogue)
        while not ledger.advance(self.length if number is None else number):
            pass
        return ledger

    def survey(self) -> Survey:
        """A survey that has seen everything."""
        survey = Survey(self.read, self.catalogue)
        while not survey.advance():
            pass
        return survey

    def known(self, number: int | None = None, listed: Collection[str] = ()) -> Known:
        """What is known before a frame, or at the end."""
        return Known(self.ledger(number), self.survey(), listed)


def load_tape(folder: Path, market: Market) -> RestTape:
    """A tape of a real recording."""
    (path,) = folder.glob("session.jsonl*")
    tape = RestTape((), market)
    with CassetteReader(path) as reader:
        tape.batches = list(reader.batches())
    tape.length = sum(len(batch.streams) for batch in tape.batches)
    names = {key.decode() for batch in tape.batches for key in batch.streams}
    tape.catalogue.streams[market] = names
    return tape


def ask(
    known: Known,
    target: str,
    *,
    now_us: int = NOW_US,
    time_unit: str | None = None,
    top: Top | None = None,
) -> Any:
    """What a request is answered with: JSON, or the reason why it is not."""
    more = {} if top is None else {"top": top}
    reply = answer_market_data(
        target, known, now_us=now_us, time_unit=time_unit, **more
    )
    assert reply is not None
    if isinstance(reply, NotOnTape):
        return reply.reason
    assert reply.status == (400 if b'"code":' in reply.body else 200)
    return json.loads(reply.body)


def error(code: int, text: str) -> dict[str, Any]:
    """What the exchange refuses a request with."""
    return {"code": code, "msg": text}


INVALID_SYMBOL = error(-1121, "Invalid symbol.")
