"""One cycle: up to a peak and down to almost nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat

from firebox.handlers.schedules.schedule import Schedule, between


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
