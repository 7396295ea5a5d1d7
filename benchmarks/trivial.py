"""Data and a model that cost next to nothing to train, so that what is left is the engine; and a large model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data.datamodule import DataModule, Split
from data.source import ResidentImages
from data.specification import ImageSpecification

SHAPE = (1, 2, 4)


def images(length: int) -> tuple[Tensor, Tensor]:
    """Returns random images uint8 (length, 1, 2, 4) and labels int64 (length,)."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (length, *SHAPE), generator=generator, dtype=torch.uint8)
    return pixels, torch.randint(0, 2, (length,), generator=generator)


class Trivial(DataModule):
    """Tiny random images in memory.

    Args:
        length: of the training split; there is no other.
    """

    name = "trivial"

    def __init__(self, *, length: int = 1000) -> None:
        self._length = length

    @property
    def specification(self) -> ImageSpecification:
        return ImageSpecification(SHAPE, "[0,1]", ("first", "second"))

    @property
    def split_lengths(self) -> dict[Split, int]:
        return {"train": self._length}

    def read(self, split: Split) -> ResidentImages:
        return ResidentImages(*images(self.split_lengths[split]))


class OneLayer(nn.Module):
    """One linear layer over all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        """Returns images of the same shape (N, 1, 2, 4)."""
        reconstruction: Tensor = self.layer(images.flatten(1)).view_as(images)
        return reconstruction


class Large(nn.Module):
    """Three linear layers; with their Adam moments they take a state of 12 * (width**2 + 18 * width) bytes, roughly.

    Args:
        width: of the middle layer.
    """

    def __init__(self, *, width: int = 2880) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 8))

    def forward(self, images: Tensor) -> Tensor:
        """Returns images of the same shape (N, 1, 2, 4)."""
        reconstruction: Tensor = self.layers(images.flatten(1)).view_as(images)
        return reconstruction
