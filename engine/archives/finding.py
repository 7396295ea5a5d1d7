"""Finds archives by their names."""

from __future__ import annotations

import re
from pathlib import Path

from firebox.engine.records.sealing import CARD
from firebox.foundation.problems import Problem, Refusal

NAME = re.compile(r"archived_v(\d+)_\d{4}-\d{2}-\d{2}")


def find_archive(path_or_name: str | Path, root: str | Path) -> Path:
    """Returns an archive's folder.

    Raises:
        Refusal: there is no archive of that name.
    """
    places = (Path(path_or_name), Path(root) / path_or_name)
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        known = [f"{path.parent.name}/{path.name}" for path in archives_in(Path(root))]
        listed = f"expected one of: {', '.join(known)}" if known else f"{root} has none; firebox archive RUN makes one"
        raise Refusal([Problem("", f"no archive {path_or_name}: {listed}")])
    if not (found / CARD).is_file():
        raise Refusal([Problem("", f"{found}: not an archive: {CARD} is missing")])
    return found


def archives_in(root: Path) -> list[Path]:
    """Returns the archives of all data sets below ``root``, ordered by data set and number."""
    found = [path for path in root.glob("*/archived_v*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: (path.parent.name, number_of(path)))


def number_of(archive: Path) -> int:
    """Returns the number X of a folder ``archived_vX_yyyy-mm-dd``; 0 if the folder is not an archive."""
    match = NAME.fullmatch(archive.name)
    return int(match[1]) if match else 0
