"""Data sets whose samples are files that are listed before any is decoded."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from firebox.data.data_error import DataError
from firebox.data.datamodule import (
    DataModule,
    Samples,
    Split,
    held_out_length,
    hold_out,
    stratified_hold_out,
    stratified_length,
)
from firebox.data.decoding import ImageDecoder
from firebox.data.listing import Listing

if TYPE_CHECKING:
    import torch

    from firebox.data.source import DatasetImages


class ListedImages(DataModule):
    """A data set whose samples are image files.

    Without a validation split, a seeded, stratified fraction of the training images is held out: at least one image of
    each class that has two or more, and never all of them.

    Args:
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
    """

    reads: ClassVar[Samples] = "fixed"

    def __init__(self, *, validation_fraction: float, split_seed: int) -> None:
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed

    @abstractmethod
    def list(self) -> Listing:
        """Lists the files.

        Raises:
            DataError: they can't be listed, or it isn't clear what they are meant to be.
        """

    @property
    @abstractmethod
    def decoder(self) -> ImageDecoder:
        """The way from a file to a sample."""

    @cached_property
    def _listing(self) -> Listing:
        return self.list()

    @property
    def listing(self) -> Listing:
        return self._listing

    @property
    def transform(self) -> Mapping[str, Any]:
        return self.decoder.described()

    @property
    def split_lengths(self) -> dict[Split, int]:
        lengths: dict[Split, int] = {split: len(positions) for split, positions in self.listing.splits.items()}
        if "validation" not in lengths:
            held_out = self._held_out_length()
            lengths["train"], lengths["validation"] = lengths["train"] - held_out, held_out
        return lengths

    def missing(self) -> str | None:
        try:
            self.listing  # noqa: B018
        except DataError as error:
            return str(error)
        return None

    def positions(self, split: Split) -> torch.Tensor:
        splits = self.listing.splits
        if split == "test" or "validation" in splits:
            return super().positions(split)
        kept, held_out = self._divided
        return kept if split == "train" else held_out

    def read(self, split: Split) -> DatasetImages:
        from firebox.data.source import DatasetImages

        if not self.split_lengths.get(split):
            raise DataError(f"{self.listing.root} has no {split} split")
        return DatasetImages(ImageFiles(self.listing, self.decoder), self.positions(split), fixed=True)

    def _held_out_length(self) -> int:
        listing, train, fraction = self.listing, self.listing.splits["train"], self._validation_fraction
        if not listing.classes:
            return held_out_length(len(train), fraction)
        return sum(stratified_length(length, fraction) for length in Counter(listing.labels_of(train)).values())

    @cached_property
    def _divided(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The positions of the samples to train on and of those held out."""
        import torch

        listing, fraction, split_seed = self.listing, self._validation_fraction, self._split_seed
        train = listing.splits["train"]
        if listing.classes:
            divided = stratified_hold_out(listing.labels_of(train), listing.classes, fraction, split_seed)
        else:
            divided = hold_out(len(train), fraction, split_seed)
        positions = torch.tensor(train, dtype=torch.int64)
        return positions[divided[0]], positions[divided[1]]


class ImageFiles:
    """A map-style data set that decodes an image file each time it is asked for one.

    Args:
        listing: the files.
        decoder: the way from a file to a sample.
    """

    def __init__(self, listing: Listing, decoder: ImageDecoder) -> None:
        self._root = listing.root
        self._names = listing.names
        self.targets = listing.labels
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Any:
        """Reads an image, uint8 (C, H, W), and its label; the image alone if there are no labels.

        Raises:
            DataError: the file can't be decoded; the message names it.
        """
        image = self.decoder(self._root / self._names[index])
        return (image, self.targets[index]) if self.targets else image
