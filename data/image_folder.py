"""A folder of images as a data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from firebox.data.data_error import DataError
from firebox.data.datamodule import (
    EMBEDDED,
    DataModule,
    Samples,
    Split,
    held_out_length,
    hold_out,
    stratified_hold_out,
    stratified_length,
)
from firebox.data.specification import ImageSpecification, PixelRange
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import in_one_line

if TYPE_CHECKING:
    import torch

    from firebox.data.source import DatasetImages

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
SPLIT_FOLDERS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


class ImageFolder(DataModule):
    """The images below a folder (png, jpg, jpeg, bmp, webp), whose sub-folders are classes or splits.

    If all sub-folders are called ``train``, ``validation`` (or ``val``) or ``test``, and ``train`` is among them, they
    are the splits. Otherwise all images are for training. Without a validation folder, a seeded, stratified fraction of
    the training images is held out: at least one image of each class that has two or more, and never all of them.
    Files are taken in the order of their names; hidden files are left out.

    Each image is scaled to just cover ``image_size`` (bilinear, antialiased) and cropped to it at the center;
    transparency is dropped. "standardised" means (x - 0.5) / 0.5 here, because the pixels are not known beforehand.

    Args:
        root: folder that holds the images.
        image_size: height and width that every image is scaled to, in pixels.
        color: colour mode of the images: rgb (three channels) or grayscale (one channel).
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        pixel_range: range of the pixels that the model sees.
    """

    reads: ClassVar[Samples] = "fixed"

    def __init__(
        self,
        *,
        root: FilePath,
        image_size: tuple[PositiveInt, PositiveInt] = (64, 64),
        color: Literal["rgb", "grayscale"] = "rgb",
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        self._root = Path(root).expanduser()
        self._image_size = image_size
        self._color: Literal["rgb", "grayscale"] = color
        self._validation_fraction = validation_fraction
        self._split_seed = split_seed
        self._pixel_range: PixelRange = pixel_range

    @property
    def specification(self) -> ImageSpecification:
        channels = 3 if self._color == "rgb" else 1
        half = (0.5,) * channels
        return ImageSpecification((channels, *self._image_size), self._pixel_range, self._listing.classes, half, half)

    @property
    def split_lengths(self) -> dict[Split, int]:
        lengths: dict[Split, int] = {split: len(files) for split, files in self._listing.files.items()}
        if "validation" not in lengths:
            held_out = self._held_out_length()
            lengths["train"], lengths["validation"] = lengths["train"] - held_out, held_out
        return lengths

    def missing(self) -> str | None:
        try:
            self._listing  # noqa: B018
        except DataError as error:
            return str(error)
        return None

    def read(self, split: Split) -> DatasetImages:
        from firebox.data.source import DatasetImages

        if not self.split_lengths.get(split):
            raise DataError(f"image_folder: {self._root} has no {split} split")
        listing = self._listing
        if split == "test" or "validation" in listing.files:
            return DatasetImages(self._files(split), fixed=True)
        kept, held_out = self._hold_out()
        return DatasetImages(self._files("train"), kept if split == "train" else held_out, fixed=True)

    def _held_out_length(self) -> int:
        listing, fraction = self._listing, self._validation_fraction
        if not listing.classes:
            return held_out_length(len(listing.files["train"]), fraction)
        return sum(stratified_length(length, fraction) for length in Counter(listing.labels["train"]).values())

    def _hold_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        listing, fraction, split_seed = self._listing, self._validation_fraction, self._split_seed
        if not listing.classes:
            return hold_out(len(listing.files["train"]), fraction, split_seed)
        return stratified_hold_out(listing.labels["train"], listing.classes, fraction, split_seed)

    def _files(self, split: Split) -> ImageFiles:
        return ImageFiles(
            self._root, self._listing.files[split], self._listing.labels[split], self._image_size, self._color
        )

    @cached_property
    def _listing(self) -> _Listing:
        return _listing(self._root)


class ImageFiles:
    """A map-style data set that decodes an image file each time it is asked for one.

    Args:
        root: folder that ``files`` are below.
        files: paths of the images below the root.
        labels: label of each image; empty if there are no labels.
        image_size: (H, W) of the images.
        color: "rgb" (three channels) or "grayscale" (one).
    """

    def __init__(
        self,
        root: Path,
        files: list[str],
        labels: list[int],
        image_size: tuple[int, int],
        color: Literal["rgb", "grayscale"],
    ) -> None:
        self._root = root
        self._paths = files
        self.targets = labels
        self._image_size = image_size
        self._mode = "RGB" if color == "rgb" else "L"

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Any:
        """Reads an image, uint8 (C, H, W), and its label; the image alone if there are no labels.

        Raises:
            DataError: the file can't be decoded; the message names it.
        """
        image = self._decode(self.file_of(index))
        return (image, self.targets[index]) if self.targets else image

    def file_of(self, index: int) -> Path:
        """Returns the file of an image."""
        return self._root / self._paths[index]

    def _decode(self, path: Path) -> torch.Tensor:
        import numpy
        import torch
        from PIL import Image, ImageOps

        height, width = self._image_size
        try:
            with Image.open(path) as opened:
                image: Image.Image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I"):  # 16 bits: Pillow's conversion would cut them at 255
                    image = Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))
                fitted = ImageOps.fit(image.convert(self._mode), (width, height), Image.Resampling.BILINEAR)
        except Image.DecompressionBombError as error:
            raise DataError(f"image_folder: {path} is too large: {_told(error)}") from error
        except Exception as error:  # a decoder may raise anything where a file is torn
            why = f"can't be read as an image: {in_one_line(error)}"
            raise DataError(f"image_folder: {path} {why}; replace the file, or move it out of the folder") from error
        pixels = torch.from_numpy(numpy.array(fitted))
        return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


@dataclass(frozen=True, slots=True)
class _Listing:
    """The content of a folder: class names and, per split, the files (paths below the root) and their labels."""

    classes: tuple[str, ...]
    files: dict[Split, list[str]]
    labels: dict[Split, list[int]]


def _listing(root: Path) -> _Listing:
    if not root.is_dir():
        raise DataError(
            f"image_folder: there is no folder {root.absolute()}; datamodule.root names the folder of the images. "
            f"{EMBEDDED}"
        )
    folders = _folders(root)
    if {"validation", "val"} <= set(folders) <= set(SPLIT_FOLDERS):
        raise DataError(f"image_folder: {root} has both validation/ and val/, expected one of them")
    divided = "train" in folders and set(folders) <= set(SPLIT_FOLDERS)
    places: dict[Split, Path] = {SPLIT_FOLDERS[f]: root / f for f in folders} if divided else {"train": root}
    found = {split: _images_by_class(place) for split, place in places.items()}
    classes = tuple(found["train"])
    files: dict[Split, list[str]] = {}
    labels: dict[Split, list[int]] = {}
    for split, images in found.items():
        unknown = [name for name in images if name not in classes]
        if unknown:
            known = ", ".join(name or "no class folders" for name in classes)
            stray = ", ".join(name or "images outside class folders" for name in unknown)
            raise DataError(f"image_folder: {places[split]} has {stray}, but {places['train']} has {known}")
        files[split] = [file.relative_to(root).as_posix() for name in images for file in images[name]]
        labels[split] = [classes.index(name) for name in images for _ in images[name]]
    if classes == ("",):
        return _Listing((), files, {split: [] for split in files})
    return _Listing(classes, files, labels)


def _images_by_class(place: Path) -> dict[str, list[Path]]:
    """Returns the images of each class folder that has any; without class folders, all images under the name ""."""
    classes = {name: images for name in _folders(place) if (images := sorted(_images(place / name)))}
    loose = sorted(path for path in place.iterdir() if _is_image(path.name))
    if classes and loose:
        raise DataError(
            f"image_folder: {place} has class folders ({', '.join(classes)}) and images outside them, "
            f"such as {loose[0].name}"
        )
    if not classes and not loose:
        raise DataError(f"image_folder: {place.absolute()} holds no images ({', '.join(SUFFIXES)}). {EMBEDDED}")
    return classes or {"": loose}


def _folders(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(place: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(place, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if _is_image(name))


def _told(error: BaseException) -> str:
    """Says which limit an image exceeds."""
    from PIL import Image

    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    what = f"Pillow refuses images of more than {limit:,} pixels, which may be made to exhaust the memory"
    return f"{what} ({in_one_line(error)}); scale the file down, or move it out of the folder"


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
