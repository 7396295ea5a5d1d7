"""The base class that a run relies on in each family of components."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from firebox.data.bases.datamodule import DataModule
from firebox.engine.components.catalogue import Kind
from firebox.engine.configuration import Named
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.module import Module

BASES: Mapping[Kind, tuple[type, str]] = {
    "datamodule": (DataModule, "firebox.DataModule"),
    "datagenerator": (DataModule, "firebox.DataGenerator"),
    "model": (torch.nn.Module, "torch.nn.Module"),
    "module": (Module, "firebox.Module"),
    "optimizer": (torch.optim.Optimizer, "torch.optim.Optimizer"),
    "scheduler": (Handler, "firebox.Schedule"),
    "handler": (Handler, "firebox.Handler"),
}
"""By family: the class, and the one to derive from. A module checks its loss itself, since it decides what it takes."""


def require_family(kind: Kind, given: type) -> None:
    """Checks that a class can be used in a family.

    Args:
        kind: family that the configuration names the class for.
        given: the class, or the class of what a function has returned.

    Raises:
        ValueError: it isn't derived from the family's base class, or leaves a method of that class undefined.
    """
    if kind not in BASES:
        return
    base, to_derive_from = BASES[kind]
    if not issubclass(given, base):
        raise ValueError(f"got {given.__name__}, expected a class derived from {to_derive_from}")
    undefined = sorted(getattr(given, "__abstractmethods__", ()))
    if undefined:
        raise ValueError(
            f"{given.__name__} does not define {', '.join(undefined)}; "
            f"expected every method that {to_derive_from} leaves to it"
        )


def made(named: Named, *injected: object, **injected_by_name: object) -> Any:
    """Returns a component, imported and constructed, that can be used in its family.

    Args:
        named: the component and its settings.
        injected: what stands before the settings.
        injected_by_name: what stands before the settings, and the parts that are constructed already.

    Raises:
        ValueError: it can't be used in its family.
    """
    component, kind = named.component.target.load(), named.component.kind
    if inspect.isclass(component):
        require_family(kind, component)
    result = named.build(*injected, **injected_by_name)
    require_family(kind, type(result))
    return result
