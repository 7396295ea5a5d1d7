"""Data of which a run uses a limited number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from firebox.data.datamodule import DataModule, Split
from firebox.data.listing import Listing
from firebox.data.specification import ImageSpecification
from firebox.data.targets import Classes

if TYPE_CHECKING:
    import torch

    from firebox.data.moments import Moments
    from firebox.data.reading import Reading
    from firebox.data.source import ImageSource


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
        from firebox.data.source import labels_at_hand
        from firebox.data.subset import subset

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


def limited_listing(data: DataModule, limit: int) -> Listing:
    """Returns the listing of the files that a limited number of samples in each split leaves, with these splits.

    Args:
        data: data whose files are a sample each.
        limit: largest number of samples of a split, at least 1.
    """
    import torch

    listing = data.listing
    assert listing is not None
    splits = {}
    for split in data.split_lengths:
        positions = data.assigned(split)
        labels = torch.tensor(listing.labels_of(positions.tolist())) if listing.classes else None
        splits[split] = positions[chosen(len(positions), limit, split, labels)].tolist()
    return listing.part(splits)


def chosen(length: int, limit: int, split: Split, labels: torch.Tensor | None = None) -> torch.Tensor:
    """Draws samples of a split, always the same ones: a property of the data, not of the run.

    Args:
        length: number of samples in the split.
        limit: largest number of samples to draw.
        split: the split, which seeds the draw.
        labels: label of each sample, int64 (length,), for a stratified draw: classes keep their shares as far as whole
            samples allow, and each has one sample at least if the limit allows that; None for a draw from all.

    Returns:
        Indices, int64 of shape (min(length, limit),), ascending.
    """
    import torch

    from firebox.foundation.randomness import feistel_permutation, mix

    if length <= limit:
        return torch.arange(length)
    if labels is None:
        return feistel_permutation(torch.arange(limit), length, mix("limit", split, length)).sort().values
    classes, own, sizes = labels.cpu().unique(return_inverse=True, return_counts=True)
    by_class = own.argsort(stable=True).split(sizes.tolist())
    drawn = [
        members[feistel_permutation(torch.arange(count), len(members), mix("limit", split, label, len(members)))]
        for members, count, label in zip(by_class, shares(sizes.tolist(), limit), classes.tolist(), strict=True)
    ]
    return torch.cat(drawn).sort().values


def shares(sizes: Sequence[int], limit: int) -> list[int]:
    """Divides a number of samples among classes in proportion to their sizes, by the largest remainders.

    Args:
        sizes: number of samples of each class, at least 1 each.
        limit: number of samples to divide, at most the sum of the sizes.

    Returns:
        A number for each class, at most its size, and at least 1 if there are no more classes than samples.
    """
    length, least = sum(sizes), 1 if limit >= len(sizes) else 0
    counts = [max(limit * size // length, least) for size in sizes]

    def excess(number: int) -> int:
        """How far a class is beyond its exact share, as an integer."""
        return counts[number] * length - limit * sizes[number]

    while sum(counts) > limit:
        counts[max((k for k in range(len(sizes)) if counts[k] > least), key=excess)] -= 1
    missing = limit - sum(counts)
    for number in sorted(range(len(sizes)), key=excess)[:missing]:
        counts[number] += 1
    return counts
