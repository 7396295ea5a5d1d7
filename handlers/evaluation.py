"""Evaluates on the validation split while training, and on the test split at the end."""

from __future__ import annotations

from firebox.data.bases.datamodule import Split
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.evaluating import evaluate
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval


class Evaluation(Handler):
    """Evaluates on the validation split while training, and on the test split at the end.

    Args:
        every: interval between evaluations on the validation split.
        test: whether to evaluate on the test split once training is complete.
    """

    phase = Phase.EVALUATE

    def __init__(self, *, every: Interval = "1 epoch", test: bool = True) -> None:
        self.every = every
        self.test = test

    def attach(self, run: Run) -> None:
        self._run = run
        if "validation" in run.streams:
            run.every(self.every, self._validate, self.phase)

    def finish(self) -> bool:
        """Evaluates on the test split, if there is one; returns False if a stop interrupted it."""
        return not self.test or "test" not in self._run.streams or self.evaluate("test")

    def _validate(self) -> bool:
        return self.evaluate("validation")

    def evaluate(self, split: Split) -> bool:
        """Evaluates on a split and records the metrics; returns False if a stop interrupted it."""
        return evaluate(self._run, split)
