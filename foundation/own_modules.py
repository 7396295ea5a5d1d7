"""Imports of the modules beside a user's file, in this process and its workers.

Such a module may have any name, including ``data.py`` and ``models.py``. It is served only if one of the user's files
imports it, and then takes precedence over the working directory and over an installed package of that name. A module
that none of the user's files imports shadows nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from firebox.foundation.copies import copied, copies

_PLACES: dict[str, Path] = {}
_SOURCES: dict[str, bytes] = {}
"""The content of each file that was imported from these places, as it was then."""
_HANDED_OVER: dict[str, bytes] = {}
"""The same of the process that this one is a worker of."""


class _OwnModules(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = _PLACES.get(name)
        if place is None:
            return _remembering(PathFinder.find_spec(name, path)) if name.partition(".")[0] in _PLACES else None
        if place.suffix == ".py":
            return _remembering(spec_from_file_location(name, place))
        if (place / "__init__.py").is_file():
            file = place / "__init__.py"
            return _remembering(spec_from_file_location(name, file, submodule_search_locations=[str(place)]))
        package = ModuleSpec(name, None, is_package=True)
        package.submodule_search_locations = [str(place)]
        return package


class _Remembering(SourceFileLoader):
    """Compiles a file as it was when it was first read, in the process that handed it over if there is one."""

    def get_code(self, fullname: str) -> CodeType:
        file = self.get_filename(fullname)
        source = _HANDED_OVER.get(file)
        _SOURCES[file] = source = self.get_data(file) if source is None else source
        return self.source_to_code(source, file)


def _remembering(spec: ModuleSpec | None) -> ModuleSpec | None:
    if spec is not None and type(spec.loader) is SourceFileLoader:
        spec.loader = _Remembering(spec.loader.name, spec.loader.path)
    return spec


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
    """The modules served at the moment, as they were read. Unpickling it in another process serves them there as well.

    So a worker that starts while a file is edited reads with the code that the run began with.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _take_over, (dict(_PLACES), dict(_SOURCES), copies())


def _take_over(places: Mapping[str, Path], sources: Mapping[str, bytes], copies: Mapping[Path, Path]) -> None:
    for copy, original in copies.items():
        copied(original, copy)
    _HANDED_OVER.update(sources)
    serve(places)
