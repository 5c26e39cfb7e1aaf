"""Numbers as a line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.tools.sparkline import ASCII, BLOCKS, sparkline

NUMBERS = st.none() | st.integers(-(10**12), 10**12) | st.decimals("-1e9", "1e9")


@pytest.mark.parametrize(
    ("numbers", "width", "line"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], 8, "▁▂▃▄▅▆▇█"),
        ([Decimal("0.1"), Decimal("0.2")], 4, "▁▁██"),
        ([3, None, 1], 3, "█ ▁"),
        ([5, 5], 2, "▅▅"),
        ([None], 3, "   "),
        ([], 2, "  "),
        ([1, 9, 1, 9], 2, "▁▁"),
    ],
)
def test_low_is_low_and_high_is_high(
    numbers: list[Decimal | int | None], width: int, line: str
) -> None:
    assert sparkline(numbers, width=width) == line


@given(st.lists(NUMBERS), st.integers(1, 100), st.sampled_from([BLOCKS, ASCII]))
def test_any_numbers_fit_the_width(
    numbers: list[Decimal | int | None], width: int, ramp: str
) -> None:
    line = sparkline(numbers, width=width, ramp=ramp)
    assert len(line) == width
    assert set(line) <= {*ramp, " "}
