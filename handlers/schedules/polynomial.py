"""A polynomial decay."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveFloat

from firebox.handlers.schedules.schedule import Schedule


class Polynomial(Schedule):
    """Lowers the learning rate from the optimizer's own along a power of the remaining run; 1 is a straight line.

    Chen et al., "DeepLab" (2017); with ``final_lr`` 0 as in torch's PolynomialLR.

    Args:
        power: exponent of the share of the run that remains.
        final_lr: learning rate at the end of the run.
    """

    def __init__(self, *, power: PositiveFloat = 0.9, final_lr: NonNegativeFloat = 0.0) -> None:
        self.power = power
        self.final_lr = final_lr

    def rate(self, step: int, initial: float) -> float:
        return float(self.final_lr + (initial - self.final_lr) * (1 - step / self.total) ** self.power)
