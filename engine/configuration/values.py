"""The plain values of a recorded configuration. Nothing that they name is looked for or imported."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from firebox.engine.components.constructors import attributes
from firebox.engine.components.source import Source
from firebox.engine.components.targets import Target
from firebox.engine.configuration.core_schema import MAXIMUM_BYTES, TOO_LONG
from firebox.engine.configuration.paths import names_file, places
from firebox.engine.configuration.quick_loading import QuickLoader, load_sections
from firebox.foundation.problems import Mark

LARGEST_SOURCE = 1 << 20
"""Largest size in bytes of a source file that is parsed for the attributes of a class."""


class Unreadable(ValueError):
    """The file is not a configuration."""


def recorded_values(path: Path, *, shared: bool = False) -> dict[str, Any]:
    """Reads a configuration that a run or an archive recorded, as plain data.

    Args:
        path: path of the file; a recorded configuration extends no other.
        shared: whether the values may be shared with those of other files, and must not be changed.

    Raises:
        Unreadable: the file can't be read, is not YAML, is not a map, or exceeds the limits of a configuration.
    """
    try:
        if not path.is_file():  # reading a pipe would wait for its writer
            raise Unreadable(f"{path}: no such file")
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise Unreadable(f"{path}: {TOO_LONG}")
        text = content.decode()
        if "&" in text:
            _refuse_aliases(text, path)
        values = load_sections(text) if shared else yaml.load(text, Loader=QuickLoader)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"{path}: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise Unreadable(f"{path}: expected a map of keys")
    return values


def _refuse_aliases(text: str, path: Path) -> None:
    """Refuses aliases, because nested aliases can expand to more than memory can hold."""
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=QuickLoader)):
        raise Unreadable(f"{path}: an alias; a recorded configuration has none")


def handlers_of(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the settings of the handlers in recorded values, by name; malformed entries are left out.

    Args:
        values: values of the whole configuration.
    """
    entries = values.get("handlers")
    found: dict[str, dict[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, settings),) = entry.items()
            if isinstance(name, str) and (settings is None or isinstance(settings, dict)):
                found[name] = settings or {}
        elif isinstance(entry, str):
            found[entry] = {}
    return found


def said_of(name: str, catalogue: Mapping[str, str], path: Path) -> Mapping[str, Any]:
    """Returns the literal attributes of a class, by parsing its source; none if the source does not show them.

    Args:
        name: name of the component, as the configuration has it.
        catalogue: short names of the family.
        path: path of the configuration, beside which a relative file is looked for.
    """
    target = _parsed(catalogue.get(name, name))
    try:
        if names_file(name):
            found = (place for place in places(target.module, Mark(str(path), 1, 1)) if place.is_file())
            target = Target(str(next(found).resolve()), target.attribute)
        return _said_of(target)
    except (StopIteration, ValueError, OSError):
        return {}


_parsed = cache(Target.parse)


@cache
def _said_of(target: Target) -> Mapping[str, Any]:
    try:
        file = target.source()
        if file is None or not file.is_file() or file.stat().st_size > LARGEST_SOURCE:
            return {}
        source = Source.of(target)
        definition = None if source is None else source.lookup(target.attribute)
        return {} if definition is None else attributes(definition)
    except (SyntaxError, ValueError, OSError, ImportError, RecursionError, MemoryError):
        return {}


def recorded_epochs(path: Path) -> int:
    """Returns the number of epochs in a run's configuration file; 0 if it can't be read."""
    try:
        training = recorded_values(path).get("training")
    except Unreadable:
        return 0
    epochs = training.get("epochs") if isinstance(training, dict) else None
    return epochs if isinstance(epochs, int) else 0
