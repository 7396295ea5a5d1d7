"""A user's own files: the code of a component that is not installed."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from firebox.engine.components.siblings import reached
from firebox.engine.components.targets import Target


def own_files(target: Target) -> tuple[Path, ...]:
    """Returns the user's own files that define a component, found by parsing, without importing any.

    Returns:
        The file that defines the component, then the files below its folder, or below its package's folder, that it
        imports directly or indirectly. Empty for a component that is Firebox's or installed.

    Raises:
        SyntaxError: a file is not valid Python.
    """
    file = target.source()
    if file is None or not file.is_file():
        return ()
    file = file.resolve()
    installed = target.module.startswith("firebox.") or any(file.is_relative_to(place) for place in _installed())
    if installed and not target.is_file:
        return ()
    return tuple(dict.fromkeys(place for _, place in reached(file)))


def _installed() -> set[Path]:
    places = sysconfig.get_paths()
    return {Path(places[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
