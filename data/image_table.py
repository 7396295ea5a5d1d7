"""A table of image files and their targets as a data set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from firebox.data.bases.listed_images import ListedImages
from firebox.data.declarations.specification import PixelRange, require_order
from firebox.data.declarations.targets import Labels, Target, Values
from firebox.data.decoding.decoding import Background, Color, Dtype, ImageDecoder
from firebox.data.decoding.file_targets import MaskClasses, image_target, mask_target
from firebox.data.decoding.image_files import Decoder
from firebox.data.division.folds import FoldSettings
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import OnBadFile
from firebox.data.tables.table_rows import Columns, list_table
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import shown


class ImageTable(ListedImages):
    """Images that a table lists: a CSV file (in UTF-8, with a header), or a Parquet file.

    Each row is a sample: the path of its image, below ``root``, and its target, in one kind of columns. A file named
    .tsv is separated by tabs. Parquet files need pyarrow: ``pip install 'firebox[parquet]'``.

    Rows that can't be used are refused, all at once, with their lines and columns: files that are missing, empty cells,
    unknown splits, what is no number, a file in two splits, and a class that the training split does not have.

    Images, and masks and target images with them, are read as by ``image_pairs``.

    Args:
        table: the file.
        root: folder that the paths in the table are below; null for the table's own.
        path_column: column of the paths of the images.
        label_column: column of the classes, by name; they are ordered by name, or as numbers if all are.
        labels_columns: columns of 0 and 1, one for each of several labels of an image.
        value_columns: columns of numbers to regress.
        mask_column: column of the paths of masks, whose pixels are class numbers or the indices of a palette.
        image_column: column of the paths of target images.
        split_column: column of the splits: train, validation (or val, valid) or test, in any case; null if all rows are
            for training.
        group_column: column of the group of each image, such as its patient; null for none. No group may be in two
            splits, and none is divided when images are held out.
        classes: of masks: the names of the classes or their number, pixel value k being the k-th; or a map from the
            names to pixel values.
        ignored: of masks: the pixel value that belongs to no class and is left out of losses and metrics.
        target_color: of target images: their colour mode; null for that of the images.
        target_value_range: of target images: the values that become 0 and 1; null for those of their dtype.
        image_size: height and width that every image is scaled to, in pixels.
        color: colour mode of the images: rgb (three channels), grayscale (one) or rgba (four, the last one opacity).
        dtype: dtype of the images and target images. auto takes that of the first of each for training.
        value_range: values of the images' pixels that become 0 and 1; null for those of their dtype.
        background: colour that transparent pixels are laid over.
        validation_fraction: fraction of the training images held out for validation, in [0, 1), if no row is for it.
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of stratified folds of the training images; that fold is held out instead of a
            fraction. null for a fraction.
        on_bad_file: what to do about files that can't be decoded or don't fit. refuse to train, or skip them.
        pixel_range: range of the pixels that the model sees. standardised concerns the images alone: target images are
            then in [0,1].
    """

    def __init__(
        self,
        *,
        table: FilePath,
        root: FilePath | None = None,
        path_column: str = "path",
        label_column: str | None = None,
        labels_columns: list[str] | None = None,
        value_columns: list[str] | None = None,
        mask_column: str | None = None,
        image_column: str | None = None,
        split_column: str | None = None,
        group_column: str | None = None,
        classes: MaskClasses | None = None,
        ignored: Annotated[int, Field(ge=0, le=255)] | None = None,
        target_color: Color | None = None,
        target_value_range: tuple[float, float] | None = None,
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
        self._table = Path(table).expanduser()
        self._root = self._table.parent if root is None else Path(root).expanduser()
        given = {
            "label_column": label_column,
            "labels_columns": labels_columns,
            "value_columns": value_columns,
            "mask_column": mask_column,
            "image_column": image_column,
        }
        kinds = [key for key, columns in given.items() if columns]
        if len(kinds) > 1:
            raise ValueError(f"{kinds[1]}: got {shown(given[kinds[1]])} beside {kinds[0]}, expected one kind of target")
        numbers = labels_columns or value_columns or []
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"{kinds[0]}: got {shown(numbers)}, expected different columns")
        self._columns = Columns(
            path_column,
            split_column,
            label=label_column,
            numbers=tuple(numbers),
            target=mask_column or image_column,
            binary=bool(labels_columns),
            group=group_column,
        )
        self._dtype: Dtype | Literal["auto"] = dtype
        self._image = ImageDecoder(image_size, color, background, value_range=value_range)
        self._file_target = None
        if mask_column:
            self._file_target = mask_target(classes, ignored, image_size)
        elif image_column:
            target = ImageDecoder(image_size, target_color or color, background, value_range=target_value_range)
            self._file_target = image_target(target, pixel_range)

    @cached_property
    def decoder(self) -> Decoder:
        if self._file_target is None:
            return self.settled(self._image, self._dtype)
        return self.paired(self._image, self._file_target.decoder, self._dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._image.shape

    @property
    def target(self) -> Target | None:
        if self._file_target is not None:
            return self._file_target.target
        if self._columns.numbers:
            return Labels(self._columns.numbers) if self._columns.binary else Values(self._columns.numbers)
        return super().target

    def list(self) -> Listing:
        return list_table(self._table, self._root, self._columns)
