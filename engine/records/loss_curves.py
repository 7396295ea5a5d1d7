"""The losses of losses.jsonl as curves that are short enough to draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firebox.foundation.loss_plot import Curve  # imports torch

MOST_POINTS = 1024
"""Number of points that a training curve has at most; of more iterations, as many as needed are averaged for each."""


class AveragedCurve:
    """A value at every iteration, averaged over stretches of iterations so that few points remain, however many come.

    The same values make the same points, however often they are asked for.
    """

    def __init__(self) -> None:
        self._stretch = 1
        self._sums: list[float] = []
        self._counts: list[int] = []

    def add(self, iteration: int, value: float | None) -> None:
        """Adds the value at an iteration, starting at 1; None if it is no finite number."""
        while (place := (iteration - 1) // self._stretch) >= MOST_POINTS:
            self._sums = [sum(self._sums[number : number + 2]) for number in range(0, len(self._sums), 2)]
            self._counts = [sum(self._counts[number : number + 2]) for number in range(0, len(self._counts), 2)]
            self._stretch *= 2
        while place >= len(self._sums):
            self._sums.append(0.0)
            self._counts.append(0)
        if value is not None:
            self._sums[place] += value
            self._counts[place] += 1

    @property
    def points(self) -> Curve:
        """The points: the middle of each stretch that has values, and their mean."""
        middle = (self._stretch + 1) / 2
        return [
            (number * self._stretch + middle, total / count)
            for number, (total, count) in enumerate(zip(self._sums, self._counts, strict=True))
            if count
        ]


class LossCurves:
    """Reads losses.jsonl as it grows, each row once. The same rows make the same curves, however often they are read.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._train = AveragedCurve()
        self._evaluations: dict[str, Curve] = {}

    def read(self) -> dict[str, Curve]:
        """Reads the rows that have come since, and returns the points (iteration, loss) of each split.

        Raises:
            OSError: the file can't be read.
            ValueError: a row is not one of losses.jsonl.
        """
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                row = json.loads(line)
                if row["split"] == "train":
                    self._train.add(row["iteration"], row["loss"])
                elif row.get("loss") is not None:
                    self._evaluations.setdefault(row["split"], []).append((row["iteration"], row["loss"]))
        return {"train": self._train.points, **self._evaluations}
