"""Data sets whose files hold many samples each."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.declarations.targets import Target
from firebox.data.division.folds import FoldSettings, folds_of
from firebox.data.division.hold_out import number_held_out, require_folds, require_undivided
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import OnBadFile, Reading
from firebox.foundation.problems import listed

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.bases.unreadable import Unreadable
    from firebox.data.division.division import Division
    from firebox.data.sources.source import ImageSource

logger = logging.getLogger("firebox")


class PackedImages(DataModule):
    """A data set whose files hold many samples each.

    Without a validation split, a seeded fraction or fold of the training samples is held out, stratified by class where
    the classes are known without decoding an image, of up to 2**24 samples.

    Args:
        validation_fraction: fraction of the training samples held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        pixel_range: range of the pixels that the model sees.
        folds: number of folds, and the one that is held out instead of a fraction; None for a fraction.
        on_bad_file: whether a sample that can't be decoded ends the run when it is met, or all are tried before the
            training and such samples left out of their splits, after the draw.
    """

    def __init__(
        self,
        *,
        validation_fraction: float,
        split_seed: int,
        pixel_range: PixelRange,
        folds: FoldSettings | None = None,
        on_bad_file: OnBadFile = "refuse",
    ) -> None:
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed
        self._folds = folds_of(folds, validation_fraction)
        self._pixel_range: PixelRange = pixel_range
        self._moments: Moments | None = None
        self._unreadable: dict[Split, Unreadable] | None = None if on_bad_file == "skip" else {}

    @property
    @abstractmethod
    def stored(self) -> Mapping[Split, int]:
        """Number of samples in the files of each split.

        Raises:
            DataError: the files are not what they are expected to be.
        """

    @abstractmethod
    def list(self) -> Listing | None:
        """Lists the files, and those of each split; None if they are not known."""

    @abstractmethod
    def source(self, split: Split) -> ImageSource:
        """Returns the samples of a split, with those that can't be decoded."""

    def training_labels(self) -> torch.Tensor | None:
        """Returns the label of each sample in the files for training, int64 (N,), read without decoding an image.

        None if there are no classes, or they can't be read so.
        """
        return None

    def sample_name(self, part: Split, sample: int) -> str:
        """Returns the name of a sample of the files of a split, wherever these are."""
        return f"{part}, sample {sample}"

    @cached_property
    def _strata(self) -> torch.Tensor | None:
        """The label of each sample that is divided; None if the division is not stratified."""
        from firebox.foundation.randomness import PERMUTATION_LIMIT

        return self.training_labels() if self.stored["train"] <= PERMUTATION_LIMIT else None

    @property
    def listing(self) -> Listing | None:
        return self.list()

    @property
    def assigned_lengths(self) -> dict[Split, int]:
        lengths: dict[Split, int] = dict(self.stored)
        require_undivided(self._folds, lengths)
        if "validation" not in lengths:
            count, labels = lengths["train"], self._strata
            if self._folds is not None:
                known = None if labels is None else labels.tolist()
                require_folds(self._folds, count, labels=known, classes=self.specification.classes)
            held_out = number_held_out(count, self._validation_fraction, self._folds, labels)
            lengths["train"], lengths["validation"] = count - held_out, held_out
        return lengths

    @property
    def split_lengths(self) -> dict[Split, int]:
        skipped = self._unreadable or {}
        return {split: length - len(skipped.get(split, ())) for split, length in self.assigned_lengths.items()}

    @property
    def skipped(self) -> Sequence[str] | None:
        if self._unreadable is None:
            return None
        return [self._name_in(split, index) for split, found in self._unreadable.items() for index in found]

    @property
    def transform(self) -> Mapping[str, Any]:
        if "validation" in self.stored:
            return {}
        stratified = {"stratified": True} if self._strata is not None else {}
        if self._folds is not None:
            return {"folds": self._folds.shown, "split_seed": self._split_seed, **stratified}
        return {"validation_fraction": self._validation_fraction, "split_seed": self._split_seed, **stratified}

    def part_of(self, split: Split) -> Split:
        """Returns the split whose files hold the samples of a split."""
        return "train" if split == "validation" and "validation" not in self.stored else split

    def division(self, split: Split) -> Division:
        """Returns which samples of ``part_of(split)`` belong to a split.

        Raises:
            DataError: there is no such split.
        """
        if not self.assigned_lengths.get(split):
            raise DataError(f"there is no {split} split, or it has no samples")
        from firebox.data.division.division import Division

        divided = split != "test" and "validation" not in self.stored
        fraction = self._validation_fraction if divided else 0.0
        folds = self._folds if divided else None
        labels = self._strata if divided else None
        count, classes = self.stored[self.part_of(split)], self.specification.classes
        return Division(count, fraction, self._split_seed, split, folds=folds, labels=labels, classes=classes)

    def read(self, split: Split) -> ImageSource:
        source = self.source(split)
        left_out = (self._unreadable or {}).get(split)
        if not left_out:
            return source
        import torch

        from firebox.data.sources.subset import subset

        kept = torch.ones(len(source), dtype=torch.bool)
        kept[list(left_out)] = False
        return subset(source, kept.nonzero().flatten())

    def assigned(self, split: Split) -> torch.Tensor:
        """Returns the positions in ``listing`` of the files that hold a split's samples, int64 of shape (n,)."""
        import torch

        listing = self.listing
        if listing is None or not self.split_lengths.get(split):
            return torch.tensor([], dtype=torch.int64)
        return torch.tensor(listing.splits[self.part_of(split)], dtype=torch.int64)

    def specified(
        self, shape: tuple[int, int, int], target: Target | None, value_range: tuple[float, float] | None = None
    ) -> ImageSpecification:
        """Returns the specification of samples; 0.5 stands for moments that are not known yet."""
        mean, std = self._moments or ((0.5,) * shape[0], (0.5,) * shape[0])
        return ImageSpecification(shape, self._pixel_range, (), mean, std, value_range, target)

    @property
    def moments(self) -> Moments | None:
        return self._moments

    def prepare(self, reading: Reading) -> None:
        if self._unreadable is None:
            self._unreadable = self._tried(reading)
        if self._pixel_range == "standardised":
            self._moments = self._measured(reading)

    def _tried(self, reading: Reading) -> dict[Split, Unreadable]:
        """Finds the samples that can't be decoded, and says which they are."""
        from firebox.data.bases.unreadable import kept_unreadable, unreadable_in
        from firebox.data.decoding.decoding import versions

        found: dict[Split, Unreadable] = {}
        lengths = {split: length for split, length in self.assigned_lengths.items() if length}
        for split in lengths:
            source, key = self.source(split), self._identity(split, versions())
            if reading.cache is None or key is None:
                found[split] = unreadable_in(source, reading)
            else:
                found[split] = kept_unreadable(source, reading, folder=reading.cache, key=key)
        names = [f"{self._name_in(split, index)} ({why})" for split, own in found.items() for index, why in own.items()]
        if names:
            said = f"{len(names):,} of {sum(lengths.values()):,} samples can't be decoded"
            told = f"{listed(names, 20)}"
            for split, length in lengths.items():
                if len(found[split]) == length:
                    raise DataError(
                        f"{said}: {told}; the {split} split would have no sample left, expected one at least"
                    )
            logger.warning("%s and are skipped: %s", said, told)
        return found

    def _name_in(self, split: Split, index: int) -> str:
        """Returns the name of a sample of a split."""
        import torch

        return self.sample_name(self.part_of(split), int(self.division(split)[torch.tensor([index])]))

    def _measured(self, reading: Reading) -> Moments:
        from firebox.data.bases.moments import kept_moments, moments_of

        source, specification = self.read("train"), self.specification
        key = self._identity(self.skipped)
        if reading.cache is None or key is None:
            return moments_of(source, specification, reading)
        return kept_moments(source, specification, reading, samples=reading.cache / key, key=key)

    def _identity(self, *more: Any) -> str | None:
        """Returns an identity of the files, of what becomes of them and of more; None if the files are not known."""
        listing = self.listing
        if listing is None:
            return None
        known = [listing.names, listing.sizes, listing.changed, listing.held, dict(self.transform), *more]
        return hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()
