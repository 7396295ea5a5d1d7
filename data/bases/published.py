"""Published data sets of labelled images that fit into memory: their properties and the location of their files."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from firebox.data.bases.datamodule import DataModule, Samples, Split, require_files
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.division.folds import FoldSettings, folds_of
from firebox.data.division.hold_out import held_out_length, hold_out, require_folds
from firebox.foundation.paths import FilePath

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.containers.idx import Part
    from firebox.data.sources.reading import Reading
    from firebox.data.sources.source import ResidentImages


class PublishedImages(DataModule):
    """A published training and test part; a seeded fraction or fold of the training part is held out for validation.

    Args:
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of stratified folds of the training images; that fold is held out instead of a
            fraction. null for a fraction.
        pixel_range: range of the pixels that the model sees.
    """

    reads: ClassVar[Samples] = "resident"
    name: ClassVar[str]
    shape: ClassVar[tuple[int, int, int]]
    classes: ClassVar[tuple[str, ...]]
    train_length: ClassVar[int]
    test_length: ClassVar[int]

    def __init__(
        self,
        *,
        validation_fraction: float,
        split_seed: int,
        folds: FoldSettings | None = None,
        pixel_range: PixelRange,
    ) -> None:
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed
        self._folds = folds_of(folds, validation_fraction)
        self._pixel_range: PixelRange = pixel_range
        self._moments: Moments | None = None

    @property
    def specification(self) -> ImageSpecification:
        half = (0.5,) * self.shape[0]
        return ImageSpecification(self.shape, self._pixel_range, self.classes, *(self._moments or (half, half)))

    @property
    def moments(self) -> Moments | None:
        return self._moments

    def prepare(self, reading: Reading) -> None:
        from firebox.data.bases.moments import moments_of

        if self._pixel_range == "standardised":
            self._moments = moments_of(self.read("train"), self.specification, reading)

    @property
    def split_lengths(self) -> dict[Split, int]:
        held_out = held_out_length(self.train_length, self._validation_fraction)
        if self._folds is not None:
            require_folds(self._folds, self.train_length)
            held_out = self._folds.length(self.train_length)
        return {"train": self.train_length - held_out, "validation": held_out, "test": self.test_length}

    def read(self, split: Split) -> ResidentImages:
        from firebox.data.sources.source import ResidentImages

        if not self.split_lengths[split]:
            raise DataError(f"{self.name}: no {split} split: validation_fraction is {self._validation_fraction:g}")
        part: Part = "test" if split == "test" else "train"
        images, labels = self._read_part(part)
        expected = (self.test_length if part == "test" else self.train_length, *self.shape)
        if images.shape != expected:
            raise DataError(f"{self.name}: the {part} images are {tuple(images.shape)}, expected {expected}")
        if not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(
                f"{self.name}: the {part} labels reach {labels.max()}, expected 0 to {len(self.classes) - 1}"
            )
        source = ResidentImages(images, labels)
        if part == "test":
            return source
        if self._folds is None:
            kept, held_out = hold_out(len(source), self._validation_fraction, self._split_seed)
        else:
            known = labels.tolist()
            require_folds(self._folds, len(source), labels=known, classes=self.classes)
            kept, held_out = hold_out(
                len(source), 0, self._split_seed, labels=known, classes=self.classes, folds=self._folds
            )
        return source.subset(kept if split == "train" else held_out)

    @abstractmethod
    def _read_part(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Reads images uint8 (N, C, H, W) and labels int64 (N,); raises DataError if files are missing."""


class DownloadedImages(PublishedImages):
    """A published data set in a folder of files, which torchvision can download.

    Args:
        root: folder of the files, or the one that torchvision downloads into; null for the default below datasets/.
        download: whether to download missing files when training starts.
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of stratified folds of the training images; that fold is held out instead of a
            fraction. null for a fraction.
        pixel_range: range of the pixels that the model sees.
    """

    files: ClassVar[tuple[str, ...]]
    default_root: ClassVar[str]
    package_root: ClassVar[str | None] = None
    """Folder in which a package of the operating system puts the files; searched if ``root`` is not set."""
    origin: ClassVar[str]
    torchvision_name: ClassVar[str]
    torchvision_folder: ClassVar[str] = ""
    """Folder below ``root`` in which torchvision puts the files."""

    def __init__(
        self,
        *,
        root: FilePath | None = None,
        download: bool = False,
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        folds: FoldSettings | None = None,
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(
            validation_fraction=validation_fraction, split_seed=split_seed, folds=folds, pixel_range=pixel_range
        )
        self._root = Path(root or self.default_root).expanduser()
        self._package_root = Path(self.package_root) if self.package_root and root is None else None
        self._download = download

    def missing(self) -> str | None:
        return None if self._download or self._folder() else self._absent()

    def _read_part(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        if self._folder() is None and self._download:
            self._fetch()
        folder = self._folder()
        if folder is None:
            raise DataError(self._absent())
        return self._read_files(folder, part)

    @abstractmethod
    def _read_files(self, folder: Path, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Reads a part whose files are all in ``folder``."""

    def _fetch(self) -> None:
        import torchvision.datasets

        try:
            getattr(torchvision.datasets, self.torchvision_name)(self._root, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(self._absent(f"Downloading them failed: {' '.join(str(error).split())}. ")) from error

    def _folder(self) -> Path | None:
        """Returns the first folder that has all files."""
        places = [self._root, self._root / self.torchvision_folder]
        if self._package_root is not None:
            places.insert(0, self._package_root)
        return next((place for place in places if all((place / name).is_file() for name in self._names(place))), None)

    def _absent(self, failure: str = "") -> str:
        switch = "" if self._download else ", or have them downloaded: --set datamodule.download=true"
        source = f"{failure}Put them there from {self.origin}{switch}."
        text = require_files(self._root, self._names(self._root), name=self.name, source=source)
        assert text is not None
        return text

    def _names(self, folder: Path) -> list[str]:
        """Returns the names of the files, without ``.gz`` if they are uncompressed in ``folder``."""
        bare = [name.removesuffix(".gz") for name in self.files]
        return [plain if (folder / plain).is_file() else name for plain, name in zip(bare, self.files, strict=True)]
