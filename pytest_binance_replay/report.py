"""What a failed test shows of its replay, as text of at most 100 columns."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING

from pytest_binance_replay.protocols.rest import plain_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_binance_replay.cassette import Frame
    from pytest_binance_replay.journal import ClientRecord, ClientRequest, RestRequest
    from pytest_binance_replay.tape import Position

WIDTH = 100
"""Columns of a report; a word longer than that is not broken."""

_SHOWN_REQUESTS = 5
_SHOWN_CLIENTS = 10
_SHOWN_MISSING = 10
_SHOWN_DERIVED = 10
_SHOWN_STREAMS = 8
_ANSWER_WIDTH = 60
_LEAST_WIDTH = 20


def describe(
    *,
    cassette: str,
    position: Position,
    speed: object,
    clients: Sequence[ClientRecord],
    requests: Sequence[RestRequest],
    missing: Sequence[object],
    blocked: Sequence[object] = (),
    derived: Sequence[str] = (),
    last: Sequence[Frame],
) -> str:
    """Describe a replay.

    Args:
        cassette: Names of the cassettes.
        position: Where the tape stands.
        speed: Pace of the tape.
        clients: Connections, in the order of connecting.
        requests: Requests over HTTP, oldest first.
        missing: What clients asked for in vain, one sentence each.
        blocked: What was kept from reaching the exchange, one sentence each.
        derived: What was derived from what, because no cassette has it: each stream
            once, as `btcusdt@depth from btcusdt@depth@100ms`.
        last: The newest released frames, oldest first.

    Returns:
        Several lines.
    """
    lines = [
        *_wrapped(f"cassette: {cassette}"),
        f"position: {position}",
        f"speed: {speed}",
        *_clients(clients),
        *_rest(requests),
        *_missing(missing),
        *_derived(derived),
        *(line for sentence in blocked for line in _wrapped(f"blocked: {sentence}")),
    ]
    if last:
        lines.append("last frames released:")
        lines.extend(f"  {_frame(frame)}" for frame in last)
    return "\n".join(lines)


def burst_advice(client: ClientRecord) -> str:
    """Say what to do about a client that went away right after a burst."""
    return (
        f"client {client.number} went away right after a burst of {client.burst} "
        "frames: its queue may have overflowed. Slow the tape with speed='auto' or "
        "speed=1, or have the bot read faster."
    )


def _clients(clients: Sequence[ClientRecord]) -> Iterator[str]:
    if not clients:
        yield "no client ever connected"
    yield from _left_out(len(clients) - _SHOWN_CLIENTS, "earlier client")
    for client in clients[-_SHOWN_CLIENTS:]:
        yield from _client(client)


def _client(client: ClientRecord) -> Iterator[str]:
    yield from _wrapped(str(client))
    if client.sent:
        most = sorted(client.sent.items(), key=lambda item: -item[1])
        shown = [f"{count} of {name}" for name, count in most[:_SHOWN_STREAMS]]
        more = len(most) - _SHOWN_STREAMS
        tail = f" and of {more} more streams" if more > 0 else ""
        yield from _wrapped(f"sent {', '.join(shown)}{tail}", "  ")
    asked = client.requests
    yield from _left_out(len(asked) - _SHOWN_REQUESTS, "earlier message", "  ")
    for request in asked[-_SHOWN_REQUESTS:]:
        yield f"  {_exchange(request)}"
    if client.burst:
        yield from _wrapped(burst_advice(client), "  ")


def _exchange(request: ClientRequest) -> str:
    room = WIDTH - len("   -> ")
    answer = " ".join(request.replies) or "no answer"
    asked = _short(request.text, room - min(len(answer), _ANSWER_WIDTH))
    return f"{asked} -> {_short(answer, room - len(asked))}"


def _rest(requests: Sequence[RestRequest]) -> Iterator[str]:
    yield from _left_out(len(requests) - _SHOWN_REQUESTS, "earlier request over HTTP")
    for request in requests[-_SHOWN_REQUESTS:]:
        asked = plain_request(f"{request.path}?{request.query}")
        room = WIDTH - len("GET  -> 200")
        yield f"GET {_short(asked, room)} -> {request.status}"


def _missing(sentences: Sequence[object]) -> Iterator[str]:
    for sentence in sentences[:_SHOWN_MISSING]:
        yield from _wrapped(f"missing: {sentence}")
    yield from _left_out(len(sentences) - _SHOWN_MISSING, "more thing", verb="missing")


def _derived(streams: Sequence[str]) -> Iterator[str]:
    for stream in streams[:_SHOWN_DERIVED]:
        yield from _wrapped(f"derived: {stream}")
    yield from _left_out(len(streams) - _SHOWN_DERIVED, "more stream", verb="derived")


def _frame(frame: Frame) -> str:
    start = f"{_moment(frame.receive_time_us)} {frame.stream} "
    text = frame.payload.decode(errors="replace")
    return start + _short(text, max(WIDTH - 2 - len(start), _LEAST_WIDTH))


def _moment(time_us: int) -> str:
    seconds, us = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us:06}Z"


def _left_out(
    count: int, what: str, indent: str = "", *, verb: str = "not shown"
) -> Iterator[str]:
    if count > 0:
        yield f"{indent}({count} {what}{'s' * (count > 1)} {verb})"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _short(text: str, width: int) -> str:
    """Cut a text to a width, and put it on one line."""
    start = text[: 4 * width]  # the rest may be megabytes
    line = " ".join(start.split())
    if len(line) <= width and len(start) == len(text):
        return line
    return f"{line[: width - 3]}..."
