"""Data whose values are standardised by those of the training split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from firebox.data.bases.datamodule import DataModule
from firebox.data.bases.derived_data import DerivedData
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Values
from firebox.data.sources.reading import Reading
from firebox.foundation.problems import Interrupted, TrainingFailure

if TYPE_CHECKING:
    from firebox.data.sources.source import ImageSource

Scale = Literal["given", "standardised"]
"""The scale of values: as the data gives them, or with zero mean and unit deviation over the training split."""
TOGETHER = 32
"""Number of samples that are read between two reports."""


def scaled(data: DataModule, scale: Scale) -> DataModule:
    """Returns data whose values modules see in a scale; to be asked before anything is read."""
    return data if scale == "given" else StandardisedValues(data)


class StandardisedValues(DerivedData):
    """Data whose values have, for modules, zero mean and unit deviation over the training split, each by itself.

    The moments are 0 and 1 until ``prepare`` has measured them. Data with another target is left as it is.
    """

    _moments: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def specification(self) -> ImageSpecification:
        specification = self.data.specification
        target = specification.target
        if not isinstance(target, Values):
            return specification
        count = len(target.names)
        mean, std = self._moments or ((0.0,) * count, (1.0,) * count)
        return replace(specification, target=replace(target, mean=mean, std=std))

    def prepare(self, reading: Reading) -> None:
        super().prepare(reading)
        target = self.data.specification.target
        if not isinstance(target, Values):
            return
        columns = list(zip(*self._training_values(reading), strict=True))
        mean = tuple(math.fsum(column) / len(column) for column in columns)
        std = tuple(
            math.sqrt(math.fsum((value - middle) ** 2 for value in column) / len(column))
            for column, middle in zip(columns, mean, strict=True)
        )
        for name, middle, deviation in zip(target.names, mean, std, strict=True):
            if not deviation > 1e-6 * abs(middle):
                raise DataError(
                    f"target_scale: got standardised, but {name} has the same value in all training samples, and so no "
                    "deviation to divide by; expected given"
                )
        self._moments = mean, std

    def _training_values(self, reading: Reading) -> Iterator[tuple[float, ...]]:
        """Yields the values of each training sample, from the listing of the files if it has them."""
        listing = self.data.listing
        if listing is None or not listing.values:
            yield from _values_of(self.data.read("train"), reading)
            return
        skipped = set(self.data.skipped or ())
        for position in self.data.assigned("train").tolist():
            if listing.names[position] not in skipped:
                yield listing.values[position]


def _values_of(source: ImageSource, reading: Reading) -> Iterator[tuple[float, ...]]:
    """Yields the values of each sample of a source, in one pass."""
    import torch

    from firebox.data.workers.one_pass import one_pass

    batches = torch.arange(len(source)).split(TOGETHER)
    done = 0
    try:
        with closing(one_pass(source, batches, 0, reading)) as samples:
            for _, values in samples:
                if values is None:
                    raise DataError("its samples have no targets, expected values")
                yield from map(tuple, values.double().cpu().tolist())
                done += len(values)
                reading.progress("values measured", done, len(source))
                if reading.stopping():
                    raise Interrupted
    except TrainingFailure as failure:
        raise DataError(str(failure)) from None
