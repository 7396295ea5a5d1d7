"""What makes two configurations those of one run: everything but where files lie and where the output goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firebox.engine.configuration.configuration import Configuration, Named, plain
from firebox.engine.configuration.paths import names_file
from firebox.engine.configuration.sections import Loading, Training
from firebox.foundation.paths import expanded

CHANGEABLE = ("training.epochs", "training.device", "scheduler", "handlers", "workers", "timeout", "placement")
"""Keys of a configuration that may change while a run stays one run."""


def parts_of(configuration: Configuration) -> Iterator[tuple[str, Named]]:
    """Yields the components of a configuration with their dotted keys; a handler's has the name of its class."""
    sections: dict[str, Named | None] = {
        configuration.data.kind: configuration.data.named,
        "model": configuration.model,
        "module": configuration.module,
        "optimizer": configuration.optimizer,
        "scheduler": configuration.scheduler,
        **{f"handlers.{named.component.short_name}": named for named in configuration.handlers},
    }
    waiting = [(key, named) for key, named in sections.items() if named is not None]
    while waiting:
        key, named = waiting.pop(0)
        yield key, named
        waiting += [(f"{key}.{setting}", part) for setting, part in named.parts.items()]


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Returns plain values in which handlers go by name, and a component of a file by the file's name and the class.

    Where the file lies says nothing of what is in it.
    """
    content = {key: _by_name(value) for key, value in values.items() if key != "output"}
    handlers: dict[str, Any] = {}
    for entry in content.get("handlers") or () if isinstance(content.get("handlers"), list) else ():
        handlers |= entry if isinstance(entry, dict) else {str(entry): {}}
    return {**content, "handlers": handlers}


def _by_name(value: Any) -> Any:
    if isinstance(value, dict):
        return {_by_name(key): _by_name(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_by_name(child) for child in value]
    return Path(value).name if isinstance(value, str) and names_file(value) else value


def section(values: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Returns the map in comparable values that has the settings of the component at a key; None if there is none."""
    first, _, rest = key.partition(".")
    node: Any = values.get(first)
    if first == "handlers" and isinstance(node, dict):
        # A handler's key is its class, here it stands under the name of its file and class.
        name, _, rest = rest.partition(".")
        node = next((settings for known, settings in node.items() if known.rpartition(":")[2] == name), None)
    for step in rest.split(".") if rest else ():
        node = node.get(step) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def aligned(recorded: dict[str, Any], given: Configuration, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns recorded values as they compare with a configuration, and what is said of paths that changed.

    A setting that did not exist when they were recorded has its default. A path is the same where it leads to the same
    place; that of data may lead anywhere, another one to a file of the same name.

    Args:
        recorded: values as ``comparable`` returns them; they are changed.
        given: to be compared with.
        folder: that recorded relative paths are seen from.
    """
    said: list[str] = []
    for key, model in (("training", Training), (given.data.kind, Loading)):
        settings = recorded.get(key)
        if isinstance(settings, dict):
            for name, field in model.model_fields.items():
                settings.setdefault(name, field.default)
    for key, named in parts_of(given):
        settings = section(recorded, key)
        if settings is None:
            continue
        for name, value in named.parameters.items():
            if name not in settings and value == named.default(name):
                settings[name] = value
        for name in named.paths:
            before, now = settings.get(name), str(named.parameters[name])
            if not isinstance(before, str):
                continue
            was = _place(before, folder)
            if was.resolve() == Path(now).resolve():
                settings[name] = now
            elif key == given.data.kind or was.name == Path(now).name:
                settings[name] = now
                said.append(f"{key}.{name}: now {now}, so far {was}")
    return recorded, said


def _place(text: str, folder: Path) -> Path:
    try:
        return folder / expanded(text)
    except ValueError:
        return Path(text)


def digest_of(configuration: Configuration) -> str:
    """Returns a SHA-256 of what shapes the training, which is the same wherever the project and its data lie."""
    content = comparable(plain(configuration))
    for key, named in parts_of(configuration):
        settings = section(content, key) or {}
        for name in named.paths:
            text = str(settings.pop(name, ""))
            if key != configuration.data.kind:
                settings[name] = Path(text).name
    for key in CHANGEABLE:
        first, _, name = key.rpartition(".")
        # Those without a section are sections themselves, or settings of the data's.
        for place in (content[first],) if first else (content, content[configuration.data.kind]):
            place.pop(name, None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
