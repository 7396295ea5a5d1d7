"""Half a cosine down, after a linear warm-up where one is asked for."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval, iterations
from firebox.handlers.schedules.schedule import Schedule, between


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

    def beyond(self, *, epochs: int, epoch_length: int) -> dict[str, str]:
        total = epochs * epoch_length
        if self.warmup is None or iterations(self.warmup, epoch_length) < total:
            return {}
        given = f"got {self.warmup}, but the whole run has {total} iterations ({epochs} epochs)"
        return {"warmup": f"{given}; expected less, or more training.epochs"}
