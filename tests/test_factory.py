"""The factory: from names of cassettes to running replays."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from pytest_binance_replay.errors import (
    CassetteNameError,
    CassetteNotFoundError,
    MissingDataError,
    OptionError,
)
from pytest_binance_replay.factory import ReplayFactory, find_cassette_of_test
from pytest_binance_replay.options import Options
from pytest_binance_replay.replay import BinanceReplay

TRADE = '{"e":"trade","E":1795168800003,"s":"BTCUSDT","p":"1.10","q":"2"}'
TEXT = (
    '{"cassette":1,"market":"spot"}\n'
    f'{{"t":1795168800003123,"stream":"btcusdt@trade","data":{TRADE}}}\n'
)
COMMAND = "pytest --record-binance"


def text_of(test: str) -> str:
    """A cassette whose header says which test it belongs to."""
    return TEXT.replace('"spot"', f'"spot","test":"{test}"', 1)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with two cassettes."""
    folder = tmp_path / "data" / "recordings"
    folder.mkdir(parents=True)
    (folder / "dip.jsonl").write_text(TEXT, "utf-8")
    (folder / "rise.jsonl.gz").write_bytes(gzip.compress(TEXT.encode(), mtime=0))
    return folder


@pytest.fixture
def factory(recordings: Path, tmp_path: Path) -> Iterator[ReplayFactory]:
    """A factory whose users know files from two folders up."""
    factory = ReplayFactory(recordings, root=tmp_path)
    yield factory
    factory.close()


def first_trade(replay: BinanceReplay) -> str | bytes:
    """What a bot gets first."""
    with connect(f"{replay.ws_url}/ws/btcusdt@trade") as bot:
        replay.play().wait(10)
        return bot.recv(timeout=10)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dip", "data/recordings/dip.jsonl"),
        ("dip.jsonl", "data/recordings/dip.jsonl"),
        (Path("dip"), "data/recordings/dip.jsonl"),
        ("rise", "data/recordings/rise.jsonl.gz"),
    ],
)
def test_a_cassette_is_found_by_name_and_shown_from_the_root(
    factory: ReplayFactory, name: str | Path, shown: str
) -> None:
    replay = factory(name)
    assert replay.cassette == shown
    assert first_trade(replay) == TRADE


def test_a_zstd_cassette_is_played(factory: ReplayFactory, recordings: Path) -> None:
    zstd = pytest.importorskip("zstandard", reason="needs the extra zstd")
    (recordings / "fall.jsonl.zst").write_bytes(zstd.compress(TEXT.encode()))
    assert first_trade(factory("fall")) == TRADE


def test_a_file_from_elsewhere_is_named_by_its_path(
    factory: ReplayFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("elsewhere") / "dip.jsonl"
    path.write_text(TEXT, "utf-8")
    assert factory(path).cassette == str(path)


def test_a_demo_is_named_as_it_was_asked_for(factory: ReplayFactory) -> None:
    assert factory("demo:spot").cassette == "demo:spot"


def test_without_a_root_files_are_named_from_the_folder_above(
    recordings: Path,
) -> None:
    factory = ReplayFactory(recordings)
    assert factory("dip").cassette == "recordings/dip.jsonl"
    factory.close()


@pytest.mark.parametrize("names", [(), (None,)])
def test_no_cassette_makes_an_empty_tape(
    factory: ReplayFactory, names: tuple[None, ...]
) -> None:
    replay = factory(*names)
    assert replay.cassette == ""
    assert replay.done


def test_two_servers_have_ports_and_tapes_of_their_own(factory: ReplayFactory) -> None:
    one, other = factory("dip"), factory("dip")
    assert one.port != other.port
    assert first_trade(one) == TRADE
    assert (one.done, other.done) == (True, False)


def test_a_call_wins_over_defaults_and_loses_to_overrides(recordings: Path) -> None:
    factory = ReplayFactory(
        recordings,
        defaults={"speed": 2.0, "lag": "stall", "at_end": "close"},
        overrides={"speed": 3.0},
    )
    replay = factory("dip", speed="asap", lag="disconnect")
    factory.close()
    assert replay._options == Options(speed=3.0, lag="disconnect", at_end="close")


def test_a_wrong_setting_says_that_it_was_given_to_the_factory(
    factory: ReplayFactory,
) -> None:
    with pytest.raises(OptionError) as caught:
        factory("dip", speed=0)
    assert str(caught.value) == (
        "binance_replay_factory(speed=0): expected 'auto', 'asap' or a number above 0."
    )


def test_a_name_must_be_a_name(factory: ReplayFactory) -> None:
    with pytest.raises(OptionError) as caught:
        factory(["dip"])  # type: ignore[arg-type]
    assert str(caught.value) == (
        "binance_replay_factory(['dip']): expected names of cassettes."
    )


@pytest.mark.parametrize(
    ("test", "command"),
    [
        (None, COMMAND),
        ("test_a.py::test_dip", f"{COMMAND} test_a.py::test_dip"),
        ("test_a.py::test_dip[a b]", f"{COMMAND} 'test_a.py::test_dip[a b]'"),
    ],
)
def test_a_missing_cassette_is_told_with_what_there_is_and_the_command(
    factory: ReplayFactory, test: str | None, command: str
) -> None:
    with pytest.raises(CassetteNotFoundError) as caught:
        factory.open(["dop"], Options(), test=test)
    assert str(caught.value) == (
        "No cassette 'dop' in data/recordings; nearest: 'dip', 'rise'. "
        f"To record it: {command}"
    )


def test_a_demo_never_stands_in_for_a_missing_file(factory: ReplayFactory) -> None:
    with pytest.raises(CassetteNotFoundError, match="No cassette 'spot' in data/rec"):
        factory("spot")


def test_two_files_of_one_name_are_named_from_the_root(
    factory: ReplayFactory, recordings: Path
) -> None:
    (recordings / "dip.jsonl.gz").write_bytes(gzip.compress(TEXT.encode(), mtime=0))
    with pytest.raises(CassetteNameError) as caught:
        factory("dip")
    assert str(caught.value) == (
        "two cassettes answer to 'dip': data/recordings/dip.jsonl and "
        "data/recordings/dip.jsonl.gz. Remove one, or name it with its suffix."
    )


def test_a_cassette_is_found_by_its_name_first(recordings: Path) -> None:
    (recordings / "other.jsonl").write_text(text_of("test_a.py::test_dip"), "utf-8")
    found = find_cassette_of_test("dip", "test_a.py::test_dip", recordings)
    assert found == recordings / "dip.jsonl"


def test_a_cassette_is_found_by_its_header_when_its_name_misses(
    recordings: Path,
) -> None:
    moved = recordings / "moved" / "old.jsonl"
    moved.parent.mkdir()
    moved.write_text(text_of("test_a.py::test_dip"), "utf-8")
    found = find_cassette_of_test("test_a/test_dip", "test_a.py::test_dip", recordings)
    assert found == moved


def test_damaged_cassettes_do_not_hide_the_one_looked_for(recordings: Path) -> None:
    (recordings / "a.jsonl").write_text("", "utf-8")
    (recordings / "b.jsonl").write_text("no cassette\n", "utf-8")
    (recordings / "c.jsonl.gz").write_bytes(b"\x1f\x8b damaged")
    (recordings / "z.jsonl").write_text(text_of("test_a.py::test_dip"), "utf-8")
    found = find_cassette_of_test("x", "test_a.py::test_dip", recordings)
    assert found == recordings / "z.jsonl"


@pytest.mark.parametrize("test", [None, "test_a.py::test_dip"])
def test_a_cassette_of_no_test_is_nobodys(recordings: Path, test: str | None) -> None:
    with pytest.raises(CassetteNotFoundError, match="No cassette 'test_a/test_dip'"):
        find_cassette_of_test("test_a/test_dip", test, recordings)


def test_two_cassettes_of_one_test_are_an_error(
    factory: ReplayFactory, recordings: Path
) -> None:
    for name in ("x", "y"):
        (recordings / f"{name}.jsonl").write_text(text_of("t.py::test"), "utf-8")
    with pytest.raises(CassetteNameError) as caught:
        factory.open(None, Options(), test="t.py::test", default_name="t/test")
    assert str(caught.value) == (
        "2 cassettes say that they belong to t.py::test: data/recordings/x.jsonl and "
        "data/recordings/y.jsonl. Name one of them in the test's mark."
    )


def test_a_with_block_checks_and_closes(factory: ReplayFactory) -> None:
    one = factory("dip")
    with (
        pytest.raises(MissingDataError, match="btcusdt@trades"),
        one,
        connect(f"{one.ws_url}/ws/btcusdt@trades"),
    ):
        one.wait_for_subscription().wait(10)
    assert one.closed


def test_what_is_left_open_is_closed_with_the_factory(factory: ReplayFactory) -> None:
    left, closed = factory("dip"), factory("dip")
    closed.close()
    assert list(factory.running) == [left]
    factory.close()
    assert not list(factory.running)
    assert left.closed


def test_a_factory_can_start_again_after_it_was_closed(factory: ReplayFactory) -> None:
    factory.close()
    assert first_trade(factory("dip")) == TRADE
