"""Samples whose images and targets are rows of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from firebox.data.containers.array_layout import ImageLayout
from firebox.data.containers.stored_array import StoredArray
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.targets import Classes, Mask, Target
from firebox.data.division.division import Division
from firebox.data.sources.batch import labels_of
from firebox.data.sources.filed import FiledImages
from firebox.data.sources.samples import faults_of_targets


class ArrayTargets:
    """The targets in an array, in the form in which batches of them are read.

    Those that are not spatial are read at once and stay in memory.

    Args:
        array: the array.
        target: what they are.
        image_shape: (C, H, W) of the images.
        layout: how they lie in the array if they are images.

    Raises:
        DataError: some that are read at once are not what they are declared to be, or can't be read.
    """

    def __init__(
        self, array: StoredArray, target: Target, image_shape: tuple[int, int, int], layout: ImageLayout | None
    ) -> None:
        self._array = array
        self._target = target
        self._image_shape = image_shape
        self._layout = layout
        self.held: torch.Tensor | None = None
        """All of them, (N, ...); None if they are read as needed."""
        if not target.spatial:
            self.held = self._checked(self._formed(array.all()), torch.arange(array.file.shape[0]))

    def take(self, positions: torch.Tensor) -> torch.Tensor:
        """Reads targets (n, ...).

        Raises:
            DataError: they are not what they are declared to be, or can't be read.
        """
        if self.held is not None:
            return self.held.index_select(0, positions)
        return self._checked(self._formed(self._array.take(positions)), positions)

    def _checked(self, targets: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        for fault in self._faults(targets):
            first, after = 0, len(targets)  # between which the first row with a fault lies
            while after - first > 1:
                middle = (first + after) // 2
                first, after = (first, middle) if any(self._faults(targets[first:middle])) else (middle, after)
            own = next(self._faults(targets[first:after]), fault)
            raise DataError(f"targets: {self._array.file.name}: row {int(positions[first])}: {own}")
        return targets

    def _faults(self, targets: torch.Tensor) -> Iterator[str]:
        return faults_of_targets(targets, self._target, self._image_shape)

    def _formed(self, taken: torch.Tensor) -> torch.Tensor:
        if isinstance(self._target, Classes):
            return taken.reshape(-1).long()
        if isinstance(self._target, Mask):
            return taken.reshape(-1, *self._image_shape[1:]).to(torch.uint8)
        return taken.reshape(len(taken), -1).float() if self._layout is None else self._layout.images(taken)


class ArrayImages(FiledImages):
    """The samples of a split, whose images and targets are rows of arrays.

    Args:
        images: the images.
        layout: how they lie in their array.
        targets: the targets; None if there are none.
        division: which rows are samples of the split.
    """

    def __init__(
        self, images: StoredArray, layout: ImageLayout, targets: ArrayTargets | None, division: Division
    ) -> None:
        self._images = images
        self._layout = layout
        self._targets = targets
        self._division = division

    @property
    def labels(self) -> torch.Tensor | None:
        held = None if self._targets is None else labels_of(self._targets.held)
        return None if held is None else held[self._division[torch.arange(len(self))]]

    def reads_by(self, kind: type[StoredArray]) -> bool:
        """Whether images are read in a certain way."""
        return isinstance(self._images, kind)

    def __len__(self) -> int:
        return len(self._division)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        rows = self._division[indices]
        images = self._layout.images(self._images.take(rows))
        # A sum is finite only if all of its terms are, and is computed faster than the question of each.
        if images.is_floating_point() and not images.sum().isfinite():
            finite = images.flatten(1).isfinite().all(1)
            if not finite.all():
                name, row = self._images.file.name, int(rows[~finite][0])
                raise DataError(f"images: {name}: image {row} has values that are not finite numbers")
        return images, None if self._targets is None else self._targets.take(rows)


class ArraySamples(torch.utils.data.Dataset[Any]):
    """The samples of a split as a map-style data set, for arrays that can't be read as fast as memory.

    Args:
        source: the samples.
    """

    def __init__(self, source: ArrayImages) -> None:
        self._source = source
        self.targets = source.labels

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Any:
        """Reads an image (C, H, W) and its target; the image alone if there are no targets."""
        images, targets = self._source.gather(torch.tensor([index]))
        return images[0] if targets is None else (images[0], targets[0])
