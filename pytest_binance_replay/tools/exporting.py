"""Tables written for a notebook: CSV, or Parquet where pyarrow is installed.

Each table is a file of its own beside the others, put in place when all are whole.
"""

from __future__ import annotations

import csv
import os
import secrets
from contextlib import ExitStack
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from pytest_binance_replay.errors import MissingExtraError
from pytest_binance_replay.tools.tables import TABLES, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_binance_replay.tools.tables import Column, Line, Value

TableKind = Literal["csv", "parquet"]

_ROWS_AT_ONCE = 50_000
_DECIMAL_DIGITS, _DECIMAL_PLACES = 38, 18


class _Table(Protocol):
    def write(self, rows: Sequence[Sequence[Value]]) -> None: ...
    def close(self) -> None: ...


class _CsvTable:
    """Times in microseconds, and everything else as the exchange writes it."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._file: TextIO = path.open("x", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        names = (f"{c.name}_us" if c.type == "time" else c.name for c in columns)
        self._writer.writerow(names)
        self._bools = [n for n, c in enumerate(columns) if c.type == "bool"]

    def write(self, rows: Sequence[Sequence[Value]]) -> None:
        if self._bools:
            rows = [
                [
                    str(value).lower() if n in self._bools else value
                    for n, value in enumerate(row)
                ]
                for row in rows
            ]
        self._writer.writerows(rows)

    def close(self) -> None:
        self._file.close()


class _ParquetTable:
    """Times as timestamps in UTC, prices as decimals, exact."""

    def __init__(self, path: Path, columns: Sequence[Column], arrow: Any) -> None:
        types = {
            "time": arrow.timestamp("us", tz="UTC"),
            "whole": arrow.int64(),
            "decimal": arrow.decimal128(_DECIMAL_DIGITS, _DECIMAL_PLACES),
            "text": arrow.string(),
            "bool": arrow.bool_(),
        }
        self._arrow = arrow
        self._columns = columns
        self._schema = arrow.schema([(c.name, types[c.type]) for c in columns])
        parquet = import_module("pyarrow.parquet")
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Sequence[Value]]) -> None:
        arrays = [
            self._arrow.array(list(map(_to_decimal, values)), type=field.type)
            if column.type == "decimal"
            else self._arrow.array(values, type=field.type)
            for column, field, values in zip(
                self._columns, self._schema, zip(*rows, strict=True), strict=True
            )
        ]
        self._writer.write_table(self._arrow.table(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _to_decimal(text: Any) -> Decimal | None:
    return None if text is None else Decimal(text)


def _opener(kind: TableKind) -> Callable[[Path, Sequence[Column]], _Table]:
    if kind == "csv":
        return _CsvTable
    try:
        arrow = import_module("pyarrow")
    except ImportError:
        purpose = "Writing Parquet"
        raise MissingExtraError(purpose, "parquet") from None
    return lambda path, columns: _ParquetTable(path, columns, arrow)


def table_path(target: Path, table: str, kind: TableKind) -> Path:
    """Return the file of a table: ``dip.csv`` has its trades in ``dip.trades.csv``."""
    stem = target.name.removesuffix(f".{kind}")
    return target.with_name(f"{stem}.{table}.{kind}")


def write_tables(
    target: Path, kind: TableKind, lines: Iterable[Line]
) -> dict[Path, int]:
    """Write all tables that have a row.

    Args:
        target: The name that those of the tables are made from.
        kind: What to write.
        lines: Lines of a cassette.

    Returns:
        The number of rows of each file.

    Raises:
        MissingExtraError: If Parquet is asked for, and pyarrow is not installed.
        OSError: If a file cannot be written; then none is put in place.
    """
    open_table = _opener(kind)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    tables: dict[str, _Table] = {}
    parts: dict[str, Path] = {}
    held: dict[str, list[tuple[Value, ...]]] = {}
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        for line in lines:
            for table, values in rows_of(line):
                if table not in tables:
                    parts[table] = target.with_name(
                        f".binance-replay-{unique}-{table}.part"
                    )
                    stack.callback(parts[table].unlink, missing_ok=True)
                    tables[table] = open_table(parts[table], TABLES[table])
                    stack.callback(tables[table].close)
                    held[table], counts[table] = [], 0
                held[table].append(values)
                counts[table] += 1
                if len(held[table]) >= _ROWS_AT_ONCE:
                    tables[table].write(held[table])
                    held[table] = []
        for table, rows in held.items():
            if rows:
                tables[table].write(rows)
            tables[table].close()
        return {
            parts[table].replace(table_path(target, table, kind)): counts[table]
            for table in sorted(tables)
        }
