"""Linear interpolation between milestones."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from pydantic import NonNegativeFloat

from firebox.handlers.schedules.schedule import Schedule


class PiecewiseLinear(Schedule):
    """Interpolates the learning rate linearly between milestones, and keeps it constant after the last.

    Args:
        milestones: pairs of an epoch, counted from 0 and possibly fractional, and the learning rate at that epoch.
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

    def beyond(self, *, epochs: int, epoch_length: int) -> dict[str, str]:
        last = self._epochs[-1]
        if last <= epochs:
            return {}
        given = f"the last one is at epoch {last:g}, but training.epochs is {epochs}"
        return {"milestones": f"{given}; expected all of them within the run"}
