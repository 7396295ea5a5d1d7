"""Checkpoints that exist whole or not at all.

A checkpoint is written into a temporary sibling folder and flushed to disk, its manifest with the SHA-256 last; then
the folder is renamed.
Reading verifies every byte. Loading never executes anything: ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.engine.records.storable import difference, path_text, restored
from firebox.foundation.files import HashingFile, digest, sync_folder
from firebox.foundation.problems import TrainingFailure

if TYPE_CHECKING:
    import torch

STATE, MANIFEST = "state.pt", "manifest.json"
_NAME = re.compile(r"iteration_(\d{8,})")
_TEMPORARY = re.compile(r"\.iteration_\d+\.(writing|replaced)")


class SaveError(TrainingFailure):
    """A checkpoint could not be written; earlier ones are unchanged."""


class DamagedCheckpoint(ValueError):
    """A checkpoint whose content differs from what was written."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint's description of itself.

    Args:
        iteration: the last completed iteration.
        epoch: the epoch of that iteration, starting at 1.
        metrics: the metrics measured at this iteration, by ``split/name``.
        configuration: the SHA-256 of the run's configuration.
        files: SHA-256 and size of each file, by name: ``{"sha256": ..., "bytes": ...}``.
        data: digests of the data that the run was trained on, by what they are of; None if they were not recorded.
    """

    iteration: int
    epoch: int
    metrics: dict[str, float]
    configuration: str
    files: dict[str, dict[str, Any]]
    data: dict[str, str | None] | None = None

    def text(self) -> str:
        """Returns the text of the manifest's file, which includes its own digest."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.data is None:
            del content["data"]  # as the manifests of before the data was recorded
        sha256 = _digest(json.dumps(content, sort_keys=True).encode())
        return json.dumps({**content, "sha256": sha256}, sort_keys=True, indent=1) + "\n"


def path_of(folder: Path, iteration: int) -> Path:
    """Returns the path of an iteration's checkpoint in the folder of all checkpoints."""
    return folder / f"iteration_{iteration:08d}"


def iterations_in(folder: Path) -> list[int]:
    """Returns the iterations that have a checkpoint, in ascending order."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def save(
    folder: Path,
    state: Mapping[str, Any],
    *,
    iteration: int,
    epoch: int,
    metrics: dict[str, float],
    configuration: str,
    data: dict[str, str | None] | None = None,
    read_back: bool = False,
) -> Path:
    """Writes a checkpoint, and returns once it is on the disk.

    Args:
        folder: the folder of the run's checkpoints.
        state: nested dicts and lists of tensors, numbers and texts.
        iteration: the last completed iteration.
        epoch: the epoch of that iteration, starting at 1.
        metrics: see ``Manifest``.
        configuration: see ``Manifest``.
        data: see ``Manifest``.
        read_back: load what was written and compare it with the state, before the checkpoint exists.

    Raises:
        SaveError: it could not be written or read back; nothing incomplete is left behind.
    """
    import torch

    final = path_of(folder, iteration)
    temporary = folder / f".{final.name}.writing"
    replaced = folder / f".{final.name}.replaced"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with HashingFile((temporary / STATE).open("wb")) as file:
            torch.save(dict(state), file)  # type: ignore[arg-type]
        if read_back:
            _refuse_unreadable(temporary / STATE, state)
        files = {STATE: {"sha256": file.sha256, "bytes": file.size}}
        manifest = Manifest(iteration, epoch, metrics, configuration, files, data)
        with HashingFile((temporary / MANIFEST).open("wb")) as file:
            file.write(manifest.text().encode())
        sync_folder(temporary)
        if final.exists():
            final.rename(replaced)
        temporary.rename(final)
        sync_folder(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except (OSError, RuntimeError, ValueError, pickle.PicklingError) as error:
        if replaced.exists() and not final.exists():
            replaced.rename(final)
        shutil.rmtree(temporary, ignore_errors=True)
        # torch wraps what its writer raised; the operating system's own words say more.
        cause = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, OSError)), error)
        raise SaveError(f"can't write the checkpoint of iteration {iteration} into {folder}: {cause}") from error
    return final


def verify(path: Path) -> Manifest:
    """Reads a checkpoint's manifest and verifies every byte of its files.

    Raises:
        DamagedCheckpoint: names the file and what is wrong with it.
    """
    manifest = read_manifest(path)
    for name, expected in manifest.files.items():
        file = path / name
        try:
            size = file.stat().st_size
            found = digest(file) if size == expected["bytes"] else ""
        except OSError as error:
            raise DamagedCheckpoint(f"{file}: {error.strerror}") from None
        if found != expected["sha256"]:
            what = f"{size} bytes, expected {expected['bytes']}" if not found else "its SHA-256 is not the manifest's"
            raise DamagedCheckpoint(f"{file}: {what}")
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Reads a checkpoint's manifest and verifies that it is undamaged, to the byte, and belongs to this checkpoint.

    Raises:
        DamagedCheckpoint: it is not.
    """
    manifest, text = _manifest_and_text(path)
    if manifest.text().encode() != text:
        raise DamagedCheckpoint(f"{path / MANIFEST}: not as it was written")
    return manifest


def _manifest_and_text(path: Path) -> tuple[Manifest, bytes]:
    """Reads a checkpoint's manifest and verifies that what it says is as it was written."""
    file = path / MANIFEST
    try:
        text = file.read_bytes()
        content = json.loads(text)
        sha256 = content.pop("sha256")
        manifest = Manifest(**content)
        intact = sha256 == _digest(json.dumps(content, sort_keys=True).encode()) and set(manifest.files) == {STATE}
    except OSError as error:
        raise DamagedCheckpoint(f"{file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise DamagedCheckpoint(f"{file}: not as it was written")
    if path_of(path.parent, manifest.iteration).name != path.name:
        raise DamagedCheckpoint(f"{file}: is the manifest of iteration {manifest.iteration}")
    return manifest, text


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Verifies and loads a checkpoint. Executes nothing of what it contains.

    Raises:
        DamagedCheckpoint: its bytes are not those that were written, or hold more than data.
    """
    import torch

    manifest = verify(path)
    state = _read(path / STATE, device)
    if not isinstance(state, dict) or state.get("iteration") != manifest.iteration:
        raise DamagedCheckpoint(f"{path / STATE}: is not the state of iteration {manifest.iteration}")
    # A tensor on the device "meta" has no values that NumPy could have.
    return state if torch.device(device).type == "meta" else restored(state)


def _read(file: Path, device: torch.device | str) -> Any:
    import torch

    try:
        return torch.load(file, map_location=device, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedCheckpoint(f"{file}: can't be loaded: {reason}") from None


def _refuse_unreadable(file: Path, state: Mapping[str, Any]) -> None:
    differing = difference(dict(state), _read(file, "cpu"))
    if differing is not None:
        raise DamagedCheckpoint(f"{file}: {path_text(differing)} is not read as it was written")


def valid_manifests(folder: Path) -> list[Manifest]:
    """Returns the manifests that say what was written, and whose files have the right size, ordered by iteration.

    The content of the files is not read, nor every byte of a manifest compared: ``verify`` does that.
    """
    manifests = []
    for iteration in iterations_in(folder):
        path = path_of(folder, iteration)
        try:
            manifest, _ = _manifest_and_text(path)
            if (path / STATE).stat().st_size == manifest.files[STATE]["bytes"]:
                manifests.append(manifest)
        except (DamagedCheckpoint, OSError):
            continue
    return manifests


def clean(folder: Path) -> list[str]:
    """Removes the remains of a killed write, and restores a checkpoint that was moved aside for its successor.

    Returns:
        The names of what was removed.
    """
    removed = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _TEMPORARY.fullmatch(entry.name):
            continue
        final = folder / entry.name.removeprefix(".").rpartition(".")[0]
        if entry.name.endswith(".replaced") and not final.exists():
            entry.rename(final)
            continue
        shutil.rmtree(entry)
        removed.append(entry.name)
    return removed


def remove(path: Path) -> None:
    """Removes a checkpoint in such a way that a partly removed one is never mistaken for a checkpoint."""
    doomed = path.parent / f".{path.name}.replaced"
    path.rename(doomed)
    shutil.rmtree(doomed)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
