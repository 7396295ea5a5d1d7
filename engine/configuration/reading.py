"""Reads YAML into a typed configuration, and reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pydantic

from firebox.engine.components.catalogue import catalogue, default_handlers
from firebox.engine.components.signatures import parameters_model
from firebox.engine.configuration.beginning import BEGINNING, read_beginning
from firebox.engine.configuration.components import Components, Renaming
from firebox.engine.configuration.configuration import Configuration, Data, Named
from firebox.engine.configuration.handler_list import APPENDED
from firebox.engine.configuration.layers import load, set_value
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.optimization import read_optimizers, read_schedules
from firebox.engine.configuration.sections import Loading, Output, Seed, Training
from firebox.engine.configuration.validation import validate
from firebox.foundation.paths import expanded
from firebox.foundation.problems import Mark, Problem, in_order, refuse, shown, suggestion

TOP_LEVEL = (
    "trainer", "seed", "datamodule", "datagenerator", "model", "module", "optimizer", "scheduler", "training", "output",
    "handlers",
)  # fmt: skip
PARTS = ("datamodule", "model", "module")
"""The parts that a configuration file may leave out, because the trainer's default configuration has them."""


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
        self._components = Components(root, renamed)

    def configuration(self, trainer: str, filled: tuple[str, ...]) -> Configuration:
        for key, node in self._root.value.items():
            if key not in TOP_LEVEL:
                self._components.problem(
                    key, f"unknown key; {suggestion(key, (*TOP_LEVEL, 'extends', APPENDED))}", node.key_mark
                )
        named_trainer = self._scalar("trainer", trainer, str)
        seed = self._scalar("seed", 0, Seed)
        data = self._data()
        model, module = self._components.read("model", besides=BEGINNING), self._components.read("module")
        training = cast(Training, self._section("training", Training))
        optimizers = read_optimizers(self._components, None if training is None else training.gradient_clip_norm)
        scheduler, schedules = read_schedules(self._components)
        output = self._output()
        weights, freeze = read_beginning(self._components, model, output)
        handlers = self._handlers()
        if isinstance(named_trainer, str) and named_trainer != trainer:
            message = f"got {shown(named_trainer)}, but the trainer {trainer} was asked to train; run firebox train "
            self._components.problem("trainer", message + named_trainer, self._root.value["trainer"].mark)
        refuse(in_order(self._components.problems))
        assert data and model and module and optimizers.every and training and output
        return Configuration(
            trainer=trainer,
            seed=seed,
            data=data,
            model=model,
            module=module,
            optimizer=optimizers.every.named,
            scheduler=scheduler,
            training=training,
            output=output,
            handlers=handlers,
            root=self._root,
            filled=filled,
            optimizer_groups=optimizers.every.groups,
            optimizer_parts=optimizers.parts,
            scheduler_parts=schedules,
            weights=weights,
            freeze=freeze,
        )

    def _given(self, key: str) -> bool:
        return self._root.has(key) and self._root.value[key].value is not None

    def _scalar(self, key: str, default: Any, annotation: Any) -> Any:
        if not self._given(key):
            return default
        model = parameters_model(key, {key: (annotation, ...)})
        wrapper = Node({key: self._root.value[key]}, self._root.mark, self._root.key_mark)
        validated = validate(model, wrapper, "", self._components.problems)
        return default if validated is None else getattr(validated, key)

    def _section(self, key: str, model: type[pydantic.BaseModel]) -> pydantic.BaseModel | None:
        node = self._components.section(key)
        return None if node is None else validate(model, node, key, self._components.problems)

    def _output(self) -> Output | None:
        output = cast(Output | None, self._section("output", Output))
        if output is not None:
            try:
                expanded(output.root)
            except ValueError as error:
                mark = self._root.find("output", "root").mark
                self._components.problem("output.root", f"got {shown(output.root)}: {error}", mark)
        return output

    def _data(self) -> Data | None:
        kinds: list[Literal["datamodule", "datagenerator"]] = ["datamodule", "datagenerator"]
        given = [kind for kind in kinds if self._given(kind)]
        if len(given) == 2:
            mark = self._root.value["datagenerator"].key_mark
            self._components.problem("datagenerator", "given beside datamodule; expected one of the two", mark)
            return None
        kind = given[0] if given else "datamodule"
        node = self._components.section(kind)
        if node is None:
            return None
        loading_keys = frozenset(Loading.model_fields)
        named = self._components.read(kind, besides=loading_keys)
        own = Node({k: v for k, v in node.value.items() if k in loading_keys}, node.mark, node.key_mark)
        loading = validate(Loading, own, kind, self._components.problems)
        return Data(named, cast(Loading, loading)) if named and loading else None

    def _handlers(self) -> tuple[Named, ...]:
        """Reads the handlers: the default ones with the configuration's settings, then the others that it lists."""
        node = self._root.value.get("handlers")
        entries: dict[str, Node] = {}
        if node is not None and node.value is not None:
            if not isinstance(node.value, list):
                self._components.problem("handlers", f"got {shown(node.plain())}, expected a list", node.mark)
                return ()
            for item in node.value:
                entry = self._entry(item)
                if entry is None:
                    continue
                name, parameters = entry
                if name in entries:
                    self._components.problem(f"handlers.{name}", "given twice; expected once", item.mark)
                entries[name] = parameters
        handlers = []
        default_entries = {name: Node({}, Mark("")) for name in default_handlers()}
        for name, parameters in {**default_entries, **entries}.items():
            key = f"handlers.{name}"
            if parameters.value is False:
                # One from a file that is gone is left out, too; a short name that there is not is a mistyped one.
                if ":" not in name and name not in catalogue("handler"):
                    message = f"unknown handler {shown(name)}; {suggestion(name, catalogue('handler'))}"
                    self._components.problem(key, message, parameters.key_mark)
                continue
            mark = parameters.key_mark if name in entries else None
            named = self._components.named("handler", name, parameters, key, mark, frozenset(), name_key=key)
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
        self._components.problem("handlers", f"got {shown(item.plain())}, expected {expected}", item.mark)
        return None
