"""The shape of the package: its layers, its pure core, its door, its errors."""

from __future__ import annotations

import ast
import inspect
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path

import pytest

import pytest_binance_replay
from pytest_binance_replay import errors
from pytest_binance_replay.journal import ClientRecord, Missing

PACKAGE = "pytest_binance_replay"
ROOT = Path(__file__).parents[1]
SOURCE = ROOT / PACKAGE

# A module imports only from lines above its own; neighbours on a line stay strangers,
# and a package on one ("events") keeps its own order. CORE does no I/O, ENGINE knows
# neither pytest nor a command line.
CORE = (
    ("errors",),
    (
        "streams",
        "editing",
        "levels",
        "naming",
        "places",
        "recording.continuity",
        "recording.handover",
        "sides",
    ),
    ("tools.forms", "tools.frame_diff", "tools.sparkline"),
    ("events", "cassette", "catalogue", "hosts", "ids", "journal", "recording.public"),
    (
        "book",
        "ledger",
        "reading",
        "tools.tables",
        "protocols.json_text",
        "protocols.upstream",
    ),
    ("tools.overview", "soundness", "tools.structure"),
    ("tools.portrait",),
    ("protocols.address", "protocols.binance", "protocols.simple", "protocols.rest"),
    ("picture", "wire"),
    ("shallow",),
    ("following", "goals", "tape"),
    ("pacing", "timeline", "books", "formats"),
    ("derived",),
    (
        "protocols.query",
        "protocols.weights",
        "protocols.symbol_info",
        "recording.capture",
    ),
    ("protocols.shown", "protocols.exchange_info"),
    ("protocols.depth", "protocols.lists", "market"),
    ("protocols.tickers",),
    ("protocols.market_data",),
    ("client",),
    ("syncing",),
    ("hub",),
)
ENGINE = (
    (
        "clock",
        "compression",
        "http",
        "link",
        "options",
        "recording.receiver",
        "recording.refusals",
        "spill",
        "tls",
    ),
    ("handshake", "hooks", "shelf", "recording.upstream", "writer"),
    ("chunks",),
    ("foreign",),
    (
        "recording.draft",
        "recording.fetching",
        "files",
        "guard",
        "recording.lane",
        "proxy",
    ),
    ("tools.inspection", "session"),
    (
        "background",
        "tools.converting",
        "tools.usage",
        "desk",
        "library",
        "player",
        "recording.snapshots",
    ),
    ("tools.cutting", "tools.merging", "tools.exporting"),
    ("recording.recorder", "server"),
    ("recording.candidates", "control", "moments", "report", "secure"),
    ("stage",),
    ("checks", "recording.passthrough"),
    ("replay",),
    ("factory",),
    ("recording.refresh",),
)
EDGE = (
    ("marks", "commands", "recording.options", "strategies"),
    ("tools.usage_report", "given"),
    ("recording.report",),
    ("plugin", "cli"),
    ("__init__", "__main__"),
)
LAYERS = (*CORE, *ENGINE, *EDGE)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
NAMESPACES = {"protocols.__init__", "recording.__init__", "tools.__init__"}

IO_MODULES = {
    *("asyncio", "concurrent", "multiprocessing", "selectors", "threading", "time"),
    *("os", "pathlib", "shutil", "socket", "ssl", "subprocess", "tempfile"),
    *("compression", "gzip", "websockets", "zlib", "zstandard"),
}
USER_INTERFACES = {"_pytest", "argparse", "pytest", "pytest_asyncio"}
DEAR_MODULES = {"asyncio", "hypothesis", "pydantic", "websockets", "zstandard"}

# Their tests are not in a file of the module's own name.
TESTED_IN = {
    "__init__": "test_architecture.py",
    "__main__": "commands/test_serve.py",
    "cli": "commands",
    "commands": "commands",
    "control": "integration/test_control.py",
    "recording.candidates": "plugin/test_record.py",
    "chunks": "test_files.py",
    "errors": "test_architecture.py",  # and each sentence where it is raised
    "desk": "integration/test_rest.py",
    "recording.draft": "integration/test_recorder.py",
    "recording.fetching": "integration/test_fetching.py",
    "formats": "formats",
    "given": "plugin/test_given.py",
    "handshake": "integration/test_server.py",
    "hooks": "test_guard.py",
    "http": "integration/test_http.py",
    "recording.lane": "integration/test_bad_upstreams.py",
    "levels": "test_book.py",
    "link": "integration/test_bad_clients.py",
    "market": "market",
    "marks": "plugin/test_marks.py",
    "soundness": "soundness",
    "recording.passthrough": "plugin/test_passthrough.py",
    "plugin": "plugin",
    "recording.options": "plugin/test_record_modes.py",
    "recording.report": "plugin/test_record.py",
    "recording.recorder": "integration/test_recorder.py",
    "recording.refresh": "plugin/test_record.py",
    "recording.refusals": "integration/test_bad_upstreams.py",
    "replay": "integration/test_replay.py",
    "secure": "plugin/test_redirect.py",
    "server": "integration/test_server.py",
    "recording.snapshots": "integration/test_snapshots.py",
    "strategies": "strategies",
    "stage": "integration/test_replay.py",
    "tools.usage_report": "plugin/test_unused.py",
    "recording.upstream": "integration/test_bad_upstreams.py",
}


def module_name(path: Path) -> str:
    """The name of a module inside the package: protocols.rest."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def place_of(module: str) -> str:
    """The name in the layers that covers a module: itself, or the package it is in."""
    package = module.partition(".")[0]
    return package if package in RANKS else module


TREES = {
    module_name(path): ast.parse(path.read_bytes())
    for path in sorted(SOURCE.rglob("*.py"))
}
MODULES = sorted(TREES.keys() - NAMESPACES)
IN_CORE = [name for name in MODULES if place_of(name) in chain(*CORE)]
IN_ENGINE = [name for name in MODULES if place_of(name) in chain(*ENGINE)]


def imports_of(module: str) -> Iterator[str]:
    """Everything a module imports anywhere in it, dotted and in full."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports_of(module: str) -> set[str]:
    """The places a module imports from; what comes through the door is the door's."""
    names = set()
    for imported in imports_of(module):
        package, _, name = imported.partition(".")
        if package == PACKAGE:
            above = (place_of(name), place_of(name.rpartition(".")[0]), "__init__")
            names.add(next(place for place in above if place in RANKS))
    return names


def foreign_imports_of(module: str) -> set[str]:
    """The top-level packages of others that a module imports."""
    return {imported.split(".")[0] for imported in imports_of(module)} - {PACKAGE}


def test_every_module_has_its_place_in_the_layers() -> None:
    assert {place_of(module) for module in MODULES} <= RANKS.keys()


@pytest.mark.parametrize("module", sorted(NAMESPACES))
def test_a_namespace_holds_no_code(module: str) -> None:
    assert all(isinstance(node, ast.Expr) for node in TREES[module].body)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_the_lines_above_it(module: str) -> None:
    place = place_of(module)
    others = own_imports_of(module) - {place}
    wrong = sorted(name for name in others if RANKS[name] >= RANKS[place])
    assert not wrong


@pytest.mark.parametrize("module", IN_CORE)
def test_the_core_does_no_io(module: str) -> None:
    opened = [
        f"open() in line {node.lineno}"
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "open"
    ]
    assert not opened
    assert not foreign_imports_of(module) & IO_MODULES


@pytest.mark.parametrize("module", IN_CORE + IN_ENGINE)
def test_the_engine_knows_neither_pytest_nor_a_command_line(module: str) -> None:
    assert not foreign_imports_of(module) & USER_INTERFACES


@pytest.mark.parametrize("place", sorted({place_of(module) for module in MODULES}))
def test_every_module_has_its_tests(place: str) -> None:
    folder, _, name = place.rpartition(".")
    expected = TESTED_IN.get(place, f"{folder}/test_{name}.py".removeprefix("/"))
    assert (ROOT / "tests" / expected).exists()


def test_every_name_of_the_door_is_there() -> None:
    for name in pytest_binance_replay.__all__:
        assert getattr(pytest_binance_replay, name) is not None


def test_a_type_checker_sees_the_same_door() -> None:
    imported = [name for name in imports_of("__init__") if name.startswith(PACKAGE)]
    seen = sorted(name.rpartition(".")[2] for name in imported)
    assert seen == pytest_binance_replay.__all__


def test_the_door_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        attrgetter("no_such_name")(pytest_binance_replay)


@pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.plugin"])
def test_pytest_loads_us_without_what_costs_much(module: str) -> None:
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        f"import {module}\n"
        f"print(sorted({DEAR_MODULES!r} & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


ERRORS = [
    item
    for _, item in inspect.getmembers(errors, inspect.isclass)
    if item.__module__ == errors.__name__
]


# A fact of each kind that an error takes, by its annotation, or by its name where
# errors.py, the first of the layers, cannot name its type.
FACTS: dict[str, object] = {
    "client": ClientRecord(1, "/ws/btcusdt@trade", "raw"),
    "missing": Missing(1, "btcusdt@trades", "stream", "spot", ("btcusdt@trade",)),
    "float": 0.5,
    "int": 3,
    "int | None": 3,
    "str": "btcusdt@trade",
    "str | None": "btcusdt@trade",
    "tuple[str, ...]": ("btcusdt@trade", "btcusdt@depth"),
}


@pytest.fixture(params=ERRORS, ids=lambda item: item.__name__)
def error(request: pytest.FixtureRequest) -> Exception:
    """One of each class of errors.py, its optional facts left alone."""
    if "__init__" not in vars(request.param):
        made: Exception = request.param("a sentence")
    else:
        parameters = inspect.signature(request.param).parameters.values()
        required = [p for p in parameters if p.default is p.empty]
        kinds = [p.name if p.annotation == "Any" else p.annotation for p in required]
        made = request.param(*(FACTS[kind] for kind in kinds))
    return made


def test_an_error_survives_pickling_as_xdist_needs(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_an_error_is_one_calm_line(error: Exception) -> None:
    assert str(error)
    assert "\n" not in str(error)
    assert "!" not in str(error)


def test_an_error_can_be_caught_as_ours(error: Exception) -> None:
    assert isinstance(error, errors.ReplayError | errors.BinanceReplayWarning)


def test_the_tests_cannot_leave_this_machine() -> None:
    with (
        socket.socket() as foreign,
        pytest.raises(
            BaseException, match=r"this machine only, not to \('192\.0\.2\.1'"
        ),
    ):
        foreign.connect(("192.0.2.1", 9))


def test_the_tests_may_connect_to_this_machine() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()
