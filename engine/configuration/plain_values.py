"""Configurations as plain values: in a form that compares, and as flat settings. No model that validates is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firebox.engine.configuration.paths import names_file

Value = int | float | str | bool
"""What a flat setting is."""
THREADS = "threads"
"""The setting of the training that is no part of the identity: it is compared by the number that it comes to."""


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Returns plain values with handlers by name, and a file's component by the names of the file and the class.

    The location of the file is left out, because it says nothing about its content.
    """
    content = {key: _by_name(value) for key, value in values.items() if key != "output"}
    if isinstance(content.get("training"), dict):
        content["training"] = {k: value for k, value in content["training"].items() if k != THREADS}
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


def flattened(value: Any, key: str = "") -> list[tuple[str, Value]]:
    """Returns the leaves of nested maps and lists by dotted key; anything but a number, text or boolean as text."""
    if isinstance(value, dict):
        prefix = f"{key}." if key else ""
        return [leaf for name, child in value.items() for leaf in flattened(child, f"{prefix}{name}")]
    if isinstance(value, list) and value and all(isinstance(child, dict) for child in value):
        return [leaf for child in value for leaf in flattened(child, key)]
    return [(key, value if isinstance(value, int | float | str | bool) else str(value))]
