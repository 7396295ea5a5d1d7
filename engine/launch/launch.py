"""Takes a run from its configuration to its end, and records how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from firebox.engine.configuration import Configuration, plain
from firebox.engine.launch import messages
from firebox.engine.launch.admission import Request
from firebox.engine.launch.beginning import begin, ready, stopped
from firebox.engine.launch.processes import refuse_second_import
from firebox.engine.launch.together import (
    admit_together,
    joined_world,
    share,
    speaks_at_the_end,
)
from firebox.engine.records.claiming import renew
from firebox.engine.records.own_code import code_of, keep
from firebox.engine.records.run_directory import RunDirectory, State
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.limits.watch import Overdue
from firebox.engine.world.world import ALONE, World
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted

if TYPE_CHECKING:
    from firebox.engine.training.reading.data_identity import DataIdentity
    from firebox.engine.training.run import Run


logger = logging.getLogger("firebox")

END_SECONDS = 900.0
"""What all of the end may take together."""
STATES: dict[int, State] = {COMPLETED: "completed", FAILED: "failed"}
"""A run's state by its exit code; it is interrupted after any other."""


def launch(request: Request) -> int:
    """Trains, or refuses to train; returns the exit code."""
    console.start(quiet=request.quiet)
    stop = StopRequest()
    with stop.listening():
        try:
            refuse_second_import()
            with joined_world(request, stop) as world:
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
    admitted = admit_together(request, stop, world)
    if isinstance(admitted, int):
        return admitted
    if stop.requested:
        return stop.exit_code
    memory, identity = admitted.estimated_memory, admitted.identity
    return train(admitted.configuration, admitted.resumed, stop, memory, identity, request.allowed_changes, world)


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
    run = ready(configuration, resumed, stop, identity, allowed, world)
    if stop.requested:
        return stop.exit_code
    run = begin(run, resumed)
    try:
        share(run)
        start(run)
        finish(run)
        code, reason = COMPLETED, ending(run)
        if stop.requested:
            code, reason = stop.exit_code, stopped(stop)
    except BaseException as error:  # libraries raise some that are no Exception, such as a panic of one written in Rust
        code, reason = outcome(error, run, estimated_memory)
    code, _ = end(run, code, reason, estimated_memory)
    if world.leads:
        messages.last_line(run.directory)
    if world.leads or code != FAILED:
        world.part()
    return code


def end(run: Run, code: int, reason: str, estimated_memory: int | None = None) -> tuple[int, str]:
    """Closes a run, leaves its directory saying how it ended, and says so.

    Args:
        run: the run.
        code: the exit code so far.
        reason: the reason for it.
        estimated_memory: the run's estimated peak memory in bytes; None if it could not be estimated.

    Returns:
        The exit code and the reason; others than those given if closing failed.
    """
    with run.stop.limit("the end of the run", END_SECONDS):
        try:
            close(run)
        except BaseException as error:
            code, reason = outcome(error, run, estimated_memory)
        if not speaks_at_the_end(run, code, reason):
            return code, reason
        try:
            state, first_line = STATES.get(code, "interrupted"), messages.first_line(reason)
            run.directory.write_status(state, run.iteration, first_line, code)
        except OSError as error:
            code, reason = FAILED, messages.failed(error, run.configuration, estimated_memory)
        messages.ended(run, STATES.get(code, "interrupted"), reason)
        run.directory.unlock()
    return code, reason


def ending(run: Run) -> str:
    """Says why a run that came to its end did."""
    return run.finished or f"trained for {run.configuration.training.epochs} epochs"


def outcome(error: BaseException, run: Run, estimated_memory: int | None) -> tuple[int, str]:
    """Reports what ended a run, and returns its exit code and reason; a stop is one even where it took too long."""
    if isinstance(error, Interrupted):
        return run.stop.exit_code, stopped(run.stop)
    reason = messages.failed(error, run.configuration, estimated_memory)
    if run.world.failures is not None:
        run.world.failures.report(messages.first_line(reason))
    if run.stop.requested and isinstance(error, Overdue):
        return run.stop.exit_code, f"{stopped(run.stop)}; {messages.first_line(reason)}"
    return FAILED, reason


def start(run: Run) -> None:
    """Records the run's configuration and environment, and starts the handlers."""
    from firebox.engine.training.updates.skipped_steps import SkippedSteps

    if run.world.leads:
        record(run)
    for name, handler in run.handlers.items():
        run.observers.act(name, handler.start, run)
    if run.world.leads:
        SkippedSteps(run.losses)
        messages.started(run)


def record(run: Run) -> None:
    """Records a run's configuration, code, data and environment, and that it is running."""
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
        save_stopped(run)
    run.background.drain()


def save_stopped(run: Run) -> None:
    """Saves a run between two iterations, such as where a stop came while a batch was awaited."""
    if run.iteration and run.dispatcher.save_on_stop is not None:
        run.dispatcher.save_on_stop()


def close(run: Run) -> None:
    """Flushes everything to disk and ends the background work; one failure does not prevent the rest."""
    with ExitStack() as ends:
        for stream in run.streams.values():
            ends.callback(stream.close)
        ends.callback(run.training.close)
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
