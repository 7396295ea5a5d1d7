"""The base class of learning-rate schedules: functions of the iteration, so that resuming has nothing to restore."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from ignite.handlers.param_scheduler import ParamScheduler

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run


class IterationScheduler(ParamScheduler):
    """Ignite's scheduler, with values computed from the iteration; Ignite itself counts the events that it has seen.

    Args:
        optimizer: optimizer whose learning rates are set.
        rates: function that returns the learning rate of each parameter group.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, rates: Callable[[], list[float]]) -> None:
        super().__init__(optimizer, "lr")
        self._rates = rates

    def get_param(self) -> list[float]:
        return self._rates()


class Schedule(Handler):
    """Sets the learning rate of every parameter group at the start of each iteration.

    A group whose rate is a share of its optimizer's keeps that share.
    """

    phase = Phase.SCHEDULE

    def attach(self, run: Run) -> None:
        self.prepare(run)
        state = run.trainer.state
        for optimizer in run.scheduled_by(self).values():
            initial = optimizer.defaults["lr"]
            shares = [group["lr"] / initial if initial else 1.0 for group in optimizer.param_groups]

            def rates(initial: float = initial, shares: list[float] = shares) -> list[float]:
                rate = self.rate(state.iteration - 1, initial)
                return [rate * share for share in shares]

            IterationScheduler(optimizer, rates).attach(run.trainer)

    def prepare(self, run: Run) -> None:
        """Reads what the schedule needs to know about the run."""
        self.total = run.total_iterations
        self.epoch_length = run.epoch_length

    @abstractmethod
    def rate(self, step: int, initial: float) -> float:
        """Returns a learning rate.

        Args:
            step: number of updates made before this one.
            initial: learning rate that the optimizer was constructed with.
        """

    def beyond(self, *, epochs: int, epoch_length: int) -> dict[str, str]:
        """Returns the settings that lie beyond the end of a run, each with what was given and what is expected.

        Args:
            epochs: number of epochs in the whole run.
            epoch_length: iterations in an epoch.
        """
        return {}


def between(start: float, stop: float, share: float) -> float:
    """Returns the value at a fraction of the way, in [0, 1], along half a cosine."""
    return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))
