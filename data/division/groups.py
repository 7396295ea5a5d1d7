"""The division of samples that belong together in groups, such as the images of a patient, none of which is divided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy

from firebox.data.division.folds import Folds

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

ROUNDS = 2
"""Number of times at most that all groups are tried in another part."""


def grouped_hold_out(
    groups: Sequence[str],
    labels: Sequence[int] | None,
    fraction: float,
    split_seed: int,
    *,
    folds: Folds | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divides samples into those to train on and those held out, with each group in one of the two.

    As near as whole groups allow, the fraction is held out of all samples and of each class. If there are two groups or
    more, at least one is held out and at least one remains to train on.

    Args:
        groups: name of the group of each sample.
        labels: label of each sample, int of 0 or more; None if there are no classes.
        fraction: fraction of the samples to hold out, in [0, 1).
        split_seed: seed of the order in which equally large groups are taken.
        folds: the fold to hold out instead; there are at least as many groups as folds.

    Returns:
        Indices to train on and indices held out for validation, int64, each sorted.
    """
    import torch

    if folds is not None:
        parts, held_out = divided(groups, labels, [1 / folds.count] * folds.count, split_seed), folds.index
    elif fraction:
        parts, held_out = divided(groups, labels, [1 - fraction, fraction], split_seed), 1
    else:
        parts, held_out = numpy.zeros(len(groups), numpy.int64), 1
    found = torch.from_numpy(parts == held_out)
    return (~found).nonzero().flatten(), found.nonzero().flatten()


def divided(
    groups: Sequence[str], labels: Sequence[int] | None, shares: Sequence[float], seed: int
) -> NDArray[numpy.int64]:
    """Assigns whole groups to parts, so that each part has about its share of all samples and of each class.

    The largest group comes first, and each goes where it adds least to the squared deviations from the shares. Then
    each is moved, the smallest first, as long as that lowers them.

    Args:
        groups: name of the group of each sample.
        labels: label of each sample, int of 0 or more; None if there are no classes.
        shares: share of each part, which sum to 1.
        seed: seed of the order of groups of one size.

    Returns:
        The part of each sample, (N,). No part is empty if there are as many groups as parts.
    """
    import torch

    from firebox.foundation.randomness import generator

    names, group = numpy.unique(numpy.asarray(groups, dtype=object).astype(str), return_inverse=True)
    label = numpy.zeros(len(group), numpy.int64) if labels is None else numpy.asarray(labels, numpy.int64)
    sizes, classes = numpy.bincount(group), int(label.max(initial=0)) + 1
    order = torch.randperm(len(names), generator=generator(seed, "groups", len(names))).numpy()
    order = order[numpy.argsort(-sizes[order], kind="stable")]
    balance = _Balance(group, label, classes, numpy.asarray(shares))
    part = [-1] * len(names)
    for own in order.tolist():
        part[own] = balance.best(own)
        balance.add(own, part[own])
    held = numpy.bincount(part, minlength=len(shares))
    for empty in numpy.flatnonzero(held == 0).tolist():
        for own in order[::-1].tolist():  # the smallest group of a part that has others
            if held[part[own]] > 1:
                balance.add(own, part[own], -1)
                held[part[own]] -= 1
                part[own] = empty
                balance.add(own, empty)
                held[empty] += 1
                break
    for _ in range(ROUNDS):
        moved = False
        for own in order[::-1].tolist():
            before = part[own]
            if held[before] == 1:
                continue
            balance.add(own, before, -1)
            part[own] = balance.best(own, before)
            balance.add(own, part[own])
            held[before] -= 1
            held[part[own]] += 1
            moved = moved or part[own] != before
        if not moved:
            break
    return numpy.asarray(part)[group]


class _Balance:
    """How many samples of each class the parts have, and how many they should have."""

    def __init__(
        self, group: NDArray[numpy.int64], label: NDArray[numpy.int64], classes: int, shares: NDArray[numpy.float64]
    ) -> None:
        pairs, counts = numpy.unique(group * classes + label, return_counts=True)
        self._begin = numpy.searchsorted(pairs, numpy.arange(group.max(initial=0) + 2) * classes)
        self._label, self._count = pairs % classes, counts.astype(numpy.float64)
        totals = numpy.bincount(label, minlength=classes).astype(numpy.float64)
        # The last row stands for all classes, and counts as much as all of them together.
        totals = numpy.maximum(numpy.append(totals, totals.sum()), 1)
        weights = numpy.append(numpy.ones(classes), classes) / totals
        self._excess = -totals[:, None] * shares
        self._weights = weights[:, None] / shares

    def _of(self, group: int) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
        own = slice(self._begin[group], self._begin[group + 1])
        counts = self._count[own]
        return numpy.append(self._label[own], len(self._excess) - 1), numpy.append(counts, counts.sum())[:, None]

    def best(self, group: int, otherwise: int = 0) -> int:
        """Returns the part that a group suits best; ``otherwise`` if none is better."""
        rows, counts = self._of(group)
        costs = self._weights[rows] * counts * (counts + 2 * self._excess[rows])
        # Rounded once, so that no machine's order of addition decides between parts.
        sums = [math.fsum(own) for own in costs.T.tolist()]
        found = sums.index(min(sums))
        return found if sums[found] < sums[otherwise] - 1e-9 else otherwise

    def add(self, group: int, part: int, times: int = 1) -> None:
        """Adds a group to a part, or takes it away."""
        rows, counts = self._of(group)
        self._excess[rows, part] += times * counts[:, 0]
