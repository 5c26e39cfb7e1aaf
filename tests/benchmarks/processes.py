"""Servers and clients to measure, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.sessions import ROOT


@dataclass
class Serving:
    """A server; its peak memory is known when it has ended."""

    port: int
    peak_bytes: int = 0


@contextmanager
def serving(kind: str, path: Path | None, *options: str) -> Iterator[Serving]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.benchmarks.serving", kind),
            *([str(path)] if path else []),
            *options,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    server = Serving(int(process.stdout.readline().split()[0]))
    yield server
    server.peak_bytes = int(process.communicate()[0].split()[0]) * 1024


def start_sinks(port: int, count: int, paths: list[str], *options: str) -> Sinks:
    command = [sys.executable, "-m", "tests.benchmarks.sinks", *options]
    process = subprocess.Popen(
        [*command, str(count), str(port), *paths],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    return Sinks(process)


class Sinks:
    """Clients that count, under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    def rows(self) -> list[list[str]]:
        """Wait for the end and return what each of them told."""
        return [line.split() for line in self._process.communicate()[0].splitlines()]

    def seconds(self) -> float:
        """Wait for the end and return the time from the first byte to the last."""
        times = [(float(row[0]), float(row[1])) for row in self.rows()]
        return max(last for _, last in times) - min(first for first, _ in times)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def combined(streams: tuple[str, ...] | list[str]) -> str:
    return "/stream?streams=" + "/".join(streams)
