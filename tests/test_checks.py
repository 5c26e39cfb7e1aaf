"""What a test is told at its end: each thing once, and only what is news."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from pytest_binance_replay.background import Handle
from pytest_binance_replay.checks import without_what_was_shown
from pytest_binance_replay.errors import ServerFailedError

ONE, TWO = ServerFailedError("one"), ServerFailedError("two")


def handle_of(error: BaseException, *, waited: bool) -> Handle[object]:
    future: Future[object] = Future()
    future.set_exception(error)
    handle = Handle(future, "it")
    if waited:
        with pytest.raises(type(error)):
            handle.wait()
    return handle


def test_what_nobody_was_shown_is_told_in_order() -> None:
    assert without_what_was_shown([ONE, TWO], []) == [ONE, TWO]


def test_what_a_handle_has_shown_is_not_told_again() -> None:
    assert without_what_was_shown([ONE, TWO], [handle_of(ONE, waited=True)]) == [TWO]


def test_what_a_handle_kept_to_itself_is_told_once() -> None:
    assert without_what_was_shown([ONE], [handle_of(ONE, waited=False)]) == [ONE]


def test_errors_that_say_the_same_are_told_once() -> None:
    again = ServerFailedError("one")
    assert without_what_was_shown([ONE, again], []) == [again]


def test_an_exit_is_no_problem_of_the_run() -> None:
    assert without_what_was_shown([], [handle_of(SystemExit(), waited=False)]) == []
