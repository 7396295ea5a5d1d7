"""Stops a trial of a sweep that does worse than the others."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from firebox.engine.search import study as studies
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval, iterations

logger = logging.getLogger("firebox")


class Pruning(Handler):
    """Reports a metric to the sweep that a run belongs to, and stops the run where the sweep's other trials did better.

    ``firebox sweep`` adds it to its trials. In a run outside of a sweep it does nothing, and says so.

    Args:
        pruner: median: stops a trial whose best value so far is worse than the median of the others' values at the same
            iteration; hyperband: successive halving in several brackets (Li et al., "Hyperband", 2018).
        monitor: metric to report.
        mode: whether a smaller (min) or a larger (max) value of the metric is better.
        after: duration at the start of a run in which no trial is stopped.
        startup_trials: number of completed trials before which the median stops none.
        reduction_factor: hyperband goes on with one of so many trials at each halving.
    """

    phase = Phase.SCHEDULE
    watches = ("monitor", "mode")

    def __init__(
        self,
        *,
        pruner: Literal["median", "hyperband"] = "median",
        monitor: str = "validation/loss",
        mode: Literal["min", "max"] = "min",
        after: Interval = "1 epoch",
        startup_trials: PositiveInt = 5,
        reduction_factor: Annotated[int, Field(ge=2)] = 3,
    ) -> None:
        self.pruner = pruner
        self.monitor = monitor
        self.mode = mode
        self.after = after
        self.startup_trials = startup_trials
        self.reduction_factor = reduction_factor
        self._trial: Any = None
        self._pruned = False

    def attach(self, run: Run) -> None:
        self._run = run
        run.after_evaluation(self._report, self.phase)

    def start(self, run: Run) -> None:
        self._trial = studies.trial_of(run.directory.path)
        if self._trial is None:
            logger.warning("handlers.pruning: %s belongs to no sweep; it is not stopped early", run.directory.path)
        else:
            self._trial.study.pruner = self._optunas_pruner(run)
        if self._pruned:
            self._stop()

    def state_dict(self) -> dict[str, Any]:
        return {"pruned": self._pruned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pruned = state["pruned"]

    def _optunas_pruner(self, run: Run) -> Any:
        import optuna

        first = iterations(self.after, run.epoch_length)
        if self.pruner == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=self.startup_trials, n_warmup_steps=first)
        return optuna.pruners.HyperbandPruner(
            min_resource=first, max_resource=run.total_iterations, reduction_factor=self.reduction_factor
        )

    def _report(self) -> None:
        run, trial = self._run, self._trial
        if trial is None:
            return
        # A resumed run comes by iterations again that it has reported, with the same values.
        if run.iteration not in trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(run.metrics[self.monitor], run.iteration)
        if trial.should_prune() and run.iteration < run.total_iterations:
            self._pruned = True
            trial.set_user_attr(studies.PRUNED, run.iteration)
            self._stop()

    def _stop(self) -> None:
        self._run.finish_early(f"pruned: other trials of the sweep have a better {self.monitor}")
