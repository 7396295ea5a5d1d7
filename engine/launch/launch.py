"""Takes a request from the command line to a run that can be trained, and has it trained."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.configuration import Configuration, read
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.launch import messages
from firebox.engine.launch.circumstances import other_circumstances
from firebox.engine.launch.completion import completed, ended_early
from firebox.engine.launch.course import train
from firebox.engine.launch.processes import refuse_second_import
from firebox.engine.launch.same_data import other_data, present_data
from firebox.engine.launch.together import each, first
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.stopping import StopRequest
from firebox.engine.training.watch import Overdue
from firebox.engine.world.launched import launched
from firebox.engine.world.world import ALONE, World
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, refuse

if TYPE_CHECKING:
    from firebox.engine.training.data_identity import DataIdentity

logger = logging.getLogger("firebox")


@dataclass(frozen=True, slots=True)
class Request:
    """The command line's request.

    Args:
        trainer: the trainer that was asked to train.
        path: the configuration file; None for the trainer's default.
        assignments: ``KEY=VALUE`` overrides, applied last.
        resume: a run's directory, or "newest" for the newest, an unfinished one first; None for a new run.
        allowed_changes: keys in which a resumed run's configuration may differ.
        check: whether to run all guards without training.
        quiet: whether to print only warnings, errors and the run directory.
    """

    trainer: Trainer
    path: Path | None = None
    assignments: Sequence[str] = ()
    resume: str | None = None
    allowed_changes: Sequence[str] = ()
    check: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that can be assembled.

    Args:
        configuration: the run's configuration.
        resumed: the directory of the run to resume; None for a new run.
        estimated_memory: the run's estimated peak memory in bytes; None if it could not be estimated.
        identity: the data, compared with the resumed run's; None to take the data that the configuration names.
    """

    configuration: Configuration
    resumed: RunDirectory | None
    estimated_memory: int | None = None
    identity: DataIdentity | None = None


def launch(request: Request) -> int:
    """Trains, or refuses to train; returns the exit code."""
    console.start(quiet=request.quiet)
    stop = StopRequest()
    with stop.listening():
        try:
            refuse_second_import()
            started = launched()
            if started is None:
                return launch_with(request, stop)
            stop.follow_launcher()
            from firebox.engine.world.joining import joined

            with joined(started, lambda: stop.requested) as world:
                console.start(quiet=request.quiet, silent=not world.leads)
                return launch_with(request, stop, world)
        except (Overdue, Interrupted) as error:
            assert stop.requested
            messages.stopped_while_starting(str(error))
            return stop.exit_code
        except BaseException as error:
            console.refused(refusal_of(error))
            return REFUSED


def launch_with(request: Request, stop: StopRequest, world: World = ALONE) -> int:
    """Trains, until a stop is requested; returns the exit code.

    Raises:
        Refusal: it can't work, or is not to be trained by this process.
    """
    ready: Ready | None = None

    def prepared() -> tuple[int | None, str | None]:
        nonlocal ready
        found = prepare(resuming(request, world), stop, world)
        if isinstance(found, int):
            return found, None
        ready = found
        return None, None if found.resumed is None else str(found.resumed.path.absolute())

    code, resumed = first(world, prepared)
    if code is not None:
        return code
    ready = each(world, lambda: ready or Ready(*configure(replace(request, resume=resumed))))
    memory, allowed = ready.estimated_memory, request.allowed_changes
    return train(ready.configuration, ready.resumed, stop, memory, ready.identity, allowed, world)


def resuming(request: Request, world: World) -> Request:
    """Returns a request that resumes what an earlier attempt of the launcher has begun, if there was one."""
    run = world.job.run
    if run is None:
        return request
    logger.warning("the launcher starts again: resuming %s", run)
    return replace(request, resume=run)


def prepare(request: Request, stop: StopRequest, world: World) -> Ready | int:
    """Reads the configuration and runs all checks; returns what is to be trained, or the exit code if nothing is.

    Raises:
        Refusal: it can't work.
    """
    if world.job.stopped is not None:
        messages.stopped_before()
        return world.job.stopped
    configuration, resumed = configure(request)
    identity = None
    if resumed is not None:
        if completed(resumed, configuration):
            early = ended_early(resumed, configuration.training.epochs)
            messages.completed_already(resumed, configuration, early=early)
            return COMPLETED
        identity = present_data(configuration, stop)
        problems = other_circumstances(resumed, configuration, request.allowed_changes, world.size)
        refuse([*problems, *other_data(resumed, configuration, identity, request.allowed_changes)])
    from firebox.engine.checks.report import preflight

    data = None if identity is None else identity.data
    report = preflight(configuration, request.trainer, resumed, data, world=world)
    if request.check:
        messages.checked(report)
        return COMPLETED
    if stop.requested:
        return stop.exit_code
    return Ready(configuration, resumed, report.estimated_memory, identity)


def configure(request: Request) -> tuple[Configuration, RunDirectory | None]:
    """Reads the configuration, and finds the run to resume if one was requested.

    Raises:
        Refusal: the configuration can't work, or there is no such run.
    """
    trainer = request.trainer
    if request.resume is None:
        configuration = read(trainer.name, trainer.default, request.path, request.assignments)
        messages.filled(configuration, trainer.default)
        return configuration, None
    from firebox.engine.launch.resuming import find_run

    return find_run(
        trainer, request.path, request.assignments, wanted=request.resume, allowed_changes=request.allowed_changes
    )
