"""Data sets whose samples are files that are listed before any is decoded."""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from firebox.data.bases.datamodule import DataModule, Samples, Split
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification, PixelRange, require_order
from firebox.data.declarations.targets import Classes, Target
from firebox.data.decoding.decoding import Dtype, ImageDecoder, first_dtype
from firebox.data.decoding.image_files import Decoder, ImageFiles
from firebox.data.decoding.pair_decoding import MaskDecoder, PairDecoder
from firebox.data.division.folds import FoldSettings, folds_of
from firebox.data.division.hold_out import (
    held_out_length,
    hold_out,
    require_folds,
    require_undivided,
    stratified_length,
)
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import OnBadFile, Reading

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.cache.sample_file import SampleFile
    from firebox.data.preparation.decoded_files import Unreadable
    from firebox.data.sources.source import ImageSource

logger = logging.getLogger("firebox")


class ListedImages(DataModule):
    """A data set whose samples are image files.

    Without a validation split, a seeded, stratified fraction of the training images is held out: at least one image of
    each class that has two or more, and never all of them. With ``folds`` it is one of as many parts of equal size,
    stratified likewise. Groups that the listing names are held out as a whole.

    Args:
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        on_bad_file: "refuse" to train where a file can't be decoded, or "skip" such files: they are left out of every
            split after the draw, which they don't change.
        pixel_range: range of the pixels that the model sees.
        value_range: values of the files' pixels that become 0 and 1; None for those of their dtype.
        folds: number of folds, and the one that is held out instead of a fraction; None for a fraction.
    """

    reads: ClassVar[Samples] = "fixed"

    def __init__(
        self,
        *,
        validation_fraction: float,
        split_seed: int,
        on_bad_file: OnBadFile = "refuse",
        pixel_range: PixelRange = "[0,1]",
        value_range: tuple[float, float] | None = None,
        folds: FoldSettings | None = None,
    ) -> None:
        require_order("value_range", value_range)
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed
        self._folds = folds_of(folds, validation_fraction)
        self._on_bad_file = on_bad_file
        self._pixel_range: PixelRange = pixel_range
        self._value_range = value_range
        self._limited: tuple[ListedImages, int] | None = None
        self._moments: Moments | None = None
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
    def decoder(self) -> Decoder:
        """The way from the files of a sample to the sample."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images, known before any file is."""

    def settled(self, decoder: ImageDecoder, dtype: Dtype | Literal["auto"], *, targets: bool = False) -> ImageDecoder:
        """Returns a decoder that knows the dtype of its samples, which the first file for training has if it is auto.

        Args:
            decoder: the decoder.
            dtype: dtype as the settings have it.
            targets: whether it decodes the files of the targets, rather than those of the images.
        """
        if dtype != "auto":
            return replace(decoder, dtype=dtype)
        listing = self.listing
        paths = (listing.files_of(position)[-1 if targets else 0] for position in listing.splits["train"])
        return replace(decoder, dtype=first_dtype(paths), converts=False)

    def paired(
        self, image: ImageDecoder, target: ImageDecoder | MaskDecoder, dtype: Dtype | Literal["auto"]
    ) -> PairDecoder:
        """Returns the way from an image and its target's file to a sample, as ``settled`` does."""
        if isinstance(target, ImageDecoder):
            target = self.settled(target, dtype, targets=True)
        return PairDecoder(self.settled(image, dtype), target)

    @property
    def image_decoder(self) -> ImageDecoder:
        return self.decoder.image if isinstance(self.decoder, PairDecoder) else self.decoder

    @property
    def target(self) -> Target | None:
        """What a sample is to be predicted as; a class, unless the data says otherwise."""
        return Classes(self.listing.classes) if self.listing.classes else None

    @property
    def specification(self) -> ImageSpecification:
        """Shape, range and target. Standardised images have a mean and a deviation of 0.5 until ``prepare`` has
        measured them."""
        half = (0.5,) * self.shape[0]
        mean, std = self._moments or (half, half)
        return ImageSpecification(
            self.shape, self._pixel_range, (), mean, std, value_range=self._value_range, target=self.target
        )

    @property
    def moments(self) -> Moments | None:
        return self._moments

    @cached_property
    def _listing(self) -> Listing:
        if self._limited is None:
            return self.list()
        from firebox.data.division.limited import limited_listing

        whole, limit = self._limited
        return limited_listing(whole.listing, {split: whole.assigned(split) for split in whole.split_lengths}, limit)

    def limited(self, limit: int) -> ListedImages:
        """Returns the data with at most so many samples in each split; other files are neither read nor known of."""
        limited = copy(self)
        for name in list(vars(limited)):  # what has been derived from all files
            if isinstance(getattr(type(self), name, None), cached_property):
                delattr(limited, name)
        limited._limited, limited._folds = (self, limit), None
        return limited

    @property
    def whole(self) -> DataModule:
        return self if self._limited is None else self._limited[0]

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
        require_undivided(self._folds, lengths)
        if "validation" not in lengths:
            held_out = self._held_out_length()
            lengths["train"], lengths["validation"] = lengths["train"] - held_out, held_out
        return {split: len(self.positions(split)) for split in lengths} if self._skipped else lengths

    def missing(self) -> str | None:
        try:
            self.whole.listing  # noqa: B018
        except DataError as error:
            return str(error)
        return None

    def prepare(self, reading: Reading) -> None:
        from firebox.data.preparation.preparing import prepare

        listing, skip = self.listing, self._on_bad_file == "skip"
        self._kept, unreadable = prepare(listing, self.decoder, reading, skip=skip, contents=self.contents)
        self._skipped = []
        if unreadable:
            self._leave_out(unreadable)
        if self._pixel_range == "standardised":
            self._moments = self._measured(reading)

    def _leave_out(self, unreadable: Unreadable) -> None:
        """Leaves out files that can't be decoded, or refuses them."""
        from firebox.data.preparation.preparing import told

        listing = self.listing
        found = f"{len(unreadable):,} of {len(listing):,} files in {listing.root} can't be decoded"
        named = told(listing, unreadable)
        if self._on_bad_file != "skip":
            way_out = "replace them, move them out of the folder, or leave them out by on_bad_file: skip"
            raise DataError(f"{found}: {named}; {way_out}")
        self._require_samples_beside(set(unreadable), f"{found}: {named}")
        self._skipped = sorted(unreadable)
        logger.warning("%s and are skipped: %s", found, named)

    def _measured(self, reading: Reading) -> Moments:
        from firebox.data.bases.moments import kept_moments, moments_of

        source, specification = self.read("train"), self.specification
        if self._kept is None:
            return moments_of(source, specification, reading)
        positions = hashlib.sha256(self.positions("train").numpy().tobytes()).hexdigest()
        key = f"{self._kept.layout.key} {positions}"
        return kept_moments(source, specification, reading, samples=self._kept.path, key=key)

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
        from firebox.data.preparation.prepared import PreparedImages
        from firebox.data.sources.source import DatasetImages

        if not self.split_lengths.get(split):
            raise DataError(f"{self.listing.root} has no {split} split")
        files, positions = ImageFiles(self.listing, self.decoder), self.positions(split)
        if self._kept is None:
            return DatasetImages(files, positions, fixed=True)
        return PreparedImages(self._kept, files, positions)

    def _held_out_length(self) -> int:
        listing, train, fraction = self.listing, self.listing.splits["train"], self._validation_fraction
        if listing.groups or self._folds is not None:
            return len(self._divided[1])
        if not listing.classes:
            return held_out_length(len(train), fraction)
        return sum(stratified_length(length, fraction) for length in Counter(listing.labels_of(train)).values())

    @cached_property
    def _divided(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The positions of the samples to train on and of those held out."""
        import torch

        listing, folds = self.listing, self._folds
        train = listing.splits["train"]
        labels = listing.labels_of(train) if listing.classes else None
        groups = [listing.groups[position] for position in train] if listing.groups else None
        if folds is not None:
            require_folds(folds, len(train), labels=labels, classes=listing.classes, groups=groups)
        kept, held_out = hold_out(
            len(train),
            self._validation_fraction,
            self._split_seed,
            labels=labels,
            classes=listing.classes,
            groups=groups,
            folds=folds,
        )
        positions = torch.tensor(train, dtype=torch.int64)
        return positions[kept], positions[held_out]
