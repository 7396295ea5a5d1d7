"""The identity of a run's configuration: everything except where files lie and where the output goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firebox.engine.configuration.configuration import Configuration, Named, plain
from firebox.engine.configuration.plain_values import THREADS, comparable
from firebox.engine.configuration.sections import Loading, Training
from firebox.foundation.paths import expanded

CHANGEABLE = (
    *("training.epochs", "training.device", "scheduler", "handlers"),
    *("workers", "timeout", "placement", "cache", "cache_gib", "verify"),
)
"""Keys of a configuration that may change while a run stays one run."""

LATER = ("dtype", "folds", "limit", "sampling", "target_scale", "value_range")
"""Settings of the data that earlier runs did without: at their defaults they leave no trace in the identity."""


def parts_of(configuration: Configuration) -> Iterator[tuple[str, Named]]:
    """Yields the components of a configuration with their dotted keys; a handler's has the name of its class."""
    handlers = {f"handlers.{named.component.short_name}": named for named in configuration.handlers}
    waiting = list((configuration.components | handlers).items())
    while waiting:
        key, named = waiting.pop(0)
        yield key, named
        waiting += [(f"{key}.{setting}", part) for setting, part in named.parts.items()]


def section(values: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Returns the settings of the component at a key, from comparable values; None if there are none."""
    first, _, rest = key.partition(".")
    node: Any = values.get(first)
    if first == "handlers" and isinstance(node, dict):
        # A handler's key is its class; comparable values have it under the name of its file and class.
        name, _, rest = rest.partition(".")
        node = next((settings for known, settings in node.items() if known.rpartition(":")[2] == name), None)
    for step in rest.split(".") if rest else ():
        node = node.get(step) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def aligned(recorded: dict[str, Any], given: Configuration, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns recorded values in a form that compares with a configuration, and messages about changed paths.

    A setting that did not exist when the values were recorded gets its default. Paths are equal if they lead to the
    same place. A path of data may lead anywhere, and any other path to a file of the same name.

    Args:
        recorded: values as ``comparable`` returns them, which are changed in place.
        given: configuration to compare with.
        folder: folder where recorded relative paths start.
    """
    said: list[str] = []
    for key, model in (("training", Training), (given.data.kind, Loading)):
        settings = recorded.get(key)
        if isinstance(settings, dict):
            for name, field in model.model_fields.items():
                if name != THREADS:
                    settings.setdefault(name, field.default)
    for key, named in parts_of(given):
        settings = section(recorded, key)
        if settings is None:
            continue
        for name, value in named.parameters.items():
            if name not in settings and value == named.default(name):
                settings[name] = value
        for name, path in _paths(key, named, given).items():
            before, now = settings.get(name), str(path)
            if not isinstance(before, str):
                continue
            was = _place(before, folder)
            if was.resolve() == Path(now).resolve():
                settings[name] = now
            elif key == given.data.kind or was.name == Path(now).name:
                settings[name] = now
                said.append(f"{key}.{name}: now {now}, so far {was}")
    return recorded, said


def _paths(key: str, named: Named, configuration: Configuration) -> dict[str, Any]:
    """Returns the absolute paths in the section of a component, by their settings."""
    paths = {name: named.parameters[name] for name in named.paths}
    if key == "model" and configuration.weights is not None:
        paths["weights"] = configuration.weights.path
    return paths


def _place(text: str, folder: Path) -> Path:
    try:
        return folder / expanded(text)
    except ValueError:
        return Path(text)


def digest_of(configuration: Configuration) -> str:
    """Returns a SHA-256 of everything that shapes the training, independent of where the project and its data lie."""
    content = comparable(plain(configuration))
    for key, named in parts_of(configuration):
        settings = section(content, key) or {}
        for name in _paths(key, named, configuration):
            text = str(settings.pop(name, ""))
            if key != configuration.data.kind:
                settings[name] = Path(text).name
    for key in CHANGEABLE:
        first, _, name = key.rpartition(".")
        # A key without a section is a section itself, or a setting in the data's section.
        for place in (content[first],) if first else (content, content[configuration.data.kind]):
            place.pop(name, None)
    data, named = content[configuration.data.kind], configuration.data.named
    usual = {name: field.default for name, field in Loading.model_fields.items()}
    usual |= {name: named.default(name) for name in named.parameters}
    for name in LATER:
        if name in data and data[name] == usual[name]:
            del data[name]
    for name in ("shards", "parallel"):
        if content["training"][name] == Training.model_fields[name].default:
            del content["training"][name]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
