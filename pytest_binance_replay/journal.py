"""What clients did, as values that a test can look at and assert on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_binance_replay.streams import Market

Reason = Literal["stream", "case", "route", "pair", "rest", "damaged"]

_SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A text that a client sent, and what it was answered.

    Attributes:
        client: Number of the client, from 1.
        text: The text as it came; binary messages are shown as a Python literal.
        replies: The texts sent back, in order.
    """

    client: int
    text: str
    replies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request over HTTP, and the status of its answer.

    Attributes:
        path: Path as asked, without the query.
        query: The query as asked; empty if there was none.
        status: HTTP status of the answer.
    """

    path: str
    query: str
    status: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Something a client asked for that the cassettes cannot give.

    Attributes:
        client: Number of the first client that asked, from 1; 0 for a request over
            HTTP.
        asked: What it asked for: a stream name, a pair and stream, a path.
        reason: `stream`: no cassette has the name; `case`: the tape has it in other
            letter case only; `route`: it is on the tape, but the exchange keeps
            it silent on this path; `pair`: the simple protocol knows no such pair
            or stream; `rest`: no recorded answer; `damaged`: what the tape holds for
            it cannot be read.
        market: The market of the client.
        nearest: The nearest names that the tape has, best first.
        detail: What the tape lacks, as a sentence, where the reason alone does not say.
    """

    client: int
    asked: str
    reason: Reason
    market: Market
    nearest: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """One connection to the replay server.

    Attributes:
        number: From 1, in the order of connecting.
        path: Path and query it connected to.
        protocol: `raw`, `combined` or `simple`: how it is sent its events.
        subscriptions: What it is subscribed to, in order, as it named it.
        requests: The texts it sent, with their answers, oldest first.
        sent: How many frames it was sent, by stream name.
        missed: How many frames had gone by when it first subscribed to a name; only
            names that it came too late for.
        left_out: How many frames of its streams it was not sent, because they are no
            whole events that the simple protocol could show.
        behind: How many released frames of the tape its cursor has yet to pass.
        pongs: How many of the server's pings it answered.
        connected: Whether the connection is open.
        close_code: Code of the close frame that ended it; 1006 if there was none;
            None while it is open.
        close_reason: Text of that frame.
        vanished: Whether it went away without a close frame.
        burst: How many frames it was sent in the tenth of a second before it went
            away of itself with frames still due; 0 if that was no burst.
    """

    number: int
    path: str
    protocol: str
    subscriptions: tuple[str, ...] = ()
    requests: tuple[ClientRequest, ...] = ()
    sent: Mapping[str, int] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    behind: int = 0
    pongs: int = 0
    connected: bool = True
    close_code: int | None = None
    close_reason: str = ""
    vanished: bool = False
    burst: int = 0

    def __str__(self) -> str:
        what = _some(self.subscriptions) or "no stream"
        frames = sum(self.sent.values())
        count = "1 frame" if frames == 1 else f"{frames} frames"
        line = f"client {self.number} ({self.path}): {what}; {count} sent"
        if self.behind:
            line += f", {self.behind} behind the tape"
        if self.left_out:
            line += f", {self.left_out} left out as no whole events"
        if self.missed:
            gone = _some([f"{n} of {name}" for name, n in self.missed.items()])
            line += f"; subscribed after {gone} had gone by"
        return line + self._ending()

    def _ending(self) -> str:
        if self.connected:
            return ""
        if self.vanished:
            return "; vanished without a close frame"
        reason = f" {self.close_reason!r}" if self.close_reason else ""
        return f"; closed with {self.close_code}{reason}"


def _some(names: Sequence[str]) -> str:
    """Join names, as many as one can read."""
    more = len(names) - _SHOWN_NAMES
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
