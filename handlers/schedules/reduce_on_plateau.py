"""Reduces the learning rate when a metric has stopped improving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run


class ReduceOnPlateau(Handler):
    """Multiplies the learning rate by a factor when a metric has not improved for a number of evaluations.

    torch's ReduceLROnPlateau, stepped at every evaluation.

    Args:
        monitor: metric to watch.
        mode: whether a smaller (min) or a larger (max) value of the metric is better.
        factor: factor that the learning rate is multiplied by, in (0, 1).
        patience: number of evaluations without improvement tolerated before the rate is reduced.
        min_lr: lower bound of the learning rate.
    """

    phase = Phase.SCHEDULE
    watches = ("monitor", "mode")

    def __init__(
        self,
        *,
        monitor: str = "validation/loss",
        mode: Literal["min", "max"] = "min",
        factor: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        patience: NonNegativeInt = 5,
        min_lr: NonNegativeFloat = 0.0,
    ) -> None:
        self.monitor = monitor
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.min_lr = min_lr
        self._schedulers: Sequence[torch.optim.lr_scheduler.ReduceLROnPlateau] = ()

    def attach(self, run: Run) -> None:
        self._run = run
        self._schedulers = [
            torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode=self.mode, factor=self.factor, patience=self.patience, min_lr=self.min_lr
            )
            for optimizer in run.scheduled_by(self).values()
        ]
        run.after_evaluation(self._step, self.phase)

    def state_dict(self) -> dict[str, Any]:
        """Returns the best value and the evaluations since; the optimizers' state holds the learning rates."""
        return next(({"best": s.best, "waited": s.num_bad_epochs} for s in self._schedulers), {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for scheduler in self._schedulers:
            scheduler.best, scheduler.num_bad_epochs = state["best"], state["waited"]

    def _step(self) -> None:
        for scheduler in self._schedulers:
            scheduler.step(self._run.metrics[self.monitor])
