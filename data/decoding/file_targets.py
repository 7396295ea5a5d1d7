"""Targets that are files beside the images: masks and target images."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import PositiveInt

from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Mask
from firebox.data.decoding.decoding import ImageDecoder
from firebox.data.decoding.pair_decoding import IGNORED, MaskDecoder
from firebox.foundation.problems import shown

MaskClasses = PositiveInt | list[str] | dict[str, int]
"""Names of the classes of a mask, or their number, whose pixel values count from 0; or the pixel value of each."""


@dataclass(frozen=True, slots=True)
class FileTarget:
    """What the samples' targets are, and the way to them from their files."""

    target: Mask | TargetImage
    decoder: MaskDecoder | ImageDecoder


def mask_target(classes: MaskClasses | None, ignored: int | None, image_size: tuple[int, int]) -> FileTarget:
    """Returns masks of the classes that settings name.

    Raises:
        ValueError: the classes can't be those of a mask; the message begins with the setting.
    """
    if not classes:
        raise ValueError("classes: got none, expected the names of the masks' classes, such as [background, road]")
    if isinstance(classes, int) and classes > 256:
        raise ValueError(f"classes: got {classes}, expected 256 at most for a mask")
    names = list(map(str, range(classes))) if isinstance(classes, int) else list(classes)
    values = list(classes.values()) if isinstance(classes, dict) else list(range(len(names)))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"classes: got {shown(twice)} twice, expected different names")
    if len(set(values)) < len(values) or not all(0 <= value <= 255 for value in values):
        raise ValueError(f"classes: got the pixel values {shown(values)}, expected different ones from 0 to 255")
    if ignored in values:
        raise ValueError(f"ignored: got {ignored}, which is the class {names[values.index(ignored)]}, expected another")
    decoder = MaskDecoder(image_size, tuple(values), ignored)
    return FileTarget(Mask(tuple(names), None if ignored is None else IGNORED), decoder)


def image_target(decoder: ImageDecoder, pixel_range: PixelRange) -> FileTarget:
    """Returns target images, in the pixel range of the images, or in [0,1] if those are standardised."""
    own: PixelRange = "[0,1]" if pixel_range == "standardised" else pixel_range
    return FileTarget(TargetImage(ImageSpecification(decoder.shape, own, value_range=decoder.value_range)), decoder)
