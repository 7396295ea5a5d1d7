"""The way from an image file to a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from firebox.data.declarations.data_error import DataError
from firebox.data.decoding.encoded import Encoded
from firebox.data.decoding.jpeg import WITH_SIMPLEJPEG, read_jpeg
from firebox.data.decoding.transparency import scale_transparency
from firebox.foundation.problems import in_one_line

if TYPE_CHECKING:
    import numpy
    import torch
    from PIL import Image

    from firebox.data.cache.sample_file import Column

Color = Literal["rgb", "grayscale", "rgba"]
Background = Literal["white", "black"]
Dtype = Literal["uint8", "uint16", "float32"]
Box = tuple[float, float, float, float]

DECODER = 5
"""Version of the decoder; to be raised whenever the same file would give other pixels."""
MODES: dict[str, Literal["RGB", "L", "RGBA"]] = {"rgb": "RGB", "grayscale": "L", "rgba": "RGBA"}
"""Pillow's mode of each colour mode."""
TIFF = (".tif", ".tiff")
SAMPLES_PER_PIXEL = 277
DEPTHS: dict[Dtype, str] = {"uint8": "8 bits", "uint16": "16 bits", "float32": "32-bit floating point numbers"}


class UnreadableFile(DataError):
    """A file can't be decoded, or is not what the data declares.

    Args:
        path: the file.
        why: what is wrong with it.
        way_out: what can be done.
    """

    def __init__(self, path: Path | Encoded, why: str, way_out: str) -> None:
        super().__init__(f"{path} {why}; {way_out}")
        self.why = why


class Unfit(ValueError):
    """An image is not what the data declares; the message says in what, such as "has 16 bits"."""


def versions() -> dict[str, str | None]:
    """Returns the versions of the libraries that decode, as other ones may give other pixels."""
    import PIL
    import torch
    from PIL import features

    return {
        "Pillow": PIL.__version__,
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "simplejpeg": version("simplejpeg") if WITH_SIMPLEJPEG else None,
        **{name: features.version(name) for name in ("jpg", "libjpeg_turbo", "webp", "zlib", "libtiff")},
    }


@dataclass(frozen=True, slots=True)
class ImageDecoder:
    """Decodes an image file, scales the image to just cover a size, and crops it to that size at the center.

    A JPEG file whose image is at least four times as large is decoded at a reduced scale, and stays at least twice as
    large as the sample (see ``read_jpeg``): pixels of photographs, in 0..255, differ by about 1 on average.

    Args:
        image_size: (H, W) of the samples, in pixels.
        color: "rgb" (three channels), "grayscale" (one) or "rgba" (four, the last one opacity).
        background: what transparent pixels are laid over, before the image is scaled.
        dtype: dtype of the samples.
        converts: whether files of 8 bits are read as 16, and the other way round; if not, they are unfit.
        value_range: values that the samples may have, inclusive; None for those of the dtype. Floating point numbers
            may exceed the range by half of it.
    """

    image_size: tuple[int, int]
    color: Color
    background: Background = "white"
    dtype: Dtype = "uint8"
    converts: bool = True
    value_range: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the samples."""
        return (len(MODES[self.color]), *self.image_size)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is kept of a file."""
        from firebox.data.cache.sample_file import Column

        channels, height, width = self.shape
        return (Column("image", self.dtype, (height, width, channels)),)

    def described(self) -> dict[str, Any]:
        """Returns what decides which pixels a file gives, beside the version of Pillow, as plain data."""
        return {"decoder": DECODER, **asdict(self)}

    def __call__(self, path: Path | Encoded) -> torch.Tensor:
        """Returns the image, (C, H, W) in the decoder's dtype.

        Raises:
            UnreadableFile: the file can't be decoded, or is unfit; the message names it.
        """
        with reading(path):
            mode = MODES[self.color]
            if (
                self.dtype == "uint8"
                and mode != "RGBA"
                and (decoded := read_jpeg(path, self.image_size, mode)) is not None
            ):
                return self._fit(decoded)
            from PIL import Image, ImageOps

            with Image.open(path) as opened:
                require_all_channels(opened, self.color)
                scale_transparency(opened)
                image: Image.Image = ImageOps.exif_transpose(opened)
                return self.of(image, cover(image.size, self.image_size))

    def of(self, image: Image.Image, box: Box) -> torch.Tensor:
        """Returns the part of an image in a box (left, upper, right, lower), scaled to a sample.

        Raises:
            Unfit: the image is not what the data declares.
        """
        import numpy
        import torch
        from PIL import Image

        found, mode = dtype_of(image), MODES[self.color]
        if found != self.dtype and (not self.converts or "float32" in (found, self.dtype)):
            raise Unfit(f"has {DEPTHS[found]}, expected {DEPTHS[self.dtype]}{_to_convert(found, self.dtype)}")
        if self.dtype == "uint8" and found == "uint16":
            image = _eight_bits(image)
        if found == "uint8" or self.dtype == "uint8":
            if image.has_transparency_data and mode != "RGBA":
                ground = Image.new("RGBA", image.size, self.background)
                image = Image.alpha_composite(ground, image.convert("RGBA"))
            image = image if image.mode == mode else image.convert(mode)
        if self.dtype == "uint8":
            fitted = image.resize(self.image_size[::-1], Image.Resampling.BILINEAR, box=box)
            pixels = torch.from_numpy(numpy.array(fitted))
            return self._fit(pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1))
        return self._fit(torch.from_numpy(numpy.stack([self._scaled(plane, box) for plane in self._planes(image)])))

    def _planes(self, image: Image.Image) -> list[numpy.ndarray[Any, Any]]:
        """Returns the channels of an image, each (H, W) in the decoder's dtype."""
        import numpy

        if dtype_of(image) == "uint8":
            return [numpy.asarray(band).astype(numpy.uint16) * 257 for band in image.split()]
        plane, clear = numpy.array(image), image.info.get("transparency")
        most = {"uint16": 65535, "float32": 1}[self.dtype]
        opaque = numpy.full_like(plane, most)
        if clear is not None and self.color == "rgba":
            opaque[plane == clear] = 0
        elif clear is not None:
            plane[plane == clear] = most if self.background == "white" else 0
        return {"rgb": [plane] * 3, "grayscale": [plane], "rgba": [plane, plane, plane, opaque]}[self.color]

    def _scaled(self, plane: numpy.ndarray[Any, Any], box: Box) -> numpy.ndarray[Any, Any]:
        import numpy
        from PIL import Image

        # In floating point numbers, which hold 16 bits exactly: Pillow scales no other deep mode in all its versions.
        whole = Image.fromarray(plane.astype(numpy.float32))
        scaled = numpy.array(whole.resize(self.image_size[::-1], Image.Resampling.BILINEAR, box=box))
        return scaled if self.dtype == "float32" else numpy.rint(scaled).astype(numpy.uint16)

    def _fit(self, sample: torch.Tensor) -> torch.Tensor:
        """Returns a sample whose values are those that are declared."""
        if self.dtype != "float32" and self.value_range is None:
            return sample
        lowest, highest = self.value_range or (0.0, 1.0)
        room = (highest - lowest) / 2 if self.dtype == "float32" else 0
        least, most = sample.float().min().item(), sample.float().max().item()
        if not (least >= lowest - room and most <= highest + room):
            raise Unfit(
                f"has values from {least:g} to {most:g}, expected {lowest:g} to {highest:g}: "
                "declare the value_range that the images have"
            )
        return sample


def cover(size: tuple[int, int], image_size: tuple[int, int]) -> Box:
    """Returns the largest centered box of a sample's proportions in an image.

    Args:
        size: (width, height) of the image, as Pillow has it.
        image_size: (H, W) of the sample.
    """
    width, height = size
    proportion = image_size[1] / image_size[0]
    if width / height == proportion:
        cut = (float(width), float(height))
    else:
        cut = (proportion * height, height) if width / height >= proportion else (width, width / proportion)
    left, upper = (width - cut[0]) * 0.5, (height - cut[1]) * 0.5
    return left, upper, left + cut[0], upper + cut[1]


def require_all_channels(image: Image.Image, color: Color) -> None:
    """Requires Pillow to have the fourth channel of an image that was just opened, if it is asked for.

    Raises:
        Unfit: the file has more channels than Pillow reads.
    """
    channels = getattr(image, "tag_v2", {}).get(SAMPLES_PER_PIXEL, 1)
    if color == "rgba" and channels > len(image.getbands()):
        raise Unfit(f"has {channels} channels, of which Pillow reads {len(image.getbands())}; expected color: rgb")


def dtype_of(image: Image.Image) -> Dtype:
    """Returns the dtype that holds an image without loss.

    Raises:
        Unfit: there is none.
    """
    if image.mode == "I":
        raise Unfit("has 32-bit integers, expected 8 or 16 bits or 32-bit floating point numbers: convert it")
    return "float32" if image.mode == "F" else "uint16" if image.mode.startswith("I;16") else "uint8"


def first_dtype(paths: Iterator[Path]) -> Dtype:
    """Returns the dtype of the first image that can be opened; only headers are read."""
    from PIL import Image

    for path in paths:
        try:
            with Image.open(path) as image:
                return dtype_of(image)
        except Exception:  # is said of each file that is decoded
            continue
    return "uint8"


@contextmanager
def reading(path: Path | Encoded) -> Iterator[None]:
    """Makes whatever is wrong with a file an UnreadableFile."""
    try:
        yield
    except Unfit as error:
        raise UnreadableFile(path, str(error), "convert the file, or move it out of the folder") from None
    except Exception as error:  # a decoder may raise anything where a file is torn
        from PIL import Image, UnidentifiedImageError

        if isinstance(error, Image.DecompressionBombError):
            way_out = "scale the file down, or move it out of the folder"
            raise UnreadableFile(path, f"is too large: {_told(error)}", way_out) from error
        why = f"can't be read as an image: {in_one_line(error)}"
        if path.suffix.lower() in TIFF and isinstance(error, UnidentifiedImageError):
            why = (
                "is no TIFF that Pillow reads, such as one of more than four channels or of several channels of 16 "
                "bits; save it as one channel, or as channels of 8 bits"
            )
        raise UnreadableFile(path, why, "replace the file, or move it out of the folder") from error


def _to_convert(found: Dtype, wanted: Dtype) -> str:
    """Says how files of one depth are read as another, if they can be."""
    if "float32" in (found, wanted):
        return " as the declared dtype or the first image of the training split has"
    return f" as the first image of the training split has; dtype: {wanted} converts it"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Returns a grayscale image of 16 bits in 8, with an alpha channel if one of its shades is transparent."""
    import numpy
    from PIL import Image

    deep, clear = numpy.asarray(image), image.info.get("transparency")
    shallow = Image.fromarray((deep >> 8).astype(numpy.uint8))
    if clear is not None:
        shallow.putalpha(Image.fromarray((deep != clear).astype(numpy.uint8) * 255))
    return shallow


def _told(error: BaseException) -> str:
    """Says which limit an image exceeds."""
    from PIL import Image

    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    what = f"Pillow refuses images of more than {limit:,} pixels, which may be made to exhaust the memory"
    return f"{what} ({in_one_line(error)})"
