"""A folder of images as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from firebox.data.decoding import Color, ImageDecoder
from firebox.data.folders import list_folder
from firebox.data.listed_images import ListedImages, OnBadFile
from firebox.data.listing import Listing
from firebox.data.specification import ImageSpecification, PixelRange
from firebox.foundation.paths import FilePath


class ImageFolder(ListedImages):
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
        on_bad_file: what to do about files that can't be decoded. refuse to train, or skip them: they are counted and
            named, and the others stay in the splits where they are.
        pixel_range: range of the pixels that the model sees.
    """

    def __init__(
        self,
        *,
        root: FilePath,
        image_size: tuple[PositiveInt, PositiveInt] = (64, 64),
        color: Color = "rgb",
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        on_bad_file: OnBadFile = "refuse",
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(validation_fraction=validation_fraction, split_seed=split_seed, on_bad_file=on_bad_file)
        self._root = Path(root).expanduser()
        self._decoder = ImageDecoder(image_size, color)
        self._pixel_range: PixelRange = pixel_range

    @property
    def decoder(self) -> ImageDecoder:
        return self._decoder

    @property
    def specification(self) -> ImageSpecification:
        half = (0.5,) * self.decoder.shape[0]
        return ImageSpecification(self.decoder.shape, self._pixel_range, self.listing.classes, half, half)

    def list(self) -> Listing:
        return list_folder(self._root)
