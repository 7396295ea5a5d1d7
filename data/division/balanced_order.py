"""The order of an epoch in which each class is equally frequent."""

from __future__ import annotations

import numpy
import torch

from firebox.foundation.randomness import EpochOrder, feistel_permutations, mix, scramble

BLOCK = 1 << 14
"""Number of positions whose samples are computed together."""


class BalancedOrder:
    """An order in which every class is drawn equally often, a function of (seed, epoch).

    An epoch has as many draws as there are samples. The draws of all epochs take the classes in turn, and of each class
    the samples in a seeded order, which begins anew, in another order, once it has been through: small classes several
    times an epoch, and large ones less than once. Within an epoch the draws are shuffled. Any position is computed by
    itself, a block of them at a time.

    Args:
        labels: label of each sample, int64 (N,), N at least 1.
        seed: seed of the run.
        block: number of positions whose samples are computed together; it changes no sample.
    """

    def __init__(self, labels: torch.Tensor, seed: int, *, block: int = BLOCK) -> None:
        classes, own, self._sizes = numpy.unique(labels.cpu().numpy(), return_inverse=True, return_counts=True)
        self._by_class = own.argsort(kind="stable")
        self._begin = self._sizes.cumsum() - self._sizes
        # Without the highest bit, a key fits into an int64.
        self._keys = numpy.array([mix(seed, "balanced", label) >> 1 for label in classes.tolist()], numpy.int64)
        self._shuffled = EpochOrder(len(labels), seed)
        self._size = block
        self._block: tuple[int, int] | None = None
        self._samples = torch.empty(0, dtype=torch.int64)

    def indices(self, epoch: int, start: int, stop: int) -> torch.Tensor:
        """Returns the samples at positions ``start`` to ``stop`` (exclusive) of an epoch, int64, (stop - start,)."""
        parts = []
        while start < stop:
            block, begin = divmod(start, self._size)
            end = min(stop - block * self._size, self._size)
            parts.append(self._computed(epoch, block)[begin:end])
            start = block * self._size + end
        return parts[0] if len(parts) == 1 else torch.cat([self._samples[:0], *parts])

    def _computed(self, epoch: int, block: int) -> torch.Tensor:
        if self._block != (epoch, block):
            length, begin = self._shuffled.length, block * self._size
            place = self._shuffled.indices(epoch, begin, min(begin + self._size, length)).numpy()
            turn, own = numpy.divmod(epoch * length + place, len(self._sizes))
            sizes = self._sizes[own]
            time, member = numpy.divmod(turn, sizes)
            member = feistel_permutations(member, sizes, scramble(self._keys[own] + time))
            self._samples = torch.from_numpy(self._by_class[self._begin[own] + member])
            self._block = epoch, block
        return self._samples
