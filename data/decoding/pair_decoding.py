"""The way from an image file and the file of its target to a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.data.decoding.decoding import (
    MODES,
    Box,
    ImageDecoder,
    Unfit,
    UnreadableFile,
    cover,
    reading,
    require_all_channels,
)
from firebox.data.decoding.encoded import Encoded
from firebox.data.decoding.jpeg import ORIENTATION, REDUCED
from firebox.data.decoding.transparency import scale_transparency

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from firebox.data.cache.sample_file import Column

Size = tuple[int, int]

IGNORED = 255
"""What stands for no class in the masks of samples."""


@dataclass(frozen=True, slots=True)
class MaskDecoder:
    """Reads the class of every pixel from an image of one channel, or from the indices of a palette.

    Args:
        image_size: (H, W) of the samples, in pixels.
        values: pixel value of each class.
        ignored: pixel value that belongs to no class; None if none does.
    """

    image_size: tuple[int, int]
    values: tuple[int, ...]
    ignored: int | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is kept of a file."""
        from firebox.data.cache.sample_file import Column

        return (Column("mask", "uint8", self.image_size),)

    def of(self, image: Image.Image, box: Box) -> torch.Tensor:
        """Returns the part of a mask in a box, scaled to a sample by the nearest pixels, uint8 (H, W) of classes.

        Pixels that belong to no class are 255.

        Raises:
            Unfit: it has more than one channel, or a value that stands for no class.
        """
        import numpy
        import torch
        from PIL import Image

        values = _classes_in(image)
        found = numpy.unique(values)
        known = {*self.values} if self.ignored is None else {*self.values, self.ignored}
        if stray := sorted({int(value) for value in found} - known):
            listed = ", ".join(map(str, stray[:5])) + (", ..." if len(stray) > 5 else "")
            ignored = "" if self.ignored is None else f", or {self.ignored}, which is ignored"
            given = ", ".join(map(str, self.values)) if len(self.values) < 8 else f"{len(self.values)} declared ones"
            way = "; a map of classes or ignored says what 255 is" if stray == [255] else ""
            raise Unfit(f"has the values {listed}, expected {given}{ignored}{way}")
        table = numpy.zeros(256, numpy.uint8)
        if self.ignored is not None:
            table[self.ignored] = IGNORED
        table[list(self.values)] = range(len(self.values))
        classes = Image.fromarray(table[values])
        return torch.from_numpy(numpy.array(classes.resize(self.image_size[::-1], Image.Resampling.NEAREST, box=box)))


def _classes_in(image: Image.Image) -> Any:
    """Returns the values of a mask as it is stored, uint8 (H, W)."""
    import numpy

    pixels = numpy.asarray(image)
    if pixels.dtype == bool:
        return pixels.astype(numpy.uint8)
    if pixels.ndim == 3:
        if image.mode not in ("RGB", "RGBA") or (pixels[..., :3] != pixels[..., :1]).any():
            raise Unfit(f"is a picture in colour ({image.mode}), expected one channel, or a palette, of class numbers")
        pixels = pixels[..., 0]
    if not numpy.isin(pixels, range(256)).all():
        raise Unfit(f"has values from {pixels.min():g} to {pixels.max():g}, expected whole numbers from 0 to 255")
    return pixels.astype(numpy.uint8)


@dataclass(frozen=True, slots=True)
class PairDecoder:
    """Decodes an image and its target, and gives both the same orientation, scale and crop.

    If one of the two alone has an orientation in its notes, and both are stored in the same size, it is that of both.

    Args:
        image: what becomes of the image.
        target: what becomes of the target.
    """

    image: ImageDecoder
    target: ImageDecoder | MaskDecoder

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        return self.image.shape

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is kept of two files."""
        from firebox.data.cache.sample_file import Column

        if isinstance(self.target, MaskDecoder):
            return (*self.image.columns, *self.target.columns)
        return (*self.image.columns, Column("target", self.target.dtype, self.target.shape))

    def described(self) -> dict[str, Any]:
        """Returns what decides which samples two files give, beside the version of Pillow, as plain data."""
        return {**self.image.described(), "target": asdict(self.target)}

    def __call__(self, path: Path | Encoded, target_path: Path | Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the image (C, H, W) and the target: a mask (H, W), or an image (C, H, W).

        Raises:
            UnreadableFile: a file can't be decoded or is unfit, or the two differ in size; the message names it.
        """
        with reading(path):
            image = _Opened(path, self.image)
        with _reading_target(path, target_path):
            target = _Opened(target_path, self.target)
        if image.size == target.size and 1 in (image.orientation, target.orientation):
            image.orientation = target.orientation = max(image.orientation, target.orientation)
        with reading(path):
            turned = image.turned()
        with _reading_target(path, target_path):
            turned_target = target.turned()
        if image.size != target.size:
            sizes = f"{_told(image.size)} pixels, but its target {target_path.name} has {_told(target.size)}"
            raise UnreadableFile(path, f"has {sizes}, expected the same", "scale one of them, or move both away")
        with reading(path):
            sample = self.image.of(turned, image.box)
        with _reading_target(path, target_path):
            return sample, self.target.of(turned_target, target.box)


class _Opened:
    """An image that is decoded, at a reduced scale where it is a JPEG file and the size allows, but not turned yet."""

    def __init__(self, path: Path | Encoded, decoder: ImageDecoder | MaskDecoder) -> None:
        from PIL import Image

        with Image.open(path) as image:
            if isinstance(decoder, ImageDecoder):
                require_all_channels(image, decoder.color)
                scale_transparency(image)
            self.size: Size = image.size
            self._scale, self._decoder = 1, decoder
            if image.format == "JPEG" and isinstance(decoder, ImageDecoder):
                most = min(image.size) // (REDUCED * max(decoder.image_size))
                scale = next((scale for scale in (8, 4, 2) if scale <= most), 1)
                image.draft(MODES[decoder.color], (image.size[0] // scale, image.size[1] // scale))
                if image.size != self.size:  # some can't, whatever their size
                    self._scale = scale
            image.load()
            orientation = image.getexif().get(ORIENTATION, 1)
            self.orientation = orientation if orientation in range(1, 9) else 1
            self._image: Image.Image = image.copy()

    def turned(self) -> Image.Image:
        """Turns the image, and the size, as its orientation says."""
        from PIL import Image

        turns = Image.Transpose
        methods = (
            *(None, None, turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM),
            *(turns.TRANSPOSE, turns.ROTATE_270, turns.TRANSVERSE, turns.ROTATE_90),
        )
        method = methods[self.orientation]
        if self.orientation > 4:
            self.size = self.size[::-1]
        return self._image if method is None else self._image.transpose(method)

    @property
    def box(self) -> Box:
        """What becomes the sample, in pixels of the image as it was decoded and turned."""
        left, upper, right, lower = (edge / self._scale for edge in cover(self.size, self._decoder.image_size))
        return left, upper, right, lower


@contextmanager
def _reading_target(path: Path | Encoded, target_path: Path | Encoded) -> Iterator[None]:
    """Makes whatever is wrong with a target an UnreadableFile that names its image, too."""
    try:
        with reading(target_path):
            yield
    except UnreadableFile as error:
        why = f"has a target, {target_path.name}, that {error.why}"
        raise UnreadableFile(path, why, "mend the target, or move both out of their folders") from error


def _told(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
