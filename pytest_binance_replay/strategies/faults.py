"""Sessions with something wrong in them, on purpose and by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_binance_replay.book import parse_change
from pytest_binance_replay.cassette import Frame, Line, Mark, RestAnswer
from pytest_binance_replay.following import Snapshot
from pytest_binance_replay.market import Action, Place, Take
from pytest_binance_replay.session import FAULT_KINDS, Fault, FaultKind, Session
from pytest_binance_replay.strategies.sessions import (
    MINUTE_US,
    Script,
    Wishes,
    as_names,
    draw_script,
    make_plan,
)
from pytest_binance_replay.strategies.sketch import Number, check_integers
from pytest_binance_replay.streams import Market, is_diff_depth

# Frames of a stream that one fault takes at the most, and that the last one needs.
_FRAMES_EACH = 4
_FRAMES_LAST = 3
_ROUND_US = 5_100_000
_MOST_LOST = 3
_MOST_LEVELS = 1000


@st.composite
def faulty_sessions(
    draw: st.DrawFn,
    *,
    kinds: Sequence[FaultKind] = FAULT_KINDS,
    min_faults: int = 1,
    max_faults: int = 1,
    symbols: Sequence[str] = ("BTCUSDT",),
    market: Market = "spot",
    streams: Sequence[str] | None = None,
    min_size: int = 0,
    max_size: int | None = None,
    min_price: Number | None = None,
    max_price: Number | None = None,
    max_move: Number = "0.01",
    max_quantity: Number | None = None,
    max_gap_us: int = MINUTE_US,
) -> Session:
    """Sessions of which some frames never come, come twice or in the wrong order.

    What is wrong with a session is in its `faults`, and in its lines as marks, which no
    client is sent. A gap and a wrong order are in a stream that numbers its messages,
    if there is one, behind its first frame; so a client can always tell. Behind a fault
    in a diff depth there is a new snapshot over REST, so that a client can always start
    again.

    Shrinks to few faults, of the first kind, and then as `sessions` does.

    Args:
        draw: Given by Hypothesis; leave it out.
        kinds: Which faults there may be: `gap`, `duplicate`, `reorder`, `reconnect`;
            see `Fault`.
        min_faults: Least number of faults, 1 or more.
        max_faults: Most of them. They do not overlap.
        symbols: As in `sessions`, and so is all below.
        market: `spot` or `usdm`.
        streams: Names or features.
        min_size: Least number of actions; some more are added where they make too few
            frames for the faults.
        max_size: Most of them but for those.
        min_price: Bounds all prices.
        max_price: Bounds all prices.
        max_move: Bounds how far prices move.
        max_quantity: Bounds each order.
        max_gap_us: Bounds the time between two actions.

    Raises:
        InvalidArgument: When drawn, if the bounds leave nothing, or the streams tell
            too little for the faults.
    """
    if isinstance(kinds, str) or not kinds or not {*kinds} <= {*FAULT_KINDS}:
        msg = f"{kinds=}: expected a sequence of some of {', '.join(FAULT_KINDS)}"
        raise InvalidArgument(msg)
    check_integers("faults", 1, min_faults, max_faults)
    plan = make_plan(
        Wishes(
            symbols=as_names(symbols),
            market=market,
            streams=None if streams is None else as_names(streams),
            min_size=min_size,
            max_size=max_size,
            min_price=min_price,
            max_price=max_price,
            max_move=max_move,
            max_quantity=max_quantity,
            max_gap_us=max_gap_us,
        )
    )
    wanted = draw(
        st.lists(st.sampled_from(kinds), min_size=min_faults, max_size=max_faults)
    )
    damaged = _long_enough(draw_script(draw, plan), len(wanted))
    for later, kind in reversed([*enumerate(reversed(wanted))]):
        damaged.add(draw, kind, later=later)
    return Session([damaged.whole.header, *damaged.lines])


def _long_enough(script: Script, faults: int) -> _Damaged:
    """Play a script, with as much behind it as some faults need."""
    forced = script.plan.market == "usdm"
    for rounds in range(_FRAMES_EACH * faults + 1):
        added: list[Action] = []
        for one in script.plan.instruments * rounds:
            symbol = one.symbol
            added += (
                Place(symbol=symbol, side="bid", after_us=_ROUND_US),
                Take(symbol=symbol, side="bid", is_forced=forced),
            )
        longer = replace(script, actions=[*script.actions, *added])
        damaged = _Damaged(Session(longer.play()))
        if damaged.has_room(faults):
            return damaged
    msg = f"streams={script.plan.streams}: they tell too little for the faults"
    raise InvalidArgument(msg)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a fault may be: frames of one stream, by their index among the lines."""

    stream: str
    indexes: list[int]


class _Damaged:
    """A session as one fault after the other is put into it.

    Args:
        whole: The session without any.

    Attributes:
        whole: The session without any.
        lines: Its lines with those put in so far.
    """

    def __init__(self, whole: Session) -> None:
        self.whole = whole
        self.lines: list[Line] = list(whole.lines)
        self._begin = 0

    def has_room(self, faults: int) -> bool:
        """Return whether there are surely enough frames for some faults."""
        return bool(self._spots(_FRAMES_EACH * (faults - 1) + _FRAMES_LAST))

    def _spots(self, least: int) -> list[_Spot]:
        """Return where there are so many frames for faults.

        A client can tell a fault by its number where a frame came before.
        """
        found: dict[str, list[int]] = {}
        first_ones: set[str] = set()
        for index, line in enumerate(self.lines):
            if isinstance(line, Frame) and line.stream in first_ones:
                found.setdefault(line.stream, []).append(index)
            elif isinstance(line, Frame):
                first_ones.add(line.stream)
        spots = [
            _Spot(stream, [index for index in indexes if index >= self._begin])
            for stream, indexes in found.items()
        ]
        eligible = [s for s in self.whole.streams if _is_numbered(s)]
        eligible = eligible or [*self.whole.streams]
        spots = [spot for spot in spots if spot.stream in eligible]
        return [spot for spot in spots if len(spot.indexes) >= least]

    def add(self, draw: st.DrawFn, kind: FaultKind, *, later: int) -> None:
        """Put in one more fault, behind those that are there.

        Args:
            draw: Draws from a strategy.
            kind: Which one.
            later: How many there will be behind it.
        """
        reserved = _FRAMES_EACH * later
        spot = draw(st.sampled_from(self._spots(reserved + _FRAMES_LAST)))
        left, touched = len(spot.indexes) - reserved - 2, 1
        if kind in {"gap", "reconnect"}:
            left += 1  # what comes behind it is sound
            touched = draw(st.integers(1, min(_MOST_LOST, left)))
        at = draw(st.integers(0, left - touched))
        put = {
            "gap": self._gap,
            "reconnect": self._reconnect,
            "duplicate": self._duplicate,
            "reorder": self._reorder,
        }[kind]
        put(spot.stream, spot.indexes[at : at + touched + 1])

    def _gap(self, stream: str, indexes: list[int]) -> None:
        *lost, later = indexes
        self._tell(Fault("gap", stream, len(lost), self._time_us(later)), later)
        for index in reversed(lost):
            del self.lines[index]
        self._begin -= len(lost)

    def _reconnect(self, stream: str, indexes: list[int]) -> None:
        del stream  # all of them are cut
        first, *_, later = indexes
        kept = [line for line in self.lines[first:later] if not isinstance(line, Frame)]
        lost = later - first - len(kept)
        time_us = self._time_us(later)
        self._tell(Fault("reconnect", None, lost, time_us), later)
        self.lines[first:later] = [*kept, Mark(time_us, "reconnected")]
        self._begin -= lost - 1

    def _duplicate(self, stream: str, indexes: list[int]) -> None:
        index = indexes[0] + 1
        frame = self._frame(indexes[0])
        again = replace(frame, receive_time_us=frame.receive_time_us + 1)
        self.lines.insert(index, again)
        fault = Fault("duplicate", stream, 1, again.receive_time_us)
        self._tell(fault, index, behind=index + 1)

    def _reorder(self, stream: str, indexes: list[int]) -> None:
        earlier, later = map(self._frame, indexes)
        self.lines[indexes[0]] = replace(earlier, payload=later.payload)
        self.lines[indexes[1]] = replace(later, payload=earlier.payload)
        fault = Fault("reorder", stream, 2, earlier.receive_time_us)
        self._tell(fault, indexes[0], behind=indexes[1] + 1)

    def _tell(self, fault: Fault, index: int, *, behind: int | None = None) -> None:
        """Put a fault's mark before a line, and new snapshots where it is over.

        Args:
            fault: The fault.
            index: Of the line that has its mark before it.
            behind: Of the first line that is sound again; None for that line itself.
        """
        behind = index if behind is None else behind
        snapshots = self._snapshots(fault, behind)
        self.lines[behind:behind] = snapshots
        self.lines.insert(index, fault.mark())
        self._begin = behind + len(snapshots) + 1 + (behind == index)

    def _snapshots(self, fault: Fault, behind: int) -> list[Line]:
        """Return a snapshot for each diff depth that a fault has interrupted."""
        if fault.kind == "duplicate" and self.whole.market == "spot":
            return []  # where the same changes again are none
        streams = self.whole.streams if fault.stream is None else (fault.stream,)
        return [
            answer
            for stream in streams
            if is_diff_depth(stream)
            for answer in self._snapshot(stream, behind)
        ]

    def _snapshot(self, stream: str, behind: int) -> list[RestAnswer]:
        """Return the book before the next diff of a stream, as REST answers."""
        coming = next(
            (
                line
                for line in self.lines[behind:]
                if isinstance(line, Frame) and line.stream == stream
            ),
            None,
        )
        if coming is None:
            return []
        following = parse_change(coming.payload)
        symbol = stream.partition("@")[0].upper()
        recorded = next(a for a in self.whole.rest if f"symbol={symbol}&" in a.request)
        book = Snapshot.parse(recorded.payload).book(symbol, self.whole.market)
        for frame in self.whole.frames(stream):
            change = parse_change(frame.payload)
            if change.final_update_id >= following.final_update_id:
                break
            book.apply_change(change)
        time_us, update_id, times = coming.receive_time_us, book.update_id, ""
        if self.whole.market == "usdm":
            update_id = following.first_update_id
            times = f'"E":{time_us // 1000},"T":{time_us // 1000},'
        bids, asks = (_written(side) for side in book.texts(_MOST_LEVELS))
        body = f'{{"lastUpdateId":{update_id},{times}"bids":[{bids}],"asks":[{asks}]}}'
        return [RestAnswer(time_us, recorded.request, 200, body.encode())]

    def _time_us(self, index: int) -> int:
        return self._frame(index).receive_time_us

    def _frame(self, index: int) -> Frame:
        line = self.lines[index]
        if not isinstance(line, Frame):
            msg = f"line {index} is no frame"
            raise TypeError(msg)
        return line


def _is_numbered(stream: str) -> bool:
    """Return whether the messages of a stream have numbers without holes."""
    return is_diff_depth(stream) or stream.endswith(("@trade", "@aggTrade"))


def _written(side: Sequence[Sequence[str]]) -> str:
    return ",".join(f'["{price}","{quantity}"]' for price, quantity, *_ in side)
