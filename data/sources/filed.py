"""Samples that lie in files in the form in which they are held."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from firebox.data.sources.source import TOGETHER, ResidentImages


class FiledImages(ABC):
    """A source whose samples need no decoding and never change, so that they are read as fast as from memory."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @property
    @abstractmethod
    def labels(self) -> torch.Tensor | None:
        """All samples' labels, int64 of shape (N,); None if there are none."""

    @abstractmethod
    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Reads samples, as ``ImageSource.gather`` says."""

    @property
    def beside(self) -> bool:
        """Whether a thread may read a batch beside the training, as it waits for the system and computes little."""
        return False

    def all(self) -> ResidentImages:
        """Reads all samples into memory."""
        images, targets = self.gather(torch.tensor([0]))
        _, channels, height, width = images.shape
        space = images.new_empty(len(self), height, width, channels).permute(0, 3, 1, 2)
        held = ResidentImages(space, None if targets is None else targets.new_empty(len(self), *targets.shape[1:]))
        for indices in torch.arange(len(self)).split(TOGETHER):
            held.put(indices, *self.gather(indices))
        return held
