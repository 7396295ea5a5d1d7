"""Images and targets in arrays as a data set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from firebox.data.bases.datamodule import Samples, Split
from firebox.data.bases.packed import PackedImages
from firebox.data.containers.array_layout import Order
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification, PixelRange, require_order
from firebox.data.declarations.target_settings import Names, TargetKind, names_of, target_of
from firebox.data.declarations.targets import Classes, Target
from firebox.data.division.folds import FoldSettings
from firebox.data.division.listing import Listing
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import Interrupted

if TYPE_CHECKING:
    import torch

    from firebox.data.containers.array_files import ArrayFile
    from firebox.data.containers.array_images import ArrayImages
    from firebox.data.containers.array_layout import ImageLayout
    from firebox.data.division.division import Division
    from firebox.data.sources.reading import Reading
    from firebox.data.sources.source import ImageSource

SCANNED = 2 << 30
"""Bytes of images and targets up to which all that could hold a wrong value are read before the training."""


class _Known(NamedTuple):
    """What the headers say.

    Attributes:
        images: the array of the images of each split.
        targets: the array of the targets of each split; empty if there are none.
        layout: how the images lie in their arrays.
        target: what the targets are.
        target_layout: how the targets lie in their arrays if they are images.
    """

    images: dict[Split, ArrayFile]
    targets: dict[Split, ArrayFile]
    layout: ImageLayout
    target: Target | None
    target_layout: ImageLayout | None


class Arrays(PackedImages):
    """Images and their targets as arrays in .npy, .npz or HDF5 files, row k being sample k.

    Images are uint8, uint16 or float32, (N, H, W), (N, C, H, W) or (N, H, W, C). An array is named FILE.npy,
    FILE.npz:KEY or FILE.h5:KEY, the file being below ``root``; a map such as ``{train: train.npy, test: test.npy}``
    names one for each split. Without a validation array, a seeded fraction of the training samples is held out.

    Arrays that lie in their file as in memory are not loaded but read through memory: .npy files, members of .npz files
    that are not compressed, HDF5 data sets that are neither chunked nor compressed. Other HDF5 data sets are read as
    they are needed, compressed members of .npz files are unpacked into memory. HDF5 needs ``firebox[hdf5]``. Python
    objects are never unpickled.

    Args:
        root: folder that holds the files.
        images: the array of the images, or a map from train, validation and test to one each.
        targets: the array of the targets likewise; null for none.
        target: what they are. class: integers (N,); labels: 0 and 1, (N, labels); values: numbers, (N,) or (N, values);
            mask: uint8 (N, H, W), a class for every pixel; image: as images are; none. null tells it by their shape and
            dtype.
        classes: the classes of class or mask, the labels or the values: their names, or their number. The number of
            labels and of values is known without it.
        ignored: pixel value of masks that is left out of losses and metrics, in 0..255; null for none.
        layout: NCHW if the channels of images are their first axis, NHWC if they are the last; null tells it by their
            number, which is 1, 3 or 4 then.
        value_range: values that become 0 and 1; null for [0, 255] of uint8, [0, 65535] of uint16 and [0, 1] of float32.
        validation_fraction: fraction of the training samples held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of folds of the training samples; that fold is held out instead of a fraction.
            null for a fraction.
        pixel_range: range of the pixels that the model sees. standardised: minus the mean of the training images, and
            divided by their deviation, per channel, which are measured once.
    """

    reads: ClassVar[Samples] = "prepared"

    def __init__(
        self,
        *,
        root: FilePath,
        images: str | dict[Split, str],
        targets: str | dict[Split, str] | None = None,
        target: TargetKind | None = None,
        classes: Names | None = None,
        ignored: Annotated[int, Field(ge=0, le=255)] | None = None,
        layout: Order | None = None,
        value_range: tuple[float, float] | None = None,
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        folds: FoldSettings | None = None,
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(
            validation_fraction=validation_fraction, split_seed=split_seed, pixel_range=pixel_range, folds=folds
        )
        self._root = Path(root).expanduser()
        self._images: dict[Split, str] = {"train": images} if isinstance(images, str) else images
        none = targets is None or target == "none"
        self._targets: dict[Split, str] = {}
        if not none:
            self._targets = {"train": targets} if isinstance(targets, str) else dict(targets or {})
        if "train" not in self._images:
            raise ValueError(f"images: got {', '.join(self._images) or 'none'}, expected an array for train")
        if not none and self._targets.keys() != self._images.keys():
            had, wanted = ", ".join(self._targets) or "none", ", ".join(self._images)
            raise ValueError(f"targets: got arrays for {had}, expected one for each of {wanted}, as images has")
        if targets is None and target not in (None, "none"):
            raise ValueError(f"targets: not given, expected an array for the target {target}")
        require_order("value_range", value_range)
        self._target: TargetKind | None = target
        self._names = names_of(classes)
        self._ignored = ignored
        self._order: Order | None = layout
        self._value_range = value_range

    @cached_property
    def _known(self) -> _Known:
        from firebox.data.containers.array_layout import kind_of, layout_of

        images, targets = self._opened("images", self._images), self._opened("targets", self._targets)
        for split, file in images.items():
            if targets and targets[split].shape[0] != file.shape[0]:
                told = f"got {targets[split].described}, expected {file.shape[0]} rows, as {file.described} has"
                raise DataError(f"targets: {told}")
        layout = layout_of(images["train"], "images", self._order)
        if not targets:
            return _Known(images, {}, layout, None, None)
        train = targets["train"]
        kind = kind_of(train, self._target, layout, named=bool(self._names))
        names, target_layout = self._names, None
        if kind in ("labels", "values"):
            count = train.shape[1] if len(train.shape) > 1 else 1
            names = names or names_of(count)
            if len(names) != count:
                raise DataError(f"classes: got {len(names)}, expected {count} {kind}, as {train.described} has")
        if kind == "image":
            target_layout = layout_of(train, "targets", self._order)
        image = None
        if target_layout is not None:
            own: PixelRange = "[0,1]" if self._pixel_range == "standardised" else self._pixel_range
            image = ImageSpecification(target_layout.shape, own, value_range=self._value_range)
        return _Known(
            images, targets, layout, target_of(kind, names, ignored=self._ignored, image=image), target_layout
        )

    def _opened(self, setting: str, names: Mapping[Split, str]) -> dict[Split, ArrayFile]:
        """Reads the headers of the arrays that a setting names."""
        from firebox.data.containers.array_files import array_file

        found = {}
        for split, name in names.items():
            try:
                found[split] = array_file(self._root, name)
            except DataError as error:
                raise DataError(f"{setting}: {error}") from None
        for file in found.values():
            first = found["train"]
            if (file.shape[1:], file.dtype) != (first.shape[1:], first.dtype):
                raise DataError(f"{setting}: got {file.described}, expected samples as {first.described} has")
        return found

    @property
    def dtype(self) -> Literal["uint8", "uint16", "float32"]:
        return self._known.layout.dtype

    @property
    def specification(self) -> ImageSpecification:
        return self.specified(self._known.layout.shape, self._known.target, self._value_range)

    @property
    def stored(self) -> Mapping[Split, int]:
        return {split: file.shape[0] for split, file in self._known.images.items()}

    def list(self) -> Listing:
        splits: dict[str, dict[str, list[str]]] = {}
        for split, file in [*self._known.images.items(), *self._known.targets.items()]:
            name = str(file.path) if Path(file.name).is_absolute() else file.path.relative_to(self._root).as_posix()
            splits.setdefault(name, {}).setdefault(split, []).append(f"{file.key} {file.dtype.name} {file.shape}")
        names = sorted(splits)
        states = [(self._root / name).stat() for name in names]
        of: dict[Split, list[int]] = {
            split: [k for k, name in enumerate(names) if split in splits[name]] for split in self._images
        }
        held = [str(sorted(splits[name].items())) for name in names]
        sizes, changed = [state.st_size for state in states], [state.st_mtime_ns for state in states]
        return Listing(self._root, names, sizes, changed, (), (), of, held=held)

    @property
    def transform(self) -> Mapping[str, Any]:
        layout, target = self._known.layout, self._known.target
        described = "none" if target is None else target.described
        settings = {"layout": "NHWC" if layout.channels_last else "NCHW", "value_range": self._value_range}
        return {**super().transform, **settings, "target": described}

    def missing(self) -> str | None:
        from firebox.data.containers.array_files import file_of

        names = [*self._images.values(), *self._targets.values()]
        try:
            absent = [name for name in dict.fromkeys(map(file_of, names)) if not (self._root / name).is_file()]
        except DataError:
            return None  # said by what reads the headers
        way_out = "put them there, or name others by root, images and targets"
        return f"missing in {self._root}: {', '.join(absent)}; {way_out}" if absent else None

    def prepare(self, reading: Reading) -> None:
        self._scan(reading)
        super().prepare(reading)

    def _scan(self, reading: Reading) -> None:
        """Reads all samples that could hold a wrong value, if they are few enough."""
        import torch

        from firebox.data.division.division import Division
        from firebox.data.sources.source import TOGETHER

        known = self._known
        spatial = known.target is not None and known.target.spatial
        if known.layout.dtype != "float32" and not spatial:
            return
        files = [*known.images.values(), *known.targets.values()]
        if sum(file.shape[0] * file.row_bytes for file in files) > SCANNED:
            return
        for split, count in self.stored.items():
            source = self._source(split, Division(count, 0, 0, split))
            for indices in torch.arange(count).split(TOGETHER):
                if reading.stopping():
                    raise Interrupted
                source.gather(indices)
                reading.progress(f"{split} samples looked at", int(indices[-1]) + 1, count)

    def _source(self, part: Split, division: Division) -> ArrayImages:
        from firebox.data.containers.array_images import ArrayImages, ArrayTargets
        from firebox.data.containers.stored_array import stored_array

        known = self._known
        targets = None
        if known.target is not None:
            array = stored_array(known.targets[part])
            targets = ArrayTargets(array, known.target, known.layout.shape, known.target_layout)
        return ArrayImages(stored_array(known.images[part]), known.layout, targets, division)

    def training_labels(self) -> torch.Tensor | None:
        from firebox.data.containers.array_images import ArrayTargets
        from firebox.data.containers.stored_array import stored_array

        known, target = self._known, self._known.target
        if not isinstance(target, Classes):
            return None
        return ArrayTargets(stored_array(known.targets["train"]), target, known.layout.shape, None).held

    def source(self, split: Split) -> ImageSource:
        from firebox.data.containers.array_images import ArraySamples
        from firebox.data.containers.stored_array import ChunkedArray
        from firebox.data.sources.source import DatasetImages

        source = self._source(self.part_of(split), self.division(split))
        return DatasetImages(ArraySamples(source), fixed=True) if source.reads_by(ChunkedArray) else source
