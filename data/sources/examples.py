"""The choice of samples that are shown in pictures."""

from __future__ import annotations

import torch


def balanced(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Chooses samples of every class in turn: the first of each class, then the second of each, and so on.

    In a data set that is sorted by class, the first samples of a split all belong to one class. The choice depends on
    the labels alone, so that every picture of a run shows the same samples.

    Args:
        labels: int64 of shape (n,), one per sample.
        count: the number of samples to choose.

    Returns:
        Indices, int64 of shape (min(count, n),), on the CPU.
    """
    classes, labels = labels.cpu().unique(return_inverse=True)
    by_class = labels.argsort(stable=True)
    sizes = labels.bincount(minlength=len(classes))
    turn = torch.empty_like(labels)
    turn[by_class] = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return (turn * len(classes) + labels).argsort(stable=True)[:count]


def integers(values: object, length: int) -> torch.Tensor | None:
    """Returns labels as a tensor, int64 of shape (length,); None if they are anything but one integer per sample."""
    if isinstance(values, list | tuple) and all(type(value) is int for value in values):
        values = torch.tensor(values, dtype=torch.int64)
    if not isinstance(values, torch.Tensor) or values.shape != (length,) or values.is_floating_point():
        return None
    return values.to(torch.int64)
