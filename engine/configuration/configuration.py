"""The typed configuration of a run, and its form as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from firebox.engine.components.catalogue import Component, Kind, default_handlers
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.paths import names_file, recorded
from firebox.engine.configuration.sections import Loading, Output, Training
from firebox.foundation.paths import expanded
from firebox.foundation.problems import Mark


@dataclass(frozen=True, slots=True)
class Named:
    """A component that a configuration names, and its parameters.

    Args:
        component: the component, which knows where it is defined.
        parameters: all of its settings, including defaults; a setting that is itself a component is a ``Named``, too.
        mark: place where the configuration names it.
        written: name as written in the configuration, in which a file's path may be relative.
        paths: parameters that are paths, as written in the configuration; ``parameters`` has them absolute.
    """

    component: Component
    parameters: dict[str, Any]
    mark: Mark | None = None
    written: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.component.name

    def default(self, setting: str) -> Any:
        """Returns the default of a setting."""
        return self.component.signature.parameters.model_fields[setting].default

    @property
    def parts(self) -> dict[str, Named]:
        """The settings that are components themselves."""
        return {name: value for name, value in self.parameters.items() if isinstance(value, Named)}

    def build(self, *injected: Any, **injected_by_name: Any) -> Any:
        """Imports and constructs the component, after the components that its settings name and that are not given."""
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
class Group:
    """Parameters of an optimizer that have settings of their own.

    Args:
        parameters: shell patterns of their dotted names; None for any.
        kinds: the kinds of parameters, norm or bias; None for any.
        settings: the settings that differ from the optimizer's.
        key: dotted key, for messages.
        mark: place where the group is written.
    """

    parameters: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    settings: Mapping[str, Any]
    key: str
    mark: Mark | None

    @property
    def plain(self) -> dict[str, Any]:
        chosen = {"parameters": self.parameters, "kinds": self.kinds}
        return {**{key: list(value) for key, value in chosen.items() if value is not None}, **_jsonable(self.settings)}


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One of a module's optimizers, or what all of them are unless they are named.

    Args:
        named: the optimizer and its settings.
        gradient_clip_norm: largest norm of its gradients; None for no limit.
        groups: its parameter groups.
        key: dotted key of its section.
        mark: place of the section.
    """

    named: Named
    gradient_clip_norm: float | None = None
    groups: tuple[Group, ...] = ()
    key: str = "optimizer"
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that a model begins with.

    Args:
        path: absolute path of an archive or a file.
        written: path as it is written in the configuration.
    """

    path: Path
    written: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a run. ``root`` knows where each value was written; ``filled`` lists the parts that the file
    left out and that the trainer's default configuration, the file ``default``, supplied. ``optimizer_parts`` and
    ``scheduler_parts`` have the optimizers that are named, each complete; ``weights``: what the model begins with."""

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
    optimizer_groups: tuple[Group, ...] = ()
    optimizer_parts: Mapping[str, Optimizer] = field(default_factory=dict)
    scheduler_parts: Mapping[str, Named | None] = field(default_factory=dict)
    weights: Weights | None = None
    freeze: tuple[str, ...] = ()
    default: Path | None = None

    def mark(self, *path: str) -> Mark | None:
        """Returns where a value was written; None if it is a default. A handler's path is "handlers", its name, key."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                return None
            node = child
        return node.mark

    def nearest_mark(self, *path: str) -> Mark | None:
        """Returns where a value was written or, if it is a default, the place of the section that would hold it."""
        node, mark = self.root, None
        for step in path:
            child = _child(node, step)
            if child is None:
                return mark
            node, mark = child, child.key_mark
        return node.mark

    @property
    def components(self) -> dict[str, Named]:
        """The components by the section that names them, without the handlers."""
        named = {
            self.data.kind: self.data.named,
            "model": self.model,
            "module": self.module,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            **{f"optimizer.parts.{name}": part.named for name, part in self.optimizer_parts.items()},
            **{f"scheduler.parts.{name}": part for name, part in self.scheduler_parts.items()},
        }
        return {section: component for section, component in named.items() if component is not None}

    def optimizer_of(self, name: str) -> Optimizer:
        """Returns the optimizer of a name that the module gives it."""
        every = Optimizer(self.optimizer, self.training.gradient_clip_norm, self.optimizer_groups)
        return self.optimizer_parts.get(name, every)

    def mapped(self, change: Callable[[Named], Named]) -> Configuration:
        """Returns the configuration with each of its components changed."""
        schedules = self.scheduler_parts.items()
        return replace(
            self,
            data=replace(self.data, named=change(self.data.named)),
            model=change(self.model),
            module=change(self.module),
            optimizer=change(self.optimizer),
            optimizer_parts={k: replace(part, named=change(part.named)) for k, part in self.optimizer_parts.items()},
            scheduler=None if self.scheduler is None else change(self.scheduler),
            scheduler_parts={k: None if part is None else change(part) for k, part in schedules},
            handlers=tuple(map(change, self.handlers)),
        )

    @property
    def output_root(self) -> Path:
        """The folder that holds all runs."""
        return Path(expanded(self.output.root))

    @property
    def directory(self) -> Path:
        """The folder that holds all versions of this datamodule and model."""
        return self.output_root / self.data.named.component.short_name / self.model.component.short_name


def _child(node: Node, step: str) -> Node | None:
    """Returns the value of a key, the entry of that name in a list, or the name of a part written without a map."""
    if isinstance(node.value, str) and step == "name":
        return node
    if isinstance(node.value, dict):
        return node.value.get(step)
    for item in node.value if isinstance(node.value, list) else ():
        if item.value == step:
            return cast(Node, item)
        if item.is_map and step in item.value:
            return cast(Node, item.value[step])
    return None


def plain(configuration: Configuration, folder: Path | None = None) -> dict[str, Any]:
    """Returns a configuration as plain data that YAML can write and ``read`` accepts.

    Args:
        configuration: configuration to convert.
        folder: folder of the file to be written, where relative paths start; None if all paths are to be absolute, so
            that two configurations can be compared.
    """

    def component(named: Named) -> dict[str, Any]:
        return {"name": _name(named, folder), **_parameters(named, folder)}

    data = configuration.data
    attached = {named.name for named in configuration.handlers}
    omitted = [{name: False} for name in default_handlers() if name not in attached]
    optimizer, scheduler = component(configuration.optimizer), None
    if configuration.scheduler is not None:
        scheduler = component(configuration.scheduler)
    # These stand only where they are given: so does a recorded configuration of before they existed.
    model = component(configuration.model)
    if configuration.weights is not None:
        weights = configuration.weights
        model["weights"] = str(weights.path) if folder is None else recorded(weights.written, weights.path, folder)
    if configuration.freeze:
        model["freeze"] = list(configuration.freeze)
    if configuration.optimizer_groups:
        optimizer["groups"] = [group.plain for group in configuration.optimizer_groups]
    if configuration.optimizer_parts:
        optimizer["parts"] = {name: _part(part, component) for name, part in configuration.optimizer_parts.items()}
    if configuration.scheduler_parts:
        parts = configuration.scheduler_parts.items()
        scheduler = {**(scheduler or {}), "parts": {k: None if v is None else component(v) for k, v in parts}}
    return {
        "trainer": configuration.trainer,
        "seed": configuration.seed,
        data.kind: {**component(data.named), **data.loading.model_dump(mode="json")},
        "model": model,
        "module": component(configuration.module),
        "optimizer": optimizer,
        "scheduler": scheduler,
        "training": configuration.training.model_dump(mode="json"),
        "output": configuration.output.model_dump(mode="json"),
        "handlers": [{_name(named, folder): _parameters(named, folder)} for named in configuration.handlers] + omitted,
    }


def _part(part: Optimizer, component: Callable[[Named], dict[str, Any]]) -> dict[str, Any]:
    groups = [group.plain for group in part.groups]
    return {**component(part.named), "gradient_clip_norm": part.gradient_clip_norm, "groups": groups}


def _name(named: Named, folder: Path | None) -> str:
    if folder is None or not names_file(named.written):
        return named.name
    written, _, attribute = named.written.rpartition(":")
    return f"{recorded(written, named.component.target.module, folder)}:{attribute}"


def _parameters(named: Named, folder: Path | None) -> dict[str, Any]:
    plain: dict[str, Any] = {key: _jsonable(value, folder) for key, value in named.parameters.items()}
    if folder is not None:
        plain |= {key: recorded(text, plain[key], folder) for key, text in named.paths.items()}
    return plain


def _jsonable(value: Any, folder: Path | None = None) -> Any:
    if isinstance(value, Named):
        name, parameters = _name(value, folder), _parameters(value, folder)
        return {"name": name, **parameters} if parameters else name
    if isinstance(value, Mapping):
        return {key: _jsonable(child, folder) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(child, folder) for child in value]
    return value if isinstance(value, int | float | str | bool | None) else str(value)
