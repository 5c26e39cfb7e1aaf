from __future__ import annotations

import json
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.errors import CaptureError
from pytest_binance_replay.recording.capture import (
    MOST_STREAMS,
    Bounds,
    ConnectionPlan,
    DepthPlan,
    Tally,
    clean_origin,
    delays,
    guess_market,
    messages_per_second,
    plan_capture,
    subscriptions,
)
from pytest_binance_replay.streams import Market

TRADES, DEPTH = "btcusdt@trade", "btcusdt@depth@100ms"


# Plans


def test_spot_streams_share_one_connection() -> None:
    plan = plan_capture([TRADES, DEPTH, TRADES], "spot")
    assert plan.streams == (TRADES, DEPTH)
    assert plan.connections == (ConnectionPlan("/stream", (TRADES, DEPTH)),)


def test_futures_streams_are_parted_by_route() -> None:
    names = ["btcusdt@aggTrade", DEPTH, "btcusdt@markPrice", "btcusdt@whatever"]
    assert plan_capture(names, "usdm").connections == (
        ConnectionPlan("/market/stream", ("btcusdt@aggTrade", "btcusdt@markPrice")),
        ConnectionPlan("/public/stream", (DEPTH, "btcusdt@whatever")),
    )


def test_a_connection_carries_as_many_as_the_exchange_allows() -> None:
    names = [f"s{number}usdt@trade" for number in range(2 * MOST_STREAMS + 1)]
    connections = plan_capture(names, "spot").connections
    assert [len(c.streams) for c in connections] == [MOST_STREAMS, MOST_STREAMS, 1]
    assert [name for c in connections for name in c.streams] == names


@pytest.mark.parametrize(
    ("market", "path"), [("spot", "/api/v3/depth"), ("usdm", "/fapi/v1/depth")]
)
def test_a_diff_stream_needs_a_snapshot_that_joins_the_fastest(
    market: Market, path: str
) -> None:
    names = ["btcusdt@depth", DEPTH, "ethusdt@depth5", TRADES]
    request = f"{path}?symbol=BTCUSDT&limit=1000"
    assert plan_capture(names, market).depths == (DepthPlan("BTCUSDT", request, DEPTH),)


@pytest.mark.parametrize(
    ("names", "market", "requests"),
    [
        ([TRADES], "spot", ("/api/v3/exchangeInfo?symbol=BTCUSDT",)),
        (
            [TRADES, "ethusdt@trade", DEPTH],
            "spot",
            ('/api/v3/exchangeInfo?symbols=["BTCUSDT","ETHUSDT"]',),
        ),
        (["!ticker@arr"], "spot", ()),
        ([f"s{number}@trade" for number in range(101)], "spot", ()),
        ([TRADES], "usdm", ()),
    ],
)
def test_spot_symbols_come_with_their_exchange_info(
    names: list[str], market: Market, requests: tuple[str, ...]
) -> None:
    assert plan_capture(names, market).requests == requests


def test_other_requests_are_made_once_and_snapshots_are_not_made_twice() -> None:
    klines = "/api/v3/klines?symbol=BTCUSDT&interval=1m"
    asked = [klines, klines, "/api/v3/depth?limit=5&symbol=BTCUSDT"]
    plan = plan_capture([DEPTH], "spot", asked)
    assert plan.requests[1:] == ("/api/v3/klines?interval=1m&symbol=BTCUSDT",)
    other = plan_capture(["ethusdt@trade"], "spot", asked)
    assert len(other.requests) == 3


@pytest.mark.parametrize(
    ("names", "requests", "sentence"),
    [
        ([], [], "No stream to record. Name one, such as btcusdt@trade."),
        (
            ["btcusdt"],
            [],
            "'btcusdt' is no market stream, and no other is ever recorded. Take a name "
            "such as btcusdt@trade.",
        ),
        (
            ["BTCUSDT@trade"],
            [],
            "'BTCUSDT@trade' stays silent on the exchange, where symbols of streams "
            "are lower case. Take btcusdt@trade.",
        ),
        (
            [TRADES],
            ["/api/v3/account?x=1"],
            "'/api/v3/account' is not among the requests for market data, and no other "
            "is ever recorded, nor one that is signed.",
        ),
    ],
)
def test_what_is_never_recorded_is_refused(
    names: list[str], requests: list[str], sentence: str
) -> None:
    with pytest.raises(CaptureError) as caught:
        plan_capture(names, "spot", requests)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("name", "market", "notes"),
    [
        (TRADES, "spot", ()),
        (
            "btcusdt@trades",
            "spot",
            (
                "'btcusdt@trades' is no stream of spot that is known; it may stay "
                "silent. Did you mean 'btcusdt@trade'?",
            ),
        ),
        (
            "btcusdt@markPrice",
            "spot",
            ("'btcusdt@markPrice' is a stream of usdm, and this records spot.",),
        ),
    ],
)
def test_an_unknown_name_is_noted_and_asked_for(
    name: str, market: Market, notes: tuple[str, ...]
) -> None:
    plan = plan_capture([name], market)
    assert plan.notes == notes
    assert plan.streams == (name,)


@pytest.mark.parametrize(
    ("names", "market"),
    [
        ([TRADES], "spot"),
        ([TRADES, "btcusdt@markPrice"], "usdm"),
        (["btcusdt@avgPrice"], "spot"),
        (["btcusdt@avgPrice", "btcusdt@markPrice"], "spot"),
    ],
)
def test_names_tell_the_market_if_only_one_has_them(
    names: list[str], market: Market
) -> None:
    assert guess_market(names) == market


# Limits


@pytest.mark.parametrize(("market", "number"), [("spot", 4), ("usdm", 9)])
def test_one_message_a_second_is_left_for_pongs(market: Market, number: int) -> None:
    assert messages_per_second(market) == number


@given(st.lists(st.from_regex(r"[a-z币]{1,300}@trade", fullmatch=True), min_size=1))
def test_subscriptions_hold_all_streams_in_texts_of_a_safe_size(
    names: list[str],
) -> None:
    texts = [text for _, text in subscriptions(names)]
    requests = [json.loads(text) for text in texts]
    assert [name for request in requests for name in request["params"]] == names
    assert [request["id"] for request in requests] == [*range(1, len(texts) + 1)]
    assert all(len(text.encode()) <= 4096 for text in texts)
    for text, following in pairwise(requests):
        first = len(following["params"][0].encode())
        assert len(json.dumps(text).encode()) + first > 3500


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("wss://fstream.binance.com", "wss://fstream.binance.com"),
        ("wss://me:secret@h:9443/stream?listenKey=x#y", "wss://h:9443"),
    ],
)
def test_an_origin_has_no_secrets(url: str, origin: str) -> None:
    assert clean_origin(url) == origin


@given(st.integers())
def test_delays_double_up_to_a_limit_less_up_to_a_half(seed: int) -> None:
    found = list(islice(delays(Random(seed), first=1, most=30), 60))
    for number, delay in enumerate(found):
        most = min(30, 2.0**number)
        assert most / 2 <= delay <= most


# Bounds


@pytest.mark.parametrize(
    ("bounds", "limit"),
    [
        (Bounds(), None),
        (Bounds(seconds=30), 90),
        (Bounds(seconds=30, time_limit=40), 40),
        (Bounds(min_messages=3), None),
        (Bounds(min_messages=3, time_limit=5), 5),
    ],
)
def test_a_recording_of_some_length_has_a_time_limit(
    bounds: Bounds, limit: float | None
) -> None:
    assert bounds.limit_seconds == limit


def test_every_stream_has_to_bring_enough() -> None:
    tally = Tally([TRADES, DEPTH], Bounds(min_messages=2))
    added = [tally.add(name.encode()) for name in (TRADES, TRADES, TRADES, DEPTH)]
    assert added == [False, False, False, False]
    before, shortage = tally.lacks, tally.shortage()
    assert (before, shortage) == (True, "btcusdt@depth@100ms sent 1 of 2")
    assert tally.add(DEPTH.encode())
    assert (tally.lacks, tally.shortage()) == (False, "")
    assert not tally.add(DEPTH.encode())
    assert (tally.frames, tally.counts[TRADES.encode()]) == (6, 3)


def test_only_the_streams_that_are_named_have_to() -> None:
    tally = Tally([TRADES, DEPTH], Bounds(min_messages={TRADES: 1, DEPTH: 0}))
    assert tally.silent() == [TRADES, DEPTH]
    assert tally.add(TRADES.encode())
    assert tally.silent() == [DEPTH]


def test_a_bound_for_a_stream_that_is_not_recorded_is_refused() -> None:
    with pytest.raises(CaptureError) as caught:
        Tally([TRADES], Bounds(min_messages={DEPTH: 1}))
    assert str(caught.value) == (
        "min_messages names 'btcusdt@depth@100ms', which is not recorded. Record it."
    )
