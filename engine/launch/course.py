"""The course of a run: it is assembled, claims its directory, starts, trains, and records how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.checks.guard import attach_guards
from firebox.engine.configuration import Configuration, Named, plain
from firebox.engine.launch import messages
from firebox.engine.launch.same_data import other_prepared
from firebox.engine.launch.together import each, first, refuse_different
from firebox.engine.records.claiming import claim, renew
from firebox.engine.records.own_code import code_of, keep
from firebox.engine.records.run_directory import RunDirectory, State, has_checkpoints
from firebox.engine.records.storable import restored
from firebox.engine.training.stopping import StopRequest
from firebox.engine.training.watch import STOP_SECONDS, Overdue
from firebox.engine.world.world import ALONE, World
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED
from firebox.foundation.problems import Interrupted, Refusal, refuse

if TYPE_CHECKING:
    from firebox.engine.training.data_identity import DataIdentity
    from firebox.engine.training.handler import Handler
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")

END_SECONDS = 900.0
"""What all of the end may take together."""
STATES: dict[int, State] = {COMPLETED: "completed", FAILED: "failed"}
"""A run's state by its exit code; it is interrupted after any other."""


def train(
    configuration: Configuration,
    resumed: RunDirectory | None,
    stop: StopRequest,
    estimated_memory: int | None = None,
    identity: DataIdentity | None = None,
    allowed: Sequence[str] = (),
    world: World = ALONE,
) -> int:
    """Builds the run, claims its directory, trains, and leaves the directory saying how it ended.

    Args:
        configuration: the run's configuration.
        resumed: the directory of the run to resume; None for a new run.
        stop: the stop request that signals set.
        estimated_memory: the run's estimated peak memory in bytes; None if it could not be estimated.
        identity: the data, compared with the resumed run's; None to take the data that the configuration names.
        allowed: keys in which a resumed run may differ.
        world: the processes that train it.

    Returns:
        The exit code.

    Raises:
        Refusal: the run can't start; nothing has been written.
    """
    from firebox.engine.checks.first_samples import require_first_samples
    from firebox.engine.checks.workers import require_workers
    from firebox.engine.launch.resuming import take_up
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
    if stop.requested:
        return stop.exit_code

    def begun() -> str:
        nonlocal run
        if resumed is None:
            run.begin(claim(configuration))
        else:
            run = take_up(run, resumed, lambda: assemble(configuration, stop, run.identity, world=world))
        world.job.run = str(run.directory.path.absolute())
        return str(run.directory.path)

    path = first(world, begun)
    if not world.leads:
        run.begin(RunDirectory(Path(path)))
    stop.before_leaving(partial(left, run))
    code, reason = FAILED, "failed while starting"
    try:
        if resumed is None and world.leads:
            console.log_to(run.directory.log)
        begin_together(run, stop)
        start(run)
        finish(run)
        code, reason = COMPLETED, run.finished or f"trained for {configuration.training.epochs} epochs"
        if stop.requested:
            code, reason = stop.exit_code, stopped(stop)
    except BaseException as error:  # libraries raise some that are no Exception, such as a panic of one written in Rust
        code, reason = outcome(error, run, estimated_memory)
    with stop.limit("the end of the run", END_SECONDS):
        try:
            close(run)
        except BaseException as error:
            code, reason = outcome(error, run, estimated_memory)
        code = record_end(run, code, reason, estimated_memory)
        if world.leads or code != FAILED:
            world.part()
        return code


def begin_together(run: Run, stop: StopRequest) -> None:
    """Gives all processes the state of the first one, and has them agree from now on where to stop."""
    world = run.world
    if world.size == 1:
        return
    world.limit(run.configuration.data.loading.timeout + STOP_SECONDS)
    state = world.broadcast(run.snapshot() if world.leads and run.resumed_at else None)
    if state is not None and not world.leads:
        run.load_state_dict(restored(state))
    stop.share()


def record_end(run: Run, code: int, reason: str, estimated_memory: int | None) -> int:
    """Records how a run ended, and says so; by the first of its processes that is alive. Returns the exit code."""
    world, state = run.world, STATES.get(code, "interrupted")
    if world.leads and state == "interrupted":
        with suppress(Exception):  # the launcher, and its store, may have ended
            world.job.stopped = code
    if not world.leads:
        if code != FAILED or world.failures is None or not world.failures.speaker:
            return code
        console.start(quiet=False)
        logger.error("%s", reason)
        with suppress(Refusal):  # the first process is stuck, and still has it
            run.directory.lock()
    try:
        run.directory.write_status(state, run.iteration, reason, code)
    except OSError as error:
        code = FAILED
        messages.failed(error, run.configuration, estimated_memory)
    messages.ended(run, STATES.get(code, "interrupted"), reason)
    run.directory.unlock()
    return code


def assemble(
    configuration: Configuration,
    stop: StopRequest,
    identity: DataIdentity | None = None,
    *,
    warm_start: bool = True,
    world: World = ALONE,
) -> Run:
    """Builds a run whose guards check it when its trainer engine starts.

    In all processes but the first, it is without guards, and without the handlers that only report and write.
    """
    from firebox.engine.training.factory import build

    if not world.leads:
        configuration = replace(configuration, handlers=tuple(filter(_trains, configuration.handlers)))
    run = build(configuration, stop, identity=identity, warm_start=warm_start, world=world)
    if world.leads:
        attach_guards(run)
    return run


def _trains(named: Named) -> bool:
    kind: type[Handler] = named.component.target.load()
    return kind.trains()


def stopped(stop: StopRequest) -> str:
    """Says what stopped a run."""
    return f"stopped by {stop.by.name}"


def outcome(error: BaseException, run: Run, estimated_memory: int | None) -> tuple[int, str]:
    """Reports what ended a run, and returns its exit code and reason; a stop is one even where it took too long."""
    if isinstance(error, Interrupted):
        return run.stop.exit_code, stopped(run.stop)
    reason = messages.failed(error, run.configuration, estimated_memory)
    if run.world.failures is not None:
        run.world.failures.report(reason)
    if run.stop.requested and isinstance(error, Overdue):
        return run.stop.exit_code, f"{stopped(run.stop)}; {reason}"
    return FAILED, reason


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


def start(run: Run) -> None:
    """Records the run's configuration and environment, and starts the handlers."""
    from firebox.engine.training.skipped_steps import SkippedSteps

    if run.world.leads:
        record_start(run)
    for name, handler in run.handlers.items():
        run.observers.act(name, handler.start, run)
    if run.world.leads:
        SkippedSteps(run.losses)
        messages.started(run)


def record_start(run: Run) -> None:
    """Records the run's configuration, code, data and environment."""
    from firebox.engine.records.data_record import write_data
    from firebox.engine.training.environment import environment

    directory = run.directory
    directory.write_configuration(run.configuration)
    renew(directory)
    # In this order: what a kill between the two leaves is a change that is said and allowed once more.
    keep(code_of(run.configuration), directory.path, plain(run.configuration, directory.path), run.iteration)
    write_data(directory, run.identity.fingerprint, run.iteration)
    directory.write_environment(environment(run))
    directory.write_status("running", run.iteration, "training")


def finish(run: Run) -> None:
    """Trains to the end unless a stop is requested; then lets the handlers finish."""
    try:
        if run.iteration >= run.total_iterations:
            run.dispatcher.complete_pending(run.trainer)
        elif run.finished is None and not run.stop.requested:
            run.trainer.run(run.streams["train"])
        run.losses.settle()
        for name, handler in run.handlers.items():
            if run.stop.requested or (run.observers.act(name, handler.finish) is False and name not in run.observers):
                break
    except Interrupted:
        # The stop came while a batch was awaited: between two iterations.
        if run.iteration and run.dispatcher.save_on_stop is not None:
            run.dispatcher.save_on_stop()
    run.background.drain()


def close(run: Run) -> None:
    """Flushes everything to disk and ends the background work; one failure does not prevent the rest."""
    with ExitStack() as ends:
        for stream in run.streams.values():
            ends.callback(stream.close)
        ends.callback(within_limit, run, "TensorBoard's file", run.close_tensorboard)
        ends.callback(run.background.close)
        for name, handler in reversed(run.handlers.items()):
            ends.callback(
                within_limit,
                run,
                f"handlers.{name}: close",
                partial(run.observers.act, name, handler.close, even_off=True),
            )
            ends.callback(within_limit, run, f"handlers.{name}: flush", partial(run.observers.act, name, handler.flush))


def within_limit(run: Run, what: str, action: Callable[[], object]) -> None:
    """Does what a run's end needs, for as long as it may take."""
    with run.stop.limit(what):
        action()
