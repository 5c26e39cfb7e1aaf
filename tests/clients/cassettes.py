"""Cassettes of both markets for clients to follow: bundled, or cut from real ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from pytest_binance_replay.cassette import Frame, RestAnswer, format_line, parse_line

Market = Literal["spot", "usdm"]
DEPTH_PATHS = {"spot": "/api/v3/depth", "usdm": "/fapi/v1/depth"}


class Recorded(NamedTuple):
    """A cassette, and what to follow in it.

    Attributes:
        market: Its market.
        cassette: Its name, or its file.
        symbol: A symbol with a book, upper case.
        pair: The symbol's base and quote.
        trades: The kind of its trade stream.
    """

    market: Market
    cassette: str | Path
    symbol: str = "BTCUSDT"
    pair: tuple[str, str] = ("BTC", "USDT")
    trades: str = "trade"

    def stream(self, kind: str) -> str:
        """The symbol's stream of a kind."""
        return f"{self.symbol.lower()}@{kind}"

    @property
    def trade_stream(self) -> str:
        return self.stream(self.trades)

    @property
    def diff_stream(self) -> str:
        return self.stream("depth@100ms")

    def route(self, kind: str) -> str:
        """The path before `/ws` and `/stream` under which a kind of stream is had."""
        if self.market == "spot":
            return ""
        is_public = kind.startswith(("bookTicker", "depth", "trade"))
        return "/public" if is_public else "/market"

    @property
    def depth_path(self) -> str:
        return DEPTH_PATHS[self.market]


def write(target: Path, market: Market, lines: Iterable[Frame | RestAnswer]) -> Path:
    """Write a cassette in the order of receive times, and return its path."""
    ordered = sorted(lines, key=lambda line: line.receive_time_us)
    head = b'{"cassette":1,"market":"%s"}\n' % market.encode()
    target.write_bytes(head + b"".join(map(format_line, ordered)))
    return target


# Real recordings


def cut(
    folder: Path, market: Market, target: Path, frames: int, names: Mapping[str, str]
) -> Path:
    """Take the first frames of BTCUSDT, and its snapshot, from a recording.

    Args:
        folder: The recording.
        market: Its market.
        target: File to write.
        frames: How many frames of the recording to look at.
        names: What streams are to be called, by what they were recorded as; frames of
            others are left out.
    """
    rows: list[Frame | RestAnswer] = []
    for raw in islice(_lines_of(folder), frames):
        frame = parse_line(raw)
        assert isinstance(frame, Frame)
        if frame.stream in names:
            name = names[frame.stream]
            rows.append(Frame(frame.receive_time_us, name, frame.payload))
    for answer in json.loads((folder / "rest" / "index.json").read_text()):
        if answer["file"] == "BTCUSDT_depth_1000.json":
            request = "/" + answer["url"].split("/", 3)[3].replace("/api/v1", "/api/v3")
            payload = (folder / "rest" / answer["file"]).read_bytes().strip()
            rows.append(RestAnswer(answer["t"], request, 200, payload))
    return write(target, market, rows)


def _lines_of(folder: Path) -> Iterator[bytes]:
    (path,) = folder.glob("session.jsonl*")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        yield from lines


def real_spot(shared_data: Path, folder: Path) -> Recorded:
    """Spot, April 2021."""
    kinds = ("aggTrade", "depth@100ms", "kline_1m")
    names = {f"btcusdt@{kind}": f"btcusdt@{kind}" for kind in kinds}
    source = shared_data / "cryptofeed-spot-20210404"
    path = cut(source, "spot", folder / "real_spot.jsonl", 700, names)
    return Recorded("spot", path, trades="aggTrade")


def real_usdm(shared_data: Path, folder: Path) -> Recorded:
    """USDⓈ-M futures, August 2024; its diffs came every 50 ms."""
    names = {
        "btcusdt@depth@0ms": "btcusdt@depth@100ms",
        "btcusdt@bookTicker": "btcusdt@bookTicker",
        "btcusdt@trade": "btcusdt@trade",
    }
    source = shared_data / "hftbacktest-usdm-20240808"
    path = cut(source, "usdm", folder / "real_usdm.jsonl", 700, names)
    return Recorded("usdm", path)
