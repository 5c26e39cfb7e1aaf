"""What is built and shipped, and what the repository may hold."""

from __future__ import annotations

import configparser
import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="building needs hatchling")

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    *("pytest_binance_replay", "recordings", "tests"),
    *("pyproject.toml", "README.md", "tox.ini", "LICENSE", "CHANGELOG.md"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]

# The brackets keep the patterns from finding themselves.
SOMEBODYS_MACHINE = re.compile(r"[/](work|root|home|Users)/\w|[/]tmp/\w")
SOMEBODYS_REGISTRY = re.compile(r"py[p]i\.\w|python[h]osted|index[-]url|find[-]links")


def build(source: Path, into: Path, *targets: str) -> None:
    """Build distributions of a source folder with its own backend."""
    options = [option for target in targets for option in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into), *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


def names_in_wheel(folder: Path) -> set[str]:
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder, "wheel", "sdist")
    return folder


@pytest.fixture(scope="module")
def in_wheel(built: Path) -> set[str]:
    """The names of the files in the wheel."""
    return names_in_wheel(built)


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"pytest_binance_replay-{VERSION}"


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files that git keeps; skips the test where there is no repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.split("\0")[:-1]


def files_under(folder: str) -> set[str]:
    """The files of the checkout under a folder, but for what Python leaves there."""
    paths = (ROOT / folder).rglob("*")
    kept = (path for path in paths if path.is_file() if path.suffix != ".pyc")
    return {path.relative_to(ROOT).as_posix() for path in kept}


def test_the_wheel_holds_the_whole_package(in_wheel: set[str]) -> None:
    assert files_under("pytest_binance_replay") <= in_wheel
    assert "pytest_binance_replay/py.typed" in in_wheel


def test_the_wheel_holds_the_demo_recordings(in_wheel: set[str]) -> None:
    recordings = files_under("recordings")
    assert recordings
    assert {f"pytest_binance_replay/{name}" for name in recordings} <= in_wheel


def test_the_wheel_holds_nothing_else(in_wheel: set[str]) -> None:
    folders = {name.split("/")[0] for name in in_wheel}
    assert folders == {
        "pytest_binance_replay",
        f"pytest_binance_replay-{VERSION}.dist-info",
    }


def test_the_source_distribution_is_complete(
    unpacked: Path, tracked: list[str]
) -> None:
    missing = [name for name in tracked if not (unpacked / name).is_file()]
    assert not missing


def test_the_source_distribution_builds_the_same_wheel(
    unpacked: Path, in_wheel: set[str], tmp_path: Path
) -> None:
    build(unpacked, tmp_path, "wheel")
    assert names_in_wheel(tmp_path) == in_wheel


def test_the_metadata_say_what_users_look_for(built: Path) -> None:
    info = f"pytest_binance_replay-{VERSION}.dist-info"
    extras = PROJECT["optional-dependencies"]
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        found = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert found["License-Expression"] == "MIT"
    assert found.get_all("Provides-Extra") == sorted(extras)
    assert "Framework :: Pytest" in found.get_all("Classifier", [])
    assert "binance_replay = pytest_binance_replay.plugin" in entry_points
    assert "binance-replay = pytest_binance_replay.cli:main" in entry_points


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_a_dependency_has_a_floor_and_no_cap(requirement: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement)


def test_the_lowest_environment_runs_on_the_declared_floors() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    extras = PROJECT["optional-dependencies"]
    ours = [*extras["hypothesis"], *extras["tls"], *extras["zstd"]]
    declared = [*PROJECT["dependencies"], *ours]
    pinned = tox["testenv:lowest"]["deps"].split()
    floors = [item.partition(";")[0].replace(">=", "==") for item in declared]
    assert sorted(pinned) == sorted(floors)


def test_the_changelog_tells_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## {re.escape(VERSION)}\b", changelog, re.MULTILINE)


def test_the_top_level_is_as_agreed(tracked: list[str]) -> None:
    top_level = {name.split("/")[0] for name in tracked}
    assert {name for name in top_level if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize("pattern", [SOMEBODYS_MACHINE, SOMEBODYS_REGISTRY])
def test_no_file_names_somebodys_machine_or_registry(
    pattern: re.Pattern[str], tracked: list[str]
) -> None:
    texts = [name for name in tracked if not name.startswith("recordings/")]
    found = [name for name in texts if pattern.search((ROOT / name).read_text("utf-8"))]
    assert not found
