from __future__ import annotations

from pathlib import Path

import pytest

from pytest_binance_replay.errors import CassetteNameError, CassetteNotFoundError
from pytest_binance_replay.files import summarise
from pytest_binance_replay.shelf import demo_directory, find_cassette, list_cassettes
from tests.sample_lines import write


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    directory = tmp_path / "recordings"
    (directory / "test_bot" / "TestDip.test[a]").mkdir(parents=True)
    (directory / ".git").mkdir()
    for name in (
        "dip.jsonl",
        "rise.jsonl.gz",
        "rise.jsonl.zst",
        "exact",
        "test_bot/TestDip.test[b].jsonl.zst",
        "test_bot/notes.md",
        ".hidden.jsonl",
        "dip.rejected.jsonl",
        ".git/dip.jsonl",
    ):
        write(directory / name, b"")
    return directory


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dip", "dip.jsonl"),
        ("dip.jsonl", "dip.jsonl"),
        ("rise.jsonl.gz", "rise.jsonl.gz"),
        (Path("test_bot/TestDip.test[b]"), "test_bot/TestDip.test[b].jsonl.zst"),
        ("test_bot/../dip", "dip.jsonl"),
        ("exact", "exact"),
    ],
)
def test_a_cassette_is_found_with_and_without_its_suffix(
    recordings: Path, name: str | Path, found: str
) -> None:
    assert find_cassette(name, recordings) == recordings / found
    assert find_cassette(recordings / name, Path("elsewhere")).samefile(
        recordings / found
    )


def test_a_cassette_below_a_relative_directory_has_a_relative_path(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recordings.parent)
    assert find_cassette("dip", Path("recordings")) == Path("recordings/dip.jsonl")
    monkeypatch.chdir(recordings)
    assert find_cassette("dip", Path()) == Path("dip.jsonl")


def test_two_files_of_one_name_are_told_apart_by_their_suffixes(
    recordings: Path,
) -> None:
    with pytest.raises(CassetteNameError) as caught:
        find_cassette("rise", recordings)
    assert str(caught.value) == (
        f"two cassettes answer to 'rise': {recordings}/rise.jsonl.gz and "
        f"{recordings}/rise.jsonl.zst. Remove one, or name it with its suffix."
    )
    write(recordings / "rise.jsonl", b"")
    with pytest.raises(CassetteNameError, match="three cassettes answer to 'rise'"):
        find_cassette("rise", recordings)


@pytest.mark.parametrize("name", ["../dip", "a/../../recordings2/dip", "", ".", "a/.."])
def test_a_name_stays_below_the_directory(recordings: Path, name: str) -> None:
    with pytest.raises(CassetteNameError) as caught:
        find_cassette(name, recordings)
    assert str(caught.value) == (
        f"cassette {name!r} is not below {recordings}. "
        "Name one in it, or give an absolute path."
    )


def test_a_missing_cassette_names_all_there_are_when_few(recordings: Path) -> None:
    with pytest.raises(CassetteNotFoundError) as caught:
        find_cassette("dipp", recordings)
    assert str(caught.value) == (
        f"No cassette 'dipp' in {recordings}; nearest: 'dip', 'rise.jsonl.gz', "
        "'rise.jsonl.zst', 'test_bot/TestDip.test[b]'. "
        "To record it: pytest --record-binance"
    )


def test_a_missing_cassette_names_the_nearest_of_many(recordings: Path) -> None:
    for number in range(5):
        write(recordings / f"other{number}.jsonl", b"")
    with pytest.raises(CassetteNotFoundError) as caught:
        find_cassette("dipp", recordings)
    assert caught.value.nearest == ("dip",)


@pytest.mark.parametrize(("name", "below"), [("dip", "none"), ("x" * 300, "")])
def test_a_missing_cassette_of_an_empty_place_says_how_to_record_it(
    tmp_path: Path, name: str, below: str
) -> None:
    with pytest.raises(CassetteNotFoundError) as caught:
        find_cassette(name, tmp_path / below)
    assert str(caught.value) == (
        f"No cassette '{name}' in {tmp_path / below}. "
        "To record it: pytest --record-binance"
    )


def test_a_missing_absolute_path_names_its_neighbours(recordings: Path) -> None:
    with pytest.raises(CassetteNotFoundError) as caught:
        find_cassette(recordings / "dop", Path("elsewhere"))
    assert caught.value.nearest == (
        ".hidden.jsonl",
        "dip.jsonl",
        "dip.rejected.jsonl",
        "rise.jsonl.gz",
        "rise.jsonl.zst",
    )


def test_bundled_cassettes_are_found_by_their_prefix(recordings: Path) -> None:
    for name in list_cassettes(demo_directory()):
        found = find_cassette(f"demo:{name}", recordings)
        assert found.parent.is_relative_to(demo_directory())
        assert summarise(found).frames


def test_a_missing_bundled_cassette_is_not_looked_for_in_the_project(
    recordings: Path,
) -> None:
    with pytest.raises(CassetteNotFoundError) as caught:
        find_cassette("demo:dip", recordings)
    assert str(caught.value).startswith("No bundled cassette 'demo:dip'")
    assert str(caught.value).endswith(
        ". To record one of your own: pytest --record-binance"
    )
    assert all(name.startswith("demo:") for name in caught.value.nearest)


def test_names_are_listed_sorted_and_without_suffix_where_one_is_enough(
    recordings: Path,
) -> None:
    names = list_cassettes(recordings)
    assert names == [
        "dip",
        "rise.jsonl.gz",
        "rise.jsonl.zst",
        "test_bot/TestDip.test[b]",
    ]
    assert all(find_cassette(name, recordings) for name in names)
    assert list_cassettes(recordings / "none") == []
