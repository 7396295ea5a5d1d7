"""Data sets whose samples are files that are listed before any is decoded."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
from firebox.data.image_files import ImageFiles
from firebox.data.listing import Listing

if TYPE_CHECKING:
    import torch

    from firebox.data.reading import Reading
    from firebox.data.sample_file import SampleFile
    from firebox.data.source import ImageSource

logger = logging.getLogger("firebox")

OnBadFile = Literal["refuse", "skip"]


class ListedImages(DataModule):
    """A data set whose samples are image files.

    Without a validation split, a seeded, stratified fraction of the training images is held out: at least one image of
    each class that has two or more, and never all of them.

    Args:
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        on_bad_file: "refuse" to train where a file can't be decoded, or "skip" such files: they are left out of every
            split after the draw, which they don't change.
    """

    reads: ClassVar[Samples] = "fixed"

    def __init__(self, *, validation_fraction: float, split_seed: int, on_bad_file: OnBadFile = "refuse") -> None:
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed
        self._on_bad_file = on_bad_file
        self._kept: SampleFile | None = None
        self._skipped: list[int] | None = None if on_bad_file == "skip" else []

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
    def skipped(self) -> Sequence[str] | None:
        """Names of the files that can't be decoded and are left out; None as long as ``prepare`` has to find them."""
        return None if self._skipped is None else [self.listing.names[position] for position in self._skipped]

    @property
    def split_lengths(self) -> dict[Split, int]:
        lengths: dict[Split, int] = {split: len(positions) for split, positions in self.listing.splits.items()}
        if "validation" not in lengths:
            held_out = self._held_out_length()
            lengths["train"], lengths["validation"] = lengths["train"] - held_out, held_out
        return {split: len(self.positions(split)) for split in lengths} if self._skipped else lengths

    def missing(self) -> str | None:
        try:
            self.listing  # noqa: B018
        except DataError as error:
            return str(error)
        return None

    def prepare(self, reading: Reading) -> None:
        from firebox.data.preparing import prepare, told

        listing, skip = self.listing, self._on_bad_file == "skip"
        self._kept, unreadable = prepare(listing, self.decoder, reading, skip=skip)
        if not unreadable:
            self._skipped = []
            return
        found = f"{len(unreadable):,} of {len(listing):,} files in {listing.root} can't be decoded"
        named = told(listing, unreadable)
        if not skip:
            way_out = "replace them, move them out of the folder, or leave them out by on_bad_file: skip"
            raise DataError(f"{found}: {named}; {way_out}")
        self._require_samples_beside(set(unreadable), f"{found}: {named}")
        self._skipped = sorted(unreadable)
        logger.warning("%s and are skipped: %s", found, named)

    def positions(self, split: Split) -> torch.Tensor:
        """Returns the positions of a split's samples in the listing, int64 of shape (n,), ascending."""
        import torch

        positions = self.assigned(split)
        return positions[~torch.isin(positions, torch.tensor(self._skipped or (), dtype=torch.int64))]

    def assigned(self, split: Split) -> torch.Tensor:
        splits = self.listing.splits
        if split == "test" or "validation" in splits:
            return super().assigned(split)
        kept, held_out = self._divided
        return kept if split == "train" else held_out

    def _require_samples_beside(self, unreadable: set[int], found: str) -> None:
        """Refuses data of which a split, or a class to train on, would have no sample left."""
        listing = self.listing
        for split in self.split_lengths:
            positions = self.assigned(split).tolist()
            left = [position for position in positions if position not in unreadable]
            if positions and not left:
                raise DataError(f"{found}; the {split} split would have no sample left, expected one at least")
            if split == "train" and (gone := set(listing.labels_of(positions)) - set(listing.labels_of(left))):
                names = ", ".join(listing.classes[label] for label in sorted(gone))
                raise DataError(f"{found}; nothing would be left to train on of {names}, expected one image at least")

    def read(self, split: Split) -> ImageSource:
        from firebox.data.prepared import PreparedImages
        from firebox.data.source import DatasetImages

        if not self.split_lengths.get(split):
            raise DataError(f"{self.listing.root} has no {split} split")
        files, positions = ImageFiles(self.listing, self.decoder), self.positions(split)
        if self._kept is None:
            return DatasetImages(files, positions, fixed=True)
        return PreparedImages(self._kept, files, positions)

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
