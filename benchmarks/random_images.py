"""Random grey images in memory, of any size, for benchmarks in which the content does not matter."""

from __future__ import annotations

import torch

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.source import ResidentImages

CLASSES = tuple("0123456789")


def random_images(length: int, height: int, width: int) -> ResidentImages:
    """Returns ``length`` single-channel images with labels of ten classes, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (length, 1, height, width), generator=generator, dtype=torch.uint8)
    return ResidentImages(pixels, torch.randint(0, len(CLASSES), (length,), generator=generator))


class RandomImages(DataModule):
    """Random grey images in memory.

    Args:
        length: number of images in the training split, the only split.
        height: height of an image in pixels.
        width: width of an image in pixels.
    """

    name = "random_images"

    def __init__(self, *, length: int, height: int, width: int) -> None:
        self._length = length
        self._sides = height, width

    @property
    def specification(self) -> ImageSpecification:
        return ImageSpecification((1, *self._sides), "[0,1]", CLASSES)

    @property
    def split_lengths(self) -> dict[Split, int]:
        return {"train": self._length}

    def read(self, split: Split) -> ResidentImages:
        return random_images(self.split_lengths[split], *self._sides)
