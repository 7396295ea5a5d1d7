"""Reads the sections of a configuration that name components, and the settings of those components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pydantic
from pydantic.fields import FieldInfo

from firebox.engine.components.catalogue import Kind, UnknownComponent, find
from firebox.engine.components.part import Part, part_of
from firebox.engine.configuration.configuration import Named
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.paths import file_instead, located, located_reference, path_settings
from firebox.engine.configuration.sections import Beginning, Optimization, OptimizerPart
from firebox.engine.configuration.validation import one_of, validate
from firebox.foundation.problems import Mark, Problem, in_one_line, shown

Renaming = Callable[[str, str, Mark | None], tuple[str, Mark | None]]
"""A function from a component's key, its name and the name's mark to the name to read and its mark."""

ENGINES = frozenset({*Optimization.model_fields, *OptimizerPart.model_fields, *Beginning.model_fields})
"""Keys that the engine reads in the section of a component, unless the component has a setting of the name."""


class Components:
    """Reads components, and collects the mistakes in them.

    Args:
        root: the whole configuration.
        renamed: function that may rename every component before it is looked for; None to keep all names.
    """

    def __init__(self, root: Node, renamed: Renaming | None) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self._renamed = renamed

    def problem(self, key: str, message: str, mark: Mark | None) -> None:
        """Adds a mistake."""
        self.problems.append(Problem(key, message, mark))

    def section(self, key: str) -> Node | None:
        """Returns a section, empty if it is absent or null; None if it is no map, which is a mistake."""
        node = self.root.value.get(key)
        if node is None or node.value is None:
            return Node({}, node.mark if node else self.root.mark, node.key_mark if node else self.root.key_mark)
        if not node.is_map:
            self.problem(key, f"got {shown(node.plain())}, expected a map of keys", node.mark)
            return None
        return cast(Node, node)

    def read(self, kind: Kind, default: str | None = None, besides: frozenset[str] = frozenset()) -> Named | None:
        """Reads a section that names a component.

        Args:
            kind: family of the component, and key of the section.
            default: name where the section has none; None if it must have one.
            besides: keys of the section that are not the component's own, unless it has settings of these names.
        """
        node = self.section(kind)
        if node is None:
            return None
        name_node = node.value.get("name")
        if name_node is None and default is None:
            self.problem(f"{kind}.name", "missing; expected the name of a " + kind, node.key_mark)
            return None
        name = name_node.value if name_node is not None else default
        if not isinstance(name, str):
            assert name_node is not None
            self.problem(f"{kind}.name", f"got {shown(name_node.plain())}, expected a name", name_node.mark)
            return None
        mark = name_node.mark if name_node is not None else None
        return self.named(kind, name, node, kind, mark, frozenset({"name"}) | besides, name_key=f"{kind}.name")

    def named(
        self, kind: Kind, name: str, node: Node, key: str, mark: Mark | None, ignore: frozenset[str], name_key: str
    ) -> Named | None:
        """Reads a component of a name, and its settings.

        Args:
            kind: family of the component.
            name: name of the component.
            node: map of its settings.
            key: dotted key of the map.
            mark: place of the name; None for a default.
            ignore: keys of the map that are not the component's own, unless it has settings of these names.
            name_key: dotted key of the name.
        """
        if self._renamed is not None:
            name, mark = self._renamed(key, name, mark)
        try:
            component = find(kind, located_reference(name, mark))
        except (ValueError, OSError) as error:
            unknown = isinstance(error, UnknownComponent)
            text = str(error) if unknown else f"got {shown(name)}: {in_one_line(error)}"
            self.problem(name_key, text + file_instead(name, mark), mark)
            return None
        model = component.signature.parameters
        parts = {
            field: self._part(part, declared, node, f"{key}.{field}", field)
            for field, declared in model.model_fields.items()
            if (part := part_of(declared)) is not None
        }
        parameters = validate(model, node, key, self.problems, ignore=ignore - (ENGINES & set(model.model_fields)))
        if parameters is None:
            return None
        values = {field: getattr(parameters, field) for field in model.model_fields} | parts
        return Named(component, values, mark, name, self._paths(model, values, node, key))

    def _part(self, part: Part, declared: FieldInfo, section: Node, key: str, field: str) -> Named | None:
        """Reads a setting that is a component: its name, or a map of its name and its own settings."""
        if field not in section.value and declared.is_required():
            return None  # reported with the section's other settings
        node = section.value.get(field) or Node(declared.default, section.key_mark, section.key_mark)
        if node.value is declared.default is None:
            return None
        if node.is_map and not node.has("name"):
            self.problem(f"{key}.name", f"missing; expected the name of a {part.kind}", node.key_mark)
            return None
        named, name_key = (node.value["name"], f"{key}.name") if node.is_map else (node, key)
        name, accepted = named.plain(), part.accepted()
        if not isinstance(name, str) or not (":" in name or name in accepted):
            expected = f"{one_of(name, accepted)}, or package.module:Class or path/to/file.py:Class"
            self.problem(name_key, f"got {shown(name)}, expected {expected}", named.mark)
            return None
        settings = node if node.is_map else Node({}, node.mark, node.key_mark)
        return self.named(part.kind, name, settings, key, named.mark, frozenset({"name"}), name_key=name_key)

    def _paths(self, model: type[pydantic.BaseModel], values: dict[str, Any], node: Node, key: str) -> dict[str, str]:
        """Makes the paths among a component's parameters absolute, and returns them as they were written."""
        written: dict[str, str] = {}
        for name in path_settings(model):
            if values[name] is None:
                continue
            text, value_mark = str(values[name]), node.value[name].mark if name in node.value else None
            try:
                path = located(text, value_mark)
            except (ValueError, OSError) as error:
                self.problem(f"{key}.{name}", f"got {shown(text)}: {in_one_line(error)}", value_mark)
                continue
            written[name], values[name] = text, type(values[name])(path)
        return written
