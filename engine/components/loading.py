"""Imports the module of a component; for a user's file, the modules beside it can be imported, too."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from firebox.engine.components.siblings import RESERVED, folders_of, located, own_imports, reached
from firebox.foundation import own_modules
from firebox.foundation.package import ROOMS
from firebox.foundation.problems import in_one_line, similar

_NAMES: dict[Path, str] = {}
"""The loaded module of each file."""


_NOT_PUBLIC = re.compile(r"(?:cannot import name '|No firebox attribute )(\w+)(?:' from 'firebox' |$)")
"""What Python and lazy_loader say of a name that the public face lacks."""


class CannotLoad(ValueError):
    """A module failed while it was imported. The message has the file, the line and the exception."""


def load_file(path: Path) -> ModuleType:
    """Imports a user's file as a module of its name, and makes the modules beside it importable.

    A module beside it is imported under its plain name, so that it can be pickled and is the same for all files.

    Raises:
        CannotLoad: the file fails, or imports a module whose name already stands for another file.
    """
    file = path.resolve()
    if file in _NAMES and _NAMES[file] in sys.modules:
        return sys.modules[_NAMES[file]]
    importlib.invalidate_caches()
    before = set(sys.modules)
    served: dict[str, Path] = {}
    try:
        served = _modules_beside(file)
        name, served_as = _name(file, served)
        served |= served_as
        own_modules.serve(served)
        _keep_on_path(folders_of(file))
        module = importlib.import_module(name)
    except CannotLoad:
        raise
    except BaseException as error:
        # Nothing incomplete stays, so that the file can be corrected and loaded again.
        for made in set(sys.modules) - before:
            if made.partition(".")[0] in served:
                del sys.modules[made]
        for name in served:
            own_modules.withdraw(name)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CannotLoad(_told(error, file)) from error
    _NAMES[file] = name
    return module


def load_installed(name: str) -> ModuleType:
    """Imports a dotted module.

    Raises:
        CannotLoad: the module fails and is not Firebox's own.
    """
    if name.partition(".")[0] == "firebox":
        return importlib.import_module(name)
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise CannotLoad(_told(error, None)) from error


def _modules_beside(file: Path) -> dict[str, Path]:
    """Returns the modules beside a file that it imports, directly or indirectly, and that are not served yet.

    Raises:
        CannotLoad: a name already stands for another module.
    """
    folders = folders_of(file)
    reach: dict[str, list[Path]] = {}
    for first, place in reached(file):
        if first:
            reach.setdefault(first, []).append(place)
    found: dict[str, Path] = {}
    for name, files in reach.items():
        module = located(name, 0, file, folders)
        assert module is not None, "the first name of a module that is reached leads to a place"
        place = module.parent if module.name == "__init__.py" else module
        taken = own_modules.place_of(name)
        if taken is None:
            found[name] = place
        elif not _same(place, taken, files):
            raise CannotLoad(
                f"{file} imports {name}, which is {place} beside it, but {name} is in use for {taken}; "
                "expected different names in one process: rename one of the two"
            )
    return found


def _same(place: Path, taken: Path, files: Iterable[Path]) -> bool:
    """Whether two places hold the same module: they are one place, or one is a copy of all that the other imports."""
    if taken.resolve() == place:
        return True
    if place.suffix == ".py" or taken.suffix == ".py":
        pairs = [(place, taken)]
    else:
        pairs = [(file, taken / file.relative_to(place)) for file in files]
    return all(copy.is_file() and file.is_file() and file.read_bytes() == copy.read_bytes() for file, copy in pairs)


def _name(file: Path, beside: dict[str, Path]) -> tuple[str, dict[str, Path]]:
    """Returns the name of a file's module, its plain name if that is free, and the modules to serve for it."""
    top = folders_of(file)[-1]
    if top == file.parent and not any(not first for first, _ in own_imports(file, folders_of(file))):
        names, place = [file.stem], file
    else:
        # The file belongs to a package, or imports relatively, so that its folder acts as its package.
        top = top if top != file.parent else file.parent.parent
        names = list(file.relative_to(top).with_suffix("").parts)
        names = names[:-1] if names[-1] == "__init__" else names
        place = top / names[0]
    first, *rest = names
    taken = beside.get(first) or own_modules.place_of(first)
    if first in RESERVED or not first.isidentifier() or (taken is not None and taken != place):
        digest = hashlib.sha256(str(place).encode()).hexdigest()[:12]
        first = f"{re.sub(r'[^0-9A-Za-z_]', '_', first)}_{digest}"
    return ".".join([first, *rest]), {first: place}


def _keep_on_path(folders: Iterable[Path]) -> None:
    """Appends folders to the search path, so that modules are found whose names a user's file computes."""
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)


def _told(error: BaseException, file: Path | None) -> str:
    """Returns where a user's file failed, and the exception."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: not valid Python: {in_one_line(error)}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if file and Path(frame.filename).is_relative_to(folders_of(file)[-1])]
    at = [f"{frame.filename}:{frame.lineno}: " for frame in own or frames] or [f"{file}: " if file else ""]
    absent = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    renamed = absent.partition(".")[0] in ROOMS
    hint = "; everything of Firebox is imported from firebox, such as: from firebox import Handler" if renamed else ""
    asked = _NOT_PUBLIC.search(str(error)) if isinstance(error, ImportError | AttributeError) else None
    if asked:
        hint = similar(asked[1], getattr(sys.modules.get("firebox"), "__all__", ()))
        hint = hint or "; firebox/__init__.pyi lists what there is"
    return f"{at[-1]}{in_one_line(error)}{hint}"


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib") or "importlib/__init__" in filename
