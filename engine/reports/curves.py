"""The curves of everything that a run has recorded a number of, short enough to draw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from firebox.data.bases.datamodule import Split
from firebox.engine.records.listing import is_finite
from firebox.engine.records.loss_curves import AveragedCurve
from firebox.engine.records.recorded import rows_of

BESIDE = ("iteration", "epoch", "split")
"""What a row has that is no value of a curve."""


@dataclass(frozen=True, slots=True)
class Series:
    """The values of a metric in a split.

    Args:
        metric: name such as ``loss`` or ``learning_rate``.
        split: the split.
        iterations: where the values were measured, ascending.
        values: the values; of training iterations, means over stretches of them.
    """

    metric: str
    split: str
    iterations: list[float]
    values: list[float]


def curves_of(losses: Path) -> list[Series]:
    """Reads the curves from a file of losses; rows and values that can't be read are left out."""
    found: dict[tuple[str, str], AveragedCurve | dict[int, float]] = {}
    for row in rows_of(losses, get_args(Split)):
        iteration, split = row.get("iteration"), row["split"]
        if type(iteration) is not int or iteration < 1:
            continue
        for metric, value in row.items():
            if metric in BESIDE or not (value is None or is_finite(value)):
                continue
            curve = found.setdefault((metric, split), AveragedCurve() if split == "train" else {})
            if isinstance(curve, AveragedCurve):
                curve.add(iteration, value)
            elif value is not None:
                curve[iteration] = float(value)
    series = []
    for (metric, split), curve in found.items():
        points = curve.points if isinstance(curve, AveragedCurve) else sorted(curve.items())
        if points:
            series.append(Series(metric, split, [x for x, _ in points], [y for _, y in points]))
    return series
