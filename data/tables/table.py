"""Tables in CSV or Parquet files, and what is wrong with their cells."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firebox.data.declarations.data_error import DataError
from firebox.foundation.problems import counted, in_one_line, listed, printable, shown, similar

PARQUET = (".parquet", ".pq")
SHOWN = 20
"""Number of faulty cells that a message names."""


@dataclass(slots=True)
class Table:
    """Some columns of a table.

    Args:
        path: the file.
        columns: cells of each column, from the top to the bottom; None for a cell that is empty.
        lines: line of each row in the file, counted from 1 with the header; of a Parquet file the row, counted from 1.
        place: what a message calls a row: line or row.
    """

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    place: str
    _faults: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def fault(self, row: int, column: str | None, why: str) -> None:
        """Notes what is wrong with a cell; with the whole row if the column is None."""
        line = self.lines[row]
        self._faults.append((line, f"{self.place} {line}{'' if column is None else f', {column}'}: {why}"))

    def refuse(self) -> None:
        """Refuses the table if something is wrong with it.

        Raises:
            DataError: cells are faulty; it names all of them, or the first of many.
        """
        if self._faults:
            faults = [fault for _, fault in sorted(self._faults, key=lambda fault: fault[0])]
            more = f"; and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
            found = counted(len(faults), "fault")
            raise DataError(printable(f"{self.path} has {found}: {'; '.join(faults[:SHOWN])}{more}"))

    def texts(self, column: str) -> list[str]:
        """Returns the cells of a column as texts; an empty cell is a fault, and an empty text."""
        texts = []
        for row, cell in enumerate(self.columns[column]):
            text = "" if cell is None else str(cell).strip()
            if not text:
                self.fault(row, column, "empty")
            texts.append(text)
        return texts

    def numbers(self, column: str, allowed: Collection[float] = ()) -> list[float]:
        """Returns the cells of a column as numbers.

        Args:
            column: the column.
            allowed: the only numbers that are no faults; empty if all finite ones are none.
        """
        numbers = []
        for row, cell in enumerate(self.columns[column]):
            try:
                number = float(cell) if cell is not None and str(cell).strip() else None
            except (TypeError, ValueError):
                number = math.nan
            if number is None:
                self.fault(row, column, "empty")
            elif not math.isfinite(number) or (allowed and number not in allowed):
                expected = " or ".join(f"{value:g}" for value in allowed) or "a finite number"
                self.fault(row, column, f"got {shown(cell)}, expected {expected}")
            numbers.append(number or 0.0)
        return numbers


def read_table(path: Path, columns: Mapping[str, Sequence[str]], *, prefix: str = "datamodule.") -> Table:
    """Reads columns of a CSV file (in UTF-8, with a header) or of a Parquet file.

    Args:
        path: the file.
        columns: columns to read, by the setting that names them.
        prefix: what messages put before a setting.

    Raises:
        DataError: there is no such file or column, or it can't be read.
    """
    wanted = [name for names in columns.values() for name in names]
    if not path.is_file():
        raise DataError(f"there is no file {path.absolute()}; {prefix}table names a CSV or Parquet file")
    try:
        parquet = path.suffix.lower() in PARQUET
        table = _parquet(path, wanted) if parquet else _csv(path, wanted)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8: {error.reason} at byte {error.start}; save it in UTF-8") from None
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or in_one_line(error)}") from error
    except _NoColumn as error:
        key = next(setting for setting, names in columns.items() if error.name in names)
        if error.name in error.known:
            twice = f"datamodule.{key} is {error.name}, but {path} has several columns of that name; rename them"
            raise DataError(printable(twice)) from None
        there = f"expected one of its columns: {listed(error.known, 12)}{similar(error.name, error.known)}"
        if len(error.known) == 1 and (marks := [mark for mark in ";\t|" if mark in error.known[0]]):
            way_out = "name it .tsv" if marks[0] == "\t" else "save it with commas"
            there = f"its header is {shown(error.known[0])}, expected names separated by commas: {way_out}"
        raise DataError(printable(f"{prefix}{key} is {error.name}, but {path} has no such column; {there}")) from None
    if not len(table):
        raise DataError(f"{path} has no rows, expected one for each image")
    return table


class _NoColumn(Exception):
    """There is no such column, or more than one."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = list(known)


def _csv(path: Path, wanted: Sequence[str]) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise DataError(f"{path} is empty, expected a header and a row for each image")
            _require(wanted, header)
            rows: list[list[str]] = []
            lines: list[int] = []
            begin = reader.line_num
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(begin + 1)
                begin = reader.line_num
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num}: {error}, expected comma-separated values") from None
    places = {name: header.index(name) for name in wanted}
    table = Table(
        path, {name: [row[at] if at < len(row) else None for row in rows] for name, at in places.items()}, lines, "line"
    )
    for number, row in enumerate(rows):
        if len(row) != len(header):
            table.fault(number, None, f"{counted(len(row), 'value')}, expected {len(header)} as in the header")
    return table


def _parquet(path: Path, wanted: Sequence[str]) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet files needs pyarrow: pip install 'firebox[parquet]'; or save it as CSV"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            _require(wanted, file.schema_arrow.names)
            content = file.read(columns=list(wanted)).to_pydict()
    except ArrowException as error:
        raise DataError(f"{path} can't be read as Parquet: {in_one_line(error)}") from None
    count = len(next(iter(content.values()), []))
    return Table(path, content, range(1, count + 1), "row")


def _require(wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if known.count(name) != 1:
            raise _NoColumn(name, known)
