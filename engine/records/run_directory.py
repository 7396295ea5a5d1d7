"""A run's directory: its files, its status, and the lock that one process holds."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from firebox.engine.configuration.core_schema import write
from firebox.engine.records.lock import Lock
from firebox.foundation.files import write_whole

if TYPE_CHECKING:
    from firebox.engine.configuration import Configuration
    from firebox.engine.records.tensorboard import TensorBoardWriter

logger = logging.getLogger("firebox")

State = Literal["running", "completed", "interrupted", "failed"]

STARTING = ".starting_"
"""How the name of a directory begins that has no version yet."""
NO_STATUS = "no readable status"
"""The reason given for a status that can't be read."""


@dataclass(frozen=True, slots=True)
class Status:
    """A run's status, as recorded in ``status.json``.

    Args:
        state: ``running``, ``completed``, ``interrupted`` or ``failed``.
        iteration: the last completed iteration at the time of writing.
        reason: the reason for the state.
    """

    state: State
    iteration: int
    reason: str


class RunDirectory:
    """Paths in a run's directory, and the lock that one process holds on it.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock(path / ".lock")

    configuration = property(lambda self: self.path / "config.yaml")
    environment = property(lambda self: self.path / "environment.json")
    data = property(lambda self: self.path / "data.json")
    data_files = property(lambda self: self.path / "data_files.json.gz")
    model_summary = property(lambda self: self.path / "model_summary.txt")
    losses = property(lambda self: self.path / "losses.jsonl")
    loss_plot = property(lambda self: self.path / "losses.png")
    images = property(lambda self: self.path / "images")
    tensorboard = property(lambda self: self.path)  # TensorBoard names a run by the folder of its event files
    checkpoints = property(lambda self: self.path / "checkpoints")
    log = property(lambda self: self.path / "log.txt")

    def move(self, path: Path) -> None:
        """Renames the directory; a lock that is held stays so.

        Raises:
            OSError: something else has that name, an empty directory excepted.
        """
        self.path.rename(path)
        self.path = path
        self._lock.follow(path / ".lock")

    def lock(self) -> None:
        """Locks the directory for this process; the lock ends with the process, however it ends.

        Raises:
            Refusal: another process has it, or its lock can't be opened.
        """
        self._lock.take()

    def unlock(self) -> None:
        """Releases the lock."""
        self._lock.give_back()

    def in_use(self) -> bool:
        """Whether a process has the directory, this one included; True where that can't be known."""
        return self._lock.is_held()

    def status(self) -> Status:
        """Returns the recorded status; a run whose process died still says ``running``."""
        content = self.recorded_status()
        state, iteration, reason = (content.get(key) for key in ("status", "iteration", "reason"))  # type: Any, Any, Any
        if state in get_args(State) and type(iteration) is int and isinstance(reason, str):
            return Status(state, iteration, reason)
        return Status("running", 0, NO_STATUS)

    def recorded_status(self) -> dict[str, Any]:
        """Returns the content of ``status.json``; an empty dict if it can't be read."""
        return _read_json(self.path / "status.json")

    def write_status(self, state: State, iteration: int, reason: str, exit_code: int | None = None) -> None:
        """Replaces ``status.json`` atomically.

        Args:
            state: see ``Status``.
            iteration: see ``Status``.
            reason: see ``Status``.
            exit_code: exit code of the run, which a launcher may replace by its own; None as long as it runs.
        """
        code = {} if exit_code is None else {"exit_code": exit_code}
        content = {"status": state, "iteration": iteration, "reason": reason, **code, "updated": _now()}
        write_whole(self.path / "status.json", json.dumps(content, indent=1) + "\n")

    def write_configuration(self, configuration: Configuration) -> None:
        """Writes the resolved configuration, which is valid as a configuration file."""
        from firebox.engine.configuration import plain

        text = write(plain(configuration, self.path))
        write_whole(self.configuration, f"# The resolved configuration of this run\n{text}")

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Writes the run's environment; environments from before a resume are kept under ``earlier``."""
        before = self.recorded_environment()
        if before:
            earlier = before.pop("earlier", [])
            environment = {**environment, "earlier": [before, *(earlier if isinstance(earlier, list) else [])]}
        elif self.environment.exists():
            logger.warning("%s can't be read: written anew; what the run ran in before is lost", self.environment)
        write_whole(self.environment, json.dumps(environment, indent=1) + "\n")

    def recorded_environment(self) -> dict[str, Any]:
        """Returns the recorded environment; an empty dict if there is no readable record."""
        return _read_json(self.environment)

    def open_tensorboard(self, iteration: int) -> TensorBoardWriter:
        """Opens a TensorBoard writer that continues after ``iteration``: what a stopped run wrote past it is purged."""
        from firebox.engine.records.tensorboard import TensorBoardWriter

        earlier = any(self.tensorboard.glob("events.out.tfevents.*"))
        return TensorBoardWriter(self.tensorboard, purge_step=iteration + 1 if earlier else None)


def has_checkpoints(directory: RunDirectory | None) -> bool:
    """Whether a run to resume, if there is one, has a checkpoint; whether that is valid is known once it is loaded."""
    return directory is not None and any(directory.checkpoints.glob("iteration_*"))


def newest_first(runs: Iterable[RunDirectory]) -> list[RunDirectory]:
    """Returns runs in the order in which their status last changed, the latest first."""
    return sorted(runs, key=lambda run: (run.path / "status.json").stat().st_mtime_ns, reverse=True)


def is_run(path: Path) -> bool:
    """Whether a folder is a run's directory; the hidden one of a run that is just being claimed is none."""
    if path.name.startswith(STARTING):
        return False
    # pathlib's is_file raises for a name too long and for a folder that can't be looked into.
    return all(os.path.isfile(path / name) for name in ("config.yaml", "status.json"))  # noqa: PTH113


def distinct(runs: Iterable[Path]) -> list[Path]:
    """Returns folders without the links to others of them, such as a ``latest`` that somebody keeps beside the runs."""
    found: dict[Path, Path] = {}
    real = cache(Path.resolve)  # of the folder that many runs share
    for link, path in sorted(((path.is_symlink(), path) for path in runs), key=itemgetter(0)):
        found.setdefault(path.resolve() if link else real(path.parent) / path.name, path)
    return list(found.values())


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the dict that a JSON file holds; an empty one if it can't be read or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
