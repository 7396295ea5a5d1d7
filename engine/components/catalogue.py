"""Finds components by name: in catalogues, by import path, or in files."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from firebox.engine.components.loading import CannotLoad
from firebox.engine.components.signatures import Signature, read_signature
from firebox.engine.components.source import Source
from firebox.engine.components.targets import Target, source_of
from firebox.foundation.package import ROOMS, ROOT
from firebox.foundation.problems import in_one_line, shown, suggestion

Kind = Literal["datamodule", "datagenerator", "model", "module", "loss", "optimizer", "scheduler", "handler", "trainer"]

CATALOGUES: dict[Kind, tuple[str, str]] = {
    "datamodule": ("firebox.data", "DATAMODULES"),
    "datagenerator": ("firebox.data", "DATAGENERATORS"),
    "model": ("firebox.models", "CATALOGUE"),
    "module": ("firebox.modules", "CATALOGUE"),
    "loss": ("firebox.modules", "LOSSES"),
    "optimizer": ("firebox.modules.optimizers", "CATALOGUE"),
    "scheduler": ("firebox.handlers.schedules", "CATALOGUE"),
    "handler": ("firebox.handlers", "CATALOGUE"),
    "trainer": ("firebox.trainers", "CATALOGUE"),
}


class UnknownComponent(ValueError):
    """The name is in no catalogue, or the path leads to no component."""


@dataclass(frozen=True, slots=True)
class Component:
    """A component that a configuration names.

    Args:
        kind: family to which it belongs.
        name: name in the configuration, with the path of a file made absolute.
        target: module and attribute that define it.
        signature: signature of its constructor.
    """

    kind: Kind
    name: str
    target: Target
    signature: Signature

    @property
    def short_name(self) -> str:
        """A name that can be that of a folder: the catalogue's name, or the name of the class."""
        return self.target.attribute if ":" in self.name else self.name


def catalogue(kind: Kind) -> dict[str, str]:
    """Returns the short names of a family, each with the reference to its definition."""
    module, attribute = CATALOGUES[kind]
    names: dict[str, str] = getattr(importlib.import_module(module), attribute)
    return names


def find(kind: Kind, name: str, folder: Path | None = None) -> Component:
    """Finds a component by its short name, ``package.module:Class`` or ``path/to/file.py:Class``.

    Args:
        kind: family to search.
        name: name as in a configuration.
        folder: folder in which a relative file is looked for first, before the working directory.

    Raises:
        UnknownComponent: there is no such component; the message has the closest name, or says what is missing.
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
    renamed = None if target.is_file else _renamed(target)
    if renamed is not None:
        raise UnknownComponent(f"unknown {kind} {shown(name)}; did you mean {renamed}?")
    try:
        if target.is_file:
            places = [place / target.module for place in (folder or Path(), Path())]
            file = next((place for place in places if place.is_file()), None)
            if file is None:
                raise UnknownComponent(f"no such file: {' or '.join(dict.fromkeys(str(p) for p in places))}")
            target = Target(str(file.resolve()), target.attribute)
        signature = read_signature(target)
    except (UnknownComponent, CannotLoad) as error:
        raise error if isinstance(error, UnknownComponent) else UnknownComponent(f"{shown(name)}: {error}") from None
    except (LookupError, ImportError) as error:
        raise UnknownComponent(f"{shown(name)}: {error.args[0] if error.args else error}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UnknownComponent(f"{shown(name)}: not valid Python: {in_one_line(error)}") from None
    except Exception as error:  # a module that is imported for its signature can raise anything
        raise UnknownComponent(f"{shown(name)}: can't read what it takes: {in_one_line(error)}") from error
    return Component(kind, f"{target.module}:{target.attribute}", target, signature)


def default_handlers() -> tuple[str, ...]:
    """Returns the short names of the handlers that are attached to every run."""
    names: tuple[str, ...] = importlib.import_module("firebox.handlers").DEFAULTS
    return names


def _renamed(target: Target) -> str | None:
    """Returns the present name of a part of Firebox that is given by its name from version 0.1; None for others."""
    room, *rest = target.module.split(".")
    if room not in ROOMS or not all(step.isidentifier() for step in rest):
        return None
    file = source_of(target.module)
    if file is not None and not file.resolve().is_relative_to(ROOT / room):
        return None  # a user's own package
    candidates = [f"firebox.{target.module}:{target.attribute}", f"firebox:{target.attribute}"]
    modules = sorted(file for place in ROOMS for file in (ROOT / place).rglob(f"{(rest or [room])[-1]}.py"))
    candidates += [f"firebox.{'.'.join(m.relative_to(ROOT).with_suffix('').parts)}:{target.attribute}" for m in modules]
    return next((reference for reference in candidates if _defined(Target.parse(reference))), None)


def _defined(target: Target) -> bool:
    source = Source.of(target)
    return source is not None and source.lookup(target.attribute) is not None
