"""Data sets that the ``datasets`` library of Hugging Face reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field, PositiveInt

from firebox.data.bases.datamodule import Split
from firebox.data.bases.packed import PackedImages
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.extras import required
from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.declarations.target_settings import Names, TargetKind, names_of
from firebox.data.decoding.decoding import Background, Color, ImageDecoder
from firebox.data.decoding.encoded_samples import SampleDecoder, sample_decoder
from firebox.data.division.folds import FoldSettings
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import OnBadFile
from firebox.data.tables.table_columns import Columns, columns_of
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import in_one_line, listed, shown, similar

if TYPE_CHECKING:
    import torch

    from firebox.data.sources.source import DatasetImages
    from firebox.data.tables.table_samples import TableSamples

SAVED = ("dataset_dict.json", "state.json")
"""What a folder holds that ``save_to_disk`` has written, of all splits or of one."""


class HuggingFace(PackedImages):
    """A data set that the ``datasets`` library of Hugging Face reads: a local folder or file, or one of the hub.

    ``path`` is a folder that ``save_to_disk`` has written, a Parquet file, or a folder of Parquet files or of images as
    the library tells their splits. Images are encoded ones: a column of the library's type Image, or of bytes. Code
    that comes with a data set is never run. Needs ``firebox[hugging_face]``.

    Each image is scaled to just cover ``image_size`` (bilinear, antialiased; masks by the nearest pixels) and cropped
    to it at the center. Without a validation split, a seeded fraction of the training samples is held out.
    Args:
        path: local folder or file; null for a data set of the hub.
        hub: name of a data set of the hub, such as ylecun/mnist, which the library downloads into its own cache.
        subset: name of the part of a data set that has several; null for its only one.
        splits: a map from train, validation and test to the names that the data has for them; null for these names.
        images: column of the images; null for the only one of the type Image.
        targets: column of the targets; null for the only one of the type ClassLabel, or for none.
        target: what they are. class, labels, values, mask or image; none. null tells it by the column's type.
        classes: names of the classes, labels or values, or their number; null for those of the column's type.
        ignored: pixel value of masks that is left out of losses and metrics, in 0..255; null for none.
        image_size: height and width that every image is scaled to, in pixels.
        color: colour mode of the images: rgb (three channels), grayscale (one channel) or rgba (three and opacity).
        background: colour that transparent pixels are laid over.
        validation_fraction: fraction of the training samples held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of folds of the training samples; that fold is held out instead of a fraction.
            null for a fraction.
        on_bad_file: "refuse" to go on where a sample can't be decoded, or "skip" such samples: all are tried once
            before the training, and left out of every split after the draw, which they don't change.
        pixel_range: range of the pixels that the model sees. standardised: minus the mean of the training images, and
            divided by their deviation, per channel, which are measured once.
    """

    def __init__(
        self,
        *,
        path: FilePath | None = None,
        hub: str | None = None,
        subset: str | None = None,
        splits: dict[Split, str] | None = None,
        images: str | None = None,
        targets: str | None = None,
        target: TargetKind | None = None,
        classes: Names | None = None,
        ignored: Annotated[int, Field(ge=0, le=255)] | None = None,
        image_size: tuple[PositiveInt, PositiveInt] = (64, 64),
        color: Color = "rgb",
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
            pixel_range=pixel_range,
            folds=folds,
            on_bad_file=on_bad_file,
        )
        if (path is None) == (hub is None):
            both = "neither" if path is None else "both"
            raise ValueError(f"path: got {both} of path and hub, expected one: a local folder or file, or a name")
        if hub is not None and on_bad_file == "skip":
            raise ValueError("on_bad_file: got skip for a data set of the hub; expected refuse, or a local path")
        if splits is not None and "train" not in splits:
            raise ValueError(f"splits: got {shown(splits)}, expected a name for train")
        self._path = None if path is None else Path(path).expanduser()
        self._hub = hub
        self._subset = subset
        self._splits = splits
        self._images, self._targets, self._target = images, targets, target
        self._names = names_of(classes)
        self._ignored = ignored
        self._image = ImageDecoder(image_size, color, background)

    @property
    def _name(self) -> str:
        return str(self._path) if self._path is not None else f"the hub's {self._hub}"

    @property
    def _loaded(self) -> dict[Split, Any]:
        """The table of each split."""
        found = self._found
        if isinstance(found, DataError):
            raise found
        return found

    @cached_property
    def _found(self) -> dict[Split, Any] | DataError:
        """The table of each split, or why there is none: the hub is not asked twice."""
        try:
            return self._tables()
        except DataError as error:
            return error

    def _tables(self) -> dict[Split, Any]:
        text = self.missing()
        if text is not None:
            raise DataError(text)
        library = required("datasets", "hugging_face", f"{self._name}, a data set of Hugging Face,")
        library.disable_progress_bars()
        library.logging.set_verbosity_error()
        try:
            found = self._load(library)
        except Exception as error:  # the library may raise anything
            raise DataError(f"{self._name} can't be loaded by datasets: {in_one_line(error)}") from None
        tables: dict[str, Any] = dict(found) if isinstance(found, dict) else {"train": found}
        own: Mapping[Any, str] = self._splits or {split: split for split in get_args(Split) if split in tables}
        for split, name in own.items():
            if name not in tables:
                raise DataError(
                    f"splits: {self._name} has no {shown(name)} for {split}{similar(name, tables)}; "
                    f"expected one of {listed(list(tables), 20)}"
                )
        if "train" not in own:
            way_out = f"expected splits to say which is for training, such as {{train: {next(iter(tables), 'NAME')}}}"
            raise DataError(f"splits: {self._name} has {listed(list(tables), 20) or 'none'}, but no train; {way_out}")
        chosen = {split: tables[name] for split, name in own.items()}
        if empty := [split for split, table in chosen.items() if not len(table)]:
            raise DataError(f"{self._name} has no samples in {empty[0]}, expected one at least")
        return chosen

    def _load(self, library: Any) -> Any:
        if self._path is None:
            return library.load_dataset(self._hub, self._subset)
        if self._path.is_file():
            return library.load_dataset("parquet", data_files={"train": [str(self._path)]})
        if any((self._path / name).is_file() for name in SAVED):
            return library.load_from_disk(str(self._path))
        return library.load_dataset(str(self._path), self._subset)

    @cached_property
    def _columns(self) -> Columns:
        tables = self._loaded
        found = columns_of(tables["train"].features, self._name, self._images, self._targets, self._target)
        for split, table in tables.items():
            if absent := [column for column in (found.image, found.target) if column and column not in table.features]:
                raise DataError(f"{self._name} has no column {absent[0]} in {split}, expected the same as in train")
        return found

    @cached_property
    def _decoder(self) -> SampleDecoder:
        columns = self._columns
        return sample_decoder(self._image, columns.kind, self._names or columns.names, self._ignored, self._pixel_range)

    @property
    def image_decoder(self) -> ImageDecoder:
        return self._image

    @property
    def specification(self) -> ImageSpecification:
        return self.specified(self._image.shape, self._decoder.target)

    @property
    def stored(self) -> Mapping[Split, int]:
        return {split: len(table) for split, table in self._loaded.items()}

    def list(self) -> Listing | None:
        """Lists the files below the path, each of which may hold samples of every split; None for the hub."""
        if self._path is None:
            return None
        root = self._path if self._path.is_dir() else self._path.parent
        names = [self._path.name] if self._path.is_file() else sorted(_files_below(self._path))
        states = [(root / name).stat() for name in names]
        sizes, changed = [state.st_size for state in states], [state.st_mtime_ns for state in states]
        splits = {split: range(len(names)) for split in self._loaded}
        return Listing(root, names, sizes, changed, (), (), splits, held=[""] * len(names))

    @property
    def transform(self) -> Mapping[str, Any]:
        columns, target = self._columns, self._decoder.target
        settings = {"images": columns.image, "targets": columns.target, "subset": self._subset, "splits": self._splits}
        described = "none" if target is None else target.described
        return {**super().transform, **self._image.described(), **settings, "target": described}

    def missing(self) -> str | None:
        if self._path is None or self._path.exists():
            return None
        return f"{self._path}: no such file or folder; a data set of the hub is named by hub instead of path"

    def training_labels(self) -> torch.Tensor | None:
        return self._samples("train").targets

    def sample_name(self, part: Split, sample: int) -> str:
        return f"{part}, row {sample}"

    def source(self, split: Split) -> DatasetImages:
        from firebox.data.sources.source import DatasetImages

        return DatasetImages(self._samples(self.part_of(split)), self.division(split), fixed=True)

    def _samples(self, part: Split) -> TableSamples:
        """Returns the rows that are samples of the files of a split."""
        from firebox.data.tables.table_samples import TableSamples

        columns = self._columns
        library = required("datasets", "hugging_face", self._name)
        table = (
            self._loaded[part]
            .with_format(None)
            .select_columns([column for column in (columns.image, columns.target) if column is not None])
        )
        for column in table.features:
            if isinstance(table.features[column], library.Image):
                table = table.cast_column(column, library.Image(decode=False))
        name, names = f"{self._name}, {part}", columns.names if columns.kind == "labels" else ()
        return TableSamples(table, name, columns.image, columns.target, self._decoder, names)


def _files_below(folder: Path) -> list[str]:
    """Returns the files below a folder, relative to it, without hidden ones."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return found
