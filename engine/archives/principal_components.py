"""The principal components of a run's training images, against which reconstructions are measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from firebox.data.bases.datamodule import Split
from firebox.engine.training.run import Run

LARGEST = 4096
"""Largest number of values in an image for which principal components are computed; the time is cubic in it."""
PART = 1024
"""Images per batch if no gradient is needed."""


@dataclass(frozen=True, slots=True)
class PrincipalComponents:
    """The mean and the principal components of the training images, on the CPU in float64.

    Args:
        mean: mean image, (size,).
        vectors: unit vectors, the leading one first, (size, size); None if images are too large to compute them.
        variances: variance of the training images along each, (size,); None as well.
    """

    mean: torch.Tensor
    vectors: torch.Tensor | None
    variances: torch.Tensor | None

    def energies(self, parts: Iterator[torch.Tensor]) -> tuple[int, torch.Tensor]:
        """Returns the number of images and their mean squares along each component around the training mean, (size,).

        Args:
            parts: batches of images, (N, C, H, W).
        """
        assert self.vectors is not None
        count, total = 0, torch.zeros_like(self.mean)
        for part in parts:
            centred = part.flatten(1).cpu().double() - self.mean
            count += len(centred)
            total += (centred @ self.vectors).square().sum(0)
        return count, total / count


def images_of(run: Run, split: Split, count: int | None = None) -> Iterator[torch.Tensor]:
    """Yields the images of a split as the model sees them, batch by batch; the first ones, or all."""
    stream = run.streams[split]
    for part in stream.in_order(stream.samples if count is None else count, PART):
        yield run.preparation(part).images


def held(run: Run, *splits: Split) -> bool:
    """Whether the images of all the splits are held in memory."""
    return all(run.streams[split].placement != "stream" for split in splits)


def principal_components(run: Run) -> PrincipalComponents:
    """Returns those of the training split."""
    size = math.prod(run.data.specification.shape)
    count, total = 0, torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64) if size <= LARGEST else None
    for part in images_of(run, "train"):
        pixels = part.flatten(1).cpu().double()
        count += len(pixels)
        total += pixels.sum(0)
        if products is not None:
            products.addmm_(pixels.T, pixels)
    mean = total / count
    if products is None:
        return PrincipalComponents(mean, None, None)
    variances, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
    return PrincipalComponents(mean, vectors.flip(1), variances.flip(0).clamp(min=0))
