"""The font of all text in pictures: the one that matplotlib brings along, found without importing matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def dejavu_sans() -> Path:
    """Returns the file of DejaVu Sans."""
    spec = find_spec("matplotlib")
    assert spec is not None and spec.origin is not None, "matplotlib is a dependency"
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
