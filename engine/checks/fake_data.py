"""Stand-in data for a rehearsal: the shape and length are known, the content is not."""

from __future__ import annotations

import math
from typing import Literal

import torch

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch


class FakeData(DataModule):
    """Stand-in data whose shape and length are those of the real data.

    Args:
        specification: the real data's specification.
        split_lengths: the number of samples in each split of the real data.
        dtype: dtype of its images as they are read.
    """

    def __init__(
        self,
        specification: ImageSpecification,
        split_lengths: dict[Split, int],
        dtype: Literal["uint8", "uint16", "float32"] = "uint8",
    ) -> None:
        self._specification = specification
        self._dtype = dtype
        self._split_lengths = {split: length for split, length in split_lengths.items() if length}

    @property
    def specification(self) -> ImageSpecification:
        return self._specification

    @property
    def split_lengths(self) -> dict[Split, int]:
        return self._split_lengths

    @property
    def image_bytes(self) -> int:
        """The size of one image in memory, in bytes."""
        itemsize: int = getattr(torch, self._dtype).itemsize
        return math.prod(self._specification.shape) * itemsize

    def read(self, split: Split) -> FakeSource:
        return FakeSource(self, self._split_lengths[split])

    def batch(self, size: int) -> Batch:
        """Returns a batch of fake samples."""
        specification = self._specification
        images = torch.empty(size, *specification.shape, dtype=torch.uint8)
        targets = None if specification.target is None else specification.target.zeros(size, specification.shape)
        return Batch(images, targets, torch.arange(size))


class FakeSource:
    """A split of fake data.

    Args:
        data: the data that the split belongs to.
        length: the number of samples in the split.
    """

    def __init__(self, data: FakeData, length: int) -> None:
        self._data = data
        self._length = length

    def __len__(self) -> int:
        return self._length

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        batch = self._data.batch(len(indices))
        return batch.images, batch.targets
