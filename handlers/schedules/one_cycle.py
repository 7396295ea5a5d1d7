"""The one-cycle schedule: up to a peak, then down to almost zero."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat

from firebox.handlers.schedules.schedule import Schedule, between


class OneCycle(Schedule):
    """Raises the learning rate to a peak and lowers it to almost zero over the whole run, both along a cosine.

    Smith and Topin, "Super-Convergence" (2018), with the values of torch's OneCycleLR; the momentum is left unchanged.

    Args:
        max_lr: learning rate at the peak.
        pct_start: fraction of the run spent rising, in (0, 1).
        div_factor: ratio of the peak to the first learning rate.
        final_div_factor: ratio of the first learning rate to the last.
    """

    def __init__(
        self,
        *,
        max_lr: PositiveFloat,
        pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3,
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
