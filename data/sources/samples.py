"""Checks of samples against the specification of their data set."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Target


def faults_of_samples(
    images: torch.Tensor, targets: torch.Tensor | None, specification: ImageSpecification
) -> Iterator[str]:
    """Yields what is wrong with samples as they were read.

    Args:
        images: images of shape (N, ...), N at least 1.
        targets: targets of shape (N, ...); None if there are none.
        specification: specification of the data set.
    """
    yield from specification.faults(images)
    if specification.target is not None and targets is not None:
        yield from faults_of_targets(targets, specification.target, specification.shape)


def faults_of_targets(targets: torch.Tensor, target: Target, image_shape: tuple[int, int, int]) -> Iterator[str]:
    """Yields what is wrong with targets (N, ...) as they were read, N at least 1, of images (C, H, W)."""
    expected = target.zeros(1, image_shape)
    if targets.shape[1:] != expected.shape[1:]:
        found, shape = tuple(targets.shape[1:]), tuple(expected.shape[1:])
        yield f"its targets have shape {found}, expected {shape}: {target.described}"
    elif targets.dtype != expected.dtype and not target.takes(targets.dtype):
        yield f"its targets are {targets.dtype}, expected {expected.dtype}: {target.described}"
    else:
        yield from target.faults(targets)
