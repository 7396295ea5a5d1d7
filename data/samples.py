"""Checks of samples against the specification of their data set."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from firebox.data.specification import ImageSpecification

LOWEST, HIGHEST = -0.5, 1.5
"""Bounds for the values of float images in [0, 1], with room for the overshoot of resampling."""


def faults_of_samples(
    images: torch.Tensor, labels: torch.Tensor | None, specification: ImageSpecification
) -> Iterator[str]:
    """Yields what is wrong with samples as they were read.

    Args:
        images: images of shape (N, ...), N at least 1.
        labels: labels of shape (N,); None if there are none.
        specification: specification of the data set.
    """
    if tuple(images.shape[1:]) != specification.shape:
        yield f"its images have shape {tuple(images.shape[1:])}, expected {specification.shape}, as specification says"
    if images.dtype not in (torch.uint8, torch.float32):
        yield f"its images are {images.dtype}, expected torch.uint8 in 0..255 or torch.float32 in [0, 1]"
    elif images.is_floating_point():
        lowest, highest = images.min().item(), images.max().item()
        if not (lowest >= LOWEST and highest <= HIGHEST):
            found = f"its images are torch.float32 from {lowest:g} to {highest:g}"
            yield f"{found}, expected [0, 1]: return uint8, or divide by 255; pixel_range is applied after"
    if labels is not None:
        yield from faults_of_labels(labels, len(specification.classes))


def faults_of_labels(labels: torch.Tensor, classes: int) -> Iterator[str]:
    """Yields what is wrong with labels (N,), N at least 1; with 0 classes, every label is valid."""
    if classes:
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= classes:
            wrong = lowest if lowest < 0 else highest
            yield f"it has the label {wrong}, expected 0 to {classes - 1}: its specification has {classes} classes"
