"""Learning-rate schedules. Each value is a function of the iteration, so that resuming has nothing to restore."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from ignite.handlers.param_scheduler import ParamScheduler
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from firebox.engine.training.handler import Handler
from firebox.engine.training.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval, iterations

Share = Annotated[float, Field(gt=0, lt=1)]


class IterationScheduler(ParamScheduler):
    """Ignite's scheduler, with the value taken from the iteration where Ignite counts the events that it saw.

    Args:
        optimizer: whose learning rates are set.
        rates: returns the learning rate of each parameter group.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, rates: Callable[[], list[float]]) -> None:
        super().__init__(optimizer, "lr")
        self._rates = rates

    def get_param(self) -> list[float]:
        return self._rates()


class Schedule(Handler):
    """Sets the learning rate of every parameter group at the start of each iteration."""

    phase = Phase.SCHEDULE

    def attach(self, run: Run) -> None:
        self.prepare(run)
        state = run.trainer.state
        for optimizer in run.update.optimizers.values():
            initial = [group["lr"] for group in optimizer.param_groups]

            def rates(initial: list[float] = initial) -> list[float]:
                return [self.rate(state.iteration - 1, own) for own in initial]

            IterationScheduler(optimizer, rates).attach(run.trainer)

    def prepare(self, run: Run) -> None:
        """Reads what the schedule needs of the run."""
        self.total = run.total_iterations
        self.epoch_length = run.epoch_length

    @abstractmethod
    def rate(self, step: int, initial: float) -> float:
        """Returns a learning rate.

        Args:
            step: updates made before this one.
            initial: the optimizer's own learning rate.
        """


class OneCycle(Schedule):
    """Rises to a peak and falls to almost nothing over the whole run, both along a cosine.

    Smith and Topin, "Super-Convergence" (2018), as in torch's OneCycleLR, of which it has the values; momentum stays.

    Args:
        max_lr: learning rate at the peak.
        pct_start: share of the run that it rises for.
        div_factor: the peak over the first value.
        final_div_factor: the first value over the last.
    """

    def __init__(
        self,
        *,
        max_lr: PositiveFloat,
        pct_start: Share = 0.3,
        div_factor: PositiveFloat = 25.0,
        final_div_factor: PositiveFloat = 1e4,
    ) -> None:
        self.max_lr = max_lr
        self.pct_start = pct_start
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor

    def rate(self, step: int, initial: float) -> float:
        first = self.max_lr / self.div_factor
        peak, end = self.pct_start * self.total - 1, self.total - 1
        if step <= peak:
            return between(first, self.max_lr, step / peak) if peak > 0 else self.max_lr
        return between(self.max_lr, first / self.final_div_factor, (step - peak) / (end - peak))


class Cosine(Schedule):
    """Falls from the optimizer's learning rate along a cosine, over the whole run.

    Loshchilov and Hutter, "SGDR" (2017), without restarts; as in torch's CosineAnnealingLR.

    Args:
        final_lr: learning rate that it falls to.
        warmup: rises linearly from almost nothing for so long first; null: it does not.
    """

    def __init__(self, *, final_lr: NonNegativeFloat = 0.0, warmup: Interval | None = None) -> None:
        self.final_lr = final_lr
        self.warmup = warmup

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self._warm = iterations(self.warmup, self.epoch_length) if self.warmup else 0

    def rate(self, step: int, initial: float) -> float:
        if step < self._warm:
            return initial * (step + 1) / self._warm
        return between(initial, self.final_lr, (step - self._warm) / (self.total - self._warm))


class Step(Schedule):
    """Multiplies the optimizer's learning rate at intervals, as torch's StepLR.

    Args:
        every: how often.
        gamma: what it is multiplied by.
    """

    def __init__(self, *, every: Interval = "1 epoch", gamma: PositiveFloat = 0.9) -> None:
        self.every = every
        self.gamma = gamma

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self._period = iterations(self.every, self.epoch_length)

    def rate(self, step: int, initial: float) -> float:
        return float(initial * self.gamma ** (step // self._period))


class PiecewiseLinear(Schedule):
    """Goes in straight lines from milestone to milestone, and stays at the last.

    Args:
        milestones: pairs of an epoch, counted from 0 and not necessarily whole, and the learning rate there.
    """

    def __init__(self, *, milestones: list[tuple[NonNegativeFloat, NonNegativeFloat]]) -> None:
        epochs = [epoch for epoch, _ in milestones]
        if not milestones or any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"milestones: got epochs {epochs}, expected at least one, each later than the one before")
        self._epochs = epochs
        self._rates = [rate for _, rate in milestones]

    def rate(self, step: int, initial: float) -> float:
        epoch = step / self.epoch_length
        after = bisect_right(self._epochs, epoch)
        if after in (0, len(self._epochs)):
            return self._rates[max(after - 1, 0)]
        start, stop = self._epochs[after - 1 : after + 1]
        share = (epoch - start) / (stop - start)
        return self._rates[after - 1] * (1 - share) + self._rates[after] * share


class ReduceOnPlateau(Handler):
    """Multiplies the learning rate when a metric has not improved for a number of evaluations.

    torch's ReduceLROnPlateau, told of every evaluation.

    Args:
        monitor: the metric.
        mode: whether less or more of it is better.
        factor: what the learning rate is multiplied by.
        patience: evaluations without improvement that are let pass.
        min_lr: the learning rate goes no lower.
    """

    phase = Phase.SCHEDULE

    def __init__(
        self,
        *,
        monitor: str = "validation/loss",
        mode: Literal["min", "max"] = "min",
        factor: Share = 0.1,
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
            for optimizer in run.update.optimizers.values()
        ]
        run.after_evaluation(self._step, self.phase)

    def state_dict(self) -> dict[str, Any]:
        """The learning rates themselves are in the optimizers' state, the settings in the configuration."""
        scheduler = self._schedulers[0]
        return {"best": scheduler.best, "waited": scheduler.num_bad_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for scheduler in self._schedulers:
            scheduler.best, scheduler.num_bad_epochs = state["best"], state["waited"]

    def _step(self) -> None:
        for scheduler in self._schedulers:
            scheduler.step(self._run.metrics[self.monitor])


def between(start: float, stop: float, share: float) -> float:
    """Returns the value at a share of the way, in [0, 1], along half a cosine."""
    return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))
