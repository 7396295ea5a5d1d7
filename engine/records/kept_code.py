"""Configurations whose components come from the code that the run or the archive kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from firebox.engine.components.targets import Target
from firebox.engine.configuration import Configuration, Named, read_recorded
from firebox.engine.configuration.components import Renaming
from firebox.engine.records.own_code import CODE, DamagedCode, OwnCode, code_of, read_code
from firebox.engine.records.run_directory import RunDirectory
from firebox.foundation.copies import copied
from firebox.foundation.problems import Mark, Problem, Refusal

_UNPACKED: dict[str, TemporaryDirectory[str]] = {}
"""Temporary folders of this process, by the code that they hold."""


def unpacked(code: OwnCode) -> Path:
    """Writes code into a folder that belongs to this process alone, and returns the folder.

    So the code that is imported is the code that was verified: no other process writes there.
    """
    key = hashlib.sha256(json.dumps([code.digests, sorted(code.parts)]).encode()).hexdigest()
    if key not in _UNPACKED:
        _UNPACKED[key] = TemporaryDirectory(prefix="firebox_", ignore_cleanup_errors=True)
        code.write(Path(_UNPACKED[key].name) / CODE)
    return Path(_UNPACKED[key].name).resolve()


def renaming(code: OwnCode, folder: Path) -> Renaming:
    """Returns a function for the configuration's reader that renames components to those of kept code.

    Args:
        code: kept code.
        folder: folder into which the code was unpacked.
    """

    def renamed(key: str, name: str, mark: Mark | None) -> tuple[str, Mark | None]:
        part = code.parts.get(part_key(key))
        return (name, mark) if part is None else (part.reference, Mark(str(folder / "config.yaml"), 1, 1))

    return renamed


def part_key(key: str) -> str:
    """Returns the key that a part has in ``OwnCode``: a handler's has the name of its class."""
    first, _, rest = key.partition(".")
    return f"{first}.{rest.rpartition(':')[2]}" if first == "handlers" else key


def read_with_kept_code(directory: RunDirectory) -> tuple[Configuration, OwnCode, Path]:
    """Reads a run's configuration with the components with which it was trained, wherever the project is now.

    Returns:
        The configuration, the run's own code, and the folder into which the code was unpacked.

    Raises:
        Refusal: the kept code is damaged, or the configuration can't work.
    """
    try:
        known = read_code(directory.path / CODE)
    except DamagedCode as error:
        folder = directory.path / CODE
        message = (
            f"the code that the run kept is damaged: {error}; restore it, or remove {folder} to have the files used "
        )
        raise Refusal([Problem("", f"{message}that the configuration names")]) from None
    code = code_of(read_recorded(directory.configuration)) if known is None else known[0]
    folder = unpacked(code)
    if known is not None:
        copied(directory.path, folder)
    return read_recorded(directory.configuration, renaming(code, folder)), code, folder


def moved(configuration: Configuration, old: Path, new: Path) -> Configuration:
    """Returns a configuration in which paths to unpacked code lead to the same code in another folder."""

    def part(named: Named) -> Named:
        module, attribute = Path(named.component.target.module), named.component.target.attribute
        parameters = {k: part(value) if isinstance(value, Named) else value for k, value in named.parameters.items()}
        if not module.is_relative_to(old):
            return replace(named, parameters=parameters)
        place = str(new.resolve() / module.relative_to(old))
        component = replace(named.component, name=f"{place}:{attribute}", target=Target(place, attribute))
        return replace(named, parameters=parameters, component=component)

    return configuration.mapped(part)
