"""What every test of the package may rely on."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # without the extra, the tests that need it are skipped
    pass
else:
    settings.register_profile(
        "ci",
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],  # the machine may be busy
    )
    settings.register_profile(
        "quick", settings.get_profile("ci"), max_examples=20, stateful_step_count=20
    )
    settings.register_profile("explore", deadline=None, max_examples=2000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure() -> None:
    """Say that there is no loop: pytest-asyncio would make one, and never close it."""
    asyncio.set_event_loop(None)


class ForeignConnectionError(BaseException):
    """A test tried to leave this machine.

    Not an Exception, so that no retrying client can hide it.

    Attributes:
        address: Where it wanted to go.
    """

    def __init__(self, address: object) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"Tests connect to this machine only, not to {self.address!r}."


def is_local(address: object) -> bool:
    """Tell whether the address of a socket, of any family, is on this machine."""
    if not isinstance(address, tuple):
        return True  # the path of a Unix socket
    host = str(address[0])
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_foreign_connections(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: end a test that connects to anything but this machine."""
    if event == "socket.connect" and not is_local(arguments[1]):
        raise ForeignConnectionError(arguments[1])


sys.addaudithook(refuse_foreign_connections)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; skips the test without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real recordings, ../shared/data, are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_sessions(shared_data: Path) -> list[Path]:
    """The real recordings that are whole sessions, plain or compressed."""
    return sorted(shared_data.glob("*/session.jsonl*"))
