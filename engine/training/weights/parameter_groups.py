"""The parameters of each optimizer in groups, by their names and kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch

from firebox.engine.configuration import Configuration
from firebox.engine.configuration.configuration import Group
from firebox.engine.training.bases.module import Module
from firebox.engine.training.bases.ownership import own_networks
from firebox.foundation.problems import Problem, refuse, shown, similar, suggestion

Groups = list[torch.nn.Parameter] | list[dict[str, Any]]
"""What an optimizer's constructor takes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a parameter is.

    Args:
        name: dotted name, as in the model's state dict; a network of the module's own begins with its attribute.
        kinds: ``norm`` if a normalisation layer has it, ``bias`` if it is named so.
    """

    name: str
    kinds: frozenset[str]


_NOWHERE = Place("", frozenset())
_NORM = re.compile(r"Norm(ali[sz]ation)?(?![a-z])")
"""In the name of a class: LayerNorm, BatchNorm2d and RMSNorm, but not Enormous or Normed."""


def parameter_groups(
    configuration: Configuration, module: Module, parameters: Mapping[str, Sequence[torch.nn.Parameter]]
) -> dict[str, Groups]:
    """Returns what each optimizer is constructed with: its parameters, divided where the configuration has groups.

    Args:
        configuration: the run's configuration.
        module: the module that has the parameters.
        parameters: those of each optimizer, by its name.

    Raises:
        Refusal: a group has no parameters, in none of the optimizers that it is for.
    """
    parts = {name: configuration.optimizer_of(name) for name in parameters}
    if not any(part.groups for part in parts.values()):
        return {name: list(own) for name, own in parameters.items()}
    places = _places(module)
    idle: dict[tuple[object, ...], Group] = {}
    trained: dict[tuple[object, ...], list[str]] = {}
    for name, own in parameters.items():
        for group in parts[name].groups:
            idle[_entry(group)] = group
            trained.setdefault(_entry(group), []).extend(places.get(id(p), _NOWHERE).name for p in own)
    found: dict[str, Groups] = {}
    for name, own in parameters.items():
        groups = parts[name].groups
        divided: list[list[torch.nn.Parameter]] = [[] for _ in (None, *groups)]
        for parameter in own:
            fitting = [n for n, group in enumerate(groups) if _fits(group, places.get(id(parameter), _NOWHERE))]
            divided[fitting[0] + 1 if fitting else 0].append(parameter)
            for n in fitting:
                idle.pop(_entry(groups[n]), None)
        settings: list[Mapping[str, Any]] = [{}, *(group.settings for group in groups)]
        found[name] = [{"params": ps, **own} for ps, own in zip(divided, settings, strict=True) if ps]
    refuse([_of_none(group, trained[entry]) for entry, group in idle.items()])
    return found


def _entry(group: Group) -> tuple[object, ...]:
    """Returns what tells a configuration's entry from others; several optimizers may have their groups from one."""
    return group.mark, group.parameters, group.kinds


def unknown_parts(configuration: Configuration, names: Iterable[str]) -> list[Problem]:
    """Returns the parts of optimizer and schedule that are of no optimizer of the module's."""
    known = list(names)
    sections = {"optimizer": configuration.optimizer_parts, "scheduler": configuration.scheduler_parts}
    return [
        Problem(
            f"{section}.parts.{name}",
            f"the module {configuration.module.component.short_name} has no optimizer of this name; "
            f"{suggestion(name, known)}",
            configuration.root.find(section, "parts", name).key_mark,
        )
        for section, parts in sections.items()
        for name in parts
        if name not in known
    ]


def matches(pattern: str, name: str) -> bool:
    """Whether a shell pattern fits a dotted name, or that of a layer which contains it."""
    steps = name.split(".")
    return any(fnmatchcase(".".join(steps[:length]), pattern) for length in range(1, len(steps) + 1))


def unfitting(pattern: str, names: Iterable[str]) -> str:
    """Returns the end of a message on a pattern that fits no parameter: the names that were probably meant."""
    layers = {name.rpartition(".")[0] for name in names} - {""}
    known = sorted({*names, *layers, *(layer.partition(".")[0] for layer in layers)})
    meant = similar(pattern, known) or ";"
    return f"{meant} expected a pattern for a parameter or a layer that contains it: {shown(', '.join(names), 300)}"


def _fits(group: Group, place: Place) -> bool:
    named = group.parameters is None or any(matches(pattern, place.name) for pattern in group.parameters)
    return named and (group.kinds is None or bool(place.kinds & {*group.kinds}))


def _of_none(group: Group, names: Sequence[str]) -> Problem:
    selected = {"parameters": group.parameters, "kinds": group.kinds}
    given = ", ".join(f"{key} {' '.join(value)}" for key, value in selected.items() if value is not None)
    pattern = " ".join(group.parameters or ())
    return Problem(
        group.key, f"got {given}, which fits no parameter that is trained{unfitting(pattern, names)}", group.mark
    )


def _places(module: Module) -> dict[int, Place]:
    """Returns where each parameter of the model and of the module's own networks is, by its identity."""
    parts: dict[str, torch.nn.Module | torch.nn.Parameter] = {"": module.model, **own_networks(module)}
    return {
        id(parameter): Place(name, _kinds(name, layer))
        for prefix, part in parts.items()
        for name, parameter, layer in _parameters(part, prefix)
    }


def _parameters(
    part: torch.nn.Module | torch.nn.Parameter, prefix: str
) -> Iterator[tuple[str, torch.nn.Parameter, torch.nn.Module | None]]:
    """Yields the parameters of a network with their dotted names and the layers that have them."""
    if isinstance(part, torch.nn.Parameter):
        yield prefix, part, None
        return
    for path, layer in part.named_modules(prefix=prefix):
        for name, parameter in layer.named_parameters(prefix=path, recurse=False):
            yield name, parameter, layer


def _kinds(name: str, layer: torch.nn.Module | None) -> frozenset[str]:
    kinds = {"bias"} if name.endswith("bias") else set()
    return frozenset(kinds | ({"norm"} if _NORM.search(type(layer).__name__) else set()))
