"""Examples a second of our strategies, beside one of Hypothesis's own.

Both sides of a pair run in turn; what counts is the ratio. The yardstick is a list of
tuples of four numbers, which is what a session is drawn from.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_binance_replay.strategies import faulty_sessions, sessions, trades

EXAMPLES = 200
PAIRS = 3
NUMBER = st.integers()
YARDSTICK = st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER))
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "trades": trades(),
    "sessions": sessions(),
    "sessions, usdm": sessions(market="usdm"),
    "sessions, depth only": sessions(streams=["depth@100ms"]),
    "faulty sessions": faulty_sessions(),
}


def rate(strategy: st.SearchStrategy[Any]) -> float:
    """Examples a second."""
    seen = 0

    @settings(max_examples=EXAMPLES, database=None, deadline=None)
    @given(value=strategy)
    def count(value: object) -> None:
        nonlocal seen
        del value
        seen += 1

    began = perf_counter()
    count()
    return seen / (perf_counter() - began)


def test_examples_a_second() -> None:
    for name, strategy in STRATEGIES.items():
        pairs = [(rate(strategy), rate(YARDSTICK)) for _ in range(PAIRS)]
        ours, plain = (median(side) for side in zip(*pairs, strict=True))
        print(f"\n{name}: {ours:.0f}/s, {ours / plain:.2f} of a list of tuples", end="")
