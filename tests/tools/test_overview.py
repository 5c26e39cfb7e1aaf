"""What a cassette is summed up to."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import Batch, parse_block
from pytest_binance_replay.tools.overview import (
    MOMENTS,
    Overview,
    OverviewReader,
    Snapshot,
    combined_counts,
)
from tests.soundness.sound_cassettes import RECONNECTED, SPOT, USDM, lines_of


def overview(lines: list[bytes], *, at_once: int = 1000) -> Overview:
    reader = OverviewReader()
    for start in range(0, len(lines), at_once):
        raw = b"\n".join(lines[start : start + at_once])
        reader.add_batch(parse_block(raw, first_line=start + 1, trusted=False))
    return reader.overview()


def trade(time_us: int, trade_id: int, price: str = "1.5", more: str = "") -> bytes:
    data = f'{{"e":"trade","t":{trade_id},"p":"{price}","M":true{more}}}'
    return f'{{"t":{time_us},"stream":"btcusdt@trade","data":{data}}}'.encode()


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_a_cassette_is_summed_up_however_it_is_cut(at_once: int) -> None:
    found = overview(lines_of(SPOT), at_once=at_once)
    assert found == overview(lines_of(SPOT))
    assert (found.market, found.frames, len(found.streams)) == ("spot", 21, 11)
    assert found.span_us == 440_000
    assert found.snapshots == (Snapshot("LTCBTC", 103),)
    assert found.is_finished
    assert found.gaps == 0


@pytest.mark.parametrize(
    ("text", "name", "first_price", "last_price", "first_id", "last_id", "gaps"),
    [
        (SPOT, "ltcbtc@trade", "0.0017", "0.0016", 7, 8, 0),
        (SPOT, "ltcbtc@aggTrade", "0.0016", "0.0016", 3, 4, 0),
        (SPOT, "ltcbtc@depth@100ms", None, None, 91, 108, 0),
        (SPOT, "ltcbtc@depth5", "0.0016", "0.0016", 108, 108, None),
        (SPOT, "ltcbtc@bookTicker", "0.0016", "0.0016", 107, 108, None),
        (SPOT, "ltcbtc@kline_1m", "0.0016", "0.0016", None, None, None),
        (SPOT, "!miniTicker@arr", None, None, None, None, None),
        (USDM, "ltcusdt@depth@100ms", None, None, 1010, 1060, 0),
        (USDM, "ltcusdt@depth5@100ms", "86.90", "86.90", 1060, 1060, None),
        (USDM, "ltcusdt@trade", "87.00", "87.00", 50, 51, None),
        (USDM, "ltcusdt@forceOrder", "87.31", "87.31", None, None, None),
    ],
)
def test_a_stream_has_prices_ids_and_gaps(
    text: str,
    name: str,
    first_price: str | None,
    last_price: str | None,
    first_id: int | None,
    last_id: int | None,
    gaps: int | None,
) -> None:
    found = overview(lines_of(text)).streams[name]
    assert (found.first_price, found.last_price) == (first_price, last_price)
    assert (found.first_id, found.last_id, found.gaps) == (first_id, last_id, gaps)


def test_gaps_are_counted_with_what_is_missing() -> None:
    lines = [trade(n, trade_id) for n, trade_id in enumerate([1, 2, 5, 6, 6, 9])]
    found = overview(lines).streams["btcusdt@trade"]
    assert (found.gaps, found.missing) == (3, 4)


def test_a_futures_gap_is_where_the_chain_breaks() -> None:
    lines = lines_of(USDM)
    lines[4] = lines[4].replace(b'"pu":1040', b'"pu":1050')
    found = overview(lines).streams["ltcusdt@depth@100ms"]
    assert (found.gaps, found.missing) == (1, 10)


def test_a_cassette_without_frames_has_no_time() -> None:
    found = overview(lines_of(SPOT)[:1])
    assert (found.first_time_us, found.last_time_us, found.span_us) == (None, None, 0)
    assert (found.frames, found.rate(0), found.is_finished) == (0, None, False)
    assert combined_counts(found) == ()


def test_other_lines_are_counted() -> None:
    lines = lines_of(SPOT)
    time = b'{"t":1790000000160000,"rest":"/api/v3/time","status":200,"data":{}}'
    refused = b'{"t":1,"rest":"/api/v3/depth?symbol=X","status":400,"data":{}}'
    broken = b'{"t":1,"rest":"/api/v3/depth","status":200,"data":{}}'
    found = overview([*lines[:3], RECONNECTED, time, time, refused, broken])
    assert found.requests == {"/api/v3/time": 2, "/api/v3/depth": 1}
    assert found.marks == {"reconnected": 1}
    assert found.snapshots[1] == Snapshot("", None)


def test_without_a_header_the_payloads_tell_the_market() -> None:
    assert overview(lines_of(USDM)[1:]).market == "usdm"
    unknown = b'{"t":1,"stream":"btcusdt@kline_1m","data":{"k":{"c":"5"}}}'
    found = overview([unknown])
    assert found.market is None
    assert found.streams["btcusdt@kline_1m"].last_price == "5"


@pytest.mark.parametrize(
    "payload", [b"{", b"[]", b'{"p":{}}', b'{"p":null}', b'{"p":7}', b'{"p":"x"}']
)
def test_a_payload_without_a_price_has_none(payload: bytes) -> None:
    batch = Batch([1], [b"btcusdt@trade"], [payload], [])
    reader = OverviewReader()
    reader.add_batch(batch)
    prices = reader.overview().streams["btcusdt@trade"].prices
    assert prices in {(None,), (Decimal(7),)}


def test_a_name_that_no_market_has_is_counted() -> None:
    found = overview([b'{"t":1,"stream":"novelty","data":{"p":"1"}}'])
    assert found.streams["novelty"].first_price is None


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.integers(1, 20))
def test_every_frame_is_in_some_moment(times_us: list[int], at_once: int) -> None:
    lines = [trade(time_us, n) for n, time_us in enumerate(times_us)]
    stream = overview(lines, at_once=at_once).streams["btcusdt@trade"]
    assert sum(stream.counts) == stream.frames == len(lines)
    assert len(stream.counts) == len(stream.prices) <= MOMENTS


def test_moments_keep_their_last_price() -> None:
    lines = [trade(n * 1000, n, str(n)) for n in range(1, 1025)]
    stream = overview(lines, at_once=100).streams["btcusdt@trade"]
    assert stream.prices[-1] == 1024
    assert len(stream.prices) > MOMENTS // 2
    assert all(
        a is not None and b is not None and a < b
        for a, b in zip(stream.prices, stream.prices[1:], strict=False)
    )
