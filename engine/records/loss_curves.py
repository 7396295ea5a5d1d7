"""The losses of losses.jsonl as curves that are short enough to draw."""

from __future__ import annotations

import json
from pathlib import Path

from firebox.foundation.loss_plot import Curve

MOST_POINTS = 1024
"""Number of points that a training curve has at most; of more iterations, as many as needed are averaged for each."""


class LossCurves:
    """Reads losses.jsonl as it grows, each row once. The same rows make the same curves, however often they are read.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._stretch = 1
        self._sums: list[float] = []
        self._counts: list[int] = []
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
                    self._add(row["iteration"], row["loss"])
                elif row.get("loss") is not None:
                    self._evaluations.setdefault(row["split"], []).append((row["iteration"], row["loss"]))
        middle = (self._stretch + 1) / 2
        train = [
            (number * self._stretch + middle, total / count)
            for number, (total, count) in enumerate(zip(self._sums, self._counts, strict=True))
            if count
        ]
        return {"train": train, **self._evaluations}

    def _add(self, iteration: int, loss: float | None) -> None:
        while (place := (iteration - 1) // self._stretch) >= MOST_POINTS:
            self._sums = [sum(self._sums[number : number + 2]) for number in range(0, len(self._sums), 2)]
            self._counts = [sum(self._counts[number : number + 2]) for number in range(0, len(self._counts), 2)]
            self._stretch *= 2
        while place >= len(self._sums):
            self._sums.append(0.0)
            self._counts.append(0)
        if loss is not None:
            self._sums[place] += loss
            self._counts[place] += 1
