"""Who acts after which iteration, in which order.

One function on ITERATION_COMPLETED serves every interval with a single comparison of integers, so that a handler costs
nothing at the iterations that it does not act on. An epoch's last iteration is dispatched on EPOCH_COMPLETED, when
every handler that listens to Ignite's own events has had its turn; so a checkpoint taken there repeats and skips
nothing on resuming.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ignite.engine import Engine, Events

from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.observing import observed

Action = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """An action and when it is due.

    Args:
        phase: the action's place in the order; within a phase, actions follow the order of registration.
        period: the interval in iterations; None for every iteration at which an evaluation was made.
        action: returns False where it was abandoned because a stop was requested.
    """

    phase: Phase
    period: int | None
    action: Action


class Dispatcher:
    """Calls the registered actions at the iterations at which they are due, in the order of their phases.

    Args:
        epoch_length: the number of iterations in an epoch.
        stop: the stop request, polled at every iteration.
    """

    def __init__(self, epoch_length: int, stop: StopRequest) -> None:
        self._epoch_length = epoch_length
        self._stop = stop
        self._entries: list[Entry] = []
        self._next = 0
        self._pending: Phase | None = None
        self._evaluated_at = 0
        self.save_on_stop: Action | None = None

    def add(self, phase: Phase, period: int | None, action: Action) -> None:
        """Registers an action; see ``Entry``."""
        self._entries.append(Entry(phase, period, observed(action)))
        self._entries.sort(key=lambda entry: entry.phase)

    def attach(self, trainer: Engine) -> None:
        """Registers with the trainer engine, after all handlers have."""
        trainer.add_event_handler(Events.STARTED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def state_dict(self) -> dict[str, Any]:
        return {"pending": None if self._pending is None else int(self._pending), "evaluated_at": self._evaluated_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending = None if state["pending"] is None else Phase(state["pending"])
        self._evaluated_at = state["evaluated_at"]

    @property
    def evaluated_at(self) -> int:
        """The iteration at which the last evaluation was made; 0 if none was."""
        return self._evaluated_at

    def note_evaluation(self, iteration: int) -> None:
        """Makes due, at an iteration, what acts after evaluations."""
        self._evaluated_at = iteration

    @property
    def pending(self) -> bool:
        """Whether actions of the last iteration are still to be done because a stop was requested meanwhile."""
        return self._pending is not None

    def complete_pending(self, trainer: Engine) -> None:
        """Completes the actions of the last iteration that a stop left undone."""
        if self._pending is not None:
            self._dispatch(trainer, trainer.state.iteration, self._pending)

    def _start(self, trainer: Engine) -> None:
        self._schedule(trainer.state.iteration)
        self.complete_pending(trainer)

    def _iteration_completed(self, trainer: Engine) -> None:
        iteration = trainer.state.iteration
        if (iteration >= self._next or self._stop.requested) and iteration % self._epoch_length:
            self._dispatch(trainer, iteration, Phase.STEP)

    def _epoch_completed(self, trainer: Engine) -> None:
        iteration = trainer.state.iteration
        if iteration >= self._next or self._stop.requested:
            self._dispatch(trainer, iteration, Phase.STEP)

    def _dispatch(self, trainer: Engine, iteration: int, first: Phase) -> None:
        self._pending = first
        for entry in self._entries:
            if entry.phase < first or not self._due(entry, iteration):
                continue
            self._pending = None if entry.phase is Phase.CHECKPOINT else entry.phase
            if entry.action() is False:
                break
        else:
            self._pending = None
        self._schedule(iteration)
        if self._stop.requested:
            if self.save_on_stop is not None:
                self.save_on_stop()
            trainer.terminate()

    def _due(self, entry: Entry, iteration: int) -> bool:
        if entry.period is None:
            return self._evaluated_at == iteration
        return iteration % entry.period == 0

    def _schedule(self, iteration: int) -> None:
        """Sets the next iteration at which anything may be due."""
        periods = [entry.period for entry in self._entries if entry.period is not None]
        self._next = min((iteration // period + 1) * period for period in periods) if periods else iteration + (1 << 62)
