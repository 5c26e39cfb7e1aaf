"""A program that records and tells its memory: `python -m … WS_URL REST_URL PATH LAST`.

Prints the most memory it ever had, in kilobytes, a tenth into the recording and at its
end, and the marks and problems.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.hosts import Upstream
from tests.benchmarks.serving import peak_kilobytes
from tests.integration.hostile import SHORT
from tests.integration.recording import DEPTH, TRADES, make_recorder


def main() -> None:
    ws_url, rest_url, path, last = sys.argv[1:]
    peaks: list[int] = []
    frames = 0

    def is_last(frame: Frame) -> bool:
        nonlocal frames
        frames += 1
        if frames == int(last) // 10:
            peaks.append(peak_kilobytes())
        return frame.stream == TRADES and b'"t":%d,' % int(last) in frame.payload

    recorder = make_recorder(
        Path(path),
        Upstream(ws_url, rest_url),
        TRADES,
        DEPTH,
        until=is_last,
        patience=SHORT._replace(overlap=5, again=10),
    )
    recording = asyncio.run(recorder.run())
    peaks.append(peak_kilobytes())
    print(json.dumps([peaks, recording.marks, recording.problems]))  # noqa: T201


if __name__ == "__main__":
    main()
