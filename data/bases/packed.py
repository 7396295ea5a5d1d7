"""Data sets whose files hold many samples each."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.declarations.targets import Target
from firebox.data.division.folds import FoldSettings, folds_of
from firebox.data.division.hold_out import held_out_length, require_folds, require_undivided
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import Reading

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.division.division import Division


class PackedImages(DataModule):
    """A data set whose files hold many samples each.

    Without a validation split, a seeded fraction or fold of the training samples is held out.

    Args:
        validation_fraction: fraction of the training samples held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        pixel_range: range of the pixels that the model sees.
        folds: number of folds, and the one that is held out instead of a fraction; None for a fraction.
    """

    def __init__(
        self,
        *,
        validation_fraction: float,
        split_seed: int,
        pixel_range: PixelRange,
        folds: FoldSettings | None = None,
    ) -> None:
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed
        self._folds = folds_of(folds, validation_fraction)
        self._pixel_range: PixelRange = pixel_range
        self._moments: Moments | None = None

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

    @property
    def listing(self) -> Listing | None:
        return self.list()

    @property
    def split_lengths(self) -> dict[Split, int]:
        lengths: dict[Split, int] = dict(self.stored)
        require_undivided(self._folds, lengths)
        if "validation" not in lengths:
            held_out = held_out_length(lengths["train"], self._validation_fraction)
            if self._folds is not None:
                require_folds(self._folds, lengths["train"])
                held_out = self._folds.length(lengths["train"])
            lengths["train"], lengths["validation"] = lengths["train"] - held_out, held_out
        return lengths

    @property
    def transform(self) -> Mapping[str, Any]:
        if "validation" in self.stored:
            return {}
        if self._folds is not None:
            return {"folds": self._folds.shown, "split_seed": self._split_seed}
        return {"validation_fraction": self._validation_fraction, "split_seed": self._split_seed}

    def part_of(self, split: Split) -> Split:
        """Returns the split whose files hold the samples of a split."""
        return "train" if split == "validation" and "validation" not in self.stored else split

    def division(self, split: Split) -> Division:
        """Returns which samples of ``part_of(split)`` belong to a split.

        Raises:
            DataError: there is no such split.
        """
        if not self.split_lengths.get(split):
            raise DataError(f"there is no {split} split, or it has no samples")
        from firebox.data.division.division import Division

        divided = split != "test" and "validation" not in self.stored
        fraction = self._validation_fraction if divided else 0.0
        folds = self._folds if divided else None
        return Division(self.stored[self.part_of(split)], fraction, self._split_seed, split, folds=folds)

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
        from firebox.data.bases.moments import kept_moments, moments_of

        if self._pixel_range != "standardised":
            return
        source, specification, listing = self.read("train"), self.specification, self.listing
        if reading.cache is None or listing is None:
            self._moments = moments_of(source, specification, reading)
            return
        known = [listing.names, listing.sizes, listing.changed, listing.held, dict(self.transform)]
        key = hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()
        self._moments = kept_moments(source, specification, reading, samples=reading.cache / key, key=key)
