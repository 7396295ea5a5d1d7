"""Folders that are worked with in a copy, and the names that the user knows them by."""

from __future__ import annotations

import os
from pathlib import Path

_ORIGINALS: dict[str, str] = {}


def copied(original: Path, copy: Path) -> None:
    """Records that messages are to name ``original`` where they would name its copy, a folder of this process's own."""
    _ORIGINALS[f"{copy}{os.sep}"] = f"{original}{os.sep}"


def copies() -> dict[Path, Path]:
    """Returns the original of each copy."""
    return {Path(copy): Path(original) for copy, original in _ORIGINALS.items()}


def known_as(path: str) -> str:
    """Returns a path as the user knows it: below the original, where it is below the copy."""
    for copy, original in _ORIGINALS.items():
        if path.startswith(copy):
            return original + path.removeprefix(copy)
    return path
