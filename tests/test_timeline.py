from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Batch, Line, Mark
from pytest_binance_replay.files import CassetteReader
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tape import SEAM, Tape
from pytest_binance_replay.timeline import Loop, moved, rebased

DEMO = Path(__file__).parents[1] / "recordings" / "spot.jsonl"
START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US

FRAMES_LOOPED = 3000  # of a recording, so that a test takes seconds at the most


class Seen(NamedTuple):
    """A frame as a client of a tape sees it."""

    round: int
    time_us: int
    key: bytes
    payload: bytes


def spot(key: bytes) -> tuple[Market, str]:
    return "spot", key.decode()


def usdm(key: bytes) -> tuple[Market, str]:
    return "usdm", key.decode()


def prefixed(key: bytes) -> tuple[Market, str]:
    market, _, name = key.decode().partition("/")
    return ("usdm" if market == "usdm" else "spot"), name


def batch_of(*rows: tuple[int, str, str], others: list[Line] | None = None) -> Batch:
    """Make a batch of (receive time in microseconds after START_US, key, payload)."""
    return Batch(
        [START_US + time_us for time_us, _, _ in rows],
        [key.encode() for _, key, _ in rows],
        [payload.encode() for _, _, payload in rows],
        [(0, other) for other in others or []],
    )


def candle(interval: str, symbol: str = "btcusdt") -> str:
    return f"{symbol}@kline_{interval}"


class NoStore:
    """For tapes on which nobody lags."""

    def put(self, block: object) -> None:
        raise AssertionError(block)

    def get(self, number: int) -> Any:
        raise AssertionError(number)

    def clear(self) -> None:
        return


def play_rounds(
    batches: list[Batch], origin: Callable[[bytes], tuple[Market, str]], rounds: int = 3
) -> list[Seen]:
    """Play some rounds of a looped tape to their end."""
    tape = Tape(Loop(lambda: iter(batches), origin).batches, NoStore(), endless=True)
    wanted = rounds * sum(len(batch.times_us) for batch in batches)
    seen: list[Seen] = []
    number = 0
    while len(seen) < wanted and (head := tape.head()) is not None:
        block, index = head
        number += block.first in tape.seams
        rows = zip(block.times_us, block.keys, block.payloads, strict=True)
        seen += [Seen(number, *row) for row in islice(rows, index, None)]
        tape.release(block.end)
        tape.trim(tape.released)
    return seen


def offsets_us(seen: list[Seen]) -> list[int]:
    """When each round's first frame comes, counted from the very first."""
    firsts: dict[int, int] = {}
    for frame in seen:
        firsts.setdefault(frame.round, frame.time_us)
    return [first - seen[0].time_us for first in firsts.values()]


# A tape that starts now


def test_the_first_frame_of_a_rebased_tape_is_now() -> None:
    batches = [
        batch_of(),
        batch_of(
            (0, "btcusdt@trade", '{"e":"trade","E":1699999999990,"T":1699999999989}'),
            (1234, "btcusdt@bookTicker", '{"u":7,"s":"BTCUSDT"}'),
        ),
        batch_of((5_000_000, "who@knows", '{"E":1700000005000}')),
    ]
    now_us = START_US + 86_400 * SECOND_US
    empty, first, second = rebased(batches, spot, lambda: now_us)
    assert empty.times_us == []
    assert first.times_us == [now_us, now_us + 1234]
    assert first.payloads == [
        b'{"e":"trade","E":1700086399990,"T":1700086399989}',
        b'{"u":7,"s":"BTCUSDT"}',
    ]
    assert second.times_us == [now_us + 5_000_000]
    assert second.payloads == [b'{"E":1700000005000}']  # of no known kind


@given(
    st.integers(0, 2 * START_US),
    st.lists(st.integers(0, SECOND_US), min_size=1, max_size=5).map(sorted),
    st.sampled_from([1, 1000]),
)
def test_a_rebased_tape_moves_as_a_whole_by_whole_milliseconds(
    now_us: int, times_us: list[int], unit: int
) -> None:
    now_us += 86_400 * SECOND_US
    stamp = START_US // 1000 * unit
    rows = [(t, "btcusdt@trade", f'{{"e":"trade","E":{stamp}}}') for t in times_us]
    recorded = batch_of(*rows)
    (rebased_batch,) = rebased([recorded], spot, lambda: now_us)
    (offset_us,) = {
        new - old
        for new, old in zip(rebased_batch.times_us, recorded.times_us, strict=True)
    }
    assert offset_us % 1000 == 0
    assert 0 <= now_us - rebased_batch.times_us[0] < 1000
    for payload in rebased_batch.payloads:
        assert json.loads(payload)["E"] == stamp + offset_us * unit // 1000


def test_now_is_asked_for_when_the_first_frame_is_read() -> None:
    asked: list[int] = []

    def now_us() -> int:
        asked.append(1)
        return START_US

    batches = rebased([batch_of(), batch_of((0, "a@trade", "{}"))], spot, now_us)
    next(batches)
    assert not asked
    assert next(batches).times_us == [START_US]
    assert len(asked) == 1


def test_what_is_moved_by_nothing_is_not_touched() -> None:
    batch = batch_of((0, "a@trade", "{}"))
    assert moved(batch, spot, 0) is batch


# A tape that starts again


class Link(NamedTuple):
    """What one event of a stream may owe to the one before."""

    name: str
    holds: Callable[[dict[str, Any], dict[str, Any]], bool]


LINKS = [
    Link("event times do not go back", lambda a, b: a["E"] <= b["E"]),
    Link("trade times do not go back", lambda a, b: a["T"] <= b["T"]),
    Link("spot diffs chain", lambda a, b: b["U"] == a["u"] + 1),
    Link("futures diffs chain", lambda a, b: b["pu"] == a["u"]),
    Link("update ids rise", lambda a, b: a["u"] < b["u"]),
    Link("trade ids rise by one", lambda a, b: b["t"] == a["t"] + 1),
    Link("aggregate ids rise by one", lambda a, b: b["a"] == a["a"] + 1),
    Link("aggregates join", lambda a, b: b["f"] == a["l"] + 1),
    Link("candles do not go back", lambda a, b: a["k"]["t"] <= b["k"]["t"]),
]


def broken_links(seen: list[Seen]) -> list[str]:
    """Name what holds everywhere within a recording, but not from round to round."""
    events: dict[bytes, list[tuple[int, Any]]] = defaultdict(list)
    for frame in seen:
        events[frame.key].append((frame.round, json.loads(frame.payload)))
    broken = []
    for key, of_stream in events.items():
        for link in LINKS:
            try:
                holds = [
                    (a[0] == b[0], link.holds(a[1], b[1]))
                    for a, b in pairwise(of_stream)
                ]
            except (KeyError, TypeError):  # events of another kind
                continue
            if all(held for same_round, held in holds if same_round) and not all(
                held for _, held in holds
            ):
                broken.append(f"{key.decode()}: {link.name}")
    return broken


def recorded_batches(path: Path) -> list[Batch]:
    batches, frames = [], 0
    with CassetteReader(path, warn=lambda _: None) as reader:
        for batch in reader.batches():
            batches.append(Batch(batch.times_us, batch.streams, batch.payloads, []))
            frames += len(batch.times_us)
            if frames >= FRAMES_LOOPED:
                break
    return batches


@pytest.fixture(scope="module")
def looped_demo() -> list[Seen]:
    """Three rounds of the bundled recording."""
    return play_rounds(recorded_batches(DEMO), spot)


def check_rounds(seen: list[Seen]) -> None:
    assert {frame.round for frame in seen} == {0, 1, 2}
    assert all(a.time_us <= b.time_us for a, b in pairwise(seen))
    rounds = [[f.key for f in seen if f.round == number] for number in range(3)]
    assert rounds[0] == rounds[1] == rounds[2]
    assert broken_links(seen) == []


def test_three_rounds_of_the_demo_go_on_as_one_recording(
    looped_demo: list[Seen],
) -> None:
    check_rounds(looped_demo)


def test_the_demo_takes_a_minute_a_round(looped_demo: list[Seen]) -> None:
    first, second, third = offsets_us(looped_demo)
    # The last candle closes some milliseconds behind the minute.
    assert first == 0
    assert 0 <= second - MINUTE_US < SECOND_US
    assert 0 <= third - 2 * MINUTE_US < SECOND_US


def test_candles_of_the_demo_stay_on_their_grid(looped_demo: list[Seen]) -> None:
    opened: dict[bytes, set[int]] = defaultdict(set)
    for frame in looped_demo:
        if b"@kline_1m" in frame.key:
            body = json.loads(frame.payload)["k"]
            assert body["t"] % 60_000 == 0
            assert body["T"] == body["t"] + 59_999
            opened[frame.key].add(body["t"])
    assert {len(times_ms) for times_ms in opened.values()} == {3}


@pytest.mark.slow
def test_three_rounds_of_every_real_recording_go_on_as_one(
    shared_sessions: list[Path],
) -> None:
    assert shared_sessions
    for path in shared_sessions:
        futures = re.search("usdm|coinm", str(path))
        seen = play_rounds(recorded_batches(path), usdm if futures else spot)
        check_rounds(seen)


def test_the_first_round_is_the_recording_itself() -> None:
    recorded = recorded_batches(DEMO)
    looped = Loop(lambda: iter(recorded), spot).batches()
    assert all(next(looped) is batch for batch in recorded)


def test_a_round_is_marked_where_it_begins() -> None:
    old = Mark(START_US, "reconnected")
    batches = [
        batch_of(),
        batch_of((0, "a@trade", "{}"), others=[old]),
        batch_of((5, "a@trade", "{}")),
    ]
    looped = Loop(lambda: iter(batches), spot).batches()
    others = [
        [
            (place, line.name, line.fields.get("round"))
            for place, line in batch.others
            if isinstance(line, Mark)
        ]
        for batch in islice(looped, 9)
    ]
    plain = (0, "reconnected", None)
    assert others[:3] == [[], [plain], []]
    assert others[3:6] == [[], [(0, SEAM, 1), plain], []]
    assert others[6:9] == [[], [(0, SEAM, 2), plain], []]
    assert batches[1].others == [(0, old)]


@pytest.mark.parametrize("batches", [[], [batch_of()]])
def test_a_loop_of_nothing_ends(batches: list[Batch]) -> None:
    assert list(Loop(lambda: iter(batches), spot).batches()) == batches


def test_a_loop_can_be_read_anew_from_its_first_round() -> None:
    batches = [batch_of((0, "a@trade", '{"e":"trade","t":1}'))]
    loop = Loop(lambda: iter(batches), spot)
    list(islice(loop.batches(), 5))
    again = loop.batches()
    assert [next(again).payloads for _ in range(3)] == [
        [b'{"e":"trade","t":1}'],
        [b'{"e":"trade","t":2}'],
        [b'{"e":"trade","t":3}'],
    ]


def test_each_market_on_a_looped_tape_counts_for_itself() -> None:
    def trade(number: int) -> str:
        return f'{{"e":"trade","E":1700000000000,"s":"BTCUSDT","t":{number}}}'

    rows = [(n, "spot/btcusdt@trade", trade(100 + n)) for n in range(3)]
    rows += [(n + 9, "usdm/btcusdt@trade", trade(7 + n)) for n in range(2)]
    seen = play_rounds([batch_of(*rows)], prefixed)
    ids: dict[bytes, list[int]] = defaultdict(list)
    for frame in seen:
        event = json.loads(frame.payload)
        ids[frame.key].append(event["t"])
        assert event["E"] == 1_700_000_000_000 + 1000 * frame.round
    assert ids[b"spot/btcusdt@trade"] == list(range(100, 109))
    assert ids[b"usdm/btcusdt@trade"] == list(range(7, 13))


def test_a_stream_of_no_known_kind_goes_round_as_it_is() -> None:
    seen = play_rounds([batch_of((0, "who@knows", '{"E":1700000000000,"t":5}'))], spot)
    assert {frame.payload for frame in seen} == {b'{"E":1700000000000,"t":5}'}
    assert offsets_us(seen) == [0, SECOND_US, 2 * SECOND_US]


# How long a round is


@pytest.mark.parametrize(
    ("length_us", "round_us"),
    [
        (0, SECOND_US),
        (SECOND_US - 1, SECOND_US),
        (SECOND_US, 2 * SECOND_US),
        (7_000_001, 8 * SECOND_US),
    ],
)
def test_without_candles_a_round_is_whole_seconds(
    length_us: int, round_us: int
) -> None:
    batch = batch_of((0, "a@trade", "{}"), (length_us, "a@trade", "{}"))
    assert offsets_us(play_rounds([batch], spot))[:2] == [0, round_us]


@pytest.mark.parametrize(
    ("streams", "length_us", "round_us"),
    [
        ([candle("1m")], 10 * SECOND_US, MINUTE_US),
        ([candle("1m")], MINUTE_US, MINUTE_US),
        ([candle("1m")], MINUTE_US + SECOND_US, MINUTE_US),
        ([candle("1m")], MINUTE_US + SECOND_US + 1, 2 * MINUTE_US),
        ([candle("1s")], 10 * SECOND_US, 9 * SECOND_US),
        ([candle("1s"), candle("1m")], 70 * SECOND_US, 2 * MINUTE_US),
        ([candle("5m")], 30 * SECOND_US, 31 * SECOND_US),
        ([candle("1m"), candle("5m")], 2 * MINUTE_US, 2 * MINUTE_US),
        ([candle("3m"), candle("5m")], 6 * MINUTE_US, 15 * MINUTE_US),
        ([candle("8h"), candle("12h")], 13 * HOUR_US, 24 * HOUR_US),
        ([candle("1w")], 10 * SECOND_US, 11 * SECOND_US),
        ([candle("1m@+08:00")], 10 * SECOND_US, MINUTE_US),
    ],
)
def test_with_candles_a_round_is_whole_candles(
    streams: list[str], length_us: int, round_us: int
) -> None:
    rows = [(0, "a@trade", "{}"), *((1, stream, "{}") for stream in streams)]
    rows.append((length_us, "b@trade", "{}"))
    batch = batch_of(*rows)
    looped = Loop(lambda: iter([batch]), spot).batches()
    starts_us = [again.times_us[0] for again in islice(looped, 3)]
    assert starts_us == [START_US + n * round_us for n in range(3)]


def test_time_waits_where_a_round_begins_before_the_last_one_ended() -> None:
    rows = [(0, "a@trade", "{}"), (1, candle("1m"), "{}")]
    rows.append((MINUTE_US + 20, "b@trade", "{}"))
    seen = play_rounds([batch_of(*rows)], spot, rounds=2)
    assert [frame.time_us - START_US - MINUTE_US for frame in seen[2:5]] == [20] * 3


def test_candles_of_continuous_contracts_keep_to_their_grid_as_well() -> None:
    rows = [(0, "btcusdt_perpetual@continuousKline_1m", "{}"), (5, "a@trade", "{}")]
    assert offsets_us(play_rounds([batch_of(*rows)], usdm))[1] == MINUTE_US


def test_a_round_is_longer_where_a_stream_would_go_back_in_time() -> None:
    rows = [(0, "a@trade", "{}"), (1, candle("1m"), "{}")]
    rows.append((MINUTE_US + SECOND_US // 2, "a@trade", "{}"))
    assert offsets_us(play_rounds([batch_of(*rows)], spot))[1] == 2 * MINUTE_US


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10 * MINUTE_US),
            st.sampled_from(["a@trade", "b@trade", candle("1m"), candle("3m")]),
        ),
        min_size=1,
        max_size=8,
    ).map(sorted)
)
def test_no_stream_goes_back_in_time_from_round_to_round(
    rows: list[tuple[int, str]],
) -> None:
    batch = batch_of(*((time_us, key, "{}") for time_us, key in rows))
    looped = Loop(lambda: iter([batch]), spot).batches()
    latest_us: dict[bytes, int] = {}
    for again in islice(looped, 3):
        for key, time_us in zip(again.streams, again.times_us, strict=True):
            assert latest_us.get(key, 0) <= time_us
            latest_us[key] = time_us
