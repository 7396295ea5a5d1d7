"""Evaluates an archived model on the test split; compares an autoencoder with PCA and with the mean image."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from firebox.engine.archives.experiment import Experiment, Findings, Subject

if TYPE_CHECKING:
    from firebox.engine.archives.measurement import ReconstructionErrors


def evaluate(subject: Subject) -> Findings:
    """Evaluates with the archive's own evaluator and compares the metrics with those on the card."""
    from firebox.engine.archives.measurement import measure, reconstruction_errors

    archive, split, count = subject.archive, subject.split, subject.count
    images = subject.images if count is None else min(count, subject.images)
    metrics = measure(archive.run, split, count)
    described = archive.card["metrics"].get(split, {})
    table = Table("metric", "value", "archived", title=f"{archive.card['name']}: {images} {split} images")
    for name, value in metrics.items():
        if isinstance(value, int | float):
            recorded = described.get(name, {}).get("value")
            table.add_row(name, f"{value:.6g}", "" if recorded is None else f"{recorded:.6g}")
    errors = reconstruction_errors(archive.run, split, count)
    numbers = {"split": split, "images": images, "metrics": metrics}
    if errors is None:
        return Findings(numbers, tables=(table,))
    return Findings({**numbers, "reconstruction": asdict(errors)}, tables=(table, comparison(errors)))


def comparison(errors: ReconstructionErrors) -> Table:
    """Returns one row for the model and one for each reference."""
    title = f"mean squared error per pixel, {errors.images} images"
    table = Table("reconstruction by", "MSE", "of the mean image's", title=title)
    rows = {
        "this model": errors.model,
        f"PCA, {errors.components} components": errors.pca,
        "mean image": errors.mean_image,
    }
    for name, error in rows.items():
        if error is not None:
            table.add_row(name, f"{error:.6f}", f"{error / errors.mean_image:.1%}")
    return table


EXPERIMENT = Experiment(
    name="evaluate",
    summary="Measures an archived model on the test split.",
    look=evaluate,
    counts="test images to measure on",
)

if __name__ == "__main__":
    EXPERIMENT.main()
