"""A user's own files: what a component's code is, beyond what is installed."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from firebox.engine.components.siblings import reached
from firebox.engine.components.targets import Target


def own_files(target: Target) -> tuple[Path, ...]:
    """Returns the files of a user's that a component is made of, found by parsing, without importing any.

    Returns:
        The file that defines it, then those below its folder (or its package's) that it imports, directly or not. Empty
        for what is Firebox's own or installed.

    Raises:
        SyntaxError: one of them is not Python.
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
