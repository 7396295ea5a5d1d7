"""Shows drawn images over the training images that are nearest to them: whether a model repeats what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firebox.engine.archives.experiment import Experiment, Findings, Subject

if TYPE_CHECKING:
    import torch

    from firebox.engine.training.run import Run

TOGETHER = 1024
"""Number of training images that are compared at a time."""


def nearest_training_image(subject: Subject) -> Findings:
    """Finds the training image with the smallest distance of pixels from each drawn image.

    Beside it the same of as many real images that were not trained on: drawn images that are much nearer are copies.
    """
    import torch
    from rich.table import Table

    from firebox.foundation.pictures import grid

    assert subject.count is not None
    run, specification = subject.archive.run, subject.archive.specification
    drawn = subject.drawn(subject.count)
    real = specification.to_unit(subject.first(min(subject.count, subject.images)).images)
    distances, indices = nearest(run, torch.cat([drawn, real]))
    own, others = distances.split([len(drawn), len(real)])
    found = indices[: len(drawn)]
    table = Table(
        "images", "median distance", "smallest", title="distance from the nearest training image, pixels in [0,1]"
    )
    for name, values in (("drawn", own), (f"of the {subject.split} split", others)):
        table.add_row(name, f"{values.median():.4f}", f"{values.min():.4f}")
    numbers = {
        "images": len(drawn),
        "distance": "square root of the sum of squared differences of the pixels, in [0,1]",
        "distances": own.tolist(),
        "training_images": found.tolist(),
        "median": float(own.median()),
        "reference": {"split": subject.split, "images": len(real), "median": float(others.median())},
        "copies": int((own < others.min()).sum()),
    }
    return Findings(numbers, grid((drawn, pictured(run, found))), (table,))


def nearest(run: Run, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the distance of images (N, C, H, W) in [0, 1] from the nearest training image, (N,), and its index."""
    import torch

    stream, specification = run.streams["train"], run.data.specification
    points = images.flatten(1)
    best = torch.full((len(images),), torch.inf, device=points.device)
    at = torch.zeros(len(images), dtype=torch.int64)
    for batch in stream.in_order(stream.samples, TOGETHER):
        others = specification.to_unit(run.preparation(batch).images).flatten(1)
        away, found = torch.cdist(points, others).min(1)
        nearer = (away < best).cpu()
        at[nearer] = batch.indices[found.cpu()][nearer]
        best = torch.minimum(best, away)
    return best.cpu(), at


def pictured(run: Run, indices: torch.Tensor) -> torch.Tensor:
    """Returns the training images (N, C, H, W) in [0, 1] of some indices."""
    import torch

    wanted: dict[int, torch.Tensor] = {}
    for batch in run.streams["train"].in_order(run.streams["train"].samples, TOGETHER):
        here = torch.isin(batch.indices, indices)
        if here.any():
            unit = run.data.specification.to_unit(run.preparation(batch).images)
            wanted |= dict(zip(batch.indices[here].tolist(), unit[here], strict=True))
    return torch.stack([wanted[index] for index in indices.tolist()])


EXPERIMENT = Experiment(
    name="nearest_training_image",
    summary="Shows drawn images over the training images nearest to them.",
    look=nearest_training_image,
    counts="images to draw",
    count=32,
    needs_samples=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
