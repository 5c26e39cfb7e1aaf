"""A cassette checked line by line, in constant memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from pytest_binance_replay.cassette import (
    Batch,
    End,
    Frame,
    Header,
    Line,
    Mark,
    RestAnswer,
    parse_block,
)
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.soundness.depth import Snapshot
from pytest_binance_replay.soundness.findings import Finding, Findings
from pytest_binance_replay.soundness.ladder import Picture, read_side
from pytest_binance_replay.soundness.stream_check import Chains, StreamCheck
from pytest_binance_replay.streams import Market, market_of_payload, parse_stream

BREAK_MARKS = frozenset({"reconnected", "disconnected", "gap"})
"""Marks that announce a break: what comes behind need not follow what came before."""

_OK = 200
_FOREIGN_KEYS: Mapping[Market, re.Pattern[bytes]] = {
    "spot": re.compile(rb'"(pu|X|nq|st)"\s*:'),
    "usdm": re.compile(rb'"(M)"\s*:'),
}
_IN_MICROSECONDS = re.compile(rb'"E"\s*:\s*[0-9]{16}')


class Soundness:
    """Checks one cassette, fed line by line, or block by block.

    Args:
        market: Whose streams they are; None takes the header's word, or else what the
            payloads tell.

    Attributes:
        frames: Frames fed so far.
        market: The market, once it is known.
        header: The header, all None before it came or without one.
        has_end: Whether an end line came.

    Example:
        >>> check = Soundness()
        >>> line = b'{"t":1,"stream":"btcusdt@trade","data":{"e":"trade"}}'
        >>> [finding.rule for finding in check.feed_raw(1, line)]
        ['stream']
    """

    def __init__(self, *, market: Market | None = None) -> None:
        self.frames = 0
        self.market = market
        self.header = Header()
        self.has_end = False
        self._findings = Findings()
        self._streams: dict[bytes, StreamCheck] = {}
        self._markets: set[bytes] = set()
        self._chains = Chains()
        self._told: set[str] = set()
        self._latest_us = 0
        self._begun = False
        self._is_behind_end = False
        self._breaks: list[tuple[int, frozenset[str]]] = []

    # What is fed

    def feed(self, number: int, line: Line) -> list[Finding]:
        """Check one line.

        Args:
            number: Its number in the file, from 1.
            line: What it says.

        Returns:
            What was found at it, which may be about an earlier line.
        """
        self._line(number, line)
        return self._findings.take()

    def feed_raw(self, number: int, raw: bytes) -> list[Finding]:
        """Check one line as it stands in the file; a blank one says nothing."""
        first_line = number if self._begun else 1
        try:
            batch = parse_block(raw, first_line=first_line, trusted=False)
        except CassetteFormatError as error:
            self._at(number)
            self._findings.error("line", error.problem)
        else:
            self._batch(number, batch)
        return self._findings.take()

    def feed_block(self, first_line: int, raw: bytes) -> tuple[int, list[Finding]]:
        """Check whole lines at once, which is faster than one by one.

        Args:
            first_line: Number of the first of them in the file.
            raw: The lines; the last may lack its line end.

        Returns:
            How many lines they are, and what was found.
        """
        try:
            start = first_line if self._begun else 1
            batch = parse_block(raw, first_line=start, trusted=False)
        except CassetteFormatError:
            return self._one_by_one(first_line, raw)
        if batch.lines != len(batch.times_us) + len(batch.others):
            return self._one_by_one(first_line, raw)
        self._batch(first_line, batch)
        return batch.lines, self._findings.take()

    def _one_by_one(self, first_line: int, raw: bytes) -> tuple[int, list[Finding]]:
        lines = raw.removesuffix(b"\n").split(b"\n")
        found = [
            finding
            for number, line in enumerate(lines, first_line)
            for finding in self.feed_raw(number, line)
        ]
        return len(lines), found

    def finish(self) -> list[Finding]:
        """Check what only the end can show: call it once, behind the last line."""
        for chain in self._chains.all():
            chain.finish(self._findings)
        return self._findings.take()

    # Lines

    def _batch(self, number: int, batch: Batch) -> None:
        """Check lines that follow each other in the file."""
        given = 0
        for before, line in batch.others:
            number = self._frames(number, batch, given, before)
            self._line(number, line)
            number, given = number + 1, before
        self._frames(number, batch, given, len(batch.times_us))

    def _frames(self, number: int, batch: Batch, start: int, stop: int) -> int:
        rows = zip(
            batch.times_us[start:stop],
            batch.streams[start:stop],
            batch.payloads[start:stop],
            strict=True,
        )
        for at, (time_us, stream, payload) in enumerate(rows, number):
            self._frame(at, time_us, stream, payload)
        return number + stop - start

    def _at(self, number: int) -> None:
        findings = self._findings
        findings.line, findings.stream, findings.announced = number, None, None
        self._begun = True

    def _frame(self, number: int, time_us: int, stream: bytes, payload: bytes) -> None:
        self._at(number)
        self.frames += 1
        findings = self._findings
        check = self._streams.get(stream)
        if check is None:
            findings.stream = stream.decode()
            check = self._new_stream(stream, payload)
        findings.stream = check.name
        if time_us < self._latest_us or self._is_behind_end:
            self._in_place(time_us)
        self._latest_us = max(time_us, self._latest_us)
        if check.breaks != len(self._breaks):
            findings.announced = self._announced(check.breaks, check.name)
            check.breaks = len(self._breaks)
        check.take(time_us, payload, findings)

    def _in_place(self, time_us: int) -> None:
        """Check that a line is where its time, and the end line, allow it to be."""
        if self._is_behind_end:
            self._findings.error("end", "a line behind the end line")
            self._is_behind_end = False  # once is enough
        if time_us < self._latest_us:
            back = self._latest_us - time_us
            sentence = f"received {back} µs before an earlier line"
            self._findings.error("order", sentence)
        self._latest_us = max(time_us, self._latest_us)

    def _new_stream(self, stream: bytes, payload: bytes) -> StreamCheck:
        name = stream.decode()
        self._look_at_market(payload)
        market = self.market or _likely_market(name, payload)
        check = StreamCheck(name, market, self._chains, self._told, self._findings)
        check.breaks = len(self._breaks)
        self._streams[stream] = check
        return check

    def _look_at_market(self, payload: bytes) -> None:
        if self.market is None:
            self.market = market_of_payload(payload)
            return
        # What a payload lacks may be lacking, what it has the other market never had.
        found = _FOREIGN_KEYS[self.market].search(payload)
        if found is not None:
            key = found[1].decode()
            sentence = f"a payload with {key!r}, which {self.market} never had"
            self._findings.error("market", sentence)

    def _announced(self, seen: int, stream: str) -> int | None:
        lines = (
            line
            for line, streams in self._breaks[seen:]
            if not streams or stream in streams
        )
        return next(lines, None)

    # Lines that are no frames

    def _line(self, number: int, line: Line) -> None:
        if isinstance(line, Frame):
            name = line.stream.encode()
            self._frame(number, line.receive_time_us, name, line.payload)
            return
        is_behind = self._begun
        self._at(number)
        if isinstance(line, Header):
            self._header(line, is_behind=is_behind)
            return
        self._in_place(line.receive_time_us)
        if isinstance(line, RestAnswer):
            self._rest_answer(line)
        elif isinstance(line, Mark):
            self._mark(line)
        else:
            self._end(line)

    def _header(self, header: Header, *, is_behind: bool) -> None:
        if is_behind:
            self._findings.error("line", "a second header")
            return
        self.header = header
        self.market = self.market or header.market

    def _mark(self, mark: Mark) -> None:
        if mark.name not in BREAK_MARKS:
            return
        told = mark.fields.get("streams", mark.fields.get("stream"))
        names = told if isinstance(told, list) else [told]
        named = [name for name in names if isinstance(name, str)]
        self._breaks.append((self._findings.line, frozenset(named)))

    def _end(self, end: End) -> None:
        if end.frames != self.frames:
            sentence = f"the end line counts {end.frames} frames, and there are"
            self._findings.error("end", f"{sentence} {self.frames}")
        self.has_end = self._is_behind_end = True

    def _rest_answer(self, answer: RestAnswer) -> None:
        try:
            body = json.loads(answer.payload)
        except ValueError:
            self._findings.error("json", "the answer's body is not JSON")
            return
        url = urlsplit(answer.request)
        if answer.status != _OK or not url.path.endswith("/depth"):
            return
        symbol = parse_qs(url.query).get("symbol", [""])[0].upper()
        try:
            picture = Picture(read_side(body["bids"]), read_side(body["asks"]))
            snapshot = Snapshot(self._findings.line, body["lastUpdateId"], picture)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            sentence = "the answer is no depth snapshot: lastUpdateId, bids, asks"
            self._findings.error("snapshot", sentence)
            return
        self._chains.add_snapshot(symbol, snapshot, self._findings)


def _likely_market(name: str, payload: bytes) -> Market:
    """Choose where nothing tells: the more patient one, if it can be."""
    if parse_stream(name, "usdm") is None or _IN_MICROSECONDS.search(payload):
        return "spot"
    return "usdm"


def check_lines(
    lines: Iterable[Line], *, market: Market | None = None
) -> Iterator[Finding]:
    """Check the lines of a cassette, numbered from 1.

    Args:
        lines: All of them, the header first if there is one.
        market: As for `Soundness`.
    """
    check = Soundness(market=market)
    for number, line in enumerate(lines, 1):
        yield from check.feed(number, line)
    yield from check.finish()
