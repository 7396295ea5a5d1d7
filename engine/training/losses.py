"""The losses of every iteration, kept on the device and read by the host a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

MOST_PENDING = 1000
"""Iterations that are kept unread where no handler reads them sooner."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one iteration reported.

    Args:
        iteration: counted from 1.
        learning_rate: that the iteration was made with.
        losses: every term by name.
    """

    iteration: int
    learning_rate: float
    losses: dict[str, float]


Subscriber = Callable[[list[Row]], None]


class LossRecord:
    """Collects losses without asking the device for them; ``settle`` reads all that have come in one transfer.

    Args:
        skipped: of the updates: how many iterations were not finite, a scalar on the device that is read with the
            losses; None if nobody counts them.
    """

    def __init__(self, skipped: torch.Tensor | None = None) -> None:
        self.skipped = 0
        """Iterations whose loss or gradients were not finite, up to the last one that was read."""
        self._counter = skipped
        self._pending: list[tuple[int, float, Mapping[str, torch.Tensor]]] = []
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Registers a function that is given the rows that ``settle`` reads, in the order of the iterations."""
        self._subscribers.append(subscriber)

    def add(self, iteration: int, learning_rate: float, losses: Mapping[str, torch.Tensor]) -> None:
        """Takes the losses of an iteration: scalars of shape (), detached, on the device."""
        if self._subscribers:
            self._pending.append((iteration, learning_rate, losses))
            if len(self._pending) >= MOST_PENDING:
                self.settle()

    def settle(self) -> None:
        """Reads what is pending and hands it on. The one place where training waits for the device."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        scalars = [loss for _, _, losses in pending for loss in losses.values()]
        if self._counter is not None:
            scalars.append(self._counter)
        values = torch.stack(scalars).tolist()
        if self._counter is not None:
            self.skipped = int(values.pop())
        remaining = iter(values)
        rows = [
            Row(iteration, learning_rate, {name: next(remaining) for name in losses})
            for iteration, learning_rate, losses in pending
        ]
        for subscriber in self._subscribers:
            subscriber(rows)
