"""Which samples of a part of the data belong to a split, of any number of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from firebox.data.division.folds import Folds
from firebox.data.division.hold_out import hold_out, number_held_out
from firebox.data.division.listing import Split
from firebox.foundation.randomness import PERMUTATION_LIMIT, feistel_permutation, mix


class Division:
    """The samples to train on, those held out for validation, or all samples of a part, by their index in the split.

    Up to ``limit`` samples they are those that ``hold_out`` draws, stratified if there are classes. Above it each is
    computed by a permutation of the part, of which the first samples are held out, or every k-th as a fold, so that no
    index of all of them is held in memory.

    Args:
        length: number of samples in the part.
        fraction: fraction of them that is held out, in [0, 1); 0 for a part that is not divided.
        split_seed: seed of the draw.
        split: the split; "validation" is what is held out.
        folds: the fold that is held out instead of a fraction; None for a fraction.
        labels: label of each sample of the part, int64 (length,), at most ``limit``; None if there are none.
        classes: names of the classes.
        limit: number of samples above which each is computed.
    """

    def __init__(
        self,
        length: int,
        fraction: float,
        split_seed: int,
        split: Split,
        *,
        folds: Folds | None = None,
        labels: torch.Tensor | None = None,
        classes: Sequence[str] = (),
        limit: int = PERMUTATION_LIMIT,
    ) -> None:
        held_out = number_held_out(length, fraction, folds, labels)
        self._of = length
        self._split, self._folds = split, folds
        self._begin = held_out if split == "train" else 0
        divided = fraction or folds is not None
        self._length = held_out if divided and split == "validation" else length - self._begin
        self._key = mix(split_seed, "hold_out", length)
        self._drawn: torch.Tensor | None = None
        self._all = self._length == length
        if not self._all and length <= limit:
            given = None if labels is None else labels.tolist()
            kept, held = hold_out(length, fraction, split_seed, folds=folds, labels=given, classes=classes)
            self._drawn = kept if split == "train" else held

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        """Returns the samples at indices (int64, (n,)) of the split, int64 (n,), as indices of the part."""
        if self._all:
            return indices
        if self._drawn is not None:
            return self._drawn[indices]
        return feistel_permutation(self._dealt(indices), self._of, self._key)

    def _dealt(self, indices: torch.Tensor) -> torch.Tensor:
        """Returns the places in the permutation of samples of the split."""
        if self._folds is None:
            return indices + self._begin
        count, index = self._folds.count, self._folds.index
        if self._split == "validation":
            return indices * count + index
        own = indices % (count - 1)
        return indices // (count - 1) * count + own + (own >= index)
