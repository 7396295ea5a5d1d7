"""A fixed tree of additions: the same sum, bit for bit, however the addends are spread over processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Addend = Sequence[torch.Tensor | None]
"""Tensors to be added elementwise, one list per shard; None for zeros."""


class Tree:
    """Adds lists of tensors as they come, each sum of two that have the same number of addends: a binary counter.

    Where their number is a power of two, that is the balanced tree. Sums of contiguous parts of the addends, made
    elsewhere, are subtrees of it; addition is commutative, so that whoever adds two of them has the same sum.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, list[torch.Tensor | None]]] = []

    def add(self, addend: Addend) -> None:
        """Adds the next list of tensors, which are overwritten."""
        count, total = 1, list(addend)
        while self._sums and self._sums[-1][0] == count:
            before, earlier = self._sums.pop()
            count, total = count + before, _sum(earlier, total)
        self._sums.append((count, total))

    def take(self) -> list[torch.Tensor | None]:
        """Returns the sum of a power of two of lists, and begins anew."""
        ((_, total),) = self._sums
        self._sums = []
        return total


def _sum(left: list[torch.Tensor | None], right: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Returns the sums of two lists, in the place of the left one where it has a tensor."""
    both = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    if len(both) == len(left):
        return left
    for a, b in zip(left, right, strict=True):
        if (a is None) != (b is None):
            # As in another process, where zeros stand for what is missing: they make a zero of a negative zero.
            (a if a is not None else b).add_(0)  # type: ignore[union-attr]
    return [a if a is not None else b for a, b in zip(left, right, strict=True)]
