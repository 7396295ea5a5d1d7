"""Components by name: catalogues, import paths and files."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from firebox.engine.components.signatures import Signature, read_signature
from firebox.engine.components.targets import Target
from firebox.foundation.problems import in_one_line, shown, suggestion

Kind = Literal["datamodule", "datagenerator", "model", "module", "optimizer", "scheduler", "handler", "trainer"]

CATALOGUES: dict[Kind, tuple[str, str]] = {
    "datamodule": ("firebox.data", "DATAMODULES"),
    "datagenerator": ("firebox.data", "DATAGENERATORS"),
    "model": ("firebox.models", "CATALOGUE"),
    "module": ("firebox.modules", "CATALOGUE"),
    "optimizer": ("firebox.modules.optimizers", "CATALOGUE"),
    "scheduler": ("firebox.handlers", "SCHEDULERS"),
    "handler": ("firebox.handlers", "CATALOGUE"),
    "trainer": ("firebox.trainers", "CATALOGUE"),
}


class UnknownComponent(ValueError):
    """A name that no catalogue has, or a path that leads to no component."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part that a configuration names.

    Args:
        kind: the family it belongs to.
        name: as the configuration names it; a file's path is absolute.
        target: where it is defined.
        signature: what it takes.
    """

    kind: Kind
    name: str
    target: Target
    signature: Signature

    @property
    def short_name(self) -> str:
        """A name that can be a folder's: the catalogue's, or the class's."""
        return self.target.attribute if ":" in self.name else self.name


def catalogue(kind: Kind) -> dict[str, str]:
    """Returns the short names of a family and where each is defined."""
    module, attribute = CATALOGUES[kind]
    names: dict[str, str] = getattr(importlib.import_module(module), attribute)
    return names


def find(kind: Kind, name: str, folder: Path | None = None) -> Component:
    """Finds a component by its short name, ``package.module:Class`` or ``path/to/file.py:Class``.

    Args:
        kind: the family to look in.
        name: as a configuration names it.
        folder: where a relative file is looked for, before the working directory.

    Raises:
        UnknownComponent: with the closest name and the list of what exists, or what failed to be found.
    """
    known = catalogue(kind)
    if ":" not in name:
        if name not in known:
            hint = "or package.module:Class or path/to/file.py:Class"
            raise UnknownComponent(f"unknown {kind} {shown(name)}; {suggestion(name, known)}, {hint}")
        return Component(kind, name, Target.parse(known[name]), read_signature(Target.parse(known[name])))
    target = Target.parse(name)
    if not target.module or not target.attribute.isidentifier():
        raise UnknownComponent(f"{shown(name)}: expected package.module:Class or path/to/file.py:Class")
    try:
        if target.is_file:
            places = [place / target.module for place in (folder or Path(), Path())]
            file = next((place for place in places if place.is_file()), None)
            if file is None:
                raise UnknownComponent(f"no such file: {' or '.join(dict.fromkeys(str(p) for p in places))}")
            target = Target(str(file.resolve()), target.attribute)
        signature = read_signature(target)
    except UnknownComponent:
        raise
    except (LookupError, ImportError) as error:
        raise UnknownComponent(f"{shown(name)}: {error.args[0] if error.args else error}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UnknownComponent(f"{shown(name)}: not valid Python: {in_one_line(error)}") from None
    except Exception as error:  # a module that is imported for its signature raises what it likes
        raise UnknownComponent(f"{shown(name)}: can't read what it takes: {in_one_line(error)}") from error
    return Component(kind, f"{target.module}:{target.attribute}", target, signature)


def default_handlers() -> tuple[str, ...]:
    """Returns the short names of the handlers that are attached to every run."""
    names: tuple[str, ...] = importlib.import_module("firebox.handlers").DEFAULTS
    return names
