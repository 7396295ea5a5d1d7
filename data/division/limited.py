"""The choice of a limited number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from firebox.data.division.listing import Listing, Split

if TYPE_CHECKING:
    import torch


def limited_listing(listing: Listing, assigned: Mapping[Split, torch.Tensor], limit: int) -> Listing:
    """Returns the listing of the files that a limited number of samples in each split leaves, with these splits.

    Args:
        listing: files that are a sample each.
        assigned: positions of each split's files in the listing, int64 (n,).
        limit: largest number of samples of a split, at least 1.
    """
    import torch

    splits = {}
    for split, positions in assigned.items():
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
