"""Sweeps over a setting of a sampling: the same noise, drawn with each of several values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from rich.table import Table

from firebox.engine.archives.experiment import Findings, Subject
from firebox.engine.archives.sample_quality import TOGETHER, fewest_samples, sample_quality
from firebox.engine.training.steps.terms import is_number
from firebox.foundation.pictures import as_bytes, grid
from firebox.foundation.problems import Problem, Refusal
from firebox.foundation.randomness import generator

SHOWN = 10
"""Number of images shown of each value."""


def swept(subject: Subject, setting: str, values: Sequence[float]) -> Findings:
    """Draws images with each value of a setting, and has them judged where there is a classifier to do so.

    Args:
        subject: archived model whose module has ``sample`` with that setting.
        setting: name of the setting.
        values: its values, the last being that which the others are compared with.

    Raises:
        Refusal: there are too few images for the classifier to judge, or more than real ones to compare them with.
    """
    assert subject.count is not None
    archive, judge, count = subject.archive, subject.judge, subject.count
    if judge is not None and not fewest_samples(judge) <= count <= subject.images:
        expected = f"{fewest_samples(judge)} to {subject.images}, as many as the {subject.split} split has"
        raise Refusal([Problem("--count", f"got {count}, expected {expected}, for a classifier to judge them")])
    rows, drawn = [], []
    for value in values:
        images = _drawn(subject, count, **{setting: value})
        drawn.append(archive.specification.to_unit(images))
        row: dict[str, Any] = {setting: value}
        if judge is not None:
            stream = archive.run.streams[subject.split]
            parts = iter(images.split(TOGETHER))
            quality = sample_quality(judge, archive.run, stream, lambda _: next(parts), count)  # noqa: B023
            classes = judge.describe(as_bytes(drawn[-1]))[1]
            row |= {name: float(value) for name, value in quality.items() if is_number(value)}
            row["share_of_asked_class"] = float((classes == _labels(count, subject.diffusion.classes)).float().mean())
        rows.append(row)
    for row, images in zip(rows, drawn, strict=True):
        row["rms_from_last"] = float((images - drawn[-1]).square().mean().sqrt())
        row["deviation_between_images"] = float(images.std(0).mean()) if count > 1 else None
    numbers = {
        "images": count,
        "sampler": subject.diffusion.sampler,
        "classifier": None if judge is None else judge.about(),
        "split": subject.split,
        "results": rows,
    }
    shown = torch.cat([images[:SHOWN] for images in drawn])
    return Findings(numbers, grid((shown,), columns=min(count, SHOWN)), (_table(rows, count),))


def _drawn(subject: Subject, count: int, **settings: float) -> torch.Tensor:
    draw = partial(subject.diffusion.sample, generator=generator(subject.archive.card["seed"], "sweep"), **settings)
    with torch.inference_mode():
        return torch.cat([draw(len(part)) for part in torch.arange(count).split(TOGETHER)])


def _labels(count: int, classes: int) -> torch.Tensor:
    """Returns the classes that were asked for: in turn, beginning anew with each batch."""
    return torch.cat([torch.arange(len(part)) % classes for part in torch.arange(count).split(TOGETHER)])


def _table(rows: Sequence[dict[str, Any]], count: int) -> Table:
    table = Table(*rows[0], title=f"{count} images each, of the same noise")
    for row in rows:
        table.add_row(*("" if value is None else f"{value:.4g}" for value in row.values()))
    return table
