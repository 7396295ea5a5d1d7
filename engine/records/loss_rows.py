"""The rows of losses.jsonl: how many of them are whole, and what is cut when a run is resumed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROW = re.compile(rb'\{"iteration": *(\d+), *"epoch": *\d+, *"split": *"(\w+)".*\}\n')


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows at the beginning of a file that are whole and in order.

    Args:
        train: the last training iteration; every one from 1 to it has its row.
        evaluations: the number of rows of the validation split.
        bytes: the length of these rows.
        rest: the number of bytes that come after them.
    """

    train: int
    evaluations: int
    bytes: int
    rest: int


def whole_rows(path: Path, last: Mapping[str, int]) -> Rows:
    """Reads a file of rows up to the first one that is torn, doubled, out of order, or later than wanted.

    Args:
        path: the file; one that does not exist has no rows.
        last: the last iteration wanted of each split; rows of other splits are not wanted.
    """
    train, evaluations, evaluated, end = 0, 0, 0, 0
    if not path.is_file():
        return Rows(0, 0, 0, 0)
    with path.open("rb") as file:
        for line in file:
            row = _ROW.fullmatch(line)
            if row is None or int(row[1]) > last.get(row[2].decode(), -1):
                break
            iteration = int(row[1])
            if row[2] == b"train":
                if iteration != train + 1:
                    break
                train = iteration
            elif row[2] == b"validation":
                if iteration <= evaluated:
                    break
                evaluated, evaluations = iteration, evaluations + 1
            end += len(line)
    return Rows(train, evaluations, end, path.stat().st_size - end)


def truncate(path: Path, last: Mapping[str, int]) -> None:
    """Cuts a file of rows after the last one to keep, or before the first that is torn, doubled or out of order.

    Args:
        path: the file; nothing happens if it does not exist.
        last: the last iteration to keep of each split; rows of other splits are removed.
    """
    rows = whole_rows(path, last)
    if rows.rest:
        with path.open("r+b") as file:
            file.truncate(rows.bytes)
            os.fsync(file.fileno())
