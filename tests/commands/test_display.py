from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay.commands.display import (
    Display,
    Rates,
    draw,
    shown_bytes,
    shown_time,
)
from pytest_binance_replay.recording.recorder import Progress, State

TRADES, DEPTH = "btcusdt@trade", "ethusdt@depth@100ms"


def progress(
    seconds: float = 0.0, state: State = "recording", **streams: int
) -> Progress:
    counts = {TRADES: streams.get("trades", 0), DEPTH: streams.get("depth", 0)}
    marks = {"gap": 2} if seconds > 10 else {}
    total = sum(counts.values())
    return Progress(state, seconds, total, counts, 1_234_567, marks, ())


def plain(line: str) -> str:
    return re.sub(r"\x1b\[\d*[A-Za-z]", "", line)


def drawn(*looks: Progress, columns: int = 100, lines: int = 24) -> list[str]:
    rates = Rates()
    for look in looks:
        rates.look(look)
    shown = draw(looks[-1], rates, whole=60, columns=columns, lines=lines)
    return [plain(line) for line in shown]


def test_streams_are_shown_with_counts_rates_and_sparks() -> None:
    assert drawn(
        progress(0), progress(10, trades=1500), progress(30, trades=1800, depth=300)
    ) == [
        "  btcusdt@trade            1,800      60.0/s                █▂",
        "  ethusdt@depth@100ms        300      10.0/s                 █",
        f"  {'━' * 24}  0:30 of 1:00 · 2,100 frames · 70/s · 1.2 MB · 2 gap",
    ]


def test_a_narrow_terminal_gets_less() -> None:
    lines = drawn(progress(0), progress(9, depth=9), columns=44)
    assert lines[1] == "  ethusdt@depth@10…          9       1.0/s"
    assert lines[-1] == "  0:09 of 1:00 · 9 frames · 1/s · 1.2 MB"


def test_a_low_terminal_gets_fewer_lines() -> None:
    lines = drawn(progress(1), lines=4)
    assert lines[0].strip() == "and 2 more"
    assert len(lines) == 2


def test_before_the_first_acknowledgement_it_says_so() -> None:
    assert drawn(progress(state="connecting"))[-1] == "  connecting"


def test_without_an_end_there_is_no_bar() -> None:
    shown = draw(progress(5), Rates(), whole=None, columns=80, lines=24)
    assert plain(shown[-1]) == "  0:05 · 0 frames · 0/s · 1.2 MB"


def test_each_look_is_drawn_over_the_last() -> None:
    terminal = io.StringIO()
    display = Display(terminal, "Recording dip.jsonl", 60)
    display.show(progress(1))
    display.show(progress(2))
    title, first, second = re.split(r"(?<=0m)\n|(?<=J)(?=.\[3A)", terminal.getvalue())
    assert plain(title) == "Recording dip.jsonl"
    assert plain(first).replace("0:01", "0:02") == plain(second)


def test_a_terminal_without_the_letters_gets_others() -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii")
    Display(terminal, "Recording", 60).show(progress(9))
    assert b"0:09 of 1:00" in raw.getvalue()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (10**9, "1.0 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_sizes_are_rounded(size: int, text: str) -> None:
    assert shown_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (3600, "1:00:00")]
)
def test_times_are_told_in_minutes(seconds: float, text: str) -> None:
    assert shown_time(seconds) == text


@given(
    counts=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
    columns=st.integers(40, 200),
    lines=st.integers(1, 50),
)
def test_nothing_is_wider_than_the_terminal(
    counts: list[int], columns: int, lines: int
) -> None:
    looks = [
        progress(number, trades=count, depth=count)
        for number, count in enumerate(sorted(counts))
    ]
    assert max(map(len, drawn(*looks, columns=columns, lines=lines))) <= columns
