"""Finds the run to resume, compares its configuration with the one given, and loads its newest valid checkpoint."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.data.fingerprints.fingerprint import agree
from firebox.engine.configuration import Configuration, read
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.launch.continuity import (
    covered,
    differing,
    lost_handlers,
    refuse_another_version,
    refuse_differences,
    with_kept_code,
)
from firebox.engine.launch.finding import choose, not_a_run
from firebox.engine.records.claiming import never_configured
from firebox.engine.records.run_directory import NO_STATUS, RunDirectory, is_run
from firebox.foundation import console
from firebox.foundation.problems import Problem, Refusal

if TYPE_CHECKING:
    from firebox.engine.records.checkpoints import Manifest
    from firebox.engine.training.bases.handler import Handler
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")


def find_run(
    trainer: Trainer,
    path: Path | None,
    assignments: Sequence[str],
    *,
    wanted: str,
    allowed_changes: Sequence[str],
) -> tuple[Configuration, RunDirectory | None]:
    """Finds the run to resume and its configuration.

    Args:
        trainer: the trainer of the command.
        path: the configuration given on the command line; None for the run's own or, where no run is named, the
            trainer's default.
        assignments: ``KEY=VALUE`` from the command line.
        wanted: a run's directory; or "newest" for the newest run of the configuration, an unfinished one first.
        allowed_changes: keys in which the configuration given may differ from the run's.

    Returns:
        The configuration, and the run's directory; None if the run was killed before it had one and is started anew.

    Raises:
        Refusal: there is no such run, or its configuration differs.
    """
    if wanted == "newest":
        given = read(trainer.name, trainer.default, path, assignments)
        chosen = choose(given, lambda run: differing(run, given, allowed_changes))
        if chosen is None:
            return given, None
        directory = chosen
    else:
        directory = RunDirectory(Path(wanted))
        if not is_run(directory.path):
            given = _started_over(trainer, path, assignments, directory)
        else:
            left_out = lost_handlers(directory) if path is None and covered("handlers", allowed_changes) else []
            try:
                given = read(trainer.name, trainer.default, path or directory.configuration, [*left_out, *assignments])
            except Refusal as refusal:
                raise with_kept_code(refusal, directory) if path is None else refusal from None
    if not directory.configuration.is_file():
        logger.warning("%s: its start was killed before its configuration was written: starting over", directory.path)
        return given, directory
    refuse_another_version(directory, given)
    refuse_differences(directory, given, allowed_changes)
    return given, directory


def _started_over(
    trainer: Trainer, path: Path | None, assignments: Sequence[str], directory: RunDirectory
) -> Configuration:
    """The configuration given, for a directory in which a start was killed before it had one.

    Raises:
        Refusal: the directory is another one, or no configuration was given.
    """
    given = read(trainer.name, trainer.default, path, assignments)
    options = [shlex.join(["--set", assignment]) for assignment in assignments]

    def command(configuration: Path, resume: str = "--resume") -> str:
        return " ".join(["firebox train", trainer.name, shlex.quote(str(configuration)), *options, resume])

    killed = never_configured(directory.path)
    if killed and path is None and (directory.path / ".lock").exists():
        named = f"--resume {shlex.quote(str(directory.path))}"
        message = f"{named}: its start was killed before its configuration was written; expected that configuration"
        raise Refusal([Problem("", f"{message} beside it, such as: {command(trainer.default, named)}")])
    if not killed or directory.path.resolve().parent != given.directory.resolve():
        raise not_a_run(str(directory.path), folder=given.directory, command=command)
    return given


def take_up(run: Run, directory: RunDirectory, assemble: Callable[[], Run]) -> Run:
    """Locks the directory of a run to resume and loads its newest valid checkpoint.

    Args:
        run: the run assembled for the directory.
        directory: the directory of the run to resume.
        assemble: assembles an identical run.

    Returns:
        The loaded run, in its directory. It is not the run given if a checkpoint did not fit.

    Raises:
        Refusal: another process holds the directory, or none of its checkpoints can be used. It stays unchanged.
    """
    directory.lock()
    console.log_to(directory.log)
    if directory.status().reason == NO_STATUS:
        logger.warning("%s can't be read: written anew", directory.path / "status.json")
    try:
        run = load_newest(run, directory, assemble)
    except BaseException:
        directory.unlock()
        raise
    run.begin(directory)
    return run


def load_newest(run: Run, directory: RunDirectory, assemble: Callable[[], Run]) -> Run:
    """Loads the newest checkpoint that is undamaged, fits the run, and is preceded by complete records.

    A run that has no checkpoint starts over; so does one of whose checkpoints none can be continued because rows of its
    losses are gone, as starting over is what computes them again.

    Args:
        run: the assembled run, which is loaded into.
        directory: the run's directory.
        assemble: assembles an identical run, needed if a checkpoint fails to fit while it is being loaded.

    Returns:
        The loaded run.

    Raises:
        Refusal: there are checkpoints, and none can be used.
    """
    from firebox.engine.records import checkpoints
    from firebox.engine.training.bases.ownership import StateMismatch

    folder = directory.checkpoints
    for name in checkpoints.clean(folder):
        logger.info("removed a checkpoint that was not written to its end: %s", name)
    paths = [checkpoints.path_of(folder, iteration) for iteration in reversed(checkpoints.iterations_in(folder))]
    damaged, differing, lost = 0, "", ""
    for path in paths:
        try:
            state = checkpoints.load(path, "cpu" if run.spreads else run.device)
            missing = lost_before(directory, state, {name: type(handler) for name, handler in run.handlers.items()})
            if missing is not None:
                lost = missing
                logger.warning("%s can't be continued: %s; going back", path, missing)
                continue
            _adapt_epochs(state, checkpoints.read_manifest(path), run)
            run.load_state_dict(state)
        except checkpoints.DamagedCheckpoint as error:
            damaged += 1
            logger.warning("damaged checkpoint: %s", error)
        except StateMismatch as error:
            differing = differing or f"{path}: {error}"
            logger.warning("%s doesn't fit the run: %s", path, error)
            run = assemble()
        else:
            logger.info("resumed from %s", path)
            return run
    if differing:
        way_out = "give the part back the form that it was saved in, or start a new run without --resume"
        raise Refusal([Problem("", f"no checkpoint fits the run: {differing}; nothing was deleted; {way_out}")])
    if lost:
        logger.warning("no checkpoint can be continued: starting over, which computes again what is lost: %s", lost)
        run = run if run.configuration.weights is None else assemble()
    elif damaged:
        message = f"no valid checkpoint in {folder}: {damaged} damaged; nothing was deleted"
        raise Refusal([Problem("", f"{message}; start a new run without --resume")])
    else:
        logger.info("no checkpoint yet: starting over")
    return run


def _adapt_epochs(state: dict[str, Any], manifest: Manifest, run: Run) -> None:
    """Lets epochs have another length from now on if the data has changed, which was allowed then."""
    before, now = state.get("epoch_length"), run.epoch_length
    if before != now and manifest.data is not None and not agree(manifest.data, run.identity.fingerprint.digests):
        logger.warning("an epoch now has %d iterations, so far %s; epochs are counted by their new length", now, before)
        state["epoch_length"] = now


def lost_before(directory: RunDirectory, state: dict[str, Any], handlers: Mapping[str, type[Handler]]) -> str | None:
    """Returns which of the handlers' files from before a checkpoint are incomplete; None if all are complete."""
    states = state.get("handlers")
    for name, kind in handlers.items():
        if isinstance(states, dict) and name in states:
            try:
                missing = kind.lost(directory, states[name], state["iteration"])
            except Exception:  # a state that the handler does not understand is reported when it is loaded
                continue
            if missing is not None:
                return missing
    return None


def damage(directory: RunDirectory, configuration: Configuration) -> str | None:
    """Returns what is damaged in a completed run: its last checkpoint, or the records before it; None if nothing is.

    A run that keeps no checkpoints has nothing that could be recomputed.
    """
    from firebox.engine.records import checkpoints
    from firebox.engine.training.bases.handler import Handler

    iterations, last = checkpoints.iterations_in(directory.checkpoints), directory.status().iteration
    if not iterations:
        return None
    path = checkpoints.path_of(directory.checkpoints, last)
    if iterations[-1] < last:
        return f"its last checkpoint, {path}, is missing"
    try:
        state = checkpoints.load(path, "meta")
    except checkpoints.DamagedCheckpoint as error:
        return f"its last checkpoint is damaged: {error}"
    handlers: dict[str, type[Handler]] = {}
    for named in configuration.handlers:
        with suppress(Exception):  # a file of the user's that is gone, or does not load, says nothing of the run
            kind = named.component.target.load()
            if isinstance(kind, type) and issubclass(kind, Handler):
                handlers[named.component.short_name] = kind
    return lost_before(directory, state, handlers)
