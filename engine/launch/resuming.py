"""Finds the run to resume, holds its configuration against the one given, and loads its newest valid checkpoint."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.engine.configuration import Configuration, plain, read
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.records.run_directory import RunDirectory, is_run, newest
from firebox.foundation.problems import Problem, Refusal, refuse, shown

if TYPE_CHECKING:
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")

CHANGEABLE = ("training.epochs", "training.device", "handlers", "workers", "placement")
"""Keys that ``--allow-change`` takes: the run stays one run whatever they are."""


def find_run(
    trainer: Trainer,
    path: Path | None,
    assignments: Sequence[str],
    *,
    wanted: str,
    allowed_changes: Sequence[str],
) -> tuple[Configuration, RunDirectory]:
    """Finds the run to resume and its configuration.

    Args:
        trainer: that is to train.
        path: of the configuration given on the command line; None: the run's own, or the trainer's default.
        assignments: ``KEY=VALUE`` from the command line.
        wanted: a run's directory, or "newest": the newest unfinished one of the same datamodule and model.
        allowed_changes: keys in which the configuration given may differ from the run's.

    Raises:
        Refusal: there is no such run, or its configuration differs.
    """
    if wanted == "newest":
        given = read(trainer.name, trainer.default, path, assignments)
        directory = newest(given.directory)
        if directory is None:
            raise Refusal([Problem("", f"--resume: no run in {given.directory}; start one without --resume")])
    else:
        directory = RunDirectory(Path(wanted))
        if not is_run(directory.path):
            raise Refusal([Problem("", f"--resume {wanted}: not a run's directory; expected one with config.yaml")])
        given = read(trainer.name, trainer.default, path or directory.configuration, assignments)
    recorded = read(trainer.name, trainer.default, directory.configuration)
    _refuse_differences(recorded, given, allowed_changes)
    return given, directory


def load_newest(run: Run, folder: Path) -> None:
    """Loads the newest checkpoint that is as it was written; a run that has none starts over.

    Raises:
        Refusal: there are checkpoints, and none is valid.
    """
    from firebox.engine.records import checkpoints

    for name in checkpoints.clean(folder):
        logger.info("removed a checkpoint that was not written to its end: %s", name)
    path, damaged = checkpoints.newest_valid(folder)
    for text in damaged:
        logger.warning("damaged checkpoint: %s", text)
    if path is None:
        if damaged:
            message = f"no valid checkpoint in {folder}: {len(damaged)} damaged; nothing was deleted"
            raise Refusal([Problem("", message)])
        logger.info("no checkpoint yet: starting over")
        return
    run.load_state_dict(checkpoints.load(path, run.device))
    logger.info("resumed from %s", path)


def differences(recorded: Any, given: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Returns the dotted keys in which two plain configurations differ, with both values."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        found = []
        for name in dict.fromkeys([*recorded, *given]):
            dotted = f"{key}.{name}" if key else name
            found += differences(recorded.get(name), given.get(name), dotted)
        return found
    return [] if recorded == given else [(key, recorded, given)]


def _comparable(configuration: Configuration) -> dict[str, Any]:
    """The configuration without where its output goes; the handlers by name."""
    content = plain(configuration)
    content.pop("output")
    content["handlers"] = {name: parameters for entry in content["handlers"] for name, parameters in entry.items()}
    return content


def _refuse_differences(recorded: Configuration, given: Configuration, allowed: Sequence[str]) -> None:
    problems = [
        Problem("", f"--allow-change {key}: can't be changed in a run; expected one of: {', '.join(CHANGEABLE)}")
        for key in allowed
        if not _covered(key, CHANGEABLE)
    ]
    for key, before, now in differences(_comparable(recorded), _comparable(given)):
        if _covered(key, allowed):
            logger.info("%s: changed from %s to %s", key, shown(before), shown(now))
            continue
        where = f"{recorded.root.mark.source}"
        way_out = (
            f"--allow-change {shlex.quote(key)}" if _covered(key, CHANGEABLE) else "start a new run without --resume"
        )
        message = f"the run has {shown(before)} ({where}), now {shown(now)}; expected the same, or {way_out}"
        problems.append(Problem(key, message, given.mark(*key.split("."))))
    refuse(problems)


def _covered(key: str, keys: Sequence[str]) -> bool:
    """Whether a dotted key is one of ``keys``, below one of them, or named so in the data's section."""
    section, _, name = key.partition(".")
    short = name if section in ("datamodule", "datagenerator") else key
    return any(candidate == k or candidate.startswith(f"{k}.") for k in keys for candidate in (key, short))
