"""Partial depth: pictures made of diffs and a snapshot, or cut out of deeper ones."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from pytest_binance_replay.derived.depth import (
    LEVELS,
    Diff,
    Diffs,
    first_ids,
    with_members,
)
from pytest_binance_replay.editing import compile_fields, read_numbers, rewrite
from pytest_binance_replay.following import Snapshot, SymbolBook
from pytest_binance_replay.protocols.rest import request_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_binance_replay.books import BookKey, Mover
    from pytest_binance_replay.cassette import RestAnswer
    from pytest_binance_replay.derived.recipes import Recipe
    from pytest_binance_replay.streams import Market

_PICTURE = re.compile(LEVELS.pattern.replace(b"[ba]", b"bids|asks|b|a"))
_LEVEL = re.compile(rb"\[(?:[^\[\]]++|\[[^\[\]]*+\])*+\]")
_ENDS = compile_fields(("u", "pu"))


class Ladder:
    """One side of a book, sorted.

    Args:
        best_first: Sign of the order: 1 for asks, -1 for bids.
    """

    def __init__(self, best_first: int) -> None:
        self._sign = best_first
        self._places: list[Decimal] = []
        self._levels: dict[Decimal, tuple[str, str]] = {}

    def set(self, levels: Iterable[Sequence[str]]) -> None:
        """Set or remove levels."""
        for price, quantity, *_ in levels:
            place = Decimal(price) * self._sign
            is_new = place not in self._levels
            if Decimal(quantity):
                if is_new:
                    self._places.insert(bisect_left(self._places, place), place)
                self._levels[place] = (price, quantity)
            elif not is_new:
                del self._places[bisect_left(self._places, place)]
                del self._levels[place]

    def best(self, count: int) -> list[tuple[str, str]]:
        """Return the best levels, as texts."""
        return [self._levels[place] for place in self._places[:count]]

    def place_of(self, price: str) -> Decimal:
        """Return where a price stands: the smaller the better."""
        return Decimal(price) * self._sign


class Taken(NamedTuple):
    """A recorded depth snapshot, and how many levels were asked for.

    Attributes:
        snapshot: The snapshot.
        limit: The levels a side that it was limited to.
    """

    snapshot: Snapshot
    limit: int

    def reach(self) -> tuple[str | None, str | None]:
        """Return the worst bid and ask that it knows; None where it knows all."""
        body = json.loads(self.snapshot.payload)
        sides = body["bids"], body["asks"]
        worst = [side[-1][0] if len(side) >= self.limit else None for side in sides]
        return worst[0], worst[1]

    def shows(self, levels: int) -> bool:
        """Return whether it knows so many levels of each side, or all there are."""
        body = json.loads(self.snapshot.payload)
        sizes = len(body["bids"]), len(body["asks"])
        return all(size >= levels or size < self.limit for size in sizes)


_LIMITS: dict[str, tuple[Market, int, int]] = {
    "/api/v1/depth": ("spot", 100, 5000),
    "/api/v3/depth": ("spot", 100, 5000),
    "/fapi/v1/depth": ("usdm", 500, 1000),
    "/dapi/v1/depth": ("usdm", 500, 1000),
}
"""Market, default limit and greatest limit of depth requests.

Source: Binance API docs, "Order book" of spot and futures.
"""


def snapshots_among(answers: Iterable[RestAnswer]) -> dict[BookKey, list[Taken]]:
    """Return the depth snapshots among recorded answers, by market and symbol."""
    found: dict[BookKey, list[Taken]] = {}
    for answer in answers:
        path, parameters = request_key(answer.request)
        if path not in _LIMITS or answer.status != 200:
            continue
        market, limit, most = _LIMITS[path]
        asked = dict(parameters)
        if asked.get("limit", "").isdecimal():
            limit = min(int(asked["limit"]), most)
        try:
            taken = Taken(Snapshot.parse(answer.payload), limit)
        except ValueError:  # Who asks for the book itself is told.
            continue
        symbol = asked.get("symbol", "").upper()
        found.setdefault((market, symbol), []).append(taken)
    return found


class Pictures(Diffs):
    """Makes pictures of the top of a book, whenever it has changed.

    There is none before the recorded snapshot has joined the diffs, none behind a gap
    until the next snapshot joins, and none of levels that no snapshot reaches to.

    Args:
        recipe: What is wanted.
        key: Stream key of the diffs.
        taken: Recorded snapshots of the symbol, in any order.

    Source:
        Binance API docs, "Partial Book Depth Streams" of spot and futures. That a
        picture is not repeated is seen in recordings.
    """

    def __init__(self, recipe: Recipe, key: bytes, taken: Sequence[Taken]) -> None:
        super().__init__(recipe.width_us)
        self._key = key
        self._market = recipe.market
        self._symbol = (recipe.parsed.symbol or "").upper()
        self._count = recipe.parsed.levels or 0
        self._recorded = list(taken)
        self._previous: int | None = None
        self._shown: object = None
        self._begin(self._recorded)

    def _begin(self, taken: Sequence[Taken]) -> None:
        self._coming = sorted(taken, key=lambda t: t.snapshot.update_id, reverse=True)
        snapshots = [t.snapshot for t in taken]
        self._followed = SymbolBook(self._symbol, self._market, snapshots)
        self._bids, self._asks = Ladder(-1), Ladder(1)
        self._reach: tuple[str | None, str | None] = (None, None)

    def restart(self, move: Mover) -> None:
        """Begin again with snapshots moved along."""
        super().restart(move)
        self._shown = None
        self._begin(
            [
                Taken(Snapshot.parse(move(self._key, t.snapshot.payload)), t.limit)
                for t in self._recorded
            ]
        )

    def note(self, piece: Diff) -> None:
        """Let the book follow."""
        super().note(piece)
        book = self._followed.book
        before = None if book is None else book.update_id
        self._followed.take(piece.change)
        if self._catch_up():
            return
        book = self._followed.book
        if book is not None and book.update_id != before:
            self._bids.set(piece.change.bids)
            self._asks.set(piece.change.asks)

    def _catch_up(self) -> bool:
        """Return whether a snapshot has joined or gone by; take over what it shows."""
        left = self._followed.next_snapshot
        joined = None
        while self._coming and self._coming[-1].snapshot is not left:
            joined = self._coming.pop()
        book = self._followed.book
        if joined is None or book is None:
            return False
        self._reach = joined.reach()
        self._bids, self._asks = Ladder(-1), Ladder(1)
        bids, asks = book.texts(len(book.bids) + len(book.asks))
        self._bids.set(bids)
        self._asks.set(asks)
        return True

    def join(self, pieces: list[Diff]) -> bytes | None:
        """Make a picture, if it is another than the last."""
        bids, asks = self._bids.best(self._count), self._asks.best(self._count)
        if self._followed.book is None or (bids, asks) == self._shown:
            return None
        worst_bid, worst_ask = self._reach
        if not (
            self._knows(self._bids, bids, worst_bid)
            and self._knows(self._asks, asks, worst_ask)
        ):
            return None
        self._shown = bids, asks
        return self._picture(pieces, bids, asks)

    def _knows(
        self, side: Ladder, best: list[tuple[str, str]], worst: str | None
    ) -> bool:
        """Return whether nothing unknown may lie among the best levels."""
        if worst is None:
            return True
        if len(best) < self._count:
            return False
        return side.place_of(best[-1][0]) <= side.place_of(worst)

    def _picture(self, pieces: list[Diff], bids: object, asks: object) -> bytes:
        last = pieces[-1]
        update_id = last.change.final_update_id
        if self._market == "spot":
            shown = {"lastUpdateId": update_id, "bids": bids, "asks": asks}
            return json.dumps(shown, separators=(",", ":")).encode()
        ids = first_ids(pieces[0].change)
        if self._previous is not None:
            ids["pu"] = self._previous
        self._previous = update_id
        return with_members(last.payload, ids, {b"b": bids, b"a": asks})


class Tops:
    """Cuts deeper pictures of a book to their best levels; never the same twice.

    Args:
        levels: How many levels a side.
    """

    waiting = None

    def __init__(self, levels: int) -> None:
        self.made: list[tuple[int, bytes]] = []
        self._levels = levels
        self._shown: list[bytes] = []
        self._previous: int | None = None

    def take(self, number: int, time_us: int, payload: bytes) -> None:
        """Cut a picture, if its top has changed."""
        shown: list[bytes] = []

        def cut(found: re.Match[bytes]) -> bytes:
            levels = _LEVEL.findall(found[0], found.end(2) + 1 - found.start())
            shown.append(b",".join(levels[: self._levels]))
            return b'"%b"%b[%b]' % (found[1], found[2], shown[-1])

        top = _PICTURE.sub(cut, payload)
        if len(shown) == 2 and shown != self._shown:
            self._shown = shown
            self.made.append((number, self._chained(top)))

    def _chained(self, picture: bytes) -> bytes:
        """Let a picture of the futures follow the one before, by its ids."""
        last, previous = read_numbers(picture, _ENDS).get("u"), self._previous
        if last is None:
            return picture
        self._previous = last
        if previous is None:
            return picture
        return rewrite(picture, _ENDS, lambda path, n: previous if path == "pu" else n)

    def pass_time(self, time_us: int) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing waits."""

    def restart(self, move: Mover) -> None:
        """Show the first picture of a round in any case."""
        self._shown = []
