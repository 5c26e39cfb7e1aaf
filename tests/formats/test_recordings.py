"""Every capture of the shared recordings, converted from the bytes it was found as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_binance_replay.cassette import Frame, RestAnswer
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.formats import Clues
from pytest_binance_replay.tools.converting import Conversion, open_inputs


class Capture(NamedTuple):
    """Files of a capture, and the session that they are to give."""

    folder: str
    files: tuple[str, ...]
    session: str = "session.jsonl"
    market: str = "spot"


SMALL = [
    Capture("cryptofeed-spot-20210404", ("BINANCE-ee25be.0.gz",), "session.jsonl.gz"),
    Capture(
        "cryptofeed-spot-20210417",
        ("BINANCE.0.gz", "BINANCE.http.0.0.gz", "BINANCE.ws.1.0.gz"),
        "session.jsonl.gz",
    ),
    Capture(
        "cryptofeed-spot-20211012",
        ("BINANCE.0.gz", "BINANCE.http.0.0", "BINANCE.ws.1.0"),
    ),
    Capture(
        "jayhere1-spot-20260704",
        ("binance_btcusdt_deltas.jsonl", "binance_btcusdt_snapshot.json"),
    ),
    Capture("lasota-spot-20240903", ("frames.txt",)),
    Capture(
        "polysim-spot-20260718",
        (
            *("spot_depth.jsonl.gz", "spot_aggTrade.jsonl", "spot_kline_1m.jsonl"),
            *("spot_depth_snapshot.json", "spot_exchange_info.json"),
            "spot_klines.json",
        ),
        "session.jsonl.gz",
    ),
    Capture(
        "polysim-spot-20260718",
        ("spot_kline_1m_micros.jsonl",),
        "session_timeunit_microsecond.jsonl",
    ),
    Capture(
        "polysim-usdm-20260718",
        (
            *("perp_depth.jsonl.gz", "perp_kline_1m.jsonl", "perp_aggTrade.jsonl"),
            *("perp_depth_snapshot.json", "perp_exchange_info.json"),
            "perp_klines.json",
        ),
        "session.jsonl.gz",
        "usdm",
    ),
    Capture("tomsep-spot-ticker-arr-20190928", ("24hrTicker.example.txt",)),
]
LARGE = [
    Capture(
        "hftbacktest-coinm-20240808",
        ("btcusd_perp_20240808.gz",),
        "session.jsonl.gz",
        "usdm",
    ),
    Capture(
        "hftbacktest-usdm-20230404",
        ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz"),
        "session.jsonl.gz",
        "usdm",
    ),
    Capture(
        "hftbacktest-usdm-20240808",
        ("btcusdt_20240808.gz", "ethusdt_20240808.gz"),
        "session.jsonl.gz",
        "usdm",
    ),
    Capture(
        "hftbacktest-spot-20240808",
        (
            *("btcusdt_20240808.gz", "btcusdt_20240809.gz"),
            *("ethusdt_20240808.gz", "ethusdt_20240809.gz"),
        ),
        "session.jsonl.gz",
    ),
]
ALL = [*SMALL, *(pytest.param(c, marks=pytest.mark.slow) for c in LARGE)]

# Not all of these were dated by whoever found them.
MADE_UP_TIMES = ("jayhere1", "polysim")


@pytest.mark.parametrize("capture", ALL, ids=lambda c: f"{c.folder}-{len(c.files)}")
def test_a_capture_gives_its_session_in_frames_and_bytes(
    shared_data: Path, capture: Capture
) -> None:
    folder = shared_data / capture.folder
    files = [folder / "original" / name for name in capture.files]
    conversion = Conversion(open_inputs(files))
    survey = conversion.survey()
    items = list(conversion.items())
    frames = [item for item in items if isinstance(item, Frame)]
    assert frames == list(read_frames(folder / capture.session))
    assert survey.frames == len(frames)
    assert survey.header.market == capture.market
    _check_answers(folder, capture, [i for i in items if isinstance(i, RestAnswer)])


def _check_answers(folder: Path, capture: Capture, answers: list[RestAnswer]) -> None:
    """Compare bodies, and times and requests as far as the finder knew them."""
    index = folder / "rest" / "index.json"
    if not index.exists() or capture.session.startswith("session_"):
        assert not answers
        return
    told = {entry["file"]: entry for entry in json.loads(index.read_bytes())}
    assert len(answers) == len(told)
    plain = {name: e for name, e in told.items() if not name.endswith(".gz")}
    bodies = {
        (folder / "rest" / name).read_bytes().strip(): plain[name] for name in plain
    }
    for answer in answers:
        entry = bodies.get(answer.payload)
        if entry is None:
            assert "exchangeInfo" in answer.request  # kept as gzip
            continue
        path = entry["url"].partition(".com")[2].partition(" ")[0]
        if "exchangeInfo" in path:
            path = path.partition("?")[0]
        assert answer.request.startswith(path.partition("&limit")[0])
        if not capture.folder.startswith(MADE_UP_TIMES):
            assert answer.receive_time_us == entry["t"]


@pytest.mark.parametrize(
    "folder", ["singles-crypto-msg-parser", "singles-unicorn-fy-spot-2020"]
)
def test_single_frames_keep_stream_and_bytes(shared_data: Path, folder: str) -> None:
    original = shared_data / folder / "original" / "frames.txt"
    conversion = Conversion(open_inputs([original]), clues=Clues(market="spot"))
    conversion.survey()
    found = {
        (item.stream, item.payload)
        for item in conversion.items()
        if isinstance(item, Frame)
    }
    lines = (shared_data / folder / "frames.jsonl").read_bytes().splitlines()
    for line in lines:
        stream = str(json.loads(line)["stream"])
        payload = line[line.index(b'"data":') + 7 : -1]
        assert (stream, payload) in found
    assert len(found) == len(set(lines))
