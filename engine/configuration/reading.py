"""Reads YAML into a typed configuration, and reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pydantic
from pydantic.fields import FieldInfo

from firebox.engine.components.catalogue import Kind, UnknownComponent, catalogue, default_handlers, find
from firebox.engine.components.part import Part, part_of
from firebox.engine.components.signatures import parameters_model
from firebox.engine.configuration.configuration import Configuration, Data, Named
from firebox.engine.configuration.handler_list import APPENDED
from firebox.engine.configuration.layers import load, set_value
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.paths import file_instead, located, located_reference, path_settings
from firebox.engine.configuration.sections import Loading, Output, Seed, Training
from firebox.engine.configuration.validation import one_of, validate
from firebox.foundation.paths import expanded
from firebox.foundation.problems import Mark, Problem, in_one_line, in_order, refuse, shown, suggestion

TOP_LEVEL = (
    "trainer", "seed", "datamodule", "datagenerator", "model", "module", "optimizer", "scheduler", "training", "output",
    "handlers",
)  # fmt: skip
PARTS = ("datamodule", "model", "module")
"""The parts that a configuration file may leave out, because the trainer's default configuration has them."""

Renaming = Callable[[str, str, Mark | None], tuple[str, Mark | None]]
"""A function from a component's key, its name and the name's mark to the name to read and its mark."""


def read(
    trainer: str,
    default: Path,
    path: Path | None = None,
    assignments: Sequence[str] = (),
    renamed: Renaming | None = None,
) -> Configuration:
    """Reads the configuration of a run.

    Args:
        trainer: short name of the trainer.
        default: file of its default configuration.
        path: file that the user named; None for the default configuration.
        assignments: ``KEY=VALUE`` from the command line, applied last.
        renamed: function that may rename every component before it is looked for; None to keep all names.

    Raises:
        Refusal: the configuration has mistakes; the refusal has all of them.
    """
    root = load(path or default)
    filled = _fill(root, load(default)) if path is not None else ()
    problems: list[Problem] = []
    for assignment in assignments:
        try:
            set_value(root, assignment)
        except ValueError as refusal:
            problems.extend(refusal.problems)  # type: ignore[attr-defined]
    refuse(problems)
    return replace(_Reader(root, renamed).configuration(trainer, filled), default=default)


def read_recorded(path: Path, renamed: Renaming | None = None) -> Configuration:
    """Reads the configuration that a run recorded, which names its trainer and is complete.

    Args:
        path: path of the file.
        renamed: as in ``read``.

    Raises:
        Refusal: the configuration has mistakes; the refusal has all of them.
    """
    root = load(path)
    name = root.value["trainer"].value if root.has("trainer") else None
    if not isinstance(name, str):
        refuse([Problem("trainer", f"got {shown(name)}, expected the name of a trainer", root.mark)])
    return _Reader(root, renamed).configuration(str(name), ())


def _fill(root: Node, default: Node) -> tuple[str, ...]:
    """Adds the parts that ``root`` leaves out from the trainer's default configuration, and returns their keys."""
    filled = []
    for part in PARTS:
        present = root.has(part) or (part == "datamodule" and root.has("datagenerator"))
        source = "datagenerator" if part == "datamodule" and not default.has(part) else part
        if not present and default.has(source):
            root.value[source] = default.value[source]
            filled.append(source)
    return tuple(filled)


class _Reader:
    """Validates the sections one after another, and collects the mistakes in all of them."""

    def __init__(self, root: Node, renamed: Renaming | None) -> None:
        self._root = root
        self._renamed = renamed
        self._problems: list[Problem] = []

    def configuration(self, trainer: str, filled: tuple[str, ...]) -> Configuration:
        for key, node in self._root.value.items():
            if key not in TOP_LEVEL:
                self._problem(key, f"unknown key; {suggestion(key, (*TOP_LEVEL, 'extends', APPENDED))}", node.key_mark)
        named_trainer = self._scalar("trainer", trainer, str)
        seed = self._scalar("seed", 0, Seed)
        data = self._data()
        model, module = self._component("model"), self._component("module")
        optimizer = self._component("optimizer", default="adam")
        scheduler = self._component("scheduler") if self._given("scheduler") else None
        training = cast(Training, self._section("training", Training))
        output = self._output()
        handlers = self._handlers()
        if isinstance(named_trainer, str) and named_trainer != trainer:
            message = f"got {shown(named_trainer)}, but the trainer {trainer} was asked to train; run firebox train "
            self._problem("trainer", message + named_trainer, self._root.value["trainer"].mark)
        refuse(in_order(self._problems))
        assert data and model and module and optimizer and training and output
        return Configuration(
            trainer, seed, data, model, module, optimizer, scheduler, training, output, handlers, self._root, filled
        )

    def _problem(self, key: str, message: str, mark: Mark | None) -> None:
        self._problems.append(Problem(key, message, mark))

    def _given(self, key: str) -> bool:
        return self._root.has(key) and self._root.value[key].value is not None

    def _scalar(self, key: str, default: Any, annotation: Any) -> Any:
        if not self._given(key):
            return default
        model = parameters_model(key, {key: (annotation, ...)})
        wrapper = Node({key: self._root.value[key]}, self._root.mark, self._root.key_mark)
        validated = validate(model, wrapper, "", self._problems)
        return default if validated is None else getattr(validated, key)

    def _map(self, key: str) -> Node | None:
        node = self._root.value.get(key)
        if node is None or node.value is None:
            return Node({}, node.mark if node else self._root.mark, node.key_mark if node else self._root.key_mark)
        if not node.is_map:
            self._problem(key, f"got {shown(node.plain())}, expected a map of keys", node.mark)
            return None
        return cast(Node, node)

    def _section(self, key: str, model: type[pydantic.BaseModel]) -> pydantic.BaseModel | None:
        node = self._map(key)
        return None if node is None else validate(model, node, key, self._problems)

    def _output(self) -> Output | None:
        output = cast(Output | None, self._section("output", Output))
        if output is not None:
            try:
                expanded(output.root)
            except ValueError as error:
                mark = self._root.find("output", "root").mark
                self._problem("output.root", f"got {shown(output.root)}: {error}", mark)
        return output

    def _data(self) -> Data | None:
        kinds: list[Literal["datamodule", "datagenerator"]] = ["datamodule", "datagenerator"]
        given = [kind for kind in kinds if self._given(kind)]
        if len(given) == 2:
            mark = self._root.value["datagenerator"].key_mark
            self._problem("datagenerator", "given beside datamodule; expected one of the two", mark)
            return None
        kind = given[0] if given else "datamodule"
        node = self._map(kind)
        if node is None:
            return None
        loading_keys = frozenset(Loading.model_fields)
        named = self._component(kind, besides=loading_keys)
        own = Node({k: v for k, v in node.value.items() if k in loading_keys}, node.mark, node.key_mark)
        loading = validate(Loading, own, kind, self._problems)
        return Data(named, cast(Loading, loading)) if named and loading else None

    def _component(self, kind: Kind, default: str | None = None, besides: frozenset[str] = frozenset()) -> Named | None:
        """Reads a section that names a component; ``besides`` are keys in it that are not the component's own."""
        node = self._map(kind)
        if node is None:
            return None
        name_node = node.value.get("name")
        if name_node is None and default is None:
            self._problem(f"{kind}.name", "missing; expected the name of a " + kind, node.key_mark)
            return None
        name = name_node.value if name_node is not None else default
        if not isinstance(name, str):
            assert name_node is not None
            self._problem(f"{kind}.name", f"got {shown(name_node.plain())}, expected a name", name_node.mark)
            return None
        mark = name_node.mark if name_node is not None else None
        return self._named(kind, name, node, kind, mark, frozenset({"name"}) | besides, name_key=f"{kind}.name")

    def _named(
        self, kind: Kind, name: str, node: Node, key: str, mark: Mark | None, ignore: frozenset[str], name_key: str
    ) -> Named | None:
        if self._renamed is not None:
            name, mark = self._renamed(key, name, mark)
        try:
            component = find(kind, located_reference(name, mark))
        except (ValueError, OSError) as error:
            unknown = isinstance(error, UnknownComponent)
            text = str(error) if unknown else f"got {shown(name)}: {in_one_line(error)}"
            self._problem(name_key, text + file_instead(name, mark), mark)
            return None
        model = component.signature.parameters
        parts = {
            field: self._part(part, declared, node, f"{key}.{field}", field)
            for field, declared in model.model_fields.items()
            if (part := part_of(declared)) is not None
        }
        parameters = validate(model, node, key, self._problems, ignore=ignore)
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
            self._problem(f"{key}.name", f"missing; expected the name of a {part.kind}", node.key_mark)
            return None
        named, name_key = (node.value["name"], f"{key}.name") if node.is_map else (node, key)
        name, accepted = named.plain(), part.accepted()
        if not isinstance(name, str) or not (":" in name or name in accepted):
            expected = f"{one_of(name, accepted)}, or package.module:Class or path/to/file.py:Class"
            self._problem(name_key, f"got {shown(name)}, expected {expected}", named.mark)
            return None
        settings = node if node.is_map else Node({}, node.mark, node.key_mark)
        return self._named(part.kind, name, settings, key, named.mark, frozenset({"name"}), name_key=name_key)

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
                self._problem(f"{key}.{name}", f"got {shown(text)}: {in_one_line(error)}", value_mark)
                continue
            written[name], values[name] = text, type(values[name])(path)
        return written

    def _handlers(self) -> tuple[Named, ...]:
        """Reads the handlers: the default ones with the configuration's settings, then the others that it lists."""
        node = self._root.value.get("handlers")
        entries: dict[str, Node] = {}
        if node is not None and node.value is not None:
            if not isinstance(node.value, list):
                self._problem("handlers", f"got {shown(node.plain())}, expected a list", node.mark)
                return ()
            for item in node.value:
                entry = self._entry(item)
                if entry is None:
                    continue
                name, parameters = entry
                if name in entries:
                    self._problem(f"handlers.{name}", "given twice; expected once", item.mark)
                entries[name] = parameters
        handlers = []
        default_entries = {name: Node({}, Mark("")) for name in default_handlers()}
        for name, parameters in {**default_entries, **entries}.items():
            key = f"handlers.{name}"
            if parameters.value is False:
                # One from a file that is gone is left out, too; a short name that there is not is a mistyped one.
                if ":" not in name and name not in catalogue("handler"):
                    message = f"unknown handler {shown(name)}; {suggestion(name, catalogue('handler'))}"
                    self._problem(key, message, parameters.key_mark)
                continue
            mark = parameters.key_mark if name in entries else None
            named = self._named("handler", name, parameters, key, mark, frozenset(), name_key=key)
            if named is not None:
                handlers.append(named)
        return tuple(handlers)

    def _entry(self, item: Node) -> tuple[str, Node] | None:
        """Reads an item: ``name``, ``name: {parameters}``, or ``name: false`` to leave out a default one."""
        if isinstance(item.value, str):
            return item.value, Node({}, item.mark, item.mark)
        if item.is_map and len(item.value) == 1:
            name, parameters = next(iter(item.value.items()))
            if parameters.value is None:
                return name, Node({}, parameters.mark, parameters.key_mark)
            if parameters.is_map or parameters.value is False:
                return name, parameters
        expected = "a name, or a name with a map of parameters, or a name with false"
        self._problem("handlers", f"got {shown(item.plain())}, expected {expected}", item.mark)
        return None
