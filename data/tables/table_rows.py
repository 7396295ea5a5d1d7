"""The rows of a table as the samples of a data set."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firebox.data.declarations.data_error import DataError
from firebox.data.division.listing import Listing, Split, TargetFiles
from firebox.data.division.split_names import KNOWN
from firebox.data.tables.table import Table, read_table
from firebox.foundation.problems import counted, listed, printable, shown, similar


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are.

    Args:
        path: paths of the images.
        split: splits; None if all rows are for training.
        label: classes; None if there are none.
        numbers: numbers that are the target.
        target: paths of the targets; None if they are no files.
        binary: whether all numbers must be 0 or 1.
        group: groups of which none may be in two splits; None if there are none.
    """

    path: str
    split: str | None = None
    label: str | None = None
    numbers: tuple[str, ...] = ()
    target: str | None = None
    binary: bool = False
    group: str | None = None

    def by_setting(self) -> dict[str, list[str]]:
        """Returns the columns by the settings that name them."""
        named: dict[str, list[str | None]] = {
            "path_column": [self.path],
            "split_column": [self.split],
            "label_column": [self.label],
            "labels_columns" if self.binary else "value_columns": [*self.numbers],
            "mask_column or image_column": [self.target],
            "group_column": [self.group],
        }
        return {key: [name for name in names if name is not None] for key, names in named.items()}


def list_table(path: Path, root: Path, columns: Columns) -> Listing:
    """Lists the samples of a table.

    Args:
        path: the table.
        root: folder that its paths are below.
        columns: what its columns are.

    Raises:
        DataError: the table can't be read, or rows of it can't be used.
    """
    table = read_table(path, columns.by_setting())
    files = _Files(table, root)
    images = files.of(columns.path)
    targets = None if columns.target is None else files.of(columns.target)
    splits = _splits(table, columns.split)
    _require_apart(table, columns.path, images.names, splits)
    groups = [] if columns.group is None else table.texts(columns.group)
    if columns.group is not None:
        _require_apart(table, columns.group, groups, splits, "the group ")
    names = None if columns.label is None else table.texts(columns.label)
    allowed = (0.0, 1.0) if columns.binary else ()
    numbers = [table.numbers(column, allowed) for column in columns.numbers]
    classes = _classes(table, columns, names, splits)
    table.refuse()
    numbered = {name: number for number, name in enumerate(classes)}
    positions: dict[Split, Sequence[int]] = {
        split: [row for row, own in enumerate(splits) if own == split] for split in dict.fromkeys(splits) if split
    }
    if "train" not in positions:
        raise DataError(f"{path}: no row is for training; expected train in the column {columns.split}")
    twice = len(images.names) - len(set(images.names))
    warnings = [f"{counted(twice, 'row')} of {path.name} name an image that another row names, too"] if twice else []
    return Listing(
        root,
        images.names,
        images.sizes,
        images.changed,
        [] if names is None else [numbered[name] for name in names],
        tuple(printable(name) for name in classes),
        positions,
        warnings=warnings,
        values=list(zip(*numbers, strict=True)),
        targets=targets,
        groups=groups,
    )


class _Files:
    """The files that columns of a table name."""

    def __init__(self, table: Table, root: Path) -> None:
        self._table = table
        self._root = root

    def of(self, column: str) -> TargetFiles:
        names, sizes, changed = [], [], []
        for row, text in enumerate(self._table.texts(column)):
            path = Path(text)
            if path.is_absolute() and path.is_relative_to(self._root.absolute()):
                path = path.relative_to(self._root.absolute())
            state = self._state(row, column, self._root / path) if text else None
            names.append(path.as_posix())
            sizes.append(state.st_size if state else 0)
            changed.append(state.st_mtime_ns if state else 0)
        return TargetFiles(names, sizes, changed)

    def _state(self, row: int, column: str, path: Path) -> os.stat_result | None:
        try:
            state = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._table.fault(row, column, f"there is no file {path}")
        except (OSError, ValueError) as error:
            self._table.fault(row, column, f"{path} can't be read: {getattr(error, 'strerror', None) or error}")
        else:
            if stat.S_ISREG(state.st_mode):
                return state
            self._table.fault(row, column, f"{path} is no file")
        return None


def _splits(table: Table, column: str | None) -> list[Split | None]:
    """Returns the split of each row; None where it is a fault."""
    if column is None:
        return ["train"] * len(table)
    splits: list[Split | None] = []
    for row, text in enumerate(table.texts(column)):
        split = KNOWN.get(text.casefold())
        if text and split is None:
            expected = "expected train, validation (or val) or test"
            table.fault(row, column, f"got {shown(text)}, {expected}{similar(text.casefold(), KNOWN)}")
        splits.append(split)
    return splits


def _require_apart(
    table: Table, column: str, names: Sequence[str], splits: Sequence[Split | None], what: str = ""
) -> None:
    """Notes names in a column, such as images, that would be in two splits."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        other = first.setdefault(name, row)
        if name and splits[other] != splits[row] and None not in (splits[other], splits[row]):
            line = f"{table.place} {table.lines[other]}"
            table.fault(row, column, f"{what}{name} is for {splits[row]}, and in {line} for {splits[other]}")


def _classes(table: Table, columns: Columns, names: Sequence[str] | None, splits: Sequence[Split | None]) -> list[str]:
    """Returns the classes that the training rows have, in order; notes other rows of other classes."""
    if names is None or columns.label is None:
        return []
    known = {name for name, split in zip(names, splits, strict=True) if split == "train" and name}
    ordered = sorted(known, key=int) if all(_is_number(name) for name in known) else sorted(known)
    for row, (name, split) in enumerate(zip(names, splits, strict=True)):
        if name and split not in (None, "train") and name not in known:
            expected = f"expected one of those of the training rows: {listed(ordered)}{similar(name, known)}"
            table.fault(row, columns.label, f"got {shown(name)}, {expected}")
    return ordered


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
