"""Samples in tar files as a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PositiveInt

from firebox.data.bases.datamodule import Split
from firebox.data.bases.packed import PackedImages
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.declarations.target_settings import Names, TargetKind, names_of
from firebox.data.declarations.targets import Classes
from firebox.data.decoding.decoding import Background, Color, ImageDecoder
from firebox.data.decoding.encoded_samples import sample_decoder
from firebox.data.division.folds import FoldSettings
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import OnBadFile
from firebox.foundation.paths import FilePath
from firebox.foundation.problems import shown

if TYPE_CHECKING:
    import torch

    from firebox.data.containers.shard_headers import Shard
    from firebox.data.containers.shard_index import ShardIndex
    from firebox.data.sources.source import DatasetImages


class Shards(PackedImages):
    """Images in tar files as WebDataset writes them.

    The members of a sample follow one another, and their names are the same up to the first dot, such as ``0001.jpg``
    and ``0001.cls``. The headers of all members are read once, for an index that is kept beside decoded samples. With
    it any sample is read by itself: samples are shuffled over all shards, and a run resumes at once wherever it was.
    The index is made anew if the name, the size or the time of change of a shard is another. Compressed shards are
    refused. Without validation shards, a seeded fraction of the training samples is held out.

    Each image is scaled to just cover ``image_size`` (bilinear, antialiased; masks by the nearest pixels) and cropped
    to it at the center.

    Args:
        root: folder that holds the shards.
        files: pattern of the shards' names below root, such as ``*.tar``; or a map from train, validation and test to
            one each.
        images: what follows the first dot of an image's name, such as jpg; null for any of jpg, jpeg, png, webp and bmp
            of which a sample has one that is not its target.
        targets: the same of the target, such as cls or mask.png; of a JSON file with the key, such as json:label; null
            for none.
        target: what it is. class: a number or a name in ``classes``; labels: 0 and 1 for each, or those that hold;
            values: numbers; mask: an image whose pixels are classes; image. null is class for cls.
        classes: names of the classes, labels or values, or their number.
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
        root: FilePath,
        files: str | dict[Split, str] = "*.tar",
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
        from firebox.data.containers.shard_headers import Roles

        super().__init__(
            validation_fraction=validation_fraction,
            split_seed=split_seed,
            pixel_range=pixel_range,
            folds=folds,
            on_bad_file=on_bad_file,
        )
        self._root = Path(root).expanduser()
        self._patterns: dict[Split, str] = {"train": files} if isinstance(files, str) else files
        if "train" not in self._patterns:
            raise ValueError(f"files: got {', '.join(self._patterns) or 'none'}, expected shards for train")
        for pattern in self._patterns.values():
            steps = Path(pattern).parts
            broken = not steps or Path(pattern).is_absolute() or ".." in steps
            if broken or any("**" in step and step != "**" for step in steps):
                raise ValueError(f"files: got {shown(pattern)}, expected a pattern of names below root, such as *.tar")
        self._images = (images or "").lower().removeprefix(".") or None
        member, _, key = (targets or "").partition(":")
        self._member = member.lower().removeprefix(".") or None
        self._roles = Roles(self._images, self._member, key)
        if key and not self._roles.is_json:
            raise ValueError(f"targets: got {shown(targets)}, expected a key for JSON alone, such as json:label")
        kind = target or ("none" if targets is None else "class" if self._member == "cls" else None)
        if kind is None:
            raise ValueError(f"target: not given, expected to be told what {targets} is, such as target: class")
        if (kind == "none") != (targets is None):
            raise ValueError(f"targets: got {targets or 'null'} for the target {kind}, expected both or none of them")
        image = ImageDecoder(image_size, color, background)
        self._decoder = sample_decoder(image, kind, names_of(classes), ignored, pixel_range)
        if isinstance(self._decoder.target, Classes):
            self._roles = replace(self._roles, classes=self._decoder.target.names)

    @property
    def image_decoder(self) -> ImageDecoder:
        return self._decoder.image

    @property
    def specification(self) -> ImageSpecification:
        return self.specified(self._decoder.image.shape, self._decoder.target)

    @cached_property
    def _indices(self) -> dict[Split, ShardIndex]:
        from firebox.data.containers.shard_headers import shards_in
        from firebox.data.containers.shard_index import index_of

        text = self.missing()
        if text is not None:
            raise DataError(text)
        found = {split: shards_in(self._root, pattern) for split, pattern in self._patterns.items()}
        split_of: dict[str, Split] = {}
        for split, shards in found.items():
            for shard in shards:
                if shard.name in split_of:
                    raise DataError(f"files: {shard.name} is in {split_of[shard.name]} and in {split}, expected one")
                split_of[shard.name] = split
        return {split: index_of(self._root, shards, self._roles, self.reading) for split, shards in found.items()}

    @property
    def stored(self) -> Mapping[Split, int]:
        return {split: len(index) for split, index in self._indices.items()}

    def list(self) -> Listing:
        splits: dict[Split, list[int]] = {}
        shards: list[Shard] = []
        for split, index in self._indices.items():
            splits[split] = list(range(len(shards), len(shards) + len(index.shards)))
            shards += index.shards
        names, sizes = [shard.name for shard in shards], [shard.size for shard in shards]
        changed, held = [shard.changed for shard in shards], [shard.held for shard in shards]
        return Listing(self._root, names, sizes, changed, (), (), splits, held=held)

    @property
    def transform(self) -> Mapping[str, Any]:
        target = self._decoder.target
        described = "none" if target is None else f"{self._member}:{self._roles.key}, {target.described}"
        return {**super().transform, **self._decoder.image.described(), "target": described}

    def missing(self) -> str | None:
        if not self._root.is_dir():
            return f"{self._root}: {'is no folder' if self._root.exists() else 'no such folder'}, expected the shards"
        for split, pattern in self._patterns.items():
            if next((path for path in self._root.glob(pattern) if path.is_file()), None) is None:
                return f"{self._root} has no files {pattern} for {split}; put the shards there, or change files"
        return None

    def training_labels(self) -> torch.Tensor | None:
        return self._indices["train"].labels() if self._roles.classes else None

    def sample_name(self, part: Split, sample: int) -> str:
        from firebox.data.containers.shard_samples import ShardSamples

        samples = ShardSamples(self._root, self._indices[part], self._decoder, self._roles)
        return samples.file_of(sample).removeprefix(f"{self._root}/")

    def source(self, split: Split) -> DatasetImages:
        from firebox.data.containers.shard_samples import ShardSamples
        from firebox.data.sources.source import DatasetImages

        index = self._indices[self.part_of(split)]
        samples = ShardSamples(self._root, index, self._decoder, self._roles)
        return DatasetImages(samples, self.division(split), fixed=True)
