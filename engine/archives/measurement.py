"""Measurements of an assembled run's model: its metrics, and the errors of the simplest models for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from firebox.data.bases.datamodule import Split
from firebox.engine.archives.principal_components import held, images_of, principal_components
from firebox.engine.training.run import Run


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
    if not held(run, "train", split):
        return None
    found = principal_components(run)
    size = len(found.mean)
    components = min(int(run.model.latent_dim), size)  # type: ignore[arg-type]
    basis = None if found.vectors is None else found.vectors[:, :components]
    images, reconstructed, mean_image, projected = 0, 0.0, 0.0, 0.0
    model = run.model.eval()
    with torch.inference_mode():
        for part in images_of(run, split, count):
            images += len(part)
            reconstructed += float((run.module.pixels(model(part)) - part).double().square().sum())
            centred = part.flatten(1).cpu().double() - found.mean
            mean_image += float(centred.square().sum())
            projected += 0.0 if basis is None else float((centred @ basis).square().sum())
    pixels = images * size
    pca = None if basis is None else (mean_image - projected) / pixels
    return ReconstructionErrors(images, reconstructed / pixels, mean_image / pixels, components, pca)
