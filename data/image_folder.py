"""A folder of images as a data set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from firebox.data.bases.listed_images import ListedImages
from firebox.data.declarations.specification import PixelRange
from firebox.data.decoding.decoding import Background, Color, Dtype, ImageDecoder
from firebox.data.division.folds import FoldSettings
from firebox.data.division.listing import Listing
from firebox.data.folders.folders import Splits, list_folder
from firebox.data.sources.reading import OnBadFile
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import shown


class ImageFolder(ListedImages):
    """The images below a folder, whose sub-folders are classes or splits.

    They are files named png, jpg, jpeg, jfif, bmp, gif, tif, tiff or webp.

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
    its transparent pixels are laid over ``background``. Of an animation the first image counts.

    Args:
        root: folder that holds the images.
        splits: auto to tell splits from classes by their names; none if all sub-folders are classes; or a map from
            train, validation and test to folders below root.
        image_size: height and width that every image is scaled to, in pixels.
        color: colour mode of the images: rgb (three channels), grayscale (one) or rgba (four, the last one opacity).
        dtype: dtype of the samples. auto takes that of the first image for training, and all others must have it:
            uint8, uint16 for grayscale images of 16 bits, or float32 for those of floating point numbers. With uint8,
            images of 16 bits are read as 8; with uint16, those of 8 bits as 16.
        value_range: values of the pixels that become 0 and 1, such as [0, 4095]; null for those of the dtype, which are
            0 and 255 for uint8, 0 and 65535 for uint16, and 0 and 1 for float32.
        background: colour that transparent pixels are laid over.
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of stratified folds of the training images; that fold is held out instead of a
            fraction. null for a fraction.
        on_bad_file: what to do about files that can't be decoded. refuse to train, or skip them: they are counted and
            named, and the others stay in the splits where they are.
        pixel_range: range of the pixels that the model sees. standardised: minus the mean of the training images, and
            divided by their deviation, channel by channel; both are measured before the training.
    """

    def __init__(
        self,
        *,
        root: FilePath,
        splits: Splits = "auto",
        image_size: tuple[PositiveInt, PositiveInt] = (64, 64),
        color: Color = "rgb",
        dtype: Dtype | Literal["auto"] = "auto",
        value_range: tuple[float, float] | None = None,
        background: Background = "white",
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        folds: FoldSettings | None = None,
        on_bad_file: OnBadFile = "refuse",
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(
            validation_fraction=validation_fraction,
            split_seed=split_seed,
            on_bad_file=on_bad_file,
            pixel_range=pixel_range,
            value_range=value_range,
            folds=folds,
        )
        if isinstance(splits, dict) and "train" not in splits:
            raise ValueError(f"splits: got {shown(splits)}, expected a folder for train")
        self._root = Path(root).expanduser()
        self._splits: Splits = splits
        self._dtype: Dtype | Literal["auto"] = dtype
        self._decoder = ImageDecoder(image_size, color, background, value_range=value_range)

    @cached_property
    def decoder(self) -> ImageDecoder:
        return self.settled(self._decoder, self._dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._decoder.shape

    def list(self) -> Listing:
        return list_folder(self._root, self._splits)
