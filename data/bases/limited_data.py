"""Data of which a run uses a limited number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.bases.listed_images import ListedImages
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Classes
from firebox.data.division.limited import chosen
from firebox.data.division.listing import Listing

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.sources.reading import Reading
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


class LimitedData(DataModule):
    """Data of which each split has a limited number of samples, as ``chosen`` draws them.

    Args:
        whole: the data without a limit.
        limit: largest number of samples of a split, at least 1.
    """

    def __init__(self, whole: DataModule, limit: int) -> None:
        self._whole = whole
        self._limit = limit

    @property
    def whole(self) -> DataModule:
        return self._whole

    @property
    def specification(self) -> ImageSpecification:
        return self._whole.specification

    @property
    def split_lengths(self) -> dict[Split, int]:
        return {split: min(length, self._limit) for split, length in self._whole.split_lengths.items()}

    def read(self, split: Split) -> ImageSource:
        from firebox.data.sources.source import labels_at_hand
        from firebox.data.sources.subset import subset

        source = self._whole.read(split)
        labels = labels_at_hand(source) if isinstance(self.specification.target, Classes) else None
        return subset(source, chosen(len(source), self._limit, split, labels))

    def missing(self) -> str | None:
        return self._whole.missing()

    @property
    def listing(self) -> Listing | None:
        return self._whole.listing

    def assigned(self, split: Split) -> torch.Tensor:
        return self._whole.assigned(split)

    @property
    def skipped(self) -> Sequence[str] | None:
        return self._whole.skipped

    @property
    def transform(self) -> Mapping[str, Any]:
        return {**self._whole.transform, "limit": self._limit}

    @property
    def moments(self) -> Moments | None:
        return self._whole.moments

    def prepare(self, reading: Reading) -> None:
        self._whole.prepare(reading)
