"""The beginning of a run: it is assembled, made sure of, and given its directory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.checks.guard import attach_guards
from firebox.engine.configuration import Configuration
from firebox.engine.launch import messages
from firebox.engine.launch.same_data import other_prepared
from firebox.engine.launch.together import each, first, refuse_different
from firebox.engine.records.claiming import claim
from firebox.engine.records.run_directory import RunDirectory, State, has_checkpoints
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.world.world import ALONE, World
from firebox.foundation import console
from firebox.foundation.problems import refuse

if TYPE_CHECKING:
    from firebox.engine.training.reading.data_identity import DataIdentity
    from firebox.engine.training.run import Run


def ready(
    configuration: Configuration,
    resumed: RunDirectory | None,
    stop: StopRequest,
    identity: DataIdentity | None = None,
    allowed: Sequence[str] = (),
    world: World = ALONE,
) -> Run:
    """Builds a run and makes sure that it can start; nothing is written. The arguments are those of ``train``.

    Raises:
        Refusal: the run can't start.
    """
    from firebox.engine.checks.first_samples import require_first_samples
    from firebox.engine.checks.workers import require_workers
    from firebox.engine.training.construction import blamed

    def prepared() -> Run:
        run = assemble(configuration, stop, identity, warm_start=not has_checkpoints(resumed), world=world)
        stop.watch_reading(configuration.data.loading.timeout)
        require_first_samples(run)
        with blamed(configuration.data.named, configuration.data.kind):
            _ = run.identity.fingerprint
        if resumed is not None and world.leads:
            refuse(list(other_prepared(resumed, configuration, run.identity, allowed)))
        require_workers(run, begin=resumed is None)
        return run

    run = each(world, prepared)
    refuse_different(world, run)
    return run


def begin(run: Run, resumed: RunDirectory | None) -> Run:
    """Claims a directory for a run, or takes up that of the run to resume; returns the run, loaded from there.

    Raises:
        Refusal: the directory can't be had, or no checkpoint in it can be used.
    """
    from firebox.engine.launch.resuming import take_up

    configuration, stop, identity, world = run.configuration, run.stop, run.identity, run.world

    def begun() -> Path:
        nonlocal run
        if resumed is None:
            run.begin(claim(configuration))
            console.log_to(run.directory.log)
        else:
            run = take_up(run, resumed, lambda: assemble(configuration, stop, identity, world=world))
        world.job.run = str(run.directory.path.absolute())
        return run.directory.path

    path = first(world, begun)
    if not world.leads:
        run.begin(RunDirectory(path))
    stop.before_leaving(partial(left, run))
    return run


def assemble(
    configuration: Configuration,
    stop: StopRequest,
    identity: DataIdentity | None = None,
    *,
    warm_start: bool = True,
    world: World = ALONE,
) -> Run:
    """Builds a run whose guards check it when its trainer engine starts; in the first process alone."""
    from firebox.engine.training.factory import build

    run = build(configuration, stop, identity=identity, warm_start=warm_start, world=world)
    if world.leads:
        attach_guards(run)
    return run


def left(run: Run, reason: str) -> None:
    """Records that the process is about to be left because something in the run does not end."""
    state: State = "failed"
    if run.world.failures is not None:
        run.world.failures.report(reason)
    if not run.world.leads:
        return
    if run.stop.requested:
        state, reason = "interrupted", f"{stopped(run.stop)}; {reason}"
    run.directory.write_status(state, run.iteration, reason)
    messages.left(reason)


def stopped(stop: StopRequest) -> str:
    """Says what stopped a run."""
    return f"stopped by {stop.by.name}"
