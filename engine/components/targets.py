"""The place where a component is defined, and its import from there."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firebox.engine.components.loading import load_file, load_installed


@dataclass(frozen=True, slots=True)
class Target:
    """The place where a component is defined.

    Args:
        module: dotted module, or path of a Python file.
        attribute: class or function in it.
    """

    module: str
    attribute: str

    @classmethod
    def parse(cls, reference: str) -> Target:
        """Reads ``package.module:Class`` or ``path/to/file.py:Class``."""
        module, _, attribute = reference.rpartition(":")
        return cls(module, attribute)

    @property
    def is_file(self) -> bool:
        return self.module.endswith(".py")

    def source(self) -> Path | None:
        """Returns the file that defines the module, found without importing it; None if it has none."""
        return source_of(self.module)

    def load(self) -> Any:
        """Imports the module and returns the class or function.

        Raises:
            CannotLoad: the module fails while it is imported.
            AttributeError: it has no such class or function.
        """
        return getattr(self.load_module(), self.attribute)

    def load_module(self) -> Any:
        """Imports the module.

        Raises:
            CannotLoad: the module fails while it is imported.
        """
        return load_file(Path(self.module)) if self.is_file else load_installed(self.module)


def source_of(module: str) -> Path | None:
    """Returns the file of a module (dotted, or a path already), found without importing it; None if it has none."""
    if module.endswith(".py") or Path(module).is_absolute():
        return Path(module)
    root, *rest = module.split(".")
    found = importlib.util.find_spec(root)
    if found is None:
        return None
    if not found.submodule_search_locations:
        return Path(found.origin) if found.origin and not rest else None
    for location in found.submodule_search_locations:
        place = Path(location).joinpath(*rest)
        candidates = [place / "__init__.py"]
        if rest:
            candidates.append(place.with_suffix(".py"))
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        if file is not None:
            return file
    return None
