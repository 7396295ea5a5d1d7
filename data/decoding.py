"""The way from an image file to a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from firebox.data.data_error import DataError
from firebox.data.jpeg import ORIENTATION, TURNS, WITH_SIMPLEJPEG, read_jpeg
from firebox.foundation.problems import in_one_line

if TYPE_CHECKING:
    import torch
    from PIL import Image

Color = Literal["rgb", "grayscale"]
Background = Literal["white", "black"]

DECODER = 2
"""Version of the decoder; to be raised whenever the same file would give other pixels."""


class UnreadableFile(DataError):
    """A file can't be decoded.

    Args:
        path: the file.
        why: what is wrong with it.
        way_out: what can be done.
    """

    def __init__(self, path: Path, why: str, way_out: str) -> None:
        super().__init__(f"{path} {why}; {way_out}")
        self.why = why


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
        **{name: features.version(name) for name in ("jpg", "libjpeg_turbo", "webp", "zlib")},
    }


@dataclass(frozen=True, slots=True)
class ImageDecoder:
    """Decodes an image file, scales the image to just cover a size, and crops it to that size at the center.

    A JPEG file whose image is at least four times as large is decoded at a reduced scale, and stays at least twice as
    large as the sample (see ``read_jpeg``): pixels of photographs, in 0..255, differ by about 1 on average.

    Args:
        image_size: (H, W) of the samples, in pixels.
        color: "rgb" (three channels) or "grayscale" (one).
        background: what transparent pixels are laid over, before the image is scaled.
    """

    image_size: tuple[int, int]
    color: Color
    background: Background = "white"

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> ImageDecoder:
        """Returns the decoder that ``described`` told of, read back from JSON, whatever version that one had.

        Raises:
            ValueError, LookupError, TypeError: it is none.
        """
        given = {name: value for name, value in described.items() if name != "decoder"}
        height, width = given.pop("image_size")
        return cls((int(height), int(width)), **given)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the samples."""
        return (3 if self.color == "rgb" else 1, *self.image_size)

    def described(self) -> dict[str, Any]:
        """Returns what decides which pixels a file gives, beside the version of Pillow, as plain data."""
        return {"decoder": DECODER, **asdict(self)}

    def __call__(self, path: Path) -> torch.Tensor:
        """Returns the image, uint8 (C, H, W).

        Raises:
            UnreadableFile: the file can't be decoded; the message names it.
        """
        import numpy
        import torch
        from PIL import Image, ImageOps

        height, width = self.image_size
        try:
            mode = "RGB" if self.color == "rgb" else "L"
            if (decoded := read_jpeg(path, self.image_size, mode)) is not None:
                return decoded
            with Image.open(path) as opened:
                image: Image.Image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I"):  # 16 bits: Pillow's conversion would cut them at 255
                    image = _eight_bits(image)
                if image.has_transparency_data:
                    ground = Image.new("RGBA", image.size, self.background)
                    image = Image.alpha_composite(ground, image.convert("RGBA"))
                image = image if image.mode == mode else image.convert(mode)
                fitted = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        except Image.DecompressionBombError as error:
            way_out = "scale the file down, or move it out of the folder"
            raise UnreadableFile(path, f"is too large: {_told(error)}", way_out) from error
        except Exception as error:  # a decoder may raise anything where a file is torn
            why = f"can't be read as an image: {in_one_line(error)}"
            raise UnreadableFile(path, why, "replace the file, or move it out of the folder") from error
        pixels = torch.from_numpy(numpy.array(fitted))
        return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def upright_size(path: Path) -> tuple[int, int]:
    """Returns (H, W) of the image in a file, turned as the camera's notes say, without decoding it.

    Raises:
        UnreadableFile: it is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            turned, _ = TURNS.get(opened.getexif().get(ORIENTATION, 1), (False, ()))
            return (opened.width, opened.height) if turned else (opened.height, opened.width)
    except Exception as error:  # a decoder may raise anything where a file is torn
        why = f"can't be read as an image: {in_one_line(error)}"
        raise UnreadableFile(path, why, "replace the file, or move it out of the folder") from error


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
