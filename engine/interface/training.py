"""A run that a script or a notebook trains, whole or step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from ignite.engine import Events

from firebox.data.bases.datamodule import DataModule
from firebox.engine.configuration import Configuration
from firebox.engine.configuration.values import recorded_epochs
from firebox.engine.interface.borrowing import borrowed
from firebox.engine.launch import beginning, launch
from firebox.engine.launch.admission import Request, admit
from firebox.engine.training.bases.module import Module
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.limits.watch import Overdue
from firebox.engine.training.run import Run
from firebox.foundation.console import Borrowed
from firebox.foundation.exit_codes import COMPLETED, FAILED, INTERRUPTED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, Problem, Refusal, TrainingFailure


class Stopped(KeyboardInterrupt):
    """A signal stopped a run, which has saved a checkpoint and can be resumed.

    A ``KeyboardInterrupt``, so that the rest of a script or of a notebook's cell is not run.
    """


class Training:
    """A run to be trained from Python. ``firebox.build`` and ``firebox.resume`` make one.

    It has its directory from the first step on. What it takes of the program while it is at work, it gives back when a
    call returns: signals, logging, torch's settings and threads, and the state of all global generators. As a context
    manager it is closed at the end of the block.

    Args:
        request: what is to be trained.
    """

    def __init__(self, request: Request) -> None:
        self._console = Borrowed(request.quiet)
        self._stop = StopRequest()
        self._run: Run | None = None
        self._begun = self._started = self._ended = self._pauses = self._registered = False
        with self._at_work(), _refusing():
            admitted = admit(request, self._stop)
            if admitted is None:
                raise _completed(str(request.resume))
            self._resumed, self._memory = admitted.resumed, admitted.estimated_memory
            identity, allowed = admitted.identity, request.allowed_changes
            self._run = beginning.ready(admitted.configuration, self._resumed, self._stop, identity, allowed)
            if self._stop.requested:
                raise Interrupted

    def train(self) -> dict[str, float]:
        """Trains to the end; returns the metrics by ``split/name``.

        Raises:
            Refusal: the run can't start, or has ended.
            TrainingFailure: the training failed; the message is what the shell prints.
            Stopped: a signal stopped it, after a checkpoint was saved.
        """
        self._advance(single=False)
        return dict(self.metrics)

    def step(self) -> dict[str, float]:
        """Trains one iteration, and does what the handlers do after it; returns its losses by name.

        The last one ends the run as ``train`` does. Reading the losses waits for the device.

        Raises:
            Refusal, TrainingFailure, Stopped: as ``train``.
        """
        self._advance(single=True)
        losses: Any = self.parts.trainer.state.output
        return {name: float(loss) for name, loss in losses.items()}

    def close(self) -> None:
        """Saves a checkpoint and ends the run, which can be resumed; nothing happens if it has ended or not begun."""
        if not self._begun or self._ended:
            return
        with self._at_work():
            run = self.parts
            code, reason = INTERRUPTED, "closed"
            try:
                launch.save_stopped(run)
                run.background.drain()
            except BaseException as error:
                code, reason = launch.outcome(error, run, self._memory)
            self._end(code, reason, closed=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def parts(self) -> Run:
        """All parts of the run, as handlers are given them."""
        assert self._run is not None
        return self._run

    @property
    def model(self) -> torch.nn.Module:
        """The network."""
        return self.parts.model

    @property
    def module(self) -> Module:
        """The training logic around the network."""
        return self.parts.module

    @property
    def data(self) -> DataModule:
        """The data set."""
        return self.parts.data

    @property
    def configuration(self) -> Configuration:
        """The configuration."""
        return self.parts.configuration

    @property
    def iteration(self) -> int:
        """The last completed iteration; 0 before the first."""
        return self.parts.iteration

    @property
    def epoch(self) -> int:
        """The epoch of the last completed iteration, starting at 1; 0 before the first."""
        return self.parts.epoch

    @property
    def metrics(self) -> Mapping[str, float]:
        """The latest value of each metric, by ``split/name``."""
        return self.parts.metrics

    @property
    def directory(self) -> Path | None:
        """The run's directory; None before the first step."""
        return self.parts.directory.path if self._begun else None

    @property
    def ended(self) -> bool:
        """Whether the run was trained to its end, or was stopped, failed or closed."""
        return self._ended

    def _advance(self, *, single: bool) -> None:
        """Begins the run if it has not begun, and trains one iteration or all that are left."""
        if self._ended:
            message = f"{self.directory} has ended; firebox.resume continues it, firebox.build begins another"
            raise Refusal([Problem("", message)])
        with self._at_work():
            if not self._begun:
                self._begin(bar=not single)
            run, cause = self.parts, None
            try:
                if not self._started:
                    launch.start(run)
                    self._started = True
                if single and self._one_iteration():
                    return
                launch.finish(run)
                code, reason = COMPLETED, launch.ending(run)
                if self._stop.requested:
                    code, reason = self._stop.exit_code, beginning.stopped(self._stop)
            except BaseException as error:  # as launch.train, which says why
                code, reason = launch.outcome(error, run, self._memory)
                cause = error
            self._end(code, reason, cause)

    def _begin(self, *, bar: bool) -> None:
        """Claims the directory. A bar would be redrawn between steps, over what the program itself prints."""
        if not bar:
            self._console.without_bar()
        with _refusing():
            self._run = beginning.begin(self.parts, self._resumed)
        self._begun = True

    def _one_iteration(self) -> bool:
        """Trains one iteration; returns whether more are to come."""
        run = self.parts
        if not self._registered:
            self._registered = True
            # Ignite's loop pauses after the handlers of an iteration; those of an epoch's last act at the epoch's end.
            for event in (Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED):
                run.trainer.add_event_handler(event, self._pause, event)
        self._pauses = True
        try:
            if self._goes_on():
                run.trainer.run(run.streams["train"])
        except Interrupted:
            launch.save_stopped(run)
        self._pauses = False
        return self._goes_on()

    def _goes_on(self) -> bool:
        run = self.parts
        return run.iteration < run.total_iterations and run.finished is None and not self._stop.requested

    def _pause(self, event: Events) -> None:
        run = self.parts
        at_end_of_epoch = run.iteration % run.epoch_length == 0
        if self._pauses and self._goes_on() and at_end_of_epoch == (event is Events.EPOCH_COMPLETED):
            run.trainer.interrupt()

    def _end(self, code: int, reason: str, cause: BaseException | None = None, *, closed: bool = False) -> None:
        """Ends the run; raises what ended it before its end."""
        code, reason = launch.end(self.parts, code, reason, self._memory)
        self._ended = True
        self._console.ends()
        if code == FAILED:
            raise TrainingFailure(reason) from cause
        if code != COMPLETED and not closed:
            way_on = f"firebox.resume({str(self.directory)!r}) continues it"
            raise Stopped(f"{reason} at iteration {self.iteration}; {way_on}") from cause

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Has what a run needs of the program, for the duration of the block."""
        run = self._run
        with borrowed(self._console, None if run is None else run.device), self._stop.listening():
            if run is not None:
                self._stop.watch_reading(run.configuration.data.loading.timeout)
            if run is not None and self._begun:
                self._stop.before_leaving(partial(beginning.left, run))
            yield


def _completed(directory: str) -> Refusal:
    epochs = 2 * recorded_epochs(Path(directory) / "config.yaml")
    longer = f'firebox.resume({directory!r}, allow_change=["training.epochs"], training={{"epochs": {epochs}}})'
    return Refusal([Problem("", f"{directory} is completed; {longer} trains it longer")])


@contextmanager
def _refusing() -> Iterator[None]:
    """Raises what prevents a start as a refusal with the shell's text, or as a stop."""
    try:
        yield
    except (Overdue, Interrupted) as error:
        raise Stopped(f"stopped while starting{f': {error}' if str(error) else ''}") from None
    except Refusal:
        raise
    except BaseException as error:
        raise refusal_of(error) from error
