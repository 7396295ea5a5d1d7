"""A user's own code as runs and archives keep it: every file of every component, with its SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from firebox.engine.components.own_files import own_files
from firebox.engine.components.siblings import folders_of
from firebox.engine.configuration import Configuration
from firebox.engine.configuration.identity import parts_of
from firebox.foundation.files import sync_folder, write_whole

CODE, RECORD = "code", "record.json"


class DamagedCode(ValueError):
    """The kept code is not as it was written."""


@dataclass(frozen=True, slots=True)
class PartCode:
    """The files of one component.

    Args:
        folder: folder in which they lie, below the folder of all code.
        files: names of the files below that folder; the first one defines the component.
        attribute: class or function in the first file.
    """

    folder: str
    files: tuple[str, ...]
    attribute: str

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of the files below the folder of all code."""
        return tuple((PurePosixPath(self.folder) / name).as_posix() for name in self.files)

    @property
    def reference(self) -> str:
        """The part's name in a configuration that lies beside the folder of all code."""
        return f"{CODE}/{self.names[0]}:{self.attribute}"


@dataclass(frozen=True, slots=True)
class OwnCode:
    """The code of a run's components that is not installed.

    Args:
        parts: components of the user's own, by dotted key.
        contents: contents of the files, by their names below the folder of all code.
    """

    parts: Mapping[str, PartCode] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.contents.items()}

    def digests_of(self, key: str) -> dict[str, str]:
        """Returns the SHA-256 of each file of a part, by its name below the part's own folder."""
        part, digests = self.parts[key], self.digests
        return {name: digests[place] for name, place in zip(part.files, part.names, strict=True)}

    def write(self, folder: Path, configuration: Mapping[str, Any] | None = None) -> None:
        """Writes the files and their record.

        Args:
            folder: folder to create.
            configuration: plain values of the configuration to record beside them; None to record none.
        """
        folder.mkdir(parents=True)
        for name, content in self.contents.items():
            write_whole(folder / name, content)
        digests = self.digests
        record = {
            "configuration": configuration,
            "parts": {
                key: {"folder": part.folder, "files": part.files, "attribute": part.attribute}
                for key, part in self.parts.items()
            },
            "files": {name: {"sha256": digests[name], "bytes": len(self.contents[name])} for name in self.contents},
        }
        write_whole(folder / RECORD, json.dumps(record, indent=1) + "\n")
        sync_folder(folder)


def code_of(configuration: Configuration) -> OwnCode:
    """Collects the user's own files that a configuration's components consist of, by parsing.

    The files keep their places relative to one another, so that files of one name in two folders stay distinct.
    """
    files = {key: own_files(named.component.target) for key, named in parts_of(configuration)}
    attributes = {key: named.component.target.attribute for key, named in parts_of(configuration)}
    files = {key: found for key, found in files.items() if found}
    tops = {key: _common(found) for key, found in files.items()}
    if not tops:
        return OwnCode()
    base = Path(os.path.commonpath(tops.values()))
    parts = {
        key: PartCode(
            tops[key].relative_to(base).as_posix(),
            tuple(file.relative_to(tops[key]).as_posix() for file in found),
            attributes[key],
        )
        for key, found in files.items()
    }
    places = sorted({file for found in files.values() for file in found})
    return OwnCode(parts, {file.relative_to(base).as_posix(): file.read_bytes() for file in places})


def _common(files: tuple[Path, ...]) -> Path:
    """Returns the folder from which files import one another, above the packages that they belong to."""
    return Path(os.path.commonpath([folders_of(file)[-1] for file in files]))


def read_code(folder: Path) -> tuple[OwnCode, dict[str, Any] | None] | None:
    """Reads the code that ``OwnCode.write`` wrote.

    Returns:
        The code, and the recorded plain values of the configuration; None if there is no record.

    Raises:
        DamagedCode: the code is not as it was written.
    """
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_bytes())
        parts = {
            str(key): PartCode(str(part["folder"]), tuple(map(str, part["files"])), str(part["attribute"]))
            for key, part in record["parts"].items()
        }
        expected = {str(name): str(entry["sha256"]) for name, entry in record["files"].items()}
        values = record["configuration"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DamagedCode(f"{file}: can't be read, or is not as it was written") from None
    wanted = {name for part in parts.values() for name in part.names}
    if not all(part.files for part in parts.values()) or not wanted <= expected.keys():
        raise DamagedCode(f"{file}: not as it was written")
    contents = {}
    for name, sha256 in expected.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or place.suffix != ".py":
            raise DamagedCode(f"{file}: names {name!r}, expected Python files below {folder}")
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DamagedCode(f"{folder / name}: {error.strerror}") from None
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise DamagedCode(f"{folder / name}: its SHA-256 is not the one in {RECORD}")
    return OwnCode(parts, contents), values if isinstance(values, dict) else None


def keep(code: OwnCode, run: Path, configuration: Mapping[str, Any], iteration: int) -> None:
    """Keeps a run's code and configuration in its directory; earlier code that differs is kept beside it.

    Args:
        code: code with which the run goes on.
        run: directory of the run.
        configuration: plain values, as in the run's ``config.yaml``.
        iteration: iteration from which the run goes on.
    """
    folder, temporary = run / CODE, run / f".{CODE}.writing"
    try:
        known = read_code(folder)
    except DamagedCode:
        known = None
    if known is not None and known == (code, configuration):
        return
    shutil.rmtree(temporary, ignore_errors=True)
    code.write(temporary, configuration)
    if folder.exists():
        earlier = run / f"{CODE}_until_iteration_{iteration:08d}"
        if earlier.exists() or (known is not None and known[0] == code):
            earlier = run / f".{CODE}.replaced"
            shutil.rmtree(earlier, ignore_errors=True)
        folder.rename(earlier)
    temporary.rename(folder)
    sync_folder(run)
    shutil.rmtree(run / f".{CODE}.replaced", ignore_errors=True)
