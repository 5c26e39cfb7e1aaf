from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from pytest_binance_replay.recording.receiver import Receiver

MOST_BYTES = 100_000


def frame(opcode: Opcode, content: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, content, fin).serialize(mask=False)


def text(content: bytes) -> bytes:
    return frame(Opcode.TEXT, content)


PING, PONG = frame(Opcode.PING, b"1790000000000"), frame(Opcode.PONG, b"?")
CLOSE = frame(Opcode.CLOSE, Close(1001, "going").serialize())
BINARY = frame(Opcode.BINARY, b"binary")
PARTS = [
    frame(Opcode.TEXT, b"one ", fin=False),
    frame(Opcode.CONT, b"whole", fin=True),
]


class Upstream:
    """What a client has asked, and what it is answered."""

    def __init__(self) -> None:
        uri = parse_uri("ws://localhost/")
        self.protocol = ClientProtocol(uri, max_size=MOST_BYTES)
        self._request = self.protocol.connect()

    def answer(self, *, refused: bool = False) -> bytes:
        """The answer to the handshake; the client has sent its own part then."""
        self.protocol.send_request(self._request)
        asked = b"".join(self.protocol.data_to_send())
        server = ServerProtocol()
        server.receive_data(asked)
        [request] = server.events_received()
        assert isinstance(request, Request)
        accepted = server.accept(request)
        server.send_response(server.reject(503, "") if refused else accepted)
        return b"".join(server.data_to_send())


class Outcome(NamedTuple):
    """What a connection made of what came.

    Attributes:
        taken: Texts it handed over, by call.
        left: Messages that the library gave afterwards.
        sent: What it sent.
        lost: How it ended.
    """

    taken: list[list[bytes]]
    left: list[bytes]
    sent: bytes
    lost: ConnectionClosed

    @property
    def messages(self) -> list[bytes]:
        """All of them, in order."""
        return [*(text for texts in self.taken for text in texts), *self.left]


async def receive(upstream: Upstream, pieces: Iterable[bytes]) -> Outcome:
    """Let a connection take what comes, piece by piece, and then the end."""
    taken: list[list[bytes]] = []
    here, there = socket.socketpair()
    there.setblocking(False)
    make = partial(Receiver, take=taken.append, most_bytes=MOST_BYTES)
    _, receiver = await asyncio.get_running_loop().create_connection(
        lambda: make(upstream.protocol, close_timeout=1, max_queue=None), sock=here
    )
    for piece in pieces:
        receiver.data_received(piece)
    sent = b""
    with suppress(BlockingIOError):
        sent = there.recv(65_536)
    there.close()
    left: list[bytes] = []
    return Outcome(taken, left, sent, await lose(receiver, left))


async def lose(receiver: Receiver, left: list[bytes]) -> ConnectionClosed:
    """Read what the library has until it tells why there is no more."""
    while True:
        try:
            left.append(await receiver.recv(decode=False))
        except ConnectionClosed as error:
            return error


def outcome(*frames: bytes, cuts: Sequence[int] = ()) -> Outcome:
    """What comes of frames behind the handshake, cut at some indexes."""
    upstream = Upstream()
    data = upstream.answer() + b"".join(frames)
    at = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    pieces = [data[start:end] for start, end in pairwise(at)]
    return asyncio.run(receive(upstream, pieces))


def masked_pongs(sent: bytes) -> list[bytes]:
    """The contents of the pongs among what a client sent."""
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(sent)
    events = server.events_received()
    frames = [event for event in events if isinstance(event, Frame)]
    return [bytes(f.data) for f in frames if f.opcode is Opcode.PONG]


def test_texts_that_come_together_are_handed_over_together() -> None:
    found = outcome(text(b"a"), text(b"b" * 126), text(b"c" * 70_000), text(b""))
    assert found.taken == [[b"a", b"b" * 126, b"c" * 70_000, b""]]
    assert found.left == []


def test_a_ping_is_answered_between_texts() -> None:
    found = outcome(text(b"a"), PING, PONG, text(b"b"))
    assert found.taken == [[b"a"], [b"b"]]
    assert masked_pongs(found.sent) == [b"1790000000000"]


@pytest.mark.parametrize(
    ("frames", "message"), [(PARTS, b"one whole"), ([BINARY], b"binary")]
)
def test_after_another_kind_of_message_all_is_left_in_order(
    frames: list[bytes], message: bytes
) -> None:
    frames = [text(b"a"), *frames, text(b"b"), PING, text(b"c")]
    found = outcome(*frames, cuts=range(1000))
    assert found.taken == [[b"a"]]
    assert found.left == [message, b"b", b"c"]
    assert masked_pongs(found.sent) == [b"1790000000000"]


def test_the_end_is_told_with_its_reason() -> None:
    found = outcome(text(b"a"), CLOSE, text(b"b"))
    assert found.messages == [b"a"]
    assert found.lost.rcvd == Close(1001, "going")


def test_a_text_that_ends_too_soon_is_no_message() -> None:
    found = outcome(text(b"a"), text(b"b" * 200)[:-1])
    assert found.messages == [b"a"]
    assert isinstance(found.lost, ConnectionClosedError)
    assert found.lost.rcvd is None


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Frame(Opcode.TEXT, b"x" * 5).serialize(mask=True), 1002),
        (Frame(Opcode.TEXT, b"x" * 300).serialize(mask=True), 1002),
        (b"\x81\x80" + bytes(12), 1002),
        (b"\xc1\x01x", 1002),
        (b"\x83\x01x", 1002),
        (b"\x89\x7e\x00\x80" + b"x" * 128, 1002),
        (frame(Opcode.CONT, b"x"), 1002),
        (text(b"x" * (MOST_BYTES + 1))[:20], 1009),
        (b"\x81\x7f" + b"\xff" * 8, 1009),
    ],
    ids=[
        *("masked", "masked and long", "masked by zeros", "a reserved bit"),
        *("no known kind", "a long ping", "a part of nothing", "too large"),
        "larger than can be",
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(bad: bytes, code: int) -> None:
    found = outcome(text(b"a"), bad)
    assert found.messages == [b"a"]
    assert found.lost.sent is not None
    assert found.lost.sent.code == code


def test_a_refused_handshake_hands_over_nothing() -> None:
    upstream = Upstream()
    pieces = [upstream.answer(refused=True), text(b"a")]
    found = asyncio.run(receive(upstream, pieces))
    assert found.messages == []
    assert upstream.protocol.handshake_exc is not None


contents = st.binary(max_size=5) | st.sampled_from(
    [b"x" * 125, b"y" * 126, b"z" * 65_536]
)
usual = contents.map(text) | st.sampled_from([PING, PONG])
frames_of_all_kinds = st.lists(
    usual | st.sampled_from([BINARY, CLOSE, *PARTS, b"".join(PARTS), b"\x83\x00"]),
    max_size=8,
)
cuts = st.lists(st.integers(0, 500), max_size=12)


@given(frames=st.lists(usual, max_size=8), cuts=cuts)
def test_where_pieces_end_makes_no_difference(
    frames: list[bytes], cuts: list[int]
) -> None:
    found = outcome(*frames, cuts=cuts)
    assert found.left == []
    assert found.messages == outcome(*frames).messages


@given(frames=frames_of_all_kinds, cuts=cuts)
def test_all_comes_as_the_library_alone_gives_it(
    frames: list[bytes], cuts: list[int]
) -> None:
    found = outcome(*frames, cuts=cuts)
    assert found.messages == messages_of(b"".join(frames))


def messages_of(data: bytes) -> list[bytes]:
    """What the library's protocol makes of frames."""
    protocol = ClientProtocol(
        parse_uri("ws://localhost/"), state=State.OPEN, max_size=MOST_BYTES
    )
    protocol.receive_data(data)
    messages: list[bytes] = []
    parts = b""
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            parts += event.data
            if event.fin:
                messages.append(parts)
                parts = b""
    return messages
