"""Images and their target images or masks, in two folders, as a data set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from firebox.data.bases.listed_images import ListedImages
from firebox.data.declarations.specification import PixelRange, require_order
from firebox.data.declarations.targets import Target
from firebox.data.decoding.decoding import Background, Color, Dtype, ImageDecoder
from firebox.data.decoding.file_targets import MaskClasses, image_target, mask_target
from firebox.data.decoding.pair_decoding import PairDecoder
from firebox.data.division.folds import FoldSettings
from firebox.data.division.listing import Listing
from firebox.data.folders.folders import Splits
from firebox.data.folders.pairs import list_pairs
from firebox.data.sources.reading import OnBadFile
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import shown


class ImagePairs(ListedImages):
    """Images in one folder, and in another the image or mask that each is to be turned into, under the same name.

    Two files belong together if their paths below the two folders are equal up to the suffix. Both folders lie in
    ``root``, and the splits, named as those of ``image_folder``, in each of them; or they lie in each split's folder.
    Without splits, all pairs are for training. Without a validation split, a seeded fraction is held out.

    An image and its target have the same size. Both are scaled to just cover ``image_size`` and cropped at the center
    alike: images bilinear and antialiased, masks by the nearest pixel.

    Args:
        root: folder that holds both folders.
        images: folder of the images, below root or below each split's folder.
        targets: folder of their targets.
        target: what the targets are: mask, whose pixels are class numbers or the indices of a palette; or image.
        classes: of masks: the names of the classes or their number, pixel value k being the k-th; or a map from the
            names to pixel values, such as {background: 0, road: 255}.
        ignored: of masks: the pixel value that belongs to no class and is left out of losses and metrics.
        target_color: of target images: their colour mode; null for that of the images.
        target_value_range: of target images: the values that become 0 and 1; null for those of their dtype.
        splits: auto to tell the splits by the names of the folders; none if there are none; or a map from train,
            validation and test to folders.
        image_size: height and width that every image is scaled to, in pixels.
        color: colour mode of the images: rgb (three channels), grayscale (one) or rgba (four, the last one opacity).
        dtype: dtype of the images and target images. auto takes that of the first of each for training.
        value_range: values of the images' pixels that become 0 and 1; null for those of their dtype.
        background: colour that transparent pixels are laid over.
        validation_fraction: fraction of the training pairs held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of folds of the training pairs; that fold is held out instead of a
            fraction. null for a fraction.
        on_bad_file: what to do about pairs that can't be decoded or don't fit. refuse to train, or skip them.
        pixel_range: range of the pixels that the model sees. standardised concerns the images alone: target images are
            then in [0,1].
    """

    def __init__(
        self,
        *,
        root: FilePath,
        target: Literal["mask", "image"],
        images: str = "images",
        targets: str = "targets",
        classes: MaskClasses | None = None,
        ignored: Annotated[int, Field(ge=0, le=255)] | None = None,
        target_color: Color | None = None,
        target_value_range: tuple[float, float] | None = None,
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
        require_order("target_value_range", target_value_range)
        if images == targets:
            raise ValueError(f"targets: got {shown(targets)}, the folder of the images, expected another")
        if isinstance(splits, dict) and "train" not in splits:
            raise ValueError(f"splits: got {shown(splits)}, expected a folder for train")
        self._root = Path(root).expanduser()
        self._folders = images, targets
        self._splits: Splits = splits
        self._dtype: Dtype | Literal["auto"] = dtype
        self._image = ImageDecoder(image_size, color, background, value_range=value_range)
        self._file_target = (
            mask_target(classes, ignored, image_size)
            if target == "mask"
            else image_target(
                ImageDecoder(image_size, target_color or color, background, value_range=target_value_range), pixel_range
            )
        )

    @cached_property
    def decoder(self) -> PairDecoder:
        return self.paired(self._image, self._file_target.decoder, self._dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._image.shape

    @property
    def target(self) -> Target:
        return self._file_target.target

    def list(self) -> Listing:
        return list_pairs(self._root, *self._folders, self._splits)
