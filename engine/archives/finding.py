"""Finds archives by their names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from firebox.engine.archives.hub import SCHEME, downloaded
from firebox.engine.records.sealing import CARD
from firebox.foundation.problems import Problem, Refusal

NAME = re.compile(r"archived_v(\d+)_\d{4}-\d{2}-\d{2}")


def find_archive(path_or_name: str | Path, root: str | Path) -> Path:
    """Returns an archive's folder.

    Args:
        path_or_name: the folder itself; its name below ``root``; a folder that holds one archive, as ``firebox push``
            makes it; or the address of such a folder on a hub, ``hf://user/name``, which is downloaded.
        root: the folder that all runs are below.

    Raises:
        Refusal: there is no archive of that name.
    """
    if os.fspath(path_or_name).startswith(SCHEME):
        path_or_name = downloaded(os.fspath(path_or_name))
    places = (Path(path_or_name), Path(root) / path_or_name)
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        known = [f"{path.parent.name}/{path.name}" for path in archives_in(Path(root))]
        listed = f"expected one of: {', '.join(known)}" if known else f"{root} has none; firebox archive RUN makes one"
        raise Refusal([Problem("", f"no archive {path_or_name}: {listed}")])
    if not (found / CARD).is_file():
        held = held_by(found)
        if len(held) == 1:
            return held[0]
        if held:
            names = ", ".join(str(path) for path in held)
            raise Refusal([Problem("", f"{found}: holds {len(held)} archives; name one of: {names}")])
        raise Refusal([Problem("", f"{found}: not an archive: {CARD} is missing")])
    return found


def archives_in(root: Path) -> list[Path]:
    """Returns the archives of all data sets below ``root``, ordered by data set and number."""
    found = [path for path in root.glob("*/archived_v*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: (path.parent.name, number_of(path)))


def held_by(folder: Path) -> list[Path]:
    """Returns the archives that lie in a folder, ordered by number."""
    found = [path for path in folder.iterdir() if NAME.fullmatch(path.name) and (path / CARD).is_file()]
    return sorted(found, key=number_of)


def number_of(archive: Path) -> int:
    """Returns the number X of a folder ``archived_vX_yyyy-mm-dd``; 0 if the folder is not an archive."""
    match = NAME.fullmatch(archive.name)
    return int(match[1]) if match else 0
