"""Whether a cassette is sound: JSON, order, ids, depth chains, models.

Fed line by line, it says at each what is wrong there, holding no more than the state
of each series.
"""

from __future__ import annotations

from pytest_binance_replay.soundness.checker import (
    BREAK_MARKS,
    Soundness,
    check_lines,
)
from pytest_binance_replay.soundness.findings import RULES, Finding, Severity

__all__ = ["BREAK_MARKS", "RULES", "Finding", "Severity", "Soundness", "check_lines"]
