"""Some of the samples of a source, as a source of their own."""

from __future__ import annotations

import torch

from firebox.data.sources.filed import FiledImages
from firebox.data.sources.source import DatasetImages, ImageSource, ResidentImages, labels_at_hand


def subset(source: ImageSource, indices: torch.Tensor) -> ImageSource:
    """Returns the samples at ``indices`` (int64, (n,)) as a source that is placed and read as the whole one is."""
    if len(indices) == len(source):
        return source
    if isinstance(source, ResidentImages | DatasetImages):
        return source.subset(indices)
    return FiledSubset(source, indices) if isinstance(source, FiledImages) else SubsetImages(source, indices)


class SubsetImages:
    """Some of the samples of another source.

    Args:
        source: the other source.
        indices: its samples to use, int64 of shape (N,).
    """

    def __init__(self, source: ImageSource, indices: torch.Tensor) -> None:
        self._source = source
        self._indices = indices

    @property
    def labels(self) -> torch.Tensor | None:
        """All samples' labels, int64 of shape (N,); None if they are not known without reading the images."""
        labels = labels_at_hand(self._source)
        return None if labels is None else labels[self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Reads samples, as ``ImageSource.gather`` says."""
        return self._source.gather(self._indices[indices], seed=seed, epoch=epoch)


class FiledSubset(SubsetImages, FiledImages):
    """Some of the samples that lie in files in the form in which they are held."""

    @property
    def beside(self) -> bool:
        return isinstance(self._source, FiledImages) and self._source.beside
