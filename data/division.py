"""Which samples of a part of the data belong to a split, of any number of them."""

from __future__ import annotations

import torch

from firebox.data.hold_out import held_out_length, hold_out
from firebox.data.listing import Split
from firebox.foundation.randomness import PERMUTATION_LIMIT, feistel_permutation, mix


class Division:
    """The samples to train on, those held out for validation, or all samples of a part, by their index in the split.

    Up to ``limit`` samples they are those that ``hold_out`` draws. Above it each is computed by a permutation of the
    part, of which the first samples are held out, so that no index of all of them is held in memory.

    Args:
        length: number of samples in the part.
        fraction: fraction of them that is held out, in [0, 1); 0 for a part that is not divided.
        split_seed: seed of the draw.
        split: the split; "validation" is what is held out.
        limit: number of samples above which each is computed.
    """

    def __init__(
        self, length: int, fraction: float, split_seed: int, split: Split, *, limit: int = PERMUTATION_LIMIT
    ) -> None:
        held_out = held_out_length(length, fraction)
        self._of = length
        self._begin = held_out if split == "train" else 0
        self._length = held_out if fraction and split == "validation" else length - self._begin
        self._key = mix(split_seed, "hold_out", length)
        self._drawn: torch.Tensor | None = None
        self._all = self._length == length
        if not self._all and length <= limit:
            kept, held = hold_out(length, fraction, split_seed)
            self._drawn = kept if split == "train" else held

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        """Returns the samples at indices (int64, (n,)) of the split, int64 (n,), as indices of the part."""
        if self._all:
            return indices
        if self._drawn is not None:
            return self._drawn[indices]
        return feistel_permutation(indices + self._begin, self._of, self._key)
