"""From YAML to a typed configuration, with all that is wrong in one report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pydantic
from pydantic.fields import FieldInfo

from firebox.engine.components.catalogue import Component, Kind, UnknownComponent, default_handlers, find
from firebox.engine.components.part import Part, part_of
from firebox.engine.components.signatures import parameters_model
from firebox.engine.configuration.layers import load, set_value
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.sections import Loading, Output, Seed, Training
from firebox.engine.configuration.validation import one_of, validate
from firebox.foundation.problems import Mark, Problem, in_order, refuse, shown, suggestion

TOP_LEVEL = (
    "trainer", "seed", "datamodule", "datagenerator", "model", "module", "optimizer", "scheduler", "training", "output",
    "handlers",
)  # fmt: skip
PARTS = ("datamodule", "model", "module")
"""What a configuration file may leave out because the trainer's default configuration has it."""


@dataclass(frozen=True, slots=True)
class Named:
    """A component and its parameters.

    Args:
        component: what it is and where it is defined.
        parameters: all of its settings, defaults included; one that is a component itself is a ``Named``, too.
        mark: where the configuration names it.
        written: the name as the configuration has it, where a file's path may be relative.
    """

    component: Component
    parameters: dict[str, Any]
    mark: Mark | None = None
    written: str = ""

    @property
    def name(self) -> str:
        return self.component.name

    def default(self, setting: str) -> Any:
        """Returns the default of one of its settings."""
        return self.component.signature.parameters.model_fields[setting].default

    @property
    def parts(self) -> dict[str, Named]:
        """The settings that are components themselves."""
        return {name: value for name, value in self.parameters.items() if isinstance(value, Named)}

    def build(self, *injected: Any, **injected_by_name: Any) -> Any:
        """Imports the component and constructs it, after the parts that its settings name and that are not given."""
        built = {name: part.build() for name, part in self.parts.items() if name not in injected_by_name}
        return self.component.target.load()(*injected, **{**self.parameters, **built, **injected_by_name})


@dataclass(frozen=True, slots=True)
class Data:
    """The data of a run: a datamodule or a datagenerator, and how its batches are made."""

    named: Named
    loading: Loading

    @property
    def kind(self) -> Kind:
        return self.named.component.kind


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a run is made of. ``root`` holds where each value was written; ``filled`` the parts that the file left
    out and the trainer's default configuration gave."""

    trainer: str
    seed: int
    data: Data
    model: Named
    module: Named
    optimizer: Named
    scheduler: Named | None
    training: Training
    output: Output
    handlers: tuple[Named, ...]
    root: Node
    filled: tuple[str, ...] = ()

    def mark(self, *path: str) -> Mark | None:
        """Returns where a value was written; None: it is a default. A handler's: "handlers", its name, its key."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                return None
            node = child
        return node.mark

    def nearest_mark(self, *path: str) -> Mark | None:
        """Returns where a value was written or, of a default, the key of the section that it would stand in."""
        node, mark = self.root, None
        for step in path:
            child = _child(node, step)
            if child is None:
                return mark
            node, mark = child, child.key_mark
        return node.mark

    @property
    def directory(self) -> Path:
        """The folder that all versions of this datamodule and model are below."""
        return Path(self.output.root) / self.data.named.component.short_name / self.model.component.short_name

    @property
    def digest(self) -> str:
        """A SHA-256 of everything that shapes the training: all but where the output goes."""
        content = {key: value for key, value in plain(self).items() if key != "output"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _child(node: Node, step: str) -> Node | None:
    """The value of a key, a list's entry of that name, or the name of a part that is written without a map."""
    if isinstance(node.value, dict):
        return node.value.get(step)
    if isinstance(node.value, str) and step == "name":
        return node
    for item in node.value if isinstance(node.value, list) else ():
        if item.value == step:
            return cast(Node, item)
        if item.is_map and step in item.value:
            return cast(Node, item.value[step])
    return None


def read(trainer: str, default: Path, path: Path | None = None, assignments: Sequence[str] = ()) -> Configuration:
    """Reads the configuration of a run.

    Args:
        trainer: the short name of the trainer that asks.
        default: its default configuration.
        path: the file that the user named; None: the default.
        assignments: ``KEY=VALUE`` from the command line, applied last.

    Raises:
        Refusal: with every problem that was found.
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
    return _Reader(root, (path or default).parent).configuration(trainer, filled)


def read_recorded(path: Path) -> Configuration:
    """Reads the configuration that a run recorded; it names its trainer and leaves nothing out.

    Raises:
        Refusal: with every problem that was found.
    """
    root = load(path)
    name = root.value["trainer"].value if root.has("trainer") else None
    if not isinstance(name, str):
        refuse([Problem("trainer", f"got {shown(name)}, expected the name of a trainer", root.mark)])
    return _Reader(root, path.parent).configuration(str(name), ())


def _fill(root: Node, default: Node) -> tuple[str, ...]:
    """Takes the parts that ``root`` leaves out from the trainer's default configuration."""
    filled = []
    for part in PARTS:
        present = root.has(part) or (part == "datamodule" and root.has("datagenerator"))
        source = "datagenerator" if part == "datamodule" and not default.has(part) else part
        if not present and default.has(source):
            root.value[source] = default.value[source]
            filled.append(source)
    return tuple(filled)


class _Reader:
    """Validates the sections one after another and collects what is wrong in all of them."""

    def __init__(self, root: Node, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._problems: list[Problem] = []

    def configuration(self, trainer: str, filled: tuple[str, ...]) -> Configuration:
        for key, node in self._root.value.items():
            if key not in TOP_LEVEL:
                self._problem(key, f"unknown key; {suggestion(key, (*TOP_LEVEL, 'extends'))}", node.key_mark)
        named_trainer = self._scalar("trainer", trainer, str)
        seed = self._scalar("seed", 0, Seed)
        data = self._data()
        model, module = self._component("model"), self._component("module")
        optimizer = self._component("optimizer", default="adam")
        scheduler = self._component("scheduler") if self._given("scheduler") else None
        training = cast(Training, self._section("training", Training))
        output = cast(Output, self._section("output", Output))
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
        """A section that names a component; ``besides`` are keys in it that are not the component's own."""
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
        try:
            component = find(kind, name, self._folder)
        except UnknownComponent as error:
            self._problem(name_key, str(error), mark)
            return None
        fields = component.signature.parameters.model_fields
        parts = {
            field: self._part(part, declared, node, f"{key}.{field}", field)
            for field, declared in fields.items()
            if (part := part_of(declared)) is not None
        }
        parameters = validate(component.signature.parameters, node, key, self._problems, ignore=ignore)
        if parameters is None:
            return None
        return Named(component, {field: getattr(parameters, field) for field in fields} | parts, mark, name)

    def _part(self, part: Part, declared: FieldInfo, section: Node, key: str, field: str) -> Named | None:
        """A setting that names a component: by its name, or by a map of its name and its own settings."""
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

    def _handlers(self) -> tuple[Named, ...]:
        """The default handlers, with what the configuration says of them, then its own."""
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
            if parameters.value is False:
                continue
            key = f"handlers.{name}"
            mark = parameters.key_mark if name in entries else None
            named = self._named("handler", name, parameters, key, mark, frozenset(), name_key=key)
            if named is not None:
                handlers.append(named)
        return tuple(handlers)

    def _entry(self, item: Node) -> tuple[str, Node] | None:
        """One item of the list: ``name``, ``name: {parameters}``, or ``name: false`` to leave a default one out."""
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


def plain(configuration: Configuration) -> dict[str, Any]:
    """Returns a configuration as plain data that YAML can write and ``read`` takes back."""

    def component(named: Named) -> dict[str, Any]:
        return {"name": named.name, **_jsonable(named.parameters)}

    data = configuration.data
    attached = {named.name for named in configuration.handlers}
    omitted = [{name: False} for name in default_handlers() if name not in attached]
    return {
        "trainer": configuration.trainer,
        "seed": configuration.seed,
        data.kind: {**component(data.named), **data.loading.model_dump(mode="json")},
        "model": component(configuration.model),
        "module": component(configuration.module),
        "optimizer": component(configuration.optimizer),
        "scheduler": component(configuration.scheduler) if configuration.scheduler else None,
        "training": configuration.training.model_dump(mode="json"),
        "output": configuration.output.model_dump(mode="json"),
        "handlers": [{named.name: _jsonable(named.parameters)} for named in configuration.handlers] + omitted,
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, Named):
        return {"name": value.name, **_jsonable(value.parameters)} if value.parameters else value.name
    if isinstance(value, dict):
        return {key: _jsonable(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(child) for child in value]
    return value if isinstance(value, int | float | str | bool | None) else str(value)
