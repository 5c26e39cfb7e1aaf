"""The cassette that belongs to a test which names none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Add = Callable[..., Path]

TELLING = """
import pytest
from pytest_binance_replay.marks import default_cassette

@pytest.fixture(autouse=True)
def tell(request, record_property):
    record_property("cassette", default_cassette(request.node))
"""


def names_of(pytester: pytest.Pytester, *args: str) -> dict[str, str]:
    """Run the tests of the project, and return their default cassettes by test."""
    recorder = pytester.inline_run(*args)
    reports = [r for r in recorder.getreports() if getattr(r, "when", "") == "call"]
    return {r.nodeid: dict(r.user_properties)["cassette"] for r in reports}


@pytest.fixture
def telling(project: Path) -> Path:
    """A project whose tests tell the names of their cassettes."""
    (project / "conftest.py").write_text(TELLING, "utf-8")
    return project


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_a_cassette_is_named_after_module_class_test_and_parameters(
    pytester: pytest.Pytester, telling: Path
) -> None:
    write(
        telling / "tests" / "test_bot.py",
        """
import unittest
import pytest

def test_dip(): pass

@pytest.mark.parametrize("symbol", ["BTCUSDT", "ethusdt"])
def test_each(symbol): pass

class TestBuyer:
    def test_dip(self): pass

    class TestLate:
        @pytest.mark.parametrize("n", [1])
        def test_dip(self, n): pass

class OldTest(unittest.TestCase):
    def test_dip(self): pass
""",
    )
    assert names_of(pytester) == {
        "tests/test_bot.py::test_dip": "tests/test_bot/test_dip",
        "tests/test_bot.py::test_each[BTCUSDT]": "tests/test_bot/test_each[BTCUSDT]",
        "tests/test_bot.py::test_each[ethusdt]": "tests/test_bot/test_each[ethusdt]",
        "tests/test_bot.py::TestBuyer::test_dip": "tests/test_bot/TestBuyer.test_dip",
        "tests/test_bot.py::TestBuyer::TestLate::test_dip[1]": (
            "tests/test_bot/TestBuyer.TestLate.test_dip[1]"
        ),
        "tests/test_bot.py::OldTest::test_dip": "tests/test_bot/OldTest.test_dip",
    }


ALIKE = """
import unittest
import pytest

def test_dip(): pass
def test_DIP(): pass

@pytest.mark.parametrize("symbol", ["BTC", "btc", "eth"])
def test_case(symbol): pass

@pytest.mark.parametrize("odd", ["a/b", "a:b", "a b", "\\xe9", "x" * 120, "x" * 99])
def test_odd(odd): pass

@pytest.mark.parametrize("big", ["y" * 180 + "a", "y" * 180 + "b"], ids=str)
def test_long(big): pass

class TestIt:
    def test_one(self): pass
    def test_One(self): pass

class Testit:
    def test_one(self): pass

class OldTest(unittest.TestCase):
    def test_one(self): pass
    def test_ONE(self): pass
"""


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_no_two_tests_share_a_file_on_any_disk(
    pytester: pytest.Pytester, telling: Path, mode: str
) -> None:
    if mode == "importlib":
        write(telling / "b" / "test_x.py", ALIKE)
    write(telling / "a" / "test_x.py", ALIKE)
    names = names_of(pytester, f"--import-mode={mode}")
    assert len(names) == (18 if mode == "prepend" else 36)
    files = {name.casefold() for name in names.values()}
    assert len(files) == len(names)
    assert max(len(file.rpartition("/")[2]) for file in files) <= 100
    assert names["a/test_x.py::test_case[eth]"] == "a/test_x/test_case[eth]"


def test_a_name_does_not_depend_on_the_selection(
    pytester: pytest.Pytester, telling: Path
) -> None:
    write(telling / "test_x.py", ALIKE)
    every = names_of(pytester)
    for test in ("test_x.py::test_case[BTC]", "test_x.py::TestIt::test_one"):
        assert names_of(pytester, test) == {test: every[test]}


def test_a_module_outside_of_the_root_has_a_name_too(
    pytester: pytest.Pytester, telling: Path
) -> None:
    write(telling / "sub" / "test_x.py", "def test_it(): pass\n")
    other = telling / "elsewhere"
    other.mkdir()
    names = names_of(pytester, f"--rootdir={other}", str(telling / "sub"))
    assert set(names.values()) == {"test_x/test_it"}


PLAYING = """
from bots import TRADE, plain_bot

def test_dip(binance_replay):
    assert plain_bot(binance_replay) == TRADE
"""


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_the_cassette_of_a_test_is_played(
    pytester: pytest.Pytester, add_cassette: Add, suffix: str
) -> None:
    pytester.makepyfile(test_x=PLAYING)
    path = add_cassette("test_x/test_dip.jsonl")
    data = path.read_bytes()
    if suffix.endswith("gz"):
        gzip = pytest.importorskip("gzip")
        data = gzip.compress(data, mtime=0)
    elif suffix.endswith("zst"):
        data = pytest.importorskip("zstandard").compress(data)
    path.unlink()
    path.with_name(f"test_dip{suffix}").write_bytes(data)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_renamed_cassette_is_found_by_its_header(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    pytester.makepyfile(test_x=PLAYING)
    path = add_cassette("old_name.jsonl")
    text = path.read_text("utf-8")
    header = '"spot","test":"test_x.py::test_dip"'
    path.write_text(text.replace('"spot"', header, 1), "utf-8")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_test_that_a_distributor_renames_keeps_its_cassette(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    pytest.importorskip("xdist")
    path = add_cassette("old_name.jsonl")
    text = path.read_text("utf-8")
    header = '"spot","test":"test_x.py::test_dip[a/b]"'
    path.write_text(text.replace('"spot"', header, 1), "utf-8")
    pytester.makepyfile(
        test_x="""
        import pytest
        @pytest.mark.xdist_group("one")
        @pytest.mark.parametrize("odd", ["a/b"])
        def test_dip(binance_replay, odd):
            assert binance_replay.cassette == "recordings/old_name.jsonl"
        """
    )
    result = pytester.runpytest_subprocess("-n1", "--dist=loadgroup")
    result.assert_outcomes(passed=1)


def test_a_missing_cassette_is_told_with_the_nearest_and_the_command(
    pytester: pytest.Pytester, add_cassette: Add
) -> None:
    for number in range(20):
        add_cassette(f"unlike{number}.jsonl")
    add_cassette("test_x/test_dop.jsonl")
    pytester.makepyfile(test_x=PLAYING)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_dip*",
            "No cassette 'test_x/test_dip' in recordings; nearest: 'test_x/test_dop'. "
            "To record it: pytest --record-binance test_x.py::test_dip",
        ]
    )
    result.stdout.no_fnmatch_line("*plugin.py*")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "dop",
            "No cassette 'dop' in recordings; nearest: 'dip'. "
            "To record it: pytest --record-binance 'test_x.py::test_it[[]a b[]]'",
        ),
        (
            "spot",
            "No cassette 'spot' in recordings; nearest: 'dip'. "
            "To record it: pytest --record-binance 'test_x.py::test_it[[]a b[]]'",
        ),
        (
            "demo:sopt",
            "No bundled cassette 'demo:sopt'; nearest: 'demo:spot', 'demo:usdm'. "
            "To record one of your own: "
            "pytest --record-binance 'test_x.py::test_it[[]a b[]]'",
        ),
        (
            "../dip",
            "cassette '../dip' is not below recordings. Name one in it, or give an "
            "absolute path.",
        ),
    ],
)
def test_a_name_that_misses_is_told_what_there_is(
    pytester: pytest.Pytester, name: str, message: str
) -> None:
    pytester.makepyfile(
        test_x=f"""
        import pytest
        @pytest.mark.binance_replay({name!r})
        @pytest.mark.parametrize("n", ["a b"])
        def test_it(binance_replay, n): pass
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(message)


@pytest.mark.usefixtures("project")
def test_a_demo_is_played_by_its_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.binance_replay("demo:spot")
        def test_it(binance_replay):
            assert binance_replay.cassette == "demo:spot"
            assert next(binance_replay.frames()).stream
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize("place", ["option", "ini", "absolute"])
def test_the_directory_of_the_cassettes_can_be_moved(
    pytester: pytest.Pytester, project: Path, place: str
) -> None:
    (project / "data").mkdir()
    (project / "recordings").rename(project / "data" / "tapes")
    write(
        project / "sub" / "test_x.py",
        """
import pytest
@pytest.mark.binance_replay("dip")
def test_it(binance_replay):
    assert binance_replay.cassette == "data/tapes/dip.jsonl"

@pytest.mark.binance_replay("dop")
def test_missing(binance_replay): pass
""",
    )
    args = {
        "option": ["--binance-cassette-dir=data/tapes"],
        "ini": ["-o", "binance_cassette_dir=data/tapes"],
        "absolute": [f"--binance-cassette-dir={project / 'data' / 'tapes'}"],
    }
    result = pytester.runpytest_inprocess("sub", *args[place])
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "binance-replay: cassettes in data/tapes",
            "No cassette 'dop' in data/tapes; nearest: 'dip'. To record it: *",
        ]
    )


def test_the_directory_is_found_from_a_folder_below(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "sub" / "test_x.py", PLAYING.replace("def", MARKED + "def"))
    monkeypatch.chdir(project / "sub")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


MARKED = 'import pytest\n\n@pytest.mark.binance_replay("dip")\n'
