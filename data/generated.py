"""A datagenerator's split as a source of samples."""

from __future__ import annotations

import torch

from data.datagenerator import DataGenerator
from data.datamodule import Split


class GeneratedImages:
    """The samples of one split of a datagenerator.

    Training never sees a sample twice: index i of epoch e is sample ``e * length + i``. Other splits stay the same.
    """

    def __init__(self, generator: DataGenerator, split: Split) -> None:
        self._generator = generator
        self._split: Split = split

    def __len__(self) -> int:
        return self._generator.split_lengths[self._split]

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._split == "train":
            indices = indices + epoch * len(self)
        return self._generator.sample(self._split, indices)
