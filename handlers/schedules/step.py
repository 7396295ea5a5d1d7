"""Multiplies the learning rate by a factor at intervals."""

from __future__ import annotations

from pydantic import PositiveFloat

from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval, iterations
from firebox.handlers.schedules.schedule import Schedule


class Step(Schedule):
    """Multiplies the learning rate by a factor at intervals, as torch's StepLR does.

    Args:
        every: interval between reductions.
        gamma: factor that the learning rate is multiplied by.
    """

    def __init__(self, *, every: Interval = "1 epoch", gamma: PositiveFloat = 0.9) -> None:
        self.every = every
        self.gamma = gamma

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self._period = iterations(self.every, self.epoch_length)

    def rate(self, step: int, initial: float) -> float:
        return float(initial * self.gamma ** (step // self._period))
