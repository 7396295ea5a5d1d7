"""A run's directory: claimed by one process, never half-made."""

from __future__ import annotations

import json
import logging
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from firebox.engine.configuration import Configuration, plain
from firebox.engine.configuration.core_schema import write
from firebox.engine.records.lock import Lock
from firebox.foundation.files import write_whole
from firebox.foundation.problems import Problem, Refusal

if TYPE_CHECKING:
    from firebox.engine.records.tensorboard import TensorBoardWriter

logger = logging.getLogger("firebox")

State = Literal["running", "completed", "interrupted", "failed"]

NO_STATUS = "no readable status"
"""The reason that is given for a status that can't be read."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a run is doing, as ``status.json`` has it.

    Args:
        state: running, completed, interrupted or failed.
        iteration: the last one that was completed when it was written.
        reason: why it is in this state.
    """

    state: State
    iteration: int
    reason: str


class RunDirectory:
    """Paths in a run's directory, and the lock that one process holds on it.

    Args:
        path: of the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock(path / ".lock")

    configuration = property(lambda self: self.path / "config.yaml")
    environment = property(lambda self: self.path / "environment.json")
    model_summary = property(lambda self: self.path / "model_summary.txt")
    losses = property(lambda self: self.path / "losses.jsonl")
    images = property(lambda self: self.path / "images")
    tensorboard = property(lambda self: self.path / "tensorboard")
    checkpoints = property(lambda self: self.path / "checkpoints")
    log = property(lambda self: self.path / "log.txt")

    def lock(self) -> None:
        """Takes the directory for this process; the lock ends with the process, however it ends.

        Raises:
            Refusal: another process has it, or its lock can't be opened.
        """
        self._lock.take()

    def unlock(self) -> None:
        """Gives the directory back."""
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
        """Returns what ``status.json`` holds; nothing where it can't be read."""
        return _read_json(self.path / "status.json")

    def write_status(self, state: State, iteration: int, reason: str) -> None:
        """Replaces ``status.json`` in one step."""
        content = {"status": state, "iteration": iteration, "reason": reason, "updated": _now()}
        write_whole(self.path / "status.json", json.dumps(content, indent=1) + "\n")

    def write_configuration(self, configuration: Configuration) -> None:
        """Writes the resolved configuration; valid as a configuration file."""
        text = write(plain(configuration, self.path))
        write_whole(self.configuration, f"# The resolved configuration of {self.path}\n{text}")

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Writes what the run runs in; of a resumed run, what it ran in before comes after it, under ``earlier``."""
        before = self.recorded_environment()
        if before:
            earlier = before.pop("earlier", [])
            environment = {**environment, "earlier": [before, *(earlier if isinstance(earlier, list) else [])]}
        elif self.environment.exists():
            logger.warning("%s can't be read: written anew; what the run ran in before is lost", self.environment)
        write_whole(self.environment, json.dumps(environment, indent=1) + "\n")

    def recorded_environment(self) -> dict[str, Any]:
        """Returns what the run ran in, as it was recorded; nothing where there is no readable record."""
        return _read_json(self.environment)

    def open_tensorboard(self, iteration: int) -> TensorBoardWriter:
        """Opens a TensorBoard writer that continues after ``iteration``: what a stopped run wrote past it is purged."""
        from firebox.engine.records.tensorboard import TensorBoardWriter

        purge = iteration + 1 if self.tensorboard.is_dir() else None
        return TensorBoardWriter(self.tensorboard, purge_step=purge)


def claim(configuration: Configuration) -> RunDirectory:
    """Makes the run's directory, by an exclusive mkdir, and locks it.

    Raises:
        Refusal: the version exists already, or the folder can't be written.
    """
    parent = configuration.directory
    version = configuration.output.version
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            path = parent / (version or f"version_{next_version(parent)}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                if version:
                    raise Refusal([version_exists(configuration)]) from None
    except OSError as error:
        mark = configuration.mark("output", "root")
        raise Refusal([Problem("output.root", f"can't write into {parent}: {error.strerror}", mark)]) from None
    directory = RunDirectory(path)
    directory.lock()
    directory.write_status("running", 0, "starting")
    return directory


def version_exists(configuration: Configuration) -> Problem:
    """Returns the problem of a version that was asked for and exists."""
    path = configuration.directory / str(configuration.output.version)
    message = f"{path} exists already; expected a new name, or --resume {shlex.quote(str(path))} to continue it"
    return Problem("output.version", message, configuration.mark("output", "version"))


def next_version(parent: Path) -> int:
    """Returns the number after the highest ``version_N`` in a folder."""
    taken = [int(match[1]) for entry in parent.iterdir() if (match := re.fullmatch(r"version_(\d+)", entry.name))]
    return max(taken, default=-1) + 1


def newest(parent: Path) -> RunDirectory | None:
    """Returns the run below ``parent`` that was worked on last; one that is completed only where all are."""
    runs = [RunDirectory(entry) for entry in (parent.iterdir() if parent.is_dir() else ()) if is_run(entry)]

    def worked_on(run: RunDirectory) -> tuple[bool, int]:
        return run.status().state != "completed", (run.path / "status.json").stat().st_mtime_ns

    return max(runs, key=worked_on, default=None)


def is_run(path: Path) -> bool:
    """Whether a folder is a run's directory."""
    return (path / "config.yaml").is_file() and (path / "status.json").is_file()


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the map that a file holds; an empty one where it can't be read, or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
