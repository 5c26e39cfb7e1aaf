"""The loom: puts derived frames between the recorded ones of a tape."""

from __future__ import annotations

from collections import Counter, deque
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from pytest_binance_replay.cassette import Mark
from pytest_binance_replay.derived.depth import MergedDiffs
from pytest_binance_replay.derived.members import open_maker
from pytest_binance_replay.derived.pictures import Pictures, Tops, snapshots_among
from pytest_binance_replay.derived.recipes import find_recipe
from pytest_binance_replay.places import START
from pytest_binance_replay.tape import MOVE, SEAM, WovenBatch
from pytest_binance_replay.wire import stream_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_binance_replay.books import BookKey, Mover
    from pytest_binance_replay.cassette import Batch, RestAnswer
    from pytest_binance_replay.catalogue import Catalogue
    from pytest_binance_replay.derived.making import Maker
    from pytest_binance_replay.derived.pictures import Taken
    from pytest_binance_replay.derived.recipes import Recipe
    from pytest_binance_replay.places import Find, Place
    from pytest_binance_replay.streams import Market

_Made = tuple[int, bytes, bytes]
"""Number of the recorded frame before, stream key, payload."""


class Loom:
    """Derives the streams that somebody asked for; while there are none, nothing.

    Args:
        open_batches: Starts reading the tape from its first frame.
        catalogue: What the tape holds.
        answers: Returns the recorded REST answers; asked when a snapshot is needed.
        open_near: Starts reading the tape from a place; None from the first frame.

    Attributes:
        recipes: What is derived, by stream key.
    """

    def __init__(
        self,
        open_batches: Callable[[], Iterator[Batch]],
        catalogue: Catalogue,
        answers: Callable[[], Iterable[RestAnswer]] = tuple,
        *,
        open_near: Callable[[Find], tuple[Place, Iterator[Batch]]] | None = None,
    ) -> None:
        self.recipes: dict[bytes, Recipe] = {}
        self._open_batches = open_batches
        self._open_near = open_near
        self._catalogue = catalogue
        self._answers = answers
        self._taken: Mapping[BookKey, Sequence[Taken]] | None = None

    # What can be derived

    def find(self, market: Market, name: str) -> Recipe | None:
        """Say how a stream can be derived from what the cassettes hold.

        Returns:
            None if they hold it, or it cannot.
        """
        held = self._catalogue.recorded[market]
        if name in held:
            return None
        known = self.recipes.get(self._key(market, name))
        recipe = known or find_recipe(name, market, held)
        return recipe if recipe is not None and self._is_exact(recipe) else None

    def _is_exact(self, recipe: Recipe) -> bool:
        """Return whether any recorded snapshot shows as much as a picture would."""
        if recipe.way != "picture":
            return True
        levels = recipe.parsed.levels or 0
        return any(taken.shows(levels) for taken in self._snapshots(recipe))

    def _snapshots(self, recipe: Recipe) -> Sequence[Taken]:
        if self._taken is None:
            self._taken = snapshots_among(self._answers())
        symbol = (recipe.parsed.symbol or "").upper()
        return self._taken.get((recipe.market, symbol), ())

    def add(self, recipes: Iterable[Recipe]) -> set[bytes]:
        """Derive more streams from the next reading on.

        Returns:
            The stream keys of those that are new.
        """
        keyed = {self._key(r.market, r.name): r for r in recipes}
        new = keyed.keys() - self.recipes.keys()
        self.recipes |= keyed
        return new

    def _key(self, market: Market, name: str) -> bytes:
        return stream_key(name, self._catalogue.prefix(market))

    # Reading

    def batches(self) -> Iterator[Batch]:
        """Read the tape from its first frame, with the derived frames in it."""
        if not self.recipes:
            return self._open_batches()
        makers = {key: self._open(recipe) for key, recipe in self.recipes.items()}
        sources = {
            key: [self._key(recipe.market, name) for name in recipe.sources]
            for key, recipe in self.recipes.items()
        }
        return _Weaving(makers, sources).weave(self._open_batches())

    def batches_near(self, find: Find) -> tuple[Place, Iterator[Batch]]:
        """Read the tape from a place on; what is derived, needs all that lies before.

        Args:
            find: Chooses one of the places that are known.

        Returns:
            The place, and what follows it.
        """
        if self.recipes or self._open_near is None:
            return START, self.batches()
        return self._open_near(find)

    def _open(self, recipe: Recipe) -> Maker:
        if recipe.way == "diffs":
            return MergedDiffs(recipe.market, recipe.width_us)
        if recipe.way == "picture":
            diffs = self._key(recipe.market, recipe.sources[0])
            return Pictures(recipe, diffs, self._snapshots(recipe))
        if recipe.way == "top":
            return Tops(recipe.parsed.levels or 0)
        return open_maker(recipe)

    def batches_from(
        self, number: int, since: int
    ) -> tuple[Iterator[Batch], Counter[bytes]]:
        """Read the tape from a recorded frame on, with the derived frames in it.

        Args:
            number: Number of that frame among the recorded ones.
            since: Number of an earlier one.

        Returns:
            The batches, and how many derived frames of each stream follow the frames
            between the two.
        """
        gone: Counter[bytes] = Counter()
        batches = self.batches()
        first = 0
        while first < number and (batch := next(batches, None)) is not None:
            places = batch.derived if isinstance(batch, WovenBatch) else ()
            end = first + len(batch.streams) - len(places)
            row = _row_of(number - first, places)
            before = [n for n in places if n < row]
            gone.update(
                batch.streams[n]
                for skipped, n in enumerate(before)
                if first + n - skipped > since
            )
            if end > number:
                return chain([_rest_of(batch, row)], batches), gone
            first = end
        return batches, gone


def _row_of(number: int, places: Sequence[int]) -> int:
    """Return the place of a recorded frame in a batch.

    Args:
        number: Its number among the batch's recorded frames.
        places: Where the derived frames are, in order.
    """
    for place in places:
        if place > number:
            break
        number += 1
    return number


def _rest_of(batch: Batch, row: int) -> Batch:
    places = batch.derived if isinstance(batch, WovenBatch) else ()
    return WovenBatch(
        batch.times_us[row:],
        batch.streams[row:],
        batch.payloads[row:],
        [],
        derived=tuple(n - row for n in places if n >= row),
    )


class _Weaving:
    """One reading of a tape.

    Batches are held back until it is known what follows their last frame: as long as
    the widest window at the most.

    Args:
        makers: What makes each derived stream, by its stream key.
        sources: Stream keys that each is made of.
    """

    def __init__(
        self, makers: Mapping[bytes, Maker], sources: Mapping[bytes, Sequence[bytes]]
    ) -> None:
        self._makers = dict(makers)
        self._sources = sources
        self._held: deque[tuple[int, Batch]] = deque()
        self._made: list[_Made] = []
        self._number = 0
        self._sort_takers()

    def _sort_takers(self) -> None:
        self._takers: dict[bytes, list[Maker]] = {}
        for key, maker in self._makers.items():
            for source in self._sources[key]:
                self._takers.setdefault(source, []).append(maker)

    def weave(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Give the batches back with derived frames in them."""
        failure: Exception | None = None
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:  # noqa: BLE001 - raised behind what was sound
                failure, batch = error, None
            if batch is None:
                break
            self._take(batch)
            yield from self._finished()
        self._close()
        yield from self._finished()
        if failure is not None:
            raise failure

    def _take(self, batch: Batch) -> None:
        if (move := _mover_in(batch)) is not None:
            self._close()
            for maker in self._makers.values():
                maker.restart(move)
        self._stop_what_is_recorded(batch)
        if not self._takers.keys().isdisjoint(batch.streams):
            rows = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
            for number, (time_us, key, payload) in enumerate(rows, self._number):
                for maker in self._takers.get(key, ()):
                    maker.take(number, time_us, payload)
        if batch.times_us:
            for maker in self._makers.values():
                maker.pass_time(batch.times_us[-1])
        self._held.append((self._number, batch))
        self._number += len(batch.streams)

    def _stop_what_is_recorded(self, batch: Batch) -> None:
        """Derive no longer what turns up on the tape, though no header named it."""
        found = self._makers.keys() & set(batch.streams)
        for key in found:
            self._makers[key].close()
            self._collect(key)
            del self._makers[key]
        if found:
            self._sort_takers()

    def _close(self) -> None:
        for maker in self._makers.values():
            maker.close()

    def _collect(self, key: bytes) -> None:
        maker = self._makers[key]
        self._made += [(number, key, payload) for number, payload in maker.made]
        maker.made.clear()

    def _finished(self) -> Iterator[Batch]:
        """Give the batches that nothing more can be put into."""
        waiting = self._number
        for key, maker in self._makers.items():
            self._collect(key)
            if maker.waiting is not None:
                waiting = min(waiting, maker.waiting)
        self._made.sort(key=itemgetter(0, 1))
        while self._held and self._held[0][0] + len(self._held[0][1].streams) <= (
            waiting
        ):
            first, batch = self._held.popleft()
            end = first + len(batch.streams)
            made = [m for m in self._made if m[0] < end]
            del self._made[: len(made)]
            yield _woven(batch, first, made) if made else batch


def _woven(batch: Batch, first: int, made: Iterable[_Made]) -> Batch:
    """Put derived frames into a batch, each behind the frame that completes it."""
    rows: list[tuple[int, bytes, bytes]] = []
    recorded = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
    places: list[int] = []
    number = first
    for before, key, payload in made:
        rows += islice(recorded, before + 1 - number)
        number = before + 1
        places.append(len(rows))
        rows.append((rows[-1][0], key, payload))
    rows += recorded
    times_us, keys, payloads = map(list, zip(*rows, strict=True))
    return WovenBatch(times_us, keys, payloads, batch.others, derived=tuple(places))


def _mover_in(batch: Batch) -> Mover | None:
    """Return what moves ids in the round that a batch begins; None without one."""
    for _, line in batch.others:
        if isinstance(line, Mark) and line.name == SEAM:
            return cast("Mover", line.fields[MOVE])
    return None
