"""One rule for all paths in a configuration: where they are looked for, and how a run records them.

A relative path is looked for beside the file that wrote it, then in the working directory; one from the command line in
the working directory alone. A run's output goes below the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from firebox.foundation.paths import PathSetting, expanded, is_portable, shortest
from firebox.foundation.problems import Mark


def places(text: str, mark: Mark | None) -> list[Path]:
    """Returns where a path that is to be read may lie, in the order in which it is looked for.

    Args:
        text: the path as it was written.
        mark: where it was written.

    Raises:
        ValueError: it names a variable or a user that is not known.
    """
    beside = [Path(mark.source).parent] if mark is not None and mark.line is not None else []
    return list(dict.fromkeys(shortest(folder / expanded(text)) for folder in [*beside, Path()]))


def located(text: str, mark: Mark | None) -> Path:
    """Returns the absolute path of what is to be read; below the working directory where it is nowhere yet.

    Raises:
        ValueError: it names a variable or a user that is not known, or can't be a path.
    """
    found = places(text, mark)
    return next((place for place in found if os.path.lexists(place)), found[-1]).absolute()


def located_reference(name: str, mark: Mark | None) -> str:
    """Returns a component's name with the absolute path of its file; one that names no file as it is.

    Raises:
        ValueError: there is no such file, or its path can't be expanded.
    """
    if not names_file(name):
        return name
    module, _, attribute = name.rpartition(":")
    found = places(module, mark)
    file = next((place for place in found if place.is_file()), None)
    if file is None:
        raise ValueError(f"no such file: {' or '.join(map(str, found))}")
    return f"{file.resolve()}:{attribute}"


def names_file(name: str) -> bool:
    """Whether a component's name is ``path/to/file.py:Class``."""
    return name.rpartition(":")[0].endswith(".py")


def path_settings(model: type[BaseModel]) -> list[str]:
    """Returns the settings of a component that are paths: those annotated FilePath or pathlib's Path, or one of them or
    None."""
    return [name for name, field in model.model_fields.items() if _is_path(field.annotation, field.metadata)]


def _is_path(annotation: Any, metadata: Iterable[Any]) -> bool:
    if annotation is Path or any(isinstance(part, PathSetting) for part in metadata):
        return True
    if get_origin(annotation) not in (Union, UnionType):
        return False
    return any(_is_path(member, getattr(member, "__metadata__", ())) for member in get_args(annotation))


def recorded(text: str, path: str | Path, folder: Path) -> str:
    """Returns a path as a file in ``folder`` writes it, so that it is found again from every working directory.

    Args:
        text: the path as the configuration wrote it; an absolute one and one from ``~`` or ``$NAME`` stays so.
        path: what it stood for, absolute.
        folder: of the file that is written. A relative path is written as seen from there, so that a project that is
            moved with its runs finds its files again; an absolute one where the two share nothing but the root.
    """
    if is_portable(text):
        return text
    seen_from = folder.resolve()
    shared = os.path.commonpath([seen_from, path])
    return str(path) if shared == os.path.sep else os.path.relpath(path, seen_from)
