"""`python -m pytest_binance_replay` is `binance-replay`."""

from __future__ import annotations

import sys

from pytest_binance_replay.cli import main

if __name__ == "__main__":
    sys.exit(main())
