"""Answers to requests over HTTP: recorded ones, and those that the tape can give.

What the tape has shown and the state of its books are followed by readers of their
own, only when somebody asks, and in small pieces, so that streams go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_binance_replay.books import Answer, Books, Sources, fastest_diff
from pytest_binance_replay.clock import wall_us
from pytest_binance_replay.errors import DamagedDepthError
from pytest_binance_replay.following import Snapshot
from pytest_binance_replay.journal import Missing, RestRequest
from pytest_binance_replay.ledger import Ledger, Survey
from pytest_binance_replay.protocols.depth import (
    DepthQuery,
    depth_reply,
    read_depth_query,
)
from pytest_binance_replay.protocols.exchange_info import (
    answer_exchange_info,
    listed_symbols,
)
from pytest_binance_replay.protocols.market_data import answer_market_data
from pytest_binance_replay.protocols.query import NOT_ANSWERED, NotOnTape, to_body
from pytest_binance_replay.protocols.rest import (
    RestReply,
    answer_request,
    newest_answer,
    plain_request,
    request_key,
)
from pytest_binance_replay.protocols.shown import Known
from pytest_binance_replay.protocols.weights import UsedWeight
from pytest_binance_replay.reading import SharedReading
from pytest_binance_replay.streams import parse_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from pytest_binance_replay.book import OrderBook
    from pytest_binance_replay.books import BookKey
    from pytest_binance_replay.cassette import Batch, RestAnswer
    from pytest_binance_replay.catalogue import Catalogue
    from pytest_binance_replay.hub import Hub
    from pytest_binance_replay.journal import Reason
    from pytest_binance_replay.streams import Market

_DEPTH_PATHS: dict[str, Market] = {
    "/api/v1/depth": "spot",
    "/api/v3/depth": "spot",
    "/fapi/v1/depth": "usdm",
    "/dapi/v1/depth": "usdm",
}

_SHOWS_TOP = "/ticker/bookTicker"
_KEPT_REPLIES = 32


class RestDesk:
    """Answers requests over HTTP.

    Args:
        hub: Knows the tape, what it holds and where clients stand.
        open_batches: Starts reading the tape from its first frame.
        recorded: Returns the recorded answers, oldest first; called in a thread.
        tape_time_us: Returns the recorded time at which the tape stands.
    """

    def __init__(
        self,
        hub: Hub,
        open_batches: Callable[[], Iterator[Batch]],
        *,
        recorded: Callable[[], Sequence[RestAnswer]],
        tape_time_us: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._open_batches = SharedReading(open_batches).batches
        self._read_recorded = recorded
        self._tape_time_us = tape_time_us
        self._recorded: asyncio.Future[Sequence[RestAnswer]] | None = None
        self._ledger = Ledger(self._open_batches, hub.catalogue)
        self._survey = Survey(self._open_batches, hub.catalogue)
        self._books: Books | None = None
        # Two who lead the books to different places would never get there.
        self._leading = asyncio.Lock()
        self._used = UsedWeight()
        self._replies: dict[Hashable, RestReply] = {}
        self._state: tuple[int, int, int] | None = None

    async def answer(
        self, target: str, *, time_unit: str | None = None
    ) -> tuple[RestReply, dict[str, str]]:
        """Answer a GET request and note it.

        Args:
            target: Path and query.
            time_unit: The header `X-MBX-TIME-UNIT`; None if it was not sent.

        Returns:
            The answer, and the headers that tell the weight used.
        """
        headers = self._used.add(target, wall_us())
        reason: Reason = "rest"
        try:
            reply = await self._reply(target, time_unit)
        except DamagedDepthError as error:
            reason, reply = "damaged", NotOnTape(str(error))
        detail = ""
        if isinstance(reply, NotOnTape):
            detail, reply = reply.reason, reply.reply()
        self.note(target, reply, detail, reason=reason)
        return reply, headers

    def refuse(self, method: str, target: str) -> RestReply:
        """Answer what is no GET request, and note it."""
        problem = f"{method} is not served: the replay has market data to GET, only."
        body = to_body({"code": NOT_ANSWERED, "msg": problem})
        reply = RestReply(405, body, known=False)
        self.note(target, reply, problem)
        return reply

    def note(
        self, target: str, reply: RestReply, detail: str, *, reason: Reason = "rest"
    ) -> None:
        """Remember a request and its answer.

        Args:
            target: Path and query.
            reply: The answer.
            detail: What the tape lacks, as a sentence; empty if that is plain.
            reason: Why it could not be answered, if it could not.
        """
        path, _ = request_key(target)
        query = target.partition("?")[2]
        missing = None
        if not reply.known:
            market = self._hub.catalogue.markets[0]
            asked = plain_request(target)
            missing = Missing(0, asked, reason, market, detail=detail)
        self._hub.note_rest(RestRequest(path, query, reply.status), missing)

    async def _reply(self, target: str, time_unit: str | None) -> RestReply | NotOnTape:
        recorded = await self._recorded_answers()
        asked = (target, time_unit)
        if (given := self._given().get(asked)) is not None:
            return given
        reply = await self._make_reply(target, time_unit, recorded)
        # Depth depends on who is to have it, and is kept where it is made.
        if isinstance(reply, RestReply) and request_key(target)[0] not in _DEPTH_PATHS:
            self._keep(asked, reply)
        return reply

    def _given(self) -> dict[Hashable, RestReply]:
        """Return what was answered since anything last changed on the tape."""
        tape, streams = self._hub.tape, self._hub.catalogue.streams
        place = tape.recorded_number(tape.released)
        state = (place, self._tape_time_us(), sum(map(len, streams.values())))
        if state != self._state:
            self._state = state
            self._replies.clear()
        return self._replies

    def _keep(self, asked: Hashable, reply: RestReply) -> None:
        given = self._given()
        if len(given) == _KEPT_REPLIES:
            del given[next(iter(given))]
        given[asked] = reply

    async def _make_reply(
        self, target: str, time_unit: str | None, recorded: Sequence[RestAnswer]
    ) -> RestReply | NotOnTape:
        path, _ = request_key(target)
        if path.endswith("/exchangeInfo"):
            made = await self._exchange_info(target, recorded, time_unit)
            if made is not None:
                return made
        if path in _DEPTH_PATHS:
            return await self._depth(target, recorded, time_unit)
        now_us = self._tape_time_us()
        reply = answer_request(target, recorded, now_us, time_unit=time_unit)
        if reply.known:
            return reply
        known = await self._known(recorded)
        if path.endswith(_SHOWS_TOP):
            await self._follow_books(recorded)
        computed = answer_market_data(
            target,
            known,
            now_us=self._tape_time_us(),
            time_unit=time_unit,
            top=lambda market, symbol: self._top(market, symbol, recorded),
        )
        return reply if computed is None else computed

    # What is known

    async def _recorded_answers(self) -> Sequence[RestAnswer]:
        """Read them once, however many requests come while that is under way."""
        if self._recorded is None:
            loop = asyncio.get_running_loop()
            self._recorded = loop.run_in_executor(None, self._read_recorded)
        return await asyncio.shield(self._recorded)

    async def _known(self, recorded: Sequence[RestAnswer]) -> Known:
        """Catch up with the tape."""
        tape = self._hub.tape
        while not self._survey.advance():
            await _let_others_run()
        while not self._ledger.advance(tape.recorded_number(tape.released)):
            await _let_others_run()
        return Known(self._ledger, self._survey, listed_symbols(recorded))

    async def _exchange_info(
        self, target: str, recorded: Sequence[RestAnswer], time_unit: str | None
    ) -> RestReply | None:
        while not self._survey.advance():
            await _let_others_run()
        return answer_exchange_info(
            target,
            self._survey,
            recorded,
            now_us=self._tape_time_us(),
            time_unit=time_unit,
        )

    # Books

    def _all_books(self, recorded: Sequence[RestAnswer]) -> Books:
        if self._books is None:
            sources = sources_of(self._hub.catalogue, recorded)
            self._books = Books(self._open_batches, sources)
        return self._books

    async def _depth(
        self, target: str, recorded: Sequence[RestAnswer], time_unit: str | None
    ) -> RestReply | NotOnTape:
        query = await self._depth_query(target, recorded, time_unit)
        if not isinstance(query, DepthQuery):
            plain = answer_request(target, recorded, self._tape_time_us())
            return plain if plain.known or query is None else query
        books = self._all_books(recorded)
        if not books.knows(query.market, query.symbol):
            return self._recorded_depth(target, query, recorded)
        async with self._leading:
            # Once both are there nothing may move: the answer must join what is sent
            # next.
            while not self._have_caught_up(books, self._place(query)):
                await _let_others_run()
            reply = self._book_reply(books, query)
        self._hub.note_depth_answered(query.market, query.symbol)
        return reply

    def _book_reply(self, books: Books, query: DepthQuery) -> RestReply | NotOnTape:
        """Answer from books that stand where the answer is to join."""
        place = self._place(query)
        if (given := self._given().get((query, place))) is not None:
            return given
        answer = books.answer(query.market, query.symbol, place, query.limit)
        reply = depth_reply(query, answer, self._ledger, now_us=self._tape_time_us())
        if isinstance(reply, RestReply):
            self._keep((query, place), reply)
        return reply

    async def _depth_query(
        self, target: str, recorded: Sequence[RestAnswer], time_unit: str | None
    ) -> DepthQuery | RestReply | NotOnTape | None:
        """Read what is asked for; only an unknown symbol takes a look at the tape."""
        listed = listed_symbols(recorded)
        known = Known(self._ledger, self._survey, listed)
        query = read_depth_query(target, known, time_unit=time_unit)
        if isinstance(query, DepthQuery):
            return query
        known = await self._known(recorded)
        return read_depth_query(target, known, time_unit=time_unit)

    def _have_caught_up(self, books: Books, place: int) -> bool:
        """Bring the books to a place, and the ledger to where the tape stands.

        Going side by side they read the tape once.

        Returns:
            Whether they are there; if not, it was a few milliseconds of work.
        """
        tape = self._hub.tape
        are_there = books.advance(place)
        return self._ledger.advance(tape.recorded_number(tape.released)) and are_there

    def _place(self, query: DepthQuery) -> int:
        number = self._hub.depth_place(query.market, query.symbol)
        return self._hub.tape.recorded_number(number)

    def _recorded_depth(
        self, target: str, query: DepthQuery, recorded: Sequence[RestAnswer]
    ) -> RestReply | NotOnTape:
        """Give a recorded snapshot of a symbol without a diff stream, cut to size."""
        now_us = self._tape_time_us()
        exact = newest_answer(target, recorded, now_us)
        if exact is not None:
            return RestReply(exact.status, exact.payload)
        past = [a for a in recorded if a.receive_time_us <= now_us] or recorded[:1]
        found = depth_answers(past).get((query.market, query.symbol))
        snapshot = snapshot_in(found[-1]) if found else None
        answer = Answer.as_recorded(snapshot) if snapshot else None
        return depth_reply(query, answer, self._ledger, now_us=now_us)

    async def _follow_books(self, recorded: Sequence[RestAnswer]) -> Books:
        """Bring the books to where the tape stands, in small pieces."""
        books, tape = self._all_books(recorded), self._hub.tape
        async with self._leading:
            while not self._have_caught_up(books, tape.recorded_number(tape.released)):
                await _let_others_run()
        return books

    def _top(
        self, market: Market, symbol: str, recorded: Sequence[RestAnswer]
    ) -> Answer | None:
        tape = self._hub.tape
        number = tape.recorded_number(tape.released)
        return self._all_books(recorded).answer(market, symbol, number, 1)

    async def book(self, market: Market, symbol: str) -> OrderBook | None:
        """Return a copy of the true book at the tape's position; None if unknown.

        Raises:
            DamagedDepthError: If what it is made from could not be read.
        """
        books = await self._follow_books(await self._recorded_answers())
        tape = self._hub.tape
        return books.book(market, symbol, tape.recorded_number(tape.released))


def sources_of(catalogue: Catalogue, recorded: Sequence[RestAnswer]) -> Sources:
    """Return what the books of a tape are made of."""
    snapshots: dict[BookKey, list[Snapshot]] = {}
    damage: dict[BookKey, DamagedDepthError] = {}
    for key, answers in depth_answers(recorded).items():
        try:
            snapshots[key] = [snapshot_in(answer) for answer in answers]
        except DamagedDepthError as error:
            damage[key] = error
    return Sources(diff_keys_of(catalogue), snapshots, limits_of(catalogue), damage)


def limits_of(catalogue: Catalogue) -> dict[BookKey, dict[bytes, int]]:
    """Return the recorded partial depth of each symbol, with its levels a side.

    Partial depth that is derived from a book, or pushed by a test, is no source of
    one.
    """
    found: dict[BookKey, dict[bytes, int]] = defaultdict(dict)
    for market, names in catalogue.recorded.items():
        for name in sorted(names):
            parsed = parse_stream(name, market)
            if parsed is not None and parsed.symbol and parsed.levels is not None:
                key = catalogue.prefix(market) + name.encode()
                found[market, parsed.symbol.upper()][key] = parsed.levels
    return dict(found)


def diff_keys_of(catalogue: Catalogue) -> dict[BookKey, bytes]:
    """Return the diff stream that the book of each symbol follows."""
    keys: dict[BookKey, bytes] = {}
    for market, names in catalogue.streams.items():
        for name in names:
            parsed = parse_stream(name, market)
            if parsed is None or parsed.symbol is None:
                continue
            if fastest := fastest_diff(parsed.symbol, names):
                key = catalogue.prefix(market) + fastest.encode()
                keys[market, parsed.symbol.upper()] = key
    return keys


def depth_answers(recorded: Sequence[RestAnswer]) -> dict[BookKey, list[RestAnswer]]:
    """Return the recorded depth snapshots of each symbol, oldest first."""
    found: dict[BookKey, list[RestAnswer]] = defaultdict(list)
    for answer in recorded:
        path, parameters = request_key(answer.request)
        symbol = dict(parameters).get("symbol", "").upper()
        if path in _DEPTH_PATHS and answer.status == 200 and symbol:
            found[_DEPTH_PATHS[path], symbol].append(answer)
    return dict(found)


def snapshot_in(answer: RestAnswer) -> Snapshot:
    """Read a recorded depth snapshot.

    Raises:
        DamagedDepthError: If it is none.
    """
    try:
        return Snapshot.parse(answer.payload)
    except ValueError as error:
        problem = str(error)
    what = f"the answer to {plain_request(answer.request)}"
    raise DamagedDepthError(what, answer.receive_time_us, problem)


async def _let_others_run() -> None:
    await asyncio.sleep(0)  # noqa: TID251 - yields, does not wait
