"""Sessions from a seed: the same bytes everywhere, believable, and sound."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any

import pytest

from pytest_binance_replay.cassette import Frame, Line, format_line
from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.market import (
    KNOWN_SYMBOLS,
    SCENARIOS,
    START_US,
    Crossing,
    generate,
)
from pytest_binance_replay.soundness import check_lines
from pytest_binance_replay.streams import Market

SECOND_US = 1_000_000


def frames(stream: str, **more: Any) -> list[Frame]:
    lines = generate(**more)
    return [line for line in lines if isinstance(line, Frame) and line.stream == stream]


def digest(**more: Any) -> str:
    found = hashlib.sha256()
    for line in generate(**more):
        found.update(format_line(line))
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("market", "expected"),
    [("spot", "787cee20991a4257"), ("usdm", "c3e093083a72d54f")],
)
def test_a_seed_makes_the_same_bytes_everywhere(market: Market, expected: str) -> None:
    scenario = "calm:5s,crash:10s,thin-book"
    made = digest(seed=7, market=market, scenario=scenario, length_us=20 * SECOND_US)
    assert made == expected


def test_another_seed_makes_another_session() -> None:
    assert digest(seed=1, length_us=SECOND_US) != digest(seed=2, length_us=SECOND_US)


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_sound(market: Market, scenario: str) -> None:
    lines: list[Line] = list(
        generate(
            seed=3,
            scenario=scenario,
            market=market,
            symbols=["BTCUSDT", "DOGEUSDT"],
            length_us=12 * SECOND_US,
            activity=8,
        )
    )
    assert list(check_lines(lines)) == []
    assert len(lines) > 50


def test_every_known_symbol_is_traded() -> None:
    lines = list(
        generate(symbols=KNOWN_SYMBOLS, length_us=20 * SECOND_US, streams=["trade"])
    )
    traded = {line.stream for line in lines if isinstance(line, Frame)}
    assert traded == {f"{symbol.lower()}@trade" for symbol in KNOWN_SYMBOLS}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("price", ["98000", "97250.01", "96100", "97249.99"])
@pytest.mark.parametrize("scenario", ["calm", "news-burst"])
def test_a_level_is_crossed_in_its_second_and_not_before(
    seed: int, price: str, scenario: str
) -> None:
    level = Decimal(price)
    found = frames(
        "btcusdt@trade",
        seed=seed,
        scenario=scenario,
        symbols=["BTCUSDT"],
        streams=["trade"],
        crossings=[Crossing("BTCUSDT", level, 7 * SECOND_US)],
        length_us=9 * SECOND_US,
    )
    rises = level > Decimal("97250.00")
    trades = [json.loads(frame.payload) for frame in found]
    number, first = next(
        (number, trade)
        for number, trade in enumerate(trades)
        if (Decimal(trade["p"]) >= level if rises else Decimal(trade["p"]) <= level)
    )
    assert Decimal(first["p"]) == level
    for time_us in (first["T"] * 1000, found[number].receive_time_us):
        assert 7 * SECOND_US <= time_us - START_US < 8 * SECOND_US


def test_arrivals_cluster_and_sizes_spread() -> None:
    found = frames(
        "btcusdt@aggTrade",
        symbols=["BTCUSDT"],
        streams=["aggTrade"],
        length_us=60 * SECOND_US,
        activity=40,
    )
    gaps = [b.receive_time_us - a.receive_time_us for a, b in pairwise(found)]
    sizes = [float(json.loads(frame.payload)["q"]) for frame in found]
    assert variation(gaps) > 1
    assert variation(sizes) > 1.5


def variation(values: list[Any]) -> float:
    mean = sum(values) / len(values)
    return float((sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5 / mean)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_session() -> None:
    lines = generate(length_us=10**12, symbols=["BTCUSDT"], activity=100)
    for _ in islice(lines, 2_000):
        pass
    tracemalloc.start()
    try:
        for _ in islice(lines, 4_000):
            pass
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 300_000


def test_nothing_happens_in_the_middle_of_a_weekend_gap() -> None:
    found = frames(
        "btcusdt@trade",
        scenario="weekend-gap",
        symbols=["BTCUSDT"],
        length_us=90 * SECOND_US,
    )
    seconds = [(frame.receive_time_us - START_US) // SECOND_US for frame in found]
    prices = [Decimal(json.loads(frame.payload)["p"]) for frame in found]
    quiet = next(n for n, (a, b) in enumerate(pairwise(seconds)) if b - a > 15)
    assert prices[-1] < prices[quiet] * Decimal("0.98")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"seed": -1}, "seed=-1: expected 0 or more, below 2 ** 64."),
        ({"activity": 0}, "activity=0: expected a percentage of 1 to 10000."),
        ({"levels": 0}, "levels=0: expected a number from 1 to 5000."),
        ({"symbols": ["NOSUCH"]}, "symbols='NOSUCH': expected some of BTCUSDT, "),
        ({"scenario": "clam"}, "no scenario 'clam'; did you mean 'calm'? There are"),
        ({"scenario": "zzz"}, "no scenario 'zzz'; there are calm, trend, crash"),
        ({"scenario": "calm:0s"}, "'0s': expected a length of time above 0"),
        (
            {"scenario": "calm:2m", "length_us": 90_500_000},
            "its stages take 120 s and the session is to take 90.5 s.",
        ),
        ({"crossings": [("XY", "1", 2)]}, "XY=1@2s: expected a symbol of the session"),
        ({"crossings": [("BTCUSDT", "1.001", 2)]}, "a multiple of 0.01."),
        ({"crossings": [("BTCUSDT", "NaN", 2)]}, "a multiple of 0.01."),
        ({"crossings": [("BTCUSDT", "97250", 2)]}, "the price is there already"),
        ({"crossings": [("BTCUSDT", "97000", 0)]}, "a second or more from the start"),
        ({"crossings": [("BTCUSDT", "97000", 60)]}, "from the end."),
        (
            {"crossings": [("BTCUSDT", "97000", 5), ("BTCUSDT", "98000", 5)]},
            "less than a second after another.",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused(more: Any, message: str) -> None:
    if "crossings" in more:
        crossings = [
            Crossing(symbol, Decimal(price), at * SECOND_US)
            for symbol, price, at in more["crossings"]
        ]
        more = {"crossings": crossings}
    with pytest.raises(OptionError) as caught:
        next(generate(**more))
    assert message in str(caught.value)
