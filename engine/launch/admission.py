"""What a command asks for, and whether it can be trained: the configuration, the run to resume, and all guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.configuration import Configuration, read
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.launch import messages
from firebox.engine.launch.circumstances import other_circumstances
from firebox.engine.launch.completion import completed, ended_early
from firebox.engine.launch.processes import refuse_second_import, refuse_several
from firebox.engine.launch.same_data import other_data, present_data
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.world.world import ALONE, World
from firebox.foundation.problems import refuse

if TYPE_CHECKING:
    from firebox.engine.training.reading.data_identity import DataIdentity


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
class Admitted:
    """What is to be trained.

    Args:
        configuration: the run's configuration.
        resumed: the directory of the run to resume; None for a new run.
        estimated_memory: the run's estimated peak memory in bytes; None if it could not be estimated.
        identity: the data, compared with the resumed run's; None for a new run.
    """

    configuration: Configuration
    resumed: RunDirectory | None
    estimated_memory: int | None = None
    identity: DataIdentity | None = None


def admit(request: Request, stop: StopRequest, world: World = ALONE) -> Admitted | None:
    """Reads what is asked for and has all guards check it; None if the run to resume is completed, which it says.

    Args:
        request: what is asked for.
        stop: the stop request.
        world: the processes that are to train it, all of which are there.

    Raises:
        Refusal: it can't work, or is not to be trained by this process.
        Interrupted: a stop was requested.
    """
    refuse_second_import()
    if world is ALONE:
        refuse_several()
    configuration, resumed = configure(request)
    identity = None
    if resumed is not None:
        if completed(resumed, configuration):
            early = ended_early(resumed, configuration.training.epochs)
            messages.completed_already(resumed, configuration, early=early)
            return None
        identity = present_data(configuration, stop)
        problems = other_circumstances(resumed, configuration, request.allowed_changes, world.size)
        refuse([*problems, *other_data(resumed, configuration, identity, request.allowed_changes)])
    from firebox.engine.checks.report import preflight

    data = None if identity is None else identity.data
    report = preflight(configuration, request.trainer, resumed, data, world=world)
    if request.check:
        messages.checked(report)
    return Admitted(configuration, resumed, report.estimated_memory, identity)


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
