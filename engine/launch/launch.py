"""Takes a run from its configuration to its end, and records how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from firebox.engine.checks.guard import attach_guards
from firebox.engine.configuration import Configuration, plain
from firebox.engine.launch import messages
from firebox.engine.launch.admission import Request, admit
from firebox.engine.launch.same_data import other_prepared
from firebox.engine.records.claiming import claim, renew
from firebox.engine.records.own_code import code_of, keep
from firebox.engine.records.run_directory import RunDirectory, State, has_checkpoints
from firebox.engine.training.stopping import StopRequest
from firebox.engine.training.watch import Overdue
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, refuse

if TYPE_CHECKING:
    from firebox.engine.training.data_identity import DataIdentity
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
            return launch_with(request, stop)
        except (Overdue, Interrupted) as error:
            assert stop.requested
            messages.stopped_while_starting(str(error))
            return stop.exit_code
        except BaseException as error:
            console.refused(refusal_of(error))
            return REFUSED


def launch_with(request: Request, stop: StopRequest) -> int:
    """Trains, until a stop is requested; returns the exit code.

    Raises:
        Refusal: it can't work, or is not to be trained by this process.
    """
    admitted = admit(request, stop)
    if admitted is None or request.check:
        return COMPLETED
    if stop.requested:
        return stop.exit_code
    memory, identity = admitted.estimated_memory, admitted.identity
    return train(admitted.configuration, admitted.resumed, stop, memory, identity, request.allowed_changes)


def train(
    configuration: Configuration,
    resumed: RunDirectory | None,
    stop: StopRequest,
    estimated_memory: int | None = None,
    identity: DataIdentity | None = None,
    allowed: Sequence[str] = (),
) -> int:
    """Builds the run, claims its directory, trains, and leaves the directory saying how it ended.

    Args:
        configuration: the run's configuration.
        resumed: the directory of the run to resume; None for a new run.
        stop: the stop request that signals set.
        estimated_memory: the run's estimated peak memory in bytes; None if it could not be estimated.
        identity: the data, compared with the resumed run's; None to take the data that the configuration names.
        allowed: keys in which a resumed run may differ.

    Returns:
        The exit code.

    Raises:
        Refusal: the run can't start; nothing has been written.
    """
    run = ready(configuration, resumed, stop, identity, allowed)
    if stop.requested:
        return stop.exit_code
    run = begin(run, resumed)
    try:
        start(run)
        finish(run)
        code, reason = COMPLETED, ending(run)
        if stop.requested:
            code, reason = stop.exit_code, stopped(stop)
    except BaseException as error:  # libraries raise some that are no Exception, such as a panic of one written in Rust
        code, reason = outcome(error, run, estimated_memory)
    code, _ = end(run, code, reason, estimated_memory)
    messages.last_line(run.directory)
    return code


def ready(
    configuration: Configuration,
    resumed: RunDirectory | None,
    stop: StopRequest,
    identity: DataIdentity | None = None,
    allowed: Sequence[str] = (),
) -> Run:
    """Builds a run and makes sure that it can start; nothing is written. The arguments are those of ``train``.

    Raises:
        Refusal: the run can't start.
    """
    from firebox.engine.checks.first_samples import require_first_samples
    from firebox.engine.checks.workers import require_workers
    from firebox.engine.training.construction import blamed

    run = assemble(configuration, stop, identity, warm_start=not has_checkpoints(resumed))
    stop.watch_reading(configuration.data.loading.timeout)
    require_first_samples(run)
    with blamed(configuration.data.named, configuration.data.kind):
        _ = run.identity.fingerprint
    if resumed is not None:
        refuse(list(other_prepared(resumed, configuration, run.identity, allowed)))
    require_workers(run, begin=resumed is None)
    return run


def begin(run: Run, resumed: RunDirectory | None) -> Run:
    """Claims a directory for a run, or takes up that of the run to resume; returns the run, loaded from there.

    Raises:
        Refusal: the directory can't be had, or no checkpoint in it can be used.
    """
    from firebox.engine.launch.resuming import take_up

    if resumed is None:
        run.begin(claim(run.configuration))
        console.log_to(run.directory.log)
    else:
        configuration, stop, identity = run.configuration, run.stop, run.identity
        run = take_up(run, resumed, lambda: assemble(configuration, stop, identity))
    run.stop.before_leaving(partial(left, run))
    return run


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
        try:
            run.directory.write_status(STATES.get(code, "interrupted"), run.iteration, messages.first_line(reason))
        except OSError as error:
            code, reason = FAILED, messages.failed(error, run.configuration, estimated_memory)
        messages.ended(run, STATES.get(code, "interrupted"), reason)
        run.directory.unlock()
    return code, reason


def ending(run: Run) -> str:
    """Says why a run that came to its end did."""
    return run.finished or f"trained for {run.configuration.training.epochs} epochs"


def assemble(
    configuration: Configuration, stop: StopRequest, identity: DataIdentity | None = None, *, warm_start: bool = True
) -> Run:
    """Builds a run whose guards check it when its trainer engine starts."""
    from firebox.engine.training.factory import build

    run = build(configuration, stop, identity=identity, warm_start=warm_start)
    attach_guards(run)
    return run


def stopped(stop: StopRequest) -> str:
    """Says what stopped a run."""
    assert stop.signal is not None
    return f"stopped by {stop.signal.name}"


def outcome(error: BaseException, run: Run, estimated_memory: int | None) -> tuple[int, str]:
    """Reports what ended a run, and returns its exit code and reason; a stop is one even where it took too long."""
    if isinstance(error, Interrupted):
        return run.stop.exit_code, stopped(run.stop)
    reason = messages.failed(error, run.configuration, estimated_memory)
    if run.stop.requested and isinstance(error, Overdue):
        return run.stop.exit_code, f"{stopped(run.stop)}; {messages.first_line(reason)}"
    return FAILED, reason


def left(run: Run, reason: str) -> None:
    """Records that the process is about to be left because something in the run does not end."""
    state: State = "failed"
    if run.stop.requested:
        state, reason = "interrupted", f"{stopped(run.stop)}; {reason}"
    run.directory.write_status(state, run.iteration, reason)
    messages.left(reason)


def start(run: Run) -> None:
    """Records the run's configuration and environment, and starts the handlers."""
    from firebox.engine.records.data_record import write_data
    from firebox.engine.training.environment import environment
    from firebox.engine.training.skipped_steps import SkippedSteps

    directory = run.directory
    directory.write_configuration(run.configuration)
    renew(directory)
    # In this order: what a kill between the two leaves is a change that is said and allowed once more.
    keep(code_of(run.configuration), directory.path, plain(run.configuration, directory.path), run.iteration)
    write_data(directory, run.identity.fingerprint, run.iteration)
    directory.write_environment(environment(run))
    directory.write_status("running", run.iteration, "training")
    for name, handler in run.handlers.items():
        run.observers.act(name, handler.start, run)
    SkippedSteps(run.losses)
    messages.started(run)


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
