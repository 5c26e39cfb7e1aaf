"""What a test says about its replay: its marks, and the cassette named after it."""

from __future__ import annotations

import os
from collections import Counter
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.naming import cassette_name, differs_by_case
from pytest_binance_replay.options import layered, parse_setting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MARKER = "binance_replay"

_HAS_TWIN = pytest.StashKey[bool]()


class Wishes(NamedTuple):
    """What the marks of a test ask for.

    Attributes:
        cassettes: Those of the closest mark that names any; None if none does.
        settings: Checked settings by name.
        problems: What is wrong with the marks, one sentence each.
    """

    cassettes: tuple[Any, ...] | None
    settings: dict[str, object]
    problems: list[str]


def read_marks(item: pytest.Item) -> Wishes:
    """Return what the marks of a test ask for, keyword by keyword."""
    cassettes: tuple[Any, ...] | None = None
    layers: list[dict[str, object]] = []
    problems: list[str] = []
    for owner, mark in _closest_first(item):
        where = f"{owner}: {MARKER}"
        if mark.args and cassettes is None:
            cassettes = tuple(name for name in mark.args if name is not None)
        problems += _wrong_cassettes(mark.args, where)
        layer: dict[str, object] = {}
        for name, value in mark.kwargs.items():
            try:
                layer[name] = parse_setting(name, value, f"{where}({name}={value!r})")
            except OptionError as error:
                problems.append(str(error))
        layers.insert(0, layer)
    return Wishes(cassettes, layered(*layers), problems)


def _closest_first(item: pytest.Item) -> list[tuple[str, pytest.Mark]]:
    """Return a test's marks, each with the name of what bears it.

    pytest puts those of a base class before those of the class itself, and those of
    a function before those of its parameter sets; both are the other way round here.
    """
    callspec = getattr(item, "callspec", None)
    of_parameters = {id(mark) for mark in getattr(callspec, "marks", ())}
    found = []
    for node, mark in item.iter_markers_with_node(MARKER):
        if node is not item:
            distance = item.listchain()[::-1].index(node)
            found.append((distance, _generations(node, mark), node.nodeid, mark))
        elif id(mark) in of_parameters:
            found.append((-1, 0, name_of_test(item), mark))
        else:
            found.append((0, 0, _name_of_function(item), mark))
    found.sort(key=itemgetter(0, 1))
    return [(owner, mark) for *_, owner, mark in found]


def _generations(node: Any, mark: pytest.Mark) -> int:
    """Return how many steps up the bases of a class a mark was put."""
    owners = getattr(getattr(node, "obj", None), "__mro__", ())
    for steps, owner in enumerate(owners):
        if any(mark is own for own in _own_marks(owner)):
            return steps
    return 0


def _own_marks(owner: type) -> Iterator[object]:
    marks = vars(owner).get("pytestmark", ())
    for mark in marks if isinstance(marks, list | tuple) else (marks,):
        yield getattr(mark, "mark", mark)


def _wrong_cassettes(names: tuple[Any, ...], where: str) -> Iterator[str]:
    for name in names:
        if not isinstance(name, str | os.PathLike) and names != (None,):
            yield (
                f"{where}({name!r}): expected names of cassettes, or None alone for an "
                "empty tape."
            )


# Names


def _path_to(item: pytest.Item) -> list[Any]:
    """Return the file a test is in, what lies between, and the test."""
    chain = item.listchain()
    files = [n for n, node in enumerate(chain) if isinstance(node, pytest.File)]
    return chain[max(files, default=-1) :]


def name_of_test(item: pytest.Item) -> str:
    """Return what pytest calls a test, without what a distributing plugin appends."""
    file, *inside = _path_to(item)
    return "::".join((file.nodeid, *(node.name for node in inside)))


def _name_of_function(item: pytest.Item) -> str:
    """Return what pytest calls a test without its parameters."""
    file, *inside = _path_to(item)
    names = [*(node.name for node in inside[:-1]), _function_of(item)]
    return "::".join((file.nodeid, *names))


def _function_of(item: pytest.Item) -> str:
    return getattr(item, "originalname", None) or item.name.partition("[")[0]


def default_cassette(item: pytest.Item) -> str:
    """Return the name of the cassette that belongs to a test by its own name."""
    file, *inside = _path_to(item)
    callspec = getattr(item, "callspec", None)
    *classes, function = [*(node.name for node in inside[:-1]), _function_of(item)]
    owners = [file, *inside[:-1]]
    twins = (
        differs_by_case(name, dir(getattr(owner, "obj", None)))
        for name, owner in zip([*classes, function], owners, strict=True)
    )
    return cassette_name(
        PurePosixPath(file.nodeid).with_suffix("").as_posix(),
        classes,
        function,
        None if callspec is None else callspec.id,
        test=name_of_test(item),
        has_twin=item.stash.get(_HAS_TWIN, False) or any(twins),
    )


def note_twins(items: Collection[pytest.Item]) -> None:
    """Remember which parameter sets of a test differ by upper and lower case only."""
    folded = Counter(item.name.casefold() for item in items)
    for item in items:
        if folded[item.name.casefold()] > 1:
            item.stash[_HAS_TWIN] = True


def is_property_test(item: pytest.Item) -> bool:
    """Tell whether a test is under Hypothesis's `@given`."""
    return getattr(hypothesis_handle(item), "inner_test", None) is not None


def hypothesis_handle(item: pytest.Item) -> Any:
    """Return what Hypothesis lets other plugins reach of a test; None for others."""
    return getattr(getattr(item, "obj", None), "hypothesis", None)
