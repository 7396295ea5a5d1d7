"""Verifies that an archive is unchanged: its card and every file are, and there are no other files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from firebox.engine.records.sealing import CARD, read_card
from firebox.foundation.files import digest
from firebox.foundation.problems import Problem, Refusal, shown

SCHEMA_VERSION = 2
WEIGHTS, CONFIGURATION, SUMMARY, METRICS = "weights.safetensors", "config.yaml", "model_summary.txt", "metrics.json"
EXPERIMENTS = "experiments"
"""The folder of an archive that stays writable, for the findings of the experiments."""

REQUIRED = (
    *((key,) for key in ("name", "trainer", "version", "signature", "metrics")),
    *(("files", name) for name in (WEIGHTS, CONFIGURATION, SUMMARY, METRICS)),
    *(("self_check", key) for key in ("images", "metric", "value")),
    ("weights", "sha256"),
)
"""The keys of a card that loading the archive needs."""


def verified(path: Path) -> dict[str, Any]:
    """Returns the card of an archive, once every file is verified to be as it was archived, and no other to exist.

    Raises:
        Refusal: names the file and what is wrong with it.
    """
    card = _read_card(path)
    verify_files(path, card)
    return card


def verify_files(path: Path, card: Mapping[str, Any]) -> None:
    """Verifies that every file is as it was archived, and that none was added outside the experiments' folder.

    Raises:
        Refusal: names the file and what is wrong with it.
    """
    for name in card["files"]:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or str(place) != name or "\\" in name:
            raise _refusal(f"{path / CARD}: files has {shown(name)}, expected names of files below the archive")
    _refuse_links_and_strangers(path, {*card["files"], CARD})
    for name, expected in card["files"].items():
        file = path / name
        if not file.is_file():
            raise _refusal(f"{path}: {name} is missing")
        if digest(file) != expected["sha256"]:
            raise _refusal(f"{file}: its SHA-256 is not the card's; the file is not the one that was archived")
    if not card["version"] == card["weights"]["sha256"] == card["files"][WEIGHTS]["sha256"]:
        raise _refusal(f"{path / CARD}: version is not the SHA-256 of {WEIGHTS}")


def _refuse_links_and_strangers(path: Path, known: set[str]) -> None:
    for folder, folders, files in os.walk(path):
        if Path(folder) == path:
            if (path / EXPERIMENTS).is_symlink():
                raise _refusal(f"{path / EXPERIMENTS}: a link; an archive holds files and folders alone")
            folders[:] = [name for name in folders if name != EXPERIMENTS]
        for name in (*folders, *files):
            entry = Path(folder) / name
            if entry.is_symlink():
                raise _refusal(f"{entry}: a link; an archive holds files and folders alone")
        for name in files:
            entry = Path(folder) / name
            if entry.relative_to(path).as_posix() not in known:
                raise _refusal(f"{entry}: was not archived; remove it, or move it to {path / EXPERIMENTS}")


def _read_card(path: Path) -> dict[str, Any]:
    file = path / CARD
    card = read_card(file, SCHEMA_VERSION, "archive its run again: firebox archive RUN")
    for keys in (*REQUIRED, *(("files", name, "sha256") for name in card.get("files", ()))):
        value: Any = card
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise _refusal(f"{file}: not as it was written: {'.'.join(keys)} is missing")
            value = value[key]
    images, value = card["self_check"]["images"], card["self_check"]["value"]
    if type(images) is not int or images < 1 or not isinstance(value, int | float):
        raise _refusal(
            f"{file}: self_check: got {shown(card['self_check'])}, expected images and the value of a metric"
        )
    return card


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
