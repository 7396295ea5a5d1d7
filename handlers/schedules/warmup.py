"""A linear warm-up in front of any other schedule."""

from __future__ import annotations

from typing import Annotated, Any

from firebox.engine.components.part import Part, built
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval, iterations
from firebox.handlers.schedules.schedule import Schedule


class Warmup(Schedule):
    """Raises the learning rate in a line from almost zero to that of another schedule, which goes on alone.

    The other schedule runs from the first iteration on; the warm-up multiplies its rates. Goyal et al., "Accurate,
    Large Minibatch SGD" (2017).

    Args:
        schedule: schedule whose rates are reached, such as polynomial or {name: step, every: 10 epochs}.
        duration: duration of the warm-up.

    Raises:
        ValueError: the other schedule is no function of the iteration.
    """

    def __init__(
        self,
        *,
        schedule: Annotated[Any, Part("scheduler", "cosine", "one_cycle", "piecewise_linear", "polynomial", "step")],
        duration: Interval = "1 epoch",
    ) -> None:
        self.schedule = built("scheduler", schedule)
        self.duration = duration
        if not isinstance(self.schedule, Schedule):
            kind = type(self.schedule).__name__
            raise ValueError(f"schedule: got {kind}, expected one that is a function of the iteration, such as cosine")

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.schedule.prepare(run)
        self._warm = iterations(self.duration, self.epoch_length)

    def rate(self, step: int, initial: float) -> float:
        return float(self.schedule.rate(step, initial) * min(1.0, (step + 1) / self._warm))

    def beyond(self, *, epochs: int, epoch_length: int) -> dict[str, str]:
        total, found = epochs * epoch_length, self.schedule.beyond(epochs=epochs, epoch_length=epoch_length)
        problems = {"schedule": "; ".join(map(": ".join, found.items()))} if found else {}
        if iterations(self.duration, epoch_length) < total:
            return problems
        given = f"got {self.duration}, but the whole run has {total} iterations ({epochs} epochs)"
        return {**problems, "duration": f"{given}; expected less, or more training.epochs"}
