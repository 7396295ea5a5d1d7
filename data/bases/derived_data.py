"""Data that is other data but for some respect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.division.listing import Listing

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.decoding.decoding import ImageDecoder
    from firebox.data.sources.reading import Reading
    from firebox.data.sources.source import ImageSource


class DerivedData(DataModule):
    """Other data; subclasses say in what they differ from it.

    Args:
        data: the other data.
    """

    def __init__(self, data: DataModule) -> None:
        self.data = data

    @property
    def whole(self) -> DataModule:
        return self.data.whole

    @property
    def specification(self) -> ImageSpecification:
        return self.data.specification

    @property
    def split_lengths(self) -> dict[Split, int]:
        return self.data.split_lengths

    @property
    def image_decoder(self) -> ImageDecoder | None:
        return self.data.image_decoder

    @property
    def dtype(self) -> Literal["uint8", "uint16", "float32"]:
        return self.data.dtype

    @property
    def assigned_lengths(self) -> dict[Split, int]:
        return self.data.assigned_lengths

    def read(self, split: Split) -> ImageSource:
        return self.data.read(split)

    def missing(self) -> str | None:
        return self.data.missing()

    @property
    def listing(self) -> Listing | None:
        return self.data.listing

    def assigned(self, split: Split) -> torch.Tensor:
        return self.data.assigned(split)

    @property
    def skipped(self) -> Sequence[str] | None:
        return self.data.skipped

    @property
    def transform(self) -> Mapping[str, Any]:
        return self.data.transform

    @property
    def moments(self) -> Moments | None:
        return self.data.moments

    def contents(self, reading: Reading) -> Sequence[str]:
        return self.data.contents(reading)

    def prepare(self, reading: Reading) -> None:
        self.data.prepare(reading)
