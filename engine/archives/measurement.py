"""Measurements of an assembled run's model: its metrics, and the errors of the simplest models for comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from firebox.data.bases.datamodule import Split
from firebox.engine.training.run import Run

LARGEST_PCA = 4096
"""Largest number of values in an image for which principal components are computed; the time is cubic in it."""

PART = 1024
"""Images per batch if no gradient is needed."""


def evaluation_split(run: Run) -> Split:
    """Returns the split on which an archived model is evaluated: test, else validation, else train."""
    splits: tuple[Split, ...] = ("test", "validation", "train")
    return next(split for split in splits if split in run.streams)


def measure(run: Run, split: Split, count: int | None = None) -> dict[str, Any]:
    """Evaluates a model with the run's own evaluator.

    Args:
        run: run whose model is measured; it is left in evaluation mode.
        split: split that exists.
        count: number of the split's first images to evaluate; None for all.

    Returns:
        The metrics by name, each a number or lists of numbers.
    """
    stream = run.streams[split]
    run.model.eval()
    if count is None:
        stream.seek(0)
        run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream))
    else:
        size = run.configuration.data.loading.batch_size_of(split)
        run.evaluator.run(list(stream.in_order(count, size)), max_epochs=1)
    metrics = run.evaluator.state.metrics
    return {name: _plain(value) for name, value in metrics.items()}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) and value.numel() > 1 else float(value)


@dataclass(frozen=True, slots=True)
class ReconstructionErrors:
    """Mean squared errors per pixel, in the data's pixel range, of images and their reconstructions.

    Args:
        images: number of reconstructed images.
        model: error of the model.
        mean_image: error of the training split's mean image as the reconstruction of every image.
        components: number of principal components: the length of the model's latent, or as many as there are.
        pca: error of the projection onto the training split's principal components; None if the images are too large.
    """

    images: int
    model: float
    mean_image: float
    components: int
    pca: float | None


def reconstruction_errors(run: Run, split: Split, count: int | None = None) -> ReconstructionErrors | None:
    """Compares a model that reconstructs images with the mean image and with PCA of the same latent size.

    Args:
        run: run whose model is measured; it is left in evaluation mode.
        split: split to measure; the mean image and the components are those of the training split.
        count: number of the split's first images to measure; None for all.

    Returns:
        The errors; None if the model reconstructs nothing, or the data is not held in memory.
    """
    if not (hasattr(run.module, "pixels") and hasattr(run.model, "latent_dim")):
        return None
    if any(run.streams[name].placement == "stream" for name in ("train", split)):
        return None
    size = math.prod(run.data.specification.shape)
    components = min(int(run.model.latent_dim), size)  # type: ignore[arg-type]
    mean, basis = _principal_components(_images(run, "train", None), components, size)
    images, reconstructed, mean_image, projected = 0, 0.0, 0.0, 0.0
    model = run.model.eval()
    with torch.inference_mode():
        for part in _images(run, split, count):
            images += len(part)
            reconstructed += float((run.module.pixels(model(part)) - part).double().square().sum())
            centred = part.flatten(1).cpu().double() - mean
            mean_image += float(centred.square().sum())
            projected += 0.0 if basis is None else float((centred @ basis).square().sum())
    pixels = images * size
    pca = None if basis is None else (mean_image - projected) / pixels
    return ReconstructionErrors(images, reconstructed / pixels, mean_image / pixels, components, pca)


def _images(run: Run, split: Split, count: int | None) -> Iterator[torch.Tensor]:
    """Yields the images of a split as the model sees them, batch by batch."""
    stream = run.streams[split]
    for part in stream.in_order(stream.samples if count is None else count, PART):
        yield run.preparation(part).images


def _principal_components(
    parts: Iterator[torch.Tensor], components: int, size: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns the mean (size,) and the leading eigenvectors (size, components) of the covariance, float64."""
    count, total = 0, torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64) if size <= LARGEST_PCA else None
    for part in parts:
        pixels = part.flatten(1).cpu().double()
        count += len(pixels)
        total += pixels.sum(0)
        if products is not None:
            products.addmm_(pixels.T, pixels)
    mean = total / count
    if products is None:
        return mean, None
    _, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
    return mean, vectors[:, -components:]
