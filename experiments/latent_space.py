"""Plots the latents of the test images in the plane, coloured by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firebox.engine.archives.experiment import Experiment, Findings, Subject

if TYPE_CHECKING:
    import torch


def show_latent_space(subject: Subject) -> Findings:
    """Plots latents of two entries directly, and others on their two leading principal components."""
    import torch

    from firebox.foundation.plots import draw_scatter

    batch = subject.first(subject.images if subject.count is None else subject.count)
    with torch.inference_mode():
        latents = torch.cat([subject.autoencoder.embed(part) for part in batch.images.split(1024)])
    points, axes, projection = project(latents.double().cpu())
    classes = subject.archive.specification.classes
    labels = None if batch.labels is None else batch.labels.cpu()
    numbers = {
        "split": subject.split,
        "images": len(points),
        "latent_dim": latents.shape[1],
        **projection,
        "centroids": {} if labels is None else _centroids(points, labels, classes),
        "points": [[round(x, 5), round(y, 5)] for x, y in points.tolist()],
        "labels": None if labels is None else labels.tolist(),
    }
    title = f"{len(points):,} {subject.split} images, {latents.shape[1]} latent entries"
    return Findings(numbers, draw_scatter(points, labels, classes, axes, title))


def project(latents: torch.Tensor) -> tuple[torch.Tensor, tuple[str, str], dict[str, Any]]:
    """Projects latents (N, latent_dim) to the plane.

    Returns:
        Points (N, 2), the titles of the axes, and how it was done. Each component's largest weight is positive, so that
        the same latents always make the same picture.
    """
    import torch

    if latents.shape[1] <= 2:
        points = torch.nn.functional.pad(latents, (0, 2 - latents.shape[1]))
        return points, ("latent entry 1", "latent entry 2"), {"projection": "none"}
    centred = latents - latents.mean(0)
    _, lengths, components = torch.linalg.svd(centred, full_matrices=False)
    plane = components[:2]
    largest = plane.gather(1, plane.abs().argmax(1, keepdim=True))
    plane = plane * largest.sign()
    shares = (lengths.square() / lengths.square().sum()).tolist()[:2]
    axes = tuple(f"principal component {number} ({share:.1%})" for number, share in enumerate(shares, start=1))
    return centred @ plane.T, (axes[0], axes[1]), {"projection": "pca", "explained_variance": shares}


def _centroids(points: torch.Tensor, labels: torch.Tensor, classes: tuple[str, ...]) -> dict[str, list[float]]:
    present = [(number, name) for number, name in enumerate(classes) if (labels == number).any()]
    return {name: points[labels == number].mean(0).tolist() for number, name in present}


EXPERIMENT = Experiment(
    name="latent_space",
    summary="Shows the latents of the test images in the plane, coloured by class.",
    look=show_latent_space,
    counts="test images to show",
    needs=("embed",),
)

if __name__ == "__main__":
    EXPERIMENT.main()
