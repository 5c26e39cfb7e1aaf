"""What a tape has shown: the newest payloads of each stream before a place on it.

REST answers are made from these. Two readers of their own go over the tape, apart
from the one that plays it: a `Ledger` follows the tape's position, a `Survey` looks
once at the tape's beginning. Both keep payloads as they are and read them in pieces,
so that an event loop can breathe in between.
"""

from __future__ import annotations

import json
import re
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from pytest_binance_replay.errors import ReplayError
from pytest_binance_replay.streams import Market, parse_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from pytest_binance_replay.cassette import Batch
    from pytest_binance_replay.catalogue import Catalogue

_T = TypeVar("_T")

KEPT_TRADES = 1000
"""How many trades of each kind and symbol a ledger keeps; REST gives no more."""

KEPT_CANDLES = 1500
"""How many candles of each interval and symbol a ledger keeps."""

SURVEYED_FRAMES = 20_000
"""How far into the tape a survey looks, so that endless tapes have a beginning too."""

_PIECE_BATCHES = 3
_SURVEYED_PAYLOADS = 100
_SURVEYED_SUMMARIES = 10

_TRADES = frozenset({"trade", "aggTrade", "blockTrade"})
_CANDLES = frozenset({"kline", "continuousKline"})
_SUMMARIES = frozenset({"ticker", "miniTicker", "markPrice"})
_SINGLES = frozenset({"bookTicker", "avgPrice", "referencePrice", "depth"})
_KINDS = _TRADES | _CANDLES | _SUMMARIES | _SINGLES
_NO_SYMBOLS = frozenset({"continuousKline", "assetIndex"})

_SYMBOL = re.compile(rb'"s"\s*:\s*"([^"]+)"')
_OPEN_TIME = re.compile(rb'"k"\s*:\s*\{[^{}]*?"t"\s*:\s*(\d+)')


class ShelfKey(NamedTuple):
    """What payloads of one kind are about.

    Attributes:
        market: Their market.
        kind: Word of the stream name: `trade`, `kline`; `depth` is the diff depth.
        symbol: Upper case; the pair of a continuous contract kline; empty for a
            stream of the whole market.
        detail: Interval of a kline, with `@+08:00` if its day begins there; before
            it, with `_` between, the contract of a continuous one; window of a
            rolling ticker.
    """

    market: Market
    kind: str
    symbol: str
    detail: str = ""


@lru_cache(maxsize=4096)
def shelf_key(market: Market, name: str) -> ShelfKey | None:
    """Return where the payloads of a stream belong.

    Streams that differ in nothing but their speed belong together.

    Returns:
        None for streams that no REST answer is made from.

    Example:
        >>> shelf_key("spot", "btcusdt@kline_1m")
        ShelfKey(market='spot', kind='kline', symbol='BTCUSDT', detail='1m')
    """
    parsed = parse_stream(name, market)
    if parsed is None or parsed.kind not in _KINDS or parsed.levels is not None:
        return None
    offset = f"@{parsed.utc_offset}" if parsed.utc_offset else ""
    contract = f"{parsed.contract}_" if parsed.contract else ""
    detail = f"{contract}{parsed.interval or parsed.window or ''}{offset}"
    return ShelfKey(market, parsed.kind, (parsed.symbol or "").upper(), detail)


class _Shelf(Protocol):
    """Where payloads of one key are put."""

    def append(self, payload: bytes, /) -> None:
        """Put one more, which is newer than those before."""

    def __iter__(self) -> Iterator[bytes]:
        """Return the kept ones, oldest first."""

    def __len__(self) -> int:
        """Count the kept ones."""


class _Candles:
    """The newest payload of each candle."""

    def __init__(self) -> None:
        self._payloads: dict[int, bytes] = {}

    def append(self, payload: bytes, /) -> None:
        found = _OPEN_TIME.search(payload)
        if found is None:
            return
        self._payloads[int(found[1])] = payload
        if len(self._payloads) > KEPT_CANDLES:
            del self._payloads[next(iter(self._payloads))]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._payloads.values())

    def __len__(self) -> int:
        return len(self._payloads)


class _Beginning:
    """The first payloads, a few of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._payloads: list[bytes] = []

    def append(self, payload: bytes, /) -> None:
        if len(self._payloads) < self._size:
            self._payloads.append(payload)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._payloads)

    def __len__(self) -> int:
        return len(self._payloads)


class _Takers(dict[bytes, "Callable[[bytes], None]"]):
    """What to do with the payloads of a stream key, decided when it first occurs."""

    def __init__(self, decide: Callable[[bytes], Callable[[bytes], None]]) -> None:
        super().__init__()
        self._decide = decide

    def __missing__(self, key: bytes) -> Callable[[bytes], None]:
        self[key] = taker = self._decide(key)
        return taker


def _ignore(payload: bytes) -> None:
    """Take a payload that no answer is made from."""


class Shelves:
    """Payloads sorted by what they are about.

    Args:
        catalogue: Names the streams behind the tape's stream keys.
        new_shelf: Makes a place for payloads of one kind.
    """

    def __init__(
        self, catalogue: Catalogue, new_shelf: Callable[[ShelfKey], _Shelf]
    ) -> None:
        self._catalogue = catalogue
        self._new_shelf = new_shelf
        self._shelves: dict[ShelfKey, _Shelf] = {}
        self._details: dict[tuple[Market, str, str], list[ShelfKey]] = {}
        self._takers = _Takers(self._decide)

    def take(self, stream_keys: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        """Take frames, oldest first."""
        takers = self._takers
        for key, payload in zip(stream_keys, payloads, strict=True):
            takers[key](payload)

    def _decide(self, stream_key: bytes) -> Callable[[bytes], None]:
        key = shelf_key(*self._catalogue.origin(stream_key))
        if key is None:
            return _ignore
        return self._shelf(key).append if key.symbol else self._splitter(key)

    def _shelf(self, key: ShelfKey) -> _Shelf:
        if key not in self._shelves:
            self._shelves[key] = self._new_shelf(key)
            self._details.setdefault(key[:3], []).append(key)
        return self._shelves[key]

    def _splitter(self, key: ShelfKey) -> Callable[[bytes], None]:
        """Return what takes a stream of the whole market apart."""

        def decide(symbol: bytes) -> Callable[[bytes], None]:
            try:
                text: str = json.loads(b'"%b"' % symbol)
            except ValueError:  # What is no JSON has no symbol.
                return _ignore
            return self._shelf(key._replace(symbol=text)).append

        takers = _Takers(decide)

        def take(payload: bytes) -> None:
            # Its objects are flat, so braces tell them apart.
            for part in payload.split(b"}"):
                if (found := _SYMBOL.search(part)) is not None:
                    takers[found[1]](part[part.find(b"{") :] + b"}")

        return take

    def all(self, key: ShelfKey) -> tuple[bytes, ...]:
        """Return the kept payloads, oldest first; of each candle, the newest one."""
        return tuple(self._shelves.get(key, ()))

    def of_symbol(self, market: Market, kind: str, symbol: str) -> list[ShelfKey]:
        """Return the keys of a symbol's payloads of one kind, whatever the detail."""
        return self._details.get((market, kind, symbol), [])

    def symbols(self, market: Market) -> set[str]:
        """Return the symbols of a market that occurred in its frames."""
        return {
            key.symbol
            for key, shelf in self._shelves.items()
            if key.market == market and key.kind not in _NO_SYMBOLS and len(shelf)
        }


class _Frames:
    """Reads frames forward, in pieces that end where they are told to."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.number = 0
        self._batches = batches
        self._batch: Batch | None = None
        self._at = 0

    def read(self, upto: int) -> tuple[Sequence[bytes], Sequence[bytes]] | None:
        """Return stream keys and payloads of the next frames, at most one batch.

        Args:
            upto: Number of the frame to stop before.

        Returns:
            None at the end.
        """
        if self._batch is None:
            self._batch, self._at = next(self._batches, None), 0
        if self._batch is None:
            return None
        start, length = self._at, len(self._batch.streams)
        stop = min(start + upto - self.number, length)
        piece = self._batch.streams[start:stop], self._batch.payloads[start:stop]
        self._at = stop
        self.number += stop - start
        if stop == length:
            self._batch = None
        return piece


class Ledger:
    """What a tape has shown before a frame.

    Args:
        open_batches: Starts reading the tape from its first frame.
        catalogue: What the tape holds.

    Attributes:
        catalogue: What the tape holds.
        shelves: The payloads: of trades the newest `KEPT_TRADES`, of candles the
            newest `KEPT_CANDLES`, of everything else the newest one.

    Example:
        An event loop goes on while the ledger follows a tape that is being played::

            while not ledger.advance(tape.released):
                await let_others_run()
    """

    def __init__(
        self, open_batches: Callable[[], Iterator[Batch]], catalogue: Catalogue
    ) -> None:
        self.catalogue = catalogue
        self._open_batches = open_batches
        self._rewind()

    def _rewind(self) -> None:
        self._frames = _Frames(self._open_batches())
        self.shelves = Shelves(self.catalogue, _new_shelf)

    @property
    def number(self) -> int:
        """Number of the frame that the ledger stands before."""
        return self._frames.number

    def advance(self, number: int, *, max_batches: int = _PIECE_BATCHES) -> bool:
        """Go towards a frame, by a few milliseconds of work at the most.

        Args:
            number: Number of the frame to stand before, as the tape was recorded:
                frames that a test pushes do not count. A smaller one than before
                starts anew.
            max_batches: How many batches to read; one holds about 128 kB of cassette.

        Returns:
            Whether the ledger stands there, or at the end of the tape.
        """
        if number < self.number:
            self._rewind()
        for _ in range(max_batches):
            if self.number == number or (piece := self._frames.read(number)) is None:
                return True
            self.shelves.take(*piece)
        return self.number == number

    def symbols(self, market: Market) -> set[str]:
        """Return the symbols of a market that the tape is known to have."""
        return symbols_of(self.catalogue, market) | self.shelves.symbols(market)

    def carries(self, key: ShelfKey) -> bool:
        """Return whether the tape has a stream that would show such payloads."""
        names = self.catalogue.streams.get(key.market, ())
        keys = {shelf_key(key.market, name) for name in names}
        return not keys.isdisjoint({key, key._replace(symbol="")})


def kept_of(key: ShelfKey) -> int:
    """Return how many payloads of a key a ledger keeps at most."""
    if key.kind in _CANDLES:
        return KEPT_CANDLES
    return KEPT_TRADES if key.kind in _TRADES else 1


def _new_shelf(key: ShelfKey) -> _Shelf:
    return _Candles() if key.kind in _CANDLES else deque(maxlen=kept_of(key))


class Survey:
    """How a tape begins: the first payloads of each stream.

    It does not depend on the tape's position, so what is answered from it stays the
    same for a whole replay.

    Args:
        open_batches: Starts reading the tape from its first frame.
        catalogue: What the tape holds.

    Attributes:
        catalogue: What the tape holds.
        shelves: The first payloads of each kind and symbol, oldest first.
    """

    def __init__(
        self, open_batches: Callable[[], Iterator[Batch]], catalogue: Catalogue
    ) -> None:
        self.catalogue = catalogue
        self.shelves = Shelves(catalogue, _new_beginning)
        self._frames = _Frames(open_batches())
        self._done = False
        self._found: dict[Hashable, Any] = {}

    def advance(self, *, max_batches: int = _PIECE_BATCHES) -> bool:
        """Look on, by a few milliseconds of work at the most.

        A cassette that turns out to be damaged further on ends the survey there: who
        plays the tape up to that place is told.

        Args:
            max_batches: How many batches to read.

        Returns:
            Whether everything is seen.
        """
        for _ in range(0 if self._done else max_batches):
            piece = self._read()
            if piece is None or self._frames.number >= SURVEYED_FRAMES:
                self._done = True
            if piece is not None:
                self.shelves.take(*piece)
            if self._done:
                break
        return self._done

    def once(self, what: Hashable, find: Callable[[], _T]) -> _T:
        """Return what is found in the shelves, looked for only once.

        Args:
            what: Names it.
            find: Looks for it; asked again as long as the survey is not done.
        """
        if what not in self._found:
            found = find()
            if not self._done:
                return found
            self._found[what] = found
        value: _T = self._found[what]
        return value

    def _read(self) -> tuple[Sequence[bytes], Sequence[bytes]] | None:
        try:
            return self._frames.read(SURVEYED_FRAMES)
        except ReplayError:
            return None

    def symbols(self, market: Market) -> set[str]:
        """Return the symbols of a market that the tape is known to have."""
        return symbols_of(self.catalogue, market) | self.shelves.symbols(market)


def _new_beginning(key: ShelfKey) -> _Shelf:
    # A stream of the whole market has thousands of symbols.
    size = _SURVEYED_SUMMARIES if key.kind in _SUMMARIES else _SURVEYED_PAYLOADS
    return _Beginning(size)


@lru_cache(maxsize=4096)
def _symbol_of(name: str, market: Market) -> str | None:
    """Return the symbol in a stream name; None if it has none."""
    parsed = parse_stream(name, market)
    if parsed is None or not parsed.symbol or parsed.kind in _NO_SYMBOLS:
        return None
    return parsed.symbol.upper()


def symbols_of(catalogue: Catalogue, market: Market) -> set[str]:
    """Return the symbols in the stream names of a market, upper case."""
    names = catalogue.streams.get(market, ())
    found = (_symbol_of(name, market) for name in names)
    return {symbol for symbol in found if symbol is not None}
