"""Stops training that no longer improves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveInt

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run


class EarlyStopping(Handler):
    """Stops training when a metric has not improved for a number of evaluations.

    Args:
        monitor: metric to watch.
        mode: whether a smaller (min) or a larger (max) value of the metric is better.
        patience: number of evaluations without improvement after which training stops.
        min_delta: smallest change that counts as an improvement, in the metric's unit.
    """

    # Ignite's EarlyStopping is not used: it takes NaN for an improvement, after which no value is ever worse, and its
    # state lacks its decision to stop, so a run resumed at that point would continue to train.

    phase = Phase.SCHEDULE
    watches = ("monitor", "mode")

    def __init__(
        self,
        *,
        monitor: str = "validation/loss",
        mode: Literal["min", "max"] = "min",
        patience: PositiveInt = 5,
        min_delta: NonNegativeFloat = 0.0,
    ) -> None:
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.min_delta = min_delta
        self._best: float | None = None
        self._waited = 0

    def attach(self, run: Run) -> None:
        self._run = run
        run.after_evaluation(self._consider, self.phase)

    def start(self, run: Run) -> None:
        self._stop_when_due()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._waited = state["best"], state["waited"]

    def _consider(self) -> None:
        value = self._run.metrics[self.monitor]
        if self._improves(value):
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        self._stop_when_due()

    def _improves(self, value: float) -> bool:
        if self._best is None:
            return value == value
        gain = self._best - value if self.mode == "min" else value - self._best
        return gain > self.min_delta

    def _stop_when_due(self) -> None:
        if self._waited >= self.patience:
            best = "none" if self._best is None else f"{self._best:.6g}"
            self._run.finish_early(f"{self.monitor} no better for {self._waited} evaluations (best {best})")
