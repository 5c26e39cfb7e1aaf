"""Tables written as CSV and Parquet."""

from __future__ import annotations

import csv
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pytest_binance_replay.cassette import Frame, Mark
from pytest_binance_replay.errors import MissingExtraError
from pytest_binance_replay.files import read_frames
from pytest_binance_replay.tools import exporting
from pytest_binance_replay.tools.exporting import table_path, write_tables
from pytest_binance_replay.tools.tables import Line
from tests.test_recordings import RECORDINGS
from tests.tools.test_tables import TRADE

DEMO = RECORDINGS / "spot.jsonl"


def trades(count: int) -> list[Frame]:
    return [Frame(n, "bnbbtc@trade", TRADE) for n in range(count)]


def test_tables_are_files_beside_each_other(tmp_path: Path) -> None:
    lines: list[Line] = [*trades(2), Mark(3, "reconnected", {"reason": 'a "b", c'})]
    written = write_tables(tmp_path / "dip.csv", "csv", lines)
    assert written == {
        tmp_path / "dip.others.csv": 1,
        tmp_path / "dip.trades.csv": 2,
    }
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert (tmp_path / "dip.trades.csv").read_text("utf-8") == (
        "receive_time_us,event_time_us,stream,symbol,trade_time_us,id,price,quantity,"
        "buyer_is_maker\n"
        "0,1672515782136000,bnbbtc@trade,BNBBTC,1672515782137000,12345,0.00100000,"
        "100.00000000,true\n"
        "1,1672515782136000,bnbbtc@trade,BNBBTC,1672515782137000,12345,0.00100000,"
        "100.00000000,true\n"
    )
    with (tmp_path / "dip.others.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1][3] == '{"reason":"a \\"b\\", c"}'


def test_many_rows_are_written_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_ROWS_AT_ONCE", 3)
    written = write_tables(tmp_path / "dip.csv", "csv", trades(10))
    assert written == {tmp_path / "dip.trades.csv": 10}
    assert len((tmp_path / "dip.trades.csv").read_text("utf-8").splitlines()) == 11


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> object:
        yield from trades(2)
        raise OSError(28, "No space left on device")

    (tmp_path / "dip.trades.csv").write_text("old")
    with pytest.raises(OSError, match="No space"):
        write_tables(tmp_path / "dip.csv", "csv", failing())  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["dip.trades.csv"]
    assert (tmp_path / "dip.trades.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("a/dip.csv", "dip.trades.csv"),
        ("dip", "dip.trades.csv"),
        ("d.x", "d.x.trades.csv"),
    ],
)
def test_a_table_is_named_after_target_and_kind(target: str, name: str) -> None:
    assert table_path(Path(target), "trades", "csv") == Path(target).with_name(name)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        write_tables(tmp_path / "dip.parquet", "parquet", trades(1))
    assert str(caught.value) == (
        "Writing Parquet needs a package that is not installed: "
        'pip install "pytest-binance-replay[parquet]"'
    )


@pytest.mark.slow
def test_parquet_keeps_prices_exact_and_times_in_utc(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = list(read_frames(DEMO))
    written = write_tables(tmp_path / "demo.parquet", "parquet", lines)
    assert tmp_path / "demo.trades.parquet" in written
    for path, rows in written.items():
        assert parquet.read_table(path).num_rows == rows
    table = parquet.read_table(tmp_path / "demo.trades.parquet")
    assert str(table.schema.field("receive_time").type) == "timestamp[us, tz=UTC]"
    assert isinstance(table.column("price")[0].as_py(), Decimal)
