"""Draws images from an archived model."""

from __future__ import annotations

from firebox.engine.archives.experiment import Experiment, Findings, Subject


def sample(subject: Subject) -> Findings:
    """Draws images of the run's seed, the same ones each time."""
    from firebox.foundation.pictures import grid

    assert subject.count is not None
    drawn = subject.drawn(subject.count)
    numbers = {
        "images": len(drawn),
        "shape": list(drawn.shape[1:]),
        "seed": subject.archive.card["seed"],
        "mean_pixel": float(drawn.mean()),
        "deviation_between_images": float(drawn.std(0).mean()) if len(drawn) > 1 else None,
    }
    return Findings(numbers, grid((drawn,)))


EXPERIMENT = Experiment(
    name="sample",
    summary="Draws images from a model.",
    look=sample,
    counts="images to draw",
    count=64,
    needs_samples=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
