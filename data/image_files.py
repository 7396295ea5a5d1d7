"""Image files as samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.data.decoding import ImageDecoder
from firebox.data.listing import Listing

if TYPE_CHECKING:
    import torch


class ImageFiles:
    """A map-style data set that decodes an image file each time it is asked for one.

    Args:
        listing: the files.
        decoder: the way from a file to a sample.
    """

    def __init__(self, listing: Listing, decoder: ImageDecoder) -> None:
        self._root = listing.root
        self._names = listing.names
        self._states = (listing.sizes, listing.changed)
        self.targets = listing.labels
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Any:
        """Reads an image, uint8 (C, H, W), and its label; the image alone if there are no labels.

        Raises:
            DataError: the file can't be decoded; the message names it.
        """
        image = self.image(index)
        return (image, self.targets[index]) if self.targets else image

    def image(self, index: int) -> torch.Tensor:
        """Reads an image, uint8 (C, H, W); ``__getitem__`` raises the same."""
        return self.decoder(self.file_of(index))

    def file_of(self, index: int) -> Path:
        """Returns the file of an image."""
        return self._root / self._names[index]

    def is_as_listed(self, index: int) -> bool:
        """Whether a file has the size and the time of change that it was listed with."""
        try:
            state = self.file_of(index).stat()
        except OSError:
            return False
        sizes, changed = self._states
        return (state.st_size, state.st_mtime_ns) == (sizes[index], changed[index])
