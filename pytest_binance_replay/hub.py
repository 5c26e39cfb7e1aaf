"""The hub: who is connected, who gets what, and what everybody did.

It turns what clients say into replies and subscriptions, and keeps for each of them
a view of the tape and a cursor on it. It owns no socket: the server asks it and
carries out what it answers.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pytest_binance_replay.journal import (
    ClientRecord,
    ClientRequest,
    Missing,
    Reason,
    RestRequest,
)
from pytest_binance_replay.pacing import BURST_FRAMES, Audience, Bucket
from pytest_binance_replay.protocols import binance, simple
from pytest_binance_replay.protocols.address import (
    Address,
    Dialect,
    Refusal,
    decide_dialect,
)
from pytest_binance_replay.streams import is_diff_depth, nearest_streams, route_of
from pytest_binance_replay.wire import Form, View, stream_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.tape import Tape

MAX_STREAMS = 1024
"""Streams on one connection. Source: Binance API docs, spot and futures."""

_KEPT_REQUESTS = 10_000
_BURST_US = 100_000

ABNORMAL_CLOSURE = 1006
"""A connection that ended without a close frame. Source: RFC 6455, 7.4.1."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send a text to the client."""

    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection.

    Attributes:
        code: Close code.
        reason: Reason text, at most 123 bytes of UTF-8.
    """

    code: int
    reason: str


Outgoing = Say | HangUp


@dataclass(slots=True)
class Catalogue:
    """What a tape holds.

    Attributes:
        streams: Stream names of each market on the tape.
        routes: For each market `live`, if its futures paths keep streams of another
            route silent, or `any`.
    """

    streams: dict[Market, set[str]]
    routes: Mapping[Market, Literal["live", "any"]] = field(default_factory=dict)

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets on the tape."""
        return tuple(self.streams)

    def prefix(self, market: Market) -> bytes:
        """Return what stands before a stream name in this market's stream keys."""
        return b"" if len(self.streams) == 1 else market.encode() + b"/"

    def name(self, key: bytes) -> str:
        """Return the stream name in a stream key."""
        return key.rpartition(b"/")[2].decode()


class Client:
    """One connection, as the hub sees it.

    Attributes:
        number: From 1, in the order of connecting.
        path: Path and query as asked.
        address: What that means.
        market: The market it gets.
        view: What it sees of the tape.
        cursor: Number of the next frame of the tape that it has not passed.
        stop_at: Number of the frame before which it is to be sent away.
        bucket: Its right to frames at the auto pace.
    """

    def __init__(
        self, number: int, address: Address, market: Market, prefix: bytes, path: str
    ) -> None:
        self.number = number
        self.path = path
        self.address = address
        self.market = market
        self.dialect = address.dialect
        self.combined = address.combined
        self.names: dict[str, bytes | None] = {}
        self.view = View(market, prefix=prefix)
        self.cursor = 0
        self.stop_at: int | None = None
        self.bucket = Bucket()
        self.requests: deque[ClientRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.sent: Counter[bytes] = Counter()
        self.missed: dict[str, int] = {}
        self.pongs = 0
        self.connected = True
        self.close_code: int | None = None
        self.close_reason = ""
        self.vanished = False
        self.burst = 0
        self._burst_start_us = 0
        self._burst_frames = 0
        self._last_sent_us = 0

    @property
    def form(self) -> Form:
        """How it is sent its events."""
        if self.dialect is Dialect.SIMPLE:
            return Form.SIMPLE
        return Form.COMBINED if self.combined else Form.RAW

    def refresh(self) -> None:
        """Rebuild the view after a change of subscriptions or wrapping."""
        keys = frozenset(key for key in self.names.values() if key is not None)
        wanted = self.address.microseconds and self.market == "spot"
        microseconds = True if wanted else None
        self.view = replace(
            self.view, keys=keys, form=self.form, microseconds=microseconds
        )

    def note_sent(self, counts: Counter[bytes], now_us: int) -> None:
        """Remember what was handed to its socket, and how close together."""
        self.sent.update(counts)
        if now_us - self._burst_start_us > _BURST_US:
            self._burst_start_us, self._burst_frames = now_us, 0
        self._burst_frames += counts.total()
        self._last_sent_us = now_us

    def recent_burst(self, now_us: int) -> int:
        """Return how many frames it was sent at once just now; 0 if not many."""
        if now_us - self._last_sent_us > _BURST_US:
            return 0
        return self._burst_frames if self._burst_frames >= BURST_FRAMES else 0


class Hub:
    """All clients of one replay server, and what they asked.

    Args:
        tape: The tape being played.
        catalogue: What it holds.
    """

    def __init__(self, tape: Tape, catalogue: Catalogue) -> None:
        self.tape = tape
        self.catalogue = catalogue
        self.clients: list[Client] = []
        self.rest_requests: deque[RestRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.missing: list[Missing] = []
        self.asked: set[str] = set()
        self.cut_off_us: int | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.subscriptions_made = 0
        self.departures = 0
        self.reconnects = 0

    # Connecting

    def refusal(self, address: Address) -> Refusal | None:
        """Return why an address cannot be served; None if it can."""
        market = self._market_of(address)
        return market if isinstance(market, Refusal) else None

    def accept(self, address: Address, path: str) -> Client:
        """Let a client in, with the streams that its address names.

        Args:
            address: What it connected to.
            path: The same as it was asked, with the query.

        Raises:
            ValueError: If the address is one to refuse.
        """
        market = self._market_of(address)
        if isinstance(market, Refusal):
            raise ValueError(market.body)  # noqa: TRY004 - a value, not a type
        client = Client(
            len(self.clients) + 1,
            address,
            market,
            self.catalogue.prefix(market),
            path,
        )
        client.cursor = self.tape.released
        if self.reconnects < self.departures:
            self.reconnects += 1
        self.clients.append(client)
        self._subscribe(client, address.streams)
        self.on_change()
        return client

    def _market_of(self, address: Address) -> Market | Refusal:
        markets = self.catalogue.markets
        held = " and ".join(markets)
        if address.market is not None:
            if address.market in markets:
                return address.market
            return Refusal(
                404, f"Invalid request path: the tape holds {held}, no {address.market}"
            )
        if len(markets) > 1:
            return Refusal(
                400,
                f"The tape holds {held}: connect to /{markets[0]}{address.path} "
                f"or /{markets[1]}{address.path}",
            )
        return markets[0]

    def depart(
        self, client: Client, code: int, reason: str, now_us: int, *, by_client: bool
    ) -> None:
        """Note that a connection ended, and whether it was the client's doing.

        Args:
            client: Whose it was.
            code: Code of the close frame; 1006 if there was none.
            reason: Text of that frame.
            now_us: When, on the clock.
            by_client: Whether the server had no hand in it.
        """
        lost = code == ABNORMAL_CLOSURE
        if by_client and self.has_frames_due(client):
            client.vanished = lost
            client.burst = client.recent_burst(now_us)
        self.departures += 1
        client.connected = False
        client.close_code = code
        client.close_reason = reason
        if client.view.keys and not self.listeners() and (lost or not by_client):
            self.cut_off_us = now_us
        self.on_change()

    def has_frames_due(self, client: Client) -> bool:
        """Return whether the tape holds frames that the client may yet be sent."""
        if not client.view.keys:
            return False
        return client.cursor < self.tape.released or self.tape.head() is not None

    def follows_book(self, client: Client) -> bool:
        """Return whether a client is sent changes to a book."""
        return any(is_diff_depth(self.catalogue.name(k)) for k in client.view.keys)

    def end_books(self, number: int) -> None:
        """Send whoever follows a book away before a frame: books do not go on there."""
        for client in self.listeners():
            if client.cursor < number and self.follows_book(client):
                client.stop_at = number

    def subscribed_names(self) -> set[str]:
        """Return what connected clients are subscribed to, in their and our words."""
        names: set[str] = set()
        for client in self.clients:
            if client.connected:
                names.update(client.names)
                names.update(map(self.catalogue.name, client.view.keys))
        return names

    def listeners(self) -> list[Client]:
        """Return the connected clients that have a subscription."""
        return [c for c in self.clients if c.connected and c.view.keys]

    def audience(self) -> Audience:
        """Return who listens, for the pace."""
        takers = [(c.view.keys, c.bucket) for c in self.listeners()]
        if takers:
            self.cut_off_us = None
        return Audience(takers, self.cut_off_us)

    def lowest_cursor(self) -> int:
        """Return the frame number at which the last of the listeners stands."""
        return min((c.cursor for c in self.listeners()), default=self.tape.released)

    def highest_cursor(self) -> int:
        """Return the frame number at which the first of the listeners stands."""
        return max((c.cursor for c in self.listeners()), default=self.tape.released)

    # What clients say

    def receive(self, client: Client, message: str | bytes) -> list[Outgoing]:
        """Take a message of a client.

        Returns:
            What to do, in order; subscriptions are in force already, from the
            client's cursor on.
        """
        text = message if isinstance(message, str) else ""
        if client.dialect is Dialect.UNDECIDED:
            client.dialect = decide_dialect(client.address, text)
            client.refresh()
        if isinstance(message, bytes):
            outgoing = self._receive_binary(client)
        elif client.dialect is Dialect.SIMPLE:
            outgoing = self._receive_simple(client, text)
        else:
            outgoing = self._receive_native(client, text)
        replies = tuple(out.text for out in outgoing if isinstance(out, Say))
        shown = text if isinstance(message, str) else repr(message)
        client.requests.append(ClientRequest(client.number, shown, replies))
        self.on_change()
        return outgoing

    @staticmethod
    def _receive_binary(client: Client) -> list[Outgoing]:
        if client.dialect is Dialect.SIMPLE:
            return []
        return [HangUp(1008, "Invalid request")]

    def _receive_simple(self, client: Client, text: str) -> list[Outgoing]:
        request = simple.parse_request(text)
        if request is None:
            return [Say(simple.INVALID_DATA)]
        label = f"{request.pair}-{request.stream}"
        if request.action == "unsubscribe":
            self._unsubscribe(client, [label])
        elif label not in client.names:
            key = self._simple_key(client, request.pair, request.stream)
            self._add(client, {label: key})
        return [Say(simple.format_reply(request))]

    def _simple_key(self, client: Client, pair: str, stream: str) -> bytes | None:
        known = self.catalogue.streams[client.market]
        for name in simple.native_names(pair, stream):
            if name in known:
                return stream_key(name, client.view.prefix)
        wanted = f"{pair.lower()}@{stream}"
        self._miss(client, f"{pair}-{stream}", "pair", nearest_streams(wanted, known))
        return None

    def _receive_native(self, client: Client, text: str) -> list[Outgoing]:
        request = binance.parse_request(text)
        if isinstance(request, binance.Request):
            request = self._check_limit(client, request)
        if isinstance(request, binance.BadRequest):
            reply = binance.format_error(request.code, request.msg, request.id)
            if binance.close_after(request, client.market):
                return [Say(reply), HangUp(1008, "Invalid request")]
            return [Say(reply)]
        return [
            Say(binance.format_result(self._carry_out(client, request), request.id))
        ]

    @staticmethod
    def _check_limit(
        client: Client, request: binance.Request
    ) -> binance.Request | binance.BadRequest:
        if request.method != "SUBSCRIBE":
            return request
        if len({*client.names, *request.params}) > MAX_STREAMS:
            return binance.too_many_subscriptions(request.id)
        return request

    def _carry_out(self, client: Client, request: binance.Request) -> object:
        match request.method:
            case "SUBSCRIBE":
                self._subscribe(client, map(str, request.params))
            case "UNSUBSCRIBE":
                self._unsubscribe(client, map(str, request.params))
            case "LIST_SUBSCRIPTIONS":
                return list(client.names)
            case "GET_PROPERTY":
                return client.combined
            case "SET_PROPERTY":
                client.combined = bool(request.params[1])
                client.refresh()
        return None

    # Subscriptions

    def _subscribe(self, client: Client, names: Iterable[str]) -> None:
        keys = {n: self._native_key(client, n) for n in names if n not in client.names}
        self._add(client, keys)

    def _add(self, client: Client, keys: Mapping[str, bytes | None]) -> None:
        if not client.view.keys:
            client.cursor = self.tape.released
        client.names.update(keys)
        for label, key in keys.items():
            self.asked.add(label)
            if key is not None:
                self.asked.add(self.catalogue.name(key))
                if gone := self.tape.counts[key] - client.sent[key]:
                    client.missed[label] = gone
        client.refresh()
        self.subscriptions_made += len(keys)

    def _native_key(self, client: Client, name: str) -> bytes | None:
        known = self.catalogue.streams[client.market]
        if name not in known:
            reason: Reason = (
                "case" if name.lower() in map(str.lower, known) else "stream"
            )
            self._miss(client, name, reason, nearest_streams(name, known))
        elif self._is_silent_on_route(client, name):
            self._miss(client, name, "route", [])
            return None
        return stream_key(name, client.view.prefix)

    def _is_silent_on_route(self, client: Client, name: str) -> bool:
        if client.market == "spot" or self.catalogue.routes.get(client.market) == "any":
            return False
        route = route_of(name)
        return route is not None and route != (client.address.route or "public")

    @staticmethod
    def _unsubscribe(client: Client, names: Iterable[str]) -> None:
        for name in names:
            client.names.pop(name, None)
        client.refresh()

    def _miss(
        self, client: Client, asked: str, reason: Reason, nearest: Iterable[str]
    ) -> None:
        missing = Missing(client.number, asked, reason, client.market, tuple(nearest))
        if missing not in self.missing:
            self.missing.append(missing)

    # Requests over HTTP

    def note_rest(self, request: RestRequest, missing: Missing | None) -> None:
        """Remember a request over HTTP, and what could not be answered."""
        self.rest_requests.append(request)
        self.asked.add(request.path)
        if missing is not None and missing not in self.missing:
            self.missing.append(missing)
        self.on_change()

    # What a test looks at

    def records(self) -> tuple[ClientRecord, ...]:
        """Return all connections so far, in the order of connecting."""
        return tuple(map(self._record, self.clients))

    def _record(self, client: Client) -> ClientRecord:
        behind = self.tape.released - client.cursor if client.view.keys else 0
        return ClientRecord(
            number=client.number,
            path=client.path,
            protocol=client.form.value,
            subscriptions=tuple(client.names),
            requests=tuple(client.requests),
            sent=self._by_name(client.sent),
            missed=dict(client.missed),
            behind=behind if client.connected else 0,
            pongs=client.pongs,
            connected=client.connected,
            close_code=client.close_code,
            close_reason=client.close_reason,
            vanished=client.vanished,
            burst=client.burst,
        )

    def _by_name(self, counts: Counter[bytes]) -> dict[str, int]:
        return {self.catalogue.name(key): n for key, n in counts.items()}
