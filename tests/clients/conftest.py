"""What tests of client libraries share: cassettes, and replays of them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay import BinanceReplay, ReplayFactory
from tests.clients.cassettes import Recorded, real_spot, real_usdm

OpenReplay = Callable[..., BinanceReplay]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever wants these tests names their folder, or a file in it.

    They need libraries that clash with each other, and some of them are slow to start.
    """
    start = config.invocation_params.dir
    named = ((start / arg.partition("::")[0]).resolve() for arg in config.args)
    is_wanted = any(path.is_relative_to(Path(__file__).parent) for path in named)
    return None if is_wanted else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a library warns of, of itself and of others, is not ours to mend."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a library leaves is collected while its warnings go unheard."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="session")
def spot() -> Recorded:
    return Recorded("spot", "demo:spot")


@pytest.fixture(scope="session")
def usdm() -> Recorded:
    return Recorded("usdm", "demo:usdm", trades="aggTrade")


@pytest.fixture(scope="session")
def spot_of_2021(shared_data: Path, folder: Path) -> Recorded:
    return real_spot(shared_data, folder)


@pytest.fixture(scope="session")
def usdm_of_2024(shared_data: Path, folder: Path) -> Recorded:
    return real_usdm(shared_data, folder)


@pytest.fixture(params=["spot", "usdm"])
def demo(request: pytest.FixtureRequest) -> Recorded:
    """The demo of each market in turn."""
    found: Recorded = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["spot", "usdm", "spot_of_2021", "usdm_of_2024"])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """The demos and a piece of a real recording of each market, in turn."""
    found: Recorded = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=[False, True], ids=["by URL", "redirected"])
def redirect(request: pytest.FixtureRequest) -> bool:
    """Whether the client is told a URL, or dials the exchange and lands here."""
    return bool(request.param)


@pytest.fixture
def open_replay(binance_replay_factory: ReplayFactory) -> Iterator[OpenReplay]:
    """Open replays; in the end nothing may have been wrong with them."""
    replays: list[BinanceReplay] = []

    def open_one(recorded: Recorded, **settings: Any) -> BinanceReplay:
        replays.append(binance_replay_factory(recorded.cassette, **settings))
        return replays[-1]

    yield open_one
    problems = [problem for replay in replays for problem in replay.problems()]
    for replay in replays:
        replay.close()
    assert problems == []
