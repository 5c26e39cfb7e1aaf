"""What is in a cassette, as text for a terminal, as lines that compare, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pytest_binance_replay.tools.overview import combined_counts
from pytest_binance_replay.tools.sparkline import ASCII, BLOCKS, sparkline
from pytest_binance_replay.tools.structure import kind_of, rate_text

if TYPE_CHECKING:
    from pytest_binance_replay.tools.overview import Overview, StreamOverview
    from pytest_binance_replay.tools.structure import Structure

WIDTH = 80
"""Columns of a terminal."""

_SHOWN_STREAMS = 30
_SHOWN_SYMBOLS = 4
_SHOWN_SNAPSHOTS = 3
_NAME_WIDTH = 28
_FILE_WIDTH = 26
_PICTURE_WIDTH = 36
_LABEL_WIDTH = 11
_MOST_LABEL_WIDTH = 15
_PRICED_BEST = ("trade", "aggTrade", "kline", "ticker", "miniTicker", "bookTicker")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


class Sitter(NamedTuple):
    """A file and what is in it.

    Attributes:
        name: The file, as the user named it.
        size_bytes: Its size on disk.
        overview: What is in it.
    """

    name: str
    size_bytes: int
    overview: Overview


# Numbers for people


def size_text(size_bytes: int) -> str:
    """Write a size with up to three digits: `217 kB`, `1.24 GB`."""
    for unit, name in _UNITS:
        if size_bytes >= unit:
            return f"{_three_digits(Decimal(size_bytes) / unit)} {name}"
    return f"{size_bytes} B"


def _three_digits(number: Decimal) -> str:
    decimals = max(0, 3 - len(str(int(number))))
    return f"{number:.{decimals}f}"


def time_text(time_us: int) -> str:
    """Write a time to the millisecond, UTC; what no calendar has, in microseconds."""
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} µs"
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def span_text(span_us: int) -> str:
    """Write a duration: `0.250 s`, `59.9 s`, `4 min 7 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = span_us // 1_000_000
    if seconds < 60:
        return f"{_three_digits(Decimal(span_us) / 1_000_000)} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def _price_text(price: str | None) -> str:
    if price is None:
        return "-"
    return price.rstrip("0").rstrip(".") if "." in price else price


def _decimal_text(price: Decimal) -> str:
    return _price_text(f"{price:f}")


def _rate(overview: Overview, frames: int) -> str:
    rate = overview.rate(frames)
    return "-" if rate is None else rate_text(rate)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _listed(names: Sequence[str], shown: int) -> str:
    more = len(names) - shown
    ending = f" and {more:,} more" if more > 0 else ""
    return ", ".join(names[:shown]) + ending


# One cassette


def portrait(sitter: Sitter, *, everything: bool = False, blocks: bool = True) -> str:
    """Write what is in one cassette, for a terminal of 80 columns.

    Args:
        sitter: The cassette.
        everything: Whether all streams are listed, however many they are.
        blocks: Whether the terminal can show block elements; else ASCII draws.
    """
    overview = sitter.overview
    lines = [sitter.name, *_facts(sitter)]
    names = sorted(
        overview.streams, key=lambda name: overview.streams[name].frames, reverse=True
    )
    shown = set(names if everything else names[:_SHOWN_STREAMS])
    listed = {name: overview.streams[name] for name in sorted(shown)}
    if listed:
        lines += ["", *_price_table(overview, listed)]
        if hidden := [overview.streams[name] for name in names if name not in shown]:
            frames = _count(sum(stream.frames for stream in hidden), "frame")
            streams = _count(len(hidden), "more stream")
            lines.append(f"  and {streams} with {frames}: --all lists them")
        lines += _id_table(listed)
        lines += ["", *_pictures(overview, ramp=BLOCKS if blocks else ASCII)]
    return "\n".join(lines)


def _facts(sitter: Sitter) -> Iterator[str]:
    overview = sitter.overview
    header = overview.header
    yield _fact("market", overview.market or "unknown: nothing in it tells")
    if header.source:
        yield _fact("source", header.source)
    if recorded := ", ".join(_recording(overview)):
        yield _fact("recorded", recorded)
    if overview.first_time_us is not None:
        yield _fact("time", _time(overview))
    streams = _count(len(overview.streams), "stream")
    told = f"{overview.frames:,} in {streams}, "
    if overview.span_us:
        told += f"{_rate(overview, overview.frames)} a second, "
    yield _fact("frames", told + size_text(sitter.size_bytes))
    for label, text in _other_lines(overview):
        yield _fact(label, text)
    if silent := sorted(set(header.streams or ()) - overview.streams.keys()):
        yield _fact("silent", f"{_listed(silent, 3)}: asked for, and sent nothing")


def _fact(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{text}"


def _recording(overview: Overview) -> Iterator[str]:
    header = overview.header
    if header.recorded_at:
        yield header.recorded_at
    if header.recorder:
        yield f"by {header.recorder}"
    if header.test:
        yield f"for {header.test}"


def _time(overview: Overview) -> str:
    first = time_text(overview.first_time_us or 0)
    last = time_text(overview.last_time_us or 0)
    day = first.partition(" ")[0]
    return (
        f"{first} to {last.removeprefix(f'{day} ')} UTC, {span_text(overview.span_us)}"
    )


def _other_lines(overview: Overview) -> Iterator[tuple[str, str]]:
    if snapshots := [f"{s.symbol} at {s.update_id}" for s in overview.snapshots]:
        yield "snapshots", _listed(snapshots, _SHOWN_SNAPSHOTS)
    if overview.requests:
        yield "REST", ", ".join(_counted(overview.requests))
    if overview.marks:
        yield "marks", ", ".join(_counted(overview.marks))


def _counted(numbers: Mapping[str, int]) -> list[str]:
    return [f"{name} {number:,}" for name, number in sorted(numbers.items())]


def _row(
    name: str,
    cells: Iterable[str],
    widths: Iterable[int],
    width: int,
    *,
    indent: str = "  ",
) -> str:
    """Write one row; a name that is too long for its column has a line of its own."""
    told = "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
    if len(name) > width:
        return f"{indent}{name}\n{indent}{'':<{width}}{told}"
    return f"{indent}{name:<{width}}{told}"


def _name_width(names: Iterable[str]) -> int:
    return max(min(max(map(len, names)), _NAME_WIDTH), 12)


_PRICE_WIDTHS = (11, 10, 14, 14)
_ID_WIDTHS = (16, 16, 8, 10)


def _price_table(
    overview: Overview, streams: Mapping[str, StreamOverview]
) -> Iterator[str]:
    width = _name_width(streams)
    titles = ("frames", "a second", "first price", "last price")
    yield _row("stream", titles, _PRICE_WIDTHS, width)
    for name, stream in streams.items():
        cells = (
            f"{stream.frames:,}",
            _rate(overview, stream.frames),
            _price_text(stream.first_price),
            _price_text(stream.last_price),
        )
        yield _row(name, cells, _PRICE_WIDTHS, width)


def _id_table(streams: Mapping[str, StreamOverview]) -> Iterator[str]:
    named = {n: stream for n, stream in streams.items() if stream.first_id is not None}
    if not named:
        return
    width = _name_width(streams)
    titles = ("first id", "last id", "gaps", "missing")
    yield ""
    yield _row("stream", titles, _ID_WIDTHS, width)
    for name, stream in named.items():
        gaps = ("-", "-")
        if stream.gaps is not None:
            gaps = f"{stream.gaps:,}", f"{stream.missing:,}"
        cells = (str(stream.first_id), str(stream.last_id), *gaps)
        yield _row(name, cells, _ID_WIDTHS, width)


def _pictures(overview: Overview, *, ramp: str) -> Iterator[str]:
    priced = list(islice(_priced(overview.streams), _SHOWN_SYMBOLS))
    longest = max((len(symbol) for symbol, _ in priced), default=0)
    width = min(max(longest + 1, _LABEL_WIDTH), _MOST_LABEL_WIDTH)
    for symbol, stream in priced:
        prices = list(_carried(stream.prices))
        drawn = sparkline(prices, width=_PICTURE_WIDTH, ramp=ramp)
        known = [price for price in prices if price is not None]
        low, high = _decimal_text(min(known)), _decimal_text(max(known))
        label = symbol.upper()[: width - 1]
        yield f"  {label:<{width}}{drawn}  {low} to {high}"
    counts = combined_counts(overview)
    moment_us = Decimal(max(overview.span_us, 1)) / len(counts)
    drawn = sparkline(counts, width=_PICTURE_WIDTH, ramp=ramp)
    rates = [rate_text(Decimal(n) * 1_000_000 / moment_us) for n in _range(counts)]
    told = f"  {rates[0]} to {rates[1]} a second" if overview.span_us else ""
    yield f"  {'frames':<{width}}{drawn}{told}"


def _carried(prices: Iterable[Decimal | None]) -> Iterator[Decimal | None]:
    """Let a price stand until the next one."""
    latest = None
    for price in prices:
        latest = latest if price is None else price
        yield latest


def _range(counts: Sequence[int]) -> tuple[int, int]:
    """Return least and most; the last part may be cut, so it counts if it is alone."""
    whole = counts[:-1] or counts
    return min(whole), max(whole)


def _priced(
    streams: Mapping[str, StreamOverview],
) -> Iterator[tuple[str, StreamOverview]]:
    """Return the symbols that have most frames, each with the stream of its price.

    That is the one with a price at most times; of several, the one that comes nearest
    to what was paid.
    """
    best: dict[str, tuple[int, int, StreamOverview]] = {}
    frames: Counter[str] = Counter()
    for name, stream in streams.items():
        symbol, _, kind = name.partition("@")
        frames[symbol] += stream.frames
        empty = stream.prices.count(None)
        if empty < len(stream.prices):
            rank = (empty, _rank(kind), stream)
            best[symbol] = min(best.get(symbol, rank), rank, key=lambda r: r[:2])
    for symbol, _ in frames.most_common():
        if symbol in best:
            yield symbol, best[symbol][2]


def _rank(kind: str) -> int:
    word = kind.partition("_")[0].partition("@")[0]
    known = word in _PRICED_BEST
    return _PRICED_BEST.index(word) if known else len(_PRICED_BEST)


# Several cassettes

_TABLE_WIDTHS = (7, 13, 8, 11, 6, 9)


def table(sitters: Sequence[Sitter]) -> str:
    """Write a line for each cassette, for a terminal of 80 columns."""
    width = max(min(max(len(sitter.name) for sitter in sitters), _FILE_WIDTH), 8)
    titles = ("market", "frames", "streams", "length", "gaps", "size")
    rows = [_row("cassette", titles, _TABLE_WIDTHS, width, indent="")]
    for sitter in sitters:
        overview = sitter.overview
        cells = (
            overview.market or "-",
            f"{overview.frames:,}",
            f"{len(overview.streams):,}",
            span_text(overview.span_us),
            f"{overview.gaps:,}",
            size_text(sitter.size_bytes),
        )
        rows.append(_row(sitter.name, cells, _TABLE_WIDTHS, width, indent=""))
    return "\n".join(rows)


# Text that compares, and JSON


def plain(overview: Overview, structure: Structure) -> str:
    """Write what is in a cassette as lines that stay the same while it does.

    Neither the file's name nor its size is in it, so that two versions of one cassette,
    or a plain and a compressed one, differ where their content does.
    """
    return "\n".join(_plain_lines(overview, structure))


def _plain_lines(overview: Overview, structure: Structure) -> Iterator[str]:
    header = overview.header
    known = {
        "market": overview.market,
        "source": header.source,
        "recorded at": header.recorded_at,
        "recorder": header.recorder,
        "test": header.test,
        **{str(name): value for name, value in header.extra.items()},
    }
    yield from (
        f"{name}: {value}" for name, value in known.items() if value is not None
    )
    if overview.first_time_us is not None:
        yield f"time: {_time(overview)}"
    yield f"frames: {overview.frames}"
    for name in sorted(overview.streams):
        yield f"stream {name}: {_plain_stream(overview, overview.streams[name])}"
    for kind in sorted(structure.fields):
        for path, use in sorted(structure.fields[kind].items()):
            types = " or ".join(sorted(use.types))
            where = "" if use.frames == structure.payloads[kind] else ", not in all"
            yield f"field {kind}: {path}: {types}{where}"
    for snapshot in overview.snapshots:
        yield f"snapshot {snapshot.symbol}: update {snapshot.update_id}"
    yield from (f"REST {told}" for told in _counted(overview.requests))
    yield from (f"mark {told}" for told in _counted(overview.marks))
    yield f"finished: {'yes' if overview.is_finished else 'no end line'}"


def _plain_stream(overview: Overview, stream: StreamOverview) -> str:
    told = [
        _count(stream.frames, "frame"),
        f"{_rate(overview, stream.frames)} a second",
    ]
    if stream.first_price is not None:
        last = _price_text(stream.last_price)
        told.append(f"price {_price_text(stream.first_price)} to {last}")
    if stream.first_id is not None:
        told.append(f"ids {stream.first_id} to {stream.last_id}")
    if stream.gaps:
        told.append(
            f"{_count(stream.gaps, 'gap')}, {_count(stream.missing, 'id')} missing"
        )
    return ", ".join(told)


def as_json(sitter: Sitter) -> dict[str, object]:
    """Return what is in a cassette as JSON values; prices are texts, as on the wire."""
    overview = sitter.overview
    header = overview.header
    return {
        "file": sitter.name,
        "size_bytes": sitter.size_bytes,
        "market": overview.market,
        "source": header.source,
        "recorded_at": header.recorded_at,
        "recorder": header.recorder,
        "test": header.test,
        "finished": overview.is_finished,
        "frames": overview.frames,
        "first_time_us": overview.first_time_us,
        "last_time_us": overview.last_time_us,
        "frames_per_second": _json_rate(overview, overview.frames),
        "streams": {
            name: _json_stream(overview, name, stream)
            for name, stream in overview.streams.items()
        },
        "snapshots": [snapshot._asdict() for snapshot in overview.snapshots],
        "requests": dict(overview.requests),
        "marks": dict(overview.marks),
    }


def _json_stream(
    overview: Overview, name: str, stream: StreamOverview
) -> dict[str, object]:
    return {
        "kind": kind_of(name),
        "frames": stream.frames,
        "frames_per_second": _json_rate(overview, stream.frames),
        "first_price": stream.first_price,
        "last_price": stream.last_price,
        "first_id": stream.first_id,
        "last_id": stream.last_id,
        "gaps": stream.gaps,
        "missing_ids": stream.missing,
    }


def _json_rate(overview: Overview, frames: int) -> float | None:
    rate = overview.rate(frames)
    return None if rate is None else round(float(rate), 6)
