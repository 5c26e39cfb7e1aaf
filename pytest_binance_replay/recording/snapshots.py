"""The REST answers of a recording: what was planned, and what its depth streams need.

A snapshot is asked for as soon as the first event of its stream has come, so that it
joins, and again after each gap.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from pytest_binance_replay.clock import RealClock
from pytest_binance_replay.recording.continuity import DepthChain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_binance_replay.recording.capture import CapturePlan, DepthPlan
    from pytest_binance_replay.recording.draft import Draft
    from pytest_binance_replay.recording.fetching import Fetcher


class _Book(NamedTuple):
    """What is known of one symbol's depth."""

    plan: DepthPlan
    chain: DepthChain


class Snapshots:
    """Asks for REST answers, beside the sockets, and writes them down.

    Args:
        plan: What the recording asks for.
        fetcher: Who asks.
        draft: Where answers and gaps are written.
        fail: Told of an error that ends the recording.
    """

    def __init__(
        self,
        plan: CapturePlan,
        fetcher: Fetcher,
        draft: Draft,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._unasked = plan.requests
        self._fetcher = fetcher
        self._draft = draft
        self._fail = fail
        self._books = {d.stream.encode(): _Book(d, DepthChain()) for d in plan.depths}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._clock = RealClock(self._loop)
        self._news = asyncio.Event()

    def start(self) -> None:
        """Ask for what was planned; harmless when done already."""
        requests, self._unasked = self._unasked, ()
        for request in requests:
            self._begin(request, None)

    def follow(self, stream: bytes, payload: bytes) -> None:
        """Look at a frame: for gaps, and for whether a snapshot is needed."""
        book = self._books.get(stream)
        if book is None:
            return
        gap = book.chain.take(payload)
        if gap is not None:
            fields = {"stream": book.plan.stream, "after": gap.after, "upto": gap.upto}
            self._draft.mark("gap", fields)
        if book.chain.wants_snapshot and book.plan.request not in self._tasks:
            self._begin(book.plan.request, book)
        self._news.set()

    def _begin(self, request: str, book: _Book | None) -> None:
        task = self._loop.create_task(self._ask(request, book))
        self._tasks[request] = task
        task.add_done_callback(self._note_failure)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _ask(self, request: str, book: _Book | None) -> None:
        try:
            await (self._record(request) if book is None else self._take(book))
        finally:
            # At once, for the next frame may need another snapshot.
            del self._tasks[request]
            self._news.set()

    async def _record(self, request: str) -> None:
        body = await self._fetcher.fetch(request)
        if body is not None:
            self._draft.answer(request, body)

    async def _take(self, book: _Book) -> None:
        """Ask until the answer joins the events that have come."""
        pauses = self._fetcher.pauses()
        while True:
            body = await self._fetcher.fetch(book.plan.request)
            verdict = None if body is None else book.chain.offer(body)
            if body is None or verdict == "unreadable":
                book.chain.give_up()
                return
            if verdict == "joins":
                self._draft.answer(book.plan.request, body)
                return
            await self._clock.sleep_until(self._loop.time() + next(pauses))

    async def settle(self, seconds: float) -> None:
        """Wait for answers under way, and for the events that join the snapshots.

        Args:
            seconds: How long, at the most.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._tasks or not all(map(_is_settled, self._books.values())):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def problems(self) -> list[str]:
        """Return what is lacking, in sentences."""
        loose = [book.plan for book in self._books.values() if not book.chain.is_joined]
        return [
            *self._fetcher.problems.values(),
            *(
                f"No depth snapshot joins {plan.stream}: no local order book of "
                f"{plan.symbol} can be built from the end of this cassette. Record "
                "longer."
                for plan in loose
            ),
        ]


def _is_settled(book: _Book) -> bool:
    """Whether nothing more of it is to be expected soon."""
    return not book.chain.has_started or book.chain.is_joined or book.chain.is_given_up
