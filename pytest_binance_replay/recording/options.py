"""Pytest's options for recording: which mode, from where, and whether under CI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

if TYPE_CHECKING:
    from pytest_binance_replay.hosts import Upstream

Mode = Literal["none", "once", "new", "rewrite", "all", "verify"]

MODES: tuple[Mode, ...] = ("none", "once", "new", "rewrite", "all", "verify")

_EXPECTED = "'none', 'once', 'new', 'rewrite', 'all' or 'verify'"


class RecordOptions(NamedTuple):
    """How a run records.

    Attributes:
        mode: What is recorded when; `none` replays only.
        upstream: Where from; None for the exchange itself.
    """

    mode: Mode = "none"
    upstream: Upstream | None = None


def add_options(parser: pytest.Parser, group: Any) -> None:
    """Register the options."""
    group.addoption(
        "--record-binance",
        dest="record_binance",
        action="store_true",
        help="record the cassettes of the selected tests anew from the live exchange, "
        "and keep those that their tests pass on; the same as "
        "--binance-record-mode=rewrite",
    )
    help_text = (
        f"{_EXPECTED}: replay only; record cassettes that are not there; also streams "
        "that one lacks; all of them anew; anew while the bot is played live; or none, "
        "and compare the exchange with them (default: none)"
    )
    group.addoption(
        "--binance-record-mode",
        dest="binance_record_mode",
        metavar="MODE",
        help=help_text,
    )
    parser.addini("binance_record_mode", help_text, type="string", default="")
    help_text = (
        "where to record from, such as wss://HOST[:PORT], and maybe "
        ",https://HOST[:PORT] behind it (default: the exchange's hosts for market data)"
    )
    group.addoption(
        "--binance-upstream",
        dest="binance_upstream",
        metavar="WS_URL[,REST_URL]",
        help=help_text,
    )
    parser.addini("binance_upstream", help_text, type="string", default="")
    group.addoption(
        "--binance-record-in-ci",
        dest="binance_record_in_ci",
        action="store_true",
        help="record even where the environment variable CI is set",
    )


def read_options(config: pytest.Config) -> RecordOptions:
    """Return how a run records.

    A mode in the configuration file is meant for the machines of developers: under CI
    it counts for nothing, where one on the command line is refused.

    Raises:
        pytest.UsageError: If an option is wrong, or two are at odds.
    """
    given, shown = _given_mode(config)
    upstream = _upstream(config)
    mode = given
    if mode is None:
        text: str = config.getini("binance_record_mode")
        where = f"binance_record_mode = {text}"
        mode = _checked(text, where) if text else "none"
    if mode == "none" or not _is_refused(config):
        return RecordOptions(mode, upstream)
    if given is None:
        return RecordOptions("none", upstream)
    msg = (
        f"{shown}: recording does not run under CI (the variable CI is set), where the "
        "exchange may be out of reach and files are lost. To record all the same, add "
        "--binance-record-in-ci."
    )
    raise pytest.UsageError(msg)


def _given_mode(config: pytest.Config) -> tuple[Mode | None, str]:
    """Return the mode of the command line, and how it was written."""
    text: str | None = config.getoption("binance_record_mode")
    mode = None if text is None else _checked(text, f"--binance-record-mode={text}")
    if not config.getoption("record_binance"):
        return mode, f"--binance-record-mode={mode}"
    if mode not in {None, "rewrite"}:
        msg = (
            f"--record-binance and --binance-record-mode={mode} are at odds: the first "
            "means --binance-record-mode=rewrite. Leave one of them out."
        )
        raise pytest.UsageError(msg)
    return "rewrite", "--record-binance"


def _checked(text: str, where: str) -> Mode:
    for mode in MODES:
        if mode == text:
            return mode
    msg = f"{where}: expected {_EXPECTED}."
    raise pytest.UsageError(msg)


def _upstream(config: pytest.Config) -> Upstream | None:
    option: str | None = config.getoption("binance_upstream")
    text = option or config.getini("binance_upstream")
    if not text:
        return None
    from pytest_binance_replay.hosts import parse_upstream  # noqa: PLC0415 - seldom

    try:
        return parse_upstream(text)
    except ValueError:
        where = "--binance-upstream=" if option else "binance_upstream = "
        msg = (
            f"{where}{text}: expected wss://HOST[:PORT], and maybe "
            ",https://HOST[:PORT] behind it."
        )
        raise pytest.UsageError(msg) from None


def _is_refused(config: pytest.Config) -> bool:
    return bool(os.environ.get("CI")) and not config.getoption("binance_record_in_ci")
