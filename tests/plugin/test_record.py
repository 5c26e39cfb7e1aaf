"""Cassettes recorded anew by `pytest --record-binance`: what is kept, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_binance_replay.background import LoopThread
from pytest_binance_replay.cassette import Header
from pytest_binance_replay.factory import ReplayFactory
from pytest_binance_replay.files import CassetteReader, summarise
from pytest_binance_replay.replay import BinanceReplay
from tests.integration.hostile import Hostile, Seat
from tests.plugin.recording import BTC, ETH, asked_of, cassettes

Add = Callable[..., Path]
Record = Callable[..., pytest.RunResult]

THREE = """
import pytest
from bots import plain_bot

@pytest.mark.binance_replay("declared", streams=["ethusdt@trade"])
def test_declared(binance_replay):
    assert '"ETHUSDT"' in plain_bot(binance_replay, "ethusdt@trade")

@pytest.mark.binance_replay("dip")
def test_old(binance_replay):
    assert '"s":"{symbol}"' in plain_bot(binance_replay)

class TestIt:
    def test_learned(self, binance_replay):
        assert '"BTCUSDT"' in plain_bot(binance_replay)
"""
ONE = """
import pytest
from bots import plain_bot

@pytest.mark.binance_replay("dip")
def test_dip(binance_replay):
    {body}
"""
LEARNED = "test_x/TestIt.test_learned.jsonl"


def header(path: Path) -> Header:
    return CassetteReader(path).header


def test_three_tests_refresh_three_cassettes(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makepyfile(test_x=THREE.format(symbol="BTCUSDT"))
    result = record("--record-binance")
    result.assert_outcomes(passed=3)
    assert cassettes(project) == ["declared.jsonl", "dip.jsonl", LEARNED]
    folder = project / "recordings"
    assert set(summarise(folder / "declared.jsonl").streams) == {ETH}
    assert set(summarise(folder / "dip.jsonl").streams) == {BTC}
    assert header(folder / LEARNED).streams == (BTC,)
    assert header(folder / LEARNED).test == "test_x.py::TestIt::test_learned"
    result.stdout.fnmatch_lines(
        [
            "*binance replay: recordings*",
            "recordings/declared.jsonl: * frames of 1 stream in 0.? s, * kB",
            "  new",
            "recordings/dip.jsonl: * frames of 1 stream in 0.? s, * kB",
            "  trade: T: field is new, integer, in all * payloads",
            "  trade: m: field is new, boolean, in all * payloads",
            "  trade: t: field is new, integer, in all * payloads",
            f"recordings/{LEARNED}: * frames of 1 stream in 0.? s, * kB",
            "  new",
        ]
    )
    again = pytester.runpytest_inprocess()
    again.assert_outcomes(passed=3)
    again.stdout.no_fnmatch_line("*recordings*s, *kB")


def test_a_test_that_fails_keeps_its_old_cassette(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    old = (project / "recordings/dip.jsonl").read_bytes()
    pytester.makepyfile(test_x=THREE.format(symbol="XRPUSDT"))
    result = record("--record-binance")
    result.assert_outcomes(passed=2, failed=1)
    assert (project / "recordings/dip.jsonl").read_bytes() == old
    assert cassettes(project) == [
        "declared.jsonl",
        "dip.jsonl",
        "dip.rejected.jsonl",
        LEARNED,
    ]
    assert set(summarise(project / "recordings/dip.rejected.jsonl").streams) == {BTC}
    result.stdout.fnmatch_lines(
        "recordings/dip.jsonl is as it was, for test_x.py::test_old failed on it. The "
        "new recording is dip.rejected.jsonl, beside it. To use it all the same: mv "
        "recordings/dip.rejected.jsonl recordings/dip.jsonl"
    )


def test_what_a_test_lacked_a_cassette_of_is_rejected_and_not_found_again(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makepyfile(
        test_x="""
        from bots import plain_bot

        def test_it(binance_replay):
            assert "XRPUSDT" in plain_bot(binance_replay)
        """
    )
    record("--record-binance").assert_outcomes(failed=1)
    assert cassettes(project) == ["dip.jsonl", "test_x/test_it.rejected.jsonl"]
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("No cassette 'test_x/test_it' in recordings*")


def test_a_problem_at_the_end_of_the_test_counts(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    body = "plain_bot(binance_replay); binance_replay.until(lambda: False)"
    pytester.makepyfile(test_x=ONE.format(body=body))
    record("--record-binance").assert_outcomes(passed=1, errors=1)
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]


@pytest.mark.parametrize(
    "body",
    ["pytest.skip('today')", "pytest.xfail('as ever')"],
    ids=["skipped", "expected to fail"],
)
def test_a_test_that_does_not_pass_accepts_nothing(
    pytester: pytest.Pytester, project: Path, record: Record, body: str
) -> None:
    pytester.makepyfile(test_x=ONE.format(body=body))
    result = record("--record-binance")
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]
    result.stdout.fnmatch_lines("*is as it was, for no test passed on it. *")


def test_a_test_that_is_skipped_before_it_runs_records_nothing(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(
        test_x=ONE.format(body="pass").replace("@", "@pytest.mark.skip\n@")
    )
    record("--record-binance").assert_outcomes(skipped=1)
    assert cassettes(project) == ["dip.jsonl"]
    assert upstream.clients == ()


SHARED = """
import pytest
from bots import plain_bot

pytestmark = pytest.mark.binance_replay("shared")

@pytest.mark.binance_replay(streams="btcusdt@trade")
@pytest.mark.parametrize("n", range({times}))
def test_btc(binance_replay, n):
    assert '"{symbol}"' in plain_bot(binance_replay)

@pytest.mark.binance_replay(streams="ethusdt@trade")
def test_eth(binance_replay):
    assert '"ETHUSDT"' in plain_bot(binance_replay, "ethusdt@trade")
"""


def test_a_shared_cassette_is_captured_once_with_what_all_declare(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(test_x=SHARED.format(times=2, symbol="BTCUSDT"))
    record("--record-binance").assert_outcomes(passed=3)
    assert cassettes(project) == ["dip.jsonl", "shared.jsonl"]
    found = header(project / "recordings/shared.jsonl")
    assert found.streams == (BTC, ETH)
    assert found.test is None
    assert len(upstream.clients) == 1


def test_a_shared_cassette_is_kept_only_if_all_have_passed(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makepyfile(test_x=SHARED.format(times=2, symbol="XRPUSDT"))
    result = record("--record-binance")
    result.assert_outcomes(passed=1, failed=2)
    assert cassettes(project) == ["dip.jsonl", "shared.rejected.jsonl"]
    result.stdout.fnmatch_lines(
        "recordings/shared.jsonl is not written, for test_x.py::test_btc[[]0[]] and 1 "
        "more test failed on it. *"
    )


def test_a_shared_cassette_waits_for_tests_that_never_ran(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    stop = "\n\ndef test_stop():\n    pytest.exit('enough')\n"
    text = SHARED.format(times=1, symbol="BTCUSDT")
    first, mark, last = text.rpartition("@pytest.mark.binance_replay(streams=")
    pytester.makepyfile(test_x=f"{first}{stop}\n{mark}{last}")
    result = record("--record-binance")
    assert cassettes(project) == ["dip.jsonl", "shared.rejected.jsonl"]
    result.stdout.fnmatch_lines("*, for test_x.py::test_eth did not end. *")


@pytest.mark.slow
def test_workers_share_what_one_of_them_captured(
    pytester: pytest.Pytester, project: Path, upstream: BinanceReplay
) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(test_x=SHARED.format(times=3, symbol="BTCUSDT"))
    result = pytester.runpytest_subprocess(
        "-n2",
        "--record-binance",
        f"--binance-upstream={upstream.ws_url}",
        "--binance-record-for=0.2",
        timeout=120,
    )
    result.assert_outcomes(passed=4)
    assert cassettes(project) == ["dip.jsonl", "shared.jsonl"]
    assert len(upstream.clients) == 1
    result.stdout.fnmatch_lines("recordings/shared.jsonl: * frames of 2 streams in *")


def test_an_interrupt_in_a_test_keeps_the_old_cassette(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makepyfile(test_x=ONE.format(body="raise KeyboardInterrupt"))
    result = record("--record-binance", no_reraise_ctrlc=True)
    assert result.ret is pytest.ExitCode.INTERRUPTED
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]
    result.stdout.fnmatch_lines("*, for test_x.py::test_dip did not end. *")


INTERRUPTING = """
import os, signal, threading
import pytest

@pytest.fixture(autouse=True)
def interrupt():
    timer = threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    yield
    timer.cancel()
"""


def test_an_interrupt_while_recording_keeps_what_came(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makeconftest(INTERRUPTING)
    pytester.makepyfile(test_x=ONE.format(body="pass"))
    result = record("--record-binance", seconds=60, no_reraise_ctrlc=True)
    assert result.ret is pytest.ExitCode.INTERRUPTED
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]
    assert summarise(project / "recordings/dip.rejected.jsonl").frames > 0


def test_an_upstream_that_refuses_fails_the_test_and_says_why(
    pytester: pytest.Pytester, project: Path, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(test_x=ONE.format(body="pass"))
    old = (project / "recordings/dip.jsonl").read_bytes()
    url = f"{upstream.ws_url}/nowhere"
    result = pytester.runpytest_inprocess(
        "--record-binance", f"--binance-upstream={url}"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        f"{upstream.ws_url} answers HTTP 404. Check the upstream's address, * "
        "recordings/dip.jsonl is as it was."
    )
    assert (project / "recordings/dip.jsonl").read_bytes() == old
    assert cassettes(project) == ["dip.jsonl"]


async def garble(seat: Seat) -> None:
    await seat.acknowledge()
    await seat.send(BTC, '{"e":"trade"}')
    for _ in range(100):
        await seat.say("garbage")
    await seat.hold()


def test_a_capture_that_fails_half_way_keeps_what_came_for_all_its_tests(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile(
        test_x=ONE.format(body="pass")
        .replace("def", "@pytest.mark.parametrize('n', [1, 2])\ndef")
        .replace("binance_replay):", "binance_replay, n):")
    )
    thread, hostile = LoopThread(), Hostile(garble)
    thread.call(hostile.__aenter__())
    try:
        result = pytester.runpytest_inprocess(
            "--record-binance", f"--binance-upstream={hostile.upstream.ws_url}"
        )
    finally:
        thread.call(hostile.__aexit__(None, None, None))
        thread.stop()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        2
        * [
            f"{hostile.upstream.ws_url} sends what are no combined streams: * "
            "recordings/dip.jsonl is as it was. What was captured is in "
            "dip.rejected.jsonl, beside it. To use it all the same: mv "
            "recordings/dip.rejected.jsonl recordings/dip.jsonl"
        ]
    )
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]
    assert len(hostile.seats) == 1


def test_a_predicate_that_fails_fails_the_test(
    pytester: pytest.Pytester, project: Path, upstream: BinanceReplay
) -> None:
    text = ONE.format(body="pass").replace('"dip"', '"dip", record_for=lambda _: 1 / 0')
    pytester.makepyfile(test_x=text)
    result = pytester.runpytest_inprocess(
        "--record-binance", f"--binance-upstream={upstream.ws_url}"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("E*ZeroDivisionError: division by zero")
    assert "dip.jsonl" in cassettes(project)


@pytest.mark.parametrize(
    ("mark", "outcome"), [("", "errors"), (f", streams='{BTC}'", "passed")]
)
def test_a_damaged_cassette_is_replaced_if_a_mark_says_what_by(
    pytester: pytest.Pytester, project: Path, record: Record, mark: str, outcome: str
) -> None:
    path = project / "recordings/dip.jsonl"
    head, frame, last = path.read_text("utf-8").splitlines()
    path.write_text(f"{head}\nbroken\n{frame}\n{last}\n", "utf-8")
    text = ONE.format(body="plain_bot(binance_replay)")
    pytester.makepyfile(test_x=text.replace('"dip"', f'"dip"{mark}'))
    result = record("--record-binance")
    result.assert_outcomes(**{outcome: 1})
    said = {
        "errors": "recordings/dip.jsonl:2: not a cassette line: *",
        "passed": "  the old one could not be read: not a cassette line: *",
    }
    result.stdout.fnmatch_lines([said[outcome]])


def test_several_cassettes_of_one_test_are_recorded_and_none_learned(
    pytester: pytest.Pytester, project: Path, record: Record, add_cassette: Add
) -> None:
    eth = '{"cassette":1,"market":"spot","streams":["ethusdt@trade"]}\n'
    add_cassette("eth.jsonl", eth)
    body = "plain_bot(binance_replay, 'btcusdt@trade/ethusdt@trade')"
    text = ONE.format(body=body)
    pytester.makepyfile(test_x=text.replace('"dip"', '"dip", "eth"'))
    record("--record-binance").assert_outcomes(passed=1)
    assert summarise(project / "recordings/eth.jsonl").frames > 0
    pytester.makepyfile(test_x=text.replace('"dip"', '"dip", "other"'))
    result = record("--record-binance")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "test_x.py::test_dip plays 2 cassettes at once, so what its bot asks for does "
        "not tell what recordings/other.jsonl is to hold. Record that one by itself: "
        "binance-replay record."
    )


# What is captured


def test_what_the_bot_asks_for_beyond_the_old_cassette_is_captured_too(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    body = "plain_bot(binance_replay, 'btcusdt@trade/ethusdt@trade')"
    pytester.makepyfile(test_x=ONE.format(body=body))
    record("--record-binance").assert_outcomes(passed=1)
    assert header(project / "recordings/dip.jsonl").streams == (BTC, ETH)
    assert cassettes(project) == ["dip.jsonl"]


def test_a_stream_that_does_not_exist_is_not_captured(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    body = "plain_bot(binance_replay, 'btcusdt@trades/btcusdt@trade')"
    pytester.makepyfile(test_x=ONE.format(body=body))
    result = record("--record-binance")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("No cassette has stream 'btcusdt@trades' *")
    assert cassettes(project) == ["dip.jsonl", "dip.rejected.jsonl"]


def test_a_bot_that_asks_for_nothing_cannot_be_learned_from(
    pytester: pytest.Pytester, project: Path, record: Record
) -> None:
    pytester.makepyfile(test_x="def test_it(binance_replay): assert 1 == 2")
    result = record("--record-binance")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "test_x.py::test_it asked for no stream while it ran on the exchange (it "
        "failed: assert 1 == 2), so there is nothing to record. Name what it needs: "
        "binance_replay(streams=['btcusdt@trade'])."
    )
    assert cassettes(project) == ["dip.jsonl"]


def test_a_predicate_and_a_number_of_messages_end_a_recording(
    pytester: pytest.Pytester, project: Path, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(
        test_x="""
        import pytest
        from bots import plain_bot
        seen = []

        def is_tenth(frame):
            seen.append(frame)
            return len(seen) == 10

        @pytest.mark.binance_replay("one", streams="btcusdt@trade", record_for=is_tenth)
        def test_one(binance_replay):
            plain_bot(binance_replay)

        @pytest.mark.binance_replay("two", streams="btcusdt@trade", record_for=0.01)
        @pytest.mark.binance_replay(min_messages=20)
        def test_two(binance_replay):
            plain_bot(binance_replay)
        """
    )
    result = pytester.runpytest_inprocess(
        "--record-binance", f"--binance-upstream={upstream.ws_url}"
    )
    result.assert_outcomes(passed=2)
    assert summarise(project / "recordings/one.jsonl").frames >= 10
    assert summarise(project / "recordings/two.jsonl").frames >= 20


def test_generated_and_bundled_cassettes_stay_as_they_are(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    made = project / "recordings/made.jsonl"
    text = (project / "recordings/dip.jsonl").read_text("utf-8")
    made.write_text(text.replace('"spot"', '"spot","source":"synthetic:x seed=1"'))
    before = made.read_bytes()
    pytester.makepyfile(
        test_x="""
        import pytest
        from bots import plain_bot

        @pytest.mark.parametrize("name", [])
        def test_none(binance_replay, name): pass

        @pytest.mark.binance_replay("made")
        def test_made(binance_replay): plain_bot(binance_replay)

        @pytest.mark.binance_replay("demo:spot")
        def test_demo(binance_replay): pass

        @pytest.mark.binance_replay(None)
        def test_empty(binance_replay): pass
        """
    )
    record("--record-binance").assert_outcomes(passed=3, skipped=1)
    assert made.read_bytes() == before
    assert upstream.clients == ()


def test_a_compressed_cassette_stays_compressed_and_a_link_a_link(
    pytester: pytest.Pytester, project: Path, record: Record, add_cassette: Add
) -> None:
    folder = project / "recordings"
    (folder / "dip.jsonl").rename(project / "kept.jsonl")
    (folder / "dip.jsonl").symlink_to(project / "kept.jsonl")
    (project / "kept.jsonl").chmod(0o640)
    pytester.makepyfile(
        test_x=ONE.format(body="plain_bot(binance_replay)")
        + """
@pytest.mark.binance_replay("small.jsonl.gz", streams="btcusdt@trade")
def test_small(binance_replay):
    plain_bot(binance_replay)
"""
    )
    record("--record-binance").assert_outcomes(passed=2)
    assert (folder / "dip.jsonl").is_symlink()
    assert header(project / "kept.jsonl").streams == (BTC,)
    assert (project / "kept.jsonl").stat().st_mode & 0o777 == 0o640
    assert (folder / "small.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_a_property_test_without_a_cassette_records_none(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytest.importorskip("hypothesis")
    pytester.makepyfile(
        test_x="""
        from hypothesis import given, settings, strategies

        @settings(max_examples=2)
        @given(strategies.integers())
        def test_it(binance_replay, number):
            binance_replay.load([("btcusdt@trade", "{}")])
        """
    )
    record("--record-binance").assert_outcomes(passed=1)
    assert upstream.clients == ()


def test_a_recorded_book_joins_when_it_is_played_again(
    pytester: pytest.Pytester, project: Path
) -> None:
    pytester.makepyfile(
        test_x="""
        import pytest

        @pytest.mark.binance_replay("book", streams="btcusdt@depth@100ms")
        def test_it(binance_replay):
            binance_replay.seek("1h").wait(5)
            assert binance_replay.book("BTCUSDT").best_bid is not None
        """
    )
    factory = ReplayFactory(Path(), guarded=False)
    try:
        market = factory("demo:spot", speed=20)
        options = f"--binance-upstream={market.ws_url}", "--binance-min-messages=20"
        result = pytester.runpytest_inprocess(
            "--record-binance", *options, "--binance-record-for=0.1"
        )
    finally:
        factory.close()
    result.assert_outcomes(passed=1)
    rest = summarise(project / "recordings/book.jsonl").rest
    assert "/api/v3/depth?symbol=BTCUSDT&limit=1000" in {a.request for a in rest}


def test_no_key_or_hidden_file_is_left(
    pytester: pytest.Pytester, project: Path, record: Record, upstream: BinanceReplay
) -> None:
    pytester.makepyfile(test_x=THREE.format(symbol="BTCUSDT"))
    record("--record-binance")
    assert not [name for name in cassettes(project) if ".binance-replay" in name]
    assert "/api/v3/exchangeInfo" in asked_of(upstream)
