"""A program that records and is killed at random moments, again and again.

`python -m … WS_URL REST_URL PATH TIMES SEED`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from random import Random

from pytest_binance_replay.hosts import Upstream
from tests.integration.recording import TRADES, make_recorder

LONGEST_SECONDS = 0.12


def main() -> None:
    ws_url, rest_url, path, times, seed = sys.argv[1:]
    upstream, random = Upstream(ws_url, rest_url), Random(int(seed))
    for _ in range(int(times)):
        child = os.fork()
        if not child:
            recorder = make_recorder(
                Path(path), upstream, TRADES, until=lambda f: b'"t":400,' in f.payload
            )
            asyncio.run(recorder.run())
            os._exit(0)
        threading.Event().wait(random.uniform(0, LONGEST_SECONDS))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
