"""The losses of every iteration, kept on the device and read by the host a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from firebox.engine.training.updates.update import MOST_PENDING
from firebox.foundation.observing import for_the_training, observed

NO_RATES: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Row:
    """The losses that one iteration reported.

    Args:
        iteration: the iteration, starting at 1.
        learning_rate: the learning rate of the iteration; of several, that of the first optimizer's first group.
        losses: all loss terms by name.
        finite: whether the loss and its gradients were; an iteration where they were not took no step.
        other_rates: the learning rates beside it, by name, such as ``learning_rate/critic``.
        gradient_norms: the norm of the gradients that each optimizer stepped with, before they were clipped, by the
            optimizer's name; empty where it was not measured.
    """

    iteration: int
    learning_rate: float
    losses: dict[str, float]
    finite: bool
    other_rates: Mapping[str, float] = field(default_factory=dict)
    gradient_norms: Mapping[str, float] = field(default_factory=dict)

    @property
    def learning_rates(self) -> dict[str, float]:
        """All learning rates of the iteration, by their names in losses.jsonl."""
        return {"learning_rate": self.learning_rate, **self.other_rates}


Scalars = Mapping[str, torch.Tensor]
NO_NORMS: Scalars = MappingProxyType({})
Pending = tuple[int, float, Scalars, torch.Tensor, Mapping[str, float], Scalars]
Subscriber = Callable[[list[Row]], None]


class LossRecord:
    """Collects losses without asking the device for them; ``settle`` reads all that have come in one transfer."""

    def __init__(self) -> None:
        self._pending: list[Pending] = []
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Registers a function that is given the rows that ``settle`` reads, in the order of the iterations."""
        self._subscribers.append(observed(subscriber))

    def add(
        self,
        iteration: int,
        learning_rate: float,
        losses: Mapping[str, torch.Tensor],
        non_finite: torch.Tensor,
        other_rates: Mapping[str, float] = NO_RATES,
        gradient_norms: Scalars = NO_NORMS,
    ) -> None:
        """Adds what an iteration reports.

        Args:
            iteration: the iteration, starting at 1.
            learning_rate: the learning rate of the iteration; of several, the first.
            losses: scalars of shape (), detached, on the device.
            non_finite: of shape (), on the device: 1 where a loss or a gradient was not finite, else 0.
            other_rates: the learning rates beside the first, by name.
            gradient_norms: scalars of shape (), on the device, by the names of the optimizers.
        """
        if self._subscribers:
            self._pending.append((iteration, learning_rate, losses, non_finite, other_rates, gradient_norms))
            if len(self._pending) >= MOST_PENDING:
                self.settle()

    def settle(self) -> None:
        """Reads what is pending and hands it on. The one place where training waits for the device."""
        pending, self._pending = self._pending, []
        if pending:
            with for_the_training():
                self._hand_on(pending)

    def _hand_on(self, pending: list[Pending]) -> None:
        scalars = [
            scalar
            for _, _, losses, non_finite, _, norms in pending
            for scalar in (*losses.values(), non_finite, *norms.values())
        ]
        values = iter(torch.stack(scalars).tolist())
        rows = [
            Row(
                iteration,
                learning_rate,
                {name: next(values) for name in losses},
                next(values) == 0,
                others,
                {name: next(values) for name in norms},
            )
            for iteration, learning_rate, losses, _, others, norms in pending
        ]
        for subscriber in self._subscribers:
            subscriber(rows)
