"""What a project without the extra gets to read."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["hypothesis"] = None
import pytest_binance_replay, pytest_binance_replay.plugin
try:
    import pytest_binance_replay.strategies
except ImportError as error:
    print(error)
"""


def test_the_missing_extra_is_named_with_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "pytest_binance_replay.strategies needs a package that is not installed: "
        'pip install "pytest-binance-replay[hypothesis]"\n'
    )
