"""Settings that are components themselves, such as the loss of a module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from firebox.engine.components.catalogue import Kind, catalogue, find


@dataclass(frozen=True, slots=True, init=False)
class Part:
    """Marks a setting that names a component: ``loss: Annotated[Any, Part("loss", "mse", "l1")] = "mse"``.

    A configuration gives the setting a short name, an import path, a file, or a map of ``name`` and the component's own
    settings; the constructor receives the component. An import path or a file is always accepted.

    Args:
        kind: family of the component.
        names: accepted short names; if none are given, all of the catalogue.
    """

    kind: Kind
    names: tuple[str, ...]

    def __init__(self, kind: Kind, *names: str) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "names", names)

    def accepted(self) -> tuple[str, ...]:
        """Returns the accepted short names."""
        return self.names or tuple(catalogue(self.kind))


def part_of(field: FieldInfo) -> Part | None:
    """Returns the mark of a setting that is a component; None if it is an ordinary setting."""
    return next((mark for mark in field.metadata if isinstance(mark, Part)), None)


def built(kind: Kind, given: Any) -> Any:
    """Returns the component that a constructor received, which may be a name if it is called in Python.

    Raises:
        ValueError: there is no component of that name.
    """
    return find(kind, given).target.load()() if isinstance(given, str) else given


def name_of(kind: Kind, part: object) -> str:
    """Returns the short name of a component, or the name of its class if the catalogue does not list it."""
    place = f"{type(part).__module__}:{type(part).__name__}"
    return next((name for name, listed in catalogue(kind).items() if listed == place), type(part).__name__)
