"""Shows test images with their reconstructions."""

from __future__ import annotations

from firebox.engine.archives.experiment import Experiment, Findings, Subject


def reconstruct(subject: Subject) -> Findings:
    """Draws a grid with the reconstruction below each test image, and its class below both."""
    import torch

    from firebox.engine.training.bases.showing import Shown, draw

    assert subject.count is not None
    batch = subject.first(subject.count)
    with torch.inference_mode():
        output = subject.archive.model(batch.images)
        errors = (subject.pixels(output) - batch.images).square().flatten(1).mean(1)
    specification = subject.archive.specification
    pictures = Shown(specification.to_unit(batch.images), subject.shown(output), given=batch.labels)
    numbers = {
        "split": subject.split,
        "images": len(batch),
        "indices": batch.indices.tolist(),
        "labels": None if batch.labels is None else batch.labels.tolist(),
        "mse": errors.tolist(),
    }
    return Findings(numbers, draw(pictures, specification.classes))


EXPERIMENT = Experiment(
    name="reconstruct",
    summary="Shows test images over their reconstructions.",
    look=reconstruct,
    counts="test images to show",
    count=32,
    needs_images=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
