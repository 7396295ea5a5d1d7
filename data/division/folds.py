"""One of several divisions of the same samples into those to train on and those to validate on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from firebox.foundation.problems import shown

USUAL_FRACTION = 0.1
"""The ``validation_fraction`` of data sets that are given none."""

FoldSettings = Annotated[
    dict[Literal["count", "index"], int], Field(title="a map of count and index, such as {count: 5, index: 0}")
]
"""``folds`` as the configuration has it."""


@dataclass(frozen=True, slots=True)
class Folds:
    """One of several divisions of the same samples, each of which validates on other ones.

    Args:
        count: number of folds, at least 2.
        index: fold that is validated on, in [0, count).
    """

    count: int
    index: int

    def length(self, samples: int) -> int:
        """Returns the number of samples of the fold, of so many that are dealt out."""
        return len(range(self.index, samples, self.count))

    @property
    def shown(self) -> str:
        return f"{{count: {self.count}, index: {self.index}}}"


def folds_of(given: Mapping[Literal["count", "index"], int] | None, validation_fraction: float) -> Folds | None:
    """Returns the folds that the settings of a data set ask for; None if they ask for none.

    Raises:
        ValueError: there are no such folds, or a fraction is to be held out as well.
    """
    if given is None:
        return None
    if given.keys() != {"count", "index"}:
        raise ValueError(f"folds: got {shown(dict(given))}, expected both count and index: {{count: 5, index: 0}}")
    folds = Folds(given["count"], given["index"])
    if folds.count < 2:
        raise ValueError(f"folds: got {folds.shown}, expected a count of 2 or more")
    if not 0 <= folds.index < folds.count:
        raise ValueError(f"folds: got {folds.shown}, expected an index from 0 to {folds.count - 1}")
    if validation_fraction not in (0, USUAL_FRACTION):
        raise ValueError(
            f"validation_fraction: got {validation_fraction:g} beside folds, one of which is validated on; expected "
            "one of the two: leave validation_fraction out or set it to 0, or leave folds out"
        )
    return folds
