"""Imports of the modules beside a user's file, in this process and its workers.

Such a module may have any name, including ``data.py`` and ``models.py``. It is served only if one of the user's files
imports it, and then takes precedence over the working directory and over an installed package of that name. A module
that none of the user's files imports shadows nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_PLACES: dict[str, Path] = {}


class _OwnModules(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = _PLACES.get(name)
        if place is None:
            return None
        if place.suffix == ".py":
            return spec_from_file_location(name, place)
        if (place / "__init__.py").is_file():
            return spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
        package = ModuleSpec(name, None, is_package=True)
        package.submodule_search_locations = [str(place)]
        return package


_FINDER = _OwnModules()


def serve(places: Mapping[str, Path]) -> None:
    """Makes top-level modules importable from given places.

    Args:
        places: file of each module, or folder of each package, by module name.
    """
    _PLACES.update(places)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def withdraw(name: str) -> None:
    """Stops serving a module."""
    _PLACES.pop(name, None)


def place_of(name: str) -> Path | None:
    """Returns where a top-level module is served from, or was imported from; None if it is neither."""
    if name in _PLACES:
        return _PLACES[name]
    module = sys.modules.get(name)
    if module is None:
        return None
    file = getattr(module, "__file__", None)
    folders = list(getattr(module, "__path__", []))
    return Path(folders[0]) if folders else Path(file) if file else Path(name)


class Served:
    """The modules served at the moment. Unpickling it in another process serves them there as well."""

    def __reduce__(self) -> tuple[object, ...]:
        return serve, (dict(_PLACES),)
