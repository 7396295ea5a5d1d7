"""Reads what a configuration says of several optimizers: each one's settings, parameter groups and schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from firebox.engine.components.catalogue import Kind
from firebox.engine.configuration.components import Components
from firebox.engine.configuration.configuration import Group, Named, Optimizer
from firebox.engine.configuration.layers import merge
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.sections import Optimization, OptimizerPart, ParameterGroup
from firebox.engine.configuration.validation import validate
from firebox.foundation.problems import Mark, Problem, shown

DEFAULT = "adam"
OF_ALL = frozenset(Optimization.model_fields)
OF_ONE = frozenset(OptimizerPart.model_fields)


@dataclass(frozen=True, slots=True)
class Optimizers:
    """The optimizers of a configuration.

    Args:
        every: what each is that is not named; None if there are mistakes in it.
        parts: those that are named.
    """

    every: Optimizer | None
    parts: dict[str, Optimizer]


def read_optimizers(components: Components, gradient_clip_norm: float | None) -> Optimizers:
    """Reads the section of the optimizer.

    Args:
        components: reads the components, and collects the mistakes.
        gradient_clip_norm: largest norm of an optimizer's gradients, where its part says nothing else.
    """
    section = components.section("optimizer")
    every = components.read("optimizer", default=DEFAULT, besides=OF_ALL)
    if section is None:
        return Optimizers(None, {})
    groups = _groups(components, section, every, section, "optimizer")
    inherited = section.value.get("name") or Node(DEFAULT, section.mark)
    parts: dict[str, Optimizer] = {}
    for name, node, whole in _parts(components, "optimizer", section, every, inherited):
        key = f"optimizer.parts.{name}"
        named = _part(components, "optimizer", whole, key, inherited, OF_ONE)
        own = Node({k: v for k, v in node.value.items() if k in OF_ONE - {"groups"}}, node.mark, node.key_mark)
        limits = cast(OptimizerPart | None, validate(OptimizerPart, own, key, components.problems))
        if named is None or limits is None:
            continue
        norm = limits.gradient_clip_norm if own.has("gradient_clip_norm") else gradient_clip_norm
        its_groups = _groups(components, node if node.has("groups") else section, named, whole, key)
        parts[name] = Optimizer(named, norm, its_groups, key, node.key_mark)
    return Optimizers(None if every is None else Optimizer(every, gradient_clip_norm, groups), parts)


def read_schedules(components: Components) -> tuple[Named | None, dict[str, Named | None]]:
    """Reads the section of the schedule: that of all optimizers, and those of single ones; None for no schedule."""
    node = components.root.value.get("scheduler")
    if node is None or node.value is None:
        return None, {}
    section = components.section("scheduler")
    if section is None:
        return None, {}
    alone, inherited = section.value.keys() == {"parts"}, section.value.get("name")
    every = None if alone else components.read("scheduler", besides=frozenset({"parts"}))
    parts: dict[str, Named | None] = {}
    for name, given, whole in _parts(components, "scheduler", section, every, inherited, nothing=True):
        if given.value is None:
            parts[name] = None
        elif (named := _part(components, "scheduler", whole, f"scheduler.parts.{name}", inherited)) is not None:
            parts[name] = named
    return every, parts


def _parts(
    components: Components,
    kind: Kind,
    section: Node,
    every: Named | None,
    inherited: Node | None,
    *,
    nothing: bool = False,
) -> list[tuple[str, Node, Node]]:
    """Returns the parts of a section: the name, what is given, and that laid over the section's own settings.

    Args:
        components: collects the mistakes.
        kind: key of the section.
        section: the section.
        every: what its own settings are of; None if there is none, or mistakes in it.
        inherited: name of that; None if there is none.
        nothing: whether a part may be null.
    """
    given = section.value.get("parts")
    if given is None or given.value is None or (every is not None and "parts" in every.parameters):
        return []
    if not given.is_map:
        components.problem(f"{kind}.parts", f"got {shown(given.plain())}, expected a map of keys", given.mark)
        return []
    base = Node({k: v for k, v in section.value.items() if k not in OF_ALL}, section.mark, section.key_mark)
    found = []
    for name, node in given.value.items():
        if node.value is None and not nothing:
            node.value = {}
        if not (node.is_map or node.value is None):
            components.problem(f"{kind}.parts.{name}", f"got {shown(node.plain())}, expected a map of keys", node.mark)
            continue
        other = node.has("name") and (inherited is None or node.value["name"].value != inherited.value)
        found.append((name, node, node if other or node.value is None else merge(base, node)))
    return found


def _part(
    components: Components,
    kind: Kind,
    node: Node,
    key: str,
    inherited: Node | None,
    besides: frozenset[str] = frozenset(),
) -> Named | None:
    """Reads a part; a mistake in what it has from the section is not said again.

    Args:
        components: reads the component.
        kind: family of the component.
        node: settings of the part, laid over those of the section.
        key: dotted key of the part.
        inherited: name that it has if it gives none; None if it must.
        besides: keys of the part that are not the component's own.
    """
    given = node.value.get("name", inherited)
    if given is None:
        components.problem(f"{key}.name", f"missing; expected the name of a {kind}", node.key_mark)
        return None
    name, mark = given.value, given.mark
    if not isinstance(name, str):
        components.problem(f"{key}.name", f"got {shown(given.plain())}, expected a name", mark)
        return None
    said = {_place(problem) for problem in components.problems}
    before = len(components.problems)
    named = components.named(kind, name, node, key, mark, besides | {"name"}, name_key=f"{key}.name")
    components.problems[before:] = [p for p in components.problems[before:] if _place(p) not in said]
    return named


def _place(problem: Problem) -> tuple[Mark | None, str]:
    return problem.mark, problem.key.rpartition(".")[2]


def _groups(components: Components, section: Node, named: Named | None, settings: Node, key: str) -> tuple[Group, ...]:
    """Reads the parameter groups of a section; their settings are those of its optimizer."""
    given = section.value.get("groups")
    if given is None or given.value is None or (named is not None and "groups" in named.parameters):
        return ()
    entries = given.value if isinstance(given.value, list) else [given]
    found = []
    for number, entry in enumerate(entries):
        place = f"{key}.groups.{number}"
        if not entry.is_map:
            components.problem(f"{key}.groups", f"got {shown(entry.plain())}, expected a list of maps", entry.mark)
            continue
        chosen, own = _divided(entry, frozenset(ParameterGroup.model_fields))
        selection = cast(ParameterGroup | None, validate(ParameterGroup, chosen, place, components.problems))
        if selection is not None and not (selection.parameters or selection.kinds):
            components.problem(place, "names no parameters; expected parameters, kinds or both", entry.mark)
        elif not own.value:
            components.problem(place, "has no settings; expected some, such as weight_decay: 0.0", entry.mark)
        values = None if named is None else _settings(components, named, settings, own, place)
        if selection is not None and values is not None:
            chosen_by = tuple(selection.parameters) if selection.parameters else None
            kinds = tuple(selection.kinds) if selection.kinds else None
            found.append(Group(chosen_by, kinds, values, place, entry.mark))
    return tuple(found)


def _settings(components: Components, named: Named, settings: Node, own: Node, key: str) -> dict[str, Any] | None:
    """Validates the settings of a group together with those that it leaves as they are."""
    model = named.component.signature.parameters
    base = Node({k: v for k, v in settings.value.items() if k in model.model_fields}, settings.mark, settings.key_mark)
    parameters = validate(model, merge(base, own), key, components.problems, ignore=frozenset())
    return None if parameters is None else {name: getattr(parameters, name) for name in own.value}


def _divided(node: Node, keys: frozenset[str]) -> tuple[Node, Node]:
    """Returns the part of a map with some keys, and the rest."""
    inside = {key: value for key, value in node.value.items() if key in keys}
    outside = {key: value for key, value in node.value.items() if key not in keys}
    return Node(inside, node.mark, node.key_mark), Node(outside, node.mark, node.key_mark)
