from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_binance_replay.cassette import Frame, Mark, RestAnswer
from pytest_binance_replay.catalogue import Routes
from pytest_binance_replay.errors import (
    BinanceReplayWarning,
    CassetteFormatError,
    CutShortWarning,
    MarketUnknownError,
    OutOfOrderWarning,
)
from pytest_binance_replay.journal import Missing, Reason
from pytest_binance_replay.library import CassetteSource, Library, SessionSource
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tape import SEAM

BTC, ETH = "btcusdt@trade", "ethusdt@trade"
SPOT_HEADER = '{"cassette":1,"market":"spot"}'
USDM_HEADER = '{"cassette":1,"market":"usdm"}'
SPOT_TRADE = '{"e":"trade","E":1,"s":"BTCUSDT","p":"1","q":"2","T":1,"m":true,"M":true}'
USDM_TRADE = '{"e":"trade","E":1,"s":"BTCUSDT","p":"1","q":"2","T":1,"X":"MARKET"}'
DEPTH = "/api/v3/depth?symbol=BTCUSDT"


def line(time_us: int, stream: str = BTC, payload: str = "{}") -> str:
    return f'{{"t":{time_us},"stream":"{stream}","data":{payload}}}'


def rest(time_us: int, body: str = "{}") -> str:
    return f'{{"t":{time_us},"rest":"{DEPTH}","status":200,"data":{body}}}'


class Shelf:
    """A folder of cassettes, opened under the names that a user knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[BinanceReplayWarning] = []

    def put(self, name: str, *lines: str, end: str = "\n") -> Path:
        path = self.folder / name
        path.write_text("\n".join(lines) + end, "utf-8")
        return path

    def open(self, name: str, market: Market | None = None) -> CassetteSource:
        path = self.folder / name
        label = f"recordings/{name}"
        return CassetteSource(path, label, market=market, warn=self.warnings.append)

    def source(
        self, *lines: str, name: str = "dip.jsonl", market: Market | None = None
    ) -> CassetteSource:
        self.put(name, *lines)
        return self.open(name, market)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def frames(*times_us: int, stream: str = BTC, payload: str = "{}") -> list[Frame]:
    return [Frame(time_us, stream, payload.encode()) for time_us in times_us]


def session(*times_us: int, market: Market = "spot") -> SessionSource:
    return SessionSource(frames(*times_us), market=market)


def played(library: Library) -> list[tuple[int, bytes, bytes]]:
    return [
        row
        for batch in library.batches()
        for row in zip(batch.times_us, batch.streams, batch.payloads, strict=True)
    ]


# One cassette: its market


@pytest.mark.parametrize(
    ("given", "lines", "market"),
    [
        ("usdm", [SPOT_HEADER, line(1, payload=SPOT_TRADE)], "usdm"),
        (None, [SPOT_HEADER, line(1, payload=USDM_TRADE)], "spot"),
        (None, ['{"cassette":1}', line(1, payload=USDM_TRADE)], "usdm"),
        (None, [line(1, payload=SPOT_TRADE)], "spot"),
        ("spot", [line(1)], "spot"),
    ],
)
def test_the_market_is_the_given_one_or_the_header_s_or_the_payloads(
    shelf: Shelf, given: Market | None, lines: list[str], market: Market
) -> None:
    assert shelf.source(*lines, market=given).market == market


def test_a_market_that_nothing_tells_has_to_be_given(shelf: Shelf) -> None:
    source = shelf.source(line(1))
    with pytest.raises(MarketUnknownError) as caught:
        Library([source])
    assert str(caught.value) == (
        "recordings/dip.jsonl: neither a header nor the payloads say which market "
        'this is. Put {"cassette":1,"market":"spot"} in its first line, or pass '
        "market='spot' or market='usdm'."
    )


# One cassette: its streams


def test_streams_are_the_header_s_whether_or_not_they_have_frames(shelf: Shelf) -> None:
    header = f'{{"cassette":1,"market":"spot","streams":["{BTC}","{ETH}"]}}'
    source = shelf.source(header, line(1))
    assert source.streams == (BTC, ETH)
    assert [source.really_has(name) for name in (BTC, ETH)] == [True, False]


def test_without_a_header_streams_are_those_of_the_frames(shelf: Shelf) -> None:
    source = shelf.source(line(1, ETH), line(2, BTC), line(3, ETH))
    assert source.streams == (ETH, BTC)


def test_a_stream_that_the_header_forgot_is_found(shelf: Shelf) -> None:
    source = shelf.source('{"cassette":1,"market":"spot","streams":[]}', line(1))
    assert source.streams == ()
    assert source.really_has(BTC)


def test_a_header_is_enough_to_know_markets_and_streams(shelf: Shelf) -> None:
    header = f'{{"cassette":1,"market":"spot","streams":["{BTC}"]}}'
    library = Library([shelf.source(header, "broken", line(1))])
    assert library.catalogue.streams == {"spot": {BTC}}


# One cassette: its date


@pytest.mark.parametrize(
    ("recorded_at", "recorded_us"),
    [
        ("2026-11-20T10:00:00Z", 1_795_168_800_000_000),
        ("2026-11-20T10:00:00", 1_795_168_800_000_000),
        ("2026-11-20T12:30:00+02:30", 1_795_168_800_000_000),
        ("2026-11-20T10:00:00.000001Z", 1_795_168_800_000_001),
        ("2026-11-20", 1_795_132_800_000_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("some day in May", 77),
    ],
)
def test_the_date_is_the_header_s(
    shelf: Shelf, recorded_at: str, recorded_us: int
) -> None:
    header = f'{{"cassette":1,"market":"spot","recorded_at":"{recorded_at}"}}'
    assert shelf.source(header, line(77), line(78)).recorded_us == recorded_us


def test_without_a_date_it_is_the_first_frame_s(shelf: Shelf) -> None:
    assert shelf.source(SPOT_HEADER, rest(5), line(77), line(78)).recorded_us == 77


def test_without_date_and_frames_it_is_0(shelf: Shelf) -> None:
    assert shelf.source(SPOT_HEADER).recorded_us == 0


# One cassette: errors and warnings


def test_an_error_names_the_cassette_as_the_user_does(shelf: Shelf) -> None:
    source = shelf.source(SPOT_HEADER, line(1), "no line", line(2))
    with pytest.raises(CassetteFormatError, match=r"^recordings/dip\.jsonl:3: not a"):
        list(source.batches())


def test_a_broken_header_is_an_error_at_once(shelf: Shelf) -> None:
    with pytest.raises(CassetteFormatError, match=r"^recordings/dip\.jsonl:1: "):
        shelf.source('{"cassette":99}')


def test_an_error_found_by_reading_all_is_named_too(shelf: Shelf) -> None:
    source = shelf.source(SPOT_HEADER, line(1), "no line")
    with pytest.raises(CassetteFormatError, match=r"^recordings/dip\.jsonl:3: not a"):
        source.rest_answers()


def test_a_cassette_that_breaks_further_on_does_not_hide_what_is_missing(
    shelf: Shelf,
) -> None:
    source = shelf.source(SPOT_HEADER, line(1), "no line")
    assert not source.really_has(ETH)


def test_a_warning_names_the_cassette_as_the_user_does(shelf: Shelf) -> None:
    shelf.put("dip.jsonl", SPOT_HEADER, line(9), line(5), '{"t":6,', end="")
    source = shelf.open("dip.jsonl")
    assert shelf.warnings == []
    list(source.batches())
    assert [type(w) for w in shelf.warnings] == [OutOfOrderWarning, CutShortWarning]
    assert [w.args[0] for w in shelf.warnings] == ["recordings/dip.jsonl"] * 2


def test_a_warning_is_given_once_however_often_a_cassette_is_read(
    shelf: Shelf,
) -> None:
    shelf.put("dip.jsonl", line(9, payload=SPOT_TRADE), '{"t":6,', end="")
    source = shelf.open("dip.jsonl")
    for _ in range(3):
        list(source.batches())
    assert [str(warning) for warning in shelf.warnings] == [
        "recordings/dip.jsonl: cut short inside line 2; "
        "playing the 1 whole lines before it."
    ]


# A session in memory


def test_a_session_plays_its_frames_in_order_and_time_never_goes_back() -> None:
    source = SessionSource(frames(5, 3, 7))
    (batch,) = source.batches()
    assert batch.times_us == [5, 5, 7]
    assert batch.streams == [BTC.encode()] * 3
    assert source.recorded_us == 5


@pytest.mark.parametrize(
    ("given", "payload", "market"),
    [
        ("usdm", SPOT_TRADE, "usdm"),
        (None, USDM_TRADE, "usdm"),
        (None, SPOT_TRADE, "spot"),
        (None, "{}", "spot"),
    ],
)
def test_the_market_of_a_session_is_the_given_one_or_the_payloads(
    given: Market | None, payload: str, market: Market
) -> None:
    source = SessionSource(frames(1, payload=payload), market=given)
    assert source.market == market


def test_a_session_has_the_streams_of_its_frames() -> None:
    source = SessionSource([*frames(1, stream=ETH), *frames(2, 3)])
    assert source.streams == (ETH, BTC)
    assert source.really_has(ETH)
    assert not source.really_has("x@trade")


def test_a_session_may_be_empty() -> None:
    source = SessionSource(iter([]))
    library = Library([source])
    assert (source.market, source.recorded_us) == ("spot", 0)
    assert played(library) == []
    assert library.rest_answers() == []


def test_a_session_can_bring_rest_answers() -> None:
    answers = [RestAnswer(1, DEPTH, 200, b"{}")]
    library = Library([SessionSource(frames(1), rest=answers)])
    assert library.rest_answers() == answers


# Several sources


def test_cassettes_are_merged_by_time_and_the_first_named_goes_first(
    shelf: Shelf,
) -> None:
    one = shelf.source(SPOT_HEADER, line(1, ETH), line(3, ETH), name="one.jsonl")
    two = shelf.source(SPOT_HEADER, line(1), line(2), line(4), name="two.jsonl")
    library = Library([one, two])
    assert played(library) == [
        (1, ETH.encode(), b"{}"),
        (1, BTC.encode(), b"{}"),
        (2, BTC.encode(), b"{}"),
        (3, ETH.encode(), b"{}"),
        (4, BTC.encode(), b"{}"),
    ]
    assert library.catalogue.streams == {"spot": {BTC, ETH}}


def test_streams_of_two_markets_are_kept_apart() -> None:
    library = Library([session(1, market="spot"), session(2, market="usdm")])
    assert [key for _, key, _ in played(library)] == [
        b"spot/btcusdt@trade",
        b"usdm/btcusdt@trade",
    ]
    assert library.catalogue.markets == ("spot", "usdm")


def test_rest_answers_of_all_cassettes_are_laid_on_one_time_line(
    shelf: Shelf,
) -> None:
    one = shelf.source(SPOT_HEADER, rest(3), rest(5), line(9), name="one.jsonl")
    two = shelf.source(SPOT_HEADER, rest(4), line(9), name="two.jsonl")
    assert [a.receive_time_us for a in Library([one, two]).rest_answers()] == [3, 4, 5]


def test_a_library_may_be_empty() -> None:
    library = Library([], market="usdm")
    assert library.catalogue.streams == {"usdm": set()}
    assert played(library) == []
    assert Library([]).catalogue.markets == ("spot",)


# Routes

SWITCH_US = 1_776_961_800_000_000


@pytest.mark.parametrize(
    ("given", "times_us", "routes"),
    [
        (None, [SWITCH_US - 1], "any"),
        (None, [SWITCH_US], "live"),
        (None, [0, SWITCH_US], "live"),
        (None, [0, SWITCH_US - 1], "any"),
        (None, [], "live"),
        ("any", [SWITCH_US], "any"),
        ("live", [0], "live"),
    ],
)
def test_routes_are_those_of_the_newest_recording_s_day(
    given: Routes | None, times_us: list[int], routes: Routes
) -> None:
    sources = [session(time_us, market="usdm") for time_us in times_us]
    library = Library(sources, routes=given, market="usdm")
    assert library.catalogue.routes == {"usdm": routes}


def test_the_day_of_a_spot_recording_says_nothing_about_routes() -> None:
    sources = [session(SWITCH_US), session(0, market="usdm")]
    assert Library(sources).catalogue.routes == {"usdm": "any"}


# Frames as they were recorded


def test_frames_are_read_by_stream_and_without_a_market_in_front() -> None:
    sources = [
        SessionSource([*frames(1), *frames(2, stream=ETH)], market="spot"),
        session(3, market="usdm"),
    ]
    library = Library(sources)
    assert list(library.frames(BTC)) == frames(1, 3)
    assert [frame.stream for frame in library.frames()] == [BTC, ETH, BTC]


def test_frames_of_a_moved_tape_are_the_recorded_ones() -> None:
    library = Library([session(1_000, 2_000)])
    batches = library.opener(loop=True, now_us=lambda: 5_000_000)()
    assert next(batches).times_us == [5_000_000, 5_001_000]
    assert list(library.frames()) == frames(1_000, 2_000)


# Opening the tape


def test_a_tape_starts_anew_each_time_it_is_opened() -> None:
    opened = Library([session(1, 2)]).opener(loop=False, now_us=None)
    assert [batch.times_us for _ in range(2) for batch in opened()] == [[1, 2]] * 2


def test_a_looped_tape_goes_on() -> None:
    batches = Library([session(1, 2)]).opener(loop=True, now_us=None)()
    first, second = next(batches), next(batches)
    assert first.times_us == [1, 2]
    assert second.times_us == [1_000_001, 1_000_002]
    (_, mark) = second.others[0]
    assert isinstance(mark, Mark)
    assert mark.name == SEAM


def clock() -> Iterator[int]:
    yield 7_000_000
    yield 9_000_000


def test_a_tape_that_starts_now_asks_for_the_time_once() -> None:
    times_us = clock()
    library = Library([session(1_000, 2_000)])
    opened = library.opener(loop=False, now_us=lambda: next(times_us))
    assert [batch.times_us for _ in range(2) for batch in opened()] == [
        [7_000_000, 7_001_000]
    ] * 2


def test_rest_answers_move_with_the_tape() -> None:
    answers = [RestAnswer(time_us, DEPTH, 200, b"{}") for time_us in (1_500, 3_000)]
    library = Library([SessionSource(frames(2_000), rest=answers)])
    opened = library.opener(loop=False, now_us=lambda: 7_000_000)
    moved_us = [answer.receive_time_us for answer in library.rest_answers()]
    assert moved_us == [6_999_500, 7_001_000]
    assert [batch.times_us for batch in opened()] == [[7_000_000]]


def test_rest_answers_of_a_looped_tape_belong_to_its_first_round() -> None:
    answers = [RestAnswer(5, DEPTH, 200, b"{}")]
    library = Library([SessionSource(frames(5), rest=answers)])
    library.opener(loop=True, now_us=None)
    assert library.rest_answers() == answers


# What is missing, looked at closely


@pytest.mark.parametrize(
    ("reason", "asked", "confirmed"),
    [
        ("stream", "x@trade", True),
        ("stream", BTC, False),
        ("stream", ETH, False),
        ("case", "BTCUSDT@trade", True),
        ("route", BTC, True),
        ("route", ETH, True),
        ("route", "x@trade", False),
        ("pair", "BTCUSDT-trade", False),
        ("pair", "ETHUSDT-trade", False),
        ("pair", "ETHUSDT-depth", True),
        ("pair", "X-Y-trade", True),
        ("pair", "ETHUSDT-klines", True),
        ("rest", DEPTH, True),
    ],
)
def test_what_is_missing_is_confirmed_by_headers_and_frames(
    shelf: Shelf, reason: Reason, asked: str, *, confirmed: bool
) -> None:
    header = f'{{"cassette":1,"market":"usdm","streams":["{BTC}"]}}'
    library = Library([shelf.source(header, line(1, ETH)), session(1)])
    assert library.confirms(Missing(1, asked, reason, "usdm")) is confirmed


def test_what_another_market_has_is_missing() -> None:
    library = Library([session(1), SessionSource(frames(2, stream=ETH), market="usdm")])
    assert library.confirms(Missing(1, ETH, "stream", "spot"))


def test_what_was_pushed_is_not_missing() -> None:
    library = Library([])
    missing = Missing(1, BTC, "stream", "spot")
    assert library.confirms(missing)
    library.catalogue.streams["spot"].add(BTC)
    assert not library.confirms(missing)


# Real recordings


@pytest.mark.parametrize(
    ("name", "market", "streams", "routes"),
    [
        ("jayhere1-spot-20260704/session.jsonl", "spot", 1, "live"),
        ("lasota-spot-20240903/session.jsonl", "spot", 6, "live"),
        ("cryptofeed-spot-20211012/session.jsonl", "spot", 11, "live"),
        ("polysim-usdm-20260718/session.jsonl.gz", "usdm", 3, "live"),
    ],
)
def test_real_sessions_without_a_header_explain_themselves(
    shared_data: Path, name: str, market: Market, streams: int, routes: Routes
) -> None:
    warnings: list[BinanceReplayWarning] = []
    source = CassetteSource(shared_data / name, name, warn=warnings.append)
    library = Library([source])
    assert library.catalogue.markets == (market,)
    assert len(library.catalogue.streams[market]) == streams
    assert library.catalogue.routes["usdm"] == routes
    assert [f.payload for f in library.frames()] == [p for _, _, p in played(library)]
    assert warnings == []


def test_a_real_futures_recording_of_former_days_has_no_routes(
    shared_data: Path,
) -> None:
    path = shared_data / "hftbacktest-usdm-20230404" / "session.jsonl.gz"
    library = Library([CassetteSource(path, path.name, warn=print)])
    assert library.catalogue.routes == {"usdm": "any"}
    assert "btcusdt@markPrice@1s" in library.catalogue.streams["usdm"]


def test_real_sessions_of_two_markets_make_one_tape(shared_data: Path) -> None:
    names = ("polysim-spot-20260718", "polysim-usdm-20260718")
    sources = [
        CassetteSource(shared_data / name / "session.jsonl.gz", name, warn=print)
        for name in names
    ]
    library = Library(sources)
    times_us = [time_us for time_us, _, _ in played(library)]
    assert times_us == sorted(times_us)
    assert library.catalogue.markets == ("spot", "usdm")
    assert len(times_us) == sum(len(played(Library([s]))) for s in sources)
