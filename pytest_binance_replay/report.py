"""What a failed test shows of its replay, as text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_binance_replay.cassette import Frame
    from pytest_binance_replay.journal import ClientRecord, ClientRequest, RestRequest
    from pytest_binance_replay.tape import Position

_SHOWN_REQUESTS = 5
_SHOWN_CHARACTERS = 100


def describe(
    *,
    cassette: str,
    position: Position,
    speed: object,
    clients: Sequence[ClientRecord],
    requests: Sequence[RestRequest],
    missing: Iterable[object],
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
        last: The newest released frames, oldest first.

    Returns:
        Several lines.
    """
    lines = [
        f"cassette: {cassette}",
        f"position: {position}",
        f"speed: {speed}",
        *(_clients(clients) if clients else ["no client ever connected"]),
        *(f"GET {_request(request)}" for request in requests[-_SHOWN_REQUESTS:]),
        *(f"missing: {sentence}" for sentence in missing),
    ]
    if last:
        lines.append("last frames released:")
        lines.extend(f"  {_frame(frame)}" for frame in last)
    return "\n".join(lines)


def _moment(time_us: int) -> str:
    seconds, us = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us:06}Z"


def _clients(clients: Iterable[ClientRecord]) -> Iterator[str]:
    for client in clients:
        yield str(client)
        for request in client.requests[-_SHOWN_REQUESTS:]:
            yield f"  {_exchange(request)}"
        if client.burst:
            yield f"  {burst_advice(client)}"


def burst_advice(client: ClientRecord) -> str:
    """Say what to do about a client that went away right after a burst."""
    return (
        f"client {client.number} went away right after a burst of {client.burst} "
        "frames: its queue may have overflowed. Slow the tape with speed='auto' or "
        "speed=1, or have the bot read faster."
    )


def _exchange(request: ClientRequest) -> str:
    answer = " ".join(request.replies) or "no answer"
    return f"{_short(request.text)} -> {_short(answer)}"


def _request(request: RestRequest) -> str:
    query = f"?{request.query}" if request.query else ""
    return f"{_short(request.path + query)} -> {request.status}"


def _frame(frame: Frame) -> str:
    text = frame.payload.decode(errors="replace")
    return f"{_moment(frame.receive_time_us)} {frame.stream} {_short(text)}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
