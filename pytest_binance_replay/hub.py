"""The hub: who is connected, who gets what, and what everybody did.

It turns what clients say into replies and subscriptions, and keeps for each of them
a view of the tape and a cursor on it. It owns no socket: the server asks it and
carries out what it answers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pytest_binance_replay.client import Client
from pytest_binance_replay.derived.recipes import told_of
from pytest_binance_replay.errors import ReplayError
from pytest_binance_replay.journal import (
    ClientRecord,
    ClientRequest,
    Missing,
    Reason,
    RestRequest,
)
from pytest_binance_replay.pacing import Audience
from pytest_binance_replay.protocols import binance, simple
from pytest_binance_replay.protocols.address import (
    Address,
    Dialect,
    Refusal,
    decide_dialect,
)
from pytest_binance_replay.streams import is_diff_depth, nearest_streams
from pytest_binance_replay.syncing import Syncing
from pytest_binance_replay.wire import Form, stream_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_binance_replay.catalogue import Catalogue
    from pytest_binance_replay.client import Keys
    from pytest_binance_replay.derived.loom import Loom
    from pytest_binance_replay.derived.recipes import Recipe
    from pytest_binance_replay.streams import Market
    from pytest_binance_replay.tape import Tape

MAX_STREAMS = 1024
"""Streams on one connection. Source: Binance API docs, spot and futures."""

ABNORMAL_CLOSURE = 1006
"""A connection that ended without a close frame. Source: RFC 6455, 7.4.1."""

_KEPT_REQUESTS = 10_000
_KEPT_MISSING = 100
_GUESSES = 10


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

_REFUSE = HangUp(binance.CLOSE_CODE, binance.CLOSE_REASON)


class Hub:
    """All clients of one replay server, and what they asked.

    Args:
        tape: The tape being played.
        catalogue: What it holds.
        loom: Derives streams that it does not hold; None derives nothing.

    Attributes:
        clients: Every connection so far, in the order of connecting.
        rest_requests: Requests over HTTP, oldest first.
        asked: Stream names, as clients gave them and as we name them, and REST paths
            that were ever asked for.
        missing: What was asked for in vain, each thing once, whoever asked; a stream
            counts if no header names it and it cannot be derived, whether or not
            frames of it turn up.
        subscriptions_made: How many subscriptions clients have made.
        departures: How many connections have ended.
        reconnects: How many of them were followed by another connection.
        cut_off_us: When the last listener lost its connection, on the clock, if
            nobody has listened since; None otherwise.
        on_change: Called whenever any of this has changed.
    """

    def __init__(
        self, tape: Tape, catalogue: Catalogue, loom: Loom | None = None
    ) -> None:
        self.tape = tape
        self.loom = loom
        self.catalogue = catalogue
        self.clients: list[Client] = []
        self.rest_requests: deque[RestRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.asked: set[str] = set()
        self.missing: list[Missing] = []
        self.syncing = Syncing()
        self.subscriptions_made = 0
        self.departures = 0
        self.reconnects = 0
        self.cut_off_us: int | None = None
        self.on_change: Callable[[], None] = lambda: None

    # Coming and going

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
        prefix = self.catalogue.prefix(market)
        client = Client(len(self.clients) + 1, address, market, prefix, path)
        client.cursor = self.tape.released
        self.clients.append(client)
        if self.reconnects < self.departures:
            self.reconnects += 1
        self._subscribe(client, address.streams)
        self._miss_bare_symbols(client)
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
        self.syncing.keep(client, ())
        client.connected = False
        client.close_code = code
        client.close_reason = reason
        self.departures += 1
        lost = code == ABNORMAL_CLOSURE
        if by_client and self.has_frames_due(client):
            client.vanished = lost
            client.burst = client.recent_burst(now_us)
        if client.view.keys and not self.listeners() and (lost or not by_client):
            self.cut_off_us = now_us
        self.on_change()

    def has_frames_due(self, client: Client) -> bool:
        """Return whether the tape holds frames that the client may yet be sent."""
        if not client.view.keys:
            return False
        if client.cursor < self.tape.released:
            return True
        try:
            return self.tape.head() is not None
        except ReplayError:  # Whoever plays on is told.
            return False

    # Who listens

    def listeners(self) -> list[Client]:
        """Return the connected clients that have a subscription."""
        return [c for c in self.clients if c.connected and c.view.keys]

    def audience(self) -> Audience:
        """Return who listens, for the pace."""
        takers = [(c.view.keys, c.bucket) for c in self.listeners()]
        if takers:
            self.cut_off_us = None
        return Audience(takers, self.cut_off_us)

    def subscribed_names(self) -> set[str]:
        """Return what connected clients are subscribed to, in their and our words."""
        names: set[str] = set()
        for client in self.clients:
            if client.connected:
                names.update(client.names)
                names.update(map(self.catalogue.name, client.view.keys))
        return names

    def lowest_cursor(self) -> int:
        """Return the frame number at which the last of the listeners stands."""
        return min((c.cursor for c in self.listeners()), default=self.tape.released)

    def highest_cursor(self) -> int:
        """Return the frame number at which the first of the listeners stands."""
        return max((c.cursor for c in self.listeners()), default=self.tape.released)

    def follows_book(self, client: Client) -> bool:
        """Return whether a client is sent changes to a book."""
        return any(is_diff_depth(self.catalogue.name(k)) for k in client.view.keys)

    def end_books(self, number: int) -> None:
        """Send whoever follows a book away before a frame: books do not go on there."""
        for client in self.listeners():
            books = [
                key
                for key in client.view.keys
                if is_diff_depth(self.catalogue.name(key))
            ]
            # Who stands right there may have had all that came before, or nothing.
            is_in_book = client.cursor < number or any(client.sent[k] for k in books)
            if books and is_in_book:
                client.stop_at = number

    # What clients say

    def receive(self, client: Client, message: str | bytes) -> list[Outgoing]:
        """Take a message of a client.

        Returns:
            What to do, in order; subscriptions are in force already, from the
            client's cursor on.
        """
        if isinstance(message, bytes):
            outgoing = self._receive_binary(client)
        else:
            outgoing = self._receive_text(client, message)
        shown = repr(message) if isinstance(message, bytes) else message
        replies = tuple(out.text for out in outgoing if isinstance(out, Say))
        client.requests.append(ClientRequest(client.number, shown, replies))
        self.on_change()
        return outgoing

    @staticmethod
    def _receive_binary(client: Client) -> list[Outgoing]:
        """Ignore or refuse it; what an undecided client speaks, only text tells."""
        dialect = client.dialect
        if dialect is Dialect.UNDECIDED:
            dialect = decide_dialect(client.address, "")
        return [] if dialect is Dialect.SIMPLE else [_REFUSE]

    def _receive_text(self, client: Client, text: str) -> list[Outgoing]:
        if client.dialect is Dialect.UNDECIDED:
            client.dialect = decide_dialect(client.address, text)
        if client.dialect is Dialect.SIMPLE:
            return [Say(self._receive_simple(client, text))]
        return self._receive_native(client, text)

    def _receive_simple(self, client: Client, text: str) -> str:
        request = simple.parse_request(text)
        if request is None:
            return simple.INVALID_DATA
        label = f"{request.pair}-{request.stream}"
        if request.action == "unsubscribe":
            self._unsubscribe(client, [label])
        elif label not in client.names:
            self._add(client, {label: self._simple_keys(client, request)})
        return simple.format_reply(request)

    def _receive_native(self, client: Client, text: str) -> list[Outgoing]:
        request = binance.parse_request(text)
        if isinstance(request, binance.Request) and _passes_limit(client, request):
            request = binance.too_many_subscriptions(request.id)
        if isinstance(request, binance.Request):
            result = self._carry_out(client, request)
            return [Say(binance.format_result(result, request.id))]
        reply = Say(binance.format_error(request.code, request.msg, request.id))
        if binance.close_after(request, client.market):
            return [reply, _REFUSE]
        return [reply]

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
            case _:  # SET_PROPERTY
                client.combined = bool(request.params[1])
                client.refresh()
        return None

    # Subscriptions

    def _subscribe(self, client: Client, names: Iterable[str]) -> None:
        new = [name for name in names if name not in client.names]
        self._derive(client, new)
        self._add(client, {name: self._native_keys(client, name) for name in new})

    def _add(self, client: Client, feeds: Mapping[str, Keys]) -> None:
        if not client.view.keys:
            client.cursor = self.tape.next_recorded
        client.names.update(feeds)
        for name, keys in feeds.items():
            self.asked.update([name, *map(self.catalogue.name, keys)])
            if name not in client.missed:
                client.missed[name] = sum(self._gone_by(client, key) for key in keys)
        client.refresh()
        self._note_books(client, feeds)
        self.subscriptions_made += len(feeds)

    def _note_books(self, client: Client, feeds: Mapping[str, Keys]) -> None:
        """Expect that who follows a book natively asks for its snapshot."""
        if client.form is Form.SIMPLE:
            return
        for key in (key for keys in feeds.values() for key in keys):
            name = self.catalogue.name(key)
            if is_diff_depth(name):
                self.syncing.add(client, key, name.partition("@")[0].upper())

    def depth_place(self, market: Market, symbol: str) -> int:
        """Return the number of the frame that a depth snapshot is to join.

        That is where the newest subscriber stands who has had none yet; if all have,
        where the tape does.
        """
        client = self.syncing.newest(market, symbol)
        return self.tape.released if client is None else client.cursor

    def note_depth_answered(self, market: Market, symbol: str) -> None:
        """Note that a depth snapshot was given."""
        self.syncing.note_answered(market, symbol)
        self.on_change()

    def _gone_by(self, client: Client, key: bytes) -> int:
        """Count the frames of a stream that lie behind a client's cursor."""
        cursor, released = client.cursor, self.tape.released
        lagging = self._count(key, cursor, released)
        return self.tape.counts[key] - lagging + self._count(key, released, cursor)

    def _count(self, key: bytes, start: int, stop: int) -> int:
        """Count the frames of a stream from one number to another."""
        count, number = 0, start
        while number < stop:
            block = self.tape.block_at(number)
            keys = block.keys[number - block.first : stop - block.first]
            count += keys.count(key)
            number = block.end
        return count

    def _unsubscribe(self, client: Client, names: Iterable[str]) -> None:
        for name in names:
            client.names.pop(name, None)
        client.refresh()
        self.syncing.keep(client, client.view.keys)
        if not self.follows_book(client):
            client.stop_at = None

    def _native_keys(self, client: Client, name: str) -> Keys:
        known = self.catalogue.streams[client.market]
        if name not in known and self._recipe(client, name) is None:
            in_other_case = name.lower() in map(str.lower, known)
            reason: Reason = "case" if in_other_case else "stream"
            self._miss(client, name, reason, guess=lambda: nearest_streams(name, known))
        if self._keeps_silent(client, name):
            self._miss(client, name, "route")
            return ()
        return (stream_key(name, client.view.prefix),)

    def _simple_keys(self, client: Client, request: simple.SimpleRequest) -> Keys:
        """Choose what feeds a subscription: the best that is known, else what comes.

        A stream that no header names may still have frames, or be pushed by the test.
        """
        known = self.catalogue.streams[client.market]
        names = simple.native_names(request.pair, request.stream)
        held = [name for name in names if name in known]
        if not held:
            held = [name for name in names if self._recipe(client, name) is not None]
            self._derive(client, held[:1])
        if not held:
            label = f"{request.pair}-{request.stream}"
            self._miss(
                client, label, "pair", guess=lambda: _nearest_pairs(label, known)
            )
        feeds = held[:1] or names
        return tuple(stream_key(name, client.view.prefix) for name in feeds)

    def _keeps_silent(self, client: Client, name: str) -> bool:
        return self.catalogue.keeps_silent(client.market, name, client.address.route)

    # Derived streams

    def _recipe(self, client: Client, name: str) -> Recipe | None:
        return None if self.loom is None else self.loom.find(client.market, name)

    def _derive(self, client: Client, names: Iterable[str]) -> None:
        audible = [name for name in names if not self._keeps_silent(client, name)]
        self.derive(client.market, audible)

    def derive(self, market: Market, names: Iterable[str]) -> None:
        """Have streams on the tape from now on that no cassette holds.

        Args:
            market: Their market.
            names: Stream names; what a cassette holds, or what cannot be derived, is
                left as it is.
        """
        if self.loom is None:
            return
        found = [self.loom.find(market, name) for name in names]
        new = self.loom.add(recipe for recipe in found if recipe is not None)
        if new:
            gone = self.tape.reweave(self.loom.batches_from)
            self.tape.counts.update({key: gone[key] for key in new})

    # What is missing

    def _miss_bare_symbols(self, client: Client) -> None:
        """Report symbols in a path where a stream name was meant: `/ws/btcusdt`.

        The exchange takes such a connection, and it stays silent.
        """
        known = self.catalogue.streams[client.market]
        symbols = {name.partition("@")[0] for name in known}
        for segment in unquote(client.address.path).split("/"):
            if segment.lower() in symbols:
                guess = partial(nearest_streams, segment, known)
                self._miss(client, segment, "stream", guess=guess)

    def _miss(
        self,
        client: Client,
        asked: str,
        reason: Reason,
        *,
        guess: Callable[[], list[str]] = list,
    ) -> None:
        missing = Missing(client.number, asked, reason, client.market)
        if self._is_new(missing):
            # To guess takes time on a large tape, and ten guesses are enough to read.
            nearest = guess() if len(self.missing) < _GUESSES else []
            self.missing.append(replace(missing, nearest=tuple(nearest)))

    def _is_new(self, missing: Missing) -> bool:
        if len(self.missing) >= _KEPT_MISSING:
            return False
        what = missing.asked, missing.reason, missing.market
        return what not in ((m.asked, m.reason, m.market) for m in self.missing)

    # Requests over HTTP

    def note_rest(self, request: RestRequest, missing: Missing | None) -> None:
        """Remember a request over HTTP, and what could not be answered."""
        self.rest_requests.append(request)
        self.asked.add(request.path)
        if missing is not None and self._is_new(missing):
            self.missing.append(missing)
        self.on_change()

    # What a test looks at

    def derivations(self) -> list[str]:
        """Say of each derived stream what it is derived from."""
        return [] if self.loom is None else told_of(self.loom.recipes.values())

    def records(self) -> tuple[ClientRecord, ...]:
        """Return all connections so far, in the order of connecting."""
        released = self.tape.released
        return tuple(c.record(self.catalogue, released) for c in self.clients)


def _passes_limit(client: Client, request: binance.Request) -> bool:
    if request.method != "SUBSCRIBE":
        return False
    return len({*client.names, *request.params}) > MAX_STREAMS


def _nearest_pairs(label: str, known: Iterable[str]) -> list[str]:
    fed = (pair for name in known for pair in simple.subscriptions_fed_by(name))
    by_lower = {pair.lower(): pair for pair in sorted(fed)}
    return [by_lower[near] for near in get_close_matches(label.lower(), by_lower)]
