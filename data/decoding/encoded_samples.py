"""The way from encoded images and plain values to a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import PixelRange
from firebox.data.declarations.target_settings import TargetKind, target_from, target_of
from firebox.data.declarations.targets import Target
from firebox.data.decoding.decoding import ImageDecoder, UnreadableFile
from firebox.data.decoding.encoded import Encoded
from firebox.data.decoding.file_targets import image_target, mask_target
from firebox.data.decoding.pair_decoding import PairDecoder

if TYPE_CHECKING:
    import torch


WAY_OUT = "mend it, or leave it out by on_bad_file: skip"
"""What can be done about an image in a larger file that can't be decoded."""


@dataclass(frozen=True, slots=True)
class SampleDecoder:
    """Decodes images, and their targets likewise or from plain values.

    Args:
        image: what becomes of an image.
        target: what the targets are; None for none.
        pair: what becomes of an image and its target if that is an image, too; None if targets are plain values.
    """

    image: ImageDecoder
    target: Target | None
    pair: PairDecoder | None

    def __call__(self, image: Encoded, target: Any, name: str) -> tuple[torch.Tensor, Any]:
        """Returns an image (C, H, W) and its target in the form in which batches of it are read.

        Args:
            image: the image.
            target: an ``Encoded`` image, or a class, labels or values as ``target_from`` takes them.
            name: what messages call the target.

        Raises:
            DataError: one of them is not what it is declared to be; the message names it.
        """
        if self.pair is None:
            return self.alone(image), self.plain(target, name)
        with _left_out(image):
            return self.pair(image, target)

    def alone(self, image: Encoded) -> torch.Tensor:
        """Returns an image (C, H, W).

        Raises:
            UnreadableFile: it can't be decoded; the message names it.
        """
        with _left_out(image):
            return self.image(image)

    def plain(self, value: Any, name: str) -> Any:
        """Returns a target that is no image; the arguments and the error are those of a call."""
        assert self.target is not None
        try:
            return target_from(value, self.target)
        except ValueError as error:
            raise DataError(f"{name}: {error}") from None


@contextmanager
def _left_out(image: Encoded) -> Iterator[None]:
    """Says what can be done about an image in a larger file that can't be decoded."""
    try:
        yield
    except UnreadableFile as error:
        raise UnreadableFile(image, error.why, WAY_OUT) from error


def sample_decoder(
    image: ImageDecoder, kind: TargetKind, names: tuple[str, ...], ignored: int | None, pixel_range: PixelRange
) -> SampleDecoder:
    """Returns the way to samples that settings declare.

    Args:
        image: what becomes of an image.
        kind: kind of the targets.
        names: names of their classes, labels or values.
        ignored: pixel value of masks that is left out, in 0..255.
        pixel_range: range of the pixels that the model sees.

    Raises:
        ValueError: they can't be declared so; the message begins with the setting.
    """
    if kind in ("mask", "image"):
        if kind == "mask":
            made = mask_target(list(names), ignored, image.image_size)
        else:
            made = image_target(image, pixel_range)
        return SampleDecoder(image, made.target, PairDecoder(image, made.decoder))
    return SampleDecoder(image, target_of(kind, names, ignored=ignored), None)
