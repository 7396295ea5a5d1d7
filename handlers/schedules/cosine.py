"""A cosine decay, after an optional linear warm-up."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval, iterations
from firebox.handlers.schedules.schedule import Schedule, between


class Cosine(Schedule):
    """Lowers the learning rate from the optimizer's own along a cosine, over the whole run.

    Loshchilov and Hutter, "SGDR" (2017), without restarts; as in torch's CosineAnnealingLR.

    Args:
        final_lr: learning rate at the end of the run.
        warmup: duration of a linear rise from almost zero at the start; null for none.
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

    def beyond(self, *, epochs: int, epoch_length: int) -> dict[str, str]:
        total = epochs * epoch_length
        if self.warmup is None or iterations(self.warmup, epoch_length) < total:
            return {}
        given = f"got {self.warmup}, but the whole run has {total} iterations ({epochs} epochs)"
        return {"warmup": f"{given}; expected less, or more training.epochs"}
