"""A folder of images as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from firebox.data.decoding import Background, Color, ImageDecoder
from firebox.data.folders import Splits, list_folder
from firebox.data.listed_images import ListedImages, OnBadFile
from firebox.data.listing import Listing
from firebox.data.specification import ImageSpecification, PixelRange
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import shown


class ImageFolder(ListedImages):
    """The images below a folder (png, jpg, jpeg, bmp, webp), whose sub-folders are classes or splits.

    The sub-folders that hold images, at any depth, are the splits if all of them are called ``train`` or ``training``;
    ``val``, ``valid`` or ``validation``; ``test`` or ``testing``, in any case, and one of them is for training. If no
    name looks like a split, they are the classes, and all images are for training. Anything else is refused: a split
    beside other folders, names such as ``train2017``, splits one level deeper. ``splits`` then says what is meant:
    ``none``, or a map such as ``{train: train2017, validation: val2017}``. Within a split, sub-folders are the classes.
    Without a validation folder, a seeded, stratified fraction of the training images is held out: at least one image of
    each class that has two or more, and never all of them.

    Files are taken in the order of their names. Links are followed, except to a folder above. At its start a run says
    the splits, the classes and their numbers of images, and what is left out: hidden and other kinds of files, folders
    without images, broken links. What can't be read, or would be a sample of two splits, is refused.

    Each image is scaled to just cover ``image_size`` (bilinear, antialiased) and cropped to it at the center. Before,
    its transparent pixels are laid over ``background``. "standardised" means (x - 0.5) / 0.5 here, because the pixels
    are not known beforehand.

    Args:
        root: folder that holds the images.
        splits: auto to tell splits from classes by their names; none if all sub-folders are classes; or a map from
            train, validation and test to folders below root.
        image_size: height and width that every image is scaled to, in pixels.
        color: colour mode of the images: rgb (three channels) or grayscale (one channel).
        background: colour that transparent pixels are laid over.
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
        splits: Splits = "auto",
        image_size: tuple[PositiveInt, PositiveInt] = (64, 64),
        color: Color = "rgb",
        background: Background = "white",
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        on_bad_file: OnBadFile = "refuse",
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(validation_fraction=validation_fraction, split_seed=split_seed, on_bad_file=on_bad_file)
        if isinstance(splits, dict) and "train" not in splits:
            raise ValueError(f"splits: got {shown(splits)}, expected a folder for train")
        self._root = Path(root).expanduser()
        self._splits: Splits = splits
        self._decoder = ImageDecoder(image_size, color, background)
        self._pixel_range: PixelRange = pixel_range

    @property
    def decoder(self) -> ImageDecoder:
        return self._decoder

    @property
    def specification(self) -> ImageSpecification:
        half = (0.5,) * self.decoder.shape[0]
        return ImageSpecification(self.decoder.shape, self._pixel_range, self.listing.classes, half, half)

    def list(self) -> Listing:
        return list_folder(self._root, self._splits)
