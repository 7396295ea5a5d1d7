"""Image files as samples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.data.decoding.decoding import ImageDecoder
from firebox.data.decoding.encoded import Encoded
from firebox.data.decoding.pair_decoding import PairDecoder
from firebox.data.division.listing import Listing

if TYPE_CHECKING:
    import numpy
    import torch

Decoder = ImageDecoder | PairDecoder
"""The way from the files of a sample to the sample."""
Files = tuple[Path | Encoded, ...]
"""The files of a sample, or their content."""
SMALL = 1 << 18
"""Bytes of a file up to which it is read before others are decoded."""


class ImageFiles:
    """A map-style data set that decodes an image file, and the file of its target, each time it is asked for them.

    Args:
        listing: the files.
        decoder: the way from the files of a sample to the sample.
    """

    def __init__(self, listing: Listing, decoder: Decoder) -> None:
        self._listing = listing
        self.targets = listing.labels
        """The label of each sample; empty if there are no classes."""
        self.values = listing.values
        """The numbers that are the target of each sample; empty if there are none."""
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self._listing)

    def __getitem__(self, index: int) -> Any:
        """Reads an image (C, H, W) and its target, or the image alone if there are no targets.

        Raises:
            DataError: a file can't be decoded; the message names it.
        """
        import torch

        image, *target = self.decoded(index)
        if target:
            return image, target[0]
        if self.values:
            return image, torch.tensor(self.values[index], dtype=torch.float32)
        return (image, self.targets[index]) if self.targets else image

    def decoded(self, index: int, files: Files | None = None) -> tuple[torch.Tensor, ...]:
        """Reads what the files of a sample hold: the image, and its target if that is a file.

        Args:
            index: index of the sample.
            files: its files as ``loaded`` returned them; None to read them now.

        Raises:
            DataError: a file can't be decoded; the message names it.
        """
        files = files or self._listing.files_of(index)
        return self.decoder(*files) if isinstance(self.decoder, PairDecoder) else (self.decoder(files[0]),)

    def loaded(self, index: int) -> Files:
        """Reads the files of a sample into memory; those that are large, or can't be read, stay where they are."""
        return tuple(map(_loaded, self._listing.paths_of(index)))

    def record(self, index: int, files: Files | None = None) -> tuple[numpy.ndarray[Any, Any], ...]:
        """Reads what ``decoded`` does in the form in which it is kept: the image as (H, W, C).

        Raises:
            DataError: a file can't be decoded; the message names it.
        """
        image, *target = self.decoded(index, files)
        return image.numpy().transpose(1, 2, 0), *(part.numpy() for part in target)

    def file_of(self, index: int) -> Path:
        """Returns the file of an image."""
        return self._listing.files_of(index)[0]

    def is_as_listed(self, index: int) -> bool:
        """Whether the files of a sample have the sizes and the times of change that they were listed with."""
        listing = self._listing
        expected = [(listing.sizes[index], listing.changed[index])]
        if listing.targets is not None:
            expected.append((listing.targets.sizes[index], listing.targets.changed[index]))
        try:
            states = [os.stat(path) for path in listing.paths_of(index)]  # noqa: PTH116 - a Path takes longer
        except OSError:
            return False
        return [(state.st_size, state.st_mtime_ns) for state in states] == expected


def _loaded(path: str) -> Path | Encoded:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path takes longer
            content = file.read(SMALL + 1)
    except OSError:  # is said where it is decoded
        return Path(path)
    return Encoded(content, path) if len(content) <= SMALL else Path(path)
