"""Data of which a run uses a limited number of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.bases.derived_data import DerivedData
from firebox.data.bases.listed_images import ListedImages
from firebox.data.declarations.targets import Classes
from firebox.data.division.limited import chosen

if TYPE_CHECKING:
    from firebox.data.sources.source import ImageSource


def limited(data: DataModule, limit: int | None) -> DataModule:
    """Returns data with at most so many samples in each split; to be asked before anything is read.

    Which samples these are is a property of the data: see ``chosen``. Of image files the others are neither decoded
    nor known of.

    Args:
        data: the data without a limit.
        limit: largest number of samples of a split, at least 1; None for no limit.
    """
    if limit is None:
        return data
    return data.limited(limit) if isinstance(data, ListedImages) else LimitedData(data, limit)


class LimitedData(DerivedData):
    """Data of which each split has a limited number of samples, as ``chosen`` draws them.

    Args:
        data: the data without a limit.
        limit: largest number of samples of a split, at least 1.
    """

    def __init__(self, data: DataModule, limit: int) -> None:
        super().__init__(data)
        self._limit = limit

    @property
    def split_lengths(self) -> dict[Split, int]:
        return {split: min(length, self._limit) for split, length in self.data.split_lengths.items()}

    @property
    def assigned_lengths(self) -> dict[Split, int]:
        return {split: min(length, self._limit) for split, length in self.data.assigned_lengths.items()}

    def read(self, split: Split) -> ImageSource:
        from firebox.data.sources.source import labels_at_hand
        from firebox.data.sources.subset import subset

        source = self.data.read(split)
        labels = labels_at_hand(source) if isinstance(self.specification.target, Classes) else None
        return subset(source, chosen(len(source), self._limit, split, labels))

    @property
    def transform(self) -> Mapping[str, Any]:
        return {**self.data.transform, "limit": self._limit}
