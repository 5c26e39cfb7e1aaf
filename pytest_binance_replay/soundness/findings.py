"""What a check says: findings, the rules they are about, and who collects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Severity = Literal["error", "note"]
"""An error makes a cassette unsound; a note says what is worth knowing."""

RULES: Mapping[str, str] = MappingProxyType(
    {
        "line": "each line is a cassette line, the header is the first",
        "end": "the last line counts the frames, and nothing follows it",
        "cut": "the file ends with a whole line",
        "order": "receive times do not go back",
        "json": "each payload is JSON",
        "market": "payloads are of the cassette's market",
        "stream": "stream names are the exchange's, and fit their payloads",
        "model": "each payload fits the model of its event",
        "field": "fields are known",
        "era": "fields and streams are of their time",
        "event-time": "event times do not go back within a stream",
        "update-ids": "update ids of an event are in order",
        "depth-chain": "diff depth events follow each other without a gap",
        "levels": "an event changes levels, and no price of a side twice",
        "snapshot": "a recorded depth snapshot joins its diff stream",
        "crossed": "the best bid is below the best ask",
        "book-ticker": "a book ticker shows the top of the book at its update id",
        "partial-depth": "a partial depth shows the top of the book at its update id",
        "ticker-ids": "update ids of book tickers and partial depths rise",
        "trade-ids": "trade ids rise by one",
        "agg-trade-ids": "aggregate trade ids rise by one, their trade ids follow",
        "kline": "a candle's prices, trades and its closing fit together",
        "gap": "a jump of ids behind a break that a mark announces",
    }
)
"""What each rule demands, by the name that a finding gives."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or is worth knowing.

    Attributes:
        rule: Name of the rule, a key of `RULES`.
        severity: Whether it makes the cassette unsound.
        line: Number of the line in its file, from 1; 0 for the file as a whole.
        stream: Name of the stream; None where it is about none.
        sentence: What was found, without the place and without a full stop.
    """

    rule: str
    severity: Severity
    line: int
    stream: str | None
    sentence: str


class Findings:
    """Collects what is found at the line being looked at.

    Attributes:
        line: Number of the line being looked at.
        stream: The stream of its frame; None if it is no frame.
        announced: Number of the line that announced a break which the frame is the
            first of its stream to follow; None otherwise.
    """

    def __init__(self) -> None:
        self.line = 0
        self.stream: str | None = None
        self.announced: int | None = None
        self._found: list[Finding] = []

    def error(self, rule: str, sentence: str) -> None:
        """Say that a rule is broken."""
        finding = Finding(rule, "error", self.line, self.stream, sentence)
        self._found.append(finding)

    def note(self, rule: str, sentence: str) -> None:
        """Say what is worth knowing."""
        finding = Finding(rule, "note", self.line, self.stream, sentence)
        self._found.append(finding)

    def jump(self, rule: str, sentence: str) -> None:
        """Say that a series does not go on; a break that was announced explains it."""
        if self.announced is None:
            self.error(rule, sentence)
        else:
            reason = f"the break that line {self.announced} announces explains it"
            self.note("gap", f"{sentence}; {reason}")

    def at(self, finding: Finding) -> None:
        """Add a finding about an earlier line."""
        self._found.append(finding)

    def take(self) -> list[Finding]:
        """Return what was found since the last call."""
        found, self._found = self._found, []
        return found
