"""One rule for all paths in a configuration: where they are looked for, and how a run records them.

A relative path is looked for beside the file in which it is written, then in the working directory; a path from the
command line, in the working directory alone. A run's output goes below the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from firebox.engine.components.targets import source_of
from firebox.foundation.paths import PathSetting, expanded, is_portable, shortest
from firebox.foundation.problems import Mark


def places(text: str, mark: Mark | None) -> list[Path]:
    """Returns the places where a path to be read may lie, in the order of the search.

    Args:
        text: path as written.
        mark: place where it was written.

    Raises:
        ValueError: the path names an unknown variable or user.
    """
    beside = [Path(mark.source).parent] if mark is not None and mark.line is not None else []
    return list(dict.fromkeys(shortest(folder / expanded(text)) for folder in [*beside, Path()]))


def located(text: str, mark: Mark | None) -> Path:
    """Returns the absolute form of a path to be read.

    If nothing exists there yet, it is below the working directory; where it leads out of that, as those that a run
    records do, it is the one beside the file in which it was written.

    Raises:
        ValueError: the path names an unknown variable or user, or can't be a path.
    """
    found = places(text, mark)
    expected = found[0 if ".." in found[-1].parts else -1]
    return next((place for place in found if os.path.lexists(place)), expected).absolute()


def located_reference(name: str, mark: Mark | None) -> str:
    """Returns a component's name with the absolute path of its file; a name without a file is returned unchanged.

    Raises:
        ValueError: the file does not exist, or its path can't be expanded.
    """
    if not names_file(name):
        return name
    module, _, attribute = name.rpartition(":")
    found = places(module, mark)
    file = next((place for place in found if place.is_file()), None)
    if file is None:
        raise ValueError(f"no such file: {' or '.join(map(str, found))}")
    return f"{file.resolve()}:{attribute}"


def file_instead(name: str, mark: Mark | None) -> str:
    """Returns the path to give for ``module:Class`` that is a file beside the configuration, as the end of a message.

    A module is looked for in the working directory and among what is installed, wherever the configuration lies.

    Returns:
        An empty text if no such file is there, or if it is where the module was found.
    """
    module, _, attribute = name.rpartition(":")
    if names_file(name) or not all(step.isidentifier() for step in module.split(".")):
        return ""
    path = f"{module.replace('.', '/')}.py"
    try:
        file = next((place for place in places(path, mark) if place.is_file()), None)
        found = source_of(module)
    except (OSError, ValueError):  # what is too long for a path, or a name that stands for no module
        return ""
    if file is None or (found is not None and found.resolve() == file.resolve()):
        return ""
    return f"; a file beside the configuration is named by its path: {path}:{attribute}"


def names_file(name: str) -> bool:
    """Whether a component's name is ``path/to/file.py:Class``."""
    return name.rpartition(":")[0].endswith(".py")


def path_settings(model: type[BaseModel]) -> list[str]:
    """Returns the settings of a component that are paths, annotated as FilePath or pathlib's Path, optionally with
    None."""
    return [name for name, field in model.model_fields.items() if _is_path(field.annotation, field.metadata)]


def _is_path(annotation: Any, metadata: Iterable[Any]) -> bool:
    if annotation is Path or any(isinstance(part, PathSetting) for part in metadata):
        return True
    if get_origin(annotation) not in (Union, UnionType):
        return False
    return any(_is_path(member, getattr(member, "__metadata__", ())) for member in get_args(annotation))


def recorded(text: str, path: str | Path, folder: Path) -> str:
    """Returns a path in the form to write into a file in ``folder``, which can be found from every working directory.

    Args:
        text: path as the configuration has it; it is kept if it is absolute or begins with ``~`` or ``$NAME``.
        path: absolute path that it stands for.
        folder: folder of the file to be written. A relative path is written relative to it, so that a project that is
            moved with its runs finds its files again, but absolute if the two share only the root.
    """
    if is_portable(text):
        return text
    seen_from = folder.resolve()
    shared = os.path.commonpath([seen_from, path])
    return str(path) if shared == os.path.sep else os.path.relpath(path, seen_from)
