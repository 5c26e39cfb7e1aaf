"""Plays a recording and prints the peak of memory, in KiB: early, and in the end.

Run by a test in a process of its own, whose peak is nobody else's. One client reads
and forgets; the other, if `asleep`, never reads anything.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
from pathlib import Path

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.library import CassetteSource
from pytest_binance_replay.options import Options
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.bots import shake_hands

EARLY_FRAMES, LATE_FRAMES = 30_000, 179_000


def read_and_forget(bot: socket.socket) -> None:
    """Read until the process ends."""
    while bot.recv(1 << 16):
        pass


def play_to(replay: BinanceReplay, frames: int) -> int:
    """Release frames up to a number; the peak of memory so far, in KiB."""
    replay.step(frames - replay.position.frames)
    replay.until(lambda: replay.position.frames >= frames, timeout=60).wait()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(path: str, neighbour: str) -> None:
    """Play a recording to one or two clients."""
    source = CassetteSource(Path(path), "largest", warn=lambda _: None)
    options = Options(speed="asap", start="manual")
    replay = BinanceReplay(LoopThread(), [source], options)
    where = f"/ws/{'/'.join(source.streams)}"
    bots = [shake_hands(replay.ws_url, where)]
    if neighbour == "asleep":
        bots.append(shake_hands(replay.ws_url, where))
    bots[0].settimeout(None)
    threading.Thread(target=read_and_forget, args=bots[:1], daemon=True).start()
    early_kib = play_to(replay, EARLY_FRAMES)
    late_kib = play_to(replay, LATE_FRAMES)
    sent_kib = sum(len(f.payload) for f in replay.frames()) // 1024
    sys.stdout.write(f"{early_kib} {late_kib} {sent_kib}\n")
    sys.stdout.flush()
    os._exit(0)  # Nobody answers the pings that the orders wait for.


if __name__ == "__main__":
    main(*sys.argv[1:])
