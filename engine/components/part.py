"""Settings that are components themselves, such as the loss of a module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from firebox.engine.components.catalogue import Kind, catalogue, find


@dataclass(frozen=True, slots=True, init=False)
class Part:
    """Marks a setting that names a component: ``loss: Annotated[Any, Part("loss", "mse", "l1")] = "mse"``.

    A configuration gives it a short name, an import path or a file, or a map of ``name`` and the component's own
    settings; the constructor is given the component. An import path or a file is always accepted.

    Args:
        kind: the family of the component.
        names: the short names that are accepted; all of the catalogue if none are given.
    """

    kind: Kind
    names: tuple[str, ...]

    def __init__(self, kind: Kind, *names: str) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "names", names)

    def accepted(self) -> tuple[str, ...]:
        """Returns the short names that are accepted."""
        return self.names or tuple(catalogue(self.kind))


def part_of(field: FieldInfo) -> Part | None:
    """Returns what a setting says of the component it names, None if it is an ordinary setting."""
    return next((mark for mark in field.metadata if isinstance(mark, Part)), None)


def built(kind: Kind, given: Any) -> Any:
    """Returns the component that a constructor was given, which may be its name where it is called in Python.

    Raises:
        ValueError: nothing has that name.
    """
    return find(kind, given).target.load()() if isinstance(given, str) else given


def name_of(kind: Kind, part: object) -> str:
    """Returns the short name of a component, or the name of its class if the catalogue does not list it."""
    place = f"{type(part).__module__}:{type(part).__name__}"
    return next((name for name, listed in catalogue(kind).items() if listed == place), type(part).__name__)
