"""How the marks of a test come together, and the cassette that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def cassettes(project: Path) -> None:
    """Cassettes a, b and c beside the one there is."""
    text = (project / "recordings/dip.jsonl").read_text("utf-8")
    for name in "abc":
        (project / f"recordings/{name}.jsonl").write_text(text, "utf-8")


def run(pytester: pytest.Pytester, test: str, *args: str) -> pytest.RunResult:
    head = "import pytest\n\nmark = pytest.mark.binance_replay\n\n"
    (pytester.path / "test_x.py").write_text(head + test, "utf-8")
    return pytester.runpytest_inprocess(*args)


@pytest.mark.usefixtures("cassettes")
def test_the_cassettes_are_those_of_the_closest_mark_that_names_any(
    pytester: pytest.Pytester,
) -> None:
    test = """
pytestmark = mark("a", speed=2)

def test_of_the_module(binance_replay):
    assert binance_replay.cassette == "recordings/a.jsonl"

@mark("b", "c")
class TestIt:
    def test_of_the_class(self, binance_replay):
        assert binance_replay.cassette == "recordings/b.jsonl, recordings/c.jsonl"

    @mark(lag="stall")
    def test_without_names(self, binance_replay):
        assert binance_replay.cassette == "recordings/b.jsonl, recordings/c.jsonl"
        assert binance_replay._options.lag == "stall"
        assert binance_replay.speed == 2

    @mark(None)
    def test_with_an_empty_tape(self, binance_replay):
        assert binance_replay.cassette == ""
        assert binance_replay.done
"""
    run(pytester, test).assert_outcomes(passed=4)


@pytest.mark.usefixtures("cassettes")
def test_marks_merge_keyword_by_keyword(pytester: pytest.Pytester) -> None:
    test = """
pytestmark = mark("a", speed=1, lag="stall", at_end="close")

@mark(speed=2, lag="disconnect")
class TestIt:
    @mark(speed=3)
    def test_it(self, binance_replay):
        options = binance_replay._options
        assert (options.speed, options.lag, options.at_end) == (
            3, "disconnect", "close")
"""
    run(pytester, test).assert_outcomes(passed=1)


@pytest.mark.usefixtures("cassettes")
def test_a_parameter_set_is_closer_than_its_function(pytester: pytest.Pytester) -> None:
    test = """
@mark("a", speed=1)
@pytest.mark.parametrize("cassette, speed", [
    ("a", 1),
    pytest.param("b", 2, marks=mark("b", speed=2)),
])
def test_it(binance_replay, cassette, speed):
    assert binance_replay.cassette == f"recordings/{cassette}.jsonl"
    assert binance_replay.speed == speed
"""
    run(pytester, test).assert_outcomes(passed=2)


@pytest.mark.usefixtures("cassettes")
def test_the_lower_of_two_marks_is_the_closer_one(pytester: pytest.Pytester) -> None:
    test = """
@mark("a", speed=1)
@mark("b", speed=2)
def test_it(binance_replay):
    assert binance_replay.cassette == "recordings/b.jsonl"
    assert binance_replay.speed == 2
"""
    run(pytester, test).assert_outcomes(passed=1)


@pytest.mark.usefixtures("cassettes")
def test_a_class_is_closer_than_its_base(pytester: pytest.Pytester) -> None:
    test = """
@mark("a", speed=1, lag="stall")
class Base:
    def test_it(self, binance_replay):
        assert binance_replay.cassette == f"recordings/{self.cassette}.jsonl"
        assert binance_replay.speed == self.speed
        assert binance_replay._options.lag == "stall"

class TestOwn(Base):
    pytestmark = mark("b", speed=2)
    cassette, speed = "b", 2

@mark("c", speed=3)
class TestDecorated(Base):
    cassette, speed = "c", 3

class TestInherited(Base):
    cassette, speed = "a", 1
"""
    run(pytester, test).assert_outcomes(passed=3)


@pytest.mark.usefixtures("cassettes")
def test_a_mark_that_a_hook_adds_counts(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.binance_replay("a"))
        """
    )
    test = """
def test_it(binance_replay):
    assert binance_replay.cassette == "recordings/a.jsonl"
"""
    run(pytester, test).assert_outcomes(passed=1)


def test_a_wrong_mark_that_a_fixture_adds_fails_its_test(
    pytester: pytest.Pytester,
) -> None:
    test = """
@pytest.fixture(autouse=True)
def late(request):
    request.applymarker(mark("dip", speed=0))

def test_it(binance_replay): pass
"""
    result = run(pytester, test)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_it*",
            "test_x.py::test_it: binance_replay(speed=0): expected 'auto', 'asap' or "
            "a number above 0.",
        ]
    )


def test_a_path_names_a_cassette(pytester: pytest.Pytester) -> None:
    test = """
from pathlib import Path
HERE = Path(__file__).parent

@mark(HERE / "recordings" / "dip.jsonl")
def test_absolute(binance_replay):
    assert binance_replay.cassette == "recordings/dip.jsonl"

@mark(Path("dip"))
def test_relative(binance_replay):
    assert binance_replay.cassette == "recordings/dip.jsonl"
"""
    run(pytester, test).assert_outcomes(passed=2)


@pytest.mark.parametrize("names", ["3", "['dip']", "'dip', None", "b'dip'"])
def test_what_is_no_name_of_a_cassette_is_a_usage_error(
    pytester: pytest.Pytester, names: str
) -> None:
    result = run(pytester, f"@mark({names})\ndef test_it(): pass\n")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "ERROR: test_x.py::test_it: binance_replay(*): expected names of cassettes, "
        "or None alone for an empty tape."
    )


def test_a_mark_without_the_fixture_costs_nothing(pytester: pytest.Pytester) -> None:
    run(pytester, "@mark('no such')\ndef test_it(): pass\n").assert_outcomes(passed=1)
